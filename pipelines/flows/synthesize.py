"""The flow that renders a folder of faces in the layout of Face Synthetics: NNNNNN.png, _ldmks.txt, _seg.png; and
beside them _vis.txt, a line a point: 1 hidden, 2 visible (COCO's), and _dense.json (`dense_points`).

Face i depends on (seed, i, conf) alone, so tasks are ranges of indices, in any order on any executor. A face stands
when its points file stands (it is written last, whole); a killed run that is started again renders what is missing.
Where a task may run twice at once (Spark), faces wait for the end of the job in `fakeit.pipelines.flows.face_attempts`.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import cv2
import numpy as np

from fakeit.pipelines.config import digest, to_dict
from fakeit.pipelines.dense_points import to_json
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.files.storage import exists, join, list_files, make_folder, read_bytes, write_atomically
from fakeit.pipelines.flows import face_attempts
from fakeit.pipelines.flows.face_attempts import Attempt, folder_of, put_in_place, stands
from fakeit.pipelines.machine.code_version import code_version, renderer_hash
from fakeit.pipelines.machine.runners import Runner
from fakeit.pipelines.progress import ProgressBar
from fakeit.pipelines.synth.background import pictures_below
from fakeit.pipelines.synth.config import SynthesisConfig
from fakeit.pipelines.synth.face import Face, render
from fakeit.pipelines.synth.heads import load_head

RECORD = "synthesis.json"  # how the folder was made; not a part of the layout, readers pass it over
FACES_A_TASK = 50


@dataclass(frozen=True)
class RenderTask:
    """The faces `start` to `end` (exclusive) of the set `seed`, as pictures of `size`² pixels. `folders`: a thousand
    faces in each, where file systems and listings of millions of names in one would be slow."""

    start: int
    end: int
    seed: int
    size: int
    config: SynthesisConfig
    folders: bool = False


def synthesize(
    config: SynthesisConfig,
    count: int,
    size: int,
    seed: int,
    output: str,
    runner: Runner,
    first: int = 0,
    folders: bool = False,
    aside: bool = False,
) -> float:
    """Renders faces `first` to `first + count` into a folder, or a thousand each into `folders` below it. `aside`: the
    runner may run a task twice at once, so faces get their names at the end. Returns the seconds it took.

    Raises:
        FakeitError: a bad count or size, no head model, no background, or an output that holds faces of another conf.
    """
    if count < 1 or not 32 <= size <= 2048:
        raise FakeitError(f"--count {count} --size {size}: at least 1 face, of 32 to 2048 pixels")
    load_head(config.head.kind, config.head.file)  # what is missing is told here, not by an executor,
    if config.background.folder:  # and before the output is claimed for this conf
        pictures_below(config.background.folder)
    started = time.monotonic()
    make_folder(output)
    if aside:
        make_folder(join(output, face_attempts.FOLDER))  # as the output is, whoever of the executors comes first
    _claim(output, config, size, seed, folders)
    last = first + count
    tasks = [
        RenderTask(start, min(start + FACES_A_TASK, last), seed, size, config, folders)
        for start in range(first, last, FACES_A_TASK)
    ]
    sizes = iter([task.end - task.start for task in tasks])
    commit = partial(put_in_place, output=output, folders=folders)
    if left := face_attempts.left_whole(output, first, last):
        runner(commit, left, lambda _: None)
    with ProgressBar("synthesize", count, "faces") as bar:

        def ended(count: int) -> None:
            bar.step(sum(islice(sizes, count)))

        if aside:
            made = runner(partial(render_aside, output=output), tasks, ended)
            runner(commit, [attempt for attempt in made if attempt.faces], lambda _: None)
        else:
            runner(partial(render_task, output=output), tasks, ended)
    face_attempts.sweep(output, first, last)
    return time.monotonic() - started


def _claim(output: str, config: SynthesisConfig, size: int, seed: int, folders: bool) -> None:
    """Writes how this folder is made, or holds it against what stands there: one folder, one way."""
    record = {"conf": to_dict(config), "digest": digest(config), "size": size, "seed": seed, "code": code_version()}
    record |= {"folders": folders, "renderer": renderer_hash()}
    location = join(output, RECORD)
    if exists(location):
        found = _read_record(location)
        for key in ("digest", "size", "seed", "folders", "renderer"):
            if found[key] not in (record[key], None):  # older records do not say which renderer
                differs = _first_difference(found["conf"], record["conf"]) if key == "digest" else None
                name, there, wanted = differs or (key, found[key], record[key])
                raise FakeitError(
                    f"output {output} holds faces made with {name} {there}, not {wanted}; choose another folder"
                )
        return
    if any(name.endswith(".png") for name in list_files(output)):
        raise FakeitError(f"output {output} holds pictures that were not made by this job; choose another folder")
    with write_atomically(location) as file:
        file.write(json.dumps(record, indent=1).encode())


def _read_record(location: str) -> dict[str, Any]:
    try:
        record = {"folders": False, "renderer": None} | json.loads(read_bytes(location))
        return {key: record[key] for key in ("conf", "digest", "size", "seed", "folders", "renderer")}
    except (TypeError, ValueError, KeyError) as error:
        found = f"{type(error).__name__}: {error}"
        raise FakeitError(f"{location}: no record of how faces were made ({found}); choose another folder") from error


def _first_difference(found: Any, wanted: Any, key: str = "") -> tuple[str, Any, Any] | None:
    """(dotted key, there, wanted) of the first value in which two confs differ."""
    if not (isinstance(found, dict) and isinstance(wanted, dict)):
        return None if found == wanted else (key, found, wanted)
    below = (
        _first_difference(found.get(name), wanted.get(name), f"{key}.{name}".strip(".")) for name in (*wanted, *found)
    )
    return next((difference for difference in below if difference), None)


def render_task(task: RenderTask, output: str) -> int:
    """Renders and writes the faces of a task that do not stand yet. Returns how many it made."""
    made = 0
    for index in range(task.start, task.end):
        folder = folder_of(output, index, task.folders)
        if not stands(folder, index):
            make_folder(folder)
            write_face(render(index, task.seed, task.config, task.size), folder, index)
            made += 1
    return made


def render_aside(task: RenderTask, output: str) -> Attempt:
    """Renders the faces of a task that do not stand yet into a folder of this attempt alone."""
    faces = [i for i in range(task.start, task.end) if not stands(folder_of(output, i, task.folders), i)]
    if not faces:
        return Attempt("", ())
    place = face_attempts.begin(output, task.start)
    for index in faces:
        folder = join(output, face_attempts.FOLDER, place)
        write_face(render(index, task.seed, task.config, task.size), folder, index)
    return face_attempts.end(output, place, faces)


def write_face(face: Face, output: str, index: int) -> None:
    """Writes the files of a face, each whole, the points last."""
    stem = join(output, f"{index:06d}")
    fast = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
    pixels = cv2.cvtColor(face.image, cv2.COLOR_RGB2BGR)
    points = "".join(f"{x:.4f} {y:.4f}\n" for x, y in np.asarray(face.landmarks, np.float64))
    dense = [] if face.dense is None else [(f"{stem}_dense.json", to_json(face.dense))]
    for name, data in (
        *dense,
        (f"{stem}.png", cv2.imencode(".png", pixels, fast)[1].tobytes()),
        (f"{stem}_seg.png", cv2.imencode(".png", face.segmentation, fast)[1].tobytes()),
        (f"{stem}_vis.txt", "".join(f"{flag}\n" for flag in face.visibility).encode()),
        (f"{stem}_ldmks.txt", points.encode()),
    ):
        with write_atomically(name, durable=False) as file:
            file.write(data)
