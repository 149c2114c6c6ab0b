"""MediaPipe's mesh as a scheme among ours, and its adapter: without MediaPipe, on a drawn mesh."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from benchmarks import inference, mediapipe_mesh
from fakeit.model.evaluation import scoring
from fakeit.model.evaluation.predictions import PredictionSet
from fakeit.model.inference.adapter_fit import Seen
from fakeit.pipelines import landmarks
from fakeit.pipelines.sources import Sample


def pairs() -> np.ndarray:
    """(468,) each vertex's mirror twin: those that stand for iBUG's points as these do, the others two by two."""
    known, flip = mediapipe_mesh.VERTICES, landmarks.scheme("ibug68").flip
    twin = np.arange(mediapipe_mesh.COUNT)
    twin[known] = np.array(known)[list(flip)]
    rest = np.setdiff1d(twin, known)
    twin[rest] = rest.reshape(-1, 2)[:, ::-1].ravel()
    return twin


@pytest.fixture
def mesh() -> Iterator[np.ndarray]:
    """A symmetrical mesh (468, 2)."""
    points = np.random.default_rng(0).uniform((5, 0), (60, 120), (mediapipe_mesh.COUNT, 2))
    twin = pairs()
    right = np.arange(len(points)) > twin
    points[right] = points[twin[right]] * [-1, 1]
    points[np.arange(len(points)) == twin, 0] = 0
    yield points
    landmarks.SCHEMES.pop(mediapipe_mesh.MESH, None)
    landmarks._MAPPINGS.pop((mediapipe_mesh.MESH, "ibug68"), None)
    landmarks.mapping.cache_clear()
    landmarks._gathering.cache_clear()


def test_mirror_pairs_are_found(mesh: np.ndarray) -> None:
    mediapipe_mesh.know_mesh(mesh[None] + np.zeros((3, 1, 1)))
    assert landmarks.scheme(mediapipe_mesh.MESH).flip == tuple(pairs())


def test_the_mesh_is_scored_plain_and_through_the_same_adapter(mesh: np.ndarray) -> None:
    random = np.random.default_rng(1)
    faces = 60
    points = mesh * random.uniform(0.8, 1.2, (faces, 1, 2)) + random.uniform(100, 200, (faces, 1, 2))
    mediapipe_mesh.know_mesh(points)
    truth = points[:, mediapipe_mesh.VERTICES] + [1.0, -4.0]  # a shift of labels, and a habit
    samples = tuple(Sample(f"{i}", f"{i}.jpg") for i in range(faces))
    rest = (mediapipe_mesh.MESH, np.full(faces, np.nan), "true")
    held = PredictionSet(
        samples, truth.astype(np.float32), "ibug68",
        Seen(points.astype(np.float32), crop_side=np.full(faces, 120.0)), *rest,
        mirrored=Seen(points),
    )  # type: ignore[arg-type]  # fmt: skip
    adapter, _ = scoring.fit_label_adapter(held, "fitted", "drawn")
    assert adapter.shift == pytest.approx(1.0, abs=0.1)
    other = PredictionSet(tuple(Sample(f"x{i}", f"x{i}.jpg") for i in range(faces)), *(held.truth, "ibug68"),
                          held.said, *rest)  # type: ignore[arg-type]  # fmt: skip
    row = inference.errors({"detector": other, "true": other}, adapter, "inter-ocular")
    assert row["nme_adapter"] == row["nme_true_adapter"] and row["nme_adapter"] < 0.2 * float(row["nme"])
    shown = inference.line("MediaPipe", {"ms_per_face": 3.0, **row})
    assert shown.split()[1:4] == ["3.00", "-", "-"]  # nothing was timed apart
    assert shown.split()[-2:] == [f"{row['nme_true']:.2f}", f"{row['nme_true_adapter']:.2f}"]
