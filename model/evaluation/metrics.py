"""How wrong predicted points are: errors, normalisers, summaries, curves. Pure functions of arrays, no files.

An error is the distance between a predicted and a true point in source pixels. NME is a face's mean error over a
length of the face, and the name of the length belongs to every figure. A face that was not found counts as 100 %
wrong, so silence never scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.landmarks import convert, eye_corners, scheme

Floats = NDArray[np.float64]
NORMALISERS = ("inter-ocular", "inter-pupil", "box", "sqrt-area")
LEVELS = (0.05, 0.08, 0.10)
YAW_BINS = (0.0, 15.0, 30.0, 45.0, 90.0)
SKIN_TONES = (  # degrees of the individual typology angle
    ("light (ITA above 41°)", 41.0, 90.0),
    ("intermediate (28–41°)", 28.0, 41.0),
    ("tan (10–28°)", 10.0, 28.0),
    ("brown (−30–10°)", -30.0, 10.0),
    ("dark (below −30°)", -90.0, -30.0),
)
HIDDEN = (  # shares of a face's points
    ("no point hidden", -1.0, 0.0),
    ("up to 10 % of the points hidden", 0.0, 0.1),
    ("10–30 % hidden", 0.1, 0.3),
    ("above 30 % hidden", 0.3, 1.0),
)
MISSING = 1.0  # the NME of a face that was not found


@dataclass(frozen=True)
class Scores:
    """A summary of many faces. All but `faces` and `missing` are in percent, AUC in 0 to 1.

    Attributes:
        auc: level → area under the cumulative curve up to it; failures: level → share of faces above it.
        mse: mean squared error over coordinates, in units of the crop's side squared (the mission's figure); only of
            faces that were found.
    """

    faces: int
    missing: int
    nme: float
    median: float
    p90: float
    p95: float
    p99: float
    auc: dict[float, float]
    failures: dict[float, float]
    mse: float = float("nan")

    def flat(self) -> dict[str, float]:
        """Name → value, as MLflow and JSON want it."""
        plain = {k: float(getattr(self, k)) for k in ("faces", "missing", "nme", "median", "p90", "p95", "p99", "mse")}
        for level in self.auc:
            plain[f"auc{round(100 * level)}"] = self.auc[level]
            plain[f"fr{round(100 * level)}"] = self.failures[level]
        return plain


def distances(predicted: NDArray[np.floating], truth: NDArray[np.floating]) -> Floats:
    """(N, K) distances in the points' own unit; NaN where either is missing."""
    return np.asarray(np.linalg.norm(np.asarray(predicted, np.float64) - truth, axis=-1), np.float64)


def normaliser(truth: NDArray[np.floating], scheme_name: str, kind: str) -> Floats:
    """(N,) the length that a face's errors are divided by.

    Args:
        truth: (N, K, 2).
        scheme_name: its scheme.
        kind: "inter-ocular" (outer eye corners; eye centres where the scheme has no more), "inter-pupil" (centres of
            the two eyes' points), "box" (the longer side of the tight box), "sqrt-area" (√(w·h) of the tight box).

    Raises:
        FakeitError: an unknown kind.
    """
    if kind == "inter-ocular":
        left, right = eye_corners(truth, scheme_name)
    elif kind == "inter-pupil":
        left, right = pupils(truth, scheme_name)
    elif kind in ("box", "sqrt-area"):
        size = np.nanmax(truth, axis=1) - np.nanmin(truth, axis=1)
        return np.asarray(size.max(axis=1) if kind == "box" else np.sqrt(size.prod(axis=1)), np.float64)
    else:
        raise FakeitError(f"normaliser '{kind}' is unknown; known are {', '.join(NORMALISERS)}")
    return np.asarray(np.linalg.norm(right - left, axis=-1), np.float64)


def pupils(truth: NDArray[np.floating], scheme_name: str) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """The centres of the eyes: the means of their contour points, or the points the scheme calls eyes."""
    regions = scheme(scheme_name).regions
    if "left_eye" in regions:
        return tuple(truth[:, list(regions[side])].mean(axis=1) for side in ("left_eye", "right_eye"))  # type: ignore
    left, right = (1, 0) if scheme_name == "kaggle15" else (0, 1)
    return truth[:, left], truth[:, right]


