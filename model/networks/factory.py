"""Networks by name: the one list that confs, comparisons and docs choose from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from torch import nn

from fakeit.model.networks.heads import build_dense, build_head
from fakeit.model.networks.kaggle_cnn import KaggleCNN
from fakeit.model.networks.lenet import LeNet
from fakeit.model.networks.mobilenet_v2 import MobileNetV2
from fakeit.model.networks.network import Backbone, LandmarkNetwork, NetworkConfig
from fakeit.model.networks.pretrained import load_backbone
from fakeit.model.networks.resnet import resnet18, resnet50
from fakeit.model.networks.resnet_lean import ResNetLean
from fakeit.model.networks.xception import xception, xception_leaky, xception_mid6
from fakeit.model.networks.xception_small import XceptionSmall
from fakeit.pipelines.config import nearest
from fakeit.pipelines.errors import FakeitError

NETWORKS: dict[str, Callable[[NetworkConfig, int, int], Backbone]] = {
    "xception_small": XceptionSmall,
    "xception": xception,
    "xception_leaky": xception_leaky,
    "xception_mid6": xception_mid6,
    "resnet18": resnet18,
    "resnet50": resnet50,
    "resnet_lean": ResNetLean,
    "mobilenet_v2": MobileNetV2,
    "lenet": LeNet,
    "kaggle_cnn": KaggleCNN,
}
SMALLEST = 32  # pixels; below it the deeper networks have no maps left


def build(config: NetworkConfig, points: int, channels: int, size: int) -> LandmarkNetwork:
    """A network for `points` landmarks on crops of (size, size, channels), from the torch seed as it stands.

    Raises:
        FakeitError: an unknown name, a size too small, a head that does not fit, pretrained weights that do not load.
    """
    if config.name not in NETWORKS:
        known = ", ".join(NETWORKS)
        raise FakeitError(f"network.name is '{config.name}'{nearest(config.name, NETWORKS)} (known: {known})")
    if size < SMALLEST:
        raise FakeitError(f"{config.name} needs crops of at least {SMALLEST} pixels, these have {size}")
    backbone = NETWORKS[config.name](config, channels, size)
    _initialise(backbone)
    if config.pretrained:
        load_backbone(backbone, config.pretrained)
        config = replace(config, normalise="imagenet")
    head = build_head(config, backbone, points, channels, size)
    return LandmarkNetwork(config, backbone, head, build_dense(config, backbone, channels, size), channels, size)


def _initialise(backbone: nn.Module) -> None:
    """Kaiming's normal initialisation of every convolution (arXiv 1502.01852), fan-out as torchvision has it."""
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
