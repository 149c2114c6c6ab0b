"""One file per dataset format; each turns its files into `Sample`s. Nothing below this room knows a format.

A source is cheap to list (on the driver: names only, no file is opened where that can be avoided) and expensive to read
(on the executors: points and pixels of one sample). It is pickled to the executors, so it holds paths, not handles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.config import call, nearest
from fakeit.pipelines.errors import FakeitError, Rejected
from fakeit.pipelines.faces.box import check_inside, check_points
from fakeit.pipelines.files.file_names import printable
from fakeit.pipelines.landmarks import scheme

HIDDEN, VISIBLE = 1, 2  # COCO's visibility: 0 not labelled, 1 labelled but hidden, 2 labelled and visible


@dataclass(frozen=True)
class Sample:
    """One labelled (or unlabelled) face, as the driver lists it.

    Attributes:
        id: unique within the source and stable between runs; seeds, splits and shards derive from it.
        image: location of the pixels (see pipelines.files.storage), for messages and for the default reader.
        annotation: location of the points, or what the source itself needs to find them.
        split: "train", "val" or "test" where the dataset prescribes one.
        attributes: labels of the whole face (WFLW's six, a 300-W subset, …).
        boxes: (x, y, width, height) each, source pixels, where a CSV of boxes was given beside the source.
        group: samples of one group (a video, a person, the faces of one picture) stay in one split; "": alone.
        beside: further locations that its rows are made of, beside `image` and an `annotation` that is a location.
        problem: why it is rejected unread, where listing has shown that already.
    """

    id: str
    image: str
    annotation: Any = None
    split: str | None = None
    attributes: dict[str, Any] = field(default_factory=dict)
    boxes: tuple[tuple[float, float, float, float], ...] = ()
    group: str = ""
    beside: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Unmatched:
    """A picture or annotation that is no sample. `kind`: why, in the plural; `name`: which."""

    kind: str
    name: str


class SampleList(list[Sample]):
    """The samples of a source, and what of the source is none: together they are all that was found."""

    def __init__(self, samples: Iterable[Sample] = (), unmatched: Iterable[Unmatched] = ()) -> None:
        super().__init__(samples)
        self.unmatched = tuple(unmatched)


def summary(unmatched: Iterable[Unmatched], examples: int = 2) -> str:
    """`2 pictures without points: a.png, b.png; 1 …`, or "" where there is none."""
    kinds: dict[str, list[str]] = {}
    for entry in unmatched:
        kinds.setdefault(entry.kind, []).append(entry.name)
    parts = []
    for kind, names in kinds.items():
        shown = [name if len(name) <= 160 else f"{name[:80]}…{name[-79:]}" for name in names[:examples]]
        more = ", …" if len(names) > examples else ""
        parts.append(f"{len(names):,} {kind}: {', '.join(shown)}{more}")
    return "; ".join(parts)


@dataclass(frozen=True)
class Annotation:
    """What is known of one face.

    Attributes:
        landmarks: (K, 2) float32, source pixels (centre of the first pixel is (0, 0)), NaN where missing.
        visibility: (K,) uint8, COCO's 0/1/2.
        box: (x, y, width, height) in source pixels, where the dataset brings one.
        weight: (K,) float32 in [0, 1] where points were predicted by a model; None: 1 where labelled.
        dense: (400, 3) float32, where the source has dense labels and was asked for them: x, y in source pixels, and
            cm that a point lies further from the camera than the head's middle.
        dense_visibility: (400,) uint8, 1 hidden, 2 visible.
    """

    landmarks: NDArray[np.float32]
    visibility: NDArray[np.uint8]
    box: tuple[float, float, float, float] | None = None
    weight: NDArray[np.float32] | None = None
    dense: NDArray[np.float32] | None = None
    dense_visibility: NDArray[np.uint8] | None = None


def annotate(landmarks: NDArray[Any], box: tuple[float, float, float, float] | None = None) -> Annotation:
    """An annotation whose present points count as visible. `landmarks`: (K, 2), source pixels, NaN where missing."""
    points = np.asarray(landmarks, np.float32)
    labelled = np.isfinite(points).all(axis=1)
    return Annotation(points, np.where(labelled, VISIBLE, 0).astype(np.uint8), box)


class Source(Protocol):
    """A dataset in its own format. Implementations are small picklable dataclasses."""

    scheme: str

    def samples(self) -> SampleList:
        """Every sample, in a stable order, and what matches nothing. Raises FakeitError when the place holds none."""

    def read(self, sample: Sample) -> Annotation:
        """The points of one sample. Raises Rejected with file and line."""

    def image(self, sample: Sample) -> NDArray[np.uint8]:
        """The pixels of one sample, (H, W, 3) RGB. Raises Rejected."""


def read_sample(source: Source, sample: Sample) -> tuple[Annotation, NDArray[np.uint8]]:
    """The one place where a sample is read: it ends in a sample or in a named rejection, whatever its files hold.

    Returns:
        What is known of the face, and its picture, (H, W, 3) uint8 RGB.

    Raises:
        Rejected: one line with the file, the place in it where there is one, and the reason.
        FakeitError: something that no sample can be read with (a package that is missing).
    """
    try:
        if sample.problem:
            raise Rejected(sample.problem)
        annotation, pixels = source.read(sample), source.image(sample)
        try:
            check_points(annotation.landmarks)
            check_inside(annotation.landmarks, pixels.shape[1], pixels.shape[0])
        except Rejected as reason:
            raise Rejected(f"{_place(sample)}: {reason}") from reason
        return annotation, pixels
    except Rejected as reason:
        raise Rejected(printable(str(reason))[:1000]) from reason
    except FakeitError:
        raise
    except Exception as error:
        raise Rejected(f"{_place(sample)}: {type(error).__name__}: {' '.join(str(error).split())[:200]}") from error


def _place(sample: Sample) -> str:
    return printable(sample.annotation if isinstance(sample.annotation, str) else sample.image)


# kind → "module:class"; a module is imported when its kind is opened.
KINDS: dict[str, str] = {
    "face_synthetics": "fakeit.pipelines.sources.face_synthetics:FaceSynthetics",
    "300w": "fakeit.pipelines.sources.ibug:Ibug",
    "300vw": "fakeit.pipelines.sources.ibug_video:IbugVideo",
    "wflw": "fakeit.pipelines.sources.wflw:Wflw",
    "mmlab": "fakeit.pipelines.sources.mmlab:Mmlab",
    "kaggle": "fakeit.pipelines.sources.kaggle:Kaggle",
    "youtube_faces": "fakeit.pipelines.sources.folder:youtube_faces",
    "ffhq": "fakeit.pipelines.sources.folder:ffhq",
    "folder": "fakeit.pipelines.sources.folder:Folder",
    "coco": "fakeit.pipelines.sources.annotated:coco",
    "cvat": "fakeit.pipelines.sources.annotated:cvat",
    "label_studio": "fakeit.pipelines.sources.annotated:label_studio",
}


def open_source(kind: str, path: str, **options: Any) -> Source:
    """The source of `kind` at `path`.

    Raises:
        FakeitError: unknown kind, an option that is unknown or of another type, or nothing at `path`.
    """
    if kind not in KINDS:
        raise FakeitError(f"source kind '{kind}' is unknown; known are {', '.join(KINDS)}{nearest(kind, KINDS)}")
    module, _, name = KINDS[kind].partition(":")
    factory: Callable[..., Source] = getattr(import_module(module), name)
    source = call(factory, {**options, "path": path}, f"source '{kind}'")
    if source.scheme.endswith(".toml"):  # executors may not have the file: from here on it is its own name
        source = replace(source, scheme=scheme(source.scheme).name)  # type: ignore[type-var]
    return source