def face_errors(
    predicted: NDArray[np.floating], truth: NDArray[np.floating], length: Floats, points: Sequence[int] | None = None
) -> Floats:
    """(N,) NME of each face, a share: the mean over its labelled points (or those of `points`), MISSING where it was
    not found, NaN where nothing is labelled."""
    chosen = slice(None) if points is None else list(points)
    labelled = np.isfinite(truth[:, chosen]).all(axis=-1)
    found = np.isfinite(predicted[:, chosen]).all(axis=-1)
    each = np.where(labelled, distances(predicted[:, chosen], truth[:, chosen]), 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        error = each.sum(axis=1) / labelled.sum(axis=1) / length
    return np.where((found | ~labelled).all(axis=1), error, MISSING)


def summarise(errors: Floats, missing: int = 0, mse: float = float("nan")) -> Scores:
    """Scores of faces' NMEs (a share each; NaN is left out)."""
    known = np.sort(errors[np.isfinite(errors)])
    if not len(known):
        nan = float("nan")
        none = dict.fromkeys(LEVELS, nan)
        return Scores(0, missing, nan, nan, nan, nan, nan, none, none, mse)
    p50, p90, p95, p99 = (100 * float(p) for p in np.percentile(known, (50, 90, 95, 99)))
    auc = {level: area_under_curve(known, level) for level in LEVELS}
    failures = {level: 100 * float((known > level).mean()) for level in LEVELS}
    return Scores(len(known), missing, 100 * float(known.mean()), p50, p90, p95, p99, auc, failures, mse)


def cumulative(errors: Floats, grid: Floats) -> Floats:
    """The share of faces with an error of at most each value of `grid`."""
    return np.searchsorted(np.sort(errors), grid, side="right") / max(len(errors), 1)


def area_under_curve(errors: Floats, level: float) -> float:
    """Area under the cumulative curve from 0 to `level`, over `level`."""
    grid = np.linspace(0, level, 1001)
    curve = cumulative(errors, grid)
    return float(((curve[1:] + curve[:-1]) / 2).mean())


def mean_squared_error(predicted: NDArray[np.floating], truth: NDArray[np.floating], crop_side: Floats) -> float:
    """Over all labelled coordinates of faces found, crop sides squared: the figure that training minimises."""
    offset = (np.asarray(predicted, np.float64) - truth) / crop_side[:, None, None]
    return float(np.nanmean(offset**2)) if np.isfinite(offset).any() else float("nan")


def by_region(
    predicted: NDArray[np.floating], truth: NDArray[np.floating], length: Floats, name: str
) -> dict[str, float]:
    """Errors of each part of the face.

    Args:
        predicted: (N, K, 2), any frame.
        truth: (N, K, 2) in the same frame; NaN where missing.
        length: (N,) the normaliser, in the same unit.
        name: of the points' scheme.

    Returns:
        Region of the scheme → mean NME in percent over the faces that have its points; NaN where none has.
    """
    return {
        region: summarise(face_errors(predicted, truth, length, points)).nme
        for region, points in scheme(name).regions.items()
    }


def by_point(predicted: NDArray[np.floating], truth: NDArray[np.floating], length: Floats) -> Floats:
    """(K,) mean error of each point over faces that were found, percent of the normaliser."""
    each = distances(predicted, truth) / length[:, None]
    known = np.isfinite(each).sum(axis=0)
    return np.where(known > 0, 100 * np.nansum(each, axis=0) / np.maximum(known, 1), np.nan)


def yaw_degrees(truth: NDArray[np.floating], scheme_name: str) -> Floats | None:
    """(N,) how far each face is turned aside, degrees, positive when its nose points to the viewer's right; estimated
    from labelled points: the nose tip stands as far before the line of the outer eye corners as half their distance
    (1.0 on the mean ICT face), so its shift along that line is the tangent. None where the scheme has no such points.
    """
    try:
        points = np.asarray(convert(truth, scheme_name, "ibug68"), np.float64)
    except FakeitError:
        return None
    left, right, nose = points[:, 36], points[:, 45], points[:, 30]
    half = (right - left) / 2
    shift = ((nose - (left + right) / 2) * half).sum(axis=1) / np.maximum((half**2).sum(axis=1), 1e-9)
    return np.asarray(np.degrees(np.arctan(shift)), np.float64)


def by_yaw(errors: Floats, yaw: Floats) -> dict[str, Scores]:
    """Scores for each bin of |yaw|."""
    table = {}
    for low, high in zip(YAW_BINS[:-1], YAW_BINS[1:], strict=True):
        chosen = (np.abs(yaw) >= low) & (np.abs(yaw) < high)
        if chosen.any():
            table[f"yaw {low:.0f}–{high:.0f}°"] = summarise(errors[chosen])
    return table


def skin_tone(pixels: NDArray[np.uint8], truth: NDArray[np.floating], scheme_name: str) -> float:
    """The individual typology angle of a face's cheeks, degrees: arctan((L* - 50) / b*), higher is lighter (Chardon et
    al. 1991). It is the picture's tone, light and camera included. NaN for grey pictures, for cheeks outside the
    picture, and where the scheme has no jaw.

    Args:
        pixels: (H, W, 3) RGB uint8. truth: (K, 2) source pixels.
    """
    try:
        points = np.asarray(convert(truth, scheme_name, "ibug68"), np.float64)
    except FakeitError:
        return float("nan")
    reach = 0.08 * np.linalg.norm(points[45] - points[36])
    patches = []
    for cheek in ((2, 36, 31, 48), (14, 45, 35, 54)):
        x, y = points[list(cheek)].mean(axis=0)
        if np.isfinite([x, y, reach]).all() and x >= 0 and y >= 0:
            top, left = max(int(y - reach), 0), max(int(x - reach), 0)  # below 0 a slice would count from the far edge
            patch = pixels[top : int(y + reach) + 1, left : int(x + reach) + 1]
            patches.append(patch.reshape(-1, 3))
    skin = np.concatenate(patches) if patches else np.zeros((0, 3), np.uint8)
    if len(skin) < 8:
        return float("nan")
    lab = cv2.cvtColor((skin[None] / np.float32(255)).astype(np.float32), cv2.COLOR_RGB2LAB)[0]
    light, green_red, blue_yellow = np.median(lab, axis=0)
    if abs(green_red) < 1 and abs(blue_yellow) < 1:
        return float("nan")
    return float(np.degrees(np.arctan2(light - 50, max(float(blue_yellow), 1e-3))))


def by_skin_tone(errors: Floats, tones: Floats) -> dict[str, Scores]:
    """Scores for each class of the individual typology angle (Del Bino & Bernerd 2013), empty where tones are not
    known."""
    return {f"skin {name}": scores for name, scores in _by_class(errors, tones, SKIN_TONES).items()}


def by_hidden(errors: Floats, seen: NDArray[np.bool_]) -> dict[str, Scores]:
    """Scores by the share of a face's points that something hides; `seen` (N, K)."""
    return _by_class(errors, 1 - seen.mean(axis=1), HIDDEN)


def _by_class(errors: Floats, values: Floats, classes: Sequence[tuple[str, float, float]]) -> dict[str, Scores]:
    """Scores for each (name, low, high) with faces of low < value ≤ high."""
    chosen = {name: (values > low) & (values <= high) for name, low, high in classes}
    return {name: summarise(errors[faces]) for name, faces in chosen.items() if faces.any()}


def by_attribute(errors: Floats, attributes: Sequence[Mapping[str, object]]) -> dict[str, Scores]:
    """Scores for each attribute that some faces have: a true flag by its name, a word as `name=word`."""
    groups: dict[str, list[int]] = {}
    for index, labels in enumerate(attributes):
        for name, value in labels.items():
            if isinstance(value, bool | int | np.integer) and value in (0, 1):
                if value:
                    groups.setdefault(name, []).append(index)
            elif isinstance(value, str):
                groups.setdefault(f"{name}={value}", []).append(index)
    many = {name: rows for name, rows in groups.items() if len(rows) < len(errors) or "=" not in name}
    return {name: summarise(errors[rows]) for name, rows in sorted(many.items()) if len(groups) < 60}


def mean_shape_floor(truth: NDArray[np.floating]) -> Floats:
    """(N, K, 2): the mean shape laid into each true tight box: what a network that sees nothing would say."""
    low, high = np.nanmin(truth, axis=1, keepdims=True), np.nanmax(truth, axis=1, keepdims=True)
    inside = (truth - low) / (high - low)
    known = np.isfinite(inside)
    mean = np.where(known.any(axis=0), np.nansum(inside, axis=0) / np.maximum(known.sum(axis=0), 1), np.nan)
    return np.asarray(mean * (high - low) + low, np.float64)


def jitter(predicted: NDArray[np.floating], truth: NDArray[np.floating], length: Floats) -> float:
    """Frame-to-frame trembling, percent of the normaliser: how much the error vector of a point changes from a frame to
    the next, on average. A steady offset counts for nothing, since it is not seen.

    Args:
        predicted, truth: (frames, K, 2) of one video, in order.
        length: (frames,) the normaliser.
    """
    offset = (np.asarray(predicted, np.float64) - truth) / length[:, None, None]
    change = np.linalg.norm(np.diff(offset, axis=0), axis=-1)
    return 100 * float(np.nanmean(change)) if np.isfinite(change).any() else float("nan")
