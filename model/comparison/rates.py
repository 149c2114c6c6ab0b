"""Each network's own learning rate, before anything is compared: short trainings on a ladder of rates, by validation.

A network at another's rate says more about the rate. The ladder is climbed further where its best rung is its last.
Tries are cells like any other, in `rates/` beside those that are compared, so an interrupted search goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fakeit.model.comparison import grid
from fakeit.model.comparison.config import Axis, ComparisonConfig, Pace, Point
from fakeit.model.comparison.running import CellRunner, read_result
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.store.manifest import Manifest

FOLDER = "rates"


@dataclass(frozen=True)
class Rung:
    """One try: whose, at which rate, and the validation NME in percent."""

    point: str
    lr: float
    nme: float


def search(
    config: ComparisonConfig,
    manifest: Manifest,
    runner: CellRunner,
    workers: int,
    pace: Pace,
    tell: Callable[[str], None],
) -> dict[str, float]:
    """Runs what is not done yet; point of `config.rates.per` → its best rate.

    Raises:
        FakeitError: none of a point's tries ended well.
    """
    assert config.rates is not None
    ladder = {point: list(config.rates.values) for point in _points(config)}
    for _ in range(1 + config.rates.further):
        cells = [cell for point, rates in ladder.items() for cell in _tries(config, point, rates, manifest, pace)]
        waiting = [cell for cell in cells if runner.state(cell) != "done"]
        if waiting:
            tell(f"learning rates: {len(waiting)} of {len(cells)} tries to make; {config.rates.budget} each")
        runner.run(cells, workers)
        found = rungs(runner.folder)
        best = {point: _best(found, point, rates) for point, rates in ladder.items()}
        longer = {point: _longer(rates, best[point]) for point, rates in ladder.items()}
        if longer == ladder:
            break
        ladder = longer
    tell("learning rates: " + ", ".join(f"{point} {lr:g}" for point, lr in best.items()))
    return best


def rungs(folder: Path) -> list[Rung]:
    """Every try that ended, from what they left on disk. `folder`: of the search."""
    found = []
    for place in sorted((folder / "cells").glob("*/result.json")):
        result: dict[str, Any] = read_result(place.parent)
        nme = (result["splits"].get("val") or result["splits"]["test"])["nme"]
        found.append(Rung(result["labels"]["of"], float(result["labels"]["rate"]), float(nme)))
    return sorted(found, key=lambda rung: (rung.point, rung.lr))


def _points(config: ComparisonConfig) -> list[str]:
    assert config.rates is not None
    return [p.name for axis in config.axes if axis.name == config.rates.per for p in axis.all_points()]


def _tries(
    config: ComparisonConfig, point: str, rates: Sequence[float], manifest: Manifest, pace: Pace
) -> list[grid.Cell]:
    """The cells of one point: it, with the first point of every other axis, at each rate."""
    assert config.rates is not None
    alone = replace(config, seeds=config.seeds[:1], budget=config.rates.budget, rates=None)
    made = []
    for rate in rates:
        axes = tuple(Axis(axis.name, points=(_tried(axis, point, rate, config.rates.per),)) for axis in config.axes)
        (cell,) = grid.cells(replace(alone, axes=axes), manifest, pace)
        labels = {"of": point, "rate": f"{rate:g}"}
        made.append(replace(cell, id=grid.slug(labels, cell.seed), labels=labels))
    return made


def _tried(axis: Axis, point: str, rate: float, per: str) -> Point:
    if axis.name != per:
        return replace(axis.all_points()[0], budget=None)
    chosen = next(p for p in axis.all_points() if p.name == point)
    return replace(chosen, budget=None, set={**chosen.set, "optimiser.lr": rate})


def _best(found: Sequence[Rung], point: str, rates: Sequence[float]) -> float:
    """Of the tries at these rates: others are of an earlier conf, which may have had another budget."""
    tried = {float(f"{rate:g}") for rate in rates}
    own = [rung for rung in found if rung.point == point and rung.lr in tried]
    if not own:
        raise FakeitError(f"learning rate of {point}: none of its tries ended; see their logs in {FOLDER}/cells")
    return min(own, key=lambda rung: rung.nme).lr


def _longer(rates: list[float], best: float) -> list[float]:
    """The ladder with one more rung beyond its best, where that is an end of it."""
    step = rates[1] / rates[0]
    if best == rates[0]:
        return [float(f"{best / step:.3g}"), *rates]
    return [*rates, float(f"{best * step:.3g}")] if best == rates[-1] else rates
