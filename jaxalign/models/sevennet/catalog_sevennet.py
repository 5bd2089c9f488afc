"""The pretrained SevenNet potentials of sevenn, and a random-initialized twin."""

from __future__ import annotations

from typing import Any, NamedTuple

from jaxalign.archives.pinned import ARCHIVES
from jaxalign.models.card import NOTHING_FETCHED, ModelCard
from jaxalign.models.encoder import Encoder
from jaxalign.models.entry import ModelEntry
from jaxalign.models.sevennet.sevennet import DEFAULT_LAYER, LAYERS, SevenNetConfig, crystal_encoder
from jaxalign.models.sevennet.sevennet_params import init_params
from jaxalign.models.sevennet.sevennet_weights import convert_params, read_config
from jaxalign.models.weight_files.weights import WeightsError, read_weights

_MPTRJ = "MPtrj: 1.58 million structures of relaxations in the Materials Project, 89 elements"
_PBE = "PBE and PBE+U energies, forces and stresses, without the Materials Project's corrections"
_NOTES = (
    "89 elements (hydrogen to plutonium without Po, At, Rn, Fr and Ra). Input: positions and cell; "
    "charge and magnetism are ignored. Neighbors within 5 Å, periodic images included; an atom "
    "without any keeps what its element alone tells. The features know no parity: a structure and "
    "its mirror image may differ slightly. Embedding: the 128 scalars after the last gate, before "
    "the two linear maps of the readout. Layers block_n_equivariant hold the scalars, then the "
    "higher degrees with the component m = -l to l (about y) running fastest."
)


class _Source(NamedTuple):
    folder: str
    file: str
    sha256: str


_SOURCES = {
    "22may2024": _Source(
        "SevenNet_0__22May2024",
        "checkpoint_sevennet_0.pth",
        "5d389fafd512e6ae2830d74d0b66ffc49a55d3832653ff8e7bf7f1343013c1d1",
    ),
    "11jul2024": _Source(
        "SevenNet_0__11Jul2024",
        "checkpoint_sevennet_0.pth",
        "7052cb42b7b3be42b40b97fa0d21077a48c54b5548948fc4dcf346629f813c36",
    ),
    "l3i5": _Source(
        "SevenNet_l3i5",
        "checkpoint_l3i5.pth",
        "a7ff190d41efe5b8317a03d20a468e4036a1a3e64e0b14fdbab64ac3f4bfc09d",
    ),
    "mf-0": _Source(
        "SevenNet_MF_0",
        "checkpoint_sevennet_mf_0.pth",
        "81791329b37d445f46b531578c182c41792d98c7814222c9e5dde276402225fd",
    ),
}


def read_sevennet(
    name: str, modal: str | None = None
) -> tuple[SevenNetConfig, dict[str, Any], dict[int, float]]:
    """Settings and weights of a potential from its registry archive.

    Args:
      name: `"22may2024"`, `"11jul2024"`, `"l3i5"` or `"mf-0"`.
      modal: `"PBE"` or `"R2SCAN"` for `"mf-0"`.

    Returns:
      Settings, parameters in float64, and atomic number → reference energy, eV.

    Raises:
      WeightsError: if the file holds another network, or none of this modality.
      JaxalignError: if the archive or the file is not the expected one.
    """
    source = _SOURCES[name]
    path = f"sevenn/pretrained_potentials/{source.folder}/{source.file}"
    checkpoint = read_weights(ARCHIVES["sevenn"], path, sha256=source.sha256)
    settings = checkpoint["config"]
    modals = settings.get("_modal_map") or {}
    if modal not in (modals or (None,)):
        raise WeightsError(f"SevenNet {name} has the modalities {list(modals)}, not {modal!r}")
    config = read_config(settings)
    chosen = None if modal is None else (modals[modal], len(modals))
    return config, *convert_params(checkpoint["model_state_dict"], config, modal=chosen)


def _card(model_id: str, **facts) -> ModelCard:
    archive = ARCHIVES["sevenn"]
    common = {
        "family": "SevenNet",
        "modality": "3d",
        "pretrained": True,
        "width": 128,
        "layer": DEFAULT_LAYER,
        "layers": LAYERS,
        "pooling": "mean",
        "training_data": _MPTRJ,
        "label_level": _PBE,
        "parameters": 842_623,
        "symmetry": "invariant",
        "licence": archive.licence,
        "citation": archive.citation,
        "package": archive.requirement,
        "package_sha256": archive.sha256,
        "verified": "weights",
        "notes": _NOTES,
    }
    return ModelCard(id=model_id, **(common | facts))


def _pretrained_entry(
    model_id: str, source: str, *, modal: str | None = None, **facts
) -> ModelEntry:
    def build(entry: ModelEntry) -> Encoder:
        config, params, reference = read_sevennet(source, modal)
        return crystal_encoder(entry.card, params, config, reference)

    card = _card(model_id, **facts)
    return ModelEntry(card=card, archives=(ARCHIVES["sevenn"],), build=build)


def _multi_fidelity_entry(modal: str, level: str) -> ModelEntry:
    return _pretrained_entry(
        f"sevennet-mf-0-{modal.lower()}",
        "mf-0",
        modal=modal,
        name=f"SevenNet-MF-0, {modal} mode",
        parameters=846_168,
        training_data=f"{_MPTRJ}; and r2SCAN calculations of the Materials Project, together",
        label_level=level,
        citation=f"{ARCHIVES['sevenn'].citation}; Kim et al., J. Am. Chem. Soc. 147, 1042 (2025), "
        "doi:10.1021/jacs.4c14455",
        notes=f"{_NOTES} One network of two functionals, told which by an input; both modes share "
        "nearly all weights.",
    )


# Hydrogen to plutonium, but for those that MPtrj lacks.
_RANDOM_CONFIG = SevenNetConfig(
    channels=(128, 64, 32),
    elements=tuple(z for z in range(1, 95) if z not in range(84, 89)),
    onset=4.5,
)


def _random_entry() -> ModelEntry:
    name = "SevenNet-0, random weights"
    card = _card("sevennet-0-11jul2024", name=name).random_twin(
        id="sevennet-0-random",
        name=name,
        parameters=834_401,
        notes=f"Weights N(0, 1/n) for n inputs, as before training, seed 0. No energies. {_NOTES}",
        **NOTHING_FETCHED,
    )

    def build(entry: ModelEntry) -> Encoder:
        params = init_params(_RANDOM_CONFIG, seed=0)
        return crystal_encoder(entry.card, params, _RANDOM_CONFIG, None)

    return ModelEntry(card=card, archives=(), build=build)


ENTRIES: tuple[ModelEntry, ...] = (
    _pretrained_entry(
        "sevennet-0-22may2024",
        "22may2024",
        name="SevenNet-0 (22May2024)",
        notes=f"{_NOTES} Its harmonics are not those of directions: they grow with the distance.",
    ),
    _pretrained_entry("sevennet-0-11jul2024", "11jul2024", name="SevenNet-0 (11Jul2024)"),
    _pretrained_entry("sevennet-l3i5", "l3i5", name="SevenNet-l3i5", parameters=1_171_327),
    _multi_fidelity_entry("PBE", _PBE),
    _multi_fidelity_entry("R2SCAN", "r2SCAN energies, forces and stresses"),
    _random_entry(),
)
