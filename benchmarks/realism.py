#!/usr/bin/env python
"""Rendered faces beside real ones: the share that a detector finds, and how far distributions lie apart.

    python benchmarks/realism.py [--count 500] [--head ict=ict.npz] [--faces today=FOLDER] [--plot statistics.png]

Faces are default draws of conf/synthesize/default.toml (seed 4242), none left out; `--faces NAME=FOLDER` adds a set
that jobs/synthesize.py wrote. Real ones are AFW and HELEN-train. Found: MTCNN sees a face, as jobs/predict.py runs it.
Distances are to a random half of the real faces; its other half is the floor. Prints a table for people and, as its
last line, one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray
from realism_measures import (
    LEFT,
    RIGHT,
    Faces,
    aligned,
    distances,
    features,
    modes,
    part_figures,
    pixel_figures,
    poses,
    spectrum,
    square,
)

from fakeit.model.inference.landmarker import Landmarker, LandmarkerConfig
from fakeit.pipelines.config import load
from fakeit.pipelines.errors import Rejected
from fakeit.pipelines.landmarks import scheme
from fakeit.pipelines.sources import open_source
from fakeit.pipelines.synth.config import SynthesisConfig
from fakeit.pipelines.synth.face import render

Floats = NDArray[np.float64]
Pair = tuple[NDArray[np.uint8], Floats]
ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared/data"
SEED, SIZE = 4242, 512
SHARES = (0.90, 0.95, 0.98)
FRONTAL = 12.0  # degrees of yaw and pitch


def rendered(kind: str, file: str, count: int) -> Iterator[Pair]:
    """Default faces of a head, none left out: picture and 68 points."""
    config = load(str(ROOT / "conf/synthesize/default.toml"), SynthesisConfig, [])
    config = replace(config, head=replace(config.head, kind=kind, file=file))
    for index in range(count):
        face = render(index, SEED, config, SIZE)
        yield face.image, face.landmarks[:68].astype(float)


def stored(kind: str, folder: str, count: int) -> Iterator[Pair]:
    """Faces of a folder: picture and 68 points."""
    source = open_source(kind, folder)
    for sample in source.samples()[:count]:
        try:
            yield source.image(sample), np.asarray(source.read(sample).landmarks[:68], float)
        except Rejected:
            continue


def measure(pairs: Iterator[Pair], landmarker: Landmarker) -> Faces:
    landmarker.load_detector()
    points, pixels, parts, spectra, squares, found = [], [], [], [], [], []
    for image, cloud in pairs:
        face, placed = square(image, cloud)
        points.append(cloud)
        pixels.append(pixel_figures(face))
        parts.append(part_figures(face, placed))
        spectra.append(spectrum(face))
        squares.append(face)
        found.append(bool(landmarker.detector_boxes(image)))
    return Faces(
        np.stack(points), np.array(pixels), np.array(parts), np.stack(spectra), features(squares), np.array(found)
    )


def statistics(points: Floats) -> dict[str, float]:
    """Poses and shapes of one set."""
    corners = np.linalg.norm(points[:, RIGHT] - points[:, LEFT], axis=1)
    box = np.sqrt(np.prod(np.ptp(points, axis=1), axis=1))
    angles = poses(points)
    yaw, pitch, roll = angles.std(axis=0)
    held = np.cumsum(variances := modes(aligned(points))[0]) / variances.sum()
    figures = {"outer eye corners / box": np.median(corners / box), "yaw sd": yaw, "pitch sd": pitch, "roll sd": roll}
    frontal = aligned(points[np.abs(angles[:, :2]).max(axis=1) < FRONTAL])
    eyes = np.linalg.norm(np.diff(frontal.mean(axis=0)[[LEFT, RIGHT]], axis=0))
    away = np.linalg.norm(frontal.std(axis=0), axis=1) / eyes
    figures |= {"frontal: point sd, % of eyes": 100 * away.mean()}
    figures |= {f"modes for {share:.0%}": int(np.searchsorted(held, share) + 1) for share in SHARES}
    return {name: round(float(value), 2) for name, value in figures.items()}


def draw(sets: dict[str, Faces], place: Path) -> None:
    """Mean shapes with the spread of each point, poses, variance by mode, amplitude spectra."""
    figure, axes = plt.subplots(1, 4, figsize=(17, 4.2), layout="constrained")
    for number, (name, faces) in enumerate(sets.items()):
        colour, shapes = f"C{number}", aligned(faces.points)
        mean, spread = shapes.mean(axis=0), shapes.std(axis=0)
        scale = 1 / np.linalg.norm(mean[RIGHT] - mean[LEFT])
        for line, closed in scheme("ibug68").edges:
            axes[0].plot(*(mean[[*line, *line[: int(closed)]]] * scale).T, color=colour, lw=1)
        (x, y), (dx, dy) = (mean * scale).T, (spread * scale).T
        axes[0].errorbar(x, y, dy, dx, fmt="none", ecolor=colour, alpha=0.3, label=name)
        yaw, pitch, _ = poses(faces.points).T
        axes[1].scatter(yaw, pitch, s=4, alpha=0.35, color=colour, label=name)
        variances = modes(shapes)[0][:40]
        axes[2].semilogy(np.arange(1, len(variances) + 1), variances, color=colour, label=name)
        axes[3].plot(faces.spectra.mean(axis=0), color=colour, label=name)
    axes[0].invert_yaxis()
    axes[0].set(title="mean shape, ±1 sd a point", aspect="equal", xlabel="outer eye corners = 1")
    axes[1].set(title="pose", xlabel="yaw, degrees", ylabel="pitch, degrees", xlim=(-90, 90), ylim=(-60, 60))
    axes[2].set(title="shape modes", xlabel="mode", ylabel="variance (unit-size shapes)")
    axes[3].set(title="amplitude spectrum", xlabel="frequency (32: Nyquist at 128²)", ylabel="log amplitude")
    for axis in axes:
        axis.legend(markerscale=3)
    figure.savefig(place, dpi=80)


def table(title: str, rows: dict[str, dict[str, float]]) -> None:
    """Prints one set a column."""
    print(f"\n{title:30}" + "".join(f"{name:>12}" for name in rows))
    for name in next(iter(rows.values())):
        print(f"{name:30}" + "".join(f"{row[name]:12}" for row in rows.values()))


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--count", type=int, default=500, help="faces a head kind (500)")
    p.add_argument("--head", action="append", metavar="KIND=FILE", help="heads to render (all three)")
    p.add_argument("--faces", action="append", default=[], metavar="NAME=FOLDER", help="rendered faces as well")
    p.add_argument("--shared", type=Path, default=SHARED, help="folder that holds afw_68 and helen_train_870")
    p.add_argument("--plot", type=Path, help="shapes, poses, spectra as a picture")
    return p


def main() -> None:
    arguments = parser().parse_args()
    cv2.setNumThreads(1)
    landmarker = Landmarker.load(config=LandmarkerConfig("mtcnn"))  # as all figures so far
    heads = arguments.head or ["makehuman=", "builtin=", f"ict={arguments.shared / 'ict_face/ict_face.npz'}"]
    sets = {kind: rendered(kind, file, arguments.count) for kind, _, file in (head.partition("=") for head in heads)}
    sets |= {
        name: stored("face_synthetics", place, arguments.count)
        for name, place in (f.split("=", 1) for f in arguments.faces)
    }
    ours = {name: measure(pairs, landmarker) for name, pairs in sets.items()}
    real = {name: measure(stored("300w", str(arguments.shared / folder), 10**6), landmarker)
            for name, folder in (("AFW", "afw_68"), ("HELEN", "helen_train_870"))}  # fmt: skip
    everyone = join(list(real.values()))
    order = np.random.default_rng(0).permutation(len(everyone.points))
    reference, other = everyone.part(order[::2]), everyone.part(order[1::2])
    columns = ours | real
    found = {name: round(float(faces.found.mean()), 4) for name, faces in columns.items()}
    apart = {name: distances(faces, reference) for name, faces in (ours | {"real half": other}).items()}
    shapes = {name: statistics(faces.points) for name, faces in columns.items()}
    table("", {name: {"faces": len(faces.points), "found by MTCNN": found[name]} for name, faces in columns.items()})
    table("distance to real faces", apart)
    table("poses and shapes", shapes)
    if arguments.plot:
        draw(columns, arguments.plot)
    print(json.dumps({"found": found, "distance": apart, "shapes": shapes}))


def join(sets: list[Faces]) -> Faces:
    return Faces(*(np.concatenate([getattr(one, name) for one in sets]) for name in Faces.__dataclass_fields__))


if __name__ == "__main__":
    main()
