"""benchmarks/realism.py: a set lies nowhere from itself, and further the more it differs."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from realism_measures import (
    PARTS,
    SIDE,
    Faces,
    distances,
    features,
    kernel_distance,
    part_figures,
    pixel_figures,
    spectrum,
    square,
)

from fakeit.pipelines.synth.heads import load_head


def _faces(seed: int, brighter: float = 0.0, wider: float = 1.0) -> Faces:
    random = np.random.default_rng(seed)
    shape = np.random.default_rng(7).normal(0, 30, (68, 2))
    points = shape * [wider, 1] + random.normal(0, 2, (80, 68, 2))
    pixels = np.stack([random.normal(100 + brighter, 10, 80), *random.normal(0.4, 0.1, (3, 80))], axis=1)
    features = random.normal(brighter / 30, 1, (80, 16))
    parts = random.normal(0, 1, (80, len(PARTS)))
    return Faces(points, pixels, parts, random.normal(0, 0.1, (80, 32)), features, np.ones(80, bool))


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
    face, placed = square(image, np.array([[150.0, 100.0], [249.0, 199.0]]))
    assert face.shape == (SIDE, SIDE, 3)
    margin = round(SIDE * (1 - 1 / 1.3) / 2)
    assert (face[SIDE // 2, margin + 4 : -margin - 4] == (200, 100, 50)).all() and not face[4, 4].any()
    assert np.allclose(placed, [[SIDE * (0.5 - 0.5 / 1.3)] * 2, [SIDE * (0.5 + 0.5 / 1.3)] * 2])
    light, saturation, contrast, warmth = pixel_figures(face)
    assert 50 < light < 120 and 0.3 < saturation < 0.75 and contrast > 0 and warmth > 0.5


def test_parts_are_told_by_their_own_pixels() -> None:
    head = load_head("builtin")
    points = head.neutral[head.landmarks[:68], :2] * [4.0, -4.0] + [64.0, 60.0]
    face = np.full((SIDE, SIDE, 3), (160, 110, 90), np.uint8)
    plain = dict(zip(PARTS, part_figures(face, points), strict=True))
    assert all(abs(plain[name]) < 1e-6 for name in PARTS[:5]) and plain["cheeks' a"] > 10 < plain["cheeks' b"]
    for eye in (slice(36, 42), slice(42, 48)):
        cv2.fillPoly(face, [np.rint(points[eye]).astype(np.int32)], (40, 40, 40))
    dark = dict(zip(PARTS, part_figures(face, points), strict=True))
    assert dark["eyes"] < -0.5 > dark["darkest tenth of eyes"] and abs(dark["lips"]) < 1e-6
    grey = part_figures(np.full((SIDE, SIDE, 3), 120, np.uint8), points)
    assert np.isnan(grey[-2:]).all() and np.isfinite(grey[:5]).all()


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
