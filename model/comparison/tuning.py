"""Hyperparameters chosen by Optuna: a study for each combination of the axes, each trial a cell like any other.

A trial is judged after every epoch by its validation NME and stopped when it falls behind the median of those before
(arXiv 1907.10902); the test faces are never asked. Studies live in the tracking store's own database where it is one.
A trial that a killed launch left behind goes on from its checkpoint.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fakeit.model.comparison import grid
from fakeit.model.comparison.config import ComparisonConfig, Dimension, SearchConfig
from fakeit.model.comparison.grid import Cell
from fakeit.model.comparison.running import CellRunner, CellState, read_result
from fakeit.model.comparison.tracking import ComparisonTracker
from fakeit.model.tracking.journal import JOURNAL
from fakeit.model.training.checkpoint import CheckpointManager
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.files.storage import write_atomically
from fakeit.pipelines.store.manifest import Manifest

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.storages import RDBStorage

TRIALS = "trials.json"


def search(
    config: ComparisonConfig,
    cells: list[Cell],
    manifest: Manifest,
    runner: CellRunner,
    tracker: ComparisonTracker,
    workers: int,
    tell: Callable[[str], None],
) -> list[CellState]:
    """Runs every study to its number of trials and writes `trials.json`; returns all trials' states."""
    import optuna

    assert config.search is not None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = open_storage(config.search, tracker.uri, runner.folder)
    states: list[CellState] = []
    table: list[dict[str, Any]] = []
    for cell in cells:
        study = optuna.create_study(
            study_name=f"{config.name}/{cell.id}/{runner.content}",
            storage=storage,
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(config.search.startup, config.search.warmup),
        )
        states += _study(config, cell, manifest, runner, tracker, study, workers)
        found = trials(study, cell)
        table += found
        pruned = sum(row["state"] == "PRUNED" for row in found)
        best = study.best_trial if any(row["state"] == "COMPLETE" for row in found) else None
        chosen = f"best NME {best.value:.2f} % with {best.params}" if best else "none was completed"
        tell(f"study {cell.id}: {len(found)} trials, {pruned} pruned; {chosen}")
        with write_atomically(str(runner.folder / TRIALS)) as file:
            file.write(json.dumps(table, indent=1).encode())
    return states


def open_storage(config: SearchConfig, uri: str, folder: Path) -> RDBStorage:
    """The studies' database.

    MLflow and Optuna both keep their schema's version in a table `alembic_version`. MLflow's stands already when a
    parent run exists; Optuna leaves a filled one alone, and must not compare it with its own.
    """
    from optuna.storages import RDBStorage

    shared = not config.storage and "://" in uri and not uri.startswith(("http", "file", "databricks"))
    url = config.storage or (uri if shared else f"sqlite:///{folder / 'studies.db'}")
    try:
        return RDBStorage(url, skip_compatibility_check=shared, engine_kwargs={"connect_args": _patience(url)})
    except Exception as error:  # every database has its own classes
        raise FakeitError(f"search.storage {url}: {' '.join(str(error).split())[:200]}") from error


def _patience(url: str) -> dict[str, Any]:
    return {"timeout": 60} if url.startswith("sqlite") else {}


def _study(
    config: ComparisonConfig, cell: Cell, manifest: Manifest, runner: CellRunner, tracker: ComparisonTracker,
    study: Study, workers: int,
) -> list[CellState]:  # fmt: skip
    import optuna
    from optuna.trial import TrialState

    assert config.search is not None
    space = {d.key: distribution(d) for d in config.search.space}
    points = _points(config, cell)
    asked: dict[str, Trial] = {}
    runner.watch = lambda at, place: _behind(asked[at.id], place)
    states = []
    left_behind = [t for t in study.trials if t.state == TrialState.RUNNING]
    while True:
        open_places = config.search.trials - sum(t.state != TrialState.RUNNING for t in study.trials)
        batch: list[tuple[Trial, Cell]] = []
        for _ in range(min(workers, open_places)):
            if left_behind:
                trial = optuna.Trial(study, left_behind.pop(0)._trial_id)
            else:
                study.sampler = _sampler(cell.seed, len(study.trials), workers)
                trial = study.ask(space)
            made = _trial_cell(config, cell, points, trial, manifest)
            asked[made.id] = trial
            batch.append((trial, made))
        if not batch:
            break
        for (trial, made), state in zip(batch, runner.run([c for _, c in batch], workers), strict=True):
            _tell(study, trial, state, tracker)
            states.append(state)
            del asked[made.id]
    return [CellState(s.cell, s.folder, s.ended, s.reason) for s in states] + _earlier(study, cell, runner, states)


