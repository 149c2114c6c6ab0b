"""What is behind a head: the place that lights it, plain walls, clutter, a user's own pictures. Made small."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.files.file_names import is_picture
from fakeit.pipelines.files.image_io import read_image
from fakeit.pipelines.files.storage import join_member
from fakeit.pipelines.files.walking import list_inputs
from fakeit.pipelines.synth.camera import Camera
from fakeit.pipelines.synth.config import BackgroundConfig
from fakeit.pipelines.synth.environment import Surroundings
from fakeit.pipelines.synth.light import Lighting
from fakeit.pipelines.synth.noise import tiles

Floats = NDArray[np.float32]
DRAWN = 160  # pixels of the side that clutter is drawn at


@lru_cache(maxsize=4)
def pictures_below(folder: str) -> tuple[str, ...]:
    """The user's own backgrounds, listed once a process. Raises FakeitError where there is none."""
    found = [join_member(folder, name) for name in list_inputs(folder).files if is_picture(name)]
    if not found:
        raise FakeitError(f"background.folder {folder}: no pictures below it")
    return tuple(found)


def draw_background(
    config: BackgroundConfig, random: np.random.Generator, size: int, lighting: Lighting, camera: Camera
) -> Floats:
    """(size, size, 3) float32 linear RGB: the place that lights the face, a user's picture, or clutter."""
    own, measured = random.random() < 0.5, random.random() < config.place
    if config.folder and own:
        pictures = pictures_below(config.folder)
        picture = read_image(pictures[random.integers(len(pictures))]).astype(np.float32) / 255
        image = _random_square(picture, random)
    elif lighting.around is not None and measured:
        return _place(lighting.around, lighting.balance, random, size, camera)
    else:
        image = _clutter(config, random)
    grey = image.mean(axis=2, keepdims=True)
    image = np.clip(grey + (image - grey) * np.float32(random.uniform(0.05, 0.4)), 0, 1)
    image = image * image * np.float32(random.uniform(0.2, 1.2))
    return np.asarray(cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR), np.float32)


def _place(around: Surroundings, balance: Floats, random: np.random.Generator, size: int, camera: Camera) -> Floats:
    """A panorama as the camera sees it, out of focus; grain gives back some of the detail that it lacks."""
    reach = 0.5 * size / camera.focal * random.uniform(0.9, 1.6)
    image = around.behind(DRAWN, reach, random.normal(0.02, 0.08))
    blur = float(np.exp(random.uniform(np.log(0.5), np.log(6))))
    image = cv2.GaussianBlur(image, (0, 0), blur) * balance * np.float32(np.exp(random.normal(-0.2, 0.25)))
    return np.asarray(cv2.resize(image, (size, size), interpolation=cv2.INTER_CUBIC), np.float32).clip(0)


def _random_square(picture: Floats, random: np.random.Generator) -> Floats:
    height, width = picture.shape[:2]
    side = int(min(height, width) * random.uniform(0.4, 1))
    y, x = random.integers(0, height - side + 1), random.integers(0, width - side + 1)
    square = picture[y : y + side, x : x + side]
    return np.asarray(cv2.resize(square, (2 * DRAWN, 2 * DRAWN), interpolation=cv2.INTER_AREA), np.float32)


def _clutter(config: BackgroundConfig, random: np.random.Generator) -> Floats:
    image = np.empty((DRAWN, DRAWN, 3), np.float32)
    image[:] = random.random(3) * random.uniform(0.2, 1)
    if random.random() < config.plain:
        ramp = np.linspace(0, random.normal(0, 0.3), DRAWN, dtype=np.float32)
        return np.asarray(image + (ramp[:, None, None] if random.random() < 0.5 else ramp[None, :, None]), np.float32)
    for _ in range(int(random.integers(*config.shapes))):
        colour = random.random(3).tolist()
        place = (random.uniform(-0.2, 1.2, (4, 2)) * DRAWN).astype(np.int32)
        kind = random.random()
        if kind < 0.45:
            cv2.fillConvexPoly(image, cv2.convexHull(place), colour)
        elif kind < 0.75:
            axes = (random.uniform(0.02, 0.4, 2) * DRAWN + 1).astype(int).tolist()
            cv2.ellipse(image, place[0].tolist(), axes, random.uniform(0, 180), 0, 360, colour, -1)
        elif kind < 0.9:
            cv2.line(image, place[0].tolist(), place[1].tolist(), colour, int(random.integers(1, 9)))
        else:  # bars: shelves, blinds, fences
            for x in range(0, DRAWN, int(random.integers(6, 30))):
                cv2.line(image, (x, 0), (x + place[1, 0] - place[0, 0], DRAWN), colour, int(random.integers(1, 5)))
    tile = tiles()[random.integers(0, 3)]
    y, x = random.integers(0, len(tile) - DRAWN, 2)
    image += tile[y : y + DRAWN, x : x + DRAWN, None] * np.float32(random.uniform(0, 0.12))
    blur = float(random.choice([0.0, 1.0, 2.0, 4.0, 8.0]))
    return np.asarray(cv2.GaussianBlur(image, (0, 0), blur) if blur else image, np.float32)
