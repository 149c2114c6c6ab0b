"""Every file of conf/train says something that can be trained."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakeit.model.networks import build
from fakeit.model.training.config import TrainConfig
from fakeit.pipelines.config import load

CONFS = sorted((Path(__file__).resolve().parents[3] / "conf" / "train").glob("*.toml"))


@pytest.mark.parametrize("path", CONFS, ids=lambda p: p.stem)
def test_conf(path: Path) -> None:
    config = load(path, TrainConfig)
    size = config.input.size or 96
    assert build(config.network, 70, 3, size).size == size
