"""Augmentation on the device: points follow the pixels, draws do not know of ranks, all blocks do what they say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from fakeit.model.data.batch_augmentation import Augmenter, mixup
from fakeit.pipelines.faces.augment import BLOCKS, AugmentConfig, Block, Draw, generator
from fakeit.pipelines.faces.crop import CropConfig
from fakeit.pipelines.landmarks import scheme

STORED = CropConfig(size=64, margin=0.4)
WANTED = CropConfig(size=48, margin=0.2)
CPU = torch.device("cpu")


def augmenter(config: AugmentConfig | None, stored: CropConfig = STORED, wanted: CropConfig = WANTED) -> Augmenter:
    return Augmenter(stored, wanted, scheme("five"), config, 7, CPU)


def dots(count: int = 8, size: int = 64, channels: int = 3) -> tuple[Tensor, Tensor]:
    """Black crops with one soft white dot a point; (N, S, S, C) uint8 and (N, 5, 2) unit crop."""
    random = np.random.default_rng(1)
    points = random.uniform(0.35, 0.65, (count, 5, 2)).astype(np.float32)
    points += np.array([[-0.12, -0.12], [0.12, -0.12], [0, 0], [-0.1, 0.12], [0.1, 0.12]], np.float32) - 0.0
    y, x = np.mgrid[:size, :size] + 0.5
    images = np.zeros((count, 5, size, size), np.float32)
    for index in np.ndindex(count, 5):
        px, py = points[index] * size
        images[index] = 255 * np.exp(-((x - px) ** 2 + (y - py) ** 2) / 6)
    flat = images.max(1)[..., None].repeat(channels, -1)
    return torch.from_numpy(flat.astype(np.uint8)), torch.from_numpy(points)


def brightness_at(pixels: Tensor, points: Tensor) -> Tensor:
    """Mean of the pixels under each point (bilinear), (N, K)."""
    grid = (2 * points - 1)[:, :, None]
    return torch.nn.functional.grid_sample(pixels[:, :1], grid, align_corners=False)[:, 0, :, 0]


@pytest.mark.parametrize(
    "config",
    [
        None,
        AugmentConfig(rotation=Block((-40, 40))),
        AugmentConfig(scale=Block((0.8, 1.2)), shift=Block((-0.08, 0.08))),
        AugmentConfig(flip=Block(probability=1)),
        AugmentConfig(perspective=Block((0.1, 0.15))),
        AugmentConfig(rotation=Block((-40, 40)), scale=Block((0.8, 1.2)), shift=Block((-0.05, 0.05)),
                      flip=Block(probability=0.5), perspective=Block((0, 0.1), 0.5)),
    ],
)  # fmt: skip
def test_points_land_on_their_dots(config: AugmentConfig | None) -> None:
    images, points = dots()
    change = augmenter(config)
    pixels, moved, order = change(images, points, change.draw(3, 5, 0, 8, 8))
    assert pixels.shape == (8, 3, 48, 48) and pixels.is_contiguous(memory_format=torch.channels_last)
    inside = ((moved > 0.05) & (moved < 0.95)).all(-1)
    assert inside.float().mean() > 0.8
    assert brightness_at(pixels, moved)[inside].min() > 150
    moved_away = (moved + 0.12).clamp(0, 1)
    assert brightness_at(pixels, moved_away)[inside].median() < 60


def test_without_change_the_pixels_are_the_stored_ones() -> None:
    images, points = dots()
    pixels, moved, order = augmenter(None, STORED, STORED)(images, points)
    assert torch.equal(pixels.permute(0, 2, 3, 1).to(torch.uint8), images) and torch.equal(moved, points)
    assert (order == torch.arange(5)).all()


def test_a_mirrored_face_has_its_points_exchanged() -> None:
    images, points = dots()
    change = augmenter(AugmentConfig(flip=Block(probability=1)), STORED, STORED)
    pixels, moved, order = change(images, points, change.draw(0, 0, 0, 8, 8))
    assert (order == torch.tensor(scheme("five").flip)).all()
    assert torch.allclose(pixels, images.permute(0, 3, 1, 2).float().flip(3), atol=0.5)
    assert torch.allclose(moved[:, 1, 0], 1 - points[:, 0, 0], atol=1e-5)


@pytest.mark.parametrize("degrees", [30.0, -45.0])
def test_it_turns_and_scales_the_same_way_as_the_spark_ones(degrees: float) -> None:
    config = AugmentConfig(rotation=Block((degrees, degrees)), scale=Block((0.8, 0.8)), keep_original=False)
    matrix = Draw(config, generator(1, "face", 0)).matrix(64)
    images, points = dots()
    change = augmenter(config, STORED, STORED)
    _, moved, _ = change(images, points, change.draw(0, 0, 0, 8, 8))
    homogeneous = np.concatenate([points.numpy() * 64 - 0.5, np.ones((8, 5, 1))], -1) @ matrix.T
    np.testing.assert_allclose(moved.numpy(), (homogeneous[..., :2] + 0.5) / 64, atol=1e-5)


def test_draws_are_the_same_however_a_batch_is_cut() -> None:
    change = augmenter(AugmentConfig(rotation=Block((-40, 40)), gamma=Block((0.5, 2))))
    whole = change.draw(2, 7, 0, 10, 10)
    part = change.draw(2, 7, 4, 3, 10)
    assert torch.equal(whole.chance[4:7], part.chance) and torch.equal(whole.extra[4:7], part.extra)
    assert not torch.equal(whole.chance, change.draw(3, 7, 0, 10, 10).chance)


@pytest.mark.parametrize("name", [n for n in BLOCKS if n not in ("rotation", "scale", "shift", "perspective", "flip")])
@pytest.mark.parametrize(("size", "channels"), [(64, 1), (64, 3), (50, 3)])
def test_every_block_changes_the_faces_that_drew_it_and_no_other(name: str, size: int, channels: int) -> None:
    ranges = {"blur": (0.8, 1.5), "motion_blur": (4, 7), "downscale": (2, 3), "jpeg": (10, 30), "hue": (60, 90)}
    ranges |= {"gamma": (0.4, 0.6), "contrast": (0.5, 0.6), "saturation": (0, 0.2)}
    config = AugmentConfig(**{name: Block(ranges.get(name, (0.1, 0.2)), 0.5)})  # type: ignore[arg-type]
    crop = replace(STORED, size=size, colour="grey" if channels == 1 else "rgb")
    images = torch.randint(30, 220, (16, size, size, channels), dtype=torch.uint8)
    change = augmenter(config, crop, crop)
    draws = change.draw(0, 0, 0, 16, 16)
    _, on = change.strength(name, draws)
    assert 2 < on.sum() < 14
    pixels, _, _ = change(images, torch.full((16, 5, 2), 0.5), draws)
    changed = (pixels - images.permute(0, 3, 1, 2).float()).abs().flatten(1).amax(1) > 1
    if channels == 1 and name in ("hue", "saturation", "grey"):
        assert not changed.any()
    else:
        assert torch.equal(changed, on)
    assert pixels.min() >= 0 and pixels.max() <= 255


def test_a_colour_crop_becomes_grey_by_its_light() -> None:
    images = torch.zeros(2, 64, 64, 3, dtype=torch.uint8)
    images[..., 1] = 100
    pixels, _, _ = augmenter(None, STORED, replace(STORED, colour="grey"))(images, torch.zeros(2, 5, 2))
    assert pixels.shape == (2, 1, 64, 64) and torch.allclose(pixels, torch.tensor(58.7))


def test_mixup_blends_points_as_it_blends_pixels() -> None:
    change = augmenter(None)
    pixels, points, weight = torch.rand(5, 1, 8, 8), torch.rand(5, 5, 2), torch.ones(5, 5)
    weight[2, 3] = 0
    mixed, moved, left = mixup(pixels, points, weight, 0.2, change.draw(0, 0, -1, 5, 4))
    share = (mixed[1] - pixels[1]).mean() / (pixels[2] - pixels[1]).mean()
    assert len(mixed) == len(moved) == len(left) == 4 and 0.5 <= share <= 1
    assert torch.allclose(moved[1], share * points[2] + (1 - share) * points[1], atol=1e-4)
    assert left[1, 3] == left[2, 3] == 0 and left.sum() == 18


EVERYTHING = AugmentConfig(**{name: Block((0.1, 0.2), 0.7) for name in BLOCKS})  # type: ignore[arg-type]


@pytest.mark.parametrize("blend", [False, True])
def test_parts_of_a_batch_are_augmented_as_the_whole(blend: bool) -> None:
    """Noise and mixup too: N ranks see what one would."""
    images = torch.randint(30, 220, (10, 64, 64, 3), dtype=torch.uint8)
    points, change = torch.rand(10, 5, 2), augmenter(EVERYTHING)

    def part(first: int, end: int) -> list[Tensor]:
        mixup_halo = int(blend)
        who = torch.arange(first - mixup_halo, end) % 10
        draws = change.draw(3, 1, first - mixup_halo, len(who), 10)
        pixels, moved, order = change(images[who], points[who], draws)
        weight = torch.ones(len(who), 5).gather(1, order)
        return list(mixup(pixels, moved, weight, 0.4, draws)) if blend else [pixels, moved, weight]

    whole = part(0, 10)
    for size in (2, 3):
        bounds = [10 * n // size for n in range(size + 1)]
        parts = [part(a, b) for a, b in zip(bounds, bounds[1:], strict=False)]
        for value, pieces in zip(whole, zip(*parts, strict=True), strict=True):
            torch.testing.assert_close(torch.cat(pieces), value, rtol=1e-4, atol=2e-2)


def test_noise_is_that_of_a_sensor() -> None:
    """Grains of one face do not know each other, and two faces of a batch do not share theirs."""
    change = augmenter(AugmentConfig(iso_noise=Block((0.1, 0.1))), STORED, STORED)
    images = torch.full((12, 64, 64, 3), 128, dtype=torch.uint8)
    pixels, _, _ = change(images, torch.zeros(12, 5, 2), change.draw(0, 0, 0, 12, 12))
    grain = (pixels - 128) / 25.5
    assert abs(grain.mean()) < 0.01 and grain.std() == pytest.approx(1, abs=0.02)
    flat = grain.flatten(1)
    assert (torch.corrcoef(flat) - torch.eye(12)).abs().max() < 0.05
    assert torch.corrcoef(torch.stack((flat[:, 1:].flatten(), flat[:, :-1].flatten())))[0, 1].abs() < 0.02
