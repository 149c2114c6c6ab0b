"""Faces are a function of (seed, index, conf), and their labels lie where the pictures show them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import pytest

from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.landmarks import scheme
from fakeit.pipelines.synth import face as face_module
from fakeit.pipelines.synth.accessories import SKIN_CLASS
from fakeit.pipelines.synth.camera import Camera, rotation
from fakeit.pipelines.synth.config import (
    AccessoryConfig,
    CameraConfig,
    EffectConfig,
    ExpressionConfig,
    HairConfig,
    HeadConfig,
    SkinConfig,
    SynthesisConfig,
)
from fakeit.pipelines.synth.expression import by_origin, draw_expression, draw_gaze
from fakeit.pipelines.synth.face import render, stream
from fakeit.pipelines.synth.hand import draw_hand
from fakeit.pipelines.synth.head import Head, Material
from fakeit.pipelines.synth.heads import load_head

PLAIN = SynthesisConfig(
    accessories=AccessoryConfig(glasses=0, hat=0, mask=0, headset=0, occluder=0),
    hair=HairConfig(bald=1, long=0, fringe=0),
    skin=SkinConfig(beard=0),
    camera=CameraConfig(yaw_sd=8, pitch_sd=5, roll_sd=5),
    effects=EffectConfig(motion_blur=0, noise=(0.0, 0.0), jpeg=0),
)


@pytest.fixture(scope="module")
def head() -> Head:
    return load_head("builtin")


def test_same_index_same_bytes_in_any_order() -> None:
    forward = [render(i, 3, SynthesisConfig(), 96) for i in range(4)]
    for index in (2, 0, 3, 1):
        again = render(index, 3, SynthesisConfig(), 96)
        assert np.array_equal(again.image, forward[index].image)
        assert np.array_equal(again.landmarks, forward[index].landmarks)
        assert np.array_equal(again.segmentation, forward[index].segmentation)
    assert not np.array_equal(forward[0].image, render(0, 4, SynthesisConfig(), 96).image)


def test_faces_have_colours() -> None:
    """All three channels carry light: a tone curve that forgets one still gives the same bytes every time."""
    means = np.mean([render(i, 1, SynthesisConfig(), 64).image.mean(axis=(0, 1)) for i in range(6)], axis=0)
    assert means.min() > 0.4 * means.max() > 10


def test_an_ingredient_switched_off_leaves_the_others_as_they_were() -> None:
    bare = replace(SynthesisConfig(), accessories=AccessoryConfig(0, 0, 0, 0, 0, 0))
    for index in range(4):
        assert np.array_equal(render(index, 1, bare, 96).landmarks, render(index, 1, SynthesisConfig(), 96).landmarks)


def test_flip_pairs_mirror_the_mean_head(head: Head) -> None:
    points = head.neutral[head.landmarks[:68]]
    mirrored = points[list(scheme("ibug68").flip)] * [-1, 1, 1]
    assert np.abs(mirrored - points).max() < 0.25  # cm: a vertex of the mesh off


def test_points_lie_on_their_parts() -> None:
    """Visible points lie within a pixel of the part that they belong to (256 pixels, a head of 180, eyes open)."""
    bare = replace(PLAIN, expression=ExpressionConfig(neutral=1.0, blink=0.0), skin=SkinConfig(beard=0, makeup=0))
    parts = {"lips": (48, 68, {9, 10, 11}), "left eye": (36, 42, {4}), "right eye": (42, 48, {3}),
             "left brow": (17, 22, {6}), "right brow": (22, 27, {5}), "nose": (30, 36, {2})}  # fmt: skip
    near: dict[str, list[bool]] = {part: [] for part in parts}
    for index in range(12):
        face = render(index, 5, bare, 256)
        for part, (first, end, classes) in parts.items():
            away = cv2.distanceTransform(1 - np.isin(face.segmentation, list(classes)).astype(np.uint8), cv2.DIST_L2, 5)
            for x, y in np.rint(face.landmarks[first:end][face.visibility[first:end] == 2]).astype(int):
                near[part].append(away[y, x] <= 1.5)
    shares = {part: float(np.mean(hits)) for part, hits in near.items()}
    assert all(len(hits) > 30 for hits in near.values())
    assert min(shares[part] for part in ("lips", "nose")) > 0.97, shares
    assert min(shares.values()) > 0.9, shares


def test_classes_are_those_of_face_synthetics() -> None:
    seen = set()
    for index in range(12):
        seen |= set(np.unique(render(index, 2, SynthesisConfig(), 128).segmentation))
    assert seen <= set(range(19)) | {255}
    assert {0, 1, 2, 3, 4, 5, 6, 10, 11, 13, 15} <= seen


LEFT, RIGHT = {4: (36, 42), 6: (17, 22), 8: (0, 1)}, {3: (42, 48), 5: (22, 27), 7: (16, 17)}  # class → its points


def _sides(points: np.ndarray, segmentation: np.ndarray) -> list[tuple[int, bool]]:
    """Of each eye, brow and ear that is seen, its class, and whether it lies on the side of its points."""
    found = []
    for own, other in ((LEFT, RIGHT), (RIGHT, LEFT)):
        for (part, mine), (_, others) in zip(own.items(), other.items(), strict=True):
            y, x = np.nonzero(segmentation == part)
            if len(x) >= 10:
                away = [np.hypot(*(points[slice(*of)].mean(0) - (x.mean(), y.mean()))) for of in (mine, others)]
                found.append((part, bool(away[0] < away[1])))
    return found


def test_left_and_right_are_those_of_face_synthetics() -> None:
    """Face Synthetics' right eye, brow and ear (3, 5, 7) are at the viewer's right; ours were at the left."""
    faces = [render(index, 2, PLAIN, 128) for index in range(12)]
    found = [side for face in faces for side in _sides(face.landmarks, face.segmentation)]
    assert {part for part, _ in found} == {3, 4, 5, 6, 7, 8} and all(right for _, right in found), found


def test_their_samples_have_left_and_right_so(shared: Path) -> None:
    found = []
    for file in sorted((shared / "data/face_synthetics_100").glob("*_ldmks.txt"))[:40]:
        segmentation = cv2.imread(str(file).replace("_ldmks.txt", "_seg.png"), cv2.IMREAD_UNCHANGED)
        found += [side for side in _sides(np.loadtxt(file), segmentation) if side[0] < 7]  # ears: hair hides them
    assert len(found) > 120 and all(right for _, right in found)


def test_a_blink_closes_the_lids(head: Head) -> None:
    none = np.zeros(0, np.float32)
    shut = head.shape(none, {"eyeBlink_L": 1.0, "eyeBlink_R": 1.0})[head.landmarks[:68]]
    opened = head.neutral[head.landmarks[:68]]
    for upper, lower in ((37, 41), (38, 40), (43, 47), (44, 46)):
        assert abs(shut[upper, 1] - shut[lower, 1]) < 0.35 * abs(opened[upper, 1] - opened[lower, 1])


def test_a_jaw_that_opens_parts_the_lips(head: Head) -> None:
    opened = head.shape(np.zeros(0, np.float32), {"jawOpen": 1.0})[head.landmarks[:68]]
    closed = head.neutral[head.landmarks[:68]]
    assert closed[62, 1] - closed[66, 1] < 0.4
    assert opened[62, 1] - opened[66, 1] > 2.0


def test_hidden_points_of_a_profile() -> None:
    side = replace(PLAIN, camera=CameraConfig(yaw_sd=0, pitch_sd=0, roll_sd=0))
    face = render(1, 1, side, 128)
    assert (face.visibility[[36, 45, 30, 8]] == 2).all()
    turned = Camera(rotation(80, 0, 0), np.zeros(3, np.float32), 100.0, 400.0, (64, 64), (80, 0, 0))
    ear_to_ear = turned.pixels(np.array([[-7.0, 0, 0], [7.0, 0, 0]], np.float32))
    assert abs(ear_to_ear[0, 0] - ear_to_ear[1, 0]) < 20  # seen from the side, ears lie behind one another


@pytest.mark.parametrize("kind", ["builtin", "ict"])
def test_pupils_are_dark_and_sclera_is_not(kind: Literal["builtin", "ict"], request: pytest.FixtureRequest) -> None:
    """A highlight as broad as skin's once veiled the iris: in most faces the eye's darkest pixels are the pupil's."""
    file = str(request.getfixturevalue("shared") / "data/ict_face/ict_face.npz") if kind == "ict" else ""
    bare = replace(PLAIN, expression=ExpressionConfig(neutral=1.0, blink=0.0), skin=SkinConfig(makeup=0))
    bare = replace(bare, head=HeadConfig(kind=kind, file=file))
    dark = []
    for index in range(16):
        face = render(index, 6, bare, 256)
        grey = cv2.cvtColor(face.image, cv2.COLOR_RGB2GRAY)
        for eye, point in ((4, 68), (3, 69)):
            inside = face.segmentation == eye
            x, y = np.rint(face.landmarks[point]).astype(int)
            if inside.sum() > 60 and inside[y, x]:
                low, high = np.percentile(grey[inside], (2, 95))
                dark.append((grey[y - 1 : y + 2, x - 1 : x + 2].min() - low) / max(high - low, 1.0))
    assert len(dark) >= 16
    assert np.quantile(dark, 0.75) < 0.15, np.quantile(dark, [0.5, 0.75, 0.9])


