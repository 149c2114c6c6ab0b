"""What is scored, and how, by the names that papers use: the faces, the scheme and the normaliser of each benchmark.

A source's kind alone (`youtube_faces`, `face_synthetics`, …) works as a protocol too: all of its faces, inter-ocular.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fakeit.pipelines.config import nearest
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.landmarks import scheme
from fakeit.pipelines.sources import KINDS, SampleList, Source, open_source


@dataclass(frozen=True)
class EvaluationProtocol:
    """A benchmark.

    Attributes:
        name: as papers call it.
        kind: the source that reads it.
        normaliser: of its NME; see `fakeit.model.evaluation.metrics.NORMALISERS`.
        wanted: attributes and the values of them that belong to it; empty: all faces.
        options: for the source.
        video: its samples are the frames of videos, named by their attribute "video".
        about: one line for the report.
    """

    name: str
    kind: str
    normaliser: str = "inter-ocular"
    wanted: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    video: bool = False
    about: str = ""


_300W = "300 Faces in the Wild, https://ibug.doc.ic.ac.uk/resources/300-W/"
PROTOCOLS = {
    p.name: p
    for p in (
        EvaluationProtocol(
            "300w-common", "300w", wanted={"subset": ("common",)}, about=f"{_300W}: LFPW and HELEN test"
        ),
        EvaluationProtocol(
            "300w-challenging", "300w", wanted={"subset": ("challenging",)}, about=f"{_300W}: the iBUG set"
        ),
        EvaluationProtocol("300w-full", "300w", wanted={"subset": ("common", "challenging")}, about=f"{_300W}: both"),
        EvaluationProtocol(
            "300w-private", "300w", wanted={"subset": ("private",)}, about=f"{_300W}: indoor and outdoor"
        ),
        EvaluationProtocol(
            "wflw",
            "wflw",
            options={"split": "test"},
            about="Wider Facial Landmarks in-the-wild, https://wywu.github.io/projects/LAB/WFLW",
        ),
        EvaluationProtocol("300vw", "300vw", video=True, about="300 Videos in the Wild: per video, with jitter"),
        EvaluationProtocol("aflw-5", "mmlab", normaliser="inter-pupil", about="AFLW in MMLAB's five points"),
        EvaluationProtocol("kaggle", "kaggle", normaliser="inter-pupil", about="Kaggle Facial Keypoints"),
    )
}


def protocol(name: str) -> EvaluationProtocol:
    """A benchmark by its name, or a source's kind as one. Raises FakeitError naming what is known."""
    if name in PROTOCOLS:
        return PROTOCOLS[name]
    if name in KINDS:
        return EvaluationProtocol(name, name)
    known = list(dict.fromkeys([*PROTOCOLS, *KINDS]))
    raise FakeitError(f"protocol '{name}' is unknown; known are {', '.join(known)}{nearest(name, known)}")


def open_protocol(chosen: EvaluationProtocol, path: str) -> tuple[Source, SampleList]:
    """The source of a benchmark at `path`, the samples that belong to it and what at `path` is none.

    Raises:
        FakeitError: nothing there, or nothing that belongs to it, or pictures without points.
    """
    source = open_source(chosen.kind, path, **chosen.options)
    if not scheme(source.scheme).count:
        remedy = "--option points=… names a folder's, --unlabelled takes pictures without"
        raise FakeitError(f"{path}: source '{chosen.kind}' gives no points to score by; {remedy}")
    found = source.samples()
    samples = [s for s in found if all(s.attributes.get(k) in values for k, values in chosen.wanted.items())]
    if not samples:
        wanted = ", ".join(f"{k} {' or '.join(map(str, v))}" for k, v in chosen.wanted.items())
        raise FakeitError(f"{path}: holds no sample of protocol '{chosen.name}' ({wanted})")
    return source, SampleList(samples, found.unmatched)
