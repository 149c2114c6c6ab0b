"""Weights inside an ONNX file, stored in 32 or in 16 bits.

`halved` keeps every large weight as float16 and a Cast to float32 before it, under the weight's own name. onnxruntime
folds those Casts as it loads the file, so a network of half the size runs as fast, in float32 arithmetic as before; all
that is lost is the weights' rounding. `read` and `widened` are the ways back, for what reads the file and runs it not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEAST = 1024  # values: what is smaller, biases mostly, is not worth a Cast
STORED = ".float16"  # what the stored weight is called beside its own name


def halved(model: Any) -> None:
    """Stores the large float32 weights of an `onnx.ModelProto` in 16 bits, in place."""
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and np.prod(tensor.dims) >= LEAST:
            name, values = tensor.name, numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(numpy_helper.from_array(values, name + STORED))
            casts.append(helper.make_node("Cast", [name + STORED], [name], f"{name}/Cast", to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]  # in order: what is used is made before
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def read(model: Any) -> dict[str, NDArray[Any]]:
    """Weights of an `onnx.ModelProto` by the names that its layers use, whichever way they are stored."""
    from onnx import numpy_helper

    found = {tensor.name: numpy_helper.to_array(tensor).copy() for tensor in model.graph.initializer}
    for cast in _casts(model):
        found[cast.output[0]] = found.pop(cast.input[0]).astype(np.float32)
    return found


def widened(source: Path, target: Path) -> None:
    """The file at `source` with its weights in 32 bits."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load(str(source))
    weights, casts = read(model), _casts(model)
    kept = [node for node in model.graph.node if node not in casts]
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(kept)
    model.graph.initializer.extend(numpy_helper.from_array(values, name) for name, values in weights.items())
    onnx.save(model, str(target))


def _casts(model: Any) -> list[Any]:
    """The nodes that widen a stored weight."""
    halves = {tensor.name for tensor in model.graph.initializer if tensor.name.endswith(STORED)}
    return [node for node in model.graph.node if node.op_type == "Cast" and node.input[0] in halves]
