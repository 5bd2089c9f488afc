"""The D-MPNN networks of ADMET-AI, member by member, and a random-initialized twin."""

from __future__ import annotations

from jaxalign.archives.pinned import ARCHIVES
from jaxalign.models.card import NOTHING_FETCHED, ModelCard
from jaxalign.models.dmpnn.dmpnn import HIDDEN, LAYERS, convert_params, graph_encoder, init_params
from jaxalign.models.encoder import Encoder
from jaxalign.models.entry import ModelEntry
from jaxalign.models.weight_files.weights import read_weights

# SHA-256 of the checkpoints, by ensemble and member.
_CHECKPOINTS = {
    "classification": (
        "9a5fb298a6564e8ef739890c90b02e831521073f49eefd2310fb56cdb61a2378",
        "2bf047553eef397060af376e78dd4e990114df8428e05f734c4e4aca284280ca",
        "0e9d7eb3ff0b53bd2f20e43a75e0872c682b0ee27059dd50735c416d97a3fd24",
        "4b35cb5686f23c6e3e5a4c587a5c4dd79b7f1f46be26684260c0b78366145d58",
        "9fdac559e3058b5f7b03780f9c696223d27adb94c78f9eb9aba6154e2dbff492",
    ),
    "regression": (
        "c709dc4526dc7f6cf39cea64190f63adbb2b95e280d34582c492fc53da64a1a4",
        "57e8011a180cddf8acf66f94f5b123023c3fed503e3870a2f3f6f5300a7f3c82",
        "05e8509fea4ddc4686c521d75ee2fe770113cb93f09a849a6378b0a0e3ce113e",
        "04b265ff444190247b159932ab2225afc844bae9552299bf1ddf99b336c28d71",
        "b58c76493744edfb022e50e531a8ad82453bdf543c2195d878ecfd248795c7c8",
    ),
}
_TASKS = {"classification": "31 classification tasks", "regression": "10 regression tasks"}
_NOTES = (
    "Input: the SMILES as given, hydrogens implicit. The original's fingerprint is the sum over "
    "atoms / 100, which grows with the molecule; the default here is the mean. Trap of the "
    "original, kept: RDKit's chiral tag depends on the order in which a SMILES names neighbors, "
    "so two spellings of one chiral molecule may differ, and spellings of two enantiomers may "
    "agree. Without stereocenters the order of atoms does not matter."
)


def _card(model_id: str, **facts) -> ModelCard:
    archive = ARCHIVES["admet-ai"]
    common = {
        "family": "D-MPNN",
        "modality": "graph",
        "pretrained": True,
        "width": HIDDEN,
        "layer": LAYERS[-1],
        "layers": LAYERS,
        "pooling": "mean",
        "parameters": 227_700,
        "symmetry": "invariant",  # a graph has no coordinates to rotate
        "licence": archive.licence,
        "citation": f"{archive.citation}; Yang et al., J. Chem. Inf. Model. 59, 3370 (2019), "
        "doi:10.1021/acs.jcim.9b00237",
        "package": archive.requirement,
        "package_sha256": archive.sha256,
        "verified": "weights",
        "notes": _NOTES,
    }
    return ModelCard(id=model_id, **(common | facts))


def _pretrained_entry(kind: str, member: int) -> ModelEntry:
    archive = ARCHIVES["admet-ai"]
    path = f"admet_ai/resources/models/admet_{kind}/model_{member}.pt"

    def build(entry: ModelEntry) -> Encoder:
        arrays = read_weights(archive, path, sha256=_CHECKPOINTS[kind][member])["state_dict"]
        return graph_encoder(entry.card, convert_params(arrays))

    card = _card(
        f"admet-dmpnn-{kind}-{member}",
        name=f"ADMET-AI D-MPNN, {kind}, member {member}",
        training_data=f"ADMET data sets of the Therapeutics Data Commons, {_TASKS[kind]}",
        label_level="experimental ADMET measurements",
    )
    return ModelEntry(card=card, archives=(archive,), build=build)


def _random_entry() -> ModelEntry:
    card = _pretrained_entry("classification", 0).card.random_twin(
        id="admet-dmpnn-random",
        name="D-MPNN, random weights",
        notes=f"Random weights U(−1/√n, 1/√n) for n inputs, seed 0. {_NOTES}",
        **NOTHING_FETCHED,
    )
    return ModelEntry(
        card=card, archives=(), build=lambda entry: graph_encoder(entry.card, init_params(0))
    )


ENTRIES: tuple[ModelEntry, ...] = (
    *(_pretrained_entry(kind, member) for kind in _CHECKPOINTS for member in range(5)),
    _random_entry(),
)
