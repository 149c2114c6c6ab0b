"""Heads: features → points in the unit crop, in four ways, chosen by `NetworkConfig.head`."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from fakeit.model.networks.network import Backbone, NetworkConfig, Prediction
from fakeit.pipelines.errors import FakeitError

OUTSIDE = 0.25  # how far beyond the crop's edges maps reach, share of the crop: points may lie outside
SIGMA_RANGE = (-7.0, 1.0)  # of log sigma: 0.1 % of the crop to 270 %


class Dropout(nn.Module):
    """Dropout whose mask is the global batch's: every rank draws it whole, from one seed, and takes its rows of it.

    Attributes:
        first: place of the first row in the global batch. total: rows of the global batch; 0: the rows are all.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share, self.first, self.total = share, 0, 0

    def forward(self, features: Tensor) -> Tensor:
        if not self.training or not self.share:
            return features
        count = len(features)
        total = max(self.total, count)
        first = min(self.first, total - count)
        kept = torch.rand(total, features.shape[1], device=features.device)[first : first + count] >= self.share
        return features * kept / (1 - self.share)


class DirectHead(nn.Module):
    """Pool or flatten, dropout, one linear layer → 2K coordinates, and K log sigmas when `gaussian`."""

    def __init__(self, config: NetworkConfig, channels: int, features: int, points: int) -> None:
        super().__init__()
        self.points, self.gaussian, self.average = points, config.head == "gaussian", config.pool == "average"
        self.channels = channels
        self.dropout = Dropout(config.dropout)
        self.linear = nn.Linear(features, points * (3 if self.gaussian else 2))

    def forward(self, features: Tensor) -> Prediction:
        if features.ndim == 4:
            features = features.mean((2, 3)) if self.average else features.flatten(1)
        out = self.linear(self.dropout(features)).float()
        points = out[:, : 2 * self.points].reshape(-1, self.points, 2)
        if not self.gaussian:
            return Prediction(points)
        return Prediction(points, out[:, 2 * self.points :].clamp(*SIGMA_RANGE))

    @torch.no_grad()
    def stretched(self, weight: Tensor) -> Tensor | None:
        """Another head's `linear.weight`, learnt on a grid of another size, for this head's grid.

        Weights are read between the old cells, their sum kept, so that like features give like answers: a
        network may start on small crops, where samples are cheap, and go on with larger ones.

        Returns:
            (outputs, features), or None where the other head has other points, other channels or no square grid.
        """
        channels = self.channels
        old, new = (math.isqrt(features // channels) for features in (weight.shape[1], self.linear.in_features))
        if len(weight) != len(self.linear.weight) or weight.shape[1] != channels * old * old or self.average:
            return None
        grid = weight.reshape(len(weight), channels, old, old)
        wide = functional.interpolate(grid, (new, new), mode="bilinear", align_corners=False)
        return (wide * (old / new) ** 2).flatten(1)

    @torch.no_grad()
    def start_at(self, mean_shape: Tensor) -> None:
        """Makes an untrained head answer the mean shape (K, 2), NaN where unknown: learning starts at the floor."""
        self.linear.weight.mul_(0.1)
        self.linear.bias.zero_()
        self.linear.bias[: 2 * self.points] = mean_shape.nan_to_num(0.5).reshape(-1)
        if self.gaussian:
            self.linear.bias[2 * self.points :] = -2.5


def soft_argmax(logits: Tensor, low: float, high: float) -> Tensor:
    """Expectation of the bin centres over the last axis under softmax(logits): (…, bins) → (…)."""
    bins = logits.shape[-1]
    edges = torch.linspace(low, high, bins + 1, device=logits.device, dtype=torch.float32)
    return (logits.float().softmax(-1) * (edges[1:] + edges[:-1]) / 2).sum(-1)


class HeatmapHead(nn.Module):
    """Two upsamplings by transposed convolution, one map a point, soft-argmax with a learnt temperature
    (integral regression, arXiv 1711.08229). Maps cover the crop and `OUTSIDE` of it on each side by stretching."""

    def __init__(self, channels: int, points: int, width: int = 96) -> None:
        super().__init__()
        self.up = nn.Sequential(
            nn.Conv2d(channels, width, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            *(self._double(width) for _ in range(2)),
        )
        self.maps = nn.Conv2d(width, points, 1)
        self.temperature = nn.Parameter(torch.tensor(10.0))

    @staticmethod
    def _double(width: int) -> nn.Module:
        return nn.Sequential(
            nn.ConvTranspose2d(width, width, 4, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        )

    def forward(self, features: Tensor) -> Prediction:
        maps = self.maps(self.up(features)).float()
        weight = (maps * self.temperature).flatten(2).softmax(-1).reshape(maps.shape)
        x = soft_expectation(weight.sum(2))
        y = soft_expectation(weight.sum(3))
        return Prediction(torch.stack((x, y), -1), None, maps)


def soft_expectation(weight: Tensor) -> Tensor:
    """(…, bins) weights that sum to 1 → the mean position in unit crop."""
    bins = weight.shape[-1]
    edges = torch.linspace(-OUTSIDE, 1 + OUTSIDE, bins + 1, device=weight.device)
    return (weight * (edges[1:] + edges[:-1]) / 2).sum(-1)


class SimccHead(nn.Module):
    """x and y as two classifications over fine bins (SimCC, arXiv 2107.03332); points are the soft-argmax."""

    def __init__(self, channels: int, points: int, size: int, width: int = 128) -> None:
        super().__init__()
        self.points, self.bins = points, 2 * size
        self.embed = nn.Conv2d(channels, points, 1)
        self.mix = nn.LazyLinear(width)
        self.out = nn.ModuleList(nn.Linear(width, self.bins) for _ in range(2))

    def forward(self, features: Tensor) -> Prediction:
        embedded = functional.relu(self.mix(self.embed(features).flatten(2)))
        maps = torch.stack([axis(embedded) for axis in self.out], 2).float()
        return Prediction(soft_argmax(maps, -OUTSIDE, 1 + OUTSIDE), None, maps)


def build_head(config: NetworkConfig, backbone: Backbone, points: int, channels: int, size: int) -> nn.Module:
    """The head that `config` names, for `backbone` on crops of `size` pixels."""
    if points == 0:
        raise FakeitError("the scheme has no points, so there is nothing for a network to learn")
    if config.head in ("direct", "gaussian"):
        features = backbone.channels
        if not backbone.flat and config.pool == "grid":
            features = _probe(backbone, channels, size).flatten(1).shape[1]
        return DirectHead(config, backbone.channels, features, points)
    if backbone.flat:
        raise FakeitError(f"network.head '{config.head}' needs maps, which {config.name} does not give; use 'direct'")
    if config.head == "heatmap":
        return HeatmapHead(backbone.channels, points)
    head = SimccHead(backbone.channels, points, size)
    with torch.no_grad():
        head(_probe(backbone, channels, size))  # the lazy layer learns the grid's size
    return head


def _probe(backbone: Backbone, channels: int, size: int) -> Tensor:
    """Features of one empty crop, to read shapes from."""
    was = backbone.training
    backbone.eval()
    with torch.no_grad():
        features: Tensor = backbone(torch.zeros(1, channels, size, size))
    backbone.train(was)
    return features
