"""The label adapter: learns a systematic difference, on faces it is not scored on, in any pose and size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fakeit.model.evaluation import predictions, scoring
from fakeit.model.inference.adapter import (
    Adapter,
    adapter_path,
    alignment,
    beside,
    load_adapter,
    sample_hash,
)
from fakeit.model.inference.adapter_fit import Seen, fit_adapter, mean_shape
from fakeit.model.inference.landmarker import Landmarker, LandmarkerConfig
from fakeit.pipelines.dense_points import dense_mirror
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.landmarks import convert, scheme
from fakeit.pipelines.sources import Sample
from tests.pattern_face import POINTS, Reader

SHIFT = np.zeros((68, 2))
SHIFT[:17] = [0.0, -6.0]  # people label a jaw higher than the projected point, by 6 of the patch's pixels


def faces(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Predicted (N, 70, 2) and labelled (N, 68, 2) points of varied shapes, turned, scaled and moved."""
    random = np.random.default_rng(seed)
    modes = random.normal(0, 1, (4, 70, 2))
    modes += modes[:, list(scheme("face70").flip)] * [-1, 1]
    predicted, labelled = [], []
    for _ in range(count):
        shape = POINTS - POINTS.mean(axis=0) + np.tensordot(random.normal(0, 0.7, 4), modes, 1)
        angle, scale = random.normal(0, 0.2), random.uniform(0.5, 5)
        turn = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        place = random.uniform(0, 500, 2)
        predicted.append(shape @ turn + place)
        wide = SHIFT * (1 + 0.02 * shape[0, 0])  # the shift depends on the shape
        labelled.append((shape[:68] + wide) @ turn + place)
    return np.array(predicted), np.array(labelled)


def seen(count: int) -> tuple[Seen, np.ndarray]:
    predicted, labelled = faces(count)
    return Seen(predicted), labelled


def test_alignment_undoes_turn_scale_and_place() -> None:
    mean = mean_shape(faces(5)[0])
    angle = 0.7
    moved = mean @ (3 * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])) + [50, -20]
    turn, centre = alignment(moved, mean)
    assert np.allclose((moved - centre) @ turn, mean, atol=1e-9)


def test_it_learns_the_difference_and_uses_it_on_other_faces() -> None:
    predicted, labelled = faces(80)
    adapter, left = fit_adapter(
        Seen(predicted), labelled, "face70", "ibug68", "test", "drawn faces", [f"{i}" for i in range(80)]
    )
    assert left < 0.2 and adapter.faces == 80 and len(adapter.samples) == 80
    new, truth = faces(20, seed=0 + 0)[0][-5:], faces(20)[1][-5:]
    before = np.linalg.norm(convert(new, "face70", "ibug68") - truth, axis=-1).mean()
    after = np.linalg.norm(np.stack([adapter.apply(p) for p in new]) - truth, axis=-1).mean()
    assert after < 0.25 * before


def test_points_turn_with_the_face() -> None:
    adapter, _ = fit_adapter(*seen(60), "face70", "ibug68", "test")
    face = faces(1, seed=5)[0][0]
    turn = np.array([[0, 2.0], [-2.0, 0]])
    assert np.allclose(adapter.apply(face @ turn + 7), adapter.apply(face) @ turn + 7, atol=1e-2)


def shifted(count: int, pixels: float, noise: float = 0.0) -> tuple[Seen, Seen, np.ndarray]:
    """Faces, the same in the mirrored picture, seen by a network that leans by 0.4 pixels to the left, and labels that
    lie `pixels` to the right of the faces in every picture, whatever their size."""
    predicted, labelled = faces(count)
    random = np.random.default_rng(3)
    plain, mirrored = (predicted + random.normal(0, noise, predicted.shape) + [lean, 0] for lean in (-0.4, 0.4))
    return Seen(plain), Seen(mirrored), labelled + [pixels, 0]


def test_a_shift_of_the_labels_is_told_from_the_face() -> None:
    plain, mirrored, labelled = shifted(120, 1.5)
    adapter, _ = fit_adapter(plain, labelled, "face70", "ibug68", "test", mirrored=mirrored)
    assert adapter.shift == pytest.approx(1.5, abs=0.1)
    none, _ = fit_adapter(*shifted(120, 0)[::2], "face70", "ibug68", "test", mirrored=shifted(120, 0)[1])
    assert abs(none.shift) < 0.1


