"""What cells may spend, at which learning rate, from which network, in which place of the machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny_dataset import make_dataset

from fakeit.model.comparison import grid, rates, slots
from fakeit.model.comparison.compare import compare
from fakeit.model.comparison.config import Axis, Budget, ComparisonConfig, Dimension, Point, RateSearch, SearchConfig
from fakeit.model.comparison.grid import Cell
from fakeit.model.comparison.pace import Paces
from fakeit.model.comparison.photographs import PhotographSet
from fakeit.model.comparison.running import CellRunner, CellState
from fakeit.model.data.batch_plan import Plan
from fakeit.model.data.dataset import DatasetSpec, ShardedDataset
from fakeit.model.training.config import TrainConfig
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.store import manifest as manifests

ROOT = Path(__file__).resolve().parents[3]
CONF = str(ROOT / "conf/train/lenet.toml")


def _config(budget: Budget, *points: Point, **more: Any) -> ComparisonConfig:
    axes = (Axis("way", points=points or (Point("one"), Point("two"))),)
    return ComparisonConfig("c", "t", CONF, budget, set={"data.batch_size": 10}, axes=axes, **more)


def _rows_seen(train: TrainConfig, dataset: Path) -> int:
    mix = (DatasetSpec(str(dataset), train.data.passes_per_epoch), *train.data.mix)
    store = ShardedDataset(mix, "train", images=train.data.images)
    plan = Plan(store.parts(), train.data.batch_size)
    return sum(plan.rows(epoch) for epoch in range(train.train.epochs))


@pytest.mark.parametrize("samples", [130, 1000])
def test_samples_are_spent_to_the_row(tmp_path: Path, samples: int) -> None:
    """Steps come in whole epochs: of a large set it was up to twice as many as of a small one."""
    ours, other = make_dataset(tmp_path / "a", train=(40, 41)), make_dataset(tmp_path / "b", train=(30,), seed=2)
    points = (
        Point("all"),
        Point("ten", set={"data.images": 10}),
        Point("mixed", set={"data.mix": [{"path": str(other), "passes_per_epoch": 2.0}]}),
    )
    cells = grid.cells(_config(Budget(samples=samples, rounds=5), *points), manifests.load(str(ours)))
    for cell in cells:
        train = cell.train_config()
        assert train.train.epochs == 5, "as many validations, whatever the set's size"
        assert _rows_seen(train, ours) == pytest.approx(samples, abs=6), cell.id
    mixed = cells[2].train_config().data
    assert mixed.mix[0].passes_per_epoch == pytest.approx(2 * mixed.passes_per_epoch, rel=1e-4), "the mix stays"


def test_minutes_are_samples_at_each_network_s_own_pace(tmp_path: Path) -> None:
    ours = make_dataset(tmp_path / "a", train=(40, 40))
    paces = {"lenet": 100.0, "kaggle_cnn": 25.0}
    points = tuple(Point(name, set={"network.name": name}) for name in paces)
    config = _config(Budget(minutes=0.5, rounds=10), *points)
    cells = grid.cells(config, manifests.load(str(ours)), lambda train, dataset: paces[train.network.name])
    assert [_rows_seen(cell.train_config(), ours) for cell in cells] == pytest.approx([3000, 750], abs=10)


@pytest.mark.parametrize("dense", [True, False], ids=["with dense points", "without"])
def test_a_pace_with_dense_points(tmp_path: Path, dense: bool) -> None:
    ours = make_dataset(tmp_path / "a", train=(40, 40), dense=dense)
    asked = {"network.name": "resnet_lean", "network.width": 0.25, "network.dense_modes": 8, "loss.dense": 2.4}
    cells = grid.cells(_config(Budget(epochs=1), Point("dense", set=asked)), manifests.load(str(ours)))
    assert Paces(tmp_path / "out", str(ours), 1)(cells[0].train_config(), "") > 1


def test_a_pace_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = make_dataset(tmp_path / "a", train=(40, 40))
    cells = grid.cells(_config(Budget(epochs=1)), manifests.load(str(ours)))
    pace = Paces(tmp_path / "out", str(ours), 1)
    found = pace(cells[0].train_config(), "")
    assert found > 1
    monkeypatch.setattr(Paces, "_measured", lambda *_: pytest.fail("measured again"))
    other = replace(cells[1].train_config(), train=replace(cells[1].train_config().train, seed=7, epochs=9))
    assert Paces(tmp_path / "out", str(ours), 1)(other, "") == found
    alike, larger = make_dataset(tmp_path / "b", train=(10, 10)), make_dataset(tmp_path / "c", size=64)
    assert pace(other, str(alike)) == found
    monkeypatch.setattr(Paces, "_measured", lambda *_: 0.5)
    assert pace(other, str(larger)) == 0.5, "larger crops, which take longer"


def test_points_have_budgets_of_their_own(tmp_path: Path) -> None:
    points = (Point("short"), Point("long", budget=Budget(epochs=9)))
    cells = grid.cells(_config(Budget(epochs=3), *points), manifests.load(str(make_dataset(tmp_path / "a"))))
    assert [cell.train_config().train.epochs for cell in cells] == [3, 9]


def test_a_cell_goes_on_from_another_of_its_seed(tmp_path: Path) -> None:
    ours = make_dataset(tmp_path / "a", train=(40, 40))
    points = (Point("first"), Point("then", after="first", set={"optimiser.lr": 1e-4}))
    config = _config(Budget(samples=100), *points, seeds=(1, 2), init="box")
    cells = {cell.id: cell for cell in grid.cells(config, manifests.load(str(ours)))}
    then = cells["then--seed2"]
    assert "--init runs/first--seed2/checkpoints/best.pt" in then.shell("DATA", f"runs/{then.id}")
    inside = then.command("DATA", f"/out/cells/{then.id}/run")
    assert inside[inside.index("--init") + 1] == "/out/cells/first--seed2/run/checkpoints/best.pt"
    assert "--init box" in cells["first--seed1"].shell("DATA", "OUT")
    with pytest.raises(FakeitError, match="goes on from nobody--seed1, which is none"):
        grid.cells(_config(Budget(samples=100), Point("then", after="nobody")), manifests.load(str(ours)))


def test_cells_that_go_on_wait_for_all_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    def one(self: CellRunner, cell: Cell) -> CellState:
        order.append(cell.id)
        return CellState(cell, tmp_path, "done")

    monkeypatch.setattr(CellRunner, "one", one)
    cells = [Cell("b", {}, 1, CONF, (), after="a"), Cell("a", {}, 1, CONF, ())]
    CellRunner("DATA", "digest", tmp_path).run(cells, workers=2)
    assert order == ["a", "b"]


def test_a_trained_cell_is_only_judged_anew_for_more_real_faces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A set of real faces more, and every network was trained again."""
    cell = grid.cells(_config(Budget(epochs=1)), manifests.load(str(make_dataset(tmp_path / "a"))))[0]
    runner = CellRunner("DATA", "digest", tmp_path)
    place = runner.place(cell)
    (place / "run").mkdir(parents=True)
    (place / "run" / "kept").touch()
    described = {"identity": runner.identity(cell), "scored_on": [], "labels": {}, "seed": 1}
    (place / "cell.json").write_text(json.dumps(described))
    (place / "result.json").write_text("{}")
    assert runner.state(cell) == "done"
    runner.real = (PhotographSet("AFW", "300w", "x"),)
    assert runner.state(cell) is None
    told: list[dict[str, Any]] = []

    def stand_in(self: CellRunner, command: list[str], *_: Any, **options: Any) -> int:
        if "fakeit.model.comparison.cell" in command:
            told.append(json.loads(command[-1]))
            (place / "result.json").write_text("{}")
        return 0

    monkeypatch.setattr(CellRunner, "_process", stand_in)
    assert runner.one(cell).ended == "done" and (place / "run" / "kept").exists()
    assert told[0]["sets"][0]["name"] == "AFW" and runner.state(cell) == "done"


