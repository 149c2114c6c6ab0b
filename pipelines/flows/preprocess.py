"""The flow from a source to a dataset: list, plan, make every shard (on Spark or in processes), commit the manifest.

All work is in the shard function (fakeit.pipelines.flows.shard_task). This file owns the order of things around it: the
output folder's state, progress, the threshold of rejects, and that the manifest comes last.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

from fakeit.pipelines.config import to_dict
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.faces.box_table import read_boxes
from fakeit.pipelines.files.outputs import building
from fakeit.pipelines.files.storage import exists, join, list_files, make_folder, remove, sweep
from fakeit.pipelines.flows.preprocess_config import PreprocessConfig
from fakeit.pipelines.flows.shard_plan import TaskList, plan_tasks, straddling
from fakeit.pipelines.flows.shard_task import ShardResult, make_shard, row_shape, variants
from fakeit.pipelines.flows.tally import Tally, unmatched_of
from fakeit.pipelines.machine.code_version import code_version
from fakeit.pipelines.machine.runners import Runner
from fakeit.pipelines.progress import ProgressBar
from fakeit.pipelines.secrets import without_secrets
from fakeit.pipelines.sources import SampleList, Source, Unmatched, open_source
from fakeit.pipelines.sources.many import ManySamples
from fakeit.pipelines.store import manifest as manifests
from fakeit.pipelines.store.attempts import TASKS, sweep_attempts
from fakeit.pipelines.store.commit import OWN, commit
from fakeit.pipelines.store.manifest import SPLITS, Manifest, Rejection
from fakeit.pipelines.store.replacing import REPORT, Existing, check_output, replace_dataset

Samples = SampleList | ManySamples


@dataclass(frozen=True)
class PreprocessResult:
    """What a run made, for the summary line."""

    manifest: Manifest
    seconds: float
    images: int
    tally: Tally
    notes: tuple[str, ...] = ()


def preprocess(
    config: PreprocessConfig, path: str, dataset: str, runner: Runner, existing: Existing = "refuse"
) -> PreprocessResult:
    """Makes a dataset.

    Args:
        config: what to make.
        path: where the source lies, as its kind understands it.
        dataset: the folder or URL to write.
        runner: who runs the shard tasks (fakeit.pipelines.machine.runners).
        existing: what to do with an output folder that holds something already.

    Raises:
        FakeitError: nothing to read, an output that stands already, or too many rejects.
    """
    started = time.monotonic()
    source, samples = open_samples(config, path)
    tasks = plan_tasks(samples, source, config)
    apart = straddling(tasks)
    check_output(dataset, existing, [path, *path.split(",")])
    aside = existing == "overwrite" and exists(dataset)
    place = building(dataset) if aside else dataset
    _prepare(place, tasks)
    sizes = iter(tasks.sizes)
    with ProgressBar("preprocess", len(samples), "images") as bar:
        work = partial(make_shard, dataset=place)
        with _disk_told(place):
            results = runner(work, tasks, lambda ended: bar.step(sum(islice(sizes, ended))))
            manifest, tally = _commit(place, config, source, results, samples)
            if aside:
                replace_dataset(dataset, place)
    several = f"{len(apart)} pictures stand in several of the dataset's own splits: {', '.join(apart[:2])}"
    notes = (several,) if apart else ()
    return PreprocessResult(manifest, time.monotonic() - started, len(samples), tally, notes)


def open_samples(config: PreprocessConfig, path: str) -> tuple[Source, Samples]:
    """The source that a conf names and its samples, with the boxes of `source.boxes`. Raises FakeitError."""
    source = open_source(config.source.kind, path, **config.source.options)
    samples = source.samples()
    if config.source.box != "csv":
        return source, samples
    names = {_relative(sample.image, path): sample for sample in samples}
    matched = read_boxes(config.source.boxes).match(names)
    if not matched.boxes:
        none = f"boxes {config.source.boxes}: none of its {len(matched.unmatched)} images is in {path}"
        raise FakeitError(next(iter(matched.problems.values()), none))
    boxed = []
    for sample in samples:
        name = _relative(sample.image, path)
        boxes = tuple((b.x, b.y, b.width, b.height) for b in matched.boxes.get(name, ()))
        boxed.append(replace(sample, boxes=boxes, problem=sample.problem or matched.problems.get(name, "")))
    left = [Unmatched("boxes without a picture", name) for name in matched.unmatched]
    return source, SampleList(boxed, [*unmatched_of(samples), *left])


def _relative(image: str, path: str) -> str:
    return image.removeprefix(path.rstrip("/")).removeprefix("!").lstrip("/")


@contextmanager
def _disk_told(dataset: str) -> Iterator[None]:
    """One line for a full or forbidden disk, also where Spark wraps the task's error into its own."""
    try:
        yield
    except FakeitError:
        raise
    except Exception as error:
        found = f"{type(error).__name__}: {error}" if isinstance(error, OSError) else str(error)
        told = re.search(r"\w*Error: (\[Errno \d+\][^\n]*)", found)
        if told is None:
            raise
        raise FakeitError(
            f"output {dataset}: {told[1].strip()}; shards that stand are kept, go on with --resume"
        ) from error


