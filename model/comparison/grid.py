"""A comparison as data: axes × values × seeds → cells, each one training with its own command.

A cell is nothing but a file of conf/train and some overrides of it. So every row of a report can be run again by hand
with jobs/train.py, and a comparison has no training code of its own.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fakeit.model.tracking import model_registry
from fakeit.model.tracking.mlflow_tracker import STORE
from fakeit.model.training.config import TrainConfig
from fakeit.pipelines import config as confs
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.storage import join
from fakeit.pipelines.store import manifest as manifests
from fakeit.pipelines.store.manifest import Manifest
from fakeit.pipelines.store.shards import read_columns


@dataclass(frozen=True)
class Budget:
    """What every cell may spend: exactly one of epochs, optimiser steps, minutes."""

    epochs: int = 0
    steps: int = 0
    minutes: float = 0.0

    def __post_init__(self) -> None:
        if sum(bool(v) for v in (self.epochs, self.steps, self.minutes)) != 1:
            raise FakeitError("budget: say exactly one of epochs, steps and minutes, the same for every cell")

    def overrides(self, train: TrainConfig, rows: float) -> dict[str, Any]:
        """Keys of the training conf that spend it, for a training whose epochs have `rows` rows."""
        if self.minutes:
            return {"train.minutes": self.minutes}
        if self.epochs:
            return {"train.epochs": self.epochs}
        batches = math.ceil(rows / train.data.batch_size)
        steps = math.ceil(batches / train.optimiser.accumulate)  # of an epoch
        return {"train.epochs": max(1, math.ceil(self.steps / steps))}

    def __str__(self) -> str:
        if self.epochs:
            return f"{self.epochs} epochs"
        return f"{self.steps:,} optimiser steps" if self.steps else f"{self.minutes:g} minutes"


@dataclass(frozen=True)
class Point:
    """One value of an axis: its name in tables, and what it changes.

    Attributes:
        conf: a training conf of its own, relative to the comparison's file.
        dataset: one of its own instead of the comparison's, relative to the working directory: the same faces to
            validate and test on, treated otherwise, or other training rows.
        set: keys of the training conf.
    """

    name: str
    conf: str = ""
    dataset: str = ""
    set: dict[str, Any] = field(default_factory=dict)


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
class ComparisonConfig:
    """One file of conf/compare.

    Attributes:
        name: of the comparison: its folder, its parent run. title, question: for the report.
        conf: the training conf that every cell starts from, relative to this file. set: keys for all cells.
        axes: what is varied. seeds: each combination is trained once with each.
        budget: the same for every cell.
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


@dataclass(frozen=True)
class Cell:
    """One training of a comparison.

    Attributes:
        id: name of its folder. labels: axis → point. seed: of the training.
        conf: path of its training conf. overrides: `key=value` strings for it.
        dataset: of its own; "" is the comparison's.
    """

    id: str
    labels: dict[str, str]
    seed: int
    conf: str
    overrides: tuple[str, ...]
    dataset: str = ""

    def train_config(self) -> TrainConfig:
        return confs.load(self.conf, TrainConfig, self.overrides)

    def command(self, dataset: str, output: str) -> list[str]:
        """Arguments of jobs/train.py that make this very training."""
        sets = [part for override in self.overrides for part in ("--set", override)]
        return ["jobs/train.py", "--config", self.conf, "--dataset", self.dataset or dataset, "--output", output, *sets]

    def shell(self, dataset: str, output: str) -> str:
        return "python " + shlex.join(self.command(dataset, output))

    @property
    def group(self) -> tuple[tuple[str, str], ...]:
        """What cells that differ in their seed alone have in common."""
        return tuple(self.labels.items())


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


def cells(config: ComparisonConfig, manifest: Manifest, seeds: tuple[int, ...] | None = None) -> list[Cell]:
    """Every training of a comparison, in the order of its axes, seeds last, all confs checked.

    Raises:
        FakeitError: a conf that does not load, an unknown key, more images than the dataset has, two equal cells.
    """
    made = [
        _cell(config, points, seed, manifest)
        for points in itertools.product(*(axis.all_points() for axis in config.axes))
        for seed in seeds or config.seeds
    ]
    doubled = {c.id for c in made if sum(c.id == other.id for other in made) > 1}
    if doubled:
        raise FakeitError(f"comparison {config.name}: {len(doubled)} cells have the same name, as {min(doubled)}")
    return made


