"""Proves the eSEN and UMA ports on random weights and writes the data of their tests.

Needs environments of their own with torch and fairchem-core besides this package: 2.24.0 for eSEN
with charges and for UMA, 1.10.0 for the first generation (eSEN-30M). Run in each of them:

    python scripts/golden_esen.py --out=tests/data --proofs=benchmarks/results/proofs_esen.json

Packages that fairchem-core imports for training alone may be absent: they are replaced by empty
ones. Models of the shapes of the released ones are made with random weights, every parameter is
perturbed, and the model goes through files of several kinds, the published form among them. The
features of all atoms before, between and behind all blocks, all coefficients, and the energies are
compared on crystals, molecules and hostile structures, in float32 (largest difference relative to
the largest value of the layer; must be ≤ 1e-4, energies ≤ 1e-4 eV an atom) and float64 (≤ 1e-10).
The original's frames about edges are random, as it draws them, except for activations on a grid,
whose result depends on them. Takes about twenty minutes.
"""

import argparse
import dataclasses
import functools
import importlib.abc
import importlib.machinery
import importlib.metadata
import json
import sys
import tempfile
import types
from pathlib import Path

import ase
import ase.build
import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy
import torch
from potential_proof import as_structure, compare

from jaxalign.models.atomistic.atom_graph import neighbor_pairs
from jaxalign.models.esen import esen
from jaxalign.models.esen.esen_encoder import esen_packing, featurize_esen, read_model
from jaxalign.models.esen.sphere import exchange_matrix
from jaxalign.models.weight_files.user_file import read_user_file
from jaxalign.structures.datasets import load_dataset
from jaxalign.structures.structure import Structure

COMMAND = (
    "python scripts/golden_esen.py --out=tests/data --proofs=benchmarks/results/proofs_esen.json"
)
PACKAGE = "fairchem-core"
VERSION = importlib.metadata.version(PACKAGE)
FIRST = VERSION.startswith("1.")
_ABSENT = ("wandb", "submitit", "clusterscope", "ray", "torch_geometric", "torch_scatter")


class _Nothing:
    """Takes every call and has every attribute."""

    def __init__(self, *_, **__):
        pass

    def __call__(self, *_, **__):
        return _Nothing()

    def __getattr__(self, name):
        return _Nothing()


class _Empty(types.ModuleType):
    """A package whose every name is an empty class."""

    __path__ = ()

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (_Nothing,), {})


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in _ABSENT:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        return _Empty(spec.name)

    def exec_module(self, module):
        pass


sys.meta_path.insert(0, _Finder())
_place = importlib.metadata.distribution(PACKAGE).locate_file("fairchem/core")
# Without the package's own start, which imports servers and trainers.
_core = types.ModuleType("fairchem.core")
_core.__path__ = [str(_place)]
sys.modules["fairchem.core"] = _core

if FIRST:
    from fairchem.core.models.esen import esen as original
else:
    from fairchem.core.datasets.atomic_data import AtomicData
    from fairchem.core.models.uma import escn_md as original
    from fairchem.core.models.uma import escn_moe
    from fairchem.core.units.mlip_unit.api.inference import MLIPInferenceCheckpoint

