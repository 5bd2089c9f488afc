"""Interprets pickles as data. No global is imported, no foreign callable is ever called.

A pickle is a program for a stack machine whose opcodes can name any importable function. This
machine runs the program on its own stack of plain values: a global becomes an `Opaque` name, a
call of a known name is looked up in the reader's table, a call of any other yields the name again.
Nothing in the process can be reached from a file, and the work is bounded by the file's size.
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Callable, Mapping
from typing import Any

from jaxalign.models.weight_files.plain_values import (
    CheckpointError,
    Instance,
    Opaque,
    check_nesting,
    checked_dict,
    checked_key,
    checked_set,
)

MAX_OPERATIONS = 500_000

Constructors = Mapping[tuple[str, str], Callable[..., Any]]
"""(module, name) → function of the pickled arguments that returns plain data."""


def run_pickle(
    file: io.BytesIO,
    *,
    constructors: Constructors,
    load_persistent: Callable[[Any], Any],
) -> Any:
    """Interprets one pickle and leaves the file behind its end.

    Args:
      file: positioned at the start of the pickle. In memory: the lengths in it are not trusted.
      constructors: the calls that are carried out; all others yield an `Opaque`.
      load_persistent: persistent id → value.

    Returns:
      Nested dicts, lists, tuples and sets of plain values, `Opaque`s and whatever the two functions
      return; bounded as `check_nesting` says.

    Raises:
      CheckpointError: for a program that this machine does not run.
      Exception: damaged bytes make the standard library's opcode reader raise errors of many types.
    """
    machine = _Machine(constructors, load_persistent)
    for opcode, argument, _ in pickletools.genops(file):
        machine.step(opcode.name, argument)
    result = machine.pop()
    check_nesting(result)
    return result


class _Machine:
    """Stack, marks and memo. The memo is a dict: its keys come from the file and may be huge."""

    def __init__(self, constructors: Constructors, load_persistent: Callable[[Any], Any]):
        self._constructors = constructors
        self._load_persistent = load_persistent
        self._stack: list[Any] = []
        self._outer_stacks: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        self._operations = 0

    def step(self, name: str, argument: Any) -> None:
        """Runs one opcode. Opcodes that no weight file needs (extension codes, …) are refused."""
        self._spend(1)
        if name in _PUSH_ARGUMENT:
            self._stack.append(argument)
        elif name in _PUSH_NEW:
            self._stack.append(_PUSH_NEW[name]())
        elif name in _WITH_ARGUMENT:
            _WITH_ARGUMENT[name](self, argument)
        elif name in _WITHOUT_ARGUMENT:
            _WITHOUT_ARGUMENT[name](self)
        elif name not in _NO_EFFECT:
            raise CheckpointError(f"its pickle uses the opcode {name}, which is refused")

    def _spend(self, operations: int) -> None:
        self._operations += operations
        if self._operations > MAX_OPERATIONS:
            raise CheckpointError(f"its pickle takes more than {MAX_OPERATIONS:,} operations")

    def pop(self) -> Any:
        """Takes the topmost value."""
        if not self._stack:
            raise CheckpointError("its pickle takes a value from an empty stack")
        return self._stack.pop()

    def _top(self) -> Any:
        if not self._stack:
            raise CheckpointError("its pickle looks at an empty stack")
        return self._stack[-1]

    # Every method below carries out one opcode, or what several have in common.

    def mark(self) -> None:
        self._outer_stacks.append(self._stack)
        self._stack = []

    def pop_to_mark(self) -> list[Any]:
        if not self._outer_stacks:
            raise CheckpointError("its pickle returns to a mark that it never set")
        items, self._stack = self._stack, self._outer_stacks.pop()
        return items

    def discard(self) -> None:
        # With nothing above a mark, POP removes the mark itself.
        if self._stack:
            self._stack.pop()
        else:
            self.pop_to_mark()

    def duplicate(self) -> None:
        self._stack.append(self._top())

    def put(self, key: int | None) -> None:
        self._memo[len(self._memo) if key is None else checked_key(key)] = self._top()

    def get(self, key: int) -> None:
        if key not in self._memo:
            raise CheckpointError("its pickle refers to a memo entry that does not exist")
        self._stack.append(self._memo[key])

    def load_persistent(self) -> None:
        self._stack.append(self._load_persistent(self.pop()))

    def tuple_of(self, count: int) -> None:
        self._stack.append(tuple([self.pop() for _ in range(count)][::-1]))

    def marked(self, kind: Callable[[list[Any]], Any]) -> None:
        items = self.pop_to_mark()
        self._stack.append(kind(items))

    def fill(self, kind: type, items: list[Any]) -> None:
        target = self._top()
        if type(target) is kind:
            _FILL[kind](target, items)
        elif not isinstance(target, Opaque):
            raise CheckpointError(f"its pickle fills a {type(target).__name__} like a {kind}")

    def name_global(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self._stack.append(Opaque(module, name))

    def name_stacked_global(self) -> None:
        name, module = self.pop(), self.pop()
        if type(module) is not str or type(name) is not str:
            raise CheckpointError("its pickle names a global by something that is not text")
        self._stack.append(Opaque(module, name))

    def instance(self, argument: str) -> None:
        arguments = tuple(self.pop_to_mark())
        self.name_global(argument)
        self.call(self.pop(), arguments)

    def call_marked(self) -> None:
        function, *arguments = self.pop_to_mark() or [None]
        self.call(function, tuple(arguments))

    def call_with_keywords(self) -> None:
        keywords = self.pop()
        if type(keywords) is not dict or keywords:  # compared with nothing: it may be an array
            self.discard()  # No known constructor takes keywords: the name is all that is left.
            return
        self.call_popped()

    def call_popped(self) -> None:
        arguments, function = self.pop(), self.pop()
        self.call(function, arguments)

    def call(self, function: Any, arguments: Any) -> None:
        """Carries out a call of the table; any other leaves the name of what was called."""
        if not isinstance(function, Opaque) or type(arguments) is not tuple:
            raise CheckpointError("its pickle calls something that is not a named global")
        constructor = self._constructors.get((function.module, function.name))
        if constructor is None:
            self._stack.append(function)
            return
        # A constructor may copy its arguments, and the file may repeat that: it counts as work.
        self._spend(len(arguments))
        self._spend(sum(len(x) for x in arguments if isinstance(x, list | tuple | dict)))
        self._stack.append(constructor(*arguments))

    def build(self) -> None:
        # State of foreign objects and attributes of an OrderedDict are never applied.
        state, target = self.pop(), self._top()
        if type(target) is Instance and type(state) is dict:
            self._spend(len(state))
            target.update(state)


# fmt: off
_PUSH_ARGUMENT = frozenset((
    "INT", "LONG", "LONG1", "LONG4", "BININT", "BININT1", "BININT2", "FLOAT", "BINFLOAT", "STRING",
    "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "UNICODE",
    "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
))
# fmt: on
_PUSH_NEW: Mapping[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_TUPLE": tuple,
    "EMPTY_SET": set,
}
_FILL: Mapping[type, Callable[[Any, list[Any]], None]] = {
    list: list.extend,
    set: lambda target, items: target.update(checked_set(items)),
    dict: lambda target, items: target.update(checked_dict(items)),
}
_WITH_ARGUMENT: Mapping[str, Callable[[_Machine, Any], None]] = {
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), _Machine.put),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _Machine.get),
    "GLOBAL": _Machine.name_global,
    "INST": _Machine.instance,
}
_WITHOUT_ARGUMENT: Mapping[str, Callable[[_Machine], None]] = {
    "MARK": _Machine.mark,
    "POP": _Machine.discard,
    "POP_MARK": lambda machine: machine.pop_to_mark() and None,
    "DUP": _Machine.duplicate,
    "BINPERSID": _Machine.load_persistent,
    "TUPLE": lambda machine: machine.marked(tuple),
    "TUPLE1": lambda machine: machine.tuple_of(1),
    "TUPLE2": lambda machine: machine.tuple_of(2),
    "TUPLE3": lambda machine: machine.tuple_of(3),
    "LIST": lambda machine: machine.marked(list),
    "DICT": lambda machine: machine.marked(checked_dict),
    "FROZENSET": lambda machine: machine.marked(lambda items: frozenset(checked_set(items))),
    "APPEND": lambda machine: machine.fill(list, [machine.pop()]),
    "APPENDS": lambda machine: machine.fill(list, machine.pop_to_mark()),
    "ADDITEMS": lambda machine: machine.fill(set, machine.pop_to_mark()),
    "SETITEM": lambda machine: machine.fill(dict, [machine.pop(), machine.pop()][::-1]),
    "SETITEMS": lambda machine: machine.fill(dict, machine.pop_to_mark()),
    "STACK_GLOBAL": _Machine.name_stacked_global,
    "REDUCE": _Machine.call_popped,
    "NEWOBJ": _Machine.call_popped,
    "NEWOBJ_EX": _Machine.call_with_keywords,
    "OBJ": _Machine.call_marked,
    "BUILD": _Machine.build,
}
_NO_EFFECT = frozenset(("PROTO", "FRAME", "STOP"))
