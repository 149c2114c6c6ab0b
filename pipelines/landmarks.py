"""Landmark schemes: what each point is called, which is its mirror twin, and how one scheme maps to another.

Every dataset of this field numbers its points in its own way. All that the rest of the code may know about a numbering
stands here, as data (a user's own: `own_scheme.py`): names, mirror pairs, the two outer eye corners (the
usual normaliser of errors), regions, the mappings 98 → 68, 70 → 68 → 15 → 5. "Left" and "right" in names are the
viewer's, except in `kaggle15`, whose own column names use the subject's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.errors import FakeitError

Indices = tuple[int, ...]


@dataclass(frozen=True)
class Scheme:
    """A numbering of K landmarks.

    Attributes:
        name: the scheme's key, as it stands in confs, manifests and checkpoints.
        names: K point names.
        flip: K indices; `points[flip]` reorders the points of a mirrored image.
        left_eye: the point, or points to average, for the outer corner (else centre) of the eye at the viewer's left.
        right_eye: the same for the eye at the viewer's right. Their distance is the inter-ocular normaliser.
        regions: region name → indices.
        edges: polylines for drawing, as (indices, closed).
    """

    name: str
    names: tuple[str, ...]
    flip: Indices
    left_eye: Indices
    right_eye: Indices
    regions: dict[str, Indices]
    edges: tuple[tuple[Indices, bool], ...] = ()

    @property
    def count(self) -> int:
        return len(self.names)

    @property
    def title(self) -> str:
        """What people call it: the name of a scheme of one's own is its whole definition."""
        return self.name.partition(":")[0]


def _span(first: int, last: int) -> Indices:
    return tuple(range(first, last + 1))


def _flip(count: int, pairs: Iterable[tuple[int, int]]) -> Indices:
    order = list(range(count))
    for a, b in pairs:
        order[a], order[b] = b, a
    return tuple(order)


def _named(regions: dict[str, Indices], count: int) -> tuple[str, ...]:
    names = [""] * count
    for region, indices in regions.items():
        for position, index in enumerate(indices):
            names[index] = region if len(indices) == 1 else f"{region}_{position}"
    return tuple(names)


# iBUG 68, https://ibug.doc.ic.ac.uk/resources/facial-point-annotations/
_PAIRS_68 = (
    [(i, 16 - i) for i in range(8)]
    + [(17, 26), (18, 25), (19, 24), (20, 23), (21, 22), (31, 35), (32, 34)]
    + [(36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46)]
    + [(48, 54), (49, 53), (50, 52), (60, 64), (61, 63), (67, 65), (59, 55), (58, 56)]
)
_REGIONS_68 = {
    "jaw": _span(0, 16),
    "left_brow": _span(17, 21),
    "right_brow": _span(22, 26),
    "nose_bridge": _span(27, 30),
    "nose_base": _span(31, 35),
    "left_eye": _span(36, 41),
    "right_eye": _span(42, 47),
    "outer_lip": _span(48, 59),
    "inner_lip": _span(60, 67),
}
_CLOSED = {"left_eye", "right_eye", "outer_lip", "inner_lip"}


def _edges(regions: dict[str, Indices]) -> tuple[tuple[Indices, bool], ...]:
    return tuple((indices, name in _CLOSED) for name, indices in regions.items() if len(indices) > 1)


_REGIONS_70 = {**_REGIONS_68, "left_pupil": (68,), "right_pupil": (69,)}

# WFLW 98, https://wywu.github.io/projects/LAB/WFLW.html
_REGIONS_98 = {
    "jaw": _span(0, 32),
    "left_brow": _span(33, 41),
    "right_brow": _span(42, 50),
    "nose_bridge": _span(51, 54),
    "nose_base": _span(55, 59),
    "left_eye": _span(60, 67),
    "right_eye": _span(68, 75),
    "outer_lip": _span(76, 87),
    "inner_lip": _span(88, 95),
    "left_pupil": (96,),
    "right_pupil": (97,),
}
_PAIRS_98 = (
    [(i, 32 - i) for i in range(16)]
    + [(33, 46), (34, 45), (35, 44), (36, 43), (37, 42), (38, 50), (39, 49), (40, 48), (41, 47), (55, 59), (56, 58)]
    + [(60, 72), (61, 71), (62, 70), (63, 69), (64, 68), (65, 75), (66, 74), (67, 73)]
    + [(76, 82), (77, 81), (78, 80), (87, 83), (86, 84), (88, 92), (89, 91), (95, 93), (96, 97)]
)

# The order of the coordinate columns of Kaggle's Facial Keypoints Detection; left and right are the subject's.
KAGGLE_NAMES = (
    "left_eye_center",
    "right_eye_center",
    "left_eye_inner_corner",
    "left_eye_outer_corner",
    "right_eye_inner_corner",
    "right_eye_outer_corner",
    "left_eyebrow_inner_end",
    "left_eyebrow_outer_end",
    "right_eyebrow_inner_end",
    "right_eyebrow_outer_end",
    "nose_tip",
    "mouth_left_corner",
    "mouth_right_corner",
    "mouth_center_top_lip",
    "mouth_center_bottom_lip",
)

