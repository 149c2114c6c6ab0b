"""A shard is the same bytes on any processor: made here as if on others, by what libraries let be switched off."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from fakeit.pipelines.faces.matrix import (
    determinant,
    direction,
    inverse,
    product,
    sine_cosine,
    square_onto,
    transform,
)  # fmt: skip

ROOT = Path(__file__).resolve().parents[3]
EVERYTHING = """
seed = 1
[source]
kind = "face_synthetics"
[crop]
size = 64
align = "eyes"
equalise = "clahe"
[split]
val = 0.0
test = 0.0
[augment]
variants = 8
"""
BLOCKS = {
    "rotation": (-30, 30), "scale": (0.9, 1.1), "shift": (-0.05, 0.05), "perspective": (0, 0.08), "flip": (0, 0),
    "gamma": (0.6, 1.6), "contrast": (0.6, 1.4), "brightness": (-0.2, 0.2), "saturation": (0.5, 1.5), "hue": (-20, 20),
    "blur": (0.3, 1.5), "motion_blur": (2, 6), "downscale": (1, 3), "shot_noise": (0, 0.05), "iso_noise": (0, 0.02),
    "jpeg": (40, 90), "grey": (0, 0), "patches": (0.05, 0.2), "bars": (0.02, 0.1),
}  # fmt: skip
MAKE = """
import hashlib, json, sys
from fakeit.pipelines.config import load
from fakeit.pipelines.flows.preprocess_config import PreprocessConfig
from fakeit.pipelines.flows.shard_plan import plan_tasks
from fakeit.pipelines.flows.shard_task import make_rows
from fakeit.pipelines.sources import open_source
config = load(sys.argv[1], PreprocessConfig, [])
source = open_source("face_synthetics", sys.argv[2])
[task] = plan_tasks(source.samples(), source, config)
rows, rejected = make_rows(task)
assert not rejected
columns = {name: value.tobytes() for name, value in rows.items() if name != "image_id"}
print(json.dumps({name: hashlib.sha256(value).hexdigest() for name, value in columns.items()}))
"""
NO_AVX512 = "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL"
OLD = {  # a processor of 2008: no AVX, no fused multiplication
    "OPENBLAS_CORETYPE": "Nehalem",
    "NPY_DISABLE_CPU_FEATURES": f"{NO_AVX512} AVX2 FMA3",
    "OPENCV_CPU_DISABLE": "AVX,FP16,AVX2,AVX512-SKX",
    "OPENCV_IPP": "sse42",
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F,-AVX2,-AVX,-FMA",
    "JSIMD_FORCESSE2": "1",
}
OTHERS = {
    "Haswell": {"OPENBLAS_CORETYPE": "Haswell", "NPY_DISABLE_CPU_FEATURES": NO_AVX512},
    "SkylakeX": {"OPENBLAS_CORETYPE": "SkylakeX"},
    "no-OpenCV-AVX2": {"OPENCV_CPU_DISABLE": "AVX2,AVX512-SKX"},
    "no-IPP": {"OPENCV_IPP": "disabled"},
}


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A conf with every augmentation, and four pictures (JPEG's blocks and averaging in them) with their points."""
    folder = tmp_path_factory.mktemp("processors")
    blocks = [f"[augment.{name}]\nrange = [{low}, {high}]\nprobability = 0.7\n" for name, (low, high) in BLOCKS.items()]
    (folder / "all.toml").write_text(EVERYTHING + "\n".join(blocks))
    faces, random = folder / "faces", np.random.default_rng(3)
    faces.mkdir()
    for index in range(4):
        pixels = np.kron(random.integers(0, 255, (30, 30, 3), np.uint8), np.ones((8, 8, 1), np.uint8))
        cv2.imwrite(str(faces / f"{index}.png"), pixels + random.integers(0, 9, pixels.shape, np.uint8))
        points = 120 + random.uniform(-90, 90, (70, 2)) * (1.0 if index % 2 else 0.4)
        np.savetxt(faces / f"{index}_ldmks.txt", points, fmt="%.3f")
    return folder / "all.toml", faces


def made(given: tuple[Path, Path], processor: dict[str, str]) -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if name not in {*OLD, "OPENBLAS_L2_SIZE"}}
    command = [sys.executable, "-c", MAKE, *map(str, given)]
    done = subprocess.run(command, cwd=ROOT, env=plain | processor, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_an_old_processor_makes_the_same_rows(given: tuple[Path, Path]) -> None:
    """Differed by BLAS (source_from_crop), by numpy's sines (landmarks), by OpenCV's fused multiplication (motion)."""
    assert made(given, OLD) == made(given, {})


@pytest.mark.slow
def test_other_processors_make_the_same_rows(given: tuple[Path, Path]) -> None:
    here = made(given, {})
    for name, processor in OTHERS.items():
        assert made(given, processor) == here, name


def test_sines_and_directions_are_those_of_libm() -> None:
    random = np.random.default_rng(1)
    for degrees in [*random.uniform(-720, 720, 3000).tolist(), 0.0, 30.0, 45.0, -45.0, 135.0, 360.0]:
        sine, cosine = sine_cosine(degrees)
        assert abs(sine - math.sin(math.radians(degrees))) < 4e-15 and abs(sine * sine + cosine * cosine - 1) < 1e-15
        assert abs(cosine - math.cos(math.radians(degrees))) < 4e-15
        x, y = cosine * 3, sine * 3
        assert abs(direction(x, y) - math.degrees(math.atan2(y, x))) < 1e-12
    assert sine_cosine(90) == (1, 0) and sine_cosine(-90) == (-1, 0) and sine_cosine(180) == (0, -1)
    assert direction(0, 0) == 0 and math.isnan(direction(math.nan, 1)) and direction(-1, 0) == 180


def test_matrices_are_those_of_lapack() -> None:
    random = np.random.default_rng(2)
    points = random.uniform(0, 500, (70, 2)).astype(np.float32)
    points[3] = np.nan
    for _ in range(200):
        a, b = random.normal(size=(2, 3, 3))
        assert np.allclose(product(a, b), a @ b, rtol=1e-13)
        assert np.allclose(inverse(a) @ a, np.eye(3), atol=1e-9)
        assert np.isclose(determinant(a[:2, :2]), np.linalg.det(a[:2, :2]))
        homogeneous = np.column_stack([points, np.ones(70)]) @ a.T
        moved = transform(points, a)
        assert np.allclose(moved, homogeneous[:, :2] / homogeneous[:, 2:], rtol=1e-9, equal_nan=True)
        assert np.isnan(moved[3]).all() and np.isfinite(moved[4]).all()


def test_a_square_goes_onto_four_points() -> None:
    corners = np.array([[-32, -32], [32, -32], [32, 32], [-32, 32]], np.float32)
    moved = corners + np.random.default_rng(4).uniform(-6, 6, (4, 2)).astype(np.float32)
    found = square_onto(moved, 32.0)
    assert np.allclose(found, cv2.getPerspectiveTransform(corners, moved), atol=1e-9)
    assert np.allclose(transform(corners, found), moved, atol=1e-4)
