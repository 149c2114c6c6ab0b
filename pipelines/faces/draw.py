"""Pictures to look at: points on a face, and many faces on one sheet. RGB uint8 in, RGB uint8 out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.files.storage import write_atomically
from fakeit.pipelines.landmarks import scheme

Pixels = NDArray[np.uint8]
GREEN, RED, WHITE = (60, 230, 90), (255, 70, 60), (255, 255, 255)
_SUBPIXEL = 4  # OpenCV draws at 1/16 of a pixel with this shift


def as_rgb(image: Pixels) -> Pixels:
    """(H, W, 1) or (H, W, 3) → a new (H, W, 3)."""
    return np.ascontiguousarray(np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image.copy())


def draw_landmarks(
    image: Pixels,
    points: NDArray[np.floating],
    scheme_name: str,
    colour: tuple[int, int, int] = GREEN,
    confidence: NDArray[np.floating] | None = None,
) -> Pixels:
    """Points and the lines between them on a copy of `image`.

    Args:
        image: (H, W, 1 or 3) uint8 RGB.
        points: (K, 2), pixels of `image`, NaN where missing.
        scheme_name: says which points a line joins; "none" draws points alone.
        colour: RGB of the points.
        confidence: (K,) in [0, 1]; colours each point from red (0) to `colour` (1).
    """
    canvas = as_rgb(image)
    unit = max(1, round(max(canvas.shape[:2]) / 256))
    fixed = np.where(np.isfinite(points), points, 0) * (1 << _SUBPIXEL)
    fixed = np.clip(np.rint(fixed), -(1 << 29), 1 << 29).astype(np.int64)
    present = np.isfinite(points).all(axis=1)
    for indices, closed in scheme(scheme_name).edges if scheme_name != "none" else ():
        if all(present[i] for i in indices):
            line = fixed[list(indices)].astype(np.int32).reshape(1, -1, 2)
            cv2.polylines(canvas, line, closed, tuple(c // 2 + 90 for c in colour), unit, cv2.LINE_AA, _SUBPIXEL)
    shares = np.clip(np.ones(len(points)) if confidence is None else confidence, 0, 1).astype(np.float64)[:, None]
    shades = np.rint(RED + shares * np.subtract(colour, RED)).astype(int).tolist()
    for index in np.flatnonzero(present):
        shade = shades[index]
        centre = (int(fixed[index, 0]), int(fixed[index, 1]))
        cv2.circle(canvas, centre, round(1.3 * unit * (1 << _SUBPIXEL)), shade, -1, cv2.LINE_AA, _SUBPIXEL)
    return canvas


def contact_sheet(tiles: Sequence[Pixels], columns: int, side: int, captions: Sequence[str] = ()) -> Pixels:
    """Tiles (h, w, 1 or 3), each fitted into `side`×`side`, in rows of `columns`, with optional captions."""
    rows = max(1, -(-len(tiles) // columns))
    sheet = np.full((rows * side, columns * side, 3), 24, np.uint8)
    for index, tile in enumerate(tiles):
        y, x = index // columns * side, index % columns * side
        scale = side / max(tile.shape[:2])
        width, height = max(1, round(tile.shape[1] * scale)), max(1, round(tile.shape[0] * scale))
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        fitted = cv2.resize(as_rgb(tile), (width, height), interpolation=how)
        sheet[y : y + height, x : x + width] = fitted
        if index < len(captions):
            caption(sheet[y : y + side, x : x + side], captions[index])
    return sheet


def caption(canvas: Any, text: str) -> None:
    """Writes `text` at the bottom left of `canvas`, in place, white on a dark edge."""
    scale = max(0.32, canvas.shape[1] / 480)
    at = (3, canvas.shape[0] - 5)
    for colour, width in (((0, 0, 0), 3), (WHITE, 1)):
        cv2.putText(canvas, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, width, cv2.LINE_AA)


def write_image(path: str, image: Pixels) -> None:
    """Writes RGB (H, W, 3) to a file whose ending says the format; it appears whole or not at all. Raises OSError."""
    ending = os.path.splitext(path)[1].lower()
    try:
        data = cv2.imencode(ending, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()
    except cv2.error as error:
        raise OSError(f"{path}: could not be written ({error.err})") from error
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with write_atomically(path, durable=False) as file:
        file.write(data)
