"""Proves the D-MPNN port against chemprop and writes the golden activations of its tests.

Needs an environment of its own with chemprop 2 (and so torch) besides this package:

    python scripts/golden_dmpnn.py --out=tests/data --proofs=benchmarks/results

Every layer of all ten checkpoints is compared on hostile molecules and 60 shipped ones, in float32
(largest difference relative to the largest value of the layer; must be ≤ 1e-4) and float64
(≤ 1e-10); the features of 2,000 shipped molecules must be equal bit by bit. Takes a minute.
"""

import argparse
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import chemprop
import jax
import jax.numpy as jnp
import numpy as np
import rdkit
import torch
from chemprop.data import BatchMolGraph, MoleculeDatapoint
from chemprop.featurizers import SimpleMoleculeMolGraphFeaturizer
from chemprop.models import MPNN
from rdkit import Chem

import jaxalign
from jaxalign.archives.atomic import write_json
from jaxalign.archives.entries import read_entry
from jaxalign.archives.fetch import fetch
from jaxalign.archives.pinned import ARCHIVES
from jaxalign.models.dmpnn.catalog_admet import ENTRIES
from jaxalign.models.dmpnn.dmpnn import DEPTH, LAYERS
from jaxalign.models.dmpnn.molecular_graph import ATOM_FEATURES, BOND_FEATURES, featurize_graph
from jaxalign.structures.structure import Structure

SMILES = (
    "C",  # one atom, no bond
    "[H][H]",  # two atoms
    "[Na+].[Cl-]",  # no bond, two molecules
    "CCO",
    "CC(=O)[O-].[NH4+]",  # charges, two molecules
    "C/C=C\\C(C)=O",  # double-bond stereo
    "N[C@@H](C)C(=O)O",  # tetrahedral stereo
    "O=C(O)c1ccc(Br)cc1Cl",
    "C1CC2(C1)OC21CC1",  # small rings, many bonds
    "[2H]C(F)(F)S(=O)(=O)I",
    "CC(=O)Oc1ccccc1C(=O)O",
    "CN1CCC[C@H]1c1cccnc1.OC(=O)[C@H](O)[C@@H](O)C(O)=O",
)
COMMAND = "python scripts/golden_dmpnn.py --out=tests/data --proofs=benchmarks/results"
BUCKET = 24
COLUMNS = slice(None, None, 50)  # of 300: what the golden file keeps of every atom
FINGERPRINT_COLUMNS = slice(0, 8)


def original_layers(model: MPNN, graph: BatchMolGraph) -> dict[str, np.ndarray]:
    """Each hidden state that the port offers, by the original's own methods."""
    passing = model.message_passing
    layers = {}
    with torch.no_grad():
        start = passing.initialize(graph)
        edges = passing.tau(start)
        for step in range(1, DEPTH + 1):
            if step > 1:
                edges = passing.update(passing.message(edges, graph), start)
            zeros = torch.zeros(len(graph.V), edges.shape[1], dtype=edges.dtype)
            layers[f"message_{step}"] = zeros.index_add(0, graph.edge_index[1], edges)
        layers["atoms"] = passing(graph)
        layers["fingerprint"] = model.fingerprint(graph)
    return {name: value.numpy() for name, value in layers.items()}


def ported_layers(encoder, dtype, every: Sequence[str]) -> dict[str, np.ndarray]:
    examples = [encoder.featurize(Structure(id=smiles, smiles=smiles)) for smiles in every]
    batch = encoder.batching.pad(examples, BUCKET, len(every) + 1)

    def cast(x):
        return jnp.asarray(x, dtype) if np.issubdtype(x.dtype, np.floating) else jnp.asarray(x)

    params, batch = jax.tree.map(cast, (encoder.params, dict(batch)))
    apply = jax.jit(encoder.apply, static_argnums=2)
    features = {name: apply(params, batch, name) for name in LAYERS}
    layers = {name: np.asarray(f.values)[np.asarray(f.mask)] for name, f in features.items()}
    values, mask = features["atoms"]
    layers["fingerprint"] = np.asarray(values * mask[..., None]).sum(axis=1)[: len(every)] / 100
    return layers


def checkpoints() -> Iterator[tuple[str, str]]:
    for kind in ("classification", "regression"):
        for member in range(5):
            path = f"admet_ai/resources/models/admet_{kind}/model_{member}.pt"
            yield f"admet-dmpnn-{kind}-{member}", path


def load_original(path: str) -> MPNN:
    data = read_entry(fetch(ARCHIVES["admet-ai"]), path)  # hash of the archive checked by fetch
    return MPNN.load_from_file(io.BytesIO(data), map_location="cpu").eval()


def make_graph(dtype, every: Sequence[str]) -> BatchMolGraph:
    featurize = SimpleMoleculeMolGraphFeaturizer()
    graph = BatchMolGraph([featurize(MoleculeDatapoint.from_smi(s).mol) for s in every])
    graph.V, graph.E = graph.V.to(dtype), graph.E.to(dtype)
    return graph


