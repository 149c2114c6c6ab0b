"""A whole comparison: its grid or its studies, from where it stands, to results, versions and a page."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fakeit.model.comparison import grid, tuning
from fakeit.model.comparison.grid import Cell, ComparisonConfig
from fakeit.model.comparison.report import write_report
from fakeit.model.comparison.running import CellRunner, CellState, read_result
from fakeit.model.comparison.tracking import ComparisonTracker
from fakeit.pipelines.config import to_dict
from fakeit.pipelines.secrets import without_secrets
from fakeit.pipelines.storage import write_atomically
from fakeit.pipelines.store import manifest as manifests

STATE = "comparison.json"


@dataclass(frozen=True)
class ComparisonResult:
    """What came of it: the cells' states, the report's files, alias → version of the registered model."""

    states: list[CellState]
    pages: list[Path]
    aliases: dict[str, str] = field(default_factory=dict)


def plan(config: ComparisonConfig, dataset: str) -> str:
    """What would be run, for --dry-run."""
    cells = grid.cells(config, manifests.load(dataset))
    trials = f", {config.search.trials} trials each" if config.search else ""
    lines = [f"{config.title}: {len(cells)} cells, {config.budget} each{trials}"]
    return "\n".join([*lines, *(f"  {cell.id}: {cell.shell(dataset, f'runs/{cell.id}')}" for cell in cells)])


def compare(
    config: ComparisonConfig,
    dataset: str,
    folder: Path,
    workers: int = 1,
    real: dict[str, str] | None = None,
    tell: Callable[[str], None] = print,
) -> ComparisonResult:
    """Runs what is not done yet, then writes the report.

    Args:
        config: of the comparison.
        dataset: that all cells are trained and judged on.
        folder: of this comparison's files.
        workers: trainings side by side.
        real: benchmark → folder of real faces that every cell is judged on too.
        tell: is given a line for each cell that ends.

    Raises:
        FakeitError: something the user must change; nothing has been trained yet.
    """
    manifest = manifests.load(dataset)
    cells = grid.cells(config, manifest)
    grid.check_same_faces(dataset, cells)
    folder.mkdir(parents=True, exist_ok=True)
    with ComparisonTracker(config, dataset, manifest, _parent(folder)) as tracker:
        _remember(config, dataset, manifest, folder, tracker.run_id)

        def finished(cell: Cell, place: Path, result: dict[str, Any]) -> None:
            tracker.finished(cell, result)
            test = result["splits"].get("test") or result["splits"]["val"]
            tell(f"  {cell.id}: NME {test['nme']:.2f} %, MSE {test['mse']:.2e}, {read_result(place)['seconds']:.0f} s")

        runner = CellRunner(dataset, manifest.digest, folder, tracker.keys, real or {}, finished)
        if config.search:
            states = tuning.search(config, cells, manifest, runner, tracker, workers, tell)
        else:
            done = sum(runner.state(cell) == "done" for cell in cells)
            tell(f"{config.title}: {len(cells)} cells, {done} done before; {config.budget} each")
            states = runner.run(cells, workers)
        aliases = tracker.register(ranked([s.folder for s in states if s.ended == "done"]))
        pages = write_report(folder)
        tracker.files(pages)
    return ComparisonResult(states, pages, aliases)


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