DATASETS = ["oc20", "omol", "omat", "odac", "omc"]
WIDE = {"sphere_channels": 128, "hidden_channels": 128, "edge_channels": 128, "cutoff": 6.0}
THIN = {"sphere_channels": 16, "hidden_channels": 24, "edge_channels": 20, "num_distance_basis": 40}
UMA = {"num_experts": 32, "use_composition_embedding": True, "dataset_list": DATASETS}
FEW = {"num_experts": 5, "use_composition_embedding": True, "dataset_list": DATASETS}
ALONE = {"use_dataset_embedding": False}
# name: (arguments of the original, what is asked of it, number of crystals and molecules)
SECOND_GENERATION = {
    "UMA-S (128 channels, l 2, m 2, 4 blocks, 32 experts)": (
        {**WIDE, **UMA, "num_layers": 4, "num_distance_basis": 64, "ff_type": "grid"},
        {"dataset": "omat"},
        6,
    ),
    "eSEN-sm-OMol (128 channels, l 2, m 2, 4 blocks)": (
        {**WIDE, **ALONE, "num_layers": 4, "ff_type": "spectral", "max_neighbors": 30},
        {"charge": -1, "spin": 2},
        8,
    ),
    "UMA-M like (l 4, m 2, 3 blocks, 5 experts, omol)": (
        {**THIN, **FEW, "lmax": 4, "num_layers": 3, "ff_type": "grid"},
        {"dataset": "omol", "charge": 1, "spin": 3},
        50,
    ),
    "UMA-S-1.2 like (balanced channels, counts one atom too many)": (
        {
            **THIN,
            **FEW,
            "num_layers": 2,
            "charge_balanced_channels": [0, 1],
            "spin_balanced_channels": [2],
            "model_id": "UMA-S-1.2",
        },
        {"dataset": "oc20", "charge": 2, "spin": 1},
        50,
    ),
    "experts for order 0 alone, random embedding of charge": (
        {**THIN, **FEW, "moe_type": "so2m0", "chg_spin_emb_type": "rand_emb"},
        {"dataset": "odac", "charge": -2},
        16,
    ),
    "activation on a grid, one norm for all degrees (l 3, m 2)": (
        {**THIN, **ALONE, "lmax": 3, "act_type": "s2", "use_quaternion_wigner": False},
        {},
        16,
    ),
    "one norm for each degree, 12 neighbors": (
        {
            **THIN,
            **ALONE,
            "norm_type": "layer_norm",
            "ff_type": "spectral",
            "max_neighbors": 12,
        },
        {"charge": 3},
        16,
    ),
    "norm of scalars and the rest, linear head (l 1, m 1)": (
        {
            **THIN,
            **ALONE,
            "norm_type": "layer_norm_sh",
            "lmax": 1,
            "mmax": 1,
            "head": "linear",
            "num_layers": 3,
        },
        {},
        16,
    ),
    "tiny UMA (4 channels, 2 experts)": (
        {
            "sphere_channels": 4,
            "hidden_channels": 6,
            "edge_channels": 4,
            "num_distance_basis": 8,
            "num_experts": 2,
            "use_composition_embedding": True,
            "dataset_list": ["omat", "omol"],
            "num_layers": 2,
            "cutoff": 4.0,
            "max_num_elements": 20,
            "ff_type": "grid",
        },
        {"dataset": "omol"},
        52,
    ),
}
FIRST_GENERATION = {
    "eSEN-30M (128 channels, l 3, m 2, 10 blocks)": (
        {
            **WIDE,
            "lmax": 3,
            "num_layers": 10,
            "num_distance_basis": 64,
            "act_type": "gate",
            "mlp_type": "spectral",
            "use_envelope": True,
        },
        {},
        8,
    ),
    "first generation without envelope (l 2, m 1)": (
        {**THIN, "mmax": 1, "act_type": "gate", "mlp_type": "grid", "use_envelope": False},
        {},
        50,
    ),
}
MODELS = FIRST_GENERATION if FIRST else SECOND_GENERATION
LARGE = 5e7  # parameters; larger models go through one file alone
TINY = "tiny UMA (4 channels, 2 experts)"


class Original(torch.nn.Module):
    """Backbone and head of the original, with the scale of the energies."""

    def __init__(self, *, head="mlp", model_id=None, **settings):
        super().__init__()
        if FIRST:
            self.backbone = original.eSEN_Backbone(otf_graph=False, direct_forces=True, **settings)
            self.output_heads = torch.nn.ModuleDict(
                {"energy": original.MLP_Energy_Head(self.backbone)}
            )
            self.datasets = []
            return
        kind = escn_moe.eSCNMDMoeBackbone if "num_experts" in settings else original.eSCNMDBackbone
        self.backbone = kind(otf_graph=True, always_use_pbc=False, regress_forces=False, **settings)
        self.datasets = sorted(settings.get("dataset_list", []))
        if model_id:
            self.backbone.model_id = model_id
        self.output_heads = torch.nn.ModuleDict({"energyandforcehead": self._head(head)})

    def _head(self, kind):
        if self.datasets:
            return escn_moe.DatasetSpecificMoEWrapper(
                self.backbone,
                f"{original.__name__}.MLP_EFS_Head",
                head_kwargs={"wrap_property": False},
                dataset_names=self.datasets,
            )
        heads = {"mlp": original.MLP_EFS_Head, "linear": original.Linear_Energy_Head}
        return heads[kind](self.backbone)


def random_model(settings):
    """A model of the original whose parameters are all drawn and perturbed, in float64."""
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(11)
    model = Original(**settings)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1 + 0.1 * torch.randn_like(parameter))
            parameter.add_(0.02 * torch.randn_like(parameter))
    return model.eval()


