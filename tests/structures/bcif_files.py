"""Small BinaryCIF files for tests."""

import msgpack
import numpy as np

TYPES = {"int8": 1, "int16": 2, "int32": 3, "uint8": 4, "uint16": 5, "float64": 33}


def raw(values, dtype="int32"):
    """Numbers as they are."""
    values = np.asarray(values, dtype=dtype)
    return {
        "data": values.tobytes(),
        "encoding": [{"kind": "ByteArray", "type": TYPES[values.dtype.name]}],
    }


def encoded(packed, *encodings):
    """Further encodings before those of `packed`."""
    return {"data": packed["data"], "encoding": [*encodings, *packed["encoding"]]}


def text(words):
    """Strings, each stored once."""
    unique = sorted(set(words))
    offsets = raw(np.cumsum([0, *map(len, unique)]))
    which = raw([unique.index(word) for word in words], "int8")
    return {
        "data": which["data"],
        "encoding": [
            {
                "kind": "StringArray",
                "stringData": "".join(unique),
                "offsets": offsets["data"],
                "offsetEncoding": offsets["encoding"],
                "dataEncoding": which["encoding"],
            }
        ],
    }


def category(name, rows, masks=(), **columns):
    """One table; `masks` are columns some of whose values are absent."""
    masks = dict(masks)
    return {
        "name": name,
        "rowCount": rows,
        "columns": [
            {"name": key, "data": data, "mask": masks.get(key)} for key, data in columns.items()
        ],
    }


def bcif(*categories):
    """A file of one data block."""
    block = {"header": "x", "categories": list(categories)}
    return msgpack.packb({"version": "0.3", "encoder": "test", "dataBlocks": [block]})


def packing(kind, size, unsigned=False):
    return {"kind": "IntegerPacking", "byteCount": kind, "srcSize": size, "isUnsigned": unsigned}
