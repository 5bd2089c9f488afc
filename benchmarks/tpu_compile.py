"""Compiles the sharded programs for TPU pods, on a machine that has none, and models their time.

Usage:
    python benchmarks/tpu_compile.py --topologies=v5e:4x4,v5e:16x16 [--output=result.json]

Wants the TPU compiler (`pip install -e '.[tpu]'`) in an environment of its own. Every figure is of
one chip, of all calls that the problem takes, and comes from the compiled program or from published
rates: nothing here was measured. `tpu_model.py` states what the modelled time assumes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
from absl import app, flags
from jax.sharding import Mesh
from tpu_figures import examine
from tpu_model import CHIPS
from tpu_programs import Case, encoder_case, search_case, sweep_case, tpu_mesh

from jaxalign.archives.atomic import write_json
from jaxalign.parallel.columns import ENOUGH_ROWS
from jaxalign.parallel.mesh import make_mesh
from jaxalign.profiling.machine import machine

_TOPOLOGIES = flags.DEFINE_list(
    "topologies", ["v5e:4x4", "v5e:16x16", "v5p:2x2x2", "v6e:16x16"], "Slices of chips."
)
_PROGRAMS = flags.DEFINE_list("programs", ["search", "sweep", "encoder"], "What is compiled.")
_ROWS = flags.DEFINE_integer("rows", 4096, "Structures a chip: 2^20 on 256 chips.")
_WIDTH = flags.DEFINE_integer("width", 512, "Columns of the embeddings.")
_FEW = flags.DEFINE_integer(
    "few_rows", 65536, "Structures where rings over all chips and over some are compared."
)
_K = flags.DEFINE_integer("k", 25, "Neighbors of the search.")
_MODELS = flags.DEFINE_integer(
    "models", 60, "Models of the dense sweep, and of rings that are compared."
)
_TILE = flags.DEFINE_integer("tile", 256, "Rows and columns of a tile of the dense sweep.")
_OUTPUT = flags.DEFINE_string("output", None, "Also write the rows as JSON here.")

_TITLE = "Compiled for TPU and modelled, not measured"
_PACKAGES = ("jaxalign", "jax", "jaxlib", "libtpu")
_SMALL = 0.02  # share of the bytes sent below which a message is not printed
_TABLES = (
    ("n", "d", "calls", "compile_s"),
    ("arguments_gb", "outputs_gb", "temporaries_gb", "code_gb", "memory_share"),
    ("gflop", "over_floor", "passes", "gop_vector", "gb_moved", "gb_sent"),
    (
        "matrix_s", "vector_s", "memory_s", "exchange_s", "exposed_s", "compiler_s", "modelled_s",
        "bound",
    ),
)  # fmt: skip


def cases() -> dict[str, Callable[[Mesh], Case]]:
    """Programs by the name of the flag."""
    rows, width = _ROWS.value, _WIDTH.value
    return {
        "search": lambda mesh: search_case(mesh, rows=rows, width=width, k=_K.value, gather=False),
        "rings": lambda mesh: _few(mesh, gather=False, columns=False),
        "rings of columns": lambda mesh: _few(mesh, gather=False, columns=True),
        "gathered rings": lambda mesh: _few(mesh, gather=True, columns=False),
        "gathered columns": lambda mesh: _few(mesh, gather=True, columns=True),
        "gathered": lambda mesh: search_case(mesh, rows=rows, width=width, k=_K.value, gather=True),
        "sweep": lambda mesh: sweep_case(
            mesh, rows=rows, width=width, models=_MODELS.value, tile=_TILE.value
        ),
        "encoder": lambda mesh: encoder_case(mesh, rows=rows),
    }


def _few(mesh: Mesh, *, gather: bool, columns: bool) -> Case:
    """Searches of all models in fewer structures than keep all chips busy with one."""
    if columns:
        grid = max(1, mesh.size * ENOUGH_ROWS["tpu"] // _FEW.value)
        mesh = make_mesh(mesh.devices.ravel().tolist(), models=grid)
    rows = _FEW.value // mesh.devices.shape[0]
    sizes = {"rows": rows, "width": _WIDTH.value, "k": _K.value, "models": _MODELS.value}
    return search_case(mesh, **sizes, gather=gather)


def main(argv: Sequence[str]) -> None:
    """Compiles and prints."""
    known = cases()
    unknown = set(_PROGRAMS.value) - set(known) | {
        name for name in _TOPOLOGIES.value if name.partition(":")[0] not in CHIPS
    }
    if len(argv) > 1 or unknown:
        raise app.UsageError(
            f"unknown: {sorted(unknown) or argv[1:]}; programs are {', '.join(known)}, chips "
            f"{', '.join(CHIPS)}"
        )
    jax.config.update("jax_platforms", "cpu")
    rows = []
    for topology in _TOPOLOGIES.value:
        mesh = tpu_mesh(topology)
        for name in _PROGRAMS.value:
            rows.append(examine(known[name](mesh), topology))
            print(f"{topology} {name}: compiled in {rows[-1]['compile_s']:.0f} s", flush=True)
    show(rows)
    if _OUTPUT.value:
        write_json(_OUTPUT.value, {"title": _TITLE, "rows": rows, "machine": machine(_PACKAGES)})


def show(rows: Sequence[Mapping[str, Any]]) -> None:
    """Prints tables of what a chip holds, of its work, of its time, and of its larger messages."""
    print(f"{_TITLE}; per chip")
    for columns in _TABLES:
        lines = [("topology", "program", *columns)]
        lines += [tuple(_shown(row[name]) for name in lines[0]) for row in rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        for line in lines:
            cells = zip(line, widths, strict=True)
            print("  ".join(cell.ljust(width) for cell, width in cells))
        print()
    for row in rows:
        for m in row["messages"]:
            if m["times"] * m["mb"] > _SMALL * 1e3 * row["gb_sent"]:
                print(
                    f"{row['topology']} {row['program']}: {m['times']:.0f} x {m['kind']} of "
                    f"{m['mb']:.3g} MB ({m['us']:.3g} us, in {m['scope']}), between start and end "
                    f"{m['gflop_meanwhile']:.3g} GFLOP of products and {m['us_meanwhile']:.3g} us"
                )


def _shown(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    app.run(main)
