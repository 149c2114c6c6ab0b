"""What a source holds, before anyone trains on it: counts, gaps, sizes, poses, near duplicates, doubtful annotations.

`inspect` reads every sample once, on as many processes as wanted, and keeps figures and points alone; the few faces
that are shown are read again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.errors import FakeitError, Rejected
from fakeit.pipelines.faces.box import Box, check_box, from_landmarks
from fakeit.pipelines.faces.crop import CropConfig, Picture, crop_from_source, from_unit, to_unit
from fakeit.pipelines.faces.draw import caption, contact_sheet, draw_landmarks, write_image
from fakeit.pipelines.faces.matrix import transform
from fakeit.pipelines.flows.near_duplicates import near_pairs
from fakeit.pipelines.flows.tally import unmatched_of
from fakeit.pipelines.landmarks import eye_corners, scheme
from fakeit.pipelines.machine.runners import Runner
from fakeit.pipelines.progress import ProgressBar
from fakeit.pipelines.sources import Sample, Source, Unmatched, read_sample, summary

_CROP = CropConfig(size=128, margin=0.15)
_PATTERNS = 6  # sets of points that are listed
_MODES_OF = 20_000  # faces, at most, that the usual shapes are learnt from
_NEAR = 4  # bits of 64 in which the hashes of near duplicates may differ


@dataclass(frozen=True)
class Finding:
    """What one sample showed. `points`: (K, 2) unit crop; `hash`: of the crop's light."""

    image_id: str
    rejected: str = ""
    size: tuple[int, int] = (0, 0)
    box_side: float = 0.0
    roll: float = float("nan")
    brightness: float = 0.0
    points: NDArray[np.float32] | None = None
    hash: int = 0


