"""A head as data: a mesh, how it varies, where its points and eyes are. The renderer treats all heads alike.

Two makers stand behind it: `builtin` (our own, no files) and `ict` (the ICT Face Model Light, downloaded by the user).
Units are centimetres: x to the viewer's right, y up, z towards the viewer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from fakeit.pipelines.synth.people import People

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
        people: who draws identities, on a coarse mesh of N vertices, where modes do not.
        refine: (V, N) of that mesh's vertices in these.
        offset: (V, 3) cm that come on top.
        dense: (400,) vertex indices of the dense points (`places`), or none.
        uv: (T, 3, 2) texels of the skin's picture at the triangles' corners, where the head has one.
        texels: (68, 2) of the points.
        file: the pack that the pictures are in.
        lashes: (L, 3) triangles of cards, and `lash_uv` (L, 3, 2) their places on an alpha picture.
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
    people: People | None = None
    refine: csr_matrix | None = None
    offset: Floats | None = None
    dense: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    uv: Floats | None = None
    texels: Floats = field(default_factory=lambda: np.zeros((0, 2), np.float32))
    file: str = ""
    lashes: NDArray[np.int32] = field(default_factory=lambda: np.zeros((0, 3), np.int32))
    lash_uv: Floats = field(default_factory=lambda: np.zeros((0, 3, 2), np.float32))

    @cached_property
    def eyeballs(self) -> NDArray[np.int64]:
        """Indices of the eyeballs' vertices; empty where eyes are painted."""
        made_of = np.isin(self.material, (Material.LEFT_EYE, Material.RIGHT_EYE))
        return np.unique(self.triangles[made_of]).astype(np.int64)

    @cached_property
    def teeth(self) -> NDArray[np.int64]:
        """Indices of the teeth's vertices."""
        return np.unique(self.triangles[self.material == Material.TEETH]).astype(np.int64)

    @cached_property
    def _eye_cones(self) -> tuple[tuple[NDArray[np.int32], NDArray[np.float64]], ...]:
        """Of each eye its triangles (E, 3) and (E, 3, 3) matrices that give a way from its centre, canonical frame, as
        shares of their corners: all positive for a way through the triangle. Of painted eyes all that lies before
        them; ways there are (x, y, 1), in radii."""
        cones = []
        for made_of, eye in zip((Material.LEFT_EYE, Material.RIGHT_EYE), self.eyes, strict=True):
            corners = (self.canonical[self.triangles] - eye[:3]).astype(np.float64)
            if self.painted:
                near = np.abs(corners[..., :2]).max(axis=(1, 2)) < 2 * eye[3]
                mine = near & (self.canonical[self.triangles, 2].min(axis=1) > 0)  # not the back of the head
                corners[..., 2] = eye[3]
            else:
                mine = self.material == made_of
            mine &= np.abs(np.linalg.det(corners)) > 1e-9
            cones.append((self.triangles[mine], np.linalg.inv(corners[mine].transpose(0, 2, 1))))
        return tuple(cones)

    def pupils(self, vertices: Floats, gaze: Floats) -> Floats:
        """(2, 3) where the irises' middles lie on a face with these vertices (V, 3): in the triangles that the gaze,
        a unit vector (3,), goes through on its way out of the eyes at rest: `shade` draws irises by canonical places.
        """
        way = np.array([gaze[0], gaze[1], 1.0 if self.painted else gaze[2]])
        found = []
        for triangles, cones in self._eye_cones:
            shares = cones @ way
            shares /= np.abs(shares).sum(axis=1, keepdims=True)
            met = int(shares.min(axis=1).argmax())
            share = np.maximum(shares[met], 0)
            found.append((share / share.sum()) @ vertices[triangles[met]])
        return np.asarray(found, np.float32)

    def shape(self, identity: Floats, expression: dict[str, float]) -> Floats:
        """Vertices (V, 3) for identity coefficients (≤ M,) and expression strengths by name; unknown names are left
        out (a head has the expressions it has)."""
        vertices = self.neutral.reshape(-1) + identity @ self.identity[: len(identity)]
        for name, strength in expression.items():
            if strength and name in self.expression_names:
                vertices += np.float32(strength) * self.expressions[self.expression_names.index(name)]
        return np.asarray(vertices.reshape(-1, 3), np.float32)

    def fine(self, coarse: Floats) -> Floats:
        """Vertices (V, 3) of a mesh (N, 3) of `people`."""
        assert self.refine is not None and self.offset is not None
        return np.asarray(self.refine @ coarse + self.offset, np.float32)


def grid_triangles(grid: NDArray[np.int64]) -> NDArray[np.int64]:
    """Two triangles (2 · cells, 3) a cell of a grid (R, C) of vertices; its rows run upwards, its columns to the right
    seen from outside."""
    a, b, c, d = grid[:-1, :-1], grid[:-1, 1:], grid[1:, :-1], grid[1:, 1:]
    return np.concatenate([np.stack([a, b, d], -1).reshape(-1, 3), np.stack([a, d, c], -1).reshape(-1, 3)])
