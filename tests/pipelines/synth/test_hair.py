"""Hair in locks: where it grows and falls, how it is drawn, and whom it suits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.synth.baked import baked
from fakeit.pipelines.synth.config import HairConfig, HeadConfig, PeopleConfig, SkinConfig, SynthesisConfig
from fakeit.pipelines.synth.face import render
from fakeit.pipelines.synth.hair import Hair, _odds, draw_hair
from fakeit.pipelines.synth.head import Head
from fakeit.pipelines.synth.heads import load_head
from fakeit.pipelines.synth.locks import draw_locks
from fakeit.pipelines.synth.people import Person
from fakeit.pipelines.synth.raster import vertex_normals
from fakeit.pipelines.synth.strands import Grown, grow, head_radii

ANYBODY = HairConfig()
SHORT, LONG = HairConfig(bald=0, long=0, fringe=0), HairConfig(bald=0, long=1, fringe=1)


@pytest.fixture(scope="module")
def head() -> Head:
    return load_head("makehuman")


def _grown(head: Head, config: HairConfig, seed: int, tone: float = 0.3, scale: float = 14.0) -> tuple[Hair, Grown]:
    hair = draw_hair(config, head.canonical, tone, np.random.default_rng(seed))
    assert hair.style is not None
    normals = np.asarray(vertex_normals(head.neutral, head.triangles), np.float32)
    made = baked(head)
    radii = head_radii(head.neutral)
    random = np.random.default_rng(seed)
    return hair, grow(hair, hair.style, head.neutral, normals, head.triangles, made.size, radii, scale, None, random)


def test_shoulders_are_no_part_of_the_head(head: Head) -> None:
    """MakeHuman's arms reach 39 cm out: hair at the nape was once pushed that far, as rods."""
    assert head.people is not None
    for seed in range(12):
        drawn, _ = head.people.draw(PeopleConfig(), np.random.default_rng(seed))
        radii = head_radii(head.fine(drawn))
        assert radii.max() < 19 and radii[10:].min() > 5  # and nowhere above the chin is a hole
        sides = np.r_[0:14, 34:48]  # 75 degrees and more from straight ahead
        assert radii[10:24, sides].max() < 13.5, (seed, radii[10:24, sides].max())


def test_short_hair_stays_about_its_roots(head: Head) -> None:
    for seed in range(8):
        hair, grown = _grown(head, SHORT, seed)
        assert hair.style is not None
        away = np.linalg.norm(grown.strands - grown.strands[:, :1], axis=2).max(axis=1)
        longest = max(hair.style.top, hair.style.sides, hair.style.back) + hair.style.volume + 2 * hair.style.curl
        assert away.max() < 1.5 * longest + 2, seed


def test_short_hair_at_the_sides_is_combed_along_the_head(head: Head) -> None:
    """Combed away from the parting, hair above the ears once stood out like a comb's teeth."""
    hair = draw_hair(SHORT, head.canonical, 0.3, np.random.default_rng(3))
    assert hair.style is not None
    cut = replace(hair.style, top=6.0, sides=3.0, back=3.0, lift=0.0, volume=0.3, curl=0.0, stiffness=0.8)
    style = replace(cut, backwards=0.0, round=False)
    normals = np.asarray(vertex_normals(head.neutral, head.triangles), np.float32)
    radii, random = head_radii(head.neutral), np.random.default_rng(3)
    grown = grow(hair, style, head.neutral, normals, head.triangles, baked(head).size, radii, 14.0, None, random)
    aside = np.abs(grown.strands[..., 0])
    side = (aside[:, 0] > 7) & (grown.strands[:, 0, 1] < 7)
    assert side.sum() > 40 and (aside[side].max(axis=1) - aside[side, 0]).mean() < 1.2


def test_no_root_above_the_rim_of_a_hat_and_none_on_a_face(head: Head) -> None:
    for seed in range(4):
        _, grown = _grown(head, SHORT, seed)
        roots = grown.strands[:, 0]
        assert not ((roots[:, 2] > 6) & (roots[:, 1] < 5)).any()


def test_long_hair_leaves_the_face_free(head: Head) -> None:
    """A fringe ends where it is cut; what is longer is combed aside: hardly a strand hangs before eyes and mouth."""
    before = []
    for seed in range(10):
        _, grown = _grown(head, LONG, seed)
        x, y, z = np.moveaxis(grown.strands, 2, 0)
        before.append(float(((np.abs(x) < 4) & (y < 1) & (y > -7) & (z > 4)).any(axis=1).mean()))
    assert np.mean(before) < 0.03, before


def test_coils_stand_on_all_sides_of_a_ball(head: Head) -> None:
    found = 0
    for seed in range(60):
        hair = draw_hair(SHORT, head.canonical, 0.95, np.random.default_rng(seed))
        if hair.style is None or not hair.style.round:
            continue
        found += 1
        _, grown = _grown(head, SHORT, seed, 0.95)
        length = np.linalg.norm(np.diff(grown.strands, axis=1), axis=2).sum(axis=1)
        assert (
            np.linalg.norm(grown.strands[:, -1] - grown.strands[:, 0], axis=1).mean() < 0.95 * length.mean()
        )  # curled
        assert hair.lift.max() < 3.21 and (hair.lift[np.abs(head.canonical[:, 1]) < 1.5] < 2.0).mean() > 0.9
    assert found > 10


