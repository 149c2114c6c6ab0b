"""A whole comparison: its grid or its studies, from where it stands, to results, versions and a page."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fakeit.model.comparison import grid, rates, tuning
from fakeit.model.comparison.config import ComparisonConfig
from fakeit.model.comparison.grid import Cell
from fakeit.model.comparison.pace import Paces
from fakeit.model.comparison.photographs import Photographs, PhotographSet
from fakeit.model.comparison.report import write_report
from fakeit.model.comparison.running import CellRunner, CellState, read_result
from fakeit.model.comparison.tracking import ComparisonTracker
from fakeit.pipelines.config import to_dict
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.files.storage import write_atomically
from fakeit.pipelines.secrets import without_secrets
from fakeit.pipelines.store import manifest as manifests

STATE = "comparison.json"


@dataclass(frozen=True)
class ComparisonResult:
    """What came of it: the cells' states, the report's files, alias → version of the registered model."""

    states: list[CellState]
    pages: list[Path]
    aliases: dict[str, str] = field(default_factory=dict)


def plan(config: ComparisonConfig, dataset: str) -> str:
    """What would be run, for --dry-run. Photographs are not dealt out, and no pace is measured yet."""
    cells = grid.cells(config, manifests.load(dataset), photographs=grid.Undealt())
    more = f", {config.search.trials} trials each" if config.search else ""
    if config.rates:
        more += f"; before, a learning rate for each {config.rates.per}, {config.rates.budget} a try"
    lines = [f"{config.title}: {len(cells)} cells, {config.budget} each{more}"]
    return "\n".join([*lines, *(f"  {cell.id}: {cell.shell(dataset, f'runs/{cell.id}')}" for cell in cells)])


def compare(
    config: ComparisonConfig,
    dataset: str,
    folder: Path,
    workers: int = 1,
    real: tuple[PhotographSet, ...] = (),
    tell: Callable[[str], None] = print,
) -> ComparisonResult:
    """Runs what is not done yet, then writes the report.

    Args:
        config: of the comparison.
        dataset: that all cells are trained and judged on.
        folder: of this comparison's files; what comparisons share lies beside it.
        workers: trainings side by side.
        real: sets of real faces that every cell is judged on too, and some are trained on.
        tell: is given a line for each cell that ends.

    Raises:
        FakeitError: something the user must change; nothing has been trained yet.
    """
    manifest = manifests.load(dataset)
    stored = folder.parent / "photographs"
    trained = tuple(each for each in real if each.trained)
    photographs = Photographs(trained, stored, config.folds, manifest.crop) if trained else None
    paces = Paces(folder, dataset, workers)
    _check(config, dataset, manifest, real, photographs)
    for each in real:
        each.stored(stored, manifest.crop)
    folder.mkdir(parents=True, exist_ok=True)
    with ComparisonTracker(config, dataset, manifest, _parent(folder)) as tracker:
        _remember(config, dataset, manifest, folder, tracker.run_id)

        def finished(cell: Cell, place: Path, result: dict[str, Any]) -> bool:
            test = result["splits"].get("test") or result["splits"]["val"]
            tell(f"  {cell.id}: NME {test['nme']:.2f} %, MSE {test['mse']:.2e}, {read_result(place)['seconds']:.0f} s")
            return tracker.finished(cell, result)

        def runner(place: Path, sets: tuple[PhotographSet, ...], stage: str) -> CellRunner:
            keys = partial(tracker.keys, stage=stage)
            return CellRunner(dataset, manifest.digest, place, keys, sets, stored, config.folds, finished)

        lr: dict[str, float] = {}
        if config.rates:
            lr = rates.search(config, manifest, runner(folder / rates.FOLDER, (), "rate"), workers, paces, tell)
        cells = grid.cells(config, manifest, paces, photographs, lr)
        compared = runner(folder, real, "cell")
        if config.search:
            states = tuning.search(config, cells, manifest, compared, tracker, workers, tell)
        else:
            done = sum(compared.state(cell) == "done" for cell in cells)
            tell(f"{config.title}: {len(cells)} cells, {done} done before; {config.budget} each")
            states = compared.run(cells, workers)
        aliases = tracker.register(ranked([s.folder for s in states if s.ended == "done"]))
        pages = write_report(folder)
        tracker.files(pages)
    return ComparisonResult(states, pages, aliases)


def _check(
    config: ComparisonConfig, dataset: str, manifest: manifests.Manifest, real: tuple[PhotographSet, ...],
    photographs: Photographs | None,
) -> None:  # fmt: skip
    """Whatever can be said before anything is trained."""
    names = [each.name for each in real]
    if doubled := {name for name in names if names.count(name) > 1}:
        raise FakeitError(f"two sets of real faces are called '{min(doubled)}'; name them apart, as in AFW:300w=DIR")
    if config.uses_photographs and photographs is None:
        raise FakeitError(f"comparison {config.name} trains on real faces: name some with --photographs")
    if config.uses_photographs and config.register:
        raise FakeitError(f'comparison {config.name} trains on real faces; its conf is to say register = ""')
    choosing = ("val",) if config.search else ("val", "test")
    if not any(manifest.rows(split) for split in choosing):
        what = "a search chooses by the faces" if config.search else "cells are judged by faces"
        raise FakeitError(
            f"dataset {dataset}: {what} of its split {' or '.join(choosing)}, which has none; "
            "make it with split.val above 0"
        )
    grid.check_same_faces(dataset, grid.cells(config, manifest, photographs=photographs))


def ranked(folders: list[Path]) -> list[tuple[float, dict[str, Any], Path]]:
    """The combinations of the axes by their mean validation NME over seeds, each with the result and folder of its best
    seed, also by validation: a figure on test faces by which something was chosen says nothing about unseen faces."""
    groups: dict[tuple[tuple[str, str], ...], list[tuple[float, dict[str, Any], Path]]] = defaultdict(list)
    for folder in folders:
        result = read_result(folder)
        scores = result["splits"].get("val") or result["splits"]["test"]
        groups[tuple(result["labels"].items())].append((float(scores["nme"]), result, folder))
    best = []
    for members in groups.values():
        _, result, folder = min(members, key=lambda member: member[0])
        best.append((float(np.mean([score for score, _, _ in members])), result, folder))
    return sorted(best, key=lambda member: member[0])


def _parent(folder: Path) -> str | None:
    try:
        return str(json.loads((folder / STATE).read_text())["run_id"])
    except (OSError, ValueError, KeyError):
        return None


def _remember(config: ComparisonConfig, dataset: str, manifest: manifests.Manifest, folder: Path, run_id: str) -> None:
    state = {
        "config": without_secrets(to_dict(config)),
        "dataset": dataset,
        "digest": manifest.digest,
        "scheme": manifest.scheme,
        "crop": to_dict(manifest.crop),
        "images": {split: manifest.images(split) for split in manifests.SPLITS},
        "run_id": run_id,
    }
    with write_atomically(str(folder / STATE)) as file:
        file.write(json.dumps(state, indent=1).encode())
