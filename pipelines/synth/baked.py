"""What follows from a head alone and takes a while: made once a process and kept beside the head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.synth.head import Head, Material
from fakeit.pipelines.synth.light import openness
from fakeit.pipelines.synth.paint import SIDE, to_texels
from fakeit.pipelines.synth.strands import areas

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Baked:
    """Of one head.

    Attributes:
        opened: (V,) `light.openness`.
        size: (T,) areas of its triangles, mean face, cm².
        front: (F,) triangles of the face's front, where beards and brows may grow.
        casting: (C, 3) the triangles that cast shadows: what lies within the head casts none.
        texels: (F, 2) where their middles lie on the layers of `paint`, x and y.
    """

    opened: Floats
    size: Floats
    front: NDArray[np.int64]
    texels: NDArray[np.int64]
    casting: NDArray[np.int32]


_KEPT: dict[int, tuple[Head, Baked]] = {}


def baked(head: Head) -> Baked:
    """What was made of this head, or is now (half a second)."""
    known = _KEPT.get(id(head))
    if known is None or known[0] is not head:
        if len(_KEPT) > 2:
            _KEPT.clear()
        known = _KEPT[id(head)] = (head, _bake(head))
    return known[1]


def _bake(head: Head) -> Baked:
    middle = head.canonical[head.triangles].mean(axis=1)
    front = np.flatnonzero((head.material <= Material.SCALP) & (middle[:, 2] > 1.5))
    texels = np.clip(np.rint(to_texels(middle[front])), 0, SIDE - 1).astype(np.int64)
    casting = np.ascontiguousarray(head.triangles[head.material < Material.TEETH])
    return Baked(openness(head), areas(head.neutral, head.triangles), front, texels, casting)
