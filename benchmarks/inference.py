#!/usr/bin/env python
"""Milliseconds a face on one core, detector and landmarks apart, and accuracy, beside MediaPipe Face Mesh.

    python benchmarks/inference.py --model best.onnx --source youtube_faces --input DIR --json inference.json

    python benchmarks/inference.py --model nano.onnx base.onnx --source 300w --input AFW --fit-input HELEN

The last line is JSON: `ms_per_face` (crop and network, faces one by one), `ms_per_face_32` (32 at a time), `ms_detect`,
`nme` (detector's boxes), `nme_adapter`, `mediapipe_ms`, `mediapipe_nme`. Several --model make a table of accuracy
against speed. With --fit-input every model, MediaPipe's mesh too, gets an adapter fitted on those faces, and true boxes
are scored as well (MediaPipe on twice the true box), plain and adapted. MediaPipe lives in a venv of its own, made on
first use in ~/.cache/fakeit; --no-mediapipe: without; --mediapipe 1.2.3: today's, which is the tasks API.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import cv2
import numpy as np

from benchmarks import mediapipe_mesh
from fakeit.jobs.cli import Parser, run
from fakeit.model.evaluation import predictions, scoring
from fakeit.model.evaluation.protocols import open_protocol, protocol
from fakeit.model.inference.adapter import Adapter
from fakeit.model.inference.landmarker import Landmarker, LandmarkerConfig
from fakeit.pipelines.errors import FakeitError, Rejected
from fakeit.pipelines.faces.box import from_landmarks
from fakeit.pipelines.faces.detector_names import DEFAULT
from fakeit.pipelines.sources import Sample, Source


def median_ms(action: Callable[[], Any], repeats: int) -> float:
    """The median time of `repeats` calls after two unmeasured ones."""
    times = []
    for index in range(repeats + 2):
        start = time.perf_counter()
        action()
        if index >= 2:
            times.append(time.perf_counter() - start)
    return 1000 * float(np.median(times))


def measure(model: str | None, adapter: str | None, arguments: argparse.Namespace) -> dict[str, Any]:
    """Speed and accuracy of one model on the source's pictures."""
    landmarker = Landmarker.load(model, LandmarkerConfig(arguments.detector, arguments.refine), adapter, threads=1)
    chosen = protocol(arguments.source)
    source, samples = open_protocol(chosen, arguments.input)
    samples = samples[: arguments.limit]
    pictures = []
    for sample in samples[: arguments.speed]:
        try:
            pictures.append((source.image(sample), from_landmarks(source.read(sample).landmarks)))
        except Rejected:
            continue
    if not pictures:
        raise FakeitError(f"{arguments.input}: no picture could be read")
    landmarker.detector_boxes(pictures[0][0])  # loads the detector
    detect = [median_ms(lambda p=p: landmarker.detect(p), 1) for p, _ in pictures]  # type: ignore[misc]
    fit = [median_ms(lambda p=p, b=b: landmarker.predict_boxes(p, [b], 0), 3) for p, b in pictures]  # type: ignore[misc]
    picture, box = pictures[0]
    batch = median_ms(lambda: landmarker.predict_boxes(picture, [box] * 32, 0), 3) / 32
    row = {
        "model": str(model or "the box"),
        "ms_per_face": round(float(np.median(fit)), 3),
        "ms_per_face_32": round(batch, 3),
        "ms_detect": round(float(np.median(detect)), 3),
    }
    sets = {"detector": predictions.collect(landmarker, source, samples, "detector")}
    adapter = landmarker.adapter
    if arguments.fit_input:
        sets["true"] = predictions.collect(landmarker, source, samples, "true")
        kind, faces = open_fit(arguments)
        labelled = predictions.collect(landmarker, kind, faces, "true", mirrored=True)
        adapter = scoring.fit_label_adapter(labelled, "fitted", arguments.fit_input)[0]
    return {**row, **errors(sets, adapter, chosen.normaliser)}


