"""No silent partial load: every missing, unknown or misshapen array is named."""

import hashlib
import io
import zipfile

import jax
import numpy as np
import pytest

from jaxalign.archives.fetch import Archive
from jaxalign.models.weight_files.weights import (
    StateDict,
    WeightsError,
    check_params,
    count_params,
    read_weights,
)
from jaxalign.types import JaxalignError


@pytest.fixture
def tree(rng):
    return {"a": {"kernel": rng.normal(size=(3, 2)), "bias": np.zeros(2)}, "b": np.ones(4)}


def test_equal_shapes_pass(tree):
    check_params(jax.eval_shape(lambda: jax.tree.map(np.float32, tree)), tree)
    assert count_params(tree) == 12


def test_all_faults_are_named(tree):
    wrong = {"a": {"kernel": tree["a"]["kernel"].T}, "b": tree["b"], "c": np.ones(1)}
    with pytest.raises(WeightsError) as error:
        check_params(tree, wrong)
    message = str(error.value)
    assert "missing ['a']['bias'] (2,)" in message
    assert "unknown ['c'] (1,)" in message
    assert "['a']['kernel'] has shape (2, 3), wanted (3, 2)" in message


def test_many_faults_are_shortened():
    with pytest.raises(WeightsError, match="and 12 more"):
        check_params({}, {str(i): np.ones(1) for i in range(20)})


def test_state_dict_layouts_and_leftovers(rng):
    weight, bias = rng.normal(size=(5, 3)), rng.normal(size=5)
    state = StateDict({"x.weight": weight, "x.bias": bias, "head.w": bias, "y.weight": bias})
    dense = state.dense("x")
    np.testing.assert_array_equal(dense["kernel"], weight.T)
    np.testing.assert_array_equal(dense["bias"], bias)
    with pytest.raises(WeightsError, match=r"1 arrays .* y\.weight"):
        state.require_all_taken(ignore=("head.",))
    state.embedding("y")
    state.require_all_taken(ignore=("head.",))
    with pytest.raises(WeightsError, match=r"no array 'x\.weigth'.*x\.weight"):
        state.take("x.weigth")


@pytest.fixture
def archive(tmp_path, monkeypatch, rng):
    """A wheel in a cache of its own, with one weight file."""
    monkeypatch.setenv("JAXALIGN_CACHE", str(tmp_path))
    buffer = io.BytesIO()
    np.savez(buffer, w=rng.normal(size=(2, 3)).astype(np.float32))
    data = buffer.getvalue()
    path = tmp_path / "archives" / "tiny-1.0-py3-none-any.whl"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("tiny/model.npz", data)
    content = path.read_bytes()
    return hashlib.sha256(data).hexdigest(), Archive(
        package="tiny",
        version="1.0",
        filename=path.name,
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        licence="MIT",
        citation="none",
    )


def test_reads_a_pinned_weight_file(archive):
    digest, archive = archive
    arrays = read_weights(archive, "tiny/model.npz", sha256=digest)
    assert arrays["w"].shape == (2, 3)
    with pytest.raises(JaxalignError, match=r"(?i)sha-?256"):
        read_weights(archive, "tiny/model.npz", sha256="0" * 64)
