"""A head as data: a mesh, how it varies, where its points and eyes are. The renderer treats all heads alike.

Two makers stand behind it: `builtin` (our own, no files) and `ict` (the ICT Face Model Light, downloaded by the user).
Units are centimetres: x to the viewer's right, y up, z towards the viewer.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class Material(IntEnum):
    """What a triangle is made of."""

    FACE = 0
    SCALP = 1
    TEETH = 2
    GUMS = 3
    LEFT_EYE = 4  # at the viewer's left
    RIGHT_EYE = 5


@dataclass(frozen=True)
class Head:
    """A head model.

    Attributes:
        neutral: (V, 3) vertices of the mean face at rest.
        canonical: (V, 3) the same vertices in the frame that lips, brows, beard and hair are painted in; where mouth
            and eyes are open.
        triangles: (T, 3) int32, counter-clockwise from outside.
        material: (T,) int32 of Material.
        identity: (M, V·3) float32, modes of unit standard deviation.
        expressions: (E, V·3) float32, displacements at full strength.
        expression_names: E names, as Apple's ARKit names them.
        landmarks: (70,) vertex indices of the points; the pupils (68, 69) are −1 where `eyes` gives them.
        eyes: (2, 4) centre and radius of the eyeballs, viewer's left first.
        painted: eyes and mouth are painted on the surface (there are no eyeballs and teeth).
    """

    neutral: Floats
    canonical: Floats
    triangles: NDArray[np.int32]
    material: NDArray[np.int32]
    identity: Floats
    expressions: Floats
    expression_names: tuple[str, ...]
    landmarks: NDArray[np.int64]
    eyes: Floats
    painted: bool

    @cached_property
    def eyeballs(self) -> NDArray[np.int64]:
        """Indices of the eyeballs' vertices; empty where eyes are painted."""
        made_of = np.isin(self.material, (Material.LEFT_EYE, Material.RIGHT_EYE))
        return np.unique(self.triangles[made_of]).astype(np.int64)

    def shape(self, identity: Floats, expression: dict[str, float]) -> Floats:
        """Vertices (V, 3) for identity coefficients (≤ M,) and expression strengths by name; unknown names are left
        out (a head has the expressions it has)."""
        vertices = self.neutral.reshape(-1) + identity @ self.identity[: len(identity)]
        for name, strength in expression.items():
            if strength and name in self.expression_names:
                vertices += np.float32(strength) * self.expressions[self.expression_names.index(name)]
        return np.asarray(vertices.reshape(-1, 3), np.float32)
