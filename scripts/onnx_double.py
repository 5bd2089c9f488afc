"""What the proofs against ONNX files share: such a graph in float64, and sizes of differences.

The operators of onnx's reference evaluator that are slow, or round to float32, are replaced.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from scipy.special import erf


class Erf(OpRun):
    """The error function."""

    op_domain = ""

    def _run(self, x):
        return (erf(x),)


class LayerNormalization(OpRun):
    """Over the last axis, with ε as it was meant before it was stored in float32."""

    op_domain = ""

    def _run(self, x, scale, bias, axis=-1, epsilon=None, stash_type=None):
        centered = x - x.mean(axis=-1, keepdims=True)
        variance = np.mean(centered**2, axis=-1, keepdims=True)
        return (centered / np.sqrt(variance + float(f"{epsilon:.6g}")) * scale + bias,)


class ScatterElements(OpRun):
    """Sums or maxima at given places."""

    op_domain = ""

    def _run(self, data, indices, updates, axis=0, reduction="none"):
        result = data.copy()
        # All columns of a row have one index here: rows can be added at once, which is fast.
        rows = indices if indices.ndim == 1 else indices[:, 0]
        if reduction not in ("add", "max") or axis or (rows != indices.T).any():
            raise ValueError(f"unexpected scatter: {reduction}, axis {axis}, {indices.shape}")
        (np.maximum if reduction == "max" else np.add).at(result, rows, updates)
        return (result,)


def in_double(model: onnx.ModelProto) -> ReferenceEvaluator:
    """The same graph with all floating-point values in float64, ready to run.

    Args:
      model: a graph in float32. Its constant √2 becomes exact.

    Returns:
      Takes what the graph takes, in float64.
    """
    model = onnx.ModelProto.FromString(model.SerializeToString())
    single, double = onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE
    for tensor in model.graph.initializer:
        _widen(tensor)
    for node in model.graph.node:
        if node.op_type == "ConstantOfShape" and not node.attribute:  # zeros of float32
            zeros = onnx.numpy_helper.from_array(np.zeros(1))
            node.attribute.append(onnx.helper.make_attribute("value", zeros))
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                _widen(attribute.t)
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == single:
                attribute.i = double
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        if value.type.tensor_type.elem_type == single:
            value.type.tensor_type.elem_type = double
    return ReferenceEvaluator(model, new_ops=[Erf, LayerNormalization, ScatterElements])


def _widen(tensor: onnx.TensorProto) -> None:
    if tensor.data_type != onnx.TensorProto.FLOAT:
        return
    values = onnx.numpy_helper.to_array(tensor).astype(np.float64)
    if values.size == 1 and abs(float(values.reshape(())) - np.sqrt(2)) < 1e-6:
        values = np.full_like(values, np.sqrt(2))
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))


class Comparison:
    """Largest differences and values of each hidden state over many batches."""

    def __init__(self):
        self.difference: dict[str, float] = {}
        self.size: dict[str, float] = {}

    def add(self, name: str, ours: np.ndarray, theirs: np.ndarray) -> None:
        """Takes one more pair of arrays of one state."""
        if ours.shape != theirs.shape:
            raise SystemExit(f"{name}: shape {ours.shape} against {theirs.shape}")
        if ours.size:
            new = float(np.abs(ours.astype(np.float64) - theirs).max())
            self.difference[name] = max(self.difference.get(name, 0.0), new)
            self.size[name] = max(self.size.get(name, 0.0), float(np.abs(theirs).max()))

    def relative(self) -> dict[str, float]:
        """Largest difference of each state relative to its largest value."""
        return {name: value / self.size[name] for name, value in self.difference.items()}