class _Stand:
    """Runs nothing: a try's error is how far its rate is from the network's best, in factors of two."""

    def __init__(self, folder: Path, best: dict[str, float]) -> None:
        self.folder, self.best, self.ran = folder, best, 0

    def state(self, cell: Cell) -> str | None:
        return "done" if (self.folder / "cells" / cell.id / "result.json").exists() else None

    def run(self, cells: list[Cell], workers: int) -> None:
        for cell in (c for c in cells if self.state(c) is None):
            self.ran += 1
            place = self.folder / "cells" / cell.id
            place.mkdir(parents=True)
            lr = cell.train_config().optimiser.lr
            factor = lr / self.best[cell.labels["of"]]
            splits = {"val": {"nme": 5.0 + max(factor, 1 / factor)}}
            (place / "cell.json").write_text(json.dumps({"labels": cell.labels, "seed": cell.seed}))
            (place / "result.json").write_text(json.dumps({"splits": splits}))


def test_each_network_finds_its_rate_and_the_ladder_grows_where_it_ends(tmp_path: Path) -> None:
    ours = make_dataset(tmp_path / "a", train=(40, 40))
    best = {"one": 1e-3, "two": 8e-3}
    search = RateSearch("way", (5e-4, 1e-3, 2e-3), Budget(samples=20, rounds=2))
    config = _config(Budget(samples=100), *map(Point, best), rates=search)
    stand: Any = _Stand(tmp_path / "rates", best)
    arguments = (config, manifests.load(str(ours)), stand, 1, lambda train, dataset: 1.0, lambda line: None)
    assert rates.search(*arguments) == best
    assert stand.ran == 3 + 5, "the second climbed to 4e-3 and 8e-3"
    assert rates.search(*arguments) == best and stand.ran == 8, "what is done is not done again"
    cells = grid.cells(config, manifests.load(str(ours)), lr=best)
    assert [cell.train_config().optimiser.lr for cell in cells] == [1e-3, 8e-3]
    other = replace(config, rates=replace(search, values=(2e-3, 4e-3, 8e-3, 1.6e-2), further=0))
    assert rates.search(other, *arguments[1:]) == {"one": 2e-3, "two": 8e-3}, "a former conf's tries do not count"


