"""Where somebody's brows lie: hair, not bone, so they sit higher or lower and begin and end where they like.

The distance of the inner ends of AFW's and HELEN's brows has a standard deviation of 0.075 of that of the outer eye
corners; with ends fixed to the skull it is 0.024, and a network learns that brows have one length (docs/LOG.md).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
_SEGMENTS = np.arange(5.0)  # a brow's five points


class Brows(NamedTuple):
    """One person's.

    Attributes:
        up: (10,) cm that the brow points 17 to 26 sit above their mean place.
        inner, outer: how far brows reach beyond their mean ends, in quarters of their length; below 0 they are shorter.
    """

    up: Floats
    inner: float = 0.0
    outer: float = 0.0

    def along(self, points: NDArray[np.floating]) -> NDArray[np.floating]:
        """Brow points (10, D) at their mean places, in any frame → slid along the line through them."""
        wanted = np.linspace(-self.outer, 4 + self.inner, 5)
        return np.concatenate([_at(points[:5], wanted), _at(points[:4:-1], wanted)[::-1]])

    def at(self, points: NDArray[np.floating]) -> NDArray[np.floating]:
        """Brow points (10, 3) in the head's frame, cm, at their mean places → where this person has them."""
        moved = self.along(points)
        moved[:, 1] += self.up
        return moved


def _at(line: NDArray[np.floating], places: NDArray[np.floating]) -> NDArray[np.floating]:
    """A line through (5, D) points at places counted in its segments; straight on beyond its ends."""
    before = np.clip(np.floor(places), 0, 3).astype(int)
    share = (places - _SEGMENTS[before])[:, None]
    return np.asarray((1 - share) * line[before] + share * line[before + 1], line.dtype)