def _cell(config: ComparisonConfig, points: tuple[Point, ...], seed: int, manifest: Manifest) -> Cell:
    labels = {axis.name: point.name for axis, point in zip(config.axes, points, strict=True)}
    conf, dataset, keys = config.conf, "", dict(config.set)
    for point in points:
        conf, dataset = point.conf or conf, point.dataset or dataset
        keys.update(point.set)
    slug = "--".join([*(re.sub(r"[^\w.]+", "-", name) for name in labels.values()), f"seed{seed}"])
    return with_keys(config, Cell(slug, labels, seed, conf, (), dataset), keys, manifest)


def with_keys(config: ComparisonConfig, cell: Cell, keys: dict[str, Any], manifest: Manifest) -> Cell:
    """The cell with `keys` of its training conf set, its seed, and the budget that all cells share."""
    keys = {**keys, "train.seed": cell.seed}
    train = replace(cell, overrides=_overrides(keys)).train_config()
    manifest = manifests.load(cell.dataset) if cell.dataset else manifest
    available = manifest.images("train")
    if train.data.images > available:
        raise FakeitError(
            f"cell {cell.id}: data.images is {train.data.images}, the dataset has {available} for training"
        )
    rows = max(1.0, _epoch_rows(train, manifest))
    return replace(cell, overrides=_overrides({**keys, **config.budget.overrides(train, rows)}))


def _epoch_rows(train: TrainConfig, manifest: Manifest) -> float:
    """Rows of a training's epoch: of its dataset and those mixed in, each as often as it is seen."""
    parts = [(manifest, train.data.passes_per_epoch)]
    parts += [(manifests.load(other.path), other.passes_per_epoch) for other in train.data.mix]
    total = 0.0
    for part, passes in parts:
        available = part.images("train")
        used = min(train.data.images or available, available)
        total += passes * round(used * part.rows("train") / max(available, 1))
    return total


def check_same_faces(dataset: str, cells: Sequence[Cell]) -> None:
    """Holds the datasets that cells bring against the comparison's: fair are the same crops and the same true points in
    validation and test, in the same order, whatever was done to the pictures or to the training rows.

    Raises:
        FakeitError: another crop, or other faces; names the dataset and the split.
    """
    wanted = manifests.load(dataset)
    for other in sorted({cell.dataset for cell in cells if cell.dataset}):
        found = manifests.load(other)
        if replace(found.crop, equalise=wanted.crop.equalise) != wanted.crop or found.scheme != wanted.scheme:
            raise FakeitError(
                f"dataset {other}: {found.scheme}, {found.crop}; {dataset}: {wanted.scheme}, {wanted.crop}"
            )
        for split in ("val", "test"):
            ours, theirs = _truth(dataset, wanted, split), _truth(other, found, split)
            if ours.shape != theirs.shape or not np.allclose(ours, theirs, atol=1e-4, equal_nan=True):
                raise FakeitError(
                    f"dataset {other}: its {split} split ({len(theirs)} faces) is not that of {dataset} ({len(ours)} "
                    f"faces), so their errors cannot be compared; make both from the same source and seed"
                )


def _truth(dataset: str, manifest: Manifest, split: str) -> NDArray[np.float32]:
    """True points (N, K, 2) of a split, NaN where missing."""
    found = [np.zeros((0, manifest.shape.points, 2), np.float32)]
    for shard in manifest.of(split):
        columns = read_columns(join(dataset, shard.path), manifest.shape, ["landmarks", "weight"])
        found.append(np.where(columns["weight"][..., None] > 0, columns["landmarks"], np.nan))
    return np.concatenate(found)


def _overrides(keys: dict[str, Any]) -> tuple[str, ...]:
    return tuple(f"{key}={toml(value)}" for key, value in keys.items())


def toml(value: Any) -> str:
    """A value as TOML writes it in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k} = {toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml(v) for v in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else f"{value:,}" if type(value) is int else str(value)
