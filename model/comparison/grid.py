"""A comparison as data: axes × values × seeds → cells, each one training with its own command.

A cell is nothing but a file of conf/train, some overrides of it and a dataset. So every row of a report can be run
again by hand with jobs/train.py, and a comparison has no training code of its own.
"""

from __future__ import annotations

import itertools
import json
import math
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fakeit.model.comparison.config import Budget, ComparisonConfig, Pace, Point
from fakeit.model.training.config import TrainConfig
from fakeit.pipelines import config as confs
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.files.storage import join
from fakeit.pipelines.store import manifest as manifests
from fakeit.pipelines.store.manifest import Manifest
from fakeit.pipelines.store.shards import read_columns


class PhotographSets(Protocol):
    """Real faces that cells train on, dealt into folds."""

    def mix(self, fold: int, count: int, share: float, rendered: Manifest) -> tuple[str, dict[str, Any]]:
        """The dataset to train on ("" is the comparison's) and keys of the training conf that mix in `count` faces
        outside of `fold`, so that they are `share` of the samples."""
        ...


@dataclass(frozen=True)
class Cell:
    """One training of a comparison.

    Attributes:
        id: name of its folder. labels: axis → point. seed: of the training.
        conf: path of its training conf. overrides: `key=value` strings for it.
        dataset: of its own; "" is the comparison's. judged: the dataset it is judged on; "" is the one it trains on.
        init: a checkpoint to start from; after: or the id of the cell whose network it goes on from.
        fold: of the photographs, which it has not seen and is scored on; -1: it saw none, and is scored on all.
    """

    id: str
    labels: dict[str, str]
    seed: int
    conf: str
    overrides: tuple[str, ...]
    dataset: str = ""
    judged: str = ""
    init: str = ""
    after: str = ""
    fold: int = -1

    def train_config(self) -> TrainConfig:
        return confs.load(self.conf, TrainConfig, self.overrides)

    def command(self, dataset: str, output: str) -> list[str]:
        """Arguments of jobs/train.py that make this very training; its id is a folder of `output`."""
        sets = [part for override in self.overrides for part in ("--set", override)]
        init = output.replace(self.id, self.after) + "/checkpoints/best.pt" if self.after else self.init
        start = ["--init", init] if init else []
        named = ["--config", self.conf, "--dataset", self.dataset or dataset, "--output", output]
        return ["jobs/train.py", *named, *start, *sets]

    def shell(self, dataset: str, output: str) -> str:
        return "python " + shlex.join(self.command(dataset, output))

    @property
    def group(self) -> tuple[tuple[str, str], ...]:
        """What cells that differ in their seed or fold alone have in common."""
        return tuple(self.labels.items())


class Undealt:
    """Photographs that are not there yet: cells can be counted, not run."""

    def mix(self, fold: int, count: int, share: float, rendered: Manifest) -> tuple[str, dict[str, Any]]:
        return "", {}


def planned(config: ComparisonConfig) -> Iterator[tuple[int, tuple[Point, ...], int]]:
    """Seed, point of each axis, and fold (-1: none) of every training of a comparison: seed by seed, so that a cut
    leaves a whole comparison, then in the order of its axes."""
    for seed in config.seeds:
        for points in itertools.product(*(axis.all_points() for axis in config.axes)):
            for fold in range(config.folds) if any(point.photographs for point in points) else (-1,):
                yield seed, points, fold


