"""A float32 ONNX file of ours → static 8-bit quantisation: activations uint8 with ranges seen on crops, weights int8 by
channel, in onnxruntime's QDQ form.

Two things are ours. The uint8 crop *is* the first convolution's quantised input: what normalised it is folded into that
convolution, so that no pixel is made a float and rounded back. And the head is computed in float32, its weights stored
in 16 bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fakeit.model.training.onnx_weights import halved

MIDDLE, SPREAD = 128, 127.5  # what the first convolution makes of pixel p: (p - MIDDLE) / SPREAD


def to_int8(plain: Path, made: Path, crops: NDArray[np.uint8]) -> None:
    """Writes a float32 file that takes uint8 crops (N, size, size, channels) anew, quantised.

    Args:
        plain: as `export.py` traces it; a `prepared.onnx` is left beside it.
        made: the file to write.
        crops: to see the activations' ranges on.
    """
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = plain.with_name("prepared.onnx")
    quant_pre_process(str(plain), str(prepared), skip_symbolic_shape=True)
    model = onnx.load(str(prepared))
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    normalising = _normalising(model)
    even = bool(normalising) and _middle_is_zero(model, normalising, constants)
    _pool_in_convolutions(model, constants)
    onnx.save(model, str(prepared))
    exact = {"scale": np.array(1 / SPREAD, np.float32), "zero_point": np.array(MIDDLE, np.uint8)}
    quantize_static(
        str(prepared),
        str(made),
        _Calibration(crops),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        reduce_range=True,  # 7 bits: products of 8 overflow where a processor adds them in pairs (x86 without VNNI)
        calibrate_method=CalibrationMethod.MinMax,
        nodes_to_exclude=[node.name for node in normalising] + _kept_float(model.graph.node),
        extra_options={"TensorQuantOverrides": {normalising[-1].output[0]: [exact]} if even else {}},
    )
    quantised = onnx.load(str(made))
    if even:
        _take_pixels(quantised, normalising)
    halved(quantised)
    onnx.save(quantised, str(made))


def _normalising(model: Any) -> list[Any]:
    """The nodes Cast, Sub, Mul between the crops and the first convolution, which a `LandmarkNetwork` begins with; none
    where the file begins otherwise."""
    chain, output = [], model.graph.input[0].name
    for kind in ("Transpose", "Cast", "Sub", "Mul", "Conv"):
        users = [node for node in model.graph.node if output in node.input]
        if [(node.op_type, node.input[0]) for node in users] != [(kind, output)]:
            return []
        chain.append(users[0])
        output = users[0].output[0]
    return chain[1:4]


def _middle_is_zero(model: Any, normalising: Sequence[Any], constants: dict[str, Any]) -> bool:
    """Makes `normalising` mean (p - MIDDLE) / SPREAD, and the first convolution make up for it, where all channels have
    one mean and one factor; changes nothing and says False where they have their own: beyond the crop's edge lies what
    is zero before the convolution, which can be one value of pixels only."""
    from onnx import numpy_helper

    conv = next(node for node in model.graph.node if normalising[-1].output[0] in node.input)
    names = [*(node.input[1] for node in normalising[1:]), *conv.input[1:]]
    if len(names) != 4 or not constants.keys() >= set(names):
        return False
    mean, factor, weight, bias = (numpy_helper.to_array(constants[name]) for name in names)
    if np.ptp(mean) or np.ptp(factor):
        return False
    rest = (MIDDLE - float(mean.flat[0])) * float(factor.flat[0])  # what MIDDLE was
    made = (
        np.full_like(mean, MIDDLE),
        np.full_like(factor, 1 / SPREAD),
        weight * np.float32(float(factor.flat[0]) * SPREAD),
        bias + np.float32(rest) * weight.sum((1, 2, 3)),
    )
    for name, value in zip(names, made, strict=True):
        constants[name].CopyFrom(numpy_helper.from_array(value, name))
    return True


def _pool_in_convolutions(model: Any, constants: dict[str, Any]) -> None:
    """An average over k×k blocks and the 1×1 convolution behind it become one convolution of k×k, whose weights are
    those of 1×1 divided by k²: the same numbers, a rounding to 8 bits less, in a fifth of the time."""
    from onnx import helper, numpy_helper

    for pool in [node for node in model.graph.node if node.op_type == "AveragePool"]:
        users = [node for node in model.graph.node if pool.output[0] in node.input]
        if [node.op_type for node in users] != ["Conv"] or users[0].input[1] not in constants:
            continue
        conv = users[0]
        of_pool, of_conv = ({a.name: helper.get_attribute_value(a) for a in node.attribute} for node in (pool, conv))
        kernel = of_pool["kernel_shape"]
        if (
            (of_conv["kernel_shape"], of_conv.get("strides")) != ([1, 1], [1, 1])
            or (of_pool.get("strides"), of_pool.get("ceil_mode", 0)) != (kernel, 0)
            or any([*of_pool.get("pads", []), *of_conv.get("pads", [])])
        ):
            continue
        weight = numpy_helper.to_array(constants[conv.input[1]])
        blocks = np.tile(weight, (1, 1, *kernel)) / np.float32(np.prod(kernel))
        constants[conv.input[1]].CopyFrom(numpy_helper.from_array(blocks, conv.input[1]))
        conv.input[0] = pool.input[0]
        for attribute in conv.attribute:
            if attribute.name in ("kernel_shape", "strides"):
                attribute.ints[:] = kernel
        model.graph.node.remove(pool)


def _take_pixels(model: Any, normalising: Sequence[Any]) -> None:
    """Takes the nodes out that turned uint8 into what a QuantizeLinear makes the same uint8 of."""
    pixels, normal = normalising[0].input[0], normalising[-1].output[0]
    quantise = next(node for node in model.graph.node if node.op_type == "QuantizeLinear" and normal in node.input)
    gone = {quantise.name, *(node.name for node in normalising)}
    kept = [node for node in model.graph.node if node.name not in gone]
    for node in kept:
        node.input[:] = [pixels if name == quantise.output[0] else name for name in node.input]
    del model.graph.node[:]
    model.graph.node.extend(kept)


def _kept_float(nodes: Sequence[Any]) -> list[str]:
    """Names of the nodes that 8 bits would spoil.

    Matrix products and votes are the head, where 8 bits are a grid of half a pixel. Average pooling of odd maps
    (80-pixel crops have them) counts the cells beyond the edge in onnxruntime's 8-bit kernel, which torch and its float
    kernel leave out; with 8 bits on both sides of it that kernel is taken, so what follows such a pooling stays float.
    """
    odd = [n for n in nodes if n.op_type == "AveragePool" and any(a.name == "ceil_mode" and a.i for a in n.attribute)]
    pooled = {output for node in odd for output in node.output}
    voted = _after(nodes, next((n.output[0] for n in nodes if n.op_type == "Conv" and "/head/vote/" in n.name), None))
    return [
        node.name
        for node in nodes
        if node.op_type in ("Gemm", "MatMul")
        or pooled.intersection([*node.input, *node.output])
        or voted.intersection(node.output)
    ]


def _after(nodes: Sequence[Any], output: str | None) -> set[str]:
    """That output, and all that is made of it."""
    found = {output}
    for node in nodes:  # an ONNX graph is in order
        if found.intersection(node.input):
            found.update(node.output)
    return {name for name in found if name}


class _Calibration:
    """Feeds crops to the calibration, 16 at a time."""

    def __init__(self, crops: NDArray[np.uint8]) -> None:
        self._batches: Iterator[NDArray[np.uint8]] = iter([crops[i : i + 16] for i in range(0, len(crops), 16)])

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        batch = next(self._batches, None)
        return None if batch is None else {"crops": np.ascontiguousarray(batch)}
