"""Real faces beside a comparison's rendered ones: stored once as crops of the same recipe, to be scored on; and, where
cells train on some, dealt into folds, so that no face is scored by a network that has seen it.

Pictures of one name but for its last number (`123_1.jpg`, `123_2.jpg`: the faces of one photograph) share a fold.
Nothing of them goes into a report but figures, and networks that saw them are not registered.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from fakeit.model.data.dataset import DatasetSpec, ShardedDataset
from fakeit.model.evaluation.protocols import open_protocol, protocol
from fakeit.pipelines.config import digest
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.faces.crop import CropConfig
from fakeit.pipelines.files.storage import join, make_folder
from fakeit.pipelines.flows.preprocess import preprocess
from fakeit.pipelines.flows.preprocess_config import PreprocessConfig, SourceConfig, SplitConfig, StoreConfig
from fakeit.pipelines.machine import runners
from fakeit.pipelines.store import manifest as manifests
from fakeit.pipelines.store.commit import commit
from fakeit.pipelines.store.manifest import Manifest
from fakeit.pipelines.store.schema import Rows
from fakeit.pipelines.store.shards import Shard, read_shard, write_shard

GROUPS_A_FOLD = 10  # fewer photographs than this, and a last number is no face of a photograph but a frame's
Fold = tuple[int, int]  # which, of how many


@dataclass(frozen=True)
class PhotographSet:
    """Real faces that a command names as [NAME:]BENCHMARK=DIR.

    Attributes:
        name: in tables. benchmark: of `fakeit.model.evaluation.protocols`. path: its folder.
        trained: whether points with `photographs` may train on it.
    """

    name: str
    benchmark: str
    path: str
    trained: bool = False

    @property
    def spoken(self) -> str:
        """As a command says it."""
        return f"{self.name}:{self.benchmark}={self.path}"

    def stored(self, folder: Path, crop: CropConfig) -> str:
        """Its faces as a dataset in `folder`: crops of the recipe, by true boxes. Made once."""
        output = folder / f"{self.name}-{digest([self.benchmark, self.path, crop])[:8]}"
        if not (output / manifests.NAME).exists():
            chosen = protocol(self.benchmark)
            config = PreprocessConfig(
                source=SourceConfig(chosen.kind, options=dict(chosen.options)), crop=crop, split=SplitConfig(0.0, 0.0),
                store=StoreConfig(max_rejected=0.1),
            )  # fmt: skip
            preprocess(config, self.path, str(output), runners.in_processes(0), "resume")
        return str(output)

    def wanted(self) -> frozenset[str]:
        """Ids of the samples that belong to the benchmark."""
        return frozenset(sample.id for sample in open_protocol(protocol(self.benchmark), self.path)[1])


def parse(text: str, trained: bool = False) -> PhotographSet:
    """Reads [NAME:]BENCHMARK=DIR. Raises FakeitError."""
    found = re.fullmatch(r"(?:([\w.-]+):)?([\w.-]+)=(.+)", text)
    if not found:
        raise FakeitError(f"{text}: expected [NAME:]BENCHMARK=DIR, as in AFW:300w=data/afw")
    name, benchmark, path = found.groups()
    protocol(benchmark)
    return PhotographSet(name or benchmark, benchmark, path, trained)


def ids_of(dataset: str) -> list[str]:
    """Image ids of all rows, split by split, in the rows' order."""
    stores = [ShardedDataset([DatasetSpec(dataset)], split) for split in manifests.SPLITS]
    return [name for store in stores for name in store_ids(store)]


def store_ids(store: ShardedDataset) -> list[str]:
    """Image ids of a split's rows."""
    return [name.rpartition("#")[0] for name in store.ids(np.arange(store.rows, dtype=np.int64))]


def deal(ids: Sequence[str], folds: int) -> dict[str, int]:
    """Id → its fold: of equal size but for one group, the same for the same ids, in whatever order they come."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in ids:
        groups[re.sub(r"_\d+$", "", name)].append(name)
    if len(groups) < GROUPS_A_FOLD * folds:
        groups = defaultdict(list, {name: [name] for name in ids})
    ordered = sorted(groups, key=_hash)
    return {name: number * folds // len(ordered) for number, group in enumerate(ordered) for name in groups[group]}


def _hash(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


@dataclass(frozen=True)
class Photographs:
    """The sets that cells train on. `folder`: where datasets lie; `folds`: how many."""

    sets: tuple[PhotographSet, ...]
    folder: Path
    folds: int
    crop: CropConfig

    @cached_property
    def _stored(self) -> dict[str, str]:
        return {each.name: each.stored(self.folder, self.crop) for each in self.sets}

    @cached_property
    def _ids(self) -> dict[str, list[str]]:
        """Those of each set's benchmark, as they lie in its dataset."""
        wanted = {each.name: each.wanted() for each in self.sets}
        found = {name: ids_of(place) for name, place in self._stored.items()}
        return {name: sorted(wanted[name].intersection(ids)) for name, ids in found.items()}

    def mix(self, fold: int, count: int, share: float, rendered: Manifest) -> tuple[str, dict[str, Any]]:
        """See `fakeit.model.comparison.grid.PhotographSets`."""
        dealt = {name: deal(ids, self.folds) for name, ids in self._ids.items()}
        others = [(n, i) for n, ids in self._ids.items() for i in ids if dealt[n][i] != fold]
        if count > len(others):
            where = f"outside of fold {fold + 1} of {self.folds}"
            raise FakeitError(f"{count} photographs to train on, {where} there are {len(others)}")
        chosen = sorted(others, key=lambda other: _hash(other[1]))[:count]
        made = []
        for name in self._ids:
            names = frozenset(i for n, i in chosen if n == name)
            if names:
                # A set's first by hash: its own number says which, whatever sets are named beside it.
                made.append(self._subset(name, f"fold{fold + 1}of{self.folds}-{len(names)}", names))
        if share == 1:
            # The rendered faces' points: those that photographs lack (pupils) are not taught, and the head stays.
            return made[0], {"data.mix": [{"path": other} for other in made[1:]], "input.scheme": rendered.scheme}
        passes = share / (1 - share) * rendered.rows("train") / count
        return "", {"data.mix": [{"path": place, "passes_per_epoch": float(f"{passes:.6g}")} for place in made]}

    def _subset(self, name: str, to: str, names: frozenset[str]) -> str:
        """The dataset of some faces of a set, all of them for training: nothing is left to choose an epoch by."""
        whole = self._stored[name]
        output = f"{whole}-{to}"
        if not Path(output, manifests.NAME).exists():
            old = manifests.load(whole)
            parts = [_kept(read_shard(join(whole, shard.path), old.shape), names) for shard in old.shards]
            rows = {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}
            make_folder(join(output, "train"))
            path = "train/shard-00000.parquet"
            size, sha256 = write_shard(join(output, path), {**rows, "image_id": rows["image_id"].tolist()}, old.shape)
            shard = Shard(path, "train", len(rows["image_id"]), len(names), size, sha256)
            commit(output, replace(old, shards=(shard,), conf={**old.conf, "kept": len(names)}), {})
        return output


def _kept(rows: Rows, names: frozenset[str]) -> Rows:
    inside = np.array([name in names for name in rows["image_id"]], bool)
    return {column: np.asarray(values)[inside] for column, values in rows.items()}
