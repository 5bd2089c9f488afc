"""Weight files of the user: formats, configurations, ids, errors that name what is wrong."""

import json
import pathlib

import jax
import numpy as np
import pytest
import safetensors.numpy

from jaxalign.launch import workflow
from jaxalign.models import registry
from jaxalign.models.encoder import Encoder
from jaxalign.models.user_weights import LOADERS, load_weights
from jaxalign.models.weight_files.checkpoints import CheckpointError
from jaxalign.models.weight_files.user_file import read_user_file
from jaxalign.models.weight_files.weights import WeightsError, count_params
from tests.models.weight_files.torch_writer import Raw, Tensor, emit, write_zip

GOLDEN = pathlib.Path(__file__).parents[1] / "data" / "golden_mace.npz"
CONFIG = {"avg_num_neighbors": 61.9649}
BLOCK = "RealAgnosticResidualInteractionBlock"
KINDS = {"f": "FloatStorage", "i8": "LongStorage", "i4": "IntStorage", "b": "BoolStorage"}


@pytest.fixture(scope="module")
def arrays():
    with np.load(GOLDEN) as file:
        names = [name for name in file.files if name.startswith("weights/")]
        return {name.removeprefix("weights/"): file[name] for name in names}


@pytest.fixture
def own_models(monkeypatch):
    monkeypatch.setattr(registry, "_own_entries", {})


def save(path, arrays, config=CONFIG):
    """A file of the kind of its suffix, and its configuration."""
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    elif path.suffix == ".safetensors":
        safetensors.numpy.save_file(arrays, path)
    else:
        path.write_bytes(write_zip(*torch_dict(arrays)))
    if config is not None:
        path.with_suffix(".json").write_text(json.dumps(config))
    return path


def torch_dict(arrays):
    """Tensors and their storages."""
    tensors = {}
    for key, (name, a) in enumerate(arrays.items()):
        kind = KINDS.get(a.dtype.kind) or KINDS[f"{a.dtype.kind}{a.itemsize}"]
        steps = tuple(step // a.itemsize for step in np.empty(a.shape, a.dtype).strides)
        tensors[name] = Tensor(str(key), kind, a.size, 0, a.shape, steps)
    return tensors, {str(key): a.tobytes() for key, a in enumerate(arrays.values())}


def whole_model(arrays, *, block=BLOCK, **attributes):
    """What `torch.save(model)` writes: nested objects of foreign classes."""
    tensors, storages = torch_dict(arrays)
    root: dict = {}
    for name, tensor in tensors.items():
        node = root
        *path, last = name.split(".")
        for part in path:
            node = node.setdefault(part, {})
        node[last] = tensor

    def instance(node, path=()):
        inner = {name: instance(c, (*path, name)) for name, c in node.items() if type(c) is dict}
        own = {name: c for name, c in node.items() if type(c) is not dict}
        state = {"_parameters": {}, "_buffers": own, "_modules": inner, "training": False}
        kind = "mace.modules.models\nScaleShiftMACE" if not path else "torch.nn\nModule"
        if not path:
            state |= attributes
        if len(path) == 2 and path[0] == "interactions":
            state["avg_num_neighbors"] = CONFIG["avg_num_neighbors"]
            kind = f"mace.modules.blocks\n{block}"
        return Raw(b"c" + kind.encode() + b"\n)\x81" + emit(state) + b"b")

    return write_zip(instance(root), storages)


def test_all_kinds_of_files_give_the_same_encoder(arrays, tmp_path):
    expected = None
    paths = [save(tmp_path / f"mine.{kind}", arrays) for kind in ("npz", "safetensors", "pt")]
    whole = tmp_path / "whole.model"
    whole.write_bytes(whole_model(arrays, heads=["Default"], apply_cutoff=True))
    for path in (*paths, whole):
        encoder = load_weights(path, architecture="mace")
        expected = expected or encoder
        assert jax.tree.all(jax.tree.map(np.array_equal, encoder.params, expected.params))
        assert encoder.card.id == path.stem
        assert encoder.card.package_sha256 == read_user_file(path).sha256
        assert encoder.card.verified == "random"
        assert encoder.card.pretrained
        assert encoder.card.width == 8
        assert encoder.card.parameters == count_params(encoder.params)
        assert encoder.energy.reference.keys() == {1, 6, 8, 14}
    assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(expected.params))


def test_a_training_checkpoint_is_searched_for_its_arrays(arrays, tmp_path):
    tensors, storages = torch_dict(arrays)
    path = tmp_path / "run.pt"
    path.write_bytes(write_zip({"epoch": 3, "model": tensors}, storages))
    assert load_weights(path, architecture="mace", config=CONFIG).card.id == "run"


