"""Traffic of compiled programs with main memory."""

from __future__ import annotations

import dataclasses

from hlo_text import ArrayType, Computation, Instruction, Program

_SLICES = ("dynamic-slice", "slice", "gather")


def traffic(program: Program, computation: Computation, i: Instruction) -> int:
    """Bytes that one instruction reads and writes; of what is sliced, only the slice.

    Args:
      program: that holds the instruction.
      computation: in which it stands.
      i: neither a loop nor a branch.
    """
    operands = [computation[name] for name in i.operands]
    if i.opcode == "fusion":
        return _fusion(program, i, operands)
    if i.opcode.endswith("-start"):
        return sum(_started(i, operands))
    if i.opcode in _SLICES:
        return _like(i, operands[0].arrays[0]) + _hbm(i) + sum(_hbm(o) for o in operands[1:])
    if i.opcode == "dynamic-update-slice":
        return _hbm(operands[1]) + _like(operands[1], i.arrays[0])
    return _hbm(i) + sum(_hbm(o) for o in operands)


def _started(i: Instruction, operands: list[Instruction]) -> list[int]:
    """Reads and writes of a copy, a slice or a message that runs beside other work."""
    if i.opcode == "copy-start":  # (target, source, …)
        return [_bytes(i.arrays[0]), _hbm(operands[0])]
    targets = i.arrays[len(operands) : 2 * len(operands)]  # (sources, targets, …)
    if i.opcode == "slice-start":
        return [_bytes(targets[0]), _bytes(dataclasses.replace(targets[0], layout=""))]
    return [_hbm(o) for o in operands] + [_bytes(target) for target in targets]


def _fusion(program: Program, i: Instruction, operands: list[Instruction]) -> int:
    inside = program.computations[i.called("calls")[0]]
    total = 0
    for number, operand in enumerate(operands):
        if _hbm(operand):
            part = _sliced(program, inside, inside.parameters[number].name)
            total += _hbm(operand) if part is None else min(part, _hbm(operand))
    roots = [inside.root]
    if inside.root.opcode == "tuple":
        roots = [inside[name] for name in inside.root.operands]
    if len(roots) != len(i.arrays):
        return total + _hbm(i)
    for root, array in zip(roots, i.arrays, strict=True):
        while root.opcode == "bitcast":
            root = inside[root.operands[0]]
        updated = root.opcode == "dynamic-update-slice"
        total += _like(inside[root.operands[1]], array) if updated else _bytes(array)
    return total


def _sliced(program: Program, inside: Computation, name: str) -> int | None:
    """Bytes that a fusion takes of a value through slices; None if it takes all of it."""
    if name == inside.root.name:
        return None
    parts = [_used(program, inside, name, user) for user in inside.users[name]]
    return None if any(part is None for part in parts) else sum(parts)


def _used(program: Program, inside: Computation, name: str, user: Instruction) -> int | None:
    first = user.operands[0] == name
    if user.opcode in _SLICES and first:
        return dataclasses.replace(user.arrays[0], layout="").bytes
    if user.opcode == "dynamic-update-slice" and first:
        return 0
    if user.opcode == "bitcast":
        return _sliced(program, inside, user.name)
    if user.opcode == "fusion":
        nested = program.computations[user.called("calls")[0]]
        return _sliced(program, nested, nested.parameters[user.operands.index(name)].name)
    return None


def _bytes(array: ArrayType) -> int:
    return array.bytes if array.in_hbm else 0


def _hbm(i: Instruction) -> int:
    return sum(_bytes(array) for array in i.arrays)


def _like(part: Instruction, whole: ArrayType) -> int:
    """Bytes of a part of an array, where the array lies."""
    return _bytes(dataclasses.replace(part.arrays[0], layout=whole.layout))
