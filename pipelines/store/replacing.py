"""Where a dataset is to be written something may stand already: it is refused, gone on with, or replaced when the new
one is whole. Files of no dataset are never removed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.files.outputs import refuse_foreign, refuse_overlap, replace_with
from fakeit.pipelines.files.storage import exists, join, list_files
from fakeit.pipelines.store import manifest as manifests
from fakeit.pipelines.store.attempts import TASKS
from fakeit.pipelines.store.commit import OWN
from fakeit.pipelines.store.manifest import SPLITS

Existing = Literal["refuse", "resume", "overwrite"]
REPORT = "report.html"  # beside the manifest: of a dataset, but nothing reads it


def check_output(output: str, existing: Existing, inputs: Iterable[str] = (), resumable: bool = True) -> None:
    """Refuses, before anything is read or written, an output that must not become a dataset.

    Args:
        output: folder or URL.
        existing: what to do with what it holds.
        inputs: what is read; it can neither be the output nor lie in it.
        resumable: whether the message speaks of --resume, too.

    Raises:
        FakeitError: it is an input or holds one; it holds something and `existing` is "refuse"; where a dataset's files
            would be removed it holds others; it shall be overwritten and holds no dataset.
    """
    refuse_overlap(output, inputs)
    held = list_files(output) if exists(output) else []
    if not held:
        return
    if existing == "refuse":
        what = "a dataset" if exists(join(output, manifests.NAME)) else f"{len(held)} files"
        resume = "--resume to go on with it or " if resumable else ""
        raise FakeitError(f"output {output} already holds {what}; say {resume}--overwrite")
    refuse_foreign(output, OWN, SPLITS)
    if existing == "overwrite" and not any(name.split("/")[0] in (manifests.NAME, TASKS, *SPLITS) for name in held):
        raise FakeitError(f"output {output} holds {len(held)} files but no dataset; it is not overwritten")


def replace_dataset(output: str, made: str) -> None:
    """Puts the dataset that was made beside `output` in its place; files that are no part of one stay."""
    replace_with(output, made, (manifests.NAME, REPORT, TASKS, *SPLITS), manifests.NAME)
