import dataclasses

import numpy as np
import pytest

from jaxalign.structures.structure import Structure, StructureSet


def water(**changes):
    fields = {
        "id": "w",
        "atomic_numbers": np.array([8, 1, 1], np.int32),
        "positions": np.arange(9.0).reshape(3, 3),
        "smiles": "O",
        "labels": {"y": 1.0},
        "group": "g",
    }
    return Structure(**{**fields, **changes})


def test_digest_sees_everything_an_encoder_sees():
    moved = np.arange(9.0).reshape(3, 3)
    moved[2, 2] = np.nextafter(moved[2, 2], 10)
    variants = [
        water(),
        water(id="v"),
        water(atomic_numbers=np.array([8, 1, 2], np.int32)),
        water(positions=moved),
        water(cell=np.eye(3)),
        water(pbc=(True, False, False)),
        water(smiles="[OH2]"),
        water(sequence="O"),
        water(smiles=None, sequence="O"),
        water(group=None),
    ]
    assert len({variant.digest() for variant in variants}) == len(variants)
    assert water(labels={"y": 2.0}).digest() == water().digest()


def test_digest_does_not_depend_on_memory_layout():
    fortran = np.asfortranarray(np.arange(9.0).reshape(3, 3))
    big = np.arange(9.0).reshape(3, 3).astype(">f8")
    assert water(positions=fortran).digest() == water().digest() == water(positions=big).digest()


def test_set_is_a_sequence():
    items = [water(id=str(i)) for i in range(5)]
    whole = StructureSet(items, name="five")
    assert len(whole) == 5
    assert whole[1] is items[1]
    assert whole[-1] is items[4]
    assert whole[1:3].ids == ("1", "2")
    assert whole[1:3].name == "five"
    assert list(whole) == items
    assert "n=5" in repr(whole)


def test_content_hash_follows_content_and_order():
    items = [water(id=str(i)) for i in range(3)]
    content = StructureSet(items).content_hash
    assert StructureSet(items, name="other").content_hash == content
    assert StructureSet(items[::-1]).content_hash != content
    assert StructureSet(items[:2]).content_hash != content


def test_duplicate_ids_name_both_records():
    items = [water(id=name) for name in ("a", "b", "c", "b")]
    with pytest.raises(ValueError, match=r"five: .*'b' names records 1 and 3"):
        StructureSet(items, name="five")


def test_structures_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        water().id = "x"


def test_a_subset_is_the_beginning_of_a_larger_one():
    whole = StructureSet([water(id=str(i)) for i in range(9)], name="waters")
    order = np.random.default_rng(3).permutation(9)
    for n in (1, 8, 9):  # the whole is drawn like any other subset
        assert whole.subset(n, seed=3).ids == tuple(map(str, order[:n]))
    assert whole.subset(4, seed=3).name == "waters"
    for n in (0, 10):
        with pytest.raises(ValueError, match=r"holds 9 structures, .* pass 1 <= n <= 9"):
            whole.subset(n)
