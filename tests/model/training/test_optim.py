"""Learning rates as functions of the moment, and smoothed weights."""

from __future__ import annotations

import pytest
import torch

from fakeit.model.training.optim import ModelEma, OptimiserConfig, ScheduleConfig, lr_factor, make_optimiser, scaled_lr


@pytest.mark.parametrize(
    ("config", "epoch", "factor"),
    [
        (ScheduleConfig(), 3.3, 1.0),
        (ScheduleConfig(warmup=2), 1.0, 0.5),
        (ScheduleConfig("cosine"), 0.0, 1.0),
        (ScheduleConfig("cosine"), 5.0, 0.5),
        (ScheduleConfig("cosine", floor=0.1), 10.0, 0.1),
        (ScheduleConfig("cosine", warmup=2), 6.0, 0.5),
        (ScheduleConfig("step", every=3, factor=0.5), 6.5, 0.25),
    ],
)
def test_courses(config: ScheduleConfig, epoch: float, factor: float) -> None:
    assert lr_factor(config, epoch, 10, []) == pytest.approx(factor, abs=1e-3)


def test_a_plateau_lowers_the_rate() -> None:
    config = ScheduleConfig("plateau", patience=1, factor=0.1)
    assert lr_factor(config, 3, 10, [3.0, 2.0, 1.0]) == 1
    assert lr_factor(config, 3, 10, [1.0, 2.0, 2.0]) == pytest.approx(0.1)
    assert lr_factor(config, 5, 10, [1.0, 2.0, 2.0, 2.0, 2.0]) == pytest.approx(0.01)


@pytest.mark.parametrize(("scaling", "lr"), [("none", 0.1), ("linear", 0.4), ("sqrt", 0.2)])
def test_the_rate_grows_with_the_world_only_when_told(scaling: str, lr: float) -> None:
    assert scaled_lr(OptimiserConfig(lr=0.1, scaling=scaling), 4) == pytest.approx(lr)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_biases_and_norms_do_not_decay(name: str) -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    optimiser = make_optimiser(network, OptimiserConfig(name=name, weight_decay=0.1), 1e-2)  # type: ignore[arg-type]
    decays = {id(p): group["weight_decay"] for group in optimiser.param_groups for p in group["params"]}
    assert {p.ndim: decays[id(p)] for p in network.parameters()} == {4: 0.1, 1: 0.0}
    network(torch.randn(2, 1, 8, 8)).square().sum().backward()
    before = network[0].weight.detach().clone()
    optimiser.step()
    assert not torch.equal(before, network[0].weight)


def test_smoothed_weights_follow() -> None:
    network = torch.nn.Linear(2, 2)
    smoothed = ModelEma(network, 0.9)
    start = network.weight.detach().clone()
    with torch.no_grad():
        network.weight += 1
    smoothed.update(10_000)
    assert torch.allclose(smoothed.network.weight, start + 0.1)


def test_smoothed_statistics_follow() -> None:
    network = torch.nn.BatchNorm1d(2)
    smoothed = ModelEma(network, 0.9)
    network(torch.randn(64, 2) * 3 + 5)
    smoothed.update(10_000)
    assert torch.allclose(smoothed.network.running_mean, 0.1 * network.running_mean)
    assert torch.allclose(smoothed.network.running_var, 0.9 + 0.1 * network.running_var)


def test_an_epoch_without_validation_passes_and_judges_nothing() -> None:
    plateau = ScheduleConfig("plateau", factor=0.1, patience=3)
    better = [None, 0.5, None, 0.4, None, 0.3, None, 0.2]
    assert lr_factor(plateau, 8, 20, better) == 1.0
    worse = [None, 0.5, None, 0.6, None, 0.6, None, 0.6]
    assert lr_factor(plateau, 5, 20, worse[:5]) == 1.0, "three epochs, but the third was not validated"
    assert lr_factor(plateau, 8, 20, worse) == pytest.approx(0.1)
