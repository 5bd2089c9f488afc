"""Proves the port of chython-rxnmap against its ONNX file, and writes golden activations.

Needs an environment of its own with chython 3.4, onnx and onnxruntime besides this package:

    python scripts/golden_chython.py --out=SOME_FOLDER --proofs=benchmarks/results

The weights are under the LGPL: what is made with them goes to `--out` and is no part of the
project. Tokens of more than 300 molecules and reactions must be those of chython's own encoder, and
all hidden states must agree with onnxruntime in float32 (largest difference relative to the largest
value of the layer; must be ≤ 1e-4), and for some of them with the same graph run in float64 by
onnx's reference evaluator (≤ 1e-10), its constants of float32 (√2, the ε of layer norms) replaced
by exact ones. Takes about five minutes.
"""

import argparse
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
import onnx
import onnxruntime
import rdkit
from chython.core import read_smiles
from chython.reactions.attention._encode import encode_reaction
from onnx_double import Comparison, in_double

from jaxalign.archives.entries import read_entry
from jaxalign.archives.fetch import fetch
from jaxalign.archives.pinned import ARCHIVES
from jaxalign.models.chython import graph_transformer as network
from jaxalign.models.chython.reaction_tokens import REACTION
from jaxalign.models.encoder import Encoder, Example, Shape
from jaxalign.models.registry import load_model
from jaxalign.structures.datasets import load_dataset
from jaxalign.structures.structure import Structure

COMMAND = "python scripts/golden_chython.py --out=SOME_FOLDER --proofs=benchmarks/results"
REACTIONS = (
    "OC(=O)C(=C)C=C.C=CC#N>>OC(=O)C1=CCCC(C1)C#N",
    "CC(=O)O.CCN>[Na+].[Cl-]>CC(=O)NCC.O",
    "c1ccccc1.ClCl>>c1ccccc1Cl.Cl",
    "[13CH4].Cl>>[13CH3]Cl",
    "O>>O",
    "CCO>>CC=O.O.O",
    "[NH4+].[OH-]>>N.O",
    "OB(O)c1ccccc1.Brc1ccncc1>>c1ccc(cc1)-c1ccncc1",
    "CC(C)(C)OC(=O)NCc1ccccc1>>NCc1ccccc1",
    "O=[N+]([O-])c1ccccc1>>Nc1ccccc1",
)
HOSTILE = tuple(
    "C [Na+].[Cl-] [U+4] O=[Os](=O)(=O)=O C[N+](C)(C)C CCCCCCCCCCCCCCCCCC [2H]C([2H])[2H] [Og] "
    "C[Si](C)(C)C c1ccccc1.O [H][H] [H]C([H])([H])[H] [H]O[H] [H+] *CC O->[Fe] FS(F)(F)(F)(F)F "
    "[nH]1cccc1 [cH-]1cccc1 [CH3:1][OH:2] C%12CC%12 N[C@@H](C)C(=O)O C/C=C\\C [13CH4] [Xe](F)F "
    "B1OBOBO1 O=c1cc[nH]cc1 [se]1cccc1 [Pt](Cl)(Cl)(N)N C=[N+]=[N-] [O][O] [CH3] C#N "
    "C12C3C4C1C5C2C3C45 CN1CCC[C@H]1c1cccnc1.OC(=O)[C@H](O)[C@@H](O)C(O)=O "
    "CC(=O)[O-].[NH4+].O.[Na+].[Cl-] "
    f"{'C' * 90} {'N[C@@H](Cc1ccccc1)C(=O)' * 8}O".split()
)
GOLDEN = (*HOSTILE[:4], "CCO", "CC(=O)Oc1ccccc1C(=O)O", *REACTIONS[:2])
COLUMNS = slice(None, None, 64)
IN_DOUBLE = 60  # molecules and reactions that are compared in float64
BUCKETS = (12, 32, 48, 96)
PASSES = {"mol": network.MOLECULE_LAYERS, "rxn": network.REACTION_LAYERS}


def states_in_graph() -> dict[str, str]:
    """Our names of the hidden states → the graph's."""
    names = {"mol_0": "/Add_output_0", "rxn_0": "/Add_1_output_0"}
    for kind, passes in PASSES.items():
        for number in range(passes):
            suffix = f"_{number}" if number else ""
            layer = f"/{kind}_layer/norm2{suffix}/LayerNormalization_output_0"
            names[f"{kind}_{number + 1}"] = layer
    return names


def strings() -> list[str]:
    """SMILES of the proof, molecules and reactions."""
    drawn = [
        structure.smiles
        for name in ("qm9", "moses-scaffolds")
        for structure in load_dataset(name, n=120, seed=3)
    ]
    salts = ("[Na+].[Cl-]", "OC(=O)C(O)C(O)C(O)=O", "[Br-]", "O", "CS(=O)(=O)[O-].[NH4+]")
    mixed = [f"{one}.{salts[number % 5]}" for number, one in enumerate(drawn[::8])]
    return list(dict.fromkeys([*GOLDEN, *HOSTILE, *REACTIONS, *drawn, *mixed]))


def original_tokens(smiles: str) -> dict[str, np.ndarray]:
    """What chython's own reader and encoder make of a SMILES."""
    sides = [smiles], []
    if smiles.count(">") == 2:
        sides = [side.split(".") for side in smiles.split(">")[::2]]
    found = encode_reaction(*([read_smiles(one) for one in side] for side in sides))
    names = ("atoms", "neighbors", "distances", "roles")
    return {name: np.asarray(getattr(found, name)) for name in names}


