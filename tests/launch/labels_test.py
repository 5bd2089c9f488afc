"""Label files as users write them, and what is wrong with them."""

import pandas as pd
import pytest

from jaxalign.launch.labels import LabelFileError, read_labels


def test_first_column_names_second_labels(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("id,scaffold,note\n007,a,x\n8,b,y\n")
    assert read_labels(str(path), flag="groups") == {"007": "a", "8": "b"}
    table = pd.DataFrame({"id": ["m1", "m2"], "label": [1, 2]})
    table.to_parquet(tmp_path / "labels.parquet")
    found = read_labels(str(tmp_path / "labels.parquet"), flag="groups")
    assert found == {"m1": "1", "m2": "2"}
    assert read_labels(None, flag="groups") is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("id\na\n", "has 1 column"),
        ("id,label\na,1\na,2\n", "'a' stands there twice"),
        ("id,label\na,1\nb,\n", "'b' stands there twice or without"),
        ("", "cannot be read"),
    ],
)
def test_bad_files_are_named_with_the_flag(tmp_path, content, words):
    path = tmp_path / "labels.csv"
    path.write_text(content)
    with pytest.raises(LabelFileError, match=f"--encoders=.*{words}"):
        read_labels(str(path), flag="encoders")
    with pytest.raises(LabelFileError, match="cannot be read"):
        read_labels(str(tmp_path / "absent.csv"), flag="encoders")