def test_the_shift_helps_on_faces_of_another_size() -> None:
    """Fitted on faces of one size, scored on faces a tenth as large, whose labels lie as many pixels off."""
    plain, mirrored, labelled = shifted(120, 1.5)
    with_one, _ = fit_adapter(plain, labelled, "face70", "ibug68", "test", mirrored=mirrored)
    without, _ = fit_adapter(plain, labelled, "face70", "ibug68", "test")
    small, truth = plain.points * 0.1, (labelled - [1.5, 0]) * 0.1 + [1.5, 0]
    far = [np.linalg.norm(np.array([a.apply(p) for p in small]) - truth, axis=2).mean() for a in (with_one, without)]
    assert far[0] < 0.5 * far[1] and without.shift == 0


def test_how_sure_the_network_is_says_how_far_to_move() -> None:
    """Points that the network is unsure of lie off by as much as it says, in a known direction."""
    predicted, labelled = faces(120)
    unsure = np.random.default_rng(4).normal(-4, 0.5, (120, 70))
    size = np.linalg.norm(predicted[:, 45] - predicted[:, 36], axis=1)[:, None]
    off = predicted + np.stack([np.zeros_like(unsure), (unsure + 4) * 0.05 * size], axis=2)
    plain, _ = fit_adapter(Seen(off), labelled, "face70", "ibug68", "test")
    told, _ = fit_adapter(Seen(off, unsure), labelled, "face70", "ibug68", "test")
    blind = np.linalg.norm(np.array([plain.apply(p) for p in off]) - labelled, axis=2).mean()
    seeing = [told.apply(p, u) for p, u in zip(off, unsure, strict=True)]
    assert np.linalg.norm(np.array(seeing) - labelled, axis=2).mean() < 0.5 * blind
    assert np.isfinite(told.apply(off[0])).all()  # where nothing says how sure: as sure as usual


def test_dense_points_tell_what_the_points_do_not() -> None:
    """Labels lie where a dense point is; the network's own points do not say so."""
    random = np.random.default_rng(2)
    made, labelled = seen(120)
    size = made.points.std(axis=(1, 2))
    apart = random.normal(0, 0.08, (120, 2)) * size[:, None]
    dense = np.repeat(made.points.mean(axis=1, keepdims=True), 400, axis=1)
    dense[:, dense_mirror() == np.arange(400)] += apart[:, None]  # those on the face's middle
    wanted = labelled + apart[:, None]
    errors = []
    for given in (made, Seen(made.points, dense=dense)):
        adapter, _ = fit_adapter(given, wanted, "face70", "ibug68", "test")
        points = [adapter.apply(p, None, d) for p, d in zip(made.points, dense, strict=True)]
        errors.append((np.linalg.norm(points - wanted, axis=2) / size[:, None]).mean())
        assert np.isfinite(adapter.apply(made.points[0])).all()  # where none are told: as usual
    assert errors[1] < 0.3 * errors[0]


def test_confidence_in_adapted_points_is_that_of_the_labels() -> None:
    """A network that says σ = 0.005 of points whose labels scatter by 0.02 of the crop is not to be believed."""
    predicted, labelled = faces(120)
    side = np.linalg.norm(predicted[:, 45] - predicted[:, 36], axis=1) * 2.5
    noise = np.random.default_rng(5).normal(0, 0.02, labelled.shape) * side[:, None, None]
    given = Seen(predicted, np.full((120, 70), np.log(0.005)), side)
    adapter, _ = fit_adapter(given, labelled + noise, "face70", "ibug68", "test")
    known = np.hypot(adapter.sigma_fit.scale * 0.005, adapter.sigma_fit.floor)
    assert known == pytest.approx(0.02, rel=0.15)
    sure = adapter.confidence(np.ones(70, np.float32), np.full(70, np.log(0.005), np.float32))
    assert sure.shape == (68,) and 0.55 < sure.mean() < 0.75  # 1 - exp(-(0.03 / 0.02)² / 2) = 0.68