SCHEMES: dict[str, Scheme] = {
    s.name: s
    for s in (
        Scheme(
            "face70",
            _named(_REGIONS_70, 70),
            _flip(70, [*_PAIRS_68, (68, 69)]),
            (36,),
            (45,),
            _REGIONS_70,
            _edges(_REGIONS_70),
        ),
        Scheme("ibug68", _named(_REGIONS_68, 68), _flip(68, _PAIRS_68), (36,), (45,), _REGIONS_68, _edges(_REGIONS_68)),
        Scheme(
            "wflw98",
            _named(_REGIONS_98, 98),
            _flip(98, _PAIRS_98),
            (60,),
            (72,),
            _REGIONS_98,
            _edges({**_REGIONS_98, "left_brow": _span(33, 41), "right_brow": _span(42, 50)}),
        ),
        Scheme(
            "kaggle15",
            KAGGLE_NAMES,
            _flip(15, [(0, 1), (2, 4), (3, 5), (6, 8), (7, 9), (11, 12)]),
            (5,),
            (3,),
            {"eyes": _span(0, 5), "brows": _span(6, 9), "nose": (10,), "mouth": _span(11, 14)},
        ),
        Scheme(
            "five",
            ("left_eye", "right_eye", "nose_tip", "mouth_left", "mouth_right"),
            _flip(5, [(0, 1), (3, 4)]),
            (0,),
            (1,),
            {"eyes": (0, 1), "nose": (2,), "mouth": (3, 4)},
        ),
        Scheme("none", (), (), (), (), {}),
    )
}

# (source, target) → for each target point the source points whose mean it is.
_MAPPINGS: dict[tuple[str, str], tuple[Indices, ...]] = {
    ("face70", "ibug68"): tuple((i,) for i in range(68)),
    ("wflw98", "ibug68"): tuple(
        (i,)
        for i in (
            *range(0, 33, 2),
            *range(33, 38),
            *range(42, 47),
            *range(51, 60),
            *(60, 61, 63, 64, 65, 67, 68, 69, 71, 72, 73, 75),
            *range(76, 96),
        )
    ),
    ("ibug68", "kaggle15"): (
        _span(42, 47),
        _span(36, 41),
        *((i,) for i in (42, 45, 39, 36, 22, 26, 21, 17, 30, 54, 48, 51, 57)),
    ),
    ("kaggle15", "five"): ((1,), (0,), (10,), (12,), (11,)),
}


def scheme(name: str) -> Scheme:
    """The scheme called `name`, or of one's own (`own_scheme.py`). Raises FakeitError naming the known ones."""
    if name in SCHEMES:
        return SCHEMES[name]
    from fakeit.pipelines.own_scheme import is_own, own_scheme

    if is_own(name):
        return own_scheme(name)
    known = ", ".join(SCHEMES)
    raise FakeitError(f"landmark scheme '{name}' is unknown; known are {known}, and files that end in .toml")


@cache
def mapping(source: str, target: str) -> tuple[Indices, ...]:
    """For each point of `target` the indices of the `source` points whose mean it is.

    Raises:
        FakeitError: if no chain of mappings leads from `source` to `target`.
    """
    if source == target:
        return tuple((i,) for i in range(scheme(source).count))
    for (start, middle), step in _MAPPINGS.items():
        if start != source:
            continue
        try:
            rest = mapping(middle, target)
        except FakeitError:
            continue
        return tuple(tuple(i for j in indices for i in step[j]) for indices in rest)
    raise FakeitError(f"points of scheme '{scheme(source).name}' cannot be mapped to '{scheme(target).name}'")


def convert(points: NDArray[np.floating], source: str, target: str) -> NDArray[np.floating]:
    """Maps points from one scheme to another.

    Args:
        points: (..., K, 2) in any frame, NaN where missing.
        source: scheme of `points`.
        target: scheme wanted.

    Returns:
        (..., K', 2), same dtype and frame; a mean over a missing point is missing.
    """
    if source == target:
        return points
    gathered, starts, counts = _gathering(source, target)
    sums: NDArray[np.floating] = np.add.reduceat(points[..., gathered, :], starts, axis=-2)
    return (sums / counts).astype(points.dtype, copy=False)


@cache
def _gathering(source: str, target: str) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """`mapping` for arrays: all indices one after the other, where each target point's begin, and how many (K', 1)."""
    indices = mapping(source, target)
    counts = np.array([len(i) for i in indices])
    return np.concatenate(indices), np.cumsum(counts) - counts, counts[:, None].astype(np.float32)


def eye_corners(points: NDArray[np.floating], name: str) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """The outer eye corners (or eye centres, where a scheme has no more) of points (..., K, 2): two arrays (..., 2)."""
    known = scheme(name)
    return points[..., list(known.left_eye), :].mean(axis=-2), points[..., list(known.right_eye), :].mean(axis=-2)
