"""Parameters of MACE: from the arrays of the original, with its normalizations folded in.

The original keeps every linear map as a flat vector of matrices `[in, out]`, one a degree in
ascending order (of the maps after a tensor product: one a path), and divides by the square root of
the fan-in on each call; maps that depend on the element are `[in, elements, out]`.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from jaxalign.models.atomistic.tensor_products import Path, coupling_tensor
from jaxalign.models.mace.mace_coupling import degrees_of
from jaxalign.models.mace.mace_settings import MaceSettings
from jaxalign.models.mace.symmetric_contraction import Sort, plan_contraction, weight_name
from jaxalign.models.weight_files.weights import StateDict, WeightsError

# Constants that follow from others, arrays without elements, masks of what is not zero.
_DERIVED = re.compile(
    r".*\.(bias|output_mask|weights_(\d+|max)_zeroed)|r_max|num_interactions|.*_fn\.r_max"
    r"|interactions\.\d+\.conv_tp\.(weight|.*_w3j_\d_\d_\d)"
)
_TABLE = re.compile(r".*\._w3j_(\d)_(\d)_(\d)")
_TABLE_TOLERANCE = 1e-6


def message_paths(inputs: tuple[int, ...], max_degree: int) -> tuple[Path, ...]:
    """Couplings of node features with harmonics, ordered by the degree of the message.

    Args:
      inputs: degrees of the node features.
      max_degree: largest degree of harmonics and messages.

    Returns:
      Paths that keep the parity of harmonics, in the order of the original's weights.
    """
    paths = [
        Path(node, edge, message)
        for node in inputs
        for edge in range(max_degree + 1)
        for message in degrees_of(node, edge)
        if message <= max_degree and (node + edge + message) % 2 == 0
    ]
    return tuple(sorted(paths, key=lambda path: path.product))


def convert_params(
    arrays: Mapping[str, np.ndarray], settings: MaceSettings
) -> tuple[dict[str, Any], tuple[tuple[Sort, ...], ...]]:
    """Parameters of the network, and the monomials of each block's product basis.

    Args:
      arrays: name → array, with the names of the original.
      settings: of `read_settings`.

    Returns:
      Parameters for `mace_states`, of the dtype of the file, and what `contract` needs.

    Raises:
      WeightsError: if arrays are missing, left over, of other shapes than the settings want, or
        belong to other coupling tensors.
    """
    _check_tables(arrays)
    state = MaceArrays({name: a for name, a in arrays.items() if not _DERIVED.fullmatch(name)})
    state.take("atomic_numbers")
    state.take("atomic_energies_fn.atomic_energies")
    result = build_params(state, settings)
    state.require_all_taken()
    return result


def build_params(
    state: MaceArrays, settings: MaceSettings
) -> tuple[dict[str, Any], tuple[tuple[Sort, ...], ...]]:
    """What `convert_params` returns, from arrays that are asked for one by one."""
    elements, channels = len(settings.atomic_numbers), settings.channels
    params: dict[str, Any] = {
        "embedding": state.matrix("node_embedding.linear.weight", elements, channels),
        "radial": _radial_params(state, settings),
        "blocks": [],
        "readouts": _readout_params(state, settings),
        "scale": _of_head(state, "scale_shift.scale", settings, default=1.0),
        "shift": _of_head(state, "scale_shift.shift", settings, default=0.0),
    }
    if settings.repulsion:
        params["repulsion"] = _repulsion_params(state, settings)
    plans = []
    for block in range(settings.blocks):
        couplings, weights = _product_params(state, settings, block)
        interaction = _interaction_params(state, settings, block)
        params["blocks"].append({**interaction, "product": weights})
        plans.append(plan_contraction(couplings, range(settings.max_degree + 1)))
    return params, tuple(plans)


def reference_energies(
    arrays: Mapping[str, np.ndarray], settings: MaceSettings
) -> dict[int, float]:
    """Atomic number → energy of the atom alone under the chosen head, eV."""
    energies = np.atleast_2d(arrays["atomic_energies_fn.atomic_energies"])[settings.head]
    return dict(zip(settings.atomic_numbers, map(float, energies), strict=True))


class MaceArrays(StateDict):
    """Arrays of the original, by its names."""

    def matrix(self, name: str, *shape: int) -> Float[np.ndarray, ...]:
        """A flat vector as matrices `[..., in, out]`, divided by √in."""
        flat = self.shaped(name, math.prod(shape))
        return flat.reshape(shape) / math.sqrt(shape[-2])

    def by_degree(self, name: str, degrees: tuple[int, ...], channels: int) -> dict[str, Any]:
        """One square map for each degree."""
        stacked = self.matrix(name, len(degrees), channels, channels)
        return {f"degree_{degree}": m for degree, m in zip(degrees, stacked, strict=True)}

    def by_element(
        self, name: str, degrees: tuple[int, ...], channels: int, elements: int
    ) -> dict[str, Any]:
        """One square map for each degree and element: `[elements, in, out]`."""
        flat = self.shaped(name, len(degrees) * channels * elements * channels)
        stacked = flat.reshape(len(degrees), channels, elements, channels)
        stacked = np.moveaxis(stacked, 1, 2) / math.sqrt(channels * elements)
        return {f"degree_{degree}": m for degree, m in zip(degrees, stacked, strict=True)}


def _radial_params(state: MaceArrays, settings: MaceSettings) -> dict[str, Any]:
    basis, transform = "radial_embedding.bessel_fn", "radial_embedding.distance_transform"
    state.take("radial_embedding.cutoff_fn.p")
    params = {
        "frequencies": state.take(f"{basis}.bessel_weights"),
        "prefactor": state.shaped(f"{basis}.prefactor"),
    }
    names = {"Agnesi": ("a", "q", "p"), "Soft": ("alpha",)}.get(settings.transform or "", ())
    params |= {name: state.shaped(f"{transform}.{name}") for name in names}
    if settings.transform:
        params["radii"] = _radii(state, transform, settings)
    return params


def _interaction_params(state: MaceArrays, settings: MaceSettings, block: int) -> dict[str, Any]:
    name, channels = f"interactions.{block}", settings.channels
    inputs, outputs = settings.inputs[block], settings.degrees[block]
    messages = tuple(range(settings.max_degree + 1))
    paths = message_paths(inputs, settings.max_degree)
    basis = len(state.take("radial_embedding.bessel_fn.bessel_weights"))
    widths = (basis, *settings.radial_widths[block], len(paths) * channels)
    radial = [
        state.shaped(f"{name}.conv_tp_weights.layer{n}.weight", a, b) / math.sqrt(a)
        for n, (a, b) in enumerate(itertools.pairwise(widths))
    ]
    around = tuple(d for d in inputs if d in outputs) if settings.residual[block] else messages
    params = {
        "up": state.by_degree(f"{name}.linear_up.weight", inputs, channels),
        "radial": radial,
        "down": _path_params(state, f"{name}.linear.weight", paths, channels),
        "skip": state.by_element(
            f"{name}.skip_tp.weight", around, channels, len(settings.atomic_numbers)
        ),
        "out": state.by_degree(f"products.{block}.linear.weight", outputs, channels),
    }
    if settings.density[block]:
        density = state.shaped(f"{name}.density_fn.layer0.weight", basis, 1)
        params["density"] = density / math.sqrt(basis)
    return params


def _path_params(
    state: MaceArrays, name: str, paths: tuple[Path, ...], channels: int
) -> dict[str, Any]:
    """For each degree of the messages a map of all its paths together, `[paths · in, out]`."""
    flat = state.shaped(name, len(paths) * channels**2).reshape(-1, channels)
    params, start = {}, 0
    for degree in sorted({path[2] for path in paths}):
        rows = channels * sum(path[2] == degree for path in paths)
        params[f"degree_{degree}"] = flat[start : start + rows] / math.sqrt(rows)
        start += rows
    return params


def _product_params(
    state: MaceArrays, settings: MaceSettings, block: int
) -> tuple[dict[tuple[int, int], np.ndarray], dict[str, np.ndarray]]:
    """Couplings, and weights `[paths, elements, channels]`."""
    elements = 1 if settings.shared_product else len(settings.atomic_numbers)
    components, highest = (settings.max_degree + 1) ** 2, settings.correlation[block]
    couplings, weights = {}, {}
    for number, degree in enumerate(settings.degrees[block]):
        name = f"products.{block}.symmetric_contractions.contractions.{number}"
        for order in range(1, highest + 1):
            table = state.take(f"{name}.U_matrix_{order}")
            shape = (*(() if degree == 0 else (2 * degree + 1,)), *(components,) * order)
            state.shaped(f"{name}.U_matrix_{order}", *shape, table.shape[-1])
            # The highest order stands apart, the others follow in descending order.
            own = "weights_max" if order == highest else f"weights.{highest - 1 - order}"
            array = state.shaped(f"{name}.{own}", elements, table.shape[-1], settings.channels)
            couplings[degree, order] = table
            weights[weight_name(degree, order)] = np.moveaxis(array, 0, 1)
    return couplings, weights


def _readout_params(state: MaceArrays, settings: MaceSettings) -> list[dict[str, np.ndarray]]:
    """All but the last are linear; the columns of the other heads are dropped."""
    heads, channels, head = len(settings.heads), settings.channels, settings.head
    params = []
    for number in range(settings.readouts - 1):
        name = f"readouts.{number}.linear.weight"
        params.append({"kernel": state.matrix(name, channels, heads)[:, [head]]})
    name, width = f"readouts.{settings.readouts - 1}", settings.readout_width
    first = state.matrix(f"{name}.linear_1.weight", channels, width)
    second = state.matrix(f"{name}.linear_2.weight", width, heads)
    own = slice(head * (width // heads), (head + 1) * (width // heads))
    return [*params, {"hidden": first[:, own], "kernel": second[own][:, [head]]}]


def _of_head(state: MaceArrays, name: str, settings: MaceSettings, *, default: float) -> np.ndarray:
    """A number of the chosen head; the plain model has neither scale nor shift."""
    if not state.holds(name):
        return np.asarray(default)
    values = np.atleast_1d(state.take(name))
    if len(values) != len(settings.heads):
        raise WeightsError(
            f"{name} has shape {values.shape}, and the settings want ({len(settings.heads)},)"
        )
    return np.asarray(values[settings.head])


def _repulsion_params(state: MaceArrays, settings: MaceSettings) -> dict[str, np.ndarray]:
    name = "pair_repulsion_fn"
    state.take(f"{name}.p")
    return {
        "coefficients": state.shaped(f"{name}.c", 4),
        "exponent": state.shaped(f"{name}.a_exp"),
        "prefactor": state.shaped(f"{name}.a_prefactor"),
        "radii": _radii(state, name, settings),
    }


def _radii(state: MaceArrays, name: str, settings: MaceSettings) -> np.ndarray:
    """Covalent radii of the known elements, Å; the file has those of all."""
    return state.take(f"{name}.covalent_radii")[np.array(settings.atomic_numbers)]


def _check_tables(arrays: Mapping[str, np.ndarray]) -> None:
    """The signs of the coupling tensors in the file must be those that are computed here."""
    for name, table in arrays.items():
        if (found := _TABLE.fullmatch(name)) is None:
            continue
        own = coupling_tensor(Path(*map(int, found.groups())))
        if table.shape != own.shape or np.abs(table - own).max() > _TABLE_TOLERANCE:
            raise WeightsError(
                f"{name} of the file is another coupling tensor than that of e3nn 0.4.4, which "
                "MACE was made with; such a file cannot be converted"
            )