def test_missing_labels_and_missing_faces_are_left_out() -> None:
    predicted, labelled = faces(80)
    labelled[::3, 0] = np.nan
    predicted[5] = np.nan
    adapter, left = fit_adapter(Seen(predicted), labelled, "face70", "ibug68", "test")
    assert np.isfinite(adapter.weights).all() and left < 0.3
    assert np.isnan(adapter.apply(np.full((70, 2), np.nan))).all()
    with pytest.raises(FakeitError, match="needs 20"):
        fit_adapter(Seen(predicted[:10]), labelled[:10], "face70", "ibug68", "test")


def test_a_scheme_that_nothing_maps_to_can_be_learnt() -> None:
    predicted, labelled = faces(80)
    wide = np.concatenate([labelled, labelled[:, :30]], axis=1)  # 98 points, in no known relation
    adapter, _ = fit_adapter(Seen(predicted), wide, "face70", "wflw98", "test")
    assert adapter.apply(predicted[0]).shape == (98, 2)
    assert adapter.confidence(np.full(70, 0.5, np.float32)).shape == (98,)


def test_stored_beside_the_model_and_found_by_name(tmp_path: Path) -> None:
    adapter, _ = fit_adapter(*seen(40), "face70", "ibug68", "ibug68", "drawn", ["a/1.jpg"])
    model = tmp_path / "face70.onnx"
    adapter.save(adapter_path(model, "ibug68"))
    again = beside("ibug68", model)
    face = faces(1)[0][0]
    assert np.allclose(again.apply(face), adapter.apply(face), atol=1e-3)
    assert again.samples == (sample_hash("1.jpg"),) and again.fitted_on == "drawn"
    assert (again.shift, again.sigma_fit, len(again.usual)) == (adapter.shift, adapter.sigma_fit, 0)
    with pytest.raises(FakeitError, match="did you mean 'ibug68'"):
        beside("ibug86", model)
    with pytest.raises(FakeitError, match="adapter 'mine/ibug68': neither a name nor the path of an .npz .*: ibug68"):
        beside("mine/ibug68", model)  # a ValueError of pathlib's
    (tmp_path / "broken.npz").write_bytes(b"PK no")
    with pytest.raises(FakeitError, match="broken.npz"):
        load_adapter(tmp_path / "broken.npz")


def test_a_landmarker_speaks_the_adapters_scheme() -> None:
    adapter, _ = fit_adapter(*seen(40), "face70", "ibug68", "ibug68")
    made = Landmarker(Reader(), LandmarkerConfig(), adapter)
    assert made.scheme == "ibug68"
    wrong = Adapter("x", "wflw98", "ibug68", np.zeros((98, 2)), np.zeros((197, 136)))
    with pytest.raises(FakeitError, match="wflw98"):
        Landmarker(Reader(), LandmarkerConfig(), wrong)


def collected(count: int) -> predictions.PredictionSet:
    predicted, labelled = faces(count)
    samples = tuple(Sample(f"{i}", f"{i}.jpg") for i in range(count))
    unknown = np.full(count, np.nan)
    return predictions.PredictionSet(
        samples, labelled.astype(np.float32), "ibug68", Seen(predicted.astype(np.float32), crop_side=np.ones(count)),
        "face70", unknown, "true",
    )  # fmt: skip


def test_what_was_fitted_on_is_scored_by_adapters_that_never_saw_it() -> None:
    held = collected(100)
    held.truth[:] += np.random.default_rng(9).normal(0, 1.0, held.truth.shape).astype(np.float32)  # cannot be learnt
    adapter, _ = scoring.fit_label_adapter(held, "ibug68", "these very faces")
    points, truth, _, note = scoring.with_adapter(held, adapter)
    assert "cross-validated" in note
    unfair = np.stack([adapter.apply(p) for p in held.said.points])
    fair = np.linalg.norm(points - truth, axis=-1).mean()
    assert fair > np.linalg.norm(unfair - truth, axis=-1).mean()
    others = predictions.PredictionSet(
        tuple(Sample(f"other{i}", f"other{i}.jpg") for i in range(100)),
        *(held.truth, "ibug68", held.said, "face70", held.skin, "true"),
    )
    assert "fitted on these very faces" in scoring.with_adapter(others, adapter)[3]