def describe(config: PreprocessConfig, path: str) -> str:
    """What a run would make, without making it (`--dry-run`)."""
    source, samples = open_samples(config, path)
    tasks = plan_tasks(samples, source, config)
    shape = row_shape(config, source.scheme)
    row = shape.size**2 * shape.channels
    lines = [f"{len(samples):,} images of scheme {source.scheme} → {len(tasks)} shards"]
    for split in SPLITS:
        images = sum(size for size, own in zip(tasks.sizes, tasks.splits, strict=True) if own == split)
        rows = images * variants(split, config)
        lines.append(f"  {split:5} {images:>9,} images {rows:>10,} rows {rows * row / 1e9:8.2f} GB of raw pixels")
    return "\n".join(lines)


def _prepare(dataset: str, tasks: TaskList) -> None:
    """Brings the output folder into a state to start from: from here until the commit it is no dataset."""
    for name in (manifests.NAME, REPORT):
        remove(join(dataset, name))
    for folder in (TASKS, *set(tasks.splits)):
        make_folder(join(dataset, folder))
        sweep(join(dataset, folder))
    sweep_attempts(dataset, told=True)


def _commit(
    dataset: str,
    config: PreprocessConfig,
    source: Source,
    results: list[ShardResult],
    samples: Samples,
) -> tuple[Manifest, Tally]:
    """Checks the threshold, clears what is not of this dataset, and commits the rest."""
    rejected = sorted((r for result in results for r in result.rejected), key=lambda r: r.image_id)
    _check_rejected(rejected, len(samples), config.store.max_rejected)
    shards = tuple(result.shard for result in results if result.shard is not None)
    tally = Tally(len(samples), sum(shard.images for shard in shards), len(rejected), unmatched_of(samples))
    manifest = Manifest(
        source.scheme, config.crop, config.store.image_codec, config.seed, without_secrets(to_dict(config)),
        code_version(), shards, tuple(rejected), unmatched=tally.stored(),
    )  # fmt: skip
    kept = {shard.path for shard in shards}
    for name in list_files(dataset):
        if OWN.fullmatch(name) and name not in kept:
            remove(join(dataset, name))  # a killed attempt's temporary file, or a shard of another plan
    commit(dataset, manifest, {result.shard.path: result.attempt for result in results if result.shard is not None})
    return manifest, tally


def _check_rejected(rejected: list[Rejection], samples: int, allowed: float) -> None:
    first = "\n".join(f"  {r.reason}" for r in rejected[:5])
    if len(rejected) == samples:
        raise FakeitError(f"none of {samples:,} samples could be used; no manifest was written. The first:\n{first}")
    if rejected and len(rejected) > allowed * samples:
        raise FakeitError(
            f"{len(rejected)} of {samples} samples were rejected, more than store.max_rejected = {allowed:.2%} allows; "
            f"no manifest was written. The first:\n{first}"
        )