def test_what_a_file_does_not_tell_must_be_stated(arrays, tmp_path):
    path = save(tmp_path / "mine.npz", arrays, config=None)
    with pytest.raises(WeightsError, match="avg_num_neighbors"):
        load_weights(path, architecture="mace")
    assert load_weights(path, architecture="mace", config=CONFIG).card.package.endswith("61.9649}")
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    assert isinstance(load_weights(path, architecture="mace"), Encoder)
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(WeightsError, match="no object"):
        load_weights(path, architecture="mace")
    with pytest.raises(WeightsError, match="states r_max; known are"):
        load_weights(path, architecture="mace", config={"r_max": 4.0})


def test_contradictions_name_the_array_and_both_shapes(arrays, tmp_path):
    path = save(tmp_path / "mine.npz", arrays)
    stated = {**CONFIG, "hidden_irreps": "4x0e"}
    with pytest.raises(
        WeightsError, match=r"products\.0\.linear\.weight has shape \(32,\).*\(16,\)"
    ):
        load_weights(path, architecture="mace", config=stated)
    with pytest.raises(WeightsError, match=r"'8x0e'.*'4x0e'"):
        load_weights(path, architecture="mace", config={**CONFIG, "hidden_irreps": "8x0e"})
    name = "interactions.1.conv_tp_weights.layer0.weight"
    wrong = {**arrays, name: arrays[name][:, 1:]}
    with pytest.raises(WeightsError, match=r"layer1\.weight has shape \(16, 16\).*\(15, 16\)"):
        load_weights(save(tmp_path / "wrong.npz", wrong), architecture="mace")
    lost = {n: a for n, a in arrays.items() if n != "readouts.0.linear.weight"}
    with pytest.raises(WeightsError, match=r"readouts\.0\.linear\.weight"):
        load_weights(save(tmp_path / "lost.npz", lost), architecture="mace")
    more = {**arrays, "interactions.0.extra.weight": np.zeros(3, np.float32)}
    with pytest.raises(WeightsError, match="extra"):
        load_weights(save(tmp_path / "more.npz", more), architecture="mace")
    flipped = {n: -a if n.endswith("_w3j_1_2_3") else a for n, a in arrays.items()}
    with pytest.raises(WeightsError, match="coupling tensor"):
        load_weights(save(tmp_path / "flipped.npz", flipped), architecture="mace")


def test_other_variants_are_refused_by_name(arrays, tmp_path):
    path = tmp_path / "whole.model"
    path.write_bytes(whole_model(arrays, block="RealAgnosticAttResidualInteractionBlock"))
    with pytest.raises(WeightsError, match=f"AttResidual.*supported are .*{BLOCK}"):
        load_weights(path, architecture="mace")
    path.write_bytes(whole_model(arrays, heads=["Default"], use_so3=True))
    with pytest.raises(WeightsError, match="use_so3"):
        load_weights(path, architecture="mace")
    with pytest.raises(WeightsError, match="tanh"):
        load_weights(
            save(tmp_path / "m.npz", arrays), architecture="mace", config={**CONFIG, "gate": "tanh"}
        )


def test_files_that_are_none_say_so(arrays, tmp_path):
    with pytest.raises(CheckpointError, match="No such file"):
        load_weights(tmp_path / "absent.pt", architecture="mace")
    path = tmp_path / "words.pt"
    path.write_bytes(b"not weights")
    with pytest.raises(CheckpointError, match=r"words\.pt"):
        load_weights(path, architecture="mace")
    path.write_bytes(whole_model(arrays)[:-2000])
    with pytest.raises(CheckpointError, match="no sound zip file"):
        load_weights(path, architecture="mace")
    other = save(tmp_path / "other.npz", {"linear.weight": np.zeros(3)})
    with pytest.raises(WeightsError, match="no MACE"):
        load_weights(other, architecture="mace")


def test_unsupported_architectures_list_the_supported(tmp_path):
    with pytest.raises(ValueError, match="supported are mace"):
        load_weights(tmp_path / "x.pt", architecture="alchemy")
    with pytest.raises(ValueError, match="supported are mace"):
        registry.model_entry("alchemy:x.pt")
    assert "mace" in LOADERS


def test_the_registry_takes_files_and_knows_them_by_their_id(arrays, tmp_path, own_models):
    path = save(tmp_path / "my mace (1).npz", arrays)
    assert workflow.model_ids([f"mace:{path}", "composition"]) == ["my-mace-1", "composition"]
    entry = registry.model_entry("my-mace-1")
    assert registry.model_entry(f"mace:{path}") is entry  # not read again
    assert registry.load_model("my-mace-1").card == entry.card
    assert registry.describe_model(entry)["licence"] == "user's own"
    assert registry.model_fetched(entry)
    save(path, {**arrays, "scale_shift.shift": np.float32(1.5)})
    with pytest.raises(ValueError, match="rename the file"):
        registry.model_entry(f"mace:{path}")
    with pytest.raises(ValueError, match="rename the file"):
        registry.model_entry(f"mace:{save(tmp_path / 'composition.npz', arrays)}")
