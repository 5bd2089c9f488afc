"""What one chip does when it runs a compiled program once: operations, bytes, messages.

XLA's own analysis counts the body of a loop once; here every loop counts as often as it turns. Of
the branches of a condition the one with most work counts.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping

from hlo_bytes import traffic
from hlo_loops import Arguments, constants_of_loop, no_arguments, trip_count
from hlo_products import passes, product_flops
from hlo_text import Computation, Instruction, Program

_FREE = {
    "parameter", "constant", "tuple", "get-tuple-element", "bitcast", "while", "conditional",
    "call", "after-all", "partition-id", "replica-id", "opt-barrier", "add-dependency",
    "domain", "copy-done", "send", "recv", "send-done", "recv-done",
}  # fmt: skip
# These move values and compute none.
_MOVES = _FREE | {
    "copy", "copy-start", "reshape", "transpose", "broadcast", "slice", "dynamic-slice",
    "dynamic-update-slice", "concatenate", "pad", "reverse", "gather", "iota", "convert",
    "bitcast-convert", "fusion", "custom-call", "dot", "convolution",
}  # fmt: skip
_COLLECTIVES = (
    "collective-permute", "all-gather", "all-reduce", "reduce-scatter", "all-to-all",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Message:
    """A collective at one place of the program.

    Attributes:
      kind: `collective-permute`, `all-gather`, …
      times: how often it runs.
      bytes: that one chip sends each time.
      pairs: (source, target) of a permutation, else none.
      scope: where it stands in the traced program.
      meanwhile: what the schedule does between its start and its end, each time.
    """

    kind: str
    times: float
    bytes: float
    pairs: tuple[tuple[int, int], ...]
    scope: str
    meanwhile: Cost


@dataclasses.dataclass(frozen=True)
class Cost:
    """Work of one chip.

    Attributes:
      flops: of matrix products.
      passes: the same, times the bfloat16 passes that each product takes.
      vector: other arithmetic, one an element.
      bytes: read from and written to main memory, padding included.
      cycles: the compiler's own estimates; it gives none of sorts, gathers and messages.
      messages: between chips.
    """

    flops: float = 0.0
    passes: float = 0.0
    vector: float = 0.0
    bytes: float = 0.0
    cycles: float = 0.0
    messages: tuple[Message, ...] = ()

    def __add__(self, other: Cost) -> Cost:
        """Both."""
        return Cost(*(getattr(self, f.name) + getattr(other, f.name) for f in _FIELDS))

    def times(self, count: float) -> Cost:
        """The same work again and again."""
        messages = tuple(dataclasses.replace(m, times=m.times * count) for m in self.messages)
        numbers = (getattr(self, f.name) * count for f in _FIELDS[:-1])
        return Cost(*numbers, messages)

    @property
    def sent(self) -> float:
        """Bytes that one chip sends."""
        return sum(message.times * message.bytes for message in self.messages)


_FIELDS = dataclasses.fields(Cost)


def program_cost(program: Program, turns: Mapping[str, float] | None = None) -> Cost:
    """Work of one run of a program on one chip.

    Args:
      program: compiled for one chip of several.
      turns: turns of loops that depend on data, by the end of their scope.

    Raises:
      ValueError: a loop whose turns are neither constant nor given.
    """
    return _Costs(program, turns or {}).of(program.entry, no_arguments)


class _Costs:
    def __init__(self, program: Program, turns: Mapping[str, float]):
        self._program, self._turns = program, turns

    def of(self, name: str, arguments: Arguments) -> Cost:
        """Work of one run of a computation; `meanwhile` of messages is filled in."""
        computation = self._program.computations[name]
        total, begun = Cost(), {}
        for instruction in computation.values():
            ended = _ended(instruction, begun)
            if ended:
                message, meanwhile = begun.pop(ended)
                total += Cost(messages=(dataclasses.replace(message, meanwhile=meanwhile),))
                continue
            own = self._instruction(computation, instruction, arguments)
            kind = _collective(instruction)
            if kind:
                message = self._message(computation, instruction, kind)
                if _is_start(instruction):
                    begun[instruction.name] = message, Cost()
                else:
                    own += Cost(messages=(message,))
            elif begun:
                begun = {key: (m, spent + own) for key, (m, spent) in begun.items()}
            total += own
        if begun:
            raise ValueError(f"messages that begin in {name!r} do not end there: {list(begun)}")
        return total

    def _instruction(self, computation: Computation, i: Instruction, arguments) -> Cost:
        if i.opcode == "while":
            count = trip_count(self._program, computation, i, arguments)
            count = self._given(i) if count is None else count
            carried = constants_of_loop(self._program, computation, i, arguments)
            return self.of(i.called("body")[0], carried).times(count)
        if i.opcode == "conditional":
            names = i.called("branch_computations", "true_computation", "false_computation")
            branches = [self.of(name, no_arguments) for name in names]
            return max(branches, key=lambda cost: (cost.passes, cost.vector))
        if i.opcode == "call":
            return self.of(i.called("to_apply")[0], no_arguments)
        if i.opcode in _FREE or i.opcode.endswith("-done"):
            return Cost()
        cycles = re.search(r'"estimated_cycles":"(\d+)"', i.attributes)
        work = self._arithmetic(computation, i)
        return dataclasses.replace(
            work,
            bytes=float(traffic(self._program, computation, i)),
            cycles=float(cycles[1]) if cycles else 0.0,
        )

    def _given(self, loop: Instruction) -> float:
        for end, count in self._turns.items():
            if loop.scope.endswith(end):
                return count
        raise ValueError(
            f"the turns of the loop {loop.scope!r} ({loop.name}) depend on data; give them by the "
            f"end of its scope: got {dict(self._turns)}"
        )

    def _arithmetic(self, computation: Computation, i: Instruction) -> Cost:
        """Operations of one instruction and of what is fused into it."""
        if i.opcode == "fusion":
            inside = self._program.computations[i.called("calls")[0]]
            return sum((self._arithmetic(inside, part) for part in inside.values()), Cost())
        if i.opcode in ("dot", "convolution"):
            flops = product_flops(computation, i)
            return Cost(flops=flops, passes=flops * passes(computation, i))
        if i.opcode == "custom-call" and '"TopK"' in i.attributes:
            return Cost(vector=float(computation[i.operands[0]].arrays[0].size))
        if i.opcode in ("reduce", "reduce-window", "sort"):
            size = max(computation[name].arrays[0].size for name in i.operands)
            return Cost(vector=float(size * (_sort_steps(i) if i.opcode == "sort" else 1)))
        if i.opcode in _MOVES or _collective(i):
            return Cost()
        return Cost(vector=float(sum(array.size for array in i.arrays)))

    def _message(self, computation: Computation, i: Instruction, kind: str) -> Message:
        mine = sum(a.bytes for name in i.operands for a in computation[name].arrays)
        size = _group_size(i) or self._program.chips
        factor = {
            "collective-permute": 1.0,
            "all-gather": size - 1.0,
            "all-reduce": 2 * (size - 1) / size,
            "reduce-scatter": (size - 1) / size,
            "all-to-all": (size - 1) / size,
        }[kind]
        pairs = re.search(r"source_target_pairs=\{(.*?)\}\}", i.attributes)
        found = re.findall(r"(\d+),(\d+)", pairs[1]) if pairs else ()
        pairs = tuple((int(a), int(b)) for a, b in found)
        return Message(kind, 1, mine * factor, pairs, i.scope, Cost())


def _sort_steps(i: Instruction) -> int:
    """Steps of a bitonic network over the sorted axis."""
    axis = int(re.search(r"dimensions=\{(\d+)\}", i.attributes)[1])
    levels = math.ceil(math.log2(max(i.arrays[0].dims[axis], 2)))
    return levels * (levels + 1) // 2


def _group_size(i: Instruction) -> int | None:
    """Chips that exchange with each other; the text names them or, from some size on, counts."""
    named = re.search(r"replica_groups=\{\{([\d,]+)\}", i.attributes)
    counted = re.search(r"replica_groups=\[\d+,(\d+)\]", i.attributes)
    if named:
        return len(named[1].split(","))
    return int(counted[1]) if counted else None


def _collective(i: Instruction) -> str | None:
    name = i.opcode.removesuffix("-start")
    return name if name in _COLLECTIVES else None


def _is_start(i: Instruction) -> bool:
    return i.opcode.endswith("-start") and _collective(i) is not None


def _ended(i: Instruction, begun: Mapping) -> str | None:
    return i.operands[0] if i.opcode.endswith("-done") and i.operands[0] in begun else None