def files_of(model, settings, asked, references, folder: Path) -> list[Path]:
    """The model in a file of each kind."""
    if sum(parameter.numel() for parameter in model.parameters()) > LARGE:
        return [_published(model, settings, asked, references, folder)]
    arrays = {name: value.numpy() for name, value in model.state_dict().items()}
    told = ("cutoff", "max_neighbors", "norm_type", "use_envelope", "model_id")
    told += ("charge_balanced_channels", "spin_balanced_channels")
    stated = {"cutoff": 5.0, **{name: settings[name] for name in told if name in settings}}
    stated |= {"act_type": settings.get("act_type", "gate"), **asked}
    stated |= {"normalizer": {"mean": 0.3, "rmsd": 1.7}, "element_references": references}
    torch.save({"state_dict": model.state_dict()}, folder / "state.pt")
    contiguous = {name: value.copy(order="C") for name, value in arrays.items()}
    safetensors.numpy.save_file(contiguous, folder / "state.safetensors")
    np.savez(folder / "state.npz", **arrays)
    (folder / "state.json").write_text(json.dumps(stated))
    paths = [folder / name for name in ("state.pt", "state.safetensors", "state.npz")]
    return paths if FIRST else [*paths, _published(model, settings, asked, references, folder)]


def _published(model, settings, asked, references, folder: Path) -> Path:
    """A checkpoint of the form in which the original's weights are published."""
    backbone = {"model": "escnmd_backbone", "cutoff": 5.0, **settings}
    model_id = backbone.pop("model_id", None)
    backbone.pop("head", None)
    head = {"module": "head", "dataset_names": model.datasets} if model.datasets else {}
    normalizer = {"_target_": "Normalizer", "mean": 0.3, "rmsd": 1.7}
    task = {
        "name": "energy",
        "property": "energy",
        "datasets": model.datasets or ["omol"],
        "normalizer": normalizer,
        "element_references": {
            "_target_": "ElementReferences",
            "element_references": {"_target_": "torch.DoubleTensor", "_args_": [references]},
        },
    }
    averaged = {f"module.{name}": value for name, value in model.state_dict().items()}
    averaged["n_averaged"] = torch.tensor(7)
    checkpoint = MLIPInferenceCheckpoint(
        model_config={
            "backbone": backbone,
            "heads": {"energyandforcehead": head},
            "model_id": model_id,
        },
        # What must not be read, since there are running means.
        model_state_dict={name: torch.zeros(()) for name in model.state_dict()},
        ema_state_dict=averaged,
        tasks_config=[{"name": "forces", "property": "forces"}, task],
    )
    torch.save(checkpoint, folder / "published.pt")
    (folder / "published.json").write_text(json.dumps(asked))
    return folder / "published.pt"


def ported_model(model, settings, asked, references, folder: Path):
    """Parameters, settings and references; they must not depend on the kind of file."""
    found = [
        read_model(read_user_file(path))
        for path in files_of(model, settings, asked, references, folder)
    ]
    for params, own, system, energies in found[1:]:
        if (own, system, energies) != found[0][1:]:
            raise SystemExit(f"files differ: {own} {system}, {found[0][1:3]}")
        jax.tree.map(np.testing.assert_array_equal, params, found[0][0])
    return found[0]


def hostile(highest: int) -> list[Structure]:
    """One atom, isolated ones, a slab, a skewed cell, edges along all axes, a squeezed molecule."""
    bulk = ase.build.bulk("Si")
    rattled = bulk * (2, 1, 1)
    rattled.numbers[0] = highest
    rattled.rattle(0.1, seed=3)
    skewed = rattled.copy()
    skewed.set_cell(skewed.cell.array @ np.array([[1, 0, 0], [1.4, 1, 0], [0.3, -0.9, 1]]), True)
    slab = ase.build.fcc100("Cu", (1, 1, 3), vacuum=6)
    slab.numbers[:] = [14, highest, 1]
    slab.pbc = (True, True, False)
    pair = ase.Atoms("HLi", positions=[[0, 0, 0], [30, 0, 0]])
    squeezed = ase.Atoms("O3", positions=[[0, 0, 0], [0.5, 0, 0], [0, 0.6, 0]])
    cube = ase.Atoms([highest], cell=np.eye(3) * 2.6, pbc=True)
    named = {
        "one-atom-cell": cube,
        "rattled": rattled,
        "skewed": skewed,
        "slab": slab,
        "squeezed": squeezed,
    }
    if not FIRST:  # which leaves out its blocks where there is no edge
        named |= {"no-edge": pair, "isolated": ase.Atoms([highest], positions=[[1, 2, 3]])}
    return [as_structure(name, atoms) for name, atoms in named.items()]


def _rounded(structure: Structure) -> Structure:
    """With positions and cell as the golden file keeps them."""
    cell = None if structure.cell is None else np.round(structure.cell, 4)
    return dataclasses.replace(structure, positions=np.round(structure.positions, 4), cell=cell)


