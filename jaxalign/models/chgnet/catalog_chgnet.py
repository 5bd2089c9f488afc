"""The released CHGNet networks of 2023 and 2025, and a random-initialized twin."""

from __future__ import annotations

import dataclasses

from jaxalign.archives.pinned import ARCHIVES
from jaxalign.models.card import NOTHING_FETCHED, ModelCard
from jaxalign.models.chgnet.chgnet import crystal_encoder, layer_names
from jaxalign.models.chgnet.chgnet_weights import (
    FIRST,
    KNOWN,
    SECOND,
    WIDTH,
    Settings,
    convert_params,
    init_params,
    reference_energies,
)
from jaxalign.models.encoder import Encoder
from jaxalign.models.entry import ModelEntry
from jaxalign.models.weight_files.weights import read_weights

_LEVELS = {
    "PBE": "PBE and PBE+U energies with the MP2020 corrections, forces, stresses, magnetic moments",
    "r2SCAN": "r2SCAN energies, forces, stresses and magnetic moments",
}
_NOTES = (
    "Elements H to Bi and Ac to Pu; Po to Ra have no training data, and are refused. Crystals, "
    "surfaces and molecules, but the training data are bulk crystals. Charges are ignored. Default "
    "layer: what the energy is read from; the mean over atoms, since the original's crystal_fea is "
    "the sum and grows with the cell. The original's atom_fea is conv_3. Energies are in eV, with "
    "the energies of elements that were fitted before training. An atom without neighbors has the "
    "features of its element alone, where the original refuses the structure"
)


@dataclasses.dataclass(frozen=True)
class Release:
    """One checkpoint.

    Attributes:
      path: of the file in the archive.
      sha256: of the file.
      settings: of the network.
      facts: of its card.
    """

    path: str
    sha256: str
    settings: Settings
    facts: dict[str, str]


RELEASES = {
    "chgnet-0.2.0": Release(
        path="chgnet/pretrained/0.2.0/chgnet_0.2.0_e30f77s348m32.pth.tar",
        sha256="ef624f78b6db9d315b4ef256f1bb3207449924191b91720dc17d3f60c5df980e",
        settings=FIRST,
        facts={
            "name": "CHGNet 0.2.0",
            "training_data": "MPtrj: 1.58 million frames of relaxations of inorganic crystals of "
            "the Materials Project",
            "label_level": _LEVELS["PBE"],
            "notes": f"{_NOTES}. Bonds up to 5 Å. A structure without angles is treated as the "
            "original treats it alone: in a batch with others its bonds get a bias there.",
        },
    ),
    "chgnet-0.3.0": Release(
        path="chgnet/pretrained/0.3.0/chgnet_0.3.0_e29f68s314m37.pth.tar",
        sha256="d14ab7c0f093efe64b60a7bcd540bca10e74fb7f46c86108a079af60524659d1",
        settings=SECOND,
        facts={
            "name": "CHGNet 0.3.0",
            "training_data": "MPtrj: 1.58 million frames of relaxations of inorganic crystals of "
            "the Materials Project",
            "label_level": _LEVELS["PBE"],
            "notes": f"{_NOTES}. Bonds up to 6 Å.",
        },
    ),
    "chgnet-r2scan": Release(
        path="chgnet/pretrained/r2scan/chgnet_r2scan_transfer_learning_e15f36s161m23.pth.tar",
        sha256="8eba3db0f35a2788bb3ae22885ad340591e27996f213c6643af522a633b50dad",
        settings=SECOND,
        facts={
            "name": "CHGNet r2SCAN",
            "training_data": "MPtrj (the weights of CHGNet 0.3.0), then MP-r2SCAN: 0.24 million "
            "frames of inorganic crystals",
            "label_level": f"{_LEVELS['PBE']}; then {_LEVELS['r2SCAN']}",
            "notes": f"{_NOTES}. Bonds up to 6 Å. Fine-tuned from CHGNet 0.3.0, so no independent "
            "run. Yb is not in MP-r2SCAN: its energy of the element is 0, and total energies of "
            "its compounds mean nothing.",
        },
    ),
}
_CITATIONS = {
    "chgnet-r2scan": "; Huang et al., npj Comput. Mater. 11 (2025), doi:10.1038/s41524-025-01796-y",
}
_PARAMETERS = {FIRST: 400_279, SECOND: 412_366}


def _card(model_id: str, release: Release) -> ModelCard:
    archive = ARCHIVES["chgnet"]
    layers = layer_names(release.settings)
    return ModelCard(
        id=model_id,
        family="CHGNet",
        modality="3d",
        pretrained=True,
        width=WIDTH,
        layer=layers[-1],
        layers=layers,
        pooling="mean",
        parameters=_PARAMETERS[release.settings],
        symmetry="invariant",
        licence=archive.licence,
        citation=archive.citation + _CITATIONS.get(model_id, ""),
        package=archive.requirement,
        package_sha256=archive.sha256,
        verified="weights",
        **release.facts,
    )


def _pretrained_entry(model_id: str) -> ModelEntry:
    archive, release = ARCHIVES["chgnet"], RELEASES[model_id]

    def build(entry: ModelEntry) -> Encoder:
        model = read_weights(archive, release.path, sha256=release.sha256)["model"]
        arrays = model["state_dict"]
        params = convert_params(arrays, release.settings)
        reference = reference_energies(arrays)
        return crystal_encoder(entry.card, params, release.settings, reference=reference)

    return ModelEntry(card=_card(model_id, release), archives=(archive,), build=build)


def _random_entry() -> ModelEntry:
    card = _card("chgnet-0.3.0", RELEASES["chgnet-0.3.0"]).random_twin(
        id="chgnet-random",
        name="CHGNet, random weights",
        notes="Weights as they are drawn before training, seed 0, in the architecture of 0.3.0. "
        "Elements H to Bi and Ac to Pu. Energies have no scale, and no energies of elements.",
        **NOTHING_FETCHED,
    )

    def build(entry: ModelEntry) -> Encoder:
        reference = dict.fromkeys(KNOWN, 0.0)
        return crystal_encoder(entry.card, init_params(0, SECOND), SECOND, reference=reference)

    return ModelEntry(card=card, archives=(), build=build)


ENTRIES: tuple[ModelEntry, ...] = (*map(_pretrained_entry, RELEASES), _random_entry())
