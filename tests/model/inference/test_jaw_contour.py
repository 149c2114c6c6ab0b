"""The jaw's outline: on a head whose outline is known, and what must not move it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fakeit.model.evaluation.predictions import PredictionSet
from fakeit.model.evaluation.scoring import without_adapter
from fakeit.model.inference.adapter import JAW_CONTOUR, beside
from fakeit.model.inference.adapter_fit import Seen
from fakeit.model.inference.jaw_contour import _BEYOND_BOTH, _OF_THE_FACE, contour_points
from fakeit.pipelines.dense_points import dense_mirror
from fakeit.pipelines.landmarks import convert, scheme
from fakeit.pipelines.sources import Sample

HALF, HEIGHT, DEPTH = 70.0, 100.0, 80.0


def head(yaw: float, turn: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """(70, 2) and (400, 2) of an ellipsoid whose jaw lies on its rim seen from the front, turned by degrees."""
    random = np.random.default_rng(3)
    angle = np.pi * np.arange(17) / 16
    jaw = np.stack([-HALF * np.cos(angle), HEIGHT * np.sin(angle), np.zeros(17)], axis=1)
    rest = np.zeros((53, 3))
    for number, (x, y) in {27: (0, -20), 36: (-45, -20), 45: (45, -20)}.items():
        rest[number - 17] = _on_front(x, y)
    dense = np.zeros((400, 3))
    half = _OF_THE_FACE[_OF_THE_FACE < 215]
    radius, where = np.sqrt(random.uniform(0, 1, len(half))) * 0.99, random.uniform(0, np.pi, len(half))
    for number, r, a in zip(half, radius, where, strict=True):
        x, y = -abs(HALF * r * np.cos(a)), HEIGHT * r * np.sin(a)
        dense[number] = _on_front(0 if number < 30 else x, y)
        dense[dense_mirror()[number]] = dense[number] * [1 if number < 30 else -1, 1, 1]
    dense[_BEYOND_BOTH] = [500.0, 0.0, 0.0]  # ears and the like stand out of every outline
    cos, sin = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
    about = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
    cos, sin = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    flat = np.array([[cos, sin], [-sin, cos]])
    points = np.concatenate([jaw, rest])
    return (points @ about.T)[:, :2] @ flat + 200, (dense @ about.T)[:, :2] @ flat + 200


def _on_front(x: float, y: float) -> np.ndarray:
    return np.array([x, y, -DEPTH * np.sqrt(max(0.0, 1 - (x / HALF) ** 2 - (y / HEIGHT) ** 2))])


def outline_width(yaw: float) -> float:
    """Half the width of the turned ellipsoid as it is seen."""
    return float(np.hypot(HALF * np.cos(np.radians(yaw)), DEPTH * np.sin(np.radians(yaw))))


def test_a_face_from_the_front_keeps_its_jaw() -> None:
    points, dense = head(0)
    moved = contour_points(points, dense) - points[:68]
    assert np.abs(moved[17:]).max() < 1e-3
    made = contour_points(points, dense)[:17] - 200
    rim = np.hypot(made[:, 0] / HALF, made[:, 1] / HEIGHT)  # it may slide along the jaw's line, not leave it
    assert np.abs(rim - 1).max() < 0.01
    assert abs(moved[[0, 8, 16]]).max() < 0.5


@pytest.mark.parametrize("turn", [0.0, 25.0])
@pytest.mark.parametrize("yaw", [-35.0, 35.0])
def test_a_turned_cheek_is_the_outline(yaw: float, turn: float) -> None:
    points, dense = head(yaw, turn)
    cos, sin = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    back = np.linalg.inv(np.array([[cos, sin], [-sin, cos]]))
    made, before = (contour_points(points, dense) - 200) @ back, (points - 200) @ back
    hidden = slice(1, 4) if made[0, 0] - before[0, 0] < -1 else slice(13, 16)  # the far cheek
    wide = outline_width(yaw) * np.sqrt(1 - (made[hidden, 1] / HEIGHT) ** 2)  # where the ellipse is at that height
    true = np.abs(before[hidden, 0])
    assert (true < wide - 8).all(), "the head's own jaw lies inside"
    assert np.abs(np.abs(made[hidden, 0]) - wide).max() < 6
    near = slice(13, 16) if hidden == slice(1, 4) else slice(1, 4)
    assert np.abs(made[near, 0] - before[near, 0]).max() < 6, "the near side stays"


def test_mirrored_pictures_have_mirrored_jaws() -> None:
    points, dense = head(30)
    flip, order = list(scheme("face70").flip), dense_mirror()
    mirrored = contour_points(points[flip] * [-1, 1], dense[order] * [-1, 1])
    again = mirrored[list(scheme("ibug68").flip)] * [-1, 1]
    assert np.allclose(again, contour_points(points, dense), atol=1e-3)


def test_what_is_not_known_moves_nothing() -> None:
    points, dense = head(35)
    plain = convert(points, "face70", "ibug68")
    assert np.allclose(JAW_CONTOUR.apply(points), plain)
    dense[7] = np.nan
    assert np.allclose(contour_points(points, dense), plain)
    assert not np.isfinite(contour_points(np.full((70, 2), np.nan), dense)).any()
    assert np.isfinite(contour_points(np.zeros((70, 2)), np.zeros((400, 2)))).all(), "all in one place"


def test_it_needs_no_file_and_evaluation_takes_it(tmp_path: Path) -> None:
    assert beside("contour", tmp_path / "any.onnx") is JAW_CONTOUR
    points, dense = head(35)
    said = points[None].astype(np.float32), dense[None].astype(np.float32)
    sample = Sample("a", "a.jpg")
    collected = PredictionSet(
        (sample,), said[0][:, :68], "ibug68", Seen(said[0], None, np.ones(1), said[1]), "face70", np.ones(1), "true"
    )
    made, _, name = without_adapter(collected)
    assert name == "ibug68" and np.allclose(made[0], contour_points(points, dense), atol=1e-3)