def _rattled(structure: Structure) -> Structure:
    """Without symmetry."""
    moves = np.random.default_rng(7).normal(size=structure.positions.shape, scale=0.05)
    return dataclasses.replace(structure, positions=structure.positions + moves)


def chosen_structures(elements: int, count: int) -> list[Structure]:
    """Small crystals and molecules whose elements are known, and the hostile ones."""
    found = hostile(elements - 1)
    many = len(found)
    for name, share in (("crystals", 0.5), ("qm9", 1.0)):
        candidates = [
            _rounded(s)
            for s in load_dataset(name, n=3900, seed=0)
            if s.atomic_numbers.max() < elements and len(s.atomic_numbers) <= 12
        ]
        found += candidates[: max(0, round(share * (count + many - len(found))))]
    return found


def original_rows(model, structures, asked, dtype) -> list[dict[str, np.ndarray]]:
    """Features of all atoms after each step, and energies, of each structure."""
    torch.set_default_dtype(dtype)
    model = model.to(dtype)
    if not FIRST and model.backbone.act_type == "s2":
        torch.rand_like = torch.zeros_like
    return [_original_row(model, structure, asked, dtype) for structure in structures]


@torch.no_grad()
def _original_row(model, structure, asked, dtype):
    backbone, row = model.backbone, {}
    names = ["embedding", *(f"block_{t + 1}" for t in range(len(backbone.blocks)))]
    hooks = [
        module.register_forward_pre_hook(functools.partial(_keep, row, name))
        for name, module in zip(names, [*backbone.blocks, backbone.norm], strict=True)
    ]
    data = (_first_data if FIRST else _data)(model, structure, asked, dtype)
    embedded = backbone(data)
    for hook in hooks:
        hook.remove()
    row["final"] = embedded["node_embedding"].numpy().copy()
    (head,) = model.output_heads.values()
    result = head(data, embedded)
    while isinstance(result, dict):
        own = [f"{asked.get('dataset')}_energy", "energy", *result]
        result = result[next(name for name in own if name in result)]
    row["energies"] = np.array([float(result)])
    return row


def _keep(row, name, _, inputs):
    row[name] = inputs[0].numpy().copy()


def _as_atoms(structure):
    return ase.Atoms(
        structure.atomic_numbers, structure.positions, cell=structure.cell, pbc=structure.pbc
    )


def _data(model, structure, asked, dtype):
    spin = asked.get("spin", int(asked.get("dataset") == "omol"))
    atoms = _as_atoms(structure)
    atoms.info.update(charge=asked.get("charge", 0), spin=spin)
    return AtomicData.from_ase(
        atoms, task_name=asked.get("dataset"), target_dtype=dtype, r_data_keys=["charge", "spin"]
    )


class _Data(dict):
    """A dict whose items are attributes too."""

    __getattr__ = dict.__getitem__


def _first_data(model, structure, asked, dtype):
    """Edges from a search that the proofs of the second generation check against the original's."""
    pairs = neighbor_pairs(structure, cutoff=model.backbone.cutoff)
    numbers = torch.tensor(structure.atomic_numbers, dtype=torch.long)
    cell = np.zeros((3, 3)) if structure.cell is None else structure.cell
    edges = np.stack([pairs.neighbors, pairs.centers]).astype(np.int64)
    batch = torch.zeros(len(numbers), dtype=torch.long)
    return _Data(
        pos=torch.tensor(structure.positions, dtype=dtype),
        atomic_numbers=numbers,
        atomic_numbers_full=numbers,
        batch=batch,
        batch_full=batch,
        natoms=torch.tensor([len(numbers)]),
        cell=torch.tensor(cell, dtype=dtype)[None],
        edge_index=torch.tensor(edges),
        cell_offsets=torch.tensor(pairs.shifts),
        nedges=torch.tensor([len(pairs.centers)]),
    )


def ported_rows(port, structures, dtype) -> list[dict[str, np.ndarray]]:
    """The same of the port, all structures in few batches."""
    params, settings, *_ = port
    params = jax.tree.map(lambda x: jnp.asarray(x, dtype), params)
    packing = esen_packing(settings)
    vectors = dataclasses.replace(packing.layout["vectors"], dtype=dtype)
    packing = dataclasses.replace(packing, layout={**packing.layout, "vectors": vectors})

    @jax.jit
    def run(params, batch):
        states = esen.esen_states(settings, params, batch)
        return states, esen.readout_energy(params, batch, states)

    examples = [featurize_esen(structure, settings=settings) for structure in structures]
    rows: list[dict[str, np.ndarray]] = [{} for _ in structures]
    for plan in packing.plan(examples):
        batch = packing.collate([examples[row] for row in plan.rows], plan.shape)
        states, energies = jax.tree.map(np.asarray, run(params, batch))
        for slot, number in enumerate(plan.rows):
            own, row = batch["graph"] == slot, rows[number]
            row["embedding"], row["final"] = states.embedding[own], states.final[own]
            for t, values in enumerate(states.blocks):
                row[f"block_{t + 1}"] = values[own]
            row["energies"] = np.array([(energies[slot] - 0.3) / 1.7], np.float64)
    return rows


