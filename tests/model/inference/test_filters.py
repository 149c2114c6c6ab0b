"""Face filters: worn where the points say, inside the picture, and privacy that cannot be undone by eye."""

from __future__ import annotations

import numpy as np
import pytest

from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.faces import filters
from fakeit.pipelines.faces.art import CANONICAL
from fakeit.pipelines.faces.filters import apply_filter, art, blur, mesh_map, swap


def face(scale: float = 0.4, x: float = 40, y: float = -60, degrees: float = 0) -> np.ndarray:
    angle = np.deg2rad(degrees)
    turn = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return (CANONICAL - 400) @ turn + 400 * scale + [x, y]


def grey(width: int = 400, height: int = 300) -> np.ndarray:
    return np.full((height, width, 3), 128, np.uint8)


@pytest.mark.parametrize("name", filters.WORN)
def test_art_is_smooth_multiplied_rgba(name: str) -> None:
    drawn = art(name)
    assert drawn.shape == (800, 800, 4) and drawn.dtype == np.float32
    alpha = drawn[..., 3]
    assert 0.01 < (alpha > 0).mean() < 0.5 and ((alpha > 0.02) & (alpha < 0.98)).any()
    assert (drawn[..., :3] <= alpha[..., None] + 1e-4).all()


@pytest.mark.parametrize(
    ("name", "inside", "outside"),
    [("glasses", (38, 44), (57, 8)), ("moustache", (51,), (37, 8)), ("mask", (57, 33), (37, 46)), ("hat", (), (30, 8))],
)
@pytest.mark.parametrize("degrees", [0, 30])
def test_things_are_worn_where_they_belong(
    name: str, inside: tuple[int, ...], outside: tuple[int, ...], degrees: float
) -> None:
    points, before = face(degrees=degrees), grey()
    after = apply_filter(name, before, points)
    changed = np.abs(after.astype(int) - before).max(axis=2) > 8
    around = changed.nonzero()
    assert len(around[0]) > 100 and (before == 128).all()
    for index in inside:
        x, y = np.rint(points[index]).astype(int)
        assert changed[y - 4 : y + 5, x - 4 : x + 5].any()
    for index in outside:
        x, y = np.rint(points[index]).astype(int)
        assert not changed[y, x]


@pytest.mark.parametrize("name", filters.FILTERS)
@pytest.mark.parametrize("place", [(-150, 0), (300, 100), (2000, 0), (40, -400)])
def test_faces_at_and_beyond_the_edge(name: str, place: tuple[float, float]) -> None:
    after = apply_filter(name, grey(), face(x=place[0], y=place[1]))
    assert after.shape == (300, 400, 3) and after.dtype == np.uint8


@pytest.mark.parametrize("name", filters.FILTERS)
def test_odd_points_leave_the_picture(name: str) -> None:
    for points in (np.full((68, 2), np.nan), np.full((68, 2), 50.0)):
        assert apply_filter(name, grey(), points).shape == (300, 400, 3)


def test_unknown_filter_names_the_nearest() -> None:
    with pytest.raises(FakeitError, match="glasses"):
        apply_filter("glases", grey(), face())


def test_mesh_carries_points_onto_points() -> None:
    target, source = face(), face(0.3, 10, 20, 15)
    source[:17] += np.random.default_rng(0).normal(0, 2, (17, 2))
    grid = mesh_map(target, source, (0, 0, 400, 300))
    for index in (27, 30, 33, 40, 51):
        x, y = np.rint(target[index]).astype(int)
        offset = grid[y, x] - source[index]
        assert np.abs(offset).max() < 1.5
    assert grid[0, 0, 0] < -1e5


def test_swap_changes_the_face_alone_and_keeps_its_light() -> None:
    random = np.random.default_rng(0)
    mine = np.clip(grey().astype(int) + random.integers(-20, 20, (300, 400, 3)), 0, 255).astype(np.uint8)
    other = np.clip(np.full((500, 500, 3), 220) + random.integers(-30, 30, (500, 500, 3)), 0, 255).astype(np.uint8)
    points = face()
    after = swap(mine, points, other, face(0.5, 30, 10, 10))
    x, y = np.rint(points[30]).astype(int)
    assert (after[y - 3 : y + 4, x - 3 : x + 4] != mine[y - 3 : y + 4, x - 3 : x + 4]).any()
    assert abs(float(after[y - 10 : y + 10, x - 10 : x + 10].mean()) - 128) < 12  # not 220
    assert (after[:, :60] == mine[:, :60]).all()


def test_swap_takes_a_hidden_half_from_the_other_one() -> None:
    """The given face has turned its left aside: left of its nose is a plain sliver, the rest is striped."""
    given = face(0.5, 30, 10, 10)
    nose = given[30, 0]
    left = given[:, 0] < nose
    given[left, 0] = nose - 0.1 * (nose - given[left, 0])
    other = np.full((500, 500, 3), 128, np.uint8)
    other[::8, int(nose) :] = other[1::8, int(nose) :] = other[2::8, int(nose) :] = 250
    points = face()
    after = swap(grey(), points, other, given).astype(float)
    for cheek in (points[[2, 31, 48]], points[[14, 35, 54]]):
        x, y = np.rint(cheek.mean(axis=0)).astype(int)
        assert after[y - 12 : y + 12, x - 2 : x + 2].std(axis=0).mean() > 8


def test_blur_leaves_a_few_colours_of_the_face() -> None:
    random = np.random.default_rng(0)
    picture = random.integers(0, 255, (300, 400, 3)).astype(np.uint8)
    points = face()
    after = blur(picture, points)
    low, high = points[17:].min(axis=0).astype(int), points[17:].max(axis=0).astype(int)
    inside = after[low[1] : high[1], low[0] : high[0]].astype(float)
    assert np.abs(np.diff(inside, axis=1)).mean() < 2  # the noise had 85
    forehead = points[27] - (0, 30)
    x, y = forehead.astype(int)
    assert (after[y, x] != picture[y, x]).any()
    assert (after[:, :30] == picture[:, :30]).all()
