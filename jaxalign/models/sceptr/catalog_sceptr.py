"""The SCEPTR variants: one architecture, of which one thing at a time is changed."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

from jaxalign.archives.pinned import ARCHIVES
from jaxalign.models.batching import RowBuckets
from jaxalign.models.bound import bind
from jaxalign.models.card import NOTHING_FETCHED, ModelCard
from jaxalign.models.encoder import Encoder
from jaxalign.models.entry import ModelEntry
from jaxalign.models.language.residues import LENGTHS
from jaxalign.models.language.tokens import token_count
from jaxalign.models.sceptr.network import SceptrConfig, apply_sceptr, init_params
from jaxalign.models.sceptr.receptors import collate_loops, loop_featurize
from jaxalign.models.sceptr.weights import convert_sceptr
from jaxalign.models.weight_files.weights import read_weights

_ARCHIVE = ARCHIVES["sceptr"]
_TOKENS_PER_BATCH = 8192
_BUCKETS = tuple(length + 1 for length in (16, *LENGTHS))  # one more for [CLS]
_RECEPTORS = "human αβ T-cell receptors (Tanno et al.)"
_MASKED = "none (masked residues)"
_CONTRASTIVE = "none (masked residues, agreement of noised copies)"

PAIRED = SceptrConfig()
CDR3_ONLY = dataclasses.replace(PAIRED, compartments=3, compartment=2)
SINGLE = dataclasses.replace(PAIRED, compartments=4, compartment=3)


@dataclasses.dataclass(frozen=True)
class _Variant:
    """One row of the ablation study."""

    id: str
    folder: str
    sha256: str
    parameters: int
    note: str
    config: SceptrConfig = PAIRED
    chain: str = "beta"
    training_data: str = _RECEPTORS
    label_level: str = _CONTRASTIVE


def _changed(**sizes: Any) -> SceptrConfig:
    return dataclasses.replace(PAIRED, **sizes)


VARIANTS = (
    _Variant(
        id="sceptr",
        folder="SCEPTR",
        sha256="b4c2d06bc5ac1c395cbf97e9be8e8e6db4b06996bc9b5b6a79451fef9ec3c8d8",
        parameters=151_936,
        note="The default model.",
    ),
    _Variant(
        id="sceptr-mlm-only",
        folder="SCEPTR_MLM_only",
        sha256="0987fcc94f64384a649f196ee8a20e725d00b2288fda1466a9b6d9924307ec38",
        parameters=151_936,
        config=_changed(pools_residues=True),
        label_level=_MASKED,
        note="Without contrastive learning.",
    ),
    _Variant(
        id="sceptr-left-aligned",
        folder="SCEPTR_left_aligned",
        sha256="e12302264de459a2f87f998c1053d5e40c3543a06aeee81c187e9b539a82168b",
        parameters=158_336,
        config=_changed(positions=100),
        note="Learned token embeddings, and sinusoidal places counted from the left: of longer "
        "sequences the first 100 residues are read.",
    ),
    _Variant(
        id="sceptr-cdr3-only",
        folder="SCEPTR_CDR3_only",
        sha256="aa9153d38ab80069774553fad4016d3420d16dd17e00514067ac6beae2102e14",
        parameters=151_680,
        config=CDR3_ONLY,
        note="Trained on the third loops alone, so this input is whole.",
    ),
    _Variant(
        id="sceptr-cdr3-only-mlm-only",
        folder="SCEPTR_CDR3_only_MLM_only",
        sha256="4b63549e3666716fdddd744c314c0c7d374874ac01ff9b319077f7c908871329",
        parameters=151_680,
        config=dataclasses.replace(CDR3_ONLY, pools_residues=True),
        label_level=_MASKED,
        note="Trained on the third loops alone, without contrastive learning.",
    ),
    _Variant(
        id="sceptr-large",
        folder="SCEPTR_large",
        sha256="1c6855b32e0c3b777176e3cb0d0d328c6e528593b632793571b681e53d8cd715",
        parameters=797_056,
        config=_changed(hidden=128, depth=4),
        note="Width 128 instead of 64, four layers instead of three.",
    ),
    _Variant(
        id="sceptr-small",
        folder="SCEPTR_small",
        sha256="424776e833e44835704bc85af18b3b86d191984f54ae49ecda786c729afda6f9",
        parameters=39_104,
        config=_changed(hidden=32),
        note="Width 32 instead of 64.",
    ),
    _Variant(
        id="sceptr-tiny",
        folder="SCEPTR_tiny",
        sha256="f125156ef80f596f052fcc39baec45fcf96b035a017996cd49db74660c220da1",
        parameters=10_336,
        config=_changed(hidden=16),
        note="Width 16 instead of 64.",
    ),
    _Variant(
        id="sceptr-blosum",
        folder="SCEPTR_BLOSUM",
        sha256="0e8e41f5710742f5557d954e29f192cfd83334ca71f7fa8d55d46397d3284c0f",
        parameters=151_936,
        note="Residues enter as rows of BLOSUM62 instead of one-hot vectors.",
    ),
    _Variant(
        id="sceptr-average-pooling",
        folder="SCEPTR_average_pooling",
        sha256="939ecc5fd1452a381df806a596786831e7d0d0d95593f6a38e7aa88fefe4bfcd",
        parameters=151_936,
        config=_changed(pools_residues=True),
        note="Contrastive learning on the mean over residues instead of [CLS].",
    ),
    _Variant(
        id="sceptr-shuffled-data",
        folder="SCEPTR_shuffled_data",
        sha256="01413e048179b9c7035042579df871f7545af3d8c1df78eddd214053ab1b6aa7",
        parameters=151_936,
        training_data=f"{_RECEPTORS}, alpha and beta chains paired at random",
        note="Alpha and beta chains paired at random.",
    ),
    _Variant(
        id="sceptr-synthetic-data",
        folder="SCEPTR_synthetic_data",
        sha256="4bd172c65f10eecf46b8dbd396c10831c4f3efe00a0c7a9e744b16707454b4ec",
        parameters=151_936,
        training_data="as many synthetic receptors out of a model of V(D)J recombination (OLGA)",
        note="Synthetic receptors.",
    ),
    _Variant(
        id="sceptr-dropout-noise-only",
        folder="SCEPTR_dropout_noise_only",
        sha256="01adf95aabd30be0571df47badb47222fe0e3a55e8fdc006b1d50898f72ee94d",
        parameters=151_936,
        note="Copies for contrastive learning differ by dropout alone.",
    ),
    _Variant(
        id="sceptr-finetuned",
        folder="SCEPTR_finetuned",
        sha256="4f57cf3d7beabb19246cd2531b25401083a1dcb43750d110e19cba1ccb19d311",
        parameters=151_936,
        training_data=f"{_RECEPTORS}, then receptors of six epitopes (VDJdb)",
        label_level="which of six epitopes a receptor binds",
        note="Fine-tuned on six epitopes; worse than the default on all else, say its authors.",
    ),
    _Variant(
        id="sceptr-alpha",
        folder="A_SCEPTR",
        sha256="d4aa24ac9d9c4ac009260fac8552ef5947ebdddd077349b327fb8976a53dff4e",
        parameters=151_744,
        config=SINGLE,
        chain="alpha",
        training_data=f"alpha chains of {_RECEPTORS}",
        note="Trained on alpha chains alone.",
    ),
    _Variant(
        id="sceptr-beta",
        folder="B_SCEPTR",
        sha256="02cd38fe8d547327e71c9b68296a14184880cc991641e02c1c432aa6807b3d79",
        parameters=151_744,
        config=SINGLE,
        training_data=f"beta chains of {_RECEPTORS}",
        note="Trained on beta chains alone.",
    ),
)


def _notes(variant: _Variant) -> str:
    own = (
        "mean over residues, [CLS] left out, of the last layer but one"
        if variant.config.pools_residues
        else "[CLS] of the last layer (pooling 'mean' takes [CLS] too)"
    )
    return (
        f"Ablation study of one network. {variant.note} Out-of-distribution control on proteins in "
        f"general: the residue sequence is read as the third loop (CDR3) of the {variant.chain} "
        "chain of a T-cell receptor without V genes, and such loops have 8 to 25 residues. The "
        f"original's embedding, and the default here: {own}; the original then scales each row to "
        "length one, here rows keep their length. Residues that are none of the twenty are left "
        "out and keep their place."
    )


def sceptr_encoder(card: ModelCard, config: SceptrConfig, params: Any) -> Encoder:
    """A variant ready for extraction.

    Args:
      card: facts about the model; its `layers` are `config.layer_names`.
      config: sizes of the network.
      params: Flax parameters.

    Returns:
      An encoder of residue sequences; its nodes are [CLS] and the residues.
    """
    limit = config.positions
    buckets = _BUCKETS if limit is None else (17, 33, 65, limit + 1)
    return Encoder(
        card=card,
        params=jax.tree.map(jnp.asarray, params),
        featurize=bind(loop_featurize, limit),
        batching=RowBuckets(
            size=token_count,
            buckets=buckets,
            batch_size=lambda bucket: max(1, _TOKENS_PER_BATCH // (bucket - 1)),
            pad=collate_loops,
            grows=limit is None,
        ),
        apply=bind(apply_sceptr, config),
    )


def _build(entry: ModelEntry, *, variant: _Variant) -> Encoder:
    path = f"sceptr/_model_saves/{variant.folder}/state_dict.pt"
    arrays = read_weights(_ARCHIVE, path, sha256=variant.sha256, format="torch-zip")
    params = convert_sceptr(variant.config, arrays)
    return sceptr_encoder(entry.card, variant.config, params)


def _build_random(entry: ModelEntry) -> Encoder:
    return sceptr_encoder(entry.card, PAIRED, init_params(PAIRED, seed=0))


def _entry(variant: _Variant) -> ModelEntry:
    card = ModelCard(
        id=variant.id,
        name=variant.folder.replace("_", " "),
        family="SCEPTR",
        modality="protein-sequence",
        pretrained=True,
        width=variant.config.hidden,
        layer=variant.config.own_layer,
        layers=variant.config.layer_names,
        pooling="mean" if variant.config.pools_residues else "cls",
        training_data=variant.training_data,
        label_level=variant.label_level,
        parameters=variant.parameters,
        symmetry="invariant",  # a sequence has no coordinates to rotate
        licence=_ARCHIVE.licence,
        citation=_ARCHIVE.citation,
        package=_ARCHIVE.requirement,
        package_sha256=_ARCHIVE.sha256,
        verified="weights",
        notes=_notes(variant),
    )
    build = functools.partial(_build, variant=variant)
    return ModelEntry(card=card, archives=(_ARCHIVE,), build=build)


def _random_entry() -> ModelEntry:
    default = _entry(VARIANTS[0]).card
    card = default.random_twin(
        id="sceptr-random",
        name="SCEPTR, random weights",
        notes=f"Random weights: normal(0, 1/√d), biases 0, norm scales 1, seed 0. {default.notes}",
        **NOTHING_FETCHED,
    )
    return ModelEntry(card=card, archives=(), build=_build_random)


ENTRIES: tuple[ModelEntry, ...] = (*map(_entry, VARIANTS), _random_entry())
