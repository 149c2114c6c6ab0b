"""The mean of several networks' weights: of equals it is they, of two it lies between, of unlike ones there is none."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest
import torch

from fakeit.model.networks import NetworkConfig, build
from fakeit.model.training import checkpoint
from fakeit.model.training.checkpoint import Checkpoint
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.faces.crop import CropConfig
from tools import average_networks
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


def test_a_mean_that_cannot_be_written_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fills up half-way must not leave half a checkpoint under the name of a whole one."""
    for name in "ab":
        (tmp_path / name).with_suffix(".pt").write_bytes(checkpoint.dump(trained(1)))
    before = (tmp_path / "b.pt").read_bytes()
    words = ["average", str(tmp_path / "a.pt"), str(tmp_path / "b.pt"), "--output", str(tmp_path / "b.pt")]
    monkeypatch.setattr(sys, "argv", words)

    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", full)
        with pytest.raises(FakeitError, match="b.pt: cannot be written .*No space left"):
            average_networks.main()
    assert (tmp_path / "b.pt").read_bytes() == before
    average_networks.main()
    assert checkpoint.load(tmp_path / "b.pt").scheme == "five" and len(list(tmp_path.iterdir())) == 2
