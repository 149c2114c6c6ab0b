"""What a file of conf/compare says: one frozen dataclass a table. `fakeit.model.comparison.grid` makes cells of it."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from fakeit.model.tracking import model_registry
from fakeit.model.tracking.mlflow_tracker import STORE
from fakeit.model.training.config import TrainConfig
from fakeit.pipelines import config as confs
from fakeit.pipelines.errors import FakeitError

Pace = Callable[[TrainConfig, str], float]  # a training and its dataset → images a second


@dataclass(frozen=True)
class Budget:
    """What every cell may spend: exactly one of epochs, optimiser steps, samples, minutes.

    Attributes:
        epochs: over the training set, however large. steps: of the optimiser, rounded up to whole epochs.
        samples: rows seen, to the row. minutes: the rows that this machine learns from in so long, to the row: its pace
            is measured first, in processor time where that is what computes, so that a busy machine changes nothing,
            and schedules end where the training does.
        rounds: samples and minutes are cut into so many epochs: validations, steps of the schedule.
    """

    epochs: int = 0
    steps: int = 0
    samples: int = 0
    minutes: float = 0.0
    rounds: int = 20

    def __post_init__(self) -> None:
        if sum(bool(v) for v in (self.epochs, self.steps, self.samples, self.minutes)) != 1:
            raise FakeitError("budget: say exactly one of epochs, steps, samples, minutes, the same for every cell")
        if min(self.epochs, self.steps, self.samples, self.minutes) < 0 or self.rounds < 1:
            raise FakeitError("budget: nothing is spent below 0, and rounds must be at least 1")

    def overrides(self, train: TrainConfig, rows: float, pace: float = math.nan) -> dict[str, Any]:
        """Keys of the training conf that spend it.

        Args:
            train: the training. rows: of its epoch as it stands. pace: its images a second, for `minutes`.
        """
        if self.epochs:
            return {"train.epochs": self.epochs}
        if self.steps:
            steps = math.ceil(math.ceil(rows / train.data.batch_size) / train.optimiser.accumulate)  # of an epoch
            return {"train.epochs": max(1, math.ceil(self.steps / steps))}
        samples = self.samples or max(self.rounds * train.data.batch_size, 60 * self.minutes * pace)  # not known: few
        times = samples / self.rounds / rows
        passes = {"data.passes_per_epoch": _rounded(times * train.data.passes_per_epoch)}
        if train.data.mix:
            mix = [{"path": m.path, "passes_per_epoch": _rounded(times * m.passes_per_epoch)} for m in train.data.mix]
            passes["data.mix"] = mix  # type: ignore[assignment]
        return {"train.epochs": self.rounds, **passes}

    def __str__(self) -> str:
        if self.epochs:
            return f"{self.epochs} epochs"
        if self.minutes:
            return f"{self.minutes:g} minutes of this machine"
        return f"{self.steps:,} optimiser steps" if self.steps else f"{self.samples:,} samples"


@dataclass(frozen=True)
class Point:
    """One value of an axis: its name in tables, and what it changes.

    Attributes:
        conf: a training conf of its own, relative to the comparison's file.
        dataset: one of its own instead of the comparison's, relative to the working directory: the same faces to
            validate and test on, treated otherwise, or other training rows.
        judged: "own": on that dataset's test faces, which must be the comparison's; "comparison": it is only trained
            on, whatever it holds, and judged on the comparison's.
        set: keys of the training conf. budget: one of its own.
        photographs: train on so many real faces (of those the command names), cross-fitted; 0 is none.
        share: of the samples that are photographs; 1 leaves the rendered faces out.
        after: name of a point of the same axis whose network it goes on from.
    """

    name: str
    conf: str = ""
    dataset: str = ""
    judged: Literal["own", "comparison"] = "own"
    set: dict[str, Any] = field(default_factory=dict)
    budget: Budget | None = None
    photographs: int = 0
    share: float = 0.25
    after: str = ""

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise FakeitError(f"point '{self.name}': share is {self.share}, which is to be above 0 and at most 1")


@dataclass(frozen=True)
class Axis:
    """What is varied: values of one key, or named points."""

    name: str
    key: str = ""
    values: tuple[Any, ...] = ()
    points: tuple[Point, ...] = ()

    def __post_init__(self) -> None:
        if bool(self.points) == bool(self.key and self.values):
            raise FakeitError(f"axis '{self.name}': give either a key with values, or points")

    def all_points(self) -> tuple[Point, ...]:
        return self.points or tuple(Point(_short(v), set={self.key: v}) for v in self.values)


@dataclass(frozen=True)
class Dimension:
    """One hyperparameter that is searched: a range (evenly or by its logarithm), or choices."""

    key: str
    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        if bool(self.choices) == (self.low is not None and self.high is not None):
            raise FakeitError(f"search over '{self.key}': give either low and high, or choices")
        if (
            self.low is not None
            and self.high is not None
            and not (self.low < self.high and (self.low > 0 or not self.log))
        ):
            raise FakeitError(f"search over '{self.key}': low is to lie below high, and above 0 with log")


@dataclass(frozen=True)
class SearchConfig:
    """An Optuna study for each combination of the axes.

    Attributes:
        trials: of each study, pruned ones included.
        space: what is searched.
        warmup: epochs before a trial may be pruned; startup: trials before any is.
        storage: of the studies; "" takes the tracking store's own database, where it is one.
    """

    trials: int
    space: tuple[Dimension, ...]
    warmup: int = 2
    startup: int = 4
    storage: str = ""


@dataclass(frozen=True)
class RateSearch:
    """Each network's own learning rate, from short trainings before the comparison's; see `rates`.

    Attributes:
        per: the axis whose points have a rate each.
        values: that are tried, ascending.
        budget: of a try.
        further: tries beyond these, as long as the best is the first or the last.
    """

    per: str
    values: tuple[float, ...]
    budget: Budget
    further: int = 2

    def __post_init__(self) -> None:
        if len(self.values) < 2 or self.values[0] <= 0 or list(self.values) != sorted(set(self.values)):
            raise FakeitError(f"rates.values is {list(self.values)}; give two or more above 0, ascending")


@dataclass(frozen=True)
class ComparisonConfig:
    """One file of conf/compare.

    Attributes:
        name: of the comparison: its folder, its parent run. title, question: for the report.
        conf: the training conf that every cell starts from, relative to this file. set: keys for all cells.
        axes: what is varied. seeds: each combination is trained once with each.
        budget: the same for every cell, but for points that bring their own.
        init: a checkpoint that every cell starts from; "": from nothing. rates: how each network finds its rate.
        folds: photographs that are trained on are dealt into so many; each is scored by networks that saw the others.
        told: the faces that the page's answer is about: unseen rendered ones, or real ones where some are given.
        baseline: name of a point that the others are told against; "": the page says which is best.
        target: error in % that is good enough; 0 is 1.1 × the lowest found.
        price: of an hour of this machine, in `currency`; 0 leaves cost out.
        uri, experiment: where MLflow keeps it; MLFLOW_TRACKING_URI wins.
        register: the registered model whose champion the best cell may become; "" registers nothing.
        search: hyperparameters that Optuna chooses, instead of a grid.
    """

    name: str
    title: str
    conf: str
    budget: Budget
    question: str = ""
    set: dict[str, Any] = field(default_factory=dict)
    axes: tuple[Axis, ...] = ()
    seeds: tuple[int, ...] = (1,)
    init: str = ""
    rates: RateSearch | None = None
    folds: int = 2
    told: Literal["test", "real"] = "test"
    baseline: str = ""
    target: float = 0.0
    price: float = 0.0
    currency: str = "USD"
    uri: str = STORE
    experiment: str = "fakeit"
    register: str = model_registry.NAME
    search: SearchConfig | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w.-]+", self.name):
            raise FakeitError(f"name is '{self.name}'; letters, digits, '_', '.' and '-' are possible")
        if not self.seeds:
            raise FakeitError("seeds is empty; name at least one")
        if self.rates and self.rates.per not in [axis.name for axis in self.axes]:
            raise FakeitError(f"rates.per is '{self.rates.per}', which is no axis of comparison {self.name}")
        points = [point.name for axis in self.axes for point in axis.all_points()]
        if self.baseline and self.baseline not in points:
            near = confs.nearest(self.baseline, points)
            raise FakeitError(f"baseline is '{self.baseline}', which is no point of comparison {self.name}{near}")

    @property
    def uses_photographs(self) -> bool:
        """Whether some point trains on real faces."""
        return any(point.photographs for axis in self.axes for point in axis.all_points())


def load(path: str, overrides: tuple[str, ...] = ()) -> ComparisonConfig:
    """Reads a file of conf/compare; paths in it become relative to the working directory."""
    config = confs.load(path, ComparisonConfig, overrides)
    folder = Path(path).parent

    def near(conf: str) -> str:
        return os.path.relpath(folder / conf)

    axes = tuple(
        replace(a, points=tuple(replace(p, conf=near(p.conf) if p.conf else "") for p in a.points)) for a in config.axes
    )
    return replace(config, conf=near(config.conf), axes=axes)


def _rounded(passes: float) -> float:
    return float(f"{passes:.6g}")


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else f"{value:,}" if type(value) is int else str(value)
