"""Figures of one compiled program: memory, work, messages and modelled time of one chip."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

from hlo_costs import Message, program_cost
from hlo_text import parse
from tpu_model import CHIPS, Chip, message_seconds, modelled, work_seconds
from tpu_programs import Case


def examine(case: Case, topology: str) -> dict[str, Any]:
    """Compiles one program; what one chip holds, does and sends in all its calls."""
    start = time.perf_counter()
    compiled = case.lower().compile()
    seconds = time.perf_counter() - start
    chip = CHIPS[topology.partition(":")[0]]
    cost = program_cost(parse(compiled.as_text()), case.turns).times(case.calls)
    places = [tuple(device.coords) for device in case.mesh.devices.ravel().tolist()]
    parts = modelled(cost, chip, places)
    return {
        "topology": topology,
        "program": case.name,
        **case.sizes,
        "calls": case.calls,
        "compile_s": seconds,
        **memory(compiled, chip),
        "gflop": cost.flops / 1e9,
        "over_floor": cost.flops * case.mesh.size / case.floor,
        "passes": cost.passes / cost.flops,
        "gop_vector": cost.vector / 1e9,
        "gb_moved": cost.bytes / 1e9,
        "gb_sent": cost.sent / 1e9,
        **{f"{name}_s": value for name, value in dataclasses.asdict(parts).items()},
        "modelled_s": parts.seconds,
        "bound": parts.bound,
        "messages": [_message(message, chip, places) for message in cost.messages],
    }


def memory(compiled: Any, chip: Chip) -> dict[str, float]:
    """Main memory of one chip that the program takes, and its share of what there is."""
    found = compiled.memory_analysis()
    held = {
        "arguments_gb": found.argument_size_in_bytes - found.alias_size_in_bytes,
        "outputs_gb": found.output_size_in_bytes,
        "temporaries_gb": found.temp_size_in_bytes,
        "code_gb": found.generated_code_size_in_bytes,
    }
    share = {"memory_share": sum(held.values()) / chip.memory}
    return {name: size / 1e9 for name, size in held.items()} | share


def _message(message: Message, chip: Chip, places: Sequence[tuple[int, ...]]) -> dict[str, Any]:
    """One message, and what the schedule does between its start and its end."""
    return {
        "kind": message.kind,
        "scope": message.scope.partition("shard_map/")[2] or message.scope,
        "times": message.times,
        "mb": message.bytes / 1e6,
        "us": message_seconds(message, chip, places) * 1e6,
        "gflop_meanwhile": message.meanwhile.flops / 1e9,
        "us_meanwhile": work_seconds(message.meanwhile, chip) * 1e6,
    }
