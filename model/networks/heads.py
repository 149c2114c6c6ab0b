"""Heads: features → points in the unit crop, in ways chosen by `NetworkConfig.head`. They take a backbone's pyramid."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from fakeit.model.networks.network import Backbone, NetworkConfig, Prediction
from fakeit.pipelines.dense_points import DENSE
from fakeit.pipelines.errors import FakeitError

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

    def forward(self, maps: Sequence[Tensor]) -> Prediction:
        features = maps[-1]
        if features.ndim == 4:
            features = features.mean((2, 3)) if self.average else features.flatten(1)
        out = self.linear(self.dropout(features)).float()
        points = out[:, : 2 * self.points].reshape(-1, self.points, 2)
        if not self.gaussian:
            return Prediction(points)
        return Prediction(points, out[:, 2 * self.points :].clamp(*SIGMA_RANGE))

    @torch.no_grad()
    def stretched(self, name: str, weight: Tensor) -> Tensor | None:
        """Another head's weights, learnt on a grid of another size, for this head's grid.

        Weights are read between the old cells, their sum kept, so that like features give like answers: a
        network may start on small crops, where samples are cheap, and go on with larger ones.

        Returns:
            (outputs, features), or None where the other head has other points, other channels or no square grid.
        """
        if name != "linear.weight" or self.average:
            return None
        return stretched_grid(weight, self.linear, self.channels)

    @torch.no_grad()
    def start_at(self, mean_shape: Tensor) -> None:
        """Makes an untrained head answer the mean shape (K, 2), NaN where unknown: learning starts at the floor."""
        self.linear.weight.mul_(0.1)
        self.linear.bias.zero_()
        self.linear.bias[: 2 * self.points] = mean_shape.nan_to_num(0.5).reshape(-1)
        if self.gaussian:
            self.linear.bias[2 * self.points :] = -2.5


def stretched_grid(weight: Tensor, layer: nn.Linear, channels: int) -> Tensor | None:
    """The weights (outputs, channels · cells) of a layer over a square grid of cells, read between those cells for
    `layer`'s grid, their sum kept. None where the outputs or channels are others, or the grid is not square."""
    old, new = (math.isqrt(features // channels) for features in (weight.shape[1], layer.in_features))
    if len(weight) != layer.out_features or weight.shape[1] != channels * old * old:
        return None
    grid = weight.reshape(len(weight), channels, old, old)
    wide = functional.interpolate(grid, (new, new), mode="bilinear", align_corners=False)
    return (wide * (old / new) ** 2).flatten(1)


class VotesHead(nn.Module):
    """Every cell of a map votes for each point: where it lies, and how much the vote counts. The point is the mean of
    all votes, weighted by the softmax of their scores.

    Scores and offsets are PIPNet's (Jin et al., arXiv 2003.03771), read as an expectation over all cells (integral
    regression, arXiv 1711.08229) instead of at the best one: so the loss acts on the points themselves. The map is the
    finest of the pyramid, with the coarser ones added from above (arXiv 1612.03144).

    Args:
        shapes: (channels, side) of each map of the pyramid, finest first.
        points: K. visibility: whether cells also vote for each point's visibility.
        width: channels of the merged map.
    """

    START = 0.15  # standard deviation of the votes' weights about the mean shape before training, of the crop's side

    def __init__(self, shapes: Sequence[tuple[int, int]], points: int, visibility: bool, width: int) -> None:
        super().__init__()
        self.points, self.visible, side = points, visibility, shapes[0][1]
        self.lateral = nn.ModuleList(
            nn.Conv2d(channels, width, 1, bias=level == 0) for level, (channels, _) in enumerate(shapes)
        )
        self.merge = nn.Sequential(
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        )
        self.vote = nn.Conv2d(width, points * (4 + visibility), 1)  # score, x, y, log sigma and the visibility's logit
        self.prior = nn.Parameter(torch.zeros(points, side, side))
        centre = (torch.arange(side) + 0.5) / side
        y, x = torch.meshgrid(centre, centre, indexing="ij")
        self.side = side
        self.cells: Tensor
        absolute = (x, y, *[torch.zeros_like(x)] * (1 + visibility))  # offsets are from cells, the rest is as it is
        self.register_buffer("cells", torch.stack(absolute).reshape(len(absolute), 1, -1), persistent=False)

    def forward(self, maps: Sequence[Tensor]) -> Prediction:
        merged = self.lateral[0](maps[0])
        for lateral, coarse in zip(list(self.lateral)[1:], maps[1:], strict=True):
            merged = merged + _enlarged(lateral(coarse), self.side)
        votes = self.vote(self.merge(merged)).float().reshape(-1, 1 + len(self.cells), self.points, self.side**2)
        weight = (votes[:, :1] + self.prior.flatten(1)).softmax(-1)
        mean = (weight * (votes[:, 1:] + self.cells)).sum(-1)
        visibility = mean[:, 3] if self.visible else None
        return Prediction(mean[:, :2].transpose(1, 2), mean[:, 2].clamp(*SIGMA_RANGE), visibility)

    @torch.no_grad()
    def stretched(self, name: str, weight: Tensor) -> Tensor | None:
        """Another head's `prior`, of a map of another size, for this one's; None for other weights."""
        if name != "prior" or weight.shape[0] != self.points:
            return None
        return functional.interpolate(weight[None], self.prior.shape[1:], mode="bilinear", align_corners=False)[0]

    @torch.no_grad()
    def start_at(self, mean_shape: Tensor) -> None:
        """Makes an untrained head listen to the cells about the mean shape (K, 2) first, NaN where unknown."""
        self.vote.weight.mul_(0.1)
        assert self.vote.bias is not None
        self.vote.bias.zero_()
        self.vote.bias[3 * self.points : 4 * self.points] = -2.5
        apart = (self.cells[:2].squeeze(1).T[None] - mean_shape.nan_to_num(0.5)[:, None]).square().sum(-1)
        self.prior.copy_((-apart / (2 * self.START**2)).reshape(self.prior.shape))


def _enlarged(maps: Tensor, side: int) -> Tensor:
    """Maps (N, C, s, s) interpolated to (N, C, side, side); by a whole factor where it is one, which an ONNX file can
    hold as a number: onnxruntime is quicker by a twentieth of nano's time than with a size that it works out."""
    factor, rest = divmod(side, int(maps.shape[-1]))
    to = {"size": (side, side)} if rest else {"scale_factor": float(factor)}
    return functional.interpolate(maps, mode="bilinear", align_corners=False, **to)


class DenseHead(nn.Module):
    """The last maps → the 400 dense points, as weights of some modes of their shape about a mean."""

    def __init__(self, channels: int, side: int, modes: int) -> None:
        super().__init__()
        self.channels = channels
        self.weigh, self.modes = nn.Linear(channels * side * side, modes), nn.Linear(modes, 2 * DENSE)
        with torch.no_grad():
            self.modes.weight.mul_(0.1)
            self.modes.bias.fill_(0.5)

    def forward(self, maps: Tensor) -> Tensor:
        return self.modes(self.weigh(maps.flatten(1))).float().reshape(-1, DENSE, 2)  # type: ignore[no-any-return]

    def stretched(self, name: str, weight: Tensor) -> Tensor | None:
        """Another head's weights, learnt on last maps of another size, for this one's; None for other weights."""
        return stretched_grid(weight, self.weigh, self.channels) if name == "weigh.weight" else None


def build_head(config: NetworkConfig, backbone: Backbone, points: int, channels: int, size: int) -> nn.Module:
    """The head that `config` names, for `backbone` on crops of `size` pixels."""
    if points == 0:
        raise FakeitError("the scheme has no points, so there is nothing for a network to learn")
    if config.head in ("direct", "gaussian"):
        features = backbone.channels
        if not backbone.flat and config.pool == "grid":
            features = _probe(backbone, channels, size)[-1].flatten(1).shape[1]
        return DirectHead(config, backbone.channels, features, points)
    if backbone.flat:
        raise FakeitError(f"network.head '{config.head}' needs maps, which {config.name} does not give; use 'direct'")
    shapes = [(maps.shape[1], maps.shape[3]) for maps in _probe(backbone, channels, size)]
    return VotesHead(shapes, points, config.visibility, config.head_width)


def build_dense(config: NetworkConfig, backbone: Backbone, channels: int, size: int) -> DenseHead | None:
    """The dense points' head, where `config` asks for it."""
    if not config.dense_modes:
        return None
    last = _probe(backbone, channels, size)[-1]
    return DenseHead(last.shape[1], 1 if backbone.flat else last.shape[-1], config.dense_modes)


def _probe(backbone: Backbone, channels: int, size: int) -> list[Tensor]:
    """The pyramid of one empty crop, to read shapes from."""
    was = backbone.training
    backbone.eval()
    with torch.no_grad():
        maps = backbone.pyramid(torch.zeros(1, channels, size, size))
    backbone.train(was)
    return maps