@dataclass(frozen=True)
class Inspection:
    """All findings of a source, and what they say together. `samples`: what was looked at, in the order of findings;
    with the source, to show some of them."""

    scheme: str
    findings: tuple[Finding, ...]
    unmatched: tuple[Unmatched, ...] = ()
    samples: Sequence[Sample] = ()
    source: Source | None = None

    @property
    def good(self) -> list[Finding]:
        return [f for f in self.findings if not f.rejected]

    def shapes(self) -> NDArray[np.float32]:
        """(N, K, 2) unit crop, NaN where missing."""
        good = self.good
        return np.array([f.points for f in good], np.float32).reshape(len(good), scheme(self.scheme).count, 2)

    def _patterns(self) -> list[str]:
        """The commonest sets of points that faces have, a line each."""
        names = scheme(self.scheme).names
        there = np.isfinite(self.shapes()).all(axis=2)
        patterns, counts = np.unique(there, axis=0, return_counts=True)
        lines = [f"patterns: {len(patterns)}"]
        for index in np.argsort(-counts, kind="stable")[:_PATTERNS]:
            has = np.flatnonzero(patterns[index])
            lacks = np.flatnonzero(~patterns[index])
            said = "all points" if not len(lacks) else f"{len(has)}: " + ", ".join(names[i] for i in has)
            if 0 < len(lacks) < len(has):
                said = "all but " + ", ".join(names[i] for i in lacks)
            lines.append(f"  {counts[index]:,} × {said}")
        return lines

    def duplicates(self) -> list[tuple[str, str]]:
        """Pairs of samples whose crops look nearly alike, as `near_pairs` gives them."""
        good = self.good
        hashes = np.array([f.hash for f in good], np.uint64)
        return [(good[one].image_id, good[other].image_id) for one, other in near_pairs(hashes, _NEAR)]

    def suspicion(self) -> NDArray[np.float64]:
        """How far each shape lies from what the others' main modes can explain, in standard deviations of that
        distance; 0 for faces with missing points."""
        shapes = self.shapes()
        whole = np.isfinite(shapes).all(axis=(1, 2))
        scores = np.zeros(len(shapes))
        if whole.sum() < 10 or not shapes.shape[1]:
            return scores
        flat = shapes[whole].reshape(whole.sum(), -1).astype(np.float64)
        flat -= np.median(flat, axis=0)
        far = np.linalg.norm(flat, axis=1)
        usual = flat[far <= np.quantile(far, 0.8)]  # an outlier must not become a mode of its own
        usual = usual[:: -(-len(usual) // _MODES_OF)]
        _, _, modes = np.linalg.svd(usual, full_matrices=False)
        main = modes[: min(10, len(modes))]
        rest = np.linalg.norm(flat - flat @ main.T @ main, axis=1)
        spread = np.median(np.abs(rest - np.median(rest))) * 1.4826 + 1e-9
        scores[whole] = (rest - np.median(rest)) / spread
        return scores

    def text(self) -> str:
        """The table for people."""
        known = scheme(self.scheme)
        good, rejected = self.good, [f for f in self.findings if f.rejected]
        lines = [f"{len(self.findings):,} samples of scheme {self.scheme}: {len(good):,} good, {len(rejected):,} bad"]
        lines += [f"  bad: {f.rejected}" for f in rejected[:8]]
        lines += [f"unmatched: {summary(self.unmatched)}"] if self.unmatched else []
        if not good:
            return "\n".join(lines)
        sizes = Counter(f.size for f in good).most_common(4)
        lines.append("sizes: " + ", ".join(f"{w}×{h} ({n})" for (w, h), n in sizes))
        lines.append(_spread("face box, longer side, pixels", [f.box_side for f in good]))
        lines.append(_spread("roll, degrees", [f.roll for f in good]))
        lines.append(_spread("brightness, 0–255", [f.brightness for f in good]))
        missing = np.isnan(self.shapes()).any(axis=2).sum(axis=0)
        gaps = [f"{known.names[i]} {int(n)}" for i, n in enumerate(missing) if n]
        lines.append(f"missing points: {', '.join(gaps) if gaps else 'none'}")
        if gaps:
            lines += self._patterns()
        pairs = self.duplicates()
        lines.append(f"near duplicates: {len(pairs)} pairs" + "".join(f"\n  {a} ~ {b}" for a, b in pairs[:5]))
        scores = self.suspicion()
        doubtful = [i for i in np.argsort(-scores)[:10] if scores[i] > 6]
        lines.append(f"doubtful annotations: {int((scores > 6).sum())}")
        lines += [f"  {good[i].image_id}: {scores[i]:.0f} deviations from its like" for i in doubtful]
        return "\n".join(lines)

    def draw(self, folder: str) -> list[str]:
        """Writes contact sheet, mean shape, heat map of every point and outliers below `folder`; their paths."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        good = self._good_positions()
        if not good:
            return []
        shown = good[:: max(1, len(good) // 60)][:60]
        pictures = {"contact_sheet": contact_sheet([self._tile(position) for position in shown], 10, 128)}
        if scheme(self.scheme).count:
            pictures["mean_shape"] = self._mean_shape()
            pictures["heat_map"] = self._heat_map()
            scores = self.suspicion()
            worst = np.argsort(-scores)[:24]
            pictures["outliers"] = contact_sheet(
                [self._tile(good[i]) for i in worst],
                8,
                160,
                [f"{scores[i]:.0f} {self.findings[good[i]].image_id}" for i in worst],
            )
        paths = []
        for name, picture in pictures.items():
            paths.append(str(Path(folder) / f"{name}.png"))
            write_image(paths[-1], picture)
        return paths

    def _good_positions(self) -> list[int]:
        return [position for position, finding in enumerate(self.findings) if not finding.rejected]

    def _tile(self, position: int) -> NDArray[np.uint8]:
        """The crop of one sample with its points, read again; grey where it has gone since."""
        points = self.findings[position].points
        assert self.source is not None and points is not None
        try:
            crop = _look(self.samples[position], self.source)[1]
        except Rejected:
            crop = np.full((_CROP.size, _CROP.size, 3), 127, np.uint8)
        return draw_landmarks(crop, from_unit(points, _CROP.size), self.scheme)

    def _mean_shape(self, side: int = 640) -> NDArray[np.uint8]:
        """Mean points with an ellipse of two standard deviations each."""
        canvas = np.full((side, side, 3), 24, np.uint8)
        shapes = from_unit(self.shapes(), side)
        mean = np.full(shapes.shape[1:], np.nan)
        for index in range(shapes.shape[1]):
            present = shapes[np.isfinite(shapes[:, index]).all(axis=1), index]
            if len(present):
                mean[index] = present.mean(axis=0)
            if len(present) > 2:
                values, axes = np.linalg.eigh(np.cov(present.T))
                angle = float(np.degrees(np.arctan2(axes[1, 1], axes[0, 1])))
                size = [max(1, round(2 * float(np.sqrt(max(v, 0))))) for v in values[::-1]]
                centre = np.rint(mean[index]).astype(int).tolist()
                cv2.ellipse(canvas, centre, size, angle, 0, 360, (90, 120, 200), 1, cv2.LINE_AA)
        return draw_landmarks(canvas, mean, self.scheme)

    def _heat_map(self, side: int = 96) -> NDArray[np.uint8]:
        """One tile a point: where it lies in the crop, over all faces."""
        shapes, tiles, names = self.shapes(), [], scheme(self.scheme).names
        for index, name in enumerate(names):
            x, y = shapes[np.isfinite(shapes[:, index]).all(axis=1), index].T
            counts, _, _ = np.histogram2d(y, x, bins=side // 2, range=[[0, 1], [0, 1]])
            heat = np.sqrt(counts / max(counts.max(), 1)) * 255
            tile = cv2.cvtColor(cv2.applyColorMap(heat.astype(np.uint8), cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
            large = np.asarray(cv2.resize(tile, (side, side), interpolation=cv2.INTER_NEAREST), np.uint8)
            caption(large, name)
            tiles.append(large)
        return contact_sheet(tiles, 10, side)


def _spread(name: str, values: list[float]) -> str:
    present = np.array([v for v in values if np.isfinite(v)])
    if not len(present):
        return f"{name}: unknown"
    low, middle, high = np.percentile(present, (5, 50, 95))
    return f"{name}: median {middle:.1f}, 5 to 95 %: {low:.1f} to {high:.1f}"


def inspect(source: Source, runner: Runner, limit: int = 0) -> Inspection:
    """Reads the samples of a source (the first `limit`, evenly spread, where given)."""
    samples: Sequence[Sample] = source.samples()
    unmatched = unmatched_of(samples)
    if limit and limit < len(samples):
        samples = [samples[i] for i in np.linspace(0, len(samples) - 1, limit).astype(int)]
    if not samples:
        raise FakeitError("the source holds no samples")
    with ProgressBar("inspect", len(samples), "images") as bar:
        findings = runner(partial(examine, source=source), samples, lambda ended: bar.step(ended))
    return Inspection(source.scheme, tuple(findings), unmatched, samples, source)


def examine(sample: Sample, source: Source) -> Finding:
    """One sample, looked at."""
    try:
        return _look(sample, source)[0]
    except Rejected as reason:
        return Finding(sample.id, rejected=str(reason))


def _look(sample: Sample, source: Source) -> tuple[Finding, NDArray[np.uint8]]:
    """What a sample shows, and its crop, (128, 128, 3). Raises Rejected."""
    annotation, pixels = read_sample(source, sample)
    height, width = pixels.shape[:2]
    if annotation.box is not None:
        check_box(Box(*annotation.box), width, height, annotation.landmarks, f"{sample.id}: box")
    pointless = not np.isfinite(annotation.landmarks).all(axis=1).any()
    try:
        box = Box(0, 0, width, height) if pointless else from_landmarks(annotation.landmarks)
    except Rejected as reason:
        raise Rejected(f"{sample.id}: {reason}") from reason
    matrix = crop_from_source(box, _CROP)
    crop = Picture(pixels, "rgb").warp(matrix, _CROP.size)
    roll = float("nan")
    if scheme(source.scheme).count:
        left, right = eye_corners(annotation.landmarks, source.scheme)
        roll = float(np.degrees(np.arctan2(right[1] - left[1], right[0] - left[0])))
    found = Finding(
        image_id=sample.id,
        size=(width, height),
        box_side=box.side,
        roll=roll,
        brightness=float(crop.mean()),
        points=to_unit(transform(annotation.landmarks, matrix), _CROP.size),
        hash=difference_hash(crop),
    )
    return found, crop


def difference_hash(crop: NDArray[np.uint8]) -> int:
    """64 bits: whether each of 8 × 8 places is lighter than its left neighbour; alike for pictures that look alike."""
    grey = cv2.resize(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), (9, 8), interpolation=cv2.INTER_AREA)
    return int.from_bytes(np.packbits(grey[:, 1:] > grey[:, :-1]).tobytes(), "big")
