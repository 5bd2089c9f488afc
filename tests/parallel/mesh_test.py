"""Meshes: made, parsed, chosen by default, and refused with a reason."""

import jax
import numpy as np
import pytest
from jax.sharding import Mesh

from jaxalign.parallel.mesh import (
    check_mesh,
    choose_mesh,
    describe_mesh,
    local_mesh,
    make_mesh,
    parse_mesh,
)
from jaxalign.parallel.padding import own_rows, place_rows, row_shards


def test_devices_of_a_column_follow_each_other():
    mesh = make_mesh(jax.devices()[:4][::-1], models=2)
    assert mesh.axis_names == ("rows", "models")
    assert mesh.devices.T.tolist() == np.array(jax.devices()[:4]).reshape(2, 2).tolist()


@pytest.mark.parametrize(("text", "shape"), [("rows:3", (3, 1)), ("models:2,rows:2", (2, 2))])
def test_text_names_axes(text, shape):
    assert parse_mesh(text).devices.shape == shape


def test_a_star_takes_what_there_is():
    assert parse_mesh("rows:*,models:2").devices.shape == (len(jax.devices()) // 2, 2)


@pytest.mark.parametrize("text", ["", "4", "rows:0", "rows:x", "columns:2", "rows:2,columns:2"])
def test_text_that_describes_no_mesh_is_refused(text):
    with pytest.raises(ValueError, match="a mesh is written rows:R"):
        parse_mesh(text)


def test_more_devices_than_there_are():
    with pytest.raises(ValueError, match=r"needs 999 devices, and there are \d+ of 1 processes"):
        parse_mesh("rows:999")


def test_models_must_divide_the_devices():
    with pytest.raises(ValueError, match="got 3 devices and models=2"):
        make_mesh(jax.devices()[:3], models=2)


def test_other_axes_are_refused():
    with pytest.raises(ValueError, match="must have the axes"):
        check_mesh(Mesh(np.array(jax.devices()[:2]), ("x",)))


def test_a_mesh_of_rows_alone_gets_the_second_axis():
    mesh = check_mesh(Mesh(np.array(jax.devices()[:2]), ("rows",)))
    assert mesh.devices.shape == (2, 1)


def test_default_takes_more_devices_for_more_rows():
    assert choose_mesh(None, 10).size == 1
    assert choose_mesh(None, 10**6).size == len(jax.devices())


def test_fewer_rows_than_devices():
    with pytest.raises(ValueError, match="4 devices for 3 structures"):
        choose_mesh(make_mesh(jax.devices()[:4]), 3)


def test_facts_are_plain():
    facts = describe_mesh(make_mesh(jax.devices()[:2]))
    assert facts["mesh"] == {"rows": 2, "models": 1}
    assert facts["processes"] == 1
    assert facts["devices"] == [str(d) for d in jax.devices()[:2]]


def test_one_process_owns_all_devices():
    mesh = make_mesh(jax.devices()[:4], models=2)
    assert local_mesh(mesh).size == 4


@pytest.mark.parametrize("n", [4, 5, 7, 13])
@pytest.mark.parametrize("multiple", [1, 4])
def test_rows_come_back_without_padding(rng, n, multiple):
    mesh = make_mesh(jax.devices()[:4])
    x = rng.normal(size=(n, 3)).astype(np.float32)
    shards = row_shards(n, mesh, multiple=multiple)
    assert shards.size % multiple == 0
    assert shards.of_process(mesh) == (0, n)
    placed = place_rows(lambda a, b: x[a:b], shards, mesh, fill=np.nan)
    assert placed.shape == (shards.padded, 3)
    np.testing.assert_array_equal(own_rows(placed, shards), x)
    assert np.isnan(np.asarray(placed)[n:]).all()
