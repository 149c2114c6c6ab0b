"""benchmarks/realism.py: a set lies nowhere from itself, and further the more it differs."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from realism_measures import SIDE, Faces, distances, features, kernel_distance, pixel_figures, spectrum, square


def _faces(seed: int, brighter: float = 0.0, wider: float = 1.0) -> Faces:
    random = np.random.default_rng(seed)
    shape = np.random.default_rng(7).normal(0, 30, (68, 2))
    points = shape * [wider, 1] + random.normal(0, 2, (80, 68, 2))
    pixels = np.stack([random.normal(100 + brighter, 10, 80), *random.normal(0.4, 0.1, (3, 80))], axis=1)
    features = random.normal(brighter / 30, 1, (80, 16))
    return Faces(points, pixels, random.normal(0, 0.1, (80, 32)), features, np.ones(80, bool))


def test_distances_grow_with_what_differs() -> None:
    real = _faces(0)
    same, moved = distances(_faces(1), real), distances(_faces(1, brighter=30, wider=1.3), real)
    assert distances(real, real)["luminance"] == 0
    assert same["luminance"] < 0.4 < 2.5 < moved["luminance"]
    assert moved["shape modes"] > 2 * same["shape modes"]
    assert abs(same["kernel"]) < 0.1 * moved["kernel"]
    assert moved["saturation"] < 0.4


def test_the_kernel_distance_is_unbiased() -> None:
    random = np.random.default_rng(3)
    apart = [kernel_distance(random.normal(size=(40, 8)), random.normal(size=(60, 8))) for _ in range(60)]
    assert abs(np.mean(apart)) < 3 * np.std(apart) / np.sqrt(60)


def test_a_face_s_square_holds_its_points_in_the_middle() -> None:
    image = np.zeros((300, 400, 3), np.uint8)
    image[100:200, 150:250] = (200, 100, 50)
    face = square(image, np.array([[150.0, 100.0], [249.0, 199.0]]))
    assert face.shape == (SIDE, SIDE, 3)
    margin = round(SIDE * (1 - 1 / 1.3) / 2)
    assert (face[SIDE // 2, margin + 4 : -margin - 4] == (200, 100, 50)).all() and not face[4, 4].any()
    light, saturation, contrast, warmth = pixel_figures(face)
    assert 50 < light < 120 and 0.3 < saturation < 0.75 and contrast > 0 and warmth > 0.5


def test_noise_has_more_of_the_high_frequencies() -> None:
    random = np.random.default_rng(0)
    ramp = np.repeat(np.linspace(0, 200, SIDE)[None, :, None], SIDE, 0).repeat(3, 2)
    smooth, rough = (spectrum((ramp + random.normal(0, s, ramp.shape)).clip(0, 255).astype(np.uint8)) for s in (1, 30))
    assert rough[-5:].mean() > smooth[-5:].mean() + 1


def test_features_come_from_the_detector_s_own_network() -> None:
    faces = [np.random.default_rng(i).integers(0, 255, (SIDE, SIDE, 3)).astype(np.uint8) for i in range(3)]
    made = features(faces)
    assert made.shape == (3, 256) and made.std() > 0
    assert np.allclose(made[1:], features(faces[1:]), atol=1e-4)
