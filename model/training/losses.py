"""Losses on points, all with masks. Each term gives one number a point, (N, K); their weighted sum over the points that
are there, divided by the weight of the whole global batch, is the loss. So the gradient of N ranks is that of one.

Units: mse, l1 and rmse are in unit crop (the mission's); the wing family counts in hundredths of the crop's side.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from fakeit.model.networks.network import MAPS_LOST, Prediction
from fakeit.pipelines.config import nearest
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.sources import VISIBLE


@dataclass(frozen=True)
class LossConfig:
    """What is minimised.

    Attributes:
        terms: loss name → its factor; several are added.
        wing_width, wing_curvature: w and ε of Wing, hundredths of the crop.
        soft_wing_inner, soft_wing_outer, soft_wing_curvature: ω1, ω2, ε of SoftWing.
        dense: factor of the dense points' L1, a mean over them; needs network.dense_modes, and datasets with dense
            labels (rows without weigh nothing). visibility: of the visibility's cross entropy, where it is known; needs
            network.visibility.
    """

    terms: dict[str, float] = field(default_factory=lambda: {"mse": 1.0})
    wing_width: float = 4.0
    wing_curvature: float = 0.8
    soft_wing_inner: float = 2.0
    soft_wing_outer: float = 20.0
    soft_wing_curvature: float = 0.5
    dense: float = 0.0
    visibility: float = 0.0

    RENAMED: ClassVar[dict[str, None]] = {"map_sigma": None}  # stood in every conf of a run
    REMOVED: ClassVar[dict[str, str]] = {"map_sigma": MAPS_LOST}

    def __post_init__(self) -> None:
        if not self.terms:
            raise FakeitError("loss.terms is empty; name at least one, as in terms = {mse = 1.0}")
        for name in self.terms:
            if name in ("adaptive_wing", "simcc"):
                raise FakeitError(f"loss.terms: '{name}' was removed with its head: {MAPS_LOST}")
            if name not in TERMS:
                raise FakeitError(f"loss.terms: '{name}' is unknown{nearest(name, TERMS)} (known: {', '.join(TERMS)})")


def per_point(prediction: Prediction, truth: Tensor, weight: Tensor, config: LossConfig) -> Tensor:
    """The loss of every point, (N, K); points of weight 0 hold 0.

    Args:
        prediction: of the network.
        truth: (N, K, 2) unit crop; NaN where missing.
        weight: (N, K) ≥ 0.
    """
    truth = torch.where(weight[..., None] > 0, truth, prediction.points.detach())
    total = torch.zeros_like(weight)
    for name, factor in config.terms.items():
        total = total + factor * TERMS[name](prediction, truth, weight, config)
    return torch.where(weight > 0, total, torch.zeros_like(total))


def weighted_sum(points: Tensor, weight: Tensor) -> Tensor:
    """Σ weight · loss over a batch: divide by the global batch's Σ weight for the loss."""
    return (points * weight).sum()


def auxiliary(prediction: Prediction, truth: Tensor, weight: Tensor, visibility: Tensor, config: LossConfig) -> Tensor:
    """What is learnt beside the points, on the scale of `weighted_sum` of per-point losses: a sum over the batch.

    Args:
        prediction: of the network.
        truth: (N, K + 400, 2) unit crop: the points, then the dense ones; (N, K, 2) without those.
        weight: (N, K or K + 400) ≥ 0.
        visibility: (N, K or K + 400) uint8: 0 unknown, 1 hidden, 2 visible.
    """
    points = prediction.points.shape[1]
    total = prediction.points.new_zeros(())
    if config.dense and prediction.dense is not None:
        weight_ = weight[:, points:]
        error = (prediction.dense - truth[:, points:]).abs().mean(-1)
        dense = torch.where(weight_ > 0, error, torch.zeros_like(error)) * weight_
        total = total + config.dense * points / dense.shape[1] * dense.sum()
    if config.visibility and prediction.visibility is not None:
        known = visibility[:, :points]
        entropy = functional.binary_cross_entropy_with_logits(
            prediction.visibility, (known == VISIBLE).to(prediction.visibility.dtype), reduction="none"
        )
        total = total + config.visibility * (entropy * (known > 0) * (weight[:, :points] > 0)).sum()
    return total


def _mse(p: Prediction, truth: Tensor, weight: Tensor, config: LossConfig) -> Tensor:
    return (p.points - truth).square().mean(-1)


def _l1(p: Prediction, truth: Tensor, weight: Tensor, config: LossConfig) -> Tensor:
    return (p.points - truth).abs().mean(-1)


def _rmse(p: Prediction, truth: Tensor, weight: Tensor, config: LossConfig) -> Tensor:
    """Root of each face's own mean squared error: a mean over faces, so that ranks add up."""
    square = (p.points - truth).square().mean(-1)
    face = (square * weight).sum(1) / weight.sum(1).clamp_min(1e-9)
    return (face + 1e-12).sqrt()[:, None].expand_as(weight)


def _wing(p: Prediction, truth: Tensor, weight: Tensor, config: LossConfig) -> Tensor:
    """Feng et al., arXiv 1711.06753: logarithmic near zero, linear beyond w."""
    error = 100 * (p.points - truth).abs()
    width, curvature = config.wing_width, config.wing_curvature
    join = width - width * math.log1p(width / curvature)
    return torch.where(error < width, width * torch.log1p(error / curvature), error - join).mean(-1)


def _soft_wing(p: Prediction, truth: Tensor, weight: Tensor, config: LossConfig) -> Tensor:
    """SoftWing (Lin et al., TIP 2021): linear near zero, logarithmic beyond ω1."""
    error = 100 * (p.points - truth).abs()
    inner, outer, curvature = config.soft_wing_inner, config.soft_wing_outer, config.soft_wing_curvature
    join = inner - outer * math.log1p(inner / curvature)
    return torch.where(error < inner, error, outer * torch.log1p(error / curvature) + join).mean(-1)


def _log_sigma(p: Prediction) -> Tensor:
    if p.log_sigma is None:
        raise FakeitError(
            "losses gnll and laplace need each point's uncertainty: set network.head = 'votes' or 'gaussian'"
        )
    return p.log_sigma


def _gnll(p: Prediction, truth: Tensor, weight: Tensor, config: LossConfig) -> Tensor:
    """Negative log likelihood of a round Gaussian about each point, without its constant."""
    log_sigma = _log_sigma(p)
    square = (p.points - truth).square().sum(-1)
    return 0.5 * square * torch.exp(-2 * log_sigma) + 2 * log_sigma


def _laplace(p: Prediction, truth: Tensor, weight: Tensor, config: LossConfig) -> Tensor:
    """As `gnll`, with the Laplace distribution's long tails on each axis: hard points do not rule."""
    log_sigma = _log_sigma(p)
    return ((p.points - truth).abs() * torch.exp(-log_sigma[..., None]) + log_sigma[..., None]).mean(-1)


TERMS: dict[str, Callable[[Prediction, Tensor, Tensor, LossConfig], Tensor]] = {
    "mse": _mse,
    "rmse": _rmse,
    "l1": _l1,
    "wing": _wing,
    "soft_wing": _soft_wing,
    "gnll": _gnll,
    "laplace": _laplace,
}
