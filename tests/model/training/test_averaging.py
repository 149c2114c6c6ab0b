"""The mean of several networks' weights: of equals it is they, of two it lies between, of unlike ones there is none."""

from __future__ import annotations

import pytest
import torch

from fakeit.model.networks import NetworkConfig, build
from fakeit.model.training.checkpoint import Checkpoint
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.faces.crop import CropConfig
from tools.average_networks import averaged


def trained(seed: int, width: float = 0.25) -> Checkpoint:
    torch.manual_seed(seed)
    config = NetworkConfig("resnet_lean", width, head="votes", head_width=16)
    network = build(config, 5, 3, 64)
    with torch.no_grad():
        network(torch.rand(4, 3, 64, 64) * 255)  # norms have seen something
    return Checkpoint(config, CropConfig(64), "five", network.state_dict())


def test_the_mean_lies_between() -> None:
    one, two = trained(1), trained(2)
    mean = averaged([one, two], ["one", "two"])
    crops = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    assert mean.build()(crops).points.shape == (2, 5, 2)
    for key, value in mean.build().state_dict().items():
        wanted = (one.weights[key] + two.weights[key]) / 2 if value.is_floating_point() else one.weights[key]
        assert torch.allclose(value, wanted), key


def test_the_mean_of_equals_is_they() -> None:
    one = trained(3)
    crops = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.equal(averaged([one, one, one], list("abc")).build()(crops).points, one.build()(crops).points)


def test_unlike_networks_have_none() -> None:
    with pytest.raises(FakeitError, match=r"b: its network is .*width=0\.5.* that of a is .*width=0\.25"):
        averaged([trained(1), trained(1, 0.5)], ["a", "b"])
