"""chython-rxnmap as its own package runs it: chython's encoder and onnxruntime, one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx
import onnxruntime
from chython.core import read_smiles
from chython.reactions.attention._encode import encode_reaction

from jaxalign.archives.entries import read_entry
from jaxalign.archives.fetch import fetch
from jaxalign.archives.pinned import ARCHIVES
from jaxalign.structures.structure import Structure

_NAMES = ("atoms", "neighbors", "distances", "roles")
_STATE = "/mol_layer/norm2_7/LayerNormalization_output_0"
_FIRST_ATOM = 2  # behind the tokens of the reaction and of the molecule


def load(model_id: str) -> Callable[[Sequence[Structure]], np.ndarray]:
    """The original: structures → mean over atoms of the last layer of molecules.

    The file's graph has a batch of one. It is cut behind that layer, so that no more is computed
    than is asked for.

    Args:
      model_id: `"chython-rxnmap"`.

    Returns:
      A function that embeds structures with SMILES of molecules.

    Raises:
      ValueError: for any other model.
    """
    if model_id != "chython-rxnmap":
        raise ValueError(f"no original of {model_id!r}: pass 'chython-rxnmap'")
    file = read_entry(fetch(ARCHIVES["chython-rxnmap"]), "chython_rxnmap/rxnmap.onnx")
    model = onnx.load_from_string(file)
    del model.graph.output[:]
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(_STATE))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    inputs = {value.name for value in session.get_inputs()}

    def embed_one(structure: Structure) -> np.ndarray:
        found = encode_reaction([read_smiles(structure.smiles)], [])
        feeds = {name: np.asarray(getattr(found, name), np.int64)[None] for name in _NAMES}
        feeds = {name: value for name, value in feeds.items() if name in inputs}
        (states,) = session.run([_STATE], feeds)
        return states[0, _FIRST_ATOM:].mean(axis=0)

    def embed(structures: Sequence[Structure]) -> np.ndarray:
        return np.stack([embed_one(structure) for structure in structures])

    return embed
