"""Weights from a file into a backbone, by name: torchvision's state dicts for ResNet and MobileNet, the public port's
for Xception. A colour stem becomes a grey one by summing over its colours."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fakeit.pipelines.errors import FakeitError, one_line


def load_backbone(backbone: nn.Module, path: str) -> None:
    """Fills `backbone` from the state dict at `path`; the file's classifier is left aside.

    Raises:
        FakeitError: no such file, not a state dict, or a layer that is missing or of another shape.
    """
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise FakeitError(f"network.pretrained: {path} does not exist") from error
    except Exception as error:  # torch's readers raise whatever the bytes lead them to
        reason = one_line(error, 120)
        raise FakeitError(f"network.pretrained: {path} is not a file of weights ({reason})") from error
    if isinstance(stored, dict) and isinstance(stored.get("state_dict"), dict):
        stored = stored["state_dict"]
    stored = {name.removeprefix("module."): value for name, value in stored.items()}
    own = backbone.state_dict()
    for name, value in own.items():
        if name.endswith("num_batches_tracked"):
            continue
        if name not in stored:
            raise FakeitError(f"network.pretrained: {path} has no layer '{name}'; is it of this network?")
        own[name] = _fitted(stored[name], value, name, path)
    backbone.load_state_dict(own)


def _fitted(stored: Tensor, value: Tensor, name: str, path: str) -> Tensor:
    if stored.ndim == 4 and stored.shape[1] == 3 and value.shape[1] == 1:
        stored = stored.sum(1, keepdim=True)
    if stored.ndim == 2 and value.ndim == 4:
        stored = stored[:, :, None, None]
    if stored.shape != value.shape:
        raise FakeitError(
            f"network.pretrained: layer '{name}' of {path} is {tuple(stored.shape)}, "
            f"this network has {tuple(value.shape)}"
        )
    return stored