def test_slots_share_the_processors_out_and_take_gpus_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 1, 5, 7})
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,4")
    assert [(s.processors, s.gpu) for s in slots.slots(3)] == [((1,), "2"), ((3,), "4"), ((5, 7), "2")]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert [(s.processors, s.gpu) for s in slots.slots(5)][:2] == [((1,), ""), ((1,), "")]


def test_a_process_stays_in_its_slot() -> None:
    mine = sorted(os.sched_getaffinity(0))[0]
    asked = "import os, time; time.sleep(0.3); print(os.sched_getaffinity(0))"
    child = slots.Slot((mine,)).start([sys.executable, "-c", asked], stdout=subprocess.PIPE)
    assert child.communicate()[0].decode().strip() == f"{{{mine}}}"


def test_where_nothing_can_be_bound_a_slot_has_its_share_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS."""
    for call in ("sched_getaffinity", "sched_setaffinity"):
        monkeypatch.delattr(os, call, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    asked = "import os; print(os.environ['OMP_NUM_THREADS'])"
    child = slots.slots(2)[1].start([sys.executable, "-c", asked], stdout=subprocess.PIPE)
    assert child.communicate()[0].decode().strip() == "3"


def test_training_on_real_faces_registers_nothing_and_needs_some(tmp_path: Path) -> None:
    ours = str(make_dataset(tmp_path / "a", train=(40, 40)))
    config = _config(Budget(samples=100), Point("p", photographs=5))
    with pytest.raises(FakeitError, match="--photographs"):
        compare(replace(config, register=""), ours, tmp_path / "out")
    trained = (PhotographSet("A", "300w", str(tmp_path), True),)
    with pytest.raises(FakeitError, match='register = ""'):
        compare(config, ours, tmp_path / "out", real=trained)
    twice = (PhotographSet("A", "300w", "x"), PhotographSet("A", "300w", "y"))
    with pytest.raises(FakeitError, match="two sets of real faces are called 'A'"):
        compare(_config(Budget(samples=100)), ours, tmp_path / "out", real=twice)


def test_faces_to_choose_by_are_asked_for_before_anything_is_trained(tmp_path: Path) -> None:
    """After the first trial's whole training it read KeyError: 'val'."""
    tested = str(make_dataset(tmp_path / "a", train=(40, 40), val=(), test=(5,)))
    config = _config(Budget(samples=100), search=SearchConfig(1, (Dimension("optimiser.lr", 1e-4, 1e-2),)))
    with pytest.raises(FakeitError, match="a: a search chooses by the faces of its split val, .*split.val above 0"):
        compare(config, tested, tmp_path / "out")
    neither = str(make_dataset(tmp_path / "b", train=(40, 40), val=()))
    with pytest.raises(FakeitError, match="b: cells are judged by faces of its split val or test, which has none"):
        compare(_config(Budget(samples=100)), neither, tmp_path / "out")