def _sampler(seed: int, number: int, workers: int) -> BaseSampler:
    """The sampler of one trial: with a seed of its own, a study that goes on draws what an unbroken one would have."""
    from optuna.samplers import TPESampler

    own = np.random.SeedSequence([seed, number]).generate_state(1)[0]
    return TPESampler(seed=int(own), constant_liar=workers > 1)


def _trial_cell(config: ComparisonConfig, cell: Cell, points: dict[str, Any], trial: Trial, manifest: Manifest) -> Cell:
    number = f"{trial.number:03d}"
    labels = {**cell.labels, "trial": number}
    named = replace(cell, id=f"{cell.id}--trial{number}", labels=labels, overrides=())
    return grid.with_keys(config, named, {**points, **trial.params}, manifest)


def _points(config: ComparisonConfig, cell: Cell) -> dict[str, Any]:
    """The keys that the cell's points set, without seed and budget."""
    keys = dict(config.set)
    for axis in config.axes:
        keys.update(next(p.set for p in axis.all_points() if p.name == cell.labels[axis.name]))
    return keys


def _behind(trial: Trial, place: Path) -> bool:
    """Tells the trial its epochs so far; whether it is to be pruned."""
    journal = place / "run" / JOURNAL
    lines = [json.loads(x) for x in journal.read_text().splitlines() if x.endswith("}")] if journal.exists() else []
    known = trial.study.get_trials(deepcopy=False)[trial.number].intermediate_values
    fresh = [line for line in lines if line["epoch"] not in known and "val_nme" in line["values"]]
    for line in fresh:
        trial.report(100 * line["values"]["val_nme"], line["epoch"])
    return bool(fresh) and trial.should_prune()


def _tell(study: Study, trial: Trial, state: CellState, tracker: ComparisonTracker) -> None:
    from optuna.trial import TrialState

    trial.set_user_attr("cell", state.cell.id)
    if state.ended == "done":
        study.tell(trial, validation_error(read_result(state.folder)))
    elif state.ended == "pruned":
        study.tell(trial, state=TrialState.PRUNED)
        tracker.mark(CheckpointManager(state.folder / "run" / "checkpoints").latest()[0].run_id, "pruned", "true")
    elif state.ended == "failed":
        study.tell(trial, state=TrialState.FAIL)


def validation_error(result: dict[str, Any]) -> float:
    """What a study minimises: NME % of the best network on all validation faces."""
    return float(result["splits"]["val"]["nme"])


def _earlier(study: Study, cell: Cell, runner: CellRunner, states: list[CellState]) -> list[CellState]:
    """States of trials that former launches brought to their end."""
    seen = {state.cell.id for state in states}
    found = []
    for trial in study.trials:
        name = trial.user_attrs.get("cell", "")
        place = runner.folder / "cells" / name
        if name and name not in seen and trial.state.name == "COMPLETE" and (place / "result.json").exists():
            found.append(CellState(Cell(name, cell.labels, cell.seed, cell.conf, ()), place, "done"))
    return found


def distribution(dimension: Dimension) -> BaseDistribution:
    """What Optuna draws from."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if dimension.choices:
        return CategoricalDistribution(dimension.choices)
    assert dimension.low is not None and dimension.high is not None
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log)


def trials(study: Study, cell: Cell) -> list[dict[str, Any]]:
    """Plain rows of a study, for the report."""
    return [
        {
            "study": cell.labels,
            "number": t.number,
            "params": t.params,
            "state": t.state.name,
            "value": t.value if t.state.name == "COMPLETE" else t.intermediate_values.get(t.last_step or 0),
            "epochs": t.last_step or 0,
            "cell": t.user_attrs.get("cell", ""),
        }
        for t in study.trials
    ]