def errors(
    sets: Mapping[str, predictions.PredictionSet], adapter: Adapter | None, normaliser: str
) -> dict[str, float | str]:
    """NME % of each set of predictions, plain and through the adapter, where there is one; the plain names are those of
    the detector's boxes."""
    row: dict[str, float | str] = {}
    for boxes, collected in sets.items():
        suffix = "" if boxes == "detector" else f"_{boxes}"
        made = scoring.evaluate(collected, *scoring.without_adapter(collected), normaliser, "")
        row[f"nme{suffix}"] = round(made.scores.nme, 3)
        row[f"missed{suffix}"] = made.scores.missing
        if adapter is not None:
            *points, note = scoring.with_adapter(collected, adapter)
            row[f"nme{suffix}_adapter"] = round(scoring.evaluate(collected, *points, normaliser, "").scores.nme, 3)
            row["adapter"] = note
    return row


def open_fit(arguments: argparse.Namespace) -> tuple[Source, list[Sample]]:
    """The labelled faces that adapters are fitted on."""
    return open_protocol(protocol(arguments.fit_source or arguments.source), arguments.fit_input)


def measure_mediapipe(arguments: argparse.Namespace) -> dict[str, Any]:
    """Its ms a picture (detector and mesh together: it does not tell them apart) and its NME on the same faces: on
    whole pictures and, where adapters are fitted, on twice the true box, and through such an adapter on its mesh."""
    chosen, version = protocol(arguments.source), arguments.mediapipe
    source, samples = open_protocol(chosen, arguments.input)
    samples = samples[: arguments.limit]
    sets, adapter = {}, None
    if arguments.fit_input:  # first: the mesh's mirror pairs are those of these faces
        labelled = mediapipe_mesh.collect(version, *open_fit(arguments), whole=False, mirrored=True)[0]
        adapter = scoring.fit_label_adapter(labelled, "fitted", arguments.fit_input)[0]
        sets["true"] = mediapipe_mesh.collect(version, source, samples, whole=False)[0]
    sets["detector"], ms = mediapipe_mesh.collect(version, source, samples, whole=True)
    return {f"mediapipe_{k}": v for k, v in {"ms": round(ms, 3), **errors(sets, adapter, chosen.normaliser)}.items()}


COLUMNS = (
    ("ms_per_face", "ms a face", 2),
    ("ms_per_face_32", "32 at once", 2),
    ("ms_detect", "detect ms", 1),
    ("nme", "NME %", 2),
    ("nme_adapter", "adapted", 2),
    ("nme_true", "true boxes", 2),
    ("nme_true_adapter", "adapted", 2),
)


def line(name: str, row: Mapping[str, Any]) -> str:
    """A row of the table; a dash for what was not measured."""
    cells = (f"{row[key]:12.{digits}f}" if key in row else f"{'-':>12}" for key, _, digits in COLUMNS)
    return f"{name[-31:]:32}" + "".join(cells)


def main(arguments: argparse.Namespace) -> None:
    cv2.setNumThreads(1)
    rows = [measure(model, arguments.adapter, arguments) for model in arguments.model or [None]]
    other = {} if arguments.no_mediapipe else measure_mediapipe(arguments)
    print(f"{'':32}" + "".join(f"{title:>12}" for _, title, _ in COLUMNS))
    for row in sorted(rows, key=lambda r: r["ms_per_face"]):
        print(line(row["model"], row))
    if other:
        plain = {key.removeprefix("mediapipe_"): value for key, value in other.items()}
        print(line(f"MediaPipe {arguments.mediapipe}", {"ms_per_face": plain["ms"], **plain}) + "  (with its detector)")
    result = {**rows[0], **other, "models": rows}
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({k: v for k, v in result.items() if k != "models"}))


def parser() -> Parser:
    p = Parser(description=__doc__)
    p.add_argument("--model", nargs="*", help="checkpoints or .onnx files; without it, the model in the box")
    p.add_argument("--adapter", metavar="NAME", help="a label adapter beside the model")
    p.add_argument(
        "--fit-input", metavar="PATH", help="labelled faces to fit every model's adapter on, MediaPipe's too"
    )
    p.add_argument("--fit-source", metavar="KIND", help="what they are (as --source)")
    p.add_argument("--source", default="youtube_faces", help="a protocol or a source")
    p.add_argument("--input", required=True, metavar="PATH")
    p.add_argument("--detector", default=DEFAULT)
    p.add_argument("--refine", type=int, default=0)
    p.add_argument("--limit", type=int, metavar="N", help="score the first N faces only")
    p.add_argument("--speed", type=int, default=20, metavar="N", help="pictures that are timed (20)")
    mediapipe_mesh.add_options(p)
    p.add_argument("--json", metavar="FILE")
    return p


if __name__ == "__main__":
    run(main, parser())