def check_constants(model) -> None:
    """The closed forms are the original's tables."""
    for degree in range(model.backbone.lmax + 1):
        table = getattr(model.backbone, f"Jd_{degree}").double().numpy()
        np.testing.assert_allclose(exchange_matrix(degree), table, atol=1e-12)


def prove(name: str):
    """Proof of one model, its port, the structures and the original's values in float64."""
    settings, asked, count = MODELS[name]
    model = random_model(settings)
    check_constants(model)
    elements = model.backbone.max_num_elements
    references = np.random.default_rng(5).normal(size=elements, scale=3).round(3).tolist()
    with tempfile.TemporaryDirectory() as folder:
        port = ported_model(model, settings, asked, references, Path(folder))
    arrays = {}
    if name == TINY:
        arrays = {key: value.numpy().copy() for key, value in model.state_dict().items()}
    structures = chosen_structures(elements, count)
    if "norm_type" in settings:
        # Norms of single degrees magnify rounding 300-fold where symmetry makes a degree vanish.
        structures = [_rattled(s) for s in structures if len(s.atomic_numbers) > 1]
    with jax.enable_x64(True):
        exact = original_rows(model, structures, asked, torch.float64)
        double = compare(exact, ported_rows(port, structures, np.float64), structures)
    rough = original_rows(model, structures, asked, torch.float32)
    single = compare(rough, ported_rows(port, structures, np.float32), structures)
    proof = {
        "model": name,
        "original": f"{PACKAGE} {VERSION}",
        "structures": len(structures),
        "hidden_relative_float32": single["relative"],
        "hidden_absolute_float32": single["absolute"],
        "hidden_relative_float64": double["relative"],
        "energy_ev_per_atom_float32": single["energy"],
        "command": COMMAND,
    }
    print(json.dumps(proof, indent=1), double)
    return proof, arrays, structures, exact


def write_golden(path: Path, arrays, structures, rows, proofs) -> None:
    """Weights, structures and float64 features of the tiny model."""
    chosen = [*range(7), 7, 8, 9, *range(len(structures) - 2, len(structures))]
    structures, rows = [structures[i] for i in chosen], [rows[i] for i in chosen]
    cells = [np.zeros((3, 3)) if s.cell is None else s.cell for s in structures]
    values = {
        name: np.concatenate([row[name] for row in rows]).astype(np.float32) for name in rows[0]
    }
    np.savez_compressed(
        path / "golden_esen.npz",
        **{f"weights/{name}": value.astype(np.float32) for name, value in arrays.items()},
        **values,
        ids=np.array([s.id for s in structures]),
        atoms=np.array([len(s.atomic_numbers) for s in structures]),
        atomic_numbers=np.concatenate([s.atomic_numbers for s in structures]).astype(np.int16),
        positions_1e4A=np.round(np.concatenate([s.positions for s in structures]) * 1e4).astype(
            np.int32
        ),
        cells_1e4A=np.round(np.stack(cells) * 1e4).astype(np.int32),
        pbc=np.array([s.pbc for s in structures]),
        provenance=json.dumps({"command": COMMAND, "proofs": proofs}),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--proofs", type=Path)
    parser.add_argument("--only", default="", help="part of the name of a model")
    words = parser.parse_args()
    known = {}
    if words.proofs and words.proofs.exists():
        known = {proof["model"]: proof for proof in json.loads(words.proofs.read_text())}
    for name in MODELS:
        if words.only not in name:
            continue
        proof, *data = prove(name)
        known[name] = proof
        limits = {"hidden_relative_float32": 1e-4, "energy_ev_per_atom_float32": 1e-4}
        for fact, limit in (limits | {"hidden_relative_float64": 1e-10}).items():
            if proof[fact] > limit:
                raise SystemExit(f"{name}: {fact} is {proof[fact]:.2e}, wanted {limit}")
        if words.out and name == TINY:
            write_golden(words.out, *data, list(known.values()))
        if words.proofs:
            words.proofs.write_text(json.dumps(list(known.values()), indent=1) + "\n")


if __name__ == "__main__":
    main()
