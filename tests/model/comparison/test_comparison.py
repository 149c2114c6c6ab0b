"""A grid is data: its cells are checked, named, nested and runnable by hand; what is done is not done again."""

from __future__ import annotations

import json
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny_dataset import make_dataset

from fakeit.model.comparison import grid, running
from fakeit.model.comparison.cell import evaluate_cell
from fakeit.model.comparison.compare import ranked
from fakeit.model.comparison.config import Axis, Budget, ComparisonConfig, Point, load
from fakeit.model.comparison.grid import Cell
from fakeit.model.comparison.running import CellRunner
from fakeit.model.comparison.slots import slots
from fakeit.model.comparison.tracking import ComparisonTracker
from fakeit.model.distributed.communicator import Single
from fakeit.model.networks import NetworkConfig
from fakeit.model.tracking.mlflow_tracker import TrackingConfig
from fakeit.model.training.config import LoopConfig, TrainConfig
from fakeit.model.training.optim import OptimiserConfig
from fakeit.model.training.trainer import train
from fakeit.pipelines.config import from_dict
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.faces.crop import CropConfig
from fakeit.pipelines.store import manifest as manifests
from fakeit.pipelines.store.manifest import Manifest
from fakeit.pipelines.store.shards import Shard

ROOT = Path(__file__).resolve().parents[3]
CONFS = [p for p in sorted((ROOT / "conf" / "compare").glob("*.toml")) if not p.name.startswith("base")]


def _manifest(images: int) -> Manifest:
    shards = tuple(Shard(f"{s}/0.parquet", s, n, n, 1, "") for s, n in (("train", images), ("val", 50), ("test", 50)))
    return Manifest("face70", CropConfig(), "raw", 1, {}, "", shards, ())


@pytest.mark.parametrize("path", CONFS, ids=lambda p: p.stem)
def test_every_comparison_has_cells_whose_confs_load(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifests, "load", lambda dataset: _manifest(100_000))  # of cells that bring their own
    config = load(str(path))
    cells = grid.cells(config, _manifest(100_000), photographs=grid.Undealt())
    assert len(cells) >= 3
    assert all(c.train_config().train.seed == c.seed for c in cells)


def test_more_images_than_there_are_is_said_before_anything_runs() -> None:
    config = load(str(ROOT / "conf/compare/dataset_sizes.toml"))
    with pytest.raises(FakeitError, match="data.images is 5000, the dataset has 3000"):
        grid.cells(config, _manifest(3000))


def test_the_budget_in_steps_is_the_same_for_every_size() -> None:
    config = replace(load(str(ROOT / "conf/compare/dataset_sizes.toml")), budget=Budget(steps=1000), seeds=(1,))
    for cell in grid.cells(config, _manifest(100_000)):
        if cell.labels["budget"] == "equal epochs" or cell.train_config().data.images > 10_000:
            continue
        train = cell.train_config()
        assert train.train.epochs * train.data.images == pytest.approx(1000 * train.data.batch_size, rel=0.1)


