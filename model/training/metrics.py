"""Validation figures as sums, so that ranks add theirs and every face counts once, whatever the batches were.

NME is the mean distance over a face's present points, over the distance of its outer eye corners (inter-ocular), or of
its eye centres where a scheme has no corners. MSE is over unit-crop coordinates, the mission's own figure.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fakeit.pipelines.landmarks import Scheme


@dataclass(frozen=True)
class Metrics:
    """Figures of one pass over a whole split.

    Attributes:
        loss: of the training's own kind, a mean over points.
        mse: mean over the coordinates that are present, unit crop.
        mae: the same, absolute.
        nme: mean over faces, inter-ocular, a share (0.05 is 5 %).
        faces: how many faces were seen.
    """

    loss: float
    mse: float
    mae: float
    nme: float
    faces: int


def face_nme(points: Tensor, truth: Tensor, weight: Tensor, scheme: Scheme) -> Tensor:
    """(N,) inter-ocular NME of each face; NaN where an eye corner, or every point, is missing. Any frame."""
    left, right = (truth[:, list(eye)].mean(1) for eye in (scheme.left_eye, scheme.right_eye))
    present = weight > 0
    distance = torch.where(present, torch.linalg.vector_norm(points - truth, dim=-1), 0.0)
    mean = distance.sum(1) / present.sum(1)  # 0 / 0 is NaN, as promised
    return mean / torch.linalg.vector_norm(left - right, dim=-1).clamp_min(1e-6)


def batch_sums(points: Tensor, truth: Tensor, weight: Tensor, losses: Tensor, scheme: Scheme) -> Tensor:
    """(8,) float64: weighted loss, weight, squares, absolutes, points, NME, faces that have one, faces.

    Args:
        points: (N, K, 2) predicted, unit crop.
        truth: (N, K, 2), NaN where missing.
        weight: (N, K); rows of zeros (padding) count for nothing.
        losses: (N, K) from `losses.per_point`.
    """
    present = (weight > 0).double()
    error = torch.where(weight[..., None] > 0, points - truth, 0.0).double()
    nme = face_nme(points, truth, weight, scheme)
    known = torch.isfinite(nme)
    return torch.stack(
        (
            (losses * weight).double().sum(),
            weight.double().sum(),
            error.square().mean(-1).sum(),
            error.abs().mean(-1).sum(),
            present.sum(),
            torch.where(known, nme, 0.0).double().sum(),
            known.double().sum(),
            (weight > 0).any(1).double().sum(),
        )
    )


def from_sums(sums: Tensor) -> Metrics:
    """Sums over all batches and ranks → figures."""
    loss, weight, squares, absolutes, points, nme, known, faces = sums.tolist()
    nan = float("nan")
    return Metrics(
        loss=loss / weight if weight else nan,
        mse=squares / points if points else nan,
        mae=absolutes / points if points else nan,
        nme=nme / known if known else nan,
        faces=int(faces),
    )
