"""Every Kaggle conf loads, and the comparisons' cells are trainings that could start."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakeit.model.comparison import grid
from fakeit.model.comparison.config import load as load_comparison
from fakeit.model.networks import build, parameter_count
from fakeit.model.training.config import TrainConfig
from fakeit.pipelines.config import load
from fakeit.pipelines.faces.crop import CropConfig
from fakeit.pipelines.flows.preprocess_config import PreprocessConfig
from fakeit.pipelines.store import manifest as manifests
from fakeit.pipelines.store.manifest import Manifest
from fakeit.pipelines.store.shards import Shard

CONF = Path(__file__).resolve().parents[3] / "conf"


@pytest.mark.parametrize("path", sorted(CONF.glob("preprocess/kaggle*.toml")), ids=lambda path: path.stem)
def test_datasets_can_be_mixed(path: Path) -> None:
    crop = load(path, PreprocessConfig).crop
    assert (crop.size, crop.margin, crop.colour) == (96, 0.0, "grey")


@pytest.mark.parametrize("path", sorted(CONF.glob("train/kaggle*.toml")), ids=lambda path: path.stem)
def test_networks_build(path: Path) -> None:
    network = build(load(path, TrainConfig).network, 15, 1, 96)
    if path.stem == "kaggle_cnn":
        assert parameter_count(network) == 3_371_486


@pytest.mark.parametrize("path", sorted(CONF.glob("compare/kaggle*.toml")), ids=lambda path: path.stem)
def test_comparisons_have_cells(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crop = CropConfig(size=96, margin=0.0, colour="grey")
    splits = ("train", "val", "test")
    shards = tuple(Shard(f"{split}/shard-0.parquet", split, 1000, 1000, 1, "") for split in splits)
    manifest = Manifest("kaggle15", crop, "raw", 1, {}, "", shards, ())
    monkeypatch.setattr(manifests, "load", lambda dataset: manifest)  # of cells that bring their own
    cells = grid.cells(load_comparison(str(path)), manifest)
    assert len(cells) >= 3 and all(cell.train_config().network.name for cell in cells)
