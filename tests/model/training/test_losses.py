"""Losses and metrics: values by hand, masks, and sums that add up over any cut of the batch."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from fakeit.model.networks.network import Prediction
from fakeit.model.training.config import TrainConfig
from fakeit.model.training.losses import TERMS, LossConfig, per_point, weighted_sum
from fakeit.model.training.metrics import batch_sums, face_nme, from_sums
from fakeit.pipelines.config import from_dict, from_stored, to_dict
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.landmarks import scheme


def prediction(points: Tensor) -> Prediction:
    return Prediction(points, torch.full(points.shape[:2], -3.0))


def faces() -> tuple[Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    truth = torch.rand(6, 5, 2, generator=random)
    weight = torch.rand(6, 5, generator=random)
    weight[0, 1] = weight[3, 4] = 0
    truth[weight == 0] = float("nan")
    return truth.nan_to_num(0.5) + 0.05 * torch.randn(6, 5, 2, generator=random), truth, weight


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mse", (0.01**2 + 0.03**2) / 2),
        ("l1", 0.02),
        ("rmse", math.sqrt((0.01**2 + 0.03**2) / 2)),
        ("wing", (4 * math.log1p(1 / 0.8) + 4 * math.log1p(3 / 0.8)) / 2),
        ("soft_wing", (1 + 20 * math.log1p(3 / 0.5) + 2 - 20 * math.log1p(2 / 0.5)) / 2),
        ("gnll", 0.5 * (0.01**2 + 0.03**2) * math.exp(6) - 6),
        ("laplace", 0.02 * math.exp(3) - 3),
    ],
)
def test_values_by_hand(name: str, expected: float) -> None:
    truth = torch.full((1, 1, 2), 0.5)
    points = truth + torch.tensor([0.01, -0.03])
    loss = per_point(prediction(points), truth, torch.ones(1, 1), LossConfig(terms={name: 1.0}))
    assert loss.item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", TERMS)
def test_missing_points_cost_nothing_and_teach_nothing(name: str) -> None:
    points, truth, weight = faces()
    points.requires_grad_()
    loss = weighted_sum(per_point(prediction(points), truth, weight, LossConfig(terms={name: 1.0})), weight)
    assert torch.isfinite(loss)
    loss.backward()
    assert points.grad is not None and torch.isfinite(points.grad).all()
    assert (points.grad[weight == 0] == 0).all() and (points.grad[weight > 0] != 0).any()


@pytest.mark.parametrize("name", TERMS)
def test_parts_of_a_batch_add_up_to_the_whole(name: str) -> None:
    points, truth, weight = faces()
    config = LossConfig(terms={name: 1.0})
    whole = prediction(points)

    def part(low: int, high: int) -> Tensor:
        assert whole.log_sigma is not None
        cut = Prediction(points[low:high], whole.log_sigma[low:high])
        return weighted_sum(per_point(cut, truth[low:high], weight[low:high], config), weight[low:high])

    assert torch.allclose(part(0, 6), part(0, 1) + part(1, 4) + part(4, 6), rtol=1e-5)


def test_a_loss_that_the_network_cannot_serve_says_so() -> None:
    with pytest.raises(FakeitError, match="did you mean 'wing'"):
        LossConfig(terms={"wingg": 1.0})
    points = torch.zeros(1, 5, 2)
    for name in ("gnll", "laplace"):
        with pytest.raises(FakeitError, match="gaussian"):
            per_point(Prediction(points), points, torch.ones(1, 5), LossConfig(terms={name: 1.0}))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"network": {"head": "simcc"}}, "my conf: network.head = 'simcc' was removed: 15 to 19 % more error"),
        (
            {"network": {"head": "heatmap"}},
            "network.head = 'heatmap' was removed: .* use network.head = 'votes'",
        ),
        ({"loss": {"terms": {"l1": 1.0, "simcc": 0.3}}}, "my conf: loss.terms: 'simcc' was removed with its head"),
        ({"loss": {"terms": {"adaptive_wing": 1.0}}}, "my conf: loss.terms: 'adaptive_wing' was removed with its head"),
        ({"loss": {"map_sigma": 1.5}}, "my conf: loss.map_sigma was removed"),
    ],
)
def test_what_lost_and_went_says_what_to_use(values: dict[str, Any], said: str) -> None:
    with pytest.raises(FakeitError, match=said):
        from_dict(values, TrainConfig, "my conf")


def test_a_conf_that_an_earlier_version_stored_is_read() -> None:
    stored = to_dict(TrainConfig())
    stored["loss"]["map_sigma"] = 1.5
    assert from_stored(stored, TrainConfig, "a run's conf") == TrainConfig()


def test_nme_is_the_mean_distance_over_the_eye_distance() -> None:
    truth = torch.rand(2, 68, 2)
    truth[:, 36], truth[:, 45] = torch.tensor([0.2, 0.4]), torch.tensor([0.7, 0.4])
    points = truth + torch.tensor([0.03, 0.04])
    assert torch.allclose(face_nme(points, truth, torch.ones(2, 68), scheme("ibug68")), torch.tensor(0.1), atol=1e-5)
    weight = torch.ones(2, 68)
    weight[0, 5], truth[0, 5] = 0, float("nan")
    truth[1, 36] = float("nan")
    nme = face_nme(points, truth, weight, scheme("ibug68"))
    assert nme[0].item() == pytest.approx(0.1, abs=1e-5) and math.isnan(nme[1])


def test_validation_weighs_faces_and_points_not_batches() -> None:
    """The baseline's flaw, the loss of one batch over the number of batches, cannot occur: any cut gives one answer."""
    points, truth, weight = faces()
    known, config = scheme("five"), LossConfig()

    def sums(low: int, high: int) -> Tensor:
        part = Prediction(points[low:high])
        losses = per_point(part, truth[low:high], weight[low:high], config)
        return batch_sums(part.points, truth[low:high], weight[low:high], losses, known)

    whole, cut = from_sums(sums(0, 6)), from_sums(sums(0, 1) + sums(1, 5) + sums(5, 6))
    assert whole.faces == cut.faces == 6
    for name in ("loss", "mse", "mae", "nme"):
        assert getattr(whole, name) == pytest.approx(getattr(cut, name), rel=1e-9)
    present = weight > 0
    assert whole.mse == pytest.approx((points - truth)[present].square().mean().item(), rel=1e-5)
    padded = from_sums(sums(0, 6) + batch_sums(points, truth, weight * 0, points[..., 0] * 0, known))
    assert padded == whole