@pytest.mark.parametrize("kind", ["builtin", "makehuman", "ict"])
def test_pupils_lie_where_the_iris_is_drawn(
    kind: Literal["builtin", "makehuman", "ict"], request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They lay up to 3 mm beside it, since lids and identities move eyeballs otherwise than was reckoned."""
    file = str(request.getfixturevalue("shared") / "data/ict_face/ict_face.npz") if kind == "ict" else ""
    open_eyes = replace(PLAIN, head=HeadConfig(kind=kind, file=file), expression=ExpressionConfig(blink=0.0))
    seen: list[tuple[Any, ...]] = []
    shade = face_module.shade
    monkeypatch.setattr(face_module, "shade", lambda *given: (seen.append(given), shade(*given))[1])
    apart = []
    for index in range(6):
        face = render(index, 7, open_eyes, 512)
        owner, second, third, triangles, material, canonical = seen[-1][:6]
        coat, eyes, painted = seen[-1][11:14]
        y, x = np.nonzero(owner >= 0)
        share = np.stack([1 - second[y, x] - third[y, x], second[y, x], third[y, x]], axis=1)
        places = (share[..., None] * canonical[triangles[owner[y, x]]]).sum(axis=1)
        for eye, point in ((0, 68), (1, 69)):
            away = places - eyes[eye, :3]
            near = np.abs(away).max(axis=1) < 1.5 * eyes[eye, 3]
            if painted:
                off = np.linalg.norm(away[:, :2] - coat.gaze[:2] * eyes[eye, 3], axis=1)
            else:
                off = np.arccos(np.clip(away @ coat.gaze / np.linalg.norm(away, axis=1), -1, 1)) * eyes[eye, 3]
                near &= material[owner[y, x]] == (Material.LEFT_EYE, Material.RIGHT_EYE)[eye]  # not the lid before it
            off = np.where(near, off, 9.0)
            if off.min() < 0.05:  # cm: it is not under a lid
                best = off.argmin()
                apart.append(np.linalg.norm(face.landmarks[point] - [x[best], y[best]]))
    assert len(apart) >= 4
    assert max(apart) < 1.5, apart  # pixels


def test_pupils_stay_between_the_lids() -> None:
    """Lids follow the eye that looks down, and who squints still sees: a quarter had their pupils under a lid."""
    config = SynthesisConfig(head=HeadConfig(kind="makehuman"), expression=ExpressionConfig(blink=0.0))
    head, below = load_head("makehuman"), []
    for index in range(60):
        vertices, brows, person = face_module._draw_shape(head, config, stream(1, index, "shape"))
        assert person is not None
        strength = by_origin(draw_expression(config.expression, stream(1, index, "expression")), person.origins)
        vertices = face_module._express(head, vertices, strength)
        gaze = face_module._between_lids(head, vertices, draw_gaze(config.expression, stream(1, index, "gaze")))
        assert np.isclose(np.linalg.norm(gaze), 1, atol=1e-5)
        points = face_module._points(head, vertices, brows, gaze)
        upper, lower = points[[37, 38, 43, 44], 1].mean(), points[[40, 41, 46, 47], 1].mean()
        if upper - lower > 0.3:
            below.append((upper - points[68:, 1].mean()) / (upper - lower))
    assert len(below) > 50
    assert 0.25 < np.median(below) < 0.5
    assert np.mean((np.array(below) < 0) | (np.array(below) > 1)) < 0.05


def test_gaze_moves_the_pupils_alone() -> None:
    left = replace(PLAIN, expression=ExpressionConfig(gaze_sd=(0.0, 0.0)))
    right = replace(PLAIN, expression=ExpressionConfig(gaze_sd=(60.0, 0.0)))
    a, b = render(2, 1, left, 256).landmarks, render(2, 1, right, 256).landmarks
    assert np.allclose(a[:68], b[:68])
    assert np.abs(a[68:] - b[68:]).max() > 0.5


def test_a_head_without_its_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FakeitError, match="head.file"):
        render(0, 1, SynthesisConfig(head=HeadConfig(kind="ict")), 64)
    with pytest.raises(FakeitError, match="nothing.npz"):
        load_head("ict", "/nothing.npz")
    np.savez(tmp_path / "whole.npz", V0=np.zeros((9, 3)))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "whole.npz").read_bytes()[:-40])
    with pytest.raises(FakeitError, match=r"cut.npz: cannot be read \(.*; make it with --import-ict"):
        load_head("ict", str(tmp_path / "cut.npz"))


def test_ict_heads_resemble_afw(shared: Path) -> None:
    """The mean of upright ICT faces against the mean of AFW's: no point further than 12 % of the eyes' distance."""
    head = load_head("ict", str(shared / "data/ict_face/ict_face.npz"))
    points = head.neutral[head.landmarks[:68], :2] * [1, -1]
    faces = []
    for path in sorted((shared / "data/afw_68").glob("*.pts")):
        text = path.read_text()
        face = np.array(text[text.index("{") + 1 : text.index("}")].split(), float).reshape(-1, 2)
        faces.append(_by_eyes(face))
    upright = [face for face in faces if abs(face[30, 0]) < 0.06]
    assert len(upright) > 50
    gap = np.linalg.norm(_by_eyes(points) - np.mean(upright, axis=0), axis=1)
    assert gap[17:].max() < 0.08
    assert gap.max() < 0.12


def _by_eyes(points: np.ndarray) -> np.ndarray:
    """Points in the frame whose x axis runs through the outer eye corners, of length 1 between them."""
    left, right = points[36], points[45]
    along = (right - left) / np.linalg.norm(right - left)
    turn = np.array([along, [-along[1], along[0]]])
    return (points - (left + right) / 2) @ turn.T / np.linalg.norm(right - left)


def test_a_hand_hides_what_is_under_it() -> None:
    held = replace(PLAIN, accessories=replace(PLAIN.accessories, occluder=1.0))
    hidden = 0
    for index in range(10):
        bare, face = render(index, 1, PLAIN, 128), render(index, 1, held, 128)
        assert np.array_equal(bare.landmarks, face.landmarks)
        newly = (face.visibility < bare.visibility).nonzero()[0]
        x, y = np.clip(np.rint(face.landmarks[newly]).astype(int), 0, 127).T
        hidden += int((face.segmentation[y, x] == SKIN_CLASS).sum())  # a hand is skin; sticks and balls are not
    assert hidden > 20


@pytest.mark.parametrize("at", [(64.0, 64.0), (0.0, 127.0), (-90.0, 40.0), (5000.0, 5000.0)])
def test_a_hand_is_drawn_where_it_says(at: tuple[float, float]) -> None:
    image = np.full((128, 128, 3), 0.5, np.float32)
    skin = np.array([0.3, 0.2, 0.15], np.float32)
    where = draw_hand(image, np.array(at, np.float32), 5.0, skin, np.random.default_rng(3))
    assert np.isfinite(image).all() and image.min() >= 0
    far = cv2.dilate(where.astype(np.uint8), np.ones((23, 23), np.uint8)) == 0  # beyond its shadow
    assert np.allclose(image[far], 0.5, atol=0.01)
    if at == (64.0, 64.0):
        assert 800 < where.sum() < 12_000 and (np.abs(image[where] - 0.5) > 0.05).mean() > 0.9
    if at[0] > 1000:
        assert not where.any()
