"""The programs that are compiled for TPU, with the shapes of their arguments: no data is needed."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax.experimental import topologies
from jax.sharding import Mesh

from jaxalign.models.encoder import NodeFeatures
from jaxalign.models.language.albert_bert import TOKENS_PER_BATCH
from jaxalign.models.language.catalog_rxn import RXNFP_BERT
from jaxalign.models.language.transformer import hidden_states, param_shapes
from jaxalign.models.pooling import pool
from jaxalign.pairwise.gram_ring import accumulate_arguments, sharded_accumulate
from jaxalign.pairwise.gram_schedule import ring_steps
from jaxalign.pairwise.search import search_program, search_shapes
from jaxalign.pairwise.search_plan import search_plan
from jaxalign.parallel.mesh import make_mesh, split, whole

_PAIRS = 1024  # candidates of one step where the search decides, see `pairwise.decide`
_TOKENS = 64  # of a molecule: the longest of QM9 and most drug-like molecules


@dataclasses.dataclass(frozen=True)
class Case:
    """One program and what its figures refer to.

    Attributes:
      name: of the program.
      sizes: of the problem that `calls` calls solve on all chips together.
      lower: traces the program.
      calls: of the compiled program.
      floor: operations of the matrix products that the problem cannot do without, of all chips.
      turns: of loops that depend on data, by the end of their scope.
      mesh: of the program.
    """

    name: str
    sizes: Mapping[str, int]
    lower: Callable[[], Any]
    calls: float
    floor: float
    turns: Mapping[str, float]
    mesh: Mesh


def tpu_mesh(topology: str) -> Mesh:
    """A mesh of all chips of a named topology, such as `v5e:16x16`; no chip need be there.

    Raises:
      RuntimeError: the TPU compiler is not installed, or knows no such topology.
    """
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")  # there is no machine to ask
    # No chip is taken, so several processes may compile at once.
    os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")
    try:
        found = topologies.get_topology_desc(topology_name=topology, platform="tpu")
    except (RuntimeError, NotImplementedError) as error:
        raise RuntimeError(
            f"no TPU compiler for {topology!r}: install jaxalign[tpu] in an environment of its "
            f"own, and name a topology that it knows, such as v5e:4x4 ({error})"
        ) from error
    return make_mesh(found.devices)


def search_case(
    mesh: Mesh, *, rows: int, width: int, k: int, gather: bool, models: int = 1
) -> Case:
    """The k nearest of all rows for all rows: bfloat16 products propose, float64 decides.

    Args:
      mesh: as many models at once as it has columns.
      rows: of each chip.
      width: of the rows.
      k: neighbors.
      gather: all rows of a model on every chip of its column, instead of a ring.
      models: number of models.
    """
    chips, columns = mesh.devices.shape
    n = rows * chips
    plan = search_plan(n, width, k=k, mesh=mesh, gather=gather)

    def lower():
        with jax.enable_x64(True):
            program = search_program(mesh, plan, euclidean=False)
            return program.lower(*search_shapes(mesh, width, plan))

    # Candidates of a device that lie on one other device, and half a step that is not filled.
    chunks = plan.tiles * plan.tile * plan.candidates / chips / _PAIRS + 0.5
    deciding = {"decide/while": plan.tiles if gather else max(chunks, 1)}
    if not gather:
        deciding["decide/while/body/while"] = max(chunks, 1)
    name = "search, gathered" if gather else "search"
    return Case(
        f"{name}, {columns} x {chips}" if models > 1 else name,
        {"n": n, "d": width, "k": k, "candidates": plan.candidates, "models": models},
        lower,
        calls=-(-rows // (plan.tiles * plan.tile)) * -(-models // columns),
        floor=2.0 * float(n) ** 2 * width * models,
        turns={"propose/while/body/while": plan.tiles, "propose/while": plan.tiles} | deciding,
        mesh=mesh,
    )


def sweep_case(mesh: Mesh, *, rows: int, width: int, models: int, tile: int) -> Case:
    """Distances of all pairs of rows of all models, and the products of all pairs of models."""
    kernels, n = ("euclidean",), rows * mesh.size

    def lower():
        program = sharded_accumulate(mesh, kernels=kernels, tile=tile, own=True)
        arguments = accumulate_arguments(
            mesh, widths=[width] * models, length=rows, tile=tile, kernels=kernels, own=True
        )
        with jax.enable_x64(True):
            return program.lower(*arguments)

    tiles, steps = rows // tile, ring_steps(mesh.size, own=True)
    # Of its own block a device takes half; so it does of the last block, which two devices share.
    own, last = tiles * (tiles + 1) / 2, tiles**2 / 2
    earlier = (own + (steps - 2) * tiles**2) / max(steps - 1, 1)
    return Case(
        "dense sweep",
        {"n": n, "d": width, "models": models, "tile": tile},
        lower,
        calls=1,
        floor=float(n) ** 2 * models * (width + models),
        turns={
            "while/body/gram_tiles/while": earlier,
            "gram_tiles/while": last if steps > 1 else own,
        },
        mesh=mesh,
    )


def encoder_case(mesh: Mesh, *, rows: int) -> Case:
    """A BERT over SMILES tokens: molecules over all chips, the same parameters on each."""
    config, batch = RXNFP_BERT, TOKENS_PER_BATCH // _TOKENS

    def embed(params, tokens):
        states = hidden_states(config, params, tokens, config.layer_names[-1])
        return pool(NodeFeatures(states, tokens["mask"]), "mean")

    def lower():
        shape = functools.partial(jax.ShapeDtypeStruct, (batch * mesh.size, _TOKENS))
        tokens = {
            "ids": shape(np.int32, sharding=split(mesh)),
            "mask": shape(np.bool_, sharding=split(mesh)),
        }
        params = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=whole(mesh)),
            param_shapes(config),
        )
        return jax.jit(embed, out_shardings=split(mesh)).lower(params, tokens)

    width, inner = config.hidden, config.intermediate
    token = 2 * width * (4 * width + 2 * inner) + 4 * _TOKENS * width
    calls = -(-rows // batch)
    return Case(
        "encoder",
        {"n": rows * mesh.size, "d": width, "tokens": _TOKENS, "batch": batch * mesh.size},
        lower,
        calls=calls,
        floor=float(config.depth * token * _TOKENS * batch * calls * mesh.size),
        turns={},
        mesh=mesh,
    )
