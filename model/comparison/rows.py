"""A comparison's cells as rows: those that differ in seed or fold alone are one, with the spread of its seeds.

Two rows differ where their errors' ratio is beyond what seeds alone make of it, 95 times of 100: Student's t on
logarithms, with the spread of many rows' seeds together, since two or three seeds say little about their own.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fakeit.model.comparison.cell import ERRORS, RESULT
from fakeit.model.comparison.running import read_result

Result = dict[str, Any]
Floats = NDArray[np.float64]
CERTAIN = 0.975  # of Student's t, two-sided 95 %
NEAR = 1.5  # times the lowest error


@dataclass
class Row:
    """One combination of the axes. `results`, `folders`: of its seeds' and folds' cells."""

    name: str
    labels: dict[str, str]
    results: list[Result]
    folders: list[Path]

    def seeds(self, get: Callable[[Result], float], faces: Callable[[Result], float] = lambda result: 1.0) -> Floats:
        """(seeds,) a figure of each seed: the mean over its folds, each as heavy as it has faces."""
        found: dict[int, list[tuple[float, float]]] = defaultdict(list)
        for result in self.results:
            found[result["seed"]].append((get(result), faces(result)))
        means = [float(np.average([v for v, _ in of], weights=[w for _, w in of])) for of in found.values()]
        return np.asarray(means, np.float64)

    def split(self, name: str, key: str) -> Floats:
        """A figure of rendered faces."""
        return self.seeds(lambda result: float(result["splits"].get(name, {}).get(key, math.nan)))

    def real(self, name: str, key: str = "nme") -> Floats:
        """A figure of a set of real faces."""
        return self.seeds(
            lambda result: float(result["real"].get(name, {}).get(key, math.nan)),
            lambda result: float(result["real"].get(name, {}).get("faces", 1)) or 1.0,
        )

    def root(self, name: str, size: int) -> Floats:
        """The root mean square error of a coordinate, pixels of the stored crop."""
        return np.asarray(size * np.sqrt(self.split(name, "mse")), np.float64)

    def mean(self, key: str) -> float:
        """A plain figure of the cells; NaN where they do not say it."""
        return float(np.mean([result.get(key, math.nan) for result in self.results]))

    def errors(self, name: str) -> Floats:
        """NME of every face of a set, a share, of all seeds and folds."""
        found = [np.load(place / ERRORS) for place in self.folders]
        parts = [one[name] for one in found if name in one]
        return np.concatenate(parts).astype(np.float64) if parts else np.zeros(0)


def collect(folder: Path) -> list[Row]:
    """The rows of a comparison, in the order in which their first cells ended."""
    groups: dict[tuple[tuple[str, str], ...], Row] = {}
    for place in sorted((folder / "cells").glob("*"), key=_written):
        if (place / RESULT).exists():
            result = read_result(place)
            key = tuple(result["labels"].items())
            row = groups.setdefault(key, Row(" · ".join(v for _, v in key) or "whole", result["labels"], [], []))
            row.results.append(result)
            row.folders.append(place)
    return list(groups.values())


def real_sets(rows: Sequence[Row]) -> list[str]:
    """Names of the sets of real faces that cells were judged on, in the order in which they were named."""
    return list(dict.fromkeys(name for row in rows for result in row.results for name in result["real"]))


def over_real(row: Row, names: Sequence[str]) -> Floats:
    """(seeds,) NME % on real faces: the mean of the sets, each as heavy as the others."""
    return np.mean([row.real(name) for name in names], axis=0) if names else np.full(1, np.nan)


def validated(row: Row) -> float:
    """What rows are put in order by: test faces only report (but where nothing was validated)."""
    found = float(np.mean(row.split("val", "nme")))
    return float(np.mean(row.split("test", "nme"))) if np.isnan(found) else found


@dataclass(frozen=True)
class Spread:
    """What seeds alone make of an error. `deviation`: of its logarithm; `freedom`: how well that is known; 0: not."""

    deviation: float
    freedom: int

    def worse(self, one: Floats, other: Floats) -> bool:
        """Whether `one`'s errors (a figure a seed) are above `other`'s by more than seeds make."""
        if not self.freedom or not len(one) or not len(other):
            return False
        return float(np.log(one).mean() - np.log(other).mean()) > self.least(len(one), len(other))

    def least(self, one: int, other: int) -> float:
        """The least difference of two means over so many seeds that is one; of logarithms, so nearly a share."""
        from scipy.special import stdtrit

        return float(stdtrit(self.freedom, CERTAIN)) * self.deviation * math.sqrt(1 / one + 1 / other)


def spread(figures: Sequence[Floats]) -> Spread:
    """The seeds' spread, from rows' figures (seeds,) together: of those whose error is at most NEAR times the lowest.
    What has hardly begun to learn scatters several times as much, and is far behind however it scatters."""
    usable = [f for f in figures if np.isfinite(f).all() and (f > 0).all()]
    lowest = min((float(f.mean()) for f in usable), default=math.nan)
    several = [np.log(f) for f in usable if len(f) > 1 and f.mean() <= NEAR * lowest]
    freedom = sum(len(f) - 1 for f in several)
    squares = sum(float(((f - f.mean()) ** 2).sum()) for f in several)
    return Spread(math.sqrt(squares / freedom) if freedom else math.nan, freedom)


def plus_minus(figures: Floats, form: str) -> str:
    """Mean ± standard deviation over seeds; one seed has no ±."""
    known = figures[np.isfinite(figures)]
    if not len(known):
        return "–"
    deviation = f" ± {np.std(known, ddof=1):{form}}" if len(known) > 1 else ""
    return f"{np.mean(known):{form}}{deviation}"


def _written(place: Path) -> float:
    return (place / RESULT).stat().st_mtime if (place / RESULT).exists() else 0.0