def test_the_same_numbers_grow_the_same_hair(head: Head) -> None:
    for config in (SHORT, LONG):
        assert np.array_equal(_grown(head, config, 3)[1].strands, _grown(head, config, 3)[1].strands)


def test_a_lock_is_dense_at_its_root_and_frays_at_its_tip() -> None:
    image, depth = np.zeros((64, 64, 3), np.float32), np.full((64, 64), -1e9, np.float32)
    points = np.stack([np.full(9, 32.0), np.linspace(4, 60, 9), np.zeros(9)], axis=1)[None].astype(np.float32)
    widths, body = np.full((1, 9), 10, np.float32), np.linspace(1.6, 0.2, 9, dtype=np.float32)
    colours = np.ones((1, 9, 3), np.float32)
    covered = draw_locks(image, depth, points, colours, widths, body, np.zeros((1, 2), np.int64), 0.3, 0.0)
    inside = covered[:, 29:36]
    assert inside[6:12].mean() > 0.9 > 0.6 > inside[50:58].mean() > 0.05
    assert inside[50:58].std() > 0.1  # single hairs reach further than others
    assert image[6:12, 29:36].std() > 0.05  # and are not of one brightness
    assert not covered[:, :24].any() and not covered[:, 41:].any()


def test_locks_are_hidden_by_what_lies_before_them() -> None:
    image, depth = np.zeros((64, 64, 3), np.float32), np.full((64, 64), -1e9, np.float32)
    depth[:, 32:] = 5.0
    points = np.stack([np.linspace(4, 60, 9), np.full(9, 32.0), np.zeros(9)], axis=1)[None].astype(np.float32)
    covered = draw_locks(
        image, depth, points, np.ones((1, 9, 3), np.float32), np.full((1, 9), 6, np.float32),
        np.full(9, 1.5, np.float32), np.zeros((1, 2), np.int64), 0.2, 0.0,
    )  # fmt: skip
    assert not covered[:, 32:].any() and covered[32, 10:30].mean() > 0.8


def test_hair_goes_with_age_and_sex(head: Head) -> None:
    def share(years: float, female: float, config: HairConfig = ANYBODY) -> dict[str, float]:
        person = Person(years, female, np.array([0.0, 0.0, 1.0]))
        drawn = [draw_hair(config, head.canonical, 0.3, np.random.default_rng(i), person) for i in range(200)]
        styles = [hair.style for hair in drawn if hair.style is not None]
        return {
            "grey": float(np.mean([hair.grey for hair in drawn])),
            "long": float(np.mean([style.back > 8.5 for style in styles])),
            "bald": float(np.mean([hair.style is None or hair.style.top <= 0.8 for hair in drawn])),
        }

    child, man, woman, old = share(8, 0.5), share(30, 0.0), share(30, 1.0), share(80, 0.0)
    assert child["grey"] < 0.02 < 0.4 < old["grey"]
    assert woman["long"] > 0.4 > 0.25 > man["long"]
    assert old["bald"] > 0.25 > 0.1 > woman["bald"] and child["bald"] < 0.1
    assert share(30, 1.0, HairConfig(bald=1))["bald"] == 1  # shares of all and none are kept


@pytest.mark.parametrize(("given", "times", "comes"), [(0.0, 9.0, 0.0), (1.0, 0.1, 1.0), (0.5, 3.0, 0.75)])
def test_odds(given: float, times: float, comes: float) -> None:
    assert _odds(given, times) == pytest.approx(comes)


def test_dark_hair_has_a_sheen() -> None:
    """Black hair was once black paint: where light falls, it is grey."""
    conf = SynthesisConfig(head=HeadConfig(kind="makehuman"), hair=SHORT)
    lit = []
    for index in range(16):
        face = render(index, 5, conf, 128)
        hair = face.image[face.segmentation == 13]
        if len(hair) > 300 and np.median(hair) < 60:
            lit.append(float(np.percentile(hair.max(axis=1), 97)))
    assert len(lit) > 3 and np.median(lit) > 45, lit


def test_tones_are_drawn_within_a_range() -> None:
    shown = []
    for tones in ((0.0, 0.0), (0.95, 0.95)):
        conf = SynthesisConfig(
            head=HeadConfig(kind="makehuman"), hair=replace(SHORT, bald=1), skin=SkinConfig(tones=tones)
        )
        faces = [render(index, 8, conf, 64) for index in range(6)]
        shown.append(np.mean([face.image[face.segmentation == 1].mean() for face in faces]))
    assert shown[0] > 1.15 * shown[1]
    with pytest.raises(FakeitError, match=r"skin.tones is \[0.5, 0.2\]"):
        SkinConfig(tones=(0.5, 0.2))
