"""An exported network → a network that can be trained on: the box's weights without its checkpoint.

Exporting folds every batch normalisation into the convolution before it. Its statistics are kept beside the ONNX file
(`NAME.training.npz`, written by `tools/keep_statistics.py`); with them each pair is unfolded again, so that the network
gives the file's points and learns as the one it came from. Only networks whose normalisations each follow a convolution
can be folded, and so unfolded: `resnet_lean` and the ResNets.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fakeit.model.networks.factory import build
from fakeit.model.networks.network import LandmarkNetwork, NetworkConfig
from fakeit.model.training.onnx_weights import read
from fakeit.pipelines.config import from_dict, from_stored
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.faces.crop import CropConfig
from fakeit.pipelines.landmarks import scheme

METADATA_KEY = "fakeit"  # as export writes it
STATISTICS = ".training.npz"
Pairs = list[tuple[str, nn.Conv2d, nn.BatchNorm2d]]


def statistics_path(path: str | Path) -> Path:
    """Where the statistics of the ONNX file at `path` lie."""
    return Path(path).with_suffix(STATISTICS)


def network_from_onnx(path: str | Path) -> tuple[LandmarkNetwork, str, CropConfig]:
    """The network of an ONNX file of ours, in eval mode, its scheme and the crops that it takes.

    Raises:
        FakeitError: no statistics beside it, or a file whose layers are not those of its network.
    """
    path, kept = Path(path), statistics_path(path)
    if not kept.is_file():
        beside = f"or keep {kept.name} beside it"
        raise FakeitError(
            f"checkpoint {path} is an exported network; name the checkpoint it came from, as in best.pt ({beside})"
        )
    told, folded = opened(path)
    crop = from_stored(told["crop"], CropConfig, f"model {path}: crop")
    with np.load(kept) as file:
        stored = {name: file[name] for name in file.files}
    config = from_dict(json.loads(str(stored["network"])), NetworkConfig, f"{kept}: network")
    network = build(config, scheme(told["scheme"]).count, crop.channels, crop.size).eval()
    with torch.no_grad():
        found = pairs(network)
        for name, convolution, norm in found:
            weight, bias = (_shaped(folded, f"{name}.{part}", path) for part in ("weight", "bias"))
            mean, variance = (torch.from_numpy(stored[f"{name}.{part}"]) for part in ("mean", "variance"))
            convolution.weight.copy_(weight)
            norm.running_mean.copy_(mean)  # type: ignore[union-attr]
            norm.running_var.copy_(variance)  # type: ignore[union-attr]
            norm.weight.copy_(torch.sqrt(variance + norm.eps))
            norm.bias.copy_(bias + mean)
        take_unfolded(network, found, folded, path)
    return network, told["scheme"], crop


@torch.no_grad()
def take_unfolded(network: LandmarkNetwork, found: Pairs, folded: dict[str, Tensor], path: Path) -> None:
    """Copies all that no normalisation was folded into: heads, mostly."""
    normed = {f"{name}.{part}" for name, _, _ in found for part in ("weight", "bias")}
    norms = tuple(f"{name}." for name, module in network.named_modules() if isinstance(module, nn.BatchNorm2d))
    for name, value in network.state_dict().items():
        if name not in normed and not name.startswith(norms):
            value.copy_(_shaped(folded, name, path))


def pairs(network: LandmarkNetwork) -> Pairs:
    """(module name, convolution, the normalisation that takes its output), found by running one empty crop."""
    names = {module: name for name, module in network.named_modules()}
    made: dict[int, nn.Conv2d] = {}
    kept: list[Tensor] = []  # ids of tensors are theirs only while they live
    found: Pairs = []

    def after_convolution(module: nn.Module, inputs: Any, output: Tensor) -> None:
        assert isinstance(module, nn.Conv2d)
        made[id(output)] = module
        kept.append(output)

    def after_norm(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        assert isinstance(module, nn.BatchNorm2d)
        convolution = made.get(id(inputs[0]))
        if convolution is None:
            raise FakeitError(f"{network.config.name}: '{names[module]}' does not follow a convolution")
        found.append((names[convolution], convolution, module))

    hooks = [m.register_forward_hook(after_convolution) for m in names if isinstance(m, nn.Conv2d)]
    hooks += [m.register_forward_hook(after_norm) for m in names if isinstance(m, nn.BatchNorm2d)]
    try:
        with torch.no_grad():
            network(torch.zeros(1, network.size, network.size, network.channels, dtype=torch.uint8))
    finally:
        for hook in hooks:
            hook.remove()
    return found


def opened(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """An ONNX file's description of itself, and `backbone.layers.3.conv1.weight` → tensor of every layer with weights.

    Raises:
        FakeitError: not an ONNX file of ours.
    """
    import onnx

    try:
        model = onnx.load(str(path))
        told = json.loads({p.key: p.value for p in model.metadata_props}[METADATA_KEY])
    except Exception as error:  # protobuf raises a class of its own
        raise FakeitError(f"model {path}: not an ONNX file that jobs/export.py wrote ({error})") from error
    stored = read(model)
    found: dict[str, Tensor] = {}
    for node in model.graph.node:
        if node.op_type in ("Conv", "Gemm"):
            values = [stored[name] for name in node.input[1:] if name in stored]
            for part, value in zip(("weight", "bias"), values, strict=False):
                found[f"{_module(node.name)}.{part}"] = torch.from_numpy(value)
    for name, value in stored.items():  # what is no layer's keeps its own name
        if name.startswith("network."):
            found.setdefault(name.removeprefix("network."), torch.from_numpy(value))
    return told, found


def _module(node: str) -> str:
    """`/network/backbone/layers/layers.3/conv1/Conv` → `backbone.layers.3.conv1`: scopes repeat their parent's name;
    a backbone's pyramid, which is not its `forward`, has no scope of its own."""
    parts: list[str] = []
    for part in node.strip("/").split("/")[1:-1]:
        if parts and part.startswith(f"{parts[-1]}."):
            parts[-1] = part
        else:
            parts.append(part)
    return ".".join(parts if parts and parts[0] in ("backbone", "head", "dense") else ["backbone", *parts])


def _shaped(folded: dict[str, Tensor], name: str, path: Path) -> Tensor:
    if name not in folded:
        raise FakeitError(f"model {path}: no layer '{name}' in it, which its network has")
    return folded[name]
