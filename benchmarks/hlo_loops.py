"""How often a loop of a compiled program runs: its counter is followed until the condition fails.

Loops carry what their condition reads beside their data. Scalars of that kind are computed here
with the program's own instructions, so it does not matter how the compiler wrote the counter down
(64-bit counters are pairs of 32-bit words on TPU).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
from hlo_text import Computation, Instruction, Program

_MOST = 1_000_000  # turns after which a loop counts as unknown
_DTYPES = {
    "pred": np.bool_, "s8": np.int8, "u8": np.uint8, "s16": np.int16, "u16": np.uint16,
    "s32": np.int32, "u32": np.uint32, "s64": np.int64, "u64": np.uint64, "f32": np.float32,
}  # fmt: skip
_COMPARISONS = {
    "LT": np.less, "LE": np.less_equal, "GT": np.greater, "GE": np.greater_equal,
    "EQ": np.equal, "NE": np.not_equal,
}  # fmt: skip
_OPERATIONS = {
    "add": np.add, "subtract": np.subtract, "multiply": np.multiply, "minimum": np.minimum,
    "maximum": np.maximum, "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor,
    "not": np.invert, "negate": np.negative, "shift-left": np.left_shift,
    "shift-right-logical": np.right_shift,
}  # fmt: skip
_SAME = ("copy", "bitcast", "reshape", "convert", "broadcast", "bitcast-convert")

Scalar = np.generic | None  # None: not known from the program alone
# (number of a parameter, place in it or None) → value
Arguments = Callable[[int, int | None], Scalar]


def no_arguments(number: int, place: int | None) -> Scalar:
    """Parameters of the program are unknown."""
    return None


def trip_count(
    program: Program, caller: Computation, loop: Instruction, arguments: Arguments
) -> int | None:
    """Turns of a loop, or None where they depend on data.

    Args:
      program: that holds the loop.
      caller: computation in which it stands.
      loop: a `while` instruction.
      arguments: parameters of the caller.
    """
    known = re.search(r'known_trip_count[^}]*?"n":"(\d+)"', loop.attributes)
    if known:
        return int(known[1])
    condition, body = (program.computations[loop.called(n)[0]] for n in ("condition", "body"))
    places = _places(program, condition, body)
    values = {p: initial(program, caller, loop, p, arguments) for p in places}
    if any(value is None for value in values.values()):
        return None
    for turn in range(_MOST):

        def carried(number, place, values=values):
            return values.get(place)

        goes_on = _value(program, condition, condition.root, carried)
        if goes_on is None:
            return None
        if not goes_on:
            return turn
        values = {p: _value(program, body, body[body.root.operands[p]], carried) for p in places}
    return None


def initial(
    program: Program, caller: Computation, loop: Instruction, place: int, arguments: Arguments
) -> Scalar:
    """What a loop carries at one place when it begins."""
    source = caller[loop.operands[0]]
    if source.opcode != "tuple":
        return None
    return _value(program, caller, caller[source.operands[place]], arguments)


def constants_of_loop(
    program: Program, caller: Computation, loop: Instruction, arguments: Arguments
) -> Arguments:
    """What the body of a loop may read: values that no turn changes."""
    body = program.computations[loop.called("body")[0]]

    def carried(number: int, place: int | None) -> Scalar:
        if place is None or body.root.opcode != "tuple":
            return None
        handed_on = body[body.root.operands[place]]
        unchanged = (
            handed_on.opcode == "get-tuple-element"
            and body[handed_on.operands[0]].opcode == "parameter"
            and int(handed_on.attribute("index")) == place
        )
        return initial(program, caller, loop, place, arguments) if unchanged else None

    return carried


def _places(program: Program, condition: Computation, body: Computation) -> list[int]:
    """Places of the carry that decide when the loop ends."""
    places: list[int] = []

    def note(number, place):
        if place is not None and place not in places:
            places.append(place)

    _value(program, condition, condition.root, note)
    for place in places:  # grows meanwhile: what the next values of these are made of
        if body.root.opcode == "tuple":
            _value(program, body, body[body.root.operands[place]], note)
    return places


def _value(
    program: Program, computation: Computation, instruction: Instruction, arguments: Arguments
) -> Scalar:
    """Value of a scalar instruction; None where it is not known."""
    seen: dict[str, Scalar] = {}

    def of(name: str) -> Scalar:
        if name not in seen:
            seen[name] = compute(computation[name])
        return seen[name]

    def compute(i: Instruction) -> Scalar:
        if i.opcode == "parameter":
            return arguments(int(i.literal), None)
        if i.opcode == "get-tuple-element":
            source = computation[i.operands[0]]
            if source.opcode == "parameter":
                return arguments(int(source.literal), int(i.attribute("index")))
            return (
                of(source.operands[int(i.attribute("index"))]) if source.opcode == "tuple" else None
            )
        if len(i.arrays) != 1 or i.arrays[0].size != 1:
            return None
        if i.opcode == "fusion":
            called = program.computations[i.called("calls")[0]]
            return _value(program, called, called.root, lambda number, _: of(i.operands[number]))
        return _apply(i, [of(name) for name in i.operands])

    return compute(instruction)


def _apply(i: Instruction, operands: Sequence[Scalar]) -> Scalar:
    dtype = _DTYPES.get(i.arrays[0].dtype)
    if dtype is None:
        return None
    if i.opcode == "constant":
        return _literal(i.literal, dtype)
    if any(value is None for value in operands):
        return None
    with np.errstate(over="ignore"):
        if i.opcode in _SAME:
            return dtype(operands[0])
        if i.opcode == "compare":
            return _COMPARISONS[i.attribute("direction")](*operands)
        if i.opcode == "select":
            return operands[1] if operands[0] else operands[2]
        if i.opcode in _OPERATIONS:
            return _OPERATIONS[i.opcode](*operands).astype(dtype)
    return None


def _literal(text: str, dtype: type[np.generic]) -> Scalar:
    text = text.strip("{} ")
    if text in ("true", "false"):
        return np.bool_(text == "true")
    try:
        return dtype(text)
    except ValueError:
        return None
