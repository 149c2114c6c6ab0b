"""Highlights as small pictures of the surface's normal: what surroundings and lamps add on skin and on wet eyes.

Skin has two lobes (a broad one of its oily layer, a tight one), both Fresnel's; an eye mirrors. Each picture is looked
up by the x and y of the normal that faces half way between viewer and light, so that shading a pixel costs one look-up
whatever the light. Channels are RGB and, apart because it may be shadowed, the first lamp's strength.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.synth.light import Lighting

Floats = NDArray[np.float32]
SIDE = 32
_BASE = 0.028  # of skin's reflectance at normal incidence; a tear film has about the same
_LOBES = (11.0, 55.0)  # Blinn's exponents
_VEIL = 1.2  # light, of which half is not mirrored by an eye
_CATCH = 0.985  # cosine of a lamp's half width in an eye, 10°


def highlights(lighting: Lighting) -> tuple[Floats, Floats]:
    """Skin's (2, SIDE, SIDE, 4), broad lobe first, and the eye's (SIDE, SIDE, 4)."""
    normal, mirrored, grazing = _surfaces()
    skin = np.zeros((2, SIDE, SIDE, 4), np.float32)
    eye = np.zeros((SIDE, SIDE, 4), np.float32)
    for lobe, (level, most) in enumerate(((2, 0.05), (1, 0.06))):
        reflectance = _BASE + (1 - _BASE) * most * grazing
        skin[lobe, ..., :3] = _surroundings(lighting, mirrored, level) * reflectance[..., None]
    around = _surroundings(lighting, mirrored, 0)
    bright = around / (around + _VEIL)  # lids, brows and who looks stand before most of it: a veil over the pupil
    eye[..., :3] = around * bright * (_BASE + 0.5 * grazing)[..., None] * 1.3
    for lamp, (direction, colour) in enumerate(zip(lighting.directions, lighting.colours, strict=True)):
        halfway = direction + np.array([0, 0, 1], np.float32)
        cosine = np.maximum(normal @ (halfway / (np.linalg.norm(halfway) + 1e-6)), 0)
        channels, tone = (np.s_[3:], np.ones(1)) if lamp == 0 else (np.s_[:3], colour)
        facing = np.clip(3 * (normal @ direction), 0, 1)
        for lobe, sharpness in enumerate(_LOBES):
            strength = (sharpness + 8) / 8 * cosine**sharpness * (_BASE + 0.06 * grazing) * facing
            skin[lobe, ..., channels] += strength[..., None] * tone
        shape = np.clip((mirrored @ direction - _CATCH) / (1 - _CATCH) * 3, 0, 1)
        eye[..., channels] += (1.1 * shape)[..., None] * tone
    return skin, eye


@lru_cache(maxsize=1)
def _surfaces() -> tuple[Floats, Floats, Floats]:
    """Normals (SIDE, SIDE, 3), where each mirrors the viewer to, and how grazing it is (SIDE, SIDE)."""
    axis = np.linspace(-1, 1, SIDE, dtype=np.float32)
    x, y = np.broadcast_to(axis[None, :], (SIDE, SIDE)), np.broadcast_to(axis[:, None], (SIDE, SIDE))
    z = np.sqrt(np.maximum(1 - x * x - y * y, 0))
    normal = np.stack([x, y, z], axis=2) / np.maximum(np.sqrt(x * x + y * y + z * z), 1e-6)[..., None]
    mirrored = 2 * normal[..., 2:] * normal - np.array([0, 0, 1], np.float32)
    grazing = (1 - normal[..., 2]) ** 4 * np.clip(4 * normal[..., 2], 0, 1)  # skin is too rough to mirror at its edge
    return normal, mirrored, grazing


def _surroundings(lighting: Lighting, directions: Floats, level: int) -> Floats:
    if lighting.around is not None:
        return lighting.around.seen(level, directions) * lighting.balance
    x, y, z = np.moveaxis(directions, 2, 0)
    basis = np.stack([np.ones_like(x), y, z, x, x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y], axis=2)
    return np.asarray(np.maximum(basis @ lighting.harmonics, 0), np.float32)
