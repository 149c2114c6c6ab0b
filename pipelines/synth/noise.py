"""Textures of noise, made once a process from a fixed seed; faces differ in where and how large they sample them."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 512  # tiles repeat after this many texels; a power of two, so that wrapping is one mask
STEP = 1 / 24  # of `byte_tiles`, whose values lie within ±5.3


def _fractal(
    random: np.random.Generator, scales: tuple[int, ...], amplitudes: tuple[float, ...]
) -> NDArray[np.float32]:
    total = np.zeros((SIDE, SIDE), np.float32)
    for scale, amplitude in zip(scales, amplitudes, strict=True):
        cells = random.standard_normal((SIDE // scale, SIDE // scale)).astype(np.float32)
        wrapped = np.pad(cells, 2, mode="wrap")
        large = cv2.resize(wrapped, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        total += amplitude * large[2 * scale : 2 * scale + SIDE, 2 * scale : 2 * scale + SIDE]
    return np.asarray(total / total.std(), np.float32)


@lru_cache(maxsize=1)
def tiles() -> NDArray[np.float32]:
    """(4, SIDE, SIDE) float32 of mean 0 and deviation 1: fine grain, blotches, large patches, vertical strands."""
    random = np.random.default_rng(20240229)
    strands = cv2.GaussianBlur(
        np.tile(random.standard_normal((SIDE, SIDE)).astype(np.float32), (3, 1)), (0, 0), sigmaX=0.9, sigmaY=12
    )[SIDE : 2 * SIDE]
    return np.ascontiguousarray(
        np.stack(
            [
                _fractal(random, (1, 2, 4), (0.6, 1.0, 0.7)),
                _fractal(random, (8, 16, 32), (0.6, 1.0, 1.0)),
                _fractal(random, (64, 128), (0.6, 1.0)),
                strands / strands.std(),
            ]
        ),
        np.float32,
    )


@lru_cache(maxsize=1)
def byte_tiles() -> NDArray[np.int8]:
    """`tiles` in steps of `STEP`, (4, SIDE, SIDE) int8: looking them up costs memory, and these are a quarter."""
    return np.clip(np.rint(tiles() / STEP), -127, 127).astype(np.int8)
