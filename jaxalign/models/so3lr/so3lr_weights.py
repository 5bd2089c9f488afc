"""Parameters of the heads of SO3LR, which give its energies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxalign.models.so3lr.so3krates_graph import SPECIES
from jaxalign.models.so3lr.so3krates_weights import species_rows
from jaxalign.models.weight_files.weights import StateDict

SETTINGS: Mapping[str, Any] = {
    "zbl_repulsion_bool": True,
    "electrostatic_energy_bool": True,
    "electrostatic_energy_scale": 4.0,
    "dispersion_energy_bool": True,
    "dispersion_energy_scale": 1.2,
    "energy_activation_fn_name": "silu",
    "neighborlist_format_lr": "sparse",
}
# Names of the rates and shares of the screened repulsion.
SCREENING = ("a1", "a2", "a3", "a4"), ("c1", "c2", "c3", "c4")


def take_heads(state: StateDict) -> dict[str, Any]:
    """Parameters of the heads.

    Args:
      state: arrays of the original by their names.

    Returns:
      Parameters for `so3lr_energy.energy_terms`, beside those of the network.

    Raises:
      WeightsError: if an array is missing.
    """
    energy, charge = "atomic_energy_output_block", "partial_charges_output_block"
    ratio, names = "hirshfeld_output_block", [*SCREENING[0], *SCREENING[1], "p", "d"]
    shift = state.take(f"{ratio}.v_shift_embedding.weight")
    return {
        "energy": {
            "hidden": state.dense(f"{energy}.layers.0"),
            "out": state.dense(f"{energy}.final_layer"),
            "scale": species_rows(state.take(f"{energy}.energy_scales.weight")[0], first=1),
        },
        "repulsion": {name: state.take(f"zbl_repulsion.{name}_raw")[0] for name in names},
        "charge": {
            "hidden": state.dense(f"{charge}.transform_inv_features.0"),
            "out": state.dense(f"{charge}.transform_inv_features.2"),
            "shift": species_rows(state.take(f"{charge}.atomic_embedding.weight")[:, 0], first=0),
        },
        "ratio": {
            "hidden": state.dense(f"{ratio}.transform_features.0"),
            "out": state.dense(f"{ratio}.transform_features.2"),
            "shift": species_rows(shift[:, 0], first=0),
            "query": species_rows(state.take(f"{ratio}.q_embedding.weight"), first=0),
        },
    }


def take_reference(state: StateDict) -> dict[int, float]:
    """Atomic number → reference energy, eV; the same for all elements of this network."""
    shifts = species_rows(state.take("atomic_energy_output_block.energy_shifts"), first=1)
    return dict(zip(SPECIES, shifts.astype(float).tolist(), strict=True))
