"""What every network is to the rest of the code: uint8 crops in, points in the unit crop out.

A network is a backbone (pixels → features) and a head (features → points). Normalisation lives inside it, so that
nobody has to know, or can forget, what the pixels must look like.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from fakeit.pipelines.errors import FakeitError

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
MAPS_LOST = "15 to 19 % more error than votes at equal minutes (docs/results/reduced_heads); use network.head = 'votes'"


@dataclass(frozen=True)
class NetworkConfig:
    """Which network.

    Attributes:
        name: a key of the registry (`fakeit.model.networks.factory`).
        width: factor of the channels, for networks that have one (mobilenet_v2, resnet_lean).
        activation: replaces the network's own, for networks that offer it (lenet, kaggle_cnn, resnet_lean, Xceptions).
        dropout: before the last linear layer.
        head: "direct" regresses points; "gaussian" also each point's log sigma, so that every point has a confidence;
            "votes" lets every cell of a map vote for each point, with log sigmas too: the best of them at equal
            minutes (docs/LOG.md).
        head_width: with "votes": channels of the map that the votes are read from.
        pool: what the direct heads see of the last maps: their average, or the whole grid.
        visibility: with "votes": give each point's visibility too; loss.visibility teaches it.
        dense_modes: give the 400 dense points too, as so many modes of their shape, from the last maps; loss.dense
            teaches them. 0: none.
        pretrained: a file with a state dict under the reference's names (torchvision's, for resnet and mobilenet).
        normalise: "half" maps 0–255 to -1…1; "imagenet" is what pretrained weights expect.
    """

    name: str = "xception_small"
    width: float = 1.0
    activation: Literal["relu", "leaky_relu", "elu", "selu"] | None = None
    dropout: float = 0.0
    head: Literal["direct", "gaussian", "votes"] = "direct"
    head_width: int = 96
    pool: Literal["average", "grid"] = "average"
    visibility: bool = False
    dense_modes: int = 0
    pretrained: str | None = None
    normalise: Literal["half", "imagenet"] = "half"

    REMOVED: ClassVar[dict[str, str]] = {"head = 'simcc'": MAPS_LOST, "head = 'heatmap'": MAPS_LOST}

    def __post_init__(self) -> None:
        if not 0 <= self.dropout < 1:
            raise FakeitError(f"network.dropout is {self.dropout}; it must lie in 0 to 1")
        if not 0.05 <= self.width <= 8:
            raise FakeitError(f"network.width is {self.width}; 0.05 to 8 are possible")
        if not 8 <= self.head_width <= 1024:
            raise FakeitError(f"network.head_width is {self.head_width}; 8 to 1024 channels are possible")
        if self.visibility and self.head != "votes":
            raise FakeitError(f"network.visibility needs network.head = 'votes', which is '{self.head}'")
        if not 0 <= self.dense_modes <= 800:
            raise FakeitError(f"network.dense_modes is {self.dense_modes}; 0 to 800 are possible")

    @property
    def sigma(self) -> bool:
        """Whether each point comes with its log sigma."""
        return self.head in ("gaussian", "votes")


class Prediction(NamedTuple):
    """What a network says about N crops.

    Attributes:
        points: (N, K, 2) float32, unit crop.
        log_sigma: (N, K) natural logarithm of each point's standard deviation in unit crop, or None.
        visibility: (N, K) logit of each point's being visible, or None.
        dense: (N, 400, 2) float32 unit crop, the places of fakeit.pipelines.dense_points, or None.
    """

    points: Tensor
    log_sigma: Tensor | None = None
    visibility: Tensor | None = None
    dense: Tensor | None = None


class Backbone(nn.Module):
    """Pixels (N, C, H, W) → features: maps (N, channels, h, w), or (N, channels) when `flat`."""

    channels: int
    flat: bool = False

    def pyramid(self, pixels: Tensor) -> list[Tensor]:
        """Maps of falling resolution; the last is what `forward` gives. Backbones of stages give three, of strides 8,
        16 and 32; the others the last alone."""
        return [self(pixels)]


class LandmarkNetwork(nn.Module):
    """Backbone + head + normalisation.

    `forward` takes uint8 (N, H, W, C) crops as datasets hold them, or float (N, C, H, W) pixels in 0–255 as the
    augmentation makes them.
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self,
        config: NetworkConfig,
        backbone: Backbone,
        head: nn.Module,
        dense: nn.Module | None,
        channels: int,
        size: int,
    ) -> None:
        super().__init__()
        self.config, self.channels, self.size = config, channels, size
        self.backbone, self.head, self.dense = backbone, head, dense
        imagenet = config.normalise == "imagenet"
        mean = torch.tensor(IMAGENET_MEAN if imagenet else (0.5, 0.5, 0.5))
        std = torch.tensor(IMAGENET_STD if imagenet else (0.5, 0.5, 0.5))
        if channels == 1:
            mean, std = mean.mean(0, keepdim=True), std.mean(0, keepdim=True)
        self.register_buffer("mean", 255 * mean.reshape(1, -1, 1, 1), persistent=False)
        self.register_buffer("scale", 1 / (255 * std.reshape(1, -1, 1, 1)), persistent=False)

    def forward(self, images: Tensor) -> Prediction:
        if images.dtype == torch.uint8:
            images = images.permute(0, 3, 1, 2).float()  # NHWC memory is channels-last already: no copy
        maps = self.backbone.pyramid((images - self.mean) * self.scale)
        prediction = self.head(maps)
        assert isinstance(prediction, Prediction)
        return prediction if self.dense is None else prediction._replace(dense=self.dense(maps[-1]))


def parameter_count(module: nn.Module) -> int:
    """Trainable numbers of a module."""
    return sum(p.numel() for p in module.parameters())


ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
}


def activation(name: str, inplace: bool = True) -> nn.Module:
    """An activation by its conf name."""
    slope = {"negative_slope": 0.1} if name == "leaky_relu" else {}
    return ACTIVATIONS[name](inplace=inplace, **slope)
