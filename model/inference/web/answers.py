"""A picture or video and a choice in; what is drawn, said and offered for download out. Runs in a worker process."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from fakeit.model.inference.landmarker import Landmarker, LandmarkerConfig
from fakeit.model.inference.output_formats import write
from fakeit.model.inference.results import Face, ImageResult, draw_faces
from fakeit.model.inference.video import run_video
from fakeit.pipelines.errors import Rejected
from fakeit.pipelines.faces import filters
from fakeit.pipelines.faces.detector_names import DEFAULT
from fakeit.pipelines.faces.draw import WHITE, write_image
from fakeit.pipelines.files.image_io import read_image
from fakeit.pipelines.landmarks import convert

POINTS = "points"
FRAMES = 300  # of a video; the rest is left out and said
_HEIC = (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypmsf1")


@dataclass(frozen=True)
class Job:
    """One question.

    Attributes:
        file: the upload. folder: an empty one of this job's own, where the answer's files go.
        model: file. detector, adapter: by name; adapter None: the model's own points.
        what: POINTS, or a filter's name.
        video: whether the file is one.
    """

    file: str
    folder: str
    model: str
    detector: str = DEFAULT
    adapter: str | None = None
    what: str = POINTS
    video: bool = False


@dataclass(frozen=True)
class Answer:
    """What came of a job.

    Attributes:
        drawn: the drawn picture (PNG) or video (WebM); a file of the job's folder.
        line: faces, size and milliseconds.
        faces: a row each: number, width in pixels, mean confidence, points above a half; one line of a video.
        downloads: the points as files.
        judges: whether the model says how sure it is.
    """

    drawn: str
    line: str
    faces: list[list[float]]
    downloads: list[str]
    judges: bool = True


def answer(job: Job) -> Answer:
    """Raises Rejected: no picture or video. FakeitError: the model does not load."""
    landmarker = loaded(job.model, job.detector, job.adapter)
    return _video(job, landmarker) if job.video else _picture(job, landmarker)


@lru_cache(maxsize=2)
def loaded(model: str, detector: str, adapter: str | None) -> Landmarker:
    """A landmarker with its detector; kept, since loading takes seconds."""
    landmarker = Landmarker.load(model, LandmarkerConfig(detector), adapter)
    landmarker.load_detector()
    return landmarker


def _picture(job: Job, landmarker: Landmarker) -> Answer:
    with open(job.file, "rb") as file:
        if file.read(12)[4:] in _HEIC:
            raise Rejected(f"{job.file}: a HEIC picture, which is not read; save or send it as JPEG")
    pixels = read_image(job.file)
    start = time.perf_counter()
    boxes = landmarker.detect(pixels)
    found = time.perf_counter()
    faces = landmarker.predict_boxes(pixels, boxes)
    done = time.perf_counter()
    drawn = _edit(job.what, pixels, faces)
    target = Path(job.folder, "faces.png")
    write_image(str(target), drawn)
    result = ImageResult("picture", faces, pixels.shape[1], pixels.shape[0])
    detect_ms, fit_ms = 1000 * (found - start), 1000 * (done - found)
    each = f", {fit_ms / len(faces):.1f} ms a face for the points" if faces else ""
    count = f"{len(faces)} face{'s' * (len(faces) != 1)}" if faces else "no face found"
    line = f"{count} in {pixels.shape[1]}×{pixels.shape[0]} pixels: {detect_ms:.0f} ms to find{each}"
    if not faces:
        line += ". Try a picture in which a face is larger, upright and lit from the front"
    downloads = _downloads([result], job.folder, landmarker.scheme) if faces else []
    return Answer(str(target), line, _rows(faces), downloads, _judges(faces))


def _video(job: Job, landmarker: Landmarker) -> Answer:
    target = Path(job.folder, "faces.webm")  # VP8 plays in every browser

    def edit(pixels: np.ndarray, faces: list[Face]) -> np.ndarray:
        return _edit(job.what, pixels, faces)

    made = run_video(landmarker, job.file, target, edit=edit, limit=FRAMES)
    seen = [result for result in made.found if result.faces]
    most = max((len(result.faces) for result in made.found), default=0)
    line = f"{len(made.found)} frames of {made.size[0]}×{made.size[1]}, {len(seen)} of them with faces, at most {most}"
    line += f"; {made.milliseconds.get('total', 0.0):.0f} ms a frame"
    line += f". Only the first {FRAMES} frames are read here" if len(made.found) == FRAMES else ""
    downloads = _downloads(made.found, job.folder, landmarker.scheme, pts=False) if seen else []
    every = [face for result in seen for face in result.faces]
    return Answer(str(target), line, [], downloads, _judges(every))


def _edit(what: str, pixels: np.ndarray, faces: Sequence[Face]) -> np.ndarray:
    if what == POINTS:
        drawn = draw_faces(pixels, faces)
        return _numbered(drawn, faces) if len(faces) > 1 else drawn
    for face in faces:
        pixels = filters.apply_filter(what, pixels, convert(face.points, face.scheme, "ibug68"))
    return pixels


def _numbered(pixels: np.ndarray, faces: Sequence[Face]) -> np.ndarray:
    """Each face's number in the table, at the top left of its points."""
    scale = max(0.5, max(pixels.shape[:2]) / 1000)
    for number, face in enumerate(faces, 1):
        at = (int(face.points[:, 0].min()), max(int(20 * scale), int(face.points[:, 1].min() - 6 * scale)))
        for colour, width in (((0, 0, 0), 4), (WHITE, 2)):
            cv2.putText(pixels, str(number), at, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, width, cv2.LINE_AA)
    return pixels


def _judges(faces: Sequence[Face]) -> bool:
    return not faces or any((face.confidence < 1).any() for face in faces)


def _rows(faces: Sequence[Face]) -> list[list[float]]:
    return [
        [number, round(face.box.width), round(100 * float(face.confidence.mean())), int((face.confidence > 0.5).sum())]
        for number, face in enumerate(faces, 1)
    ]


def _downloads(found: Sequence[ImageResult], folder: str, scheme: str, pts: bool = True) -> list[str]:
    """points.json, and points.pts where there is one face, else a zip of one .pts a face."""
    files = [f"{folder}/points.json"]
    write(found, files[0], "json", scheme)
    if pts:
        write(found, f"{folder}/pts", "pts", scheme)
        made = sorted(Path(folder, "pts").iterdir())
        if len(made) == 1:
            files.append(str(made[0].rename(Path(folder, "points.pts"))))
        else:
            files.append(shutil.make_archive(f"{folder}/points_pts", "zip", f"{folder}/pts"))
        shutil.rmtree(f"{folder}/pts")
    return files
