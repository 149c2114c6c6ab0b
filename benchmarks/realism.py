#!/usr/bin/env python
"""Point clouds of rendered faces against those of real ones: mean, spread, poses, shape modes. Rendered: wider.

    python benchmarks/realism.py --faces FACES [--real ../shared/data/afw_68 --kind 300w] [--plot statistics.png]

Prints a table for people and, as its last line, one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.errors import Rejected
from fakeit.pipelines.landmarks import scheme
from fakeit.pipelines.sources import open_source
from fakeit.pipelines.synth.heads import load_head

Floats = NDArray[np.float64]
ROOT = Path(__file__).resolve().parent.parent
LEFT, RIGHT = 36, 45  # outer eye corners
SHARES = (0.90, 0.95, 0.98)
FRONTAL = 12.0  # degrees of yaw and pitch


def clouds(kind: str, path: str, limit: int) -> Floats:
    """(N, 68, 2) points of a source, pixels."""
    source = open_source(kind, path)
    found = []
    for sample in source.samples()[:limit]:
        try:
            found.append(np.asarray(source.read(sample).landmarks[:68], float))
        except Rejected:
            continue
    return np.stack(found)


def poses(points: Floats) -> Floats:
    """(N, 3) yaw, pitch, roll in degrees: the rotation of the mean head that fits best under scaled orthography."""
    head = load_head("builtin")
    model = np.asarray(head.neutral[head.landmarks[:68]], float)
    model = model - model.mean(axis=0)
    inverse = np.linalg.pinv(model)
    angles = []
    for cloud in points:
        flat = (cloud - cloud.mean(axis=0)) * [1, -1]
        u, _, vt = np.linalg.svd((inverse @ flat).T, full_matrices=False)
        rows = u @ vt
        turn = np.vstack([rows, np.cross(rows[0], rows[1])])
        angles.append([np.arctan2(-turn[2, 0], turn[2, 2]), np.arctan2(turn[2, 1], np.hypot(turn[2, 0], turn[2, 2])),
                       np.arctan2(turn[1, 0], turn[0, 0])])  # fmt: skip
    return np.rad2deg(np.array(angles))


def aligned(points: Floats) -> Floats:
    """(N, 68, 2) without place, size and turn in the picture: generalised Procrustes (Gower 1975), unit size."""
    shapes = points - points.mean(axis=1, keepdims=True)
    shapes /= np.linalg.norm(shapes, axis=(1, 2), keepdims=True)
    mean = shapes[0]
    for _ in range(10):
        u, _, vt = np.linalg.svd(np.einsum("nki,kj->nij", shapes, mean))
        vt[np.linalg.det(u @ vt) < 0, 1] *= -1
        shapes = shapes @ (u @ vt)
        mean = shapes.mean(axis=0)
        mean /= np.linalg.norm(mean)
        level = np.arctan2(*(mean[RIGHT] - mean[LEFT])[::-1])
        mean = mean @ np.array([[np.cos(level), -np.sin(level)], [np.sin(level), np.cos(level)]])
    u, _, vt = np.linalg.svd(np.einsum("nki,kj->nij", shapes, mean))
    return np.asarray(shapes @ (u @ vt))


def modes(shapes: Floats) -> tuple[Floats, Floats]:
    """Variances of the principal modes, and the modes (M, 136)."""
    flat = shapes.reshape(len(shapes), -1)
    _, singular, vectors = np.linalg.svd(flat - flat.mean(axis=0), full_matrices=False)
    return singular**2 / (len(flat) - 1), vectors


def needed(variances: Floats) -> list[int]:
    """How many modes hold each of SHARES of the variance."""
    held = np.cumsum(variances) / variances.sum()
    return [int(np.searchsorted(held, share) + 1) for share in SHARES]


def statistics(points: Floats) -> dict[str, float]:
    corners = np.linalg.norm(points[:, RIGHT] - points[:, LEFT], axis=1)
    box = np.sqrt(np.prod(np.ptp(points, axis=1), axis=1))
    yaw, pitch, roll = poses(points).std(axis=0)
    counts = needed(modes(aligned(points))[0])
    figures = {"faces": len(points), "outer eye corners / box": np.median(corners / box), "yaw sd": yaw}
    figures |= {"pitch sd": pitch, "roll sd": roll}
    frontal = aligned(points[np.abs(poses(points)[:, :2]).max(axis=1) < FRONTAL])
    eyes = np.linalg.norm(np.diff(frontal.mean(axis=0)[[LEFT, RIGHT]], axis=0))
    away = np.linalg.norm(frontal.std(axis=0), axis=1) / eyes
    figures |= {"frontal: point sd, % of eyes": 100 * away.mean(), "frontal: jaw": 100 * away[:17].mean()}
    figures |= {"frontal: brows": 100 * away[17:27].mean(), "frontal: mouth": 100 * away[48:].mean()}
    figures |= {f"modes for {share:.0%}": count for share, count in zip(SHARES, counts, strict=True)}
    return {name: round(float(value), 2) for name, value in figures.items()}


def draw(rendered: Floats, real: Floats, names: tuple[str, str], place: Path) -> None:
    """Mean shapes with the spread of each point, poses, variance by mode."""
    figure, axes = plt.subplots(1, 3, figsize=(13, 4.2), layout="constrained")
    for points, name, colour in ((real, names[1], "tab:orange"), (rendered, names[0], "tab:blue")):
        shapes = aligned(points)
        mean, spread = shapes.mean(axis=0), shapes.std(axis=0)
        scale = 1 / np.linalg.norm(mean[RIGHT] - mean[LEFT])
        for line, closed in scheme("ibug68").edges:
            axes[0].plot(*(mean[[*line, *line[: int(closed)]]] * scale).T, color=colour, lw=1)
        (x, y), (dx, dy) = (mean * scale).T, (spread * scale).T
        axes[0].errorbar(x, y, dy, dx, fmt="none", ecolor=colour, alpha=0.35, label=name)
        yaw, pitch, _ = poses(points).T
        axes[1].scatter(yaw[:2000], pitch[:2000], s=4, alpha=0.35, color=colour, label=name)
        variances = modes(shapes)[0][:40]
        axes[2].semilogy(np.arange(1, len(variances) + 1), variances, color=colour, label=name)
    axes[0].invert_yaxis()
    axes[0].set(title="mean shape, ±1 sd a point", aspect="equal", xlabel="outer eye corners = 1")
    axes[1].set(title="pose", xlabel="yaw, degrees", ylabel="pitch, degrees", xlim=(-90, 90), ylim=(-60, 60))
    axes[2].set(title="shape modes", xlabel="mode", ylabel="variance (unit-size shapes)")
    for axis in axes:
        axis.legend(markerscale=3)
    figure.savefig(place, dpi=80)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", required=True, help="folder that jobs/synthesize.py wrote")
    parser.add_argument("--real", default=str(ROOT.parent / "shared/data/afw_68"), help="labelled real faces")
    parser.add_argument("--kind", default="300w", help="their format, as source.kind of a conf")
    parser.add_argument("--limit", type=int, default=3000)
    parser.add_argument("--plot", type=Path)
    arguments = parser.parse_args()
    rendered = clouds("face_synthetics", arguments.faces, arguments.limit)
    real = clouds(arguments.kind, arguments.real, arguments.limit)
    tables = {"rendered": statistics(rendered), "real": statistics(real)}
    print(f"{'':30}{'rendered':>10}{'real':>10}")
    for name in tables["real"]:
        print(f"{name:30}{tables['rendered'][name]:10}{tables['real'][name]:10}")
    shapes, targets = aligned(rendered), aligned(real)
    mean, vectors = shapes.reshape(len(shapes), -1).mean(axis=0), modes(shapes)[1][:28]
    away = targets.reshape(len(targets), -1) - mean
    held = 1 - ((away - away @ vectors.T @ vectors) ** 2).sum() / (away**2).sum()
    gap = targets.mean(axis=0) - shapes.mean(axis=0)
    between = np.linalg.norm(targets.mean(axis=0)[RIGHT] - targets.mean(axis=0)[LEFT])
    apart = float(np.linalg.norm(gap, axis=1).mean() / between)
    print(f"28 modes of the rendered faces hold {held:.1%} of how real faces differ from the rendered mean")
    print(f"mean shapes are {apart:.1%} of the outer eye corners' distance apart, a point")
    if arguments.plot:
        draw(rendered, real, ("rendered", Path(arguments.real).name), arguments.plot)
    print(json.dumps({**tables, "real_in_rendered_modes": round(float(held), 3), "means_apart": round(apart, 4)}))


if __name__ == "__main__":
    main()