def require_equal_tokens(smiles: str, ours: Example, theirs: dict[str, np.ndarray]) -> None:
    np.testing.assert_array_equal(ours["elements"], theirs["atoms"][1:], smiles)
    np.testing.assert_array_equal(ours["neighbors"], theirs["neighbors"][1:], smiles)
    np.testing.assert_array_equal(ours["distances"], theirs["distances"][1:, 1:], smiles)
    np.testing.assert_array_equal(ours["roles"][1:], theirs["roles"][2:], smiles)
    # The reaction's token, which the port leaves out where it is alone.
    lone = np.eye(1, len(theirs["atoms"]))[0]
    np.testing.assert_array_equal(theirs["distances"][0], lone, smiles)
    np.testing.assert_array_equal(theirs["distances"][:, 0], lone, smiles)
    np.testing.assert_array_equal([ours["roles"][0], theirs["roles"][0]], REACTION, smiles)


@jax.jit
def run_port(params, batch):
    return network.hidden_states(params, batch)[0]


def ported_states(
    encoder: Encoder, examples: Sequence[Example], shape: Shape, dtype: type
) -> list[dict[str, np.ndarray]]:
    """Hidden states of each example under the names of `states_in_graph`."""
    params = jax.tree.map(lambda leaf: np.asarray(leaf, dtype), encoder.params)
    states = run_port(params, dict(encoder.batching.collate(examples, shape)))
    molecule, reaction = np.asarray(states.molecule), np.asarray(states.reaction)
    found = []
    for row, example in enumerate(examples):
        count = len(example["elements"])
        found.append({f"mol_{n}": state[row, :count] for n, state in enumerate(molecule)})
        found[-1] |= {f"rxn_{n}": state[row, :count] for n, state in enumerate(reaction)}
    return found


def compare(comparison: Comparison, ours: dict, theirs: dict) -> None:
    for name, values in theirs.items():
        # One token more: that of the reaction, whose place the first molecule's has here.
        skip = 0 if name.startswith("mol") else 1
        comparison.add(name, ours[name], np.delete(values[0], skip, axis=0))


def write_golden(folder: Path, states: dict[str, list[np.ndarray]]) -> None:
    arrays = {
        name: np.concatenate([one[0][:, COLUMNS] for one in parts])
        for name, parts in states.items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / "golden_chython.npz", smiles=np.array(GOLDEN), **arrays)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for golden_chython.npz")
    parser.add_argument("--proofs", type=Path, required=True, help="folder for the proof's figures")
    options = parser.parse_args()
    encoder = load_model("chython-rxnmap")
    file = read_entry(fetch(ARCHIVES["chython-rxnmap"]), "chython_rxnmap/rxnmap.onnx")
    graph = onnx.load_from_string(file)
    names = states_in_graph()
    for name in names.values():
        graph.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    double = in_double(graph)

    smiles = strings()
    ours = [encoder.featurize(Structure(id=one, smiles=one)) for one in smiles]
    theirs = [original_tokens(one) for one in smiles]
    for one, own, other in zip(smiles, ours, theirs, strict=True):
        require_equal_tokens(one, own, other)
    print(f"{len(smiles)} molecules and reactions have the tokens of chython", flush=True)

    single, wide = Comparison(), Comparison()
    golden = {name: [None] * len(GOLDEN) for name in names}
    # Few sizes, since each is compiled twice.
    batching = dataclasses.replace(encoder.batching, buckets=BUCKETS)
    for plan in batching.plan(ours):
        examples = [ours[row] for row in plan.rows]
        mine = ported_states(encoder, examples, plan.shape, np.float32)
        chosen = [row for row in plan.rows if row < IN_DOUBLE]
        exact = {}
        if chosen:
            with jax.enable_x64(True):
                some = [ours[row] for row in chosen]
                exact = dict(
                    zip(chosen, ported_states(encoder, some, plan.shape, np.float64), strict=True)
                )
        for row, states in zip(plan.rows, mine, strict=True):
            feeds = {name: value[None].astype(np.int64) for name, value in theirs[row].items()}
            found = dict(zip(names, session.run([*names.values()], feeds), strict=True))
            compare(single, states, found)
            if row in exact:
                wanted = double.run([*names.values()], feeds)
                compare(wide, exact[row], dict(zip(names, wanted, strict=True)))
            if row < len(GOLDEN):
                for name, values in found.items():
                    golden[name][row] = values
        print(plan.shape, flush=True)
    print("float32, relative:", {k: f"{v:.1e}" for k, v in single.relative().items()})
    print("float64, relative:", {k: f"{v:.1e}" for k, v in wide.relative().items()})
    if max(single.relative().values()) > 1e-4 or max(wide.relative().values()) > 1e-10:
        raise SystemExit("the port does not agree with the original; nothing was written")
    proof = {
        "model": "chython-rxnmap",
        "original": f"chython 3.4, chython-rxnmap 2.0, onnxruntime {onnxruntime.__version__}, "
        f"rdkit {rdkit.__version__}",
        "structures": len(smiles),
        "hidden_relative_float32": max(single.relative().values()),
        "hidden_absolute_float32": max(single.difference.values()),
        "hidden_relative_float64": max(wide.relative().values()),
        "energy_ev_per_atom_float32": None,
        "structures_float64": IN_DOUBLE,
        "command": COMMAND,
    }
    write_golden(options.out, golden)
    (options.proofs / "proofs_chython.json").write_text(json.dumps([proof], indent=1) + "\n")


if __name__ == "__main__":
    main()