def test_the_budget_in_steps_counts_accumulated_batches_and_repeated_rows_once(tmp_path: Path) -> None:
    """Four batches a step, or every row three times: it was the same number of epochs, so a quarter, or three times, of
    the steps."""
    other = make_dataset(tmp_path / "other", train=(100,), val=())
    sets: dict[str, dict[str, Any]] = {
        "plain": {},
        "accumulate": {"optimiser.accumulate": 4},
        "passes": {"data.passes_per_epoch": 3.0},
        "mixed": {"data.mix": [{"path": str(other), "passes_per_epoch": 2.0}]},
    }
    axes = (Axis("way", points=tuple(Point(name, set=keys) for name, keys in sets.items())),)
    conf = str(ROOT / "conf/train/lenet.toml")
    config = ComparisonConfig("c", "t", conf, Budget(steps=2000), set={"data.batch_size": 50}, axes=axes)
    cells = grid.cells(config, _manifest(1000))
    rows = {"plain": 1000, "accumulate": 1000, "passes": 3000, "mixed": 1200}
    for cell in cells:
        train = cell.train_config()
        steps = -(-(rows[cell.labels["way"]] // 50) // train.optimiser.accumulate)  # of an epoch
        assert 2000 <= train.train.epochs * steps < 2000 + steps, cell.id


def _judged(folder: Path, name: str, val: float, test: float, seed: int) -> Path:
    """What a cell leaves behind."""
    place = folder / f"{name}-{seed}"
    place.mkdir(parents=True)
    splits = {"val": {"nme": val}, "test": {"nme": test}}
    (place / "cell.json").write_text(json.dumps({"labels": {"network": name}, "seed": seed}))
    (place / "result.json").write_text(json.dumps({"splits": splits}))
    return place


def test_a_cell_tells_images_and_the_samples_it_saw(tmp_path: Path) -> None:
    """Variants of an image were told as images, and epochs that patience left out as seen."""
    dataset = str(make_dataset(tmp_path / "set", train=(10, 11), val=(9,), test=(8,), variants=3))
    config = TrainConfig(
        network=NetworkConfig(name="lenet"),
        optimiser=OptimiserConfig(lr=1e-12),
        train=LoopConfig(epochs=9, patience=1, precision="float32"),
        tracking=TrackingConfig(uri=""),
    )
    epochs = train(config, dataset, tmp_path / "cell" / "run", Single()).epochs
    told = evaluate_cell(tmp_path / "cell", dataset)
    assert epochs < 9 and told["images"] == 21 and told["samples"] == 63 * epochs


def test_the_champion_is_chosen_on_validation(tmp_path: Path) -> None:
    """It was the one with the lowest error on test faces, which then says nothing about others."""
    folders = [
        _judged(tmp_path, "lucky", 6.0, 4.0, 1), _judged(tmp_path, "lucky", 6.2, 4.1, 2),
        _judged(tmp_path, "better", 5.0, 5.0, 1), _judged(tmp_path, "better", 4.8, 5.2, 2),
    ]  # fmt: skip
    first, second = ranked(folders)
    assert first[1]["labels"] == {"network": "better"} and first[0] == pytest.approx(4.9)
    assert first[2].name == "better-2", "its best seed also by validation"
    assert second[1]["labels"] == {"network": "lucky"}


def test_a_trial_is_not_pruned_while_it_is_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was asked to stop in the middle, and recorded as failed."""
    cell = grid.cells(load(str(ROOT / "conf/compare/architectures.toml")), _manifest(1000))[0]
    runner = CellRunner("DATA", "digest", tmp_path)
    judge = "import json, sys, time; time.sleep(2.5); open(sys.argv[1] + '/result.json', 'w').write('{}')"
    process, asked = CellRunner._process, []

    def stand_in(self: CellRunner, command: list[str], *rest: Any, **options: Any) -> Any:
        if any(part.endswith("jobs/train.py") for part in command):
            return 0
        return process(self, [sys.executable, "-c", judge, str(self.place(cell))], *rest, **options)

    monkeypatch.setattr(CellRunner, "_process", stand_in)
    runner.watch = lambda at, place: asked.append(place) or True  # type: ignore[func-returns-value]
    assert runner.one(cell).ended == "done" and not asked


def test_budgets_and_axes_that_say_two_things_are_refused() -> None:
    with pytest.raises(FakeitError, match="exactly one"):
        Budget(epochs=3, minutes=1)
    with pytest.raises(FakeitError, match="key with values, or points"):
        Axis("x")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"budget": {"samples": -5}}, "nothing is spent below 0"),
        ({"budget": {"samples": 5, "rounds": 0}}, "rounds must be at least 1"),
        ({"rates": {"per": "x", "values": [1e-3, 1e-3], "budget": {"epochs": 1}}}, "two or more above 0, ascending"),
        ({"rates": {"per": "x", "values": [0.0, 1e-3], "budget": {"epochs": 1}}}, "two or more above 0, ascending"),
        ({"search": {"trials": 1, "space": [{"key": "k", "low": 1.0, "high": 0.1}]}}, "low is to lie below high"),
        ({"search": {"trials": 1, "space": [{"key": "k", "low": 0.0, "high": 1.0, "log": True}]}}, "above 0 with log"),
        ({"baseline": "plan"}, "baseline is 'plan', which is no point of comparison c; did you mean 'plain'"),
    ],
)
def test_figures_that_mean_nothing_are_refused_before_anything_runs(values: dict[str, Any], message: str) -> None:
    """A misspelt baseline was ignored, and the page told rows against the best instead."""
    axes = [{"name": "x", "points": [{"name": "plain"}, {"name": "other"}]}]
    with pytest.raises(FakeitError, match=message):
        from_dict(
            {"name": "c", "title": "t", "conf": "", "budget": {"epochs": 1}, "axes": axes} | values, ComparisonConfig
        )


def test_a_command_says_everything() -> None:
    config = load(str(ROOT / "conf/compare/ingredients.toml"))
    shell = next(c for c in grid.cells(config, _manifest(1000)) if "wing" in c.id).shell("DATA", "OUT")
    assert "--set 'loss.terms={wing = 1.0}'" in shell and "--dataset DATA --output OUT" in shell


def test_a_cell_may_bring_a_dataset_whose_faces_to_judge_on_are_the_same(tmp_path: Path) -> None:
    ours = make_dataset(tmp_path / "ours", train=(10, 11), val=(5,), test=(6,))
    half = tmp_path / "half"
    shutil.copytree(ours, half)
    whole = manifests.load(str(ours))
    manifests.write(str(half), replace(whole, shards=tuple(s for s in whole.shards if s.path != whole.shards[0].path)))
    other = make_dataset(tmp_path / "other", train=(10, 11), val=(5,), test=(6,), seed=2)

    def compared(dataset: Path) -> list[Cell]:
        points = (Point("all"), Point("half", dataset=str(dataset)))
        config = ComparisonConfig(
            "c",
            "t",
            str(ROOT / "conf/train/lenet.toml"),
            Budget(steps=60),
            set={"data.batch_size": 2},
            axes=(Axis("rows", points=points),),
        )
        return grid.cells(config, whole)

    cells = compared(half)
    grid.check_same_faces(str(ours), cells)
    assert f"--dataset {half} " in cells[1].shell(str(ours), "OUT") and f"--dataset {ours} " in cells[0].shell(
        str(ours), "OUT"
    )
    epochs = [cell.train_config().train.epochs for cell in cells]
    assert epochs[1] > 1.5 * epochs[0]  # equal steps
    runner = CellRunner(str(ours), whole.digest, tmp_path)
    same = replace(cells[0], dataset=str(half), overrides=cells[1].overrides)
    assert runner.identity(same) == runner.identity(cells[1]) != runner.identity(replace(same, dataset=""))
    with pytest.raises(FakeitError, match="other: its val split .* is not that of .*ours"):
        grid.check_same_faces(str(ours), compared(other))
    with pytest.raises(FakeitError, match="size=24"):
        grid.check_same_faces(str(ours), compared(make_dataset(tmp_path / "small", size=24, val=(5,), test=(6,))))


def _done(runner: CellRunner, cell: Cell) -> None:
    place = runner.place(cell)
    place.mkdir(parents=True)
    (place / "cell.json").write_text(json.dumps({"identity": runner.identity(cell), "scored_on": []}))
    (place / "result.json").write_text("{}")


def test_done_cells_are_skipped_and_those_of_another_dataset_are_not(tmp_path: Path) -> None:
    config = load(str(ROOT / "conf/compare/architectures.toml"))
    cell = grid.cells(config, _manifest(1000))[0]
    runner = CellRunner("DATA", "digest", tmp_path)
    assert runner.state(cell) is None
    _done(runner, cell)
    assert runner.state(cell) == "done" and runner.one(cell).ended == "done"
    assert CellRunner("DATA", "another", tmp_path).state(cell) is None
    assert runner.state(replace(cell, overrides=(*cell.overrides, "train.epochs=1"))) is None


@pytest.mark.fault
def test_figures_that_mlflow_did_not_take_are_sent_by_the_next_launch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """They were lost, and the comparison with them: what raised ended it, and the cell was done."""
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_URI", store := f"sqlite:///{tmp_path}/mlflow.db")
    config = ComparisonConfig("c", "t", str(ROOT / "conf/train/lenet.toml"), Budget(epochs=1))
    tracker = ComparisonTracker(config, "DATA", _manifest(100))
    (cell,) = grid.cells(config, _manifest(100))
    run = MlflowClient(store).create_run("0").info.run_id
    names = ("parameters", "macs", "images", "train_images_per_s", "infer_images_per_s", "infer_ms")
    result = {"run_id": run, "splits": {"test": {"nme": 5.0}}, "real": {}} | dict.fromkeys(names, 1.0)
    runner = CellRunner("DATA", "digest", tmp_path, finished=lambda at, place, found: tracker.finished(at, found))

    def stand_in(*_: Any, **options: Any) -> int:
        (runner.place(cell) / "result.json").write_text(json.dumps(result))
        return 0

    def away(*_: Any, **options: Any) -> None:
        raise ConnectionError("connection refused")

    monkeypatch.setattr(CellRunner, "_process", stand_in)
    with monkeypatch.context() as broken:
        broken.setattr(MlflowClient, "log_batch", away)
        assert [runner.one(cell).ended for _ in range(2)] == ["done", "done"]
    assert (
        capsys.readouterr().err.count("does not answer (connection refused); it lacks the final figures of seed1") == 2
    )
    for _ in range(2):
        assert runner.one(cell).ended == "done"
    told = MlflowClient(store).get_metric_history(run, "final_test_nme")
    assert [point.value for point in told] == [5.0], "once"


def test_a_training_that_does_not_end_when_asked_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After two minutes the comparison itself ended, in a TimeoutExpired."""
    monkeypatch.setattr(running, "PATIENCE", 0.5)
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(300)"
    heard: list[bool] = []

    def watch(cell: Cell, place: Path) -> bool:
        heard.append((place / "train.log").read_text() == "1\n")
        return heard[-1]

    runner = CellRunner("DATA", "digest", tmp_path, watch=watch)
    cell, began = Cell("a", {}, 1, "", ()), time.monotonic()
    with open(tmp_path / "lock", "w") as lock:
        slot = slots(1)[0]
        assert runner._process([sys.executable, "-c", deaf], cell, tmp_path, lock.fileno(), slot) == "pruned"
        runner._stopping.set()
        assert runner._process([sys.executable, "-c", deaf], cell, tmp_path, lock.fileno(), slot) < 0
    assert heard and time.monotonic() - began < 60 and not runner._children


def test_a_failed_cell_is_listed_and_does_not_sink_the_rest(tmp_path: Path) -> None:
    config = load(str(ROOT / "conf/compare/architectures.toml"))
    cells = grid.cells(config, _manifest(1000))[:2]
    runner = CellRunner(str(tmp_path / "nowhere"), "digest", tmp_path)
    _done(runner, cells[1])
    states = runner.run(cells, workers=2)
    assert [s.ended for s in states] == ["failed", "done"]
    assert "no manifest.json" in states[0].reason and runner.state(cells[0]) == "failed"