def differences(dtype: str, every: Sequence[str]) -> dict[str, dict[str, tuple[float, float]]]:
    """Checkpoint → layer → largest difference: relative to its largest value, and absolute."""
    entries = {entry.card.id: entry for entry in ENTRIES}
    graph = make_graph(getattr(torch, dtype), every)
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for model_id, path in checkpoints():
        entry = entries[model_id]
        model = load_original(path).to(getattr(torch, dtype))
        ported = ported_layers(entry.build(entry), getattr(np, dtype), every)
        found[model_id] = {}
        for name, value in original_layers(model, graph).items():
            error = float(np.abs(ported[name] - value).max())
            found[model_id][name] = error / float(np.abs(value).max()), error
    return found


def by_layer(found: dict[str, dict[str, tuple[float, float]]]) -> dict[str, float]:
    """The worst checkpoint of each layer."""
    layers = next(iter(found.values()))
    return {name: max(model[name][0] for model in found.values()) for name in layers}


def proofs(single: dict, double: dict, structures: int) -> list[dict]:
    """Rows of the table of proofs."""
    return [
        {
            "model": model_id,
            "original": f"chemprop {chemprop.__version__}, torch {torch.__version__}",
            "structures": structures,
            "hidden_relative_float32": max(relative for relative, _ in layers.values()),
            "hidden_absolute_float32": max(absolute for _, absolute in layers.values()),
            "hidden_relative_float64": max(r for r, _ in double[model_id].values()),
            "energy_ev_per_atom_float32": None,
            "command": COMMAND,
        }
        for model_id, layers in single.items()
    ]


def shipped_smiles() -> list[str]:
    folder = Path(jaxalign.__file__).parent / "data"
    files = (folder / "qm9_10k.npz", folder / "moses_scaffold_test_5k.npz")
    return [str(smiles) for file in files for smiles in np.load(file)["smiles"][:1000]]


def require_equal_features() -> dict[str, np.ndarray]:
    """Compares the featurizers bit by bit; column sums of the original's features of `SMILES`."""
    featurize = SimpleMoleculeMolGraphFeaturizer()
    sums = {"atoms": np.zeros(ATOM_FEATURES), "bonds": np.zeros(BOND_FEATURES)}
    for smiles in (*SMILES, *shipped_smiles()):
        theirs = featurize(MoleculeDatapoint.from_smi(smiles).mol)
        ours = featurize_graph(Structure(id=smiles, smiles=smiles))
        np.testing.assert_array_equal(ours["atoms"], theirs.V)
        np.testing.assert_array_equal(ours["bonds"], theirs.E)
        np.testing.assert_array_equal([ours["senders"], ours["receivers"]], theirs.edge_index)
        np.testing.assert_array_equal(np.arange(len(theirs.E)) ^ 1, theirs.rev_edge_index)
        if smiles in SMILES:
            sums["atoms"] += theirs.V.sum(axis=0, dtype=np.float64)
            sums["bonds"] += theirs.E.sum(axis=0, dtype=np.float64)
    return sums


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for golden_dmpnn.npz")
    parser.add_argument("--proofs", type=Path, help="folder of proofs_dmpnn.json")
    arguments = parser.parse_args()
    output = arguments.out / "golden_dmpnn.npz"
    sums = require_equal_features()
    small = [s for s in shipped_smiles() if Chem.MolFromSmiles(s).GetNumAtoms() <= BUCKET]
    every = [*SMILES, *small[:: len(small) // 60]]
    compared = differences("float32", every)
    graph = make_graph(torch.float32, SMILES)
    originals = {name: original_layers(load_original(p), graph) for name, p in checkpoints()}
    jax.config.update("jax_enable_x64", True)
    exact = differences("float64", every)
    single, double = by_layer(compared), by_layer(exact)
    print("float32, relative:", {name: f"{value:.1e}" for name, value in single.items()})
    print("float64, relative:", {name: f"{value:.1e}" for name, value in double.items()})
    if max(single.values()) > 1e-4 or max(double.values()) > 1e-10:
        raise SystemExit("the port does not agree with the original; nothing was written")
    provenance = {
        "script": "scripts/golden_dmpnn.py",
        "archive": f"{ARCHIVES['admet-ai'].requirement} sha256 {ARCHIVES['admet-ai'].sha256}",
        "chemprop": chemprop.__version__,
        "torch": torch.__version__,
        "rdkit": rdkit.__version__,
        "float32_relative": single,
        "float64_relative": double,
    }
    first = next(iter(originals))
    golden = {name: originals[first][name][:, COLUMNS] for name in LAYERS}
    golden |= {f"sum_of_{name}": value for name, value in sums.items()}
    for model_id, layers in originals.items():
        golden[model_id] = layers["fingerprint"][:, FINGERPRINT_COLUMNS]
    output.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        output, smiles=np.array(SMILES), provenance=json.dumps(provenance), **golden
    )
    if arguments.proofs:
        rows = proofs(compared, exact, len(every))
        write_json(arguments.proofs / "proofs_dmpnn.json", rows)
    print(f"{output}: {output.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
