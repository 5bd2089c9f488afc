"""Label files as users write them."""

import numpy as np
import pandas as pd
import pytest

from jaxalign.learning.selection.label_file import TaskLabelError, read_task_labels


def test_a_column_is_read_by_id(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("id,gap,note\n007,1.5,a\n8,-2,b\n9,,c\n")
    found = read_task_labels(path, "gap")
    assert list(found) == ["007", "8", "9"]
    assert [found["007"], found["8"]] == [1.5, -2.0]
    assert np.isnan(found["9"])
    pd.DataFrame({"id": ["a", "b"], "gap": [1, 2]}).to_parquet(tmp_path / "labels.parquet")
    assert read_task_labels(tmp_path / "labels.parquet", "gap") == {"a": 1.0, "b": 2.0}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("id,u0\na,1\n", "no column 'gap'.*'u0'"),
        ("gap,u0\n1,1\n", "no column 'gap' beside its ids"),
        ("id,gap\na,1\na,2\n", "'a' is missing or stands there twice"),
        ("id,gap\na,1\nb,high\n", r"1 labels in 'gap' are no numbers, e.g. of \['b'\]"),
        ("", "cannot be read"),
    ],
)
def test_bad_files_are_explained(tmp_path, content, words):
    path = tmp_path / "labels.csv"
    path.write_text(content)
    with pytest.raises(TaskLabelError, match=words):
        read_task_labels(path, "gap")
