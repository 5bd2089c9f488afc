"""Operations of matrix products and convolutions of compiled programs, and their precision."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping

import numpy as np
from hlo_text import Computation, Instruction

_PASSES = {"highest": 6, "high": 3}  # of bfloat16 products that make one of float32


def passes(computation: Computation, i: Instruction) -> int:
    """How often a bfloat16 unit goes over the operands of a product."""
    if all(computation[name].arrays[0].dtype != "f32" for name in i.operands):
        return 1
    precision = i.attribute("operand_precision") or ""
    return max((_PASSES.get(name, 1) for name in re.findall(r"\w+", precision)), default=1)


def product_flops(computation: Computation, i: Instruction) -> float:
    """Multiplications and additions of a `dot` or `convolution`, those with padding left out."""
    left, right = (computation[name].arrays[0].dims for name in i.operands[:2])
    out = i.arrays[0].dims
    if i.opcode == "dot":
        contracted = re.findall(r"\d+", i.attribute("lhs_contracting_dims") or "")
        return 2.0 * math.prod(out) * math.prod(left[int(axis)] for axis in contracted)
    inputs, kernels, outputs = re.match(r"(\w+)_(\w+)->(\w+)", i.attribute("dim_labels")).groups()
    groups = int(i.attribute("batch_group_count") or 1)
    features = right[kernels.index("i")]
    total = 2.0 * features * out[outputs.index("f")] * left[inputs.index("b")] / groups
    window = re.search(r"window=\{([^}]*)\}", i.attributes)
    fields = dict(part.split("=") for part in window[1].split()) if window else {}
    for number in range(len(out) - 2):
        axis = str(number)
        sizes = left[inputs.index(axis)], right[kernels.index(axis)], out[outputs.index(axis)]
        total *= _valid(*sizes, _WindowAxis.of(fields, number))
    return total


@dataclasses.dataclass(frozen=True)
class _WindowAxis:
    stride: int
    low: int
    base: int
    window: int

    @classmethod
    def of(cls, fields: Mapping[str, str], number: int) -> _WindowAxis:
        """One axis of a printed window: `size=1x2 stride=1x1 pad=0_0x1_1 lhs_dilate=1x2`."""

        def part(name, default):
            return fields[name].split("x")[number] if name in fields else default

        return cls(
            int(part("stride", "1")),
            int(part("pad", "0_0").split("_")[0]),
            int(part("lhs_dilate", "1")),
            int(part("rhs_dilate", "1")),
        )


def _valid(size: int, kernel: int, out: int, axis: _WindowAxis) -> int:
    """Pairs of an output place and a kernel place that meet an element and no padding."""
    places = np.arange(out)[:, None] * axis.stride + np.arange(kernel) * axis.window - axis.low
    inside = (places >= 0) & (places % axis.base == 0) & (places // axis.base < size)
    return int(inside.sum())
