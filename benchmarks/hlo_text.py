"""Compiled programs as XLA prints them: computations, instructions in their schedule, array types.

Only what the analysis of costs needs is read; everything else of a line stays text.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections.abc import Iterator

_BITS = {"pred": 8, "bf16": 16, "token": 0, "opaque": 0}
_ARRAY = re.compile(r"([a-z]\w*)\[([\d,]*)\](?:\{([^}]*)\})?")
_NAME = re.compile(r"%([\w.\-]+)")
_HEAD = re.compile(r"(ENTRY )?%([\w.\-]+) \(.*-> .*\{$")
_LINE = re.compile(r"\s+(ROOT )?%([\w.\-]+) = (.*)$")


@dataclasses.dataclass(frozen=True)
class ArrayType:
    """One array: element type, extents, and where it lies.

    Attributes:
      dtype: as printed: `f32`, `bf16`, `pred`.
      dims: extents.
      layout: what stands in braces: order of the axes, tiles, memory space.
    """

    dtype: str
    dims: tuple[int, ...]
    layout: str

    @property
    def size(self) -> int:
        """Elements."""
        return math.prod(self.dims)

    @property
    def in_hbm(self) -> bool:
        """Whether it lies in the chip's main memory, and not in vector memory or registers."""
        return "S(" not in self.layout

    @property
    def bytes(self) -> int:
        """Bytes with the padding to whole tiles."""
        order, _, tiles = self.layout.partition(":")
        dims = list(self.dims)
        if order and dims:
            # Minor axis first in the text; tiles cover the minor axes.
            dims = [self.dims[int(axis)] for axis in reversed(order.split(","))]
            tile = re.match(r"T\(([\d,]+)\)", tiles)
            extents = [int(extent) for extent in tile[1].split(",")] if tile else []
            for back, extent in enumerate(reversed(extents[-len(dims) :]), start=1):
                dims[-back] = -(-dims[-back] // extent) * extent
        return math.prod(dims) * bits(self.dtype) // 8


def bits(dtype: str) -> int:
    """Bits of one element."""
    if dtype in _BITS:
        return _BITS[dtype]
    return int(re.search(r"\d+", dtype)[0])


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One line of a computation.

    Attributes:
      name: without the percent sign.
      opcode: such as `fusion` or `collective-permute-start`.
      shape: text of the result's type.
      operands: names of instructions of the same computation.
      literal: what stands between the parentheses.
      attributes: the rest of the line.
    """

    name: str
    opcode: str
    shape: str
    operands: tuple[str, ...]
    literal: str
    attributes: str

    @functools.cached_property
    def arrays(self) -> tuple[ArrayType, ...]:
        """Arrays of the result, those of a tuple one after the other."""
        return tuple(
            ArrayType(dtype, tuple(int(d) for d in dims.split(",") if d), layout)
            for dtype, dims, layout in _ARRAY.findall(self.shape)
        )

    def attribute(self, name: str) -> str | None:
        """Text of one attribute: up to the next comma, or all within its braces."""
        found = re.search(rf"(?:^|[ ,{{]){name}=(\{{[^}}]*\}}|[^,\s]*)", self.attributes)
        return found and found[1]

    def called(self, *names: str) -> list[str]:
        """Computations that the named attributes name."""
        found = (self.attribute(name) for name in names)
        return [match for text in found if text for match in _NAME.findall(text)]

    @property
    def scope(self) -> str:
        """The named scopes and loops of the traced program in which it stands."""
        found = re.search(r'op_name="([^"]*)"', self.attributes)
        return found[1] if found else ""


class Computation(dict[str, Instruction]):
    """Instructions by name, in the order of their schedule.

    Attributes:
      root: the one whose value the computation has.
    """

    root: Instruction

    @functools.cached_property
    def parameters(self) -> dict[int, Instruction]:
        """Parameters by number."""
        return {int(i.literal): i for i in self.values() if i.opcode == "parameter"}

    @functools.cached_property
    def users(self) -> dict[str, list[Instruction]]:
        """Instructions that take a value, by the name of the value."""
        found: dict[str, list[Instruction]] = {name: [] for name in self}
        for instruction in self.values():
            for name in instruction.operands:
                found[name].append(instruction)
        return found


@dataclasses.dataclass(frozen=True)
class Program:
    """A compiled program.

    Attributes:
      computations: by name.
      entry: name of the first.
      chips: that run it together.
    """

    computations: dict[str, Computation]
    entry: str
    chips: int


def parse(text: str) -> Program:
    """Reads `compiled.as_text()`.

    Raises:
      ValueError: the text has no entry computation, or a line that is no instruction.
    """
    computations: dict[str, Computation] = {}
    entry, present = None, None
    for line in text.splitlines():
        head = _HEAD.match(line)
        if head:
            present = computations[head[2]] = Computation()
            entry = head[2] if head[1] else entry
        elif line == "}":
            present = None
        elif present is not None:
            found = _LINE.match(line)
            if not found:
                raise ValueError(f"this is not an instruction: {line[:200]!r}")
            instruction = _instruction(found[2], found[3])
            present[instruction.name] = instruction
            if found[1]:
                present.root = instruction
    if entry is None:
        raise ValueError("no entry computation: this is not the text of a compiled program")
    chips = re.search(r"num_partitions=(\d+)", text.partition("\n")[0])
    return Program(computations, entry, int(chips[1]) if chips else 1)


def _instruction(name: str, text: str) -> Instruction:
    end = _closing(text, 0) + 1 if text.startswith("(") else text.index(" ")
    shape, rest = text[:end], text[end:].lstrip()
    start = rest.index("(")
    stop = _closing(rest, start)
    literal = rest[start + 1 : stop]
    operands = tuple(_NAME.findall(literal)) if rest[:start] != "constant" else ()
    return Instruction(name, rest[:start], shape, operands, literal, rest[stop + 1 :])


def _closing(text: str, start: int) -> int:
    """Place of the parenthesis that closes the one at `start`."""
    for place, depth in _depths(text, start):
        if not depth:
            return place
    raise ValueError(f"a parenthesis is not closed: {text[:200]!r}")


def _depths(text: str, start: int) -> Iterator[tuple[int, int]]:
    depth = 0
    for found in re.finditer(r"[()]", text[start:]):
        depth += 1 if found[0] == "(" else -1
        yield start + found.start(), depth
