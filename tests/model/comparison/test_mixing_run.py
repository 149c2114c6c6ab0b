"""Rendered faces and photographs mixed: what a cell trains on, and that it is scored on faces that it never saw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fakeit.model.comparison import grid
from fakeit.model.comparison.cell import evaluate_cell
from fakeit.model.comparison.config import Axis, Budget, ComparisonConfig, Point
from fakeit.model.comparison.grid import Cell
from fakeit.model.comparison.judging import Photos
from fakeit.model.comparison.photographs import Photographs, PhotographSet, deal, ids_of
from fakeit.model.distributed.communicator import Single
from fakeit.model.training.trainer import train
from fakeit.pipelines.store import manifest as manifests
from tests.model.comparison.test_photographs import make_photographs
from tests.tiny_dataset import make_dataset

ROOT = Path(__file__).resolve().parents[3]
FOLDS = 2


@pytest.fixture(autouse=True)
def untimed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pace and speed take seconds, and are tested elsewhere."""
    monkeypatch.setattr("fakeit.model.comparison.pace.measure", lambda *_: 1.0)
    monkeypatch.setattr("fakeit.model.comparison.cell.speed", lambda network: {"infer_ms": 1.0})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[PhotographSet, ...], dict[str, Cell]]:
    """A folder, a set to train on and one only to score on, and the cells of a comparison."""
    folder = tmp_path_factory.mktemp("mixing")
    dataset = make_dataset(folder / "rendered", train=(40,), val=(9,), test=(8,), scheme_name="face70")
    sets = (
        PhotographSet("P", "300w", str(make_photographs(folder / "p", 60, 1)), True),
        PhotographSet("Q", "300w", str(make_photographs(folder / "q", 55, 2))),
    )
    manifest = manifests.load(str(dataset))
    points = (
        Point("rendered only"),
        Point("mixed", photographs=20),
        Point("then", photographs=20, share=1.0, after="rendered only"),
    )
    keys = {"data.batch_size": 10, "tracking.uri": "", "train.precision": "float32"}
    conf, axes = str(ROOT / "conf/train/lenet.toml"), (Axis("on", points=points),)
    budget = Budget(samples=80, rounds=2)
    config = ComparisonConfig("mix", "t", conf, budget, set=keys, axes=axes, register="", folds=FOLDS)
    photographs = Photographs(sets[:1], folder / "stored", FOLDS, manifest.crop)
    return folder, sets, {cell.id: cell for cell in grid.cells(config, manifest, photographs=photographs)}


def _run(folder: Path, sets: tuple[PhotographSet, ...], cell: Cell) -> dict[str, dict[str, float]]:
    """Trains a cell as jobs/train.py would, judges it, and returns what it says of real faces."""
    place = folder / "cells" / cell.id
    arguments = cell.command(str(folder / "rendered"), str(place / "run"))
    init = arguments[arguments.index("--init") + 1] if "--init" in arguments else None
    train(cell.train_config(), cell.dataset or str(folder / "rendered"), place / "run", Single(), init=init)
    fold = (cell.fold, FOLDS) if cell.fold >= 0 else None
    result = evaluate_cell(place, str(folder / "rendered"), Photos(sets, folder / "stored", fold))
    assert result["splits"]["test"]["faces"] == 8 and result["samples"] == pytest.approx(80, abs=4)
    parts = {"jaw", "brows", "nose", "eyes", "mouth"}
    assert set(result["parts"]["Q"]) == parts and set(result["parts"]["test"]) == parts | {"pupils"}
    found: dict[str, dict[str, float]] = result["real"]
    assert found["Q"]["faces"] == 55, "what nobody trains on is scored whole"
    return found


def test_each_photograph_is_scored_once_by_a_network_that_did_not_see_it(
    made: tuple[Path, tuple[PhotographSet, ...], dict[str, Cell]],
) -> None:
    folder, sets, cells = made
    folds = [f"{name}--fold{fold}--seed1" for name in ("mixed", "then") for fold in (1, 2)]
    assert set(cells) == {"rendered-only--seed1", *folds}
    stored = sets[0].stored(folder / "stored", manifests.load(str(folder / "rendered")).crop)
    dealt = deal(ids_of(stored), FOLDS)
    scored = [_run(folder, sets, cells[f"mixed--fold{fold + 1}--seed1"])["P"]["faces"] for fold in range(FOLDS)]
    assert sum(scored) == 60
    for fold in range(FOLDS):
        data = cells[f"mixed--fold{fold + 1}--seed1"].train_config().data
        (seen,) = data.mix
        assert all(dealt[name] != fold for name in ids_of(seen.path))
        share = 20 * seen.passes_per_epoch / (20 * seen.passes_per_epoch + 40 * data.passes_per_epoch)
        assert share == pytest.approx(0.25, abs=0.01)


def test_a_network_goes_on_with_photographs_after_rendered_faces(
    made: tuple[Path, tuple[PhotographSet, ...], dict[str, Cell]], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, sets, cells = made
    real = _run(folder, sets, cells["rendered-only--seed1"])
    assert real["P"]["faces"] == 60 and np.isfinite(real["P"]["adapted"]), "it saw none, and is scored on all"
    then = cells["then--fold1--seed1"]
    capsys.readouterr()
    assert manifests.load(then.dataset).rows("train") == 20 and then.judged == grid.COMPARISONS
    assert _run(folder, sets, then)["P"]["faces"] == 30
    assert "start anew" not in capsys.readouterr().err, "photographs lack two points, and a new head was begun for them"