def cells(
    config: ComparisonConfig, manifest: Manifest, pace: Pace = lambda train, dataset: math.nan,
    photographs: PhotographSets | None = None, lr: Mapping[str, float] = MappingProxyType({}),
) -> list[Cell]:  # fmt: skip
    """Every training of a comparison, as `planned`, all confs checked.

    Args:
        config: of the comparison.
        manifest: of its dataset.
        pace: of a training, where the budget is minutes.
        photographs: the sets that points with `photographs` train on.
        lr: point of `config.rates.per` → its learning rate.

    Raises:
        FakeitError: a conf that does not load, an unknown key, more images than the dataset has, two equal cells, a
            point that needs photographs and none given.
    """
    made = [
        _cell(config, points, seed, fold, manifest, pace, photographs, lr) for seed, points, fold in planned(config)
    ]
    doubled = {c.id for c in made if sum(c.id == other.id for other in made) > 1}
    if doubled:
        raise FakeitError(f"comparison {config.name}: {len(doubled)} cells have the same name, as {min(doubled)}")
    known = {c.id for c in made}
    if lost := [c for c in made if c.after and c.after not in known]:
        raise FakeitError(f"comparison {config.name}: cell {lost[0].id} goes on from {lost[0].after}, which is none")
    return made


def labels_of(config: ComparisonConfig, points: Sequence[Point]) -> dict[str, str]:
    """Axis → point."""
    return {axis.name: point.name for axis, point in zip(config.axes, points, strict=True)}


def _cell(
    config: ComparisonConfig, points: tuple[Point, ...], seed: int, fold: int, manifest: Manifest, pace: Pace,
    photographs: PhotographSets | None, lr: Mapping[str, float],
) -> Cell:  # fmt: skip
    labels = labels_of(config, points)
    conf, dataset, judged, keys, after = config.conf, "", "", dict(config.set), ""
    budget = config.budget
    if config.rates and labels[config.rates.per] in lr:
        keys["optimiser.lr"] = lr[labels[config.rates.per]]
    for axis, point in zip(config.axes, points, strict=True):
        conf, budget = point.conf or conf, point.budget or budget
        if point.dataset:
            dataset, judged = point.dataset, COMPARISONS if point.judged == "comparison" else ""
        if point.after:
            after = slug({**labels, axis.name: point.after}, seed)
        keys.update(point.set)
    if fold >= 0:
        point = max(points, key=lambda p: p.photographs)
        if photographs is None:
            raise FakeitError(f"point '{point.name}' trains on photographs: name some with --photographs")
        dataset, mixed = photographs.mix(fold, point.photographs, point.share, manifest)
        keys.update(mixed)
        judged = COMPARISONS
    init = "" if after else config.init
    cell = Cell(slug(labels, seed, fold), labels, seed, conf, (), dataset, judged, init, after, fold)
    return with_keys(config, cell, keys, manifest, budget, pace)


COMPARISONS = "the comparison's"  # dataset, as `Cell.judged`


def slug(labels: Mapping[str, str], seed: int, fold: int = -1) -> str:
    """The name of a cell's folder."""
    parts = [re.sub(r"[^\w.]+", "-", name) for name in labels.values()]
    return "--".join([*parts, *([f"fold{fold + 1}"] if fold >= 0 else []), f"seed{seed}"])


def with_keys(
    config: ComparisonConfig, cell: Cell, keys: dict[str, Any], manifest: Manifest, budget: Budget | None = None,
    pace: Pace = lambda train, dataset: math.nan,
) -> Cell:  # fmt: skip
    """The cell with `keys` of its training conf set, its seed, and its budget (the comparison's without one)."""
    budget = budget or config.budget
    keys = {**keys, "train.seed": cell.seed}
    train = replace(cell, overrides=_overrides(keys)).train_config()
    manifest = manifests.load(cell.dataset) if cell.dataset else manifest
    available = manifest.images("train")
    if train.data.images > available:
        raise FakeitError(
            f"cell {cell.id}: data.images is {train.data.images}, the dataset has {available} for training"
        )
    rows = max(1.0, _epoch_rows(train, manifest))
    images_per_s = pace(train, cell.dataset) if budget.minutes else math.nan
    return replace(cell, overrides=_overrides({**keys, **budget.overrides(train, rows, images_per_s)}))


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
    for other in sorted({cell.dataset for cell in cells if cell.dataset and not cell.judged}):
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
