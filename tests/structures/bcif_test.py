import numpy as np
import pytest

from jaxalign.structures.bcif import BinaryCifError, read_columns
from tests.structures.bcif_files import bcif, category, encoded, packing, raw, text


def test_plain_numbers_text_and_masks():
    masks = {"x": raw([0, 1, 2], "uint8")}
    data = bcif(
        category("_a", 1, y=raw([7])),
        category("_b", 3, masks, x=raw([1.5, 2, 3], "float64"), y=text(["N", "C", "N"])),
    )
    found = read_columns(data, "_b", ("x", "y"))
    assert found["x"].values.tolist() == [1.5, 2, 3]
    assert found["x"].present.tolist() == [True, False, False]
    assert found["y"].values.tolist() == ["N", "C", "N"]
    assert found["y"].present.all()


def test_integers_packed_into_bytes_overflow_into_the_next():
    values = [3, 127, -128, -129, 300, 0, 254, -256]
    packed = [3, 127, 0, -128, 0, -128, -1, 127, 127, 46, 0, 127, 127, 0, -128, -128, 0]
    column = encoded(raw(packed, "int8"), packing(1, len(values)))
    assert read_columns(bcif(category("_a", 8, x=column)), "_a", ["x"])["x"].values.tolist() == (
        values
    )
    packed = [255, 0, 255, 255, 10, 7]
    column = encoded(raw(packed, "uint8"), packing(1, 3, unsigned=True))
    found = read_columns(bcif(category("_a", 3, x=column)), "_a", ["x"])["x"].values
    assert found.tolist() == [255, 520, 7]


def test_chains_of_encodings(rng):
    wanted = rng.integers(-40_000, 40_000, 50)
    steps = np.diff(wanted, prepend=5)
    packed = []
    for step in steps.tolist():
        while step >= 32767:
            packed.append(32767)
            step -= 32767
        while step <= -32768:
            packed.append(-32768)
            step += 32768
        packed.append(step)
    column = encoded(
        raw(packed, "int16"),
        {"kind": "FixedPoint", "factor": 1000, "srcType": 33},
        {"kind": "Delta", "origin": 5, "srcType": 3},
        packing(2, 50),
    )
    found = read_columns(bcif(category("_a", 50, x=column)), "_a", ["x"])["x"].values
    np.testing.assert_array_equal(found, wanted / 1000)
    run = {"kind": "RunLength", "srcSize": 7, "srcType": 3}
    column = encoded(raw([4, 3, 9, 4]), run)
    found = read_columns(bcif(category("_a", 7, x=column)), "_a", ["x"])["x"].values
    assert found.tolist() == [4] * 3 + [9] * 4


@pytest.mark.parametrize(
    "column",
    [
        encoded(raw([4, 2**31 - 1]), {"kind": "RunLength", "srcSize": 2, "srcType": 3}),
        encoded(raw([4, -2]), {"kind": "RunLength", "srcSize": 2, "srcType": 3}),
        encoded(raw([4]), {"kind": "RunLength", "srcSize": 2, "srcType": 3}),
        encoded(raw([1, 2, 3], "int8"), packing(1, 2)),
        encoded(raw([1, 2]), {"kind": "Mystery"}),
        raw([1, 2, 3]),
        {"data": b"123", "encoding": [{"kind": "ByteArray", "type": 3}]},
        {"data": b"1234", "encoding": [{"kind": "ByteArray", "type": 99}]},
        {**text(["a", "b"]), "data": b"\x00\x05"},
        {"data": b""},
    ],
)
def test_damage_is_an_error_before_memory_is_taken(column):
    with pytest.raises(BinaryCifError):
        read_columns(bcif(category("_a", 2, x=column)), "_a", ["x"])


def test_absent_parts_are_named():
    data = bcif(category("_a", 1, x=raw([7])))
    with pytest.raises(BinaryCifError, match="cannot read y of _a"):
        read_columns(data, "_a", ["y"])
    with pytest.raises(BinaryCifError, match="cannot read x of _b"):
        read_columns(data, "_b", ["x"])
    for junk in (b"", b"\xc1", b"data_x\n_a.x 7", data[:-3]):
        with pytest.raises(BinaryCifError):
            read_columns(junk, "_a", ["x"])
