"""The ANI-1x and ANI-1ccx networks of torchani, member by member, and a random-initialized twin."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from jaxalign.archives.entries import read_entry
from jaxalign.archives.fetch import Archive, fetch
from jaxalign.archives.pinned import ARCHIVES
from jaxalign.models.ani.ani import ANI_1X, LAYERS, atom_encoder, init_params, param_shapes
from jaxalign.models.card import NOTHING_FETCHED, ModelCard
from jaxalign.models.encoder import Encoder
from jaxalign.models.entry import ModelEntry
from jaxalign.models.weight_files.weights import WeightsError, check_params

# SHA-256 of the joined files of each member's networks; `read_networks` says in what order.
_DIGESTS = {
    "ani-1x": (
        "3337afeba6a0f2111486ccf0b4f2b68afd1b5e2e1ca87f1db8b694c3a632e67d",
        "7693a0d5f207ba88785ff6bd3d2a3b50153319988743db47ea6c3cab88025788",
        "b0b9a43d4d99b92fc3752e17c21c1a95e53ef2976ea69071b30f4557a2ed5675",
        "ab87a6a268c78622cea95e8569aed8e94d6b1b416e74a0601c9436ec0f59d373",
        "80a05a3286a4200ada8a0a679a279a098674107c9c2b608f292714e5978e4e59",
        "414c8d68b481b6228ffa6eed8c5d9154e23d600a961050fde011a996f650a165",
        "6016b45908b768c06472c366d377bdfa787b78bbac18bd8adf03f8ce914fecda",
        "b87f38091e2113ae2f0cd0a8b85b2268053b9b4a4514ecafaffd9e7adeede31b",
    ),
    "ani-1ccx": (
        "ae5f627072d47d0b6bf1dd675cb2acb5479d50de509e2497ce780c3a2c1b1128",
        "751aa84afa867e3626c643511454e2dacd835c0b40e2d2e22158b49b89384c86",
        "610384f7342f596d8794d01ad7997594c0f165d906de320ff32e63c647d76245",
        "7f54530b9bd7b750a7a3e5fb06a831fcb61404f46c8506c78766cacfe2bdf294",
        "79ce10d635db576a36d6416db6fa8d53b91f6cd0739ca28bdba85e52f543c63d",
        "9028bc38e23618fd0f88943c9cac55a236bc098db23821534e6fc4852982c630",
        "fa9df1d7f5a9ee0e3655372727ac0173395b1d1bd41f36b3125f9f9453309582",
        "d04706708730f90e230f3787d8260eaa61e72c0346f3b1dd0789278a65bdb614",
    ),
}
_NAMES = {"ani-1x": "ANI-1x", "ani-1ccx": "ANI-1ccx"}
_TRAINING = {
    "ani-1x": "ANI-1x: 5 million conformations of organic molecules of H, C, N, O",
    "ani-1ccx": "ANI-1x, then ANI-1ccx: 0.5 million conformations of organic molecules",
}
_LEVELS = {
    "ani-1x": "wB97X/6-31G(d) energies",
    "ani-1ccx": "wB97X/6-31G(d) energies, then CCSD(T)*/CBS energies",
}
_CITATIONS = {
    "ani-1x": "Smith et al., J. Chem. Phys. 148, 241733 (2018), doi:10.1063/1.5023802; "
    "Smith et al., Sci. Data 7, 134 (2020), doi:10.1038/s41597-020-0473-z",
    "ani-1ccx": "Smith et al., Nat. Commun. 10, 2903 (2019), doi:10.1038/s41467-019-10827-4; "
    "Smith et al., Sci. Data 7, 134 (2020), doi:10.1038/s41597-020-0473-z",
}
# Hartree, of H, C, N, O: fitted with the networks, and published beside them ("sae_linfit").
SELF_ENERGIES = {
    "ani-1x": (-0.60095298, -38.08316124, -54.7077577, -75.19446356),
    "ani-1ccx": (
        -0.5991501324919538,
        -38.03750806057356,
        -54.67448347695333,
        -75.16043537275567,
    ),
}
INPUT_NOTES = (
    "molecules without periodicity. Charge and spin are no inputs: an ion is taken for the neutral "
    "molecule of the same atoms, in states and in energies. Each element has a network of its own, "
    "so states of different elements do not share a basis;"
)
_NOTES = (
    f"Elements H, C, N, O; {INPUT_NOTES} hidden_1 and hidden_2 are padded with zeros to the widest "
    "element (160, 128). One member of an ensemble of eight."
)


def read_networks(archive: Archive, folder: str, *, sha256: str) -> dict[str, Any]:
    """Flax parameters from the raw float32 files of one ensemble member.

    Args:
      archive: the registry archive.
      folder: path inside it of the files `ANN-{element}.nnf-l{layer}.wparam` and `.bparam`.
      sha256: hash of all files joined: elements H, C, N, O, in each the layers 1 to 4, in each
        the weights before the bias.

    Returns:
      Parameters for `ani.apply_ani`.

    Raises:
      WeightsError: if the files are not the expected ones.
      ArchiveError: if the archive cannot be read.
    """
    path, digest, params = fetch(archive), hashlib.sha256(), {}
    for element in ANI_1X.aev.elements:
        for layer in (1, 2, 3, 4):
            name = f"{folder}/ANN-{element}.nnf-l{layer}"
            weights, bias = (
                read_entry(path, f"{name}.{kind}", max_bytes=2**20) for kind in ("wparam", "bparam")
            )
            digest.update(weights + bias)
            offset = np.frombuffer(bias, "<f4")
            kernel = np.frombuffer(weights, "<f4").reshape(len(offset), -1).T
            params[f"{element}_{layer}"] = {"kernel": kernel, "bias": offset}
    if digest.hexdigest() != sha256:
        raise WeightsError(
            f"the networks in {folder} of {archive.filename} have SHA-256 {digest.hexdigest()}, "
            f"expected {sha256}: they are other networks than those this model was proven with"
        )
    check_params(param_shapes(ANI_1X), params)
    return params


def _card(model_id: str, family: str, **facts) -> ModelCard:
    archive = ARCHIVES["torchani"]
    common = {
        "family": "ANI",
        "modality": "3d",
        "pretrained": True,
        "width": ANI_1X.width(LAYERS[-1]),
        "layer": LAYERS[-1],
        "layers": LAYERS,
        "pooling": "mean",
        "training_data": _TRAINING[family],
        "label_level": _LEVELS[family],
        "parameters": 326_660,
        "symmetry": "invariant",
        "licence": archive.licence,
        "citation": f"{_CITATIONS[family]}; {archive.citation}",
        "package": archive.requirement,
        "package_sha256": archive.sha256,
        "verified": "weights",
        "notes": _NOTES,
    }
    return ModelCard(id=model_id, **(common | facts))


def _pretrained_entry(family: str, member: int) -> ModelEntry:
    archive = ARCHIVES["torchani"]
    folder = f"torchani/resources/{family}_8x/train{member}/networks"

    def build(entry: ModelEntry) -> Encoder:
        params = read_networks(archive, folder, sha256=_DIGESTS[family][member])
        energies = dict(zip(ANI_1X.aev.species, SELF_ENERGIES[family], strict=True))
        return atom_encoder(entry.card, params, self_energies=energies)

    card = _card(f"{family}-{member}", family, name=f"{_NAMES[family]}, member {member}")
    return ModelEntry(card=card, archives=(archive,), build=build)


def _random_entry() -> ModelEntry:
    card = _pretrained_entry("ani-1x", 0).card.random_twin(
        id="ani-1x-random",
        name="ANI, random weights",
        notes="Random weights U(−1/√n, 1/√n) for n inputs, seed 0, on the same environment "
        f"vectors, without energies. Elements H, C, N, O; {INPUT_NOTES} hidden_1 and hidden_2 are "
        "padded with zeros to the widest element (160, 128).",
        **NOTHING_FETCHED,
    )
    return ModelEntry(
        card=card, archives=(), build=lambda entry: atom_encoder(entry.card, init_params(0))
    )


ENTRIES: tuple[ModelEntry, ...] = (
    *(_pretrained_entry(family, member) for family in _DIGESTS for member in range(8)),
    _random_entry(),
)
