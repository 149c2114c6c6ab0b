"""Points land where the pixels land, looked for in the picture itself, not in the formula again."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fakeit.pipelines.faces.augment import AugmentConfig, Block, Draw, colour_map, generator
from fakeit.pipelines.faces.box import Box
from fakeit.pipelines.faces.crop import CropConfig, Picture, crop_from_source, equalise, from_unit, to_unit
from fakeit.pipelines.faces.matrix import transform
from fakeit.pipelines.landmarks import SCHEMES, convert, scheme

SPOTS = np.array([[60.3, 70.8], [140.6, 66.2], [100.0, 120.5], [80.7, 150.1]])


def _spots(size: int = 220) -> np.ndarray:
    """Soft white spots of radius 4 on black, with centres at SPOTS."""
    y, x = np.mgrid[0:size, 0:size]
    light = sum(np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * 4.0**2)) for cx, cy in SPOTS)
    return np.repeat((255 * np.clip(light, 0, 1)).astype(np.uint8)[..., None], 3, axis=2)


def _centre(image: np.ndarray, near: np.ndarray, reach: int = 9) -> np.ndarray:
    """Centre of light around a place, pixels."""
    x, y = np.rint(near).astype(int)
    patch = image[y - reach : y + reach + 1, x - reach : x + reach + 1, 0].astype(float)
    rows, columns = np.mgrid[y - reach : y + reach + 1, x - reach : x + reach + 1]
    return np.array([(columns * patch).sum(), (rows * patch).sum()]) / patch.sum()


@pytest.mark.parametrize(
    "augment",
    [
        AugmentConfig(),
        AugmentConfig(rotation=Block((25, 25))),
        AugmentConfig(rotation=Block((-90, -90))),
        AugmentConfig(scale=Block((1.1, 1.1)), shift=Block((-0.05, 0.05))),
        AugmentConfig(flip=Block(), rotation=Block((10, 10))),
        AugmentConfig(perspective=Block((0.06, 0.06)), rotation=Block((5, 5))),
    ],
)
@pytest.mark.parametrize("size", [128, 96])
def test_points_follow_the_pixels(augment: AugmentConfig, size: int) -> None:
    config = CropConfig(size=size, margin=0.25)
    box = Box(55, 60, 90, 95)
    matrix = Draw(augment, generator(1, "a", 0)).matrix(size) @ crop_from_source(box, config)
    crop = Picture(_spots(), "rgb").warp(matrix, size)
    for point in transform(SPOTS, matrix):
        assert np.abs(_centre(crop, point) - point).max() < 0.12


@pytest.mark.parametrize("size", [64, 40])
def test_points_follow_the_pixels_when_shrinking(size: int) -> None:
    config = CropConfig(size=size, margin=0.4)
    matrix = crop_from_source(Box(40, 50, 120, 120), config)
    crop = Picture(_spots(), "grey").warp(matrix, size)
    assert crop.shape == (size, size, 1)
    for point in transform(SPOTS, matrix):
        assert np.abs(_centre(crop, point, reach=3) - point).max() < 0.12


def test_shrinking_averages_instead_of_skipping() -> None:
    """A checkerboard of single pixels becomes grey; point sampling would give black and white (aliasing)."""
    board = (np.indices((512, 512)).sum(axis=0) % 2 * 255).astype(np.uint8)
    matrix = crop_from_source(Box(0, 0, 512, 512), CropConfig(size=64, margin=0))
    crop = Picture(np.repeat(board[..., None], 3, axis=2), "rgb").warp(matrix, 64)
    assert np.abs(crop[2:-2, 2:-2].astype(int) - 127).max() < 3


def test_unit_frame_and_back() -> None:
    points = np.array([[-0.5, -0.5], [127.5, 63.5]])
    assert to_unit(points, 128).tolist() == [[0, 0], [1, 0.5]]
    assert np.allclose(from_unit(to_unit(points, 128), 128), points)
    matrix = crop_from_source(Box(10, 20, 50, 80), CropConfig(size=128), angle=17)
    assert np.allclose(transform(transform(points, matrix), np.linalg.inv(matrix)), points)


def test_a_flip_pairs_every_point_with_its_twin() -> None:
    for known in SCHEMES.values():
        order = np.array(known.flip, int)
        assert np.array_equal(order[order], np.arange(known.count)), known.name
        assert all(0 <= i < known.count for region in known.regions.values() for i in region)


def test_conversions_keep_names_and_gaps() -> None:
    points = np.arange(140, dtype=np.float32).reshape(70, 2)
    assert np.array_equal(convert(points, "face70", "ibug68"), points[:68])
    five = convert(points, "face70", "five")
    assert np.array_equal(five[2], points[30]) and np.array_equal(five[3], points[48])
    wide = convert(np.arange(196, dtype=np.float32).reshape(98, 2), "wflw98", "ibug68")
    assert wide.shape == (68, 2) and wide[8].tolist() == [32.0, 33.0] and wide[36].tolist() == [120.0, 121.0]
    points[30] = np.nan
    assert np.isnan(convert(points, "face70", "kaggle15")[10]).all()
    assert scheme("kaggle15").names[10] == "nose_tip"


def test_draws_depend_on_seed_id_and_variant_alone() -> None:
    config = AugmentConfig(rotation=Block((-30, 30)), gamma=Block((0.5, 2.0)), flip=Block(probability=0.5))
    first = Draw(config, generator(1, "face", 2)).strength
    assert Draw(config, generator(1, "face", 2)).strength == first
    assert Draw(config, generator(1, "face", 3)).strength != first
    without = AugmentConfig(rotation=Block((-30, 30)), flip=Block(probability=0.5))
    rest = Draw(without, generator(1, "face", 2)).strength
    assert rest == {name: value for name, value in first.items() if name != "gamma"}


def test_colours_change_as_named() -> None:
    grey = colour_map({"grey": 1.0})
    assert np.allclose(grey[:, :3], np.tile([0.299, 0.587, 0.114], (3, 1)), atol=2e-3)
    assert np.allclose(colour_map({}), np.eye(3, 4), atol=1e-5)
    assert np.allclose(colour_map({"hue": 360.0})[:, :3], np.eye(3), atol=1e-5)
    dim = colour_map({"brightness": -0.2})
    assert np.allclose(dim[:, 3], -51)


PIXEL_BLOCKS = ["blur", "motion_blur", "downscale", "shot_noise", "iso_noise", "jpeg", "patches", "bars"]


@pytest.mark.parametrize("name", PIXEL_BLOCKS)
def test_every_block_changes_pixels_and_keeps_the_shape(name: str) -> None:
    strength = {"jpeg": 20.0, "downscale": 3.0, "motion_blur": 6.0, "blur": 1.5}.get(name, 0.2)
    draw = Draw(AugmentConfig(**{name: Block((strength, strength))}), generator(1, name, 1))
    for channels in (1, 3):
        image = np.random.default_rng(0).integers(0, 256, (48, 48, channels)).astype(np.uint8)
        changed = draw.photometric(image.copy())
        assert changed.shape == image.shape and changed.dtype == np.uint8
        assert not np.array_equal(changed, image)


@pytest.mark.parametrize("method", ["stretch", "histogram", "clahe"])
def test_equalising_widens_a_flat_picture(method: str) -> None:
    flat = np.random.default_rng(0).integers(100, 140, (64, 64, 3)).astype(np.uint8)
    assert equalise(flat, method).std() > 1.3 * flat.std()
    assert equalise(flat[..., :1], method).shape == (64, 64, 1)
    assert equalise(flat, "none") is flat


def test_a_small_part_of_a_large_picture_is_averaged_alone_to_the_same_crop() -> None:
    """The crop of a face in a large frame is the one that averaging the whole frame gives."""
    random = np.random.default_rng(3)
    coarse = random.integers(0, 256, (90, 160, 3), dtype=np.uint8)
    frame = np.asarray(cv2.resize(coarse, (1280, 720), interpolation=cv2.INTER_CUBIC), np.uint8)
    config = CropConfig(size=48, margin=0.2)
    for box, angle in ((Box(600, 300, 150, 160), 0.0), (Box(-40, 20, 200, 180), 0.3), (Box(1150, 600, 160, 190), -0.5)):
        matrix = crop_from_source(box, config, angle)
        alone, whole = Picture(frame, "rgb"), Picture(frame, "rgb")
        factor = round(1 / np.sqrt(np.linalg.det(matrix[:2, :2])))
        whole._averaged(factor, np.diag([1e-3, 1e-3, 1.0]), 48)  # the whole frame: it is kept
        assert factor in whole._levels and factor > 1
        part = alone.warp(matrix, 48)
        assert factor not in alone._levels
        assert np.abs(part.astype(int) - whole.warp(matrix, 48)).max() <= 1


@pytest.mark.parametrize("side", [90, 460])
def test_of_a_picture_that_is_too_long_for_opencv_the_part_under_the_crop_is_warped(side: int) -> None:
    """A panorama of 33,000 pixels ended the whole job in an error of OpenCV's, which warps up to 32,766."""
    face = np.random.default_rng(3).integers(0, 256, (600, 600, 3), dtype=np.uint8)
    long = np.zeros((600, 33_000, 3), np.uint8)
    long[:, 32_400:] = face
    config = CropConfig(size=128, margin=0.2)
    here, there = (crop_from_source(Box(x + 70, 60, side, side), config, 10.0) for x in (0, 32_400))
    apart = Picture(long, "rgb").warp(there, 128).astype(int) - Picture(face, "rgb").warp(here, 128)
    assert np.abs(apart[32:96, 32:96]).max() <= 3, "the same face, but for what is beside it"
    beyond = crop_from_source(Box(40_000, 60, side, side), config)
    assert not Picture(long, "rgb").warp(beyond, 128).any(), "outside is black"
    upright = Picture(np.ascontiguousarray(long.transpose(1, 0, 2)), "grey").warp(beyond, 128)
    assert upright.shape == (128, 128, 1) and not upright.any()
