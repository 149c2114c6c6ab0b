"""A dataset → another with the same pictures and other points or weights: shard by shard, on any runner.

What is done to a shard is a picklable function from its rows to its rows. The new dataset is whole as any other: its
shards have hashes of their own, its manifest comes last and its conf says what was done.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import numpy as np

from fakeit.pipelines.files.outputs import building
from fakeit.pipelines.files.storage import exists, join, make_folder, remove
from fakeit.pipelines.machine.code_version import code_version
from fakeit.pipelines.machine.runners import Runner
from fakeit.pipelines.store import manifest as manifests
from fakeit.pipelines.store.attempts import TASKS, write_attempt
from fakeit.pipelines.store.commit import commit
from fakeit.pipelines.store.manifest import SPLITS, Manifest
from fakeit.pipelines.store.replacing import check_output, replace_dataset
from fakeit.pipelines.store.schema import Rows, RowShape
from fakeit.pipelines.store.shards import Shard, read_shard

Facts = dict[str, Any]


class Change(Protocol):
    """What is done to one shard. Pure and picklable."""

    def __call__(self, rows: Rows, split: str) -> tuple[Rows, Facts]:
        """New columns for the rows of a shard of `split` (all columns of the schema), and facts to report."""
        ...


@dataclass(frozen=True)
class Rewritten:
    """The dataset that was made, and what `Change` said of each shard, in order."""

    manifest: Manifest
    facts: tuple[Facts, ...]


def rewrite(
    dataset: str,
    output: str,
    change: Change,
    runner: Runner,
    note: Callable[[Sequence[Facts]], Facts],
    overwrite: bool = False,
    progress: Callable[[int], None] = lambda ended: None,
) -> Rewritten:
    """Makes `output` from `dataset`.

    Args:
        dataset: to read.
        output: folder or URL to write; must be empty or missing unless `overwrite`.
        change: see `Change`.
        runner: of `fakeit.pipelines.machine.runners`.
        note: all facts → what is added to the conf in the new manifest.
        overwrite: a dataset at `output` is replaced when the new one is whole.
        progress: called with the number of shards that ended.

    Raises:
        FakeitError: `dataset` is none or not whole, or `output` holds something.
    """
    old = manifests.load(dataset)
    manifests.verify(dataset, old.shards)
    check_output(output, "overwrite" if overwrite else "refuse", [dataset], resumable=False)
    wanted, output = output, building(output) if exists(output) else output
    for split in SPLITS:
        remove(join(output, split))
        if old.of(split):
            make_folder(join(output, split))
    make_folder(join(output, TASKS))
    work = partial(_rewrite_shard, dataset=dataset, output=output, shape=old.shape, change=change)
    made = runner(work, old.shards, progress)
    shards, facts = tuple(shard for shard, _, _ in made), tuple(fact for _, _, fact in made)
    conf = {**old.conf, **note(facts)}
    new = replace(old, shards=shards, conf=conf, code_version=code_version())
    commit(output, new, {shard.path: attempt for shard, attempt, _ in made})
    remove(join(output, TASKS))
    if output != wanted:
        replace_dataset(wanted, output)
    return Rewritten(new, facts)


def _rewrite_shard(
    shard: Shard, dataset: str, output: str, shape: RowShape, change: Change
) -> tuple[Shard, str, Facts]:
    """The new shard, where its bytes wait for the commit, and what `change` said."""
    rows = read_shard(join(dataset, shard.path), shape)
    changed, facts = change(rows, shard.split)
    changed = {name: np.ascontiguousarray(v) if isinstance(v, np.ndarray) else v for name, v in changed.items()}
    made, attempt = write_attempt(output, shard.path, shard.split, shard.images, changed, shape)
    return made, attempt, facts
