"""Confidence and visibility through an evaluation: read from an ONNX file, held against labels, mended, shown."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from fakeit.model.evaluation import html_report, scoring
from fakeit.model.evaluation.predictions import collect
from fakeit.model.evaluation.runner import BenchmarkConfig, fit_confidence_on, score
from fakeit.model.inference.adapter import JAW_CONTOUR
from fakeit.model.inference.backends import AS_TOLD, OnnxBackend, Output, SigmaFit
from fakeit.model.inference.landmarker import BOX, Landmarker, LandmarkerConfig
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.faces.box import from_landmarks
from fakeit.pipelines.sources import HIDDEN, KINDS, VISIBLE, Annotation, annotate
from tests.model.evaluation.test_evaluation import Patches
from tests.pattern_face import POINTS_68, Reader

HIDES = np.arange(68) % 3 == 0


class Half(Patches):
    """Patches of which every third point is hidden on every second face."""

    def read(self, sample):  # type: ignore[no-untyped-def]
        known = super().read(sample)
        hidden = HIDES & (int(sample.id) % 2 == 0)
        return replace(known, visibility=np.where(hidden, HIDDEN, VISIBLE).astype(np.uint8))


@dataclass
class Seer(Reader):
    """Says of every third point that it is hidden, of others that they are seen, always."""

    def run(self, crops):  # type: ignore[no-untyped-def]
        points, sigma, *_ = super().run(crops)
        said = np.where(np.arange(70) % 3 == 0, 0.5, 1.0).astype(np.float32)
        return Output(points, sigma, np.repeat(said[None], len(crops), axis=0))


def test_visibility_is_held_against_hidden_points() -> None:
    source = Half()
    held = collect(Landmarker(Seer(), LandmarkerConfig()), source, source.samples()[:6], "true")
    assert held.visibility is not None and held.visibility.shape == (6, 70) and held.seen is not None
    made = scoring.evaluate(held, *scoring.without_adapter(held), "inter-ocular", "patches")
    known = made.reliability["visibility"]
    assert known.ece == pytest.approx(0, abs=1e-6)  # it is half sure of what is hidden half the time
    assert {"no point hidden", "above 30 % hidden"} <= set(made.groups)
    page = html_report.page("t", {}, [made], None)
    assert "What it says of itself" in page and "visibility, patches" in page


@pytest.mark.filterwarnings("error")
def test_a_point_without_a_label_is_not_hidden() -> None:
    class Gaps(Patches):
        """Patches of whose inner lips no point has a label."""

        def read(self, sample):  # type: ignore[no-untyped-def]
            return annotate(np.where(np.arange(68)[:, None] >= 60, np.nan, super().read(sample).landmarks))

    source = Gaps()
    held = collect(Landmarker(Seer(), LandmarkerConfig()), source, source.samples()[:6], "true")
    made = scoring.evaluate(held, *scoring.without_adapter(held), "inter-ocular", "patches")
    assert np.isfinite(made.scores.nme) and np.isfinite(made.floor.nme)
    assert "visibility" not in made.reliability and not [name for name in made.groups if "hidden" in name]


def test_an_onnx_file_says_what_is_visible_and_where_the_dense_points_are() -> None:
    backend = OnnxBackend(BOX)
    side = backend.metadata.crop.size
    said = backend.run(np.random.default_rng(0).integers(0, 255, (3, side, side, 3), np.uint8))
    assert said.points.shape == (3, 70, 2) and said.visibility is not None and said.dense is not None
    assert (said.visibility >= 0).all() and (said.visibility <= 1).all() and said.dense.shape == (3, 400, 2)
    made = Landmarker(backend, LandmarkerConfig(flip=True))
    (face,) = made.predict_boxes(np.full((90, 90, 3), 90, np.uint8), [from_landmarks(POINTS_68 * 0.6)])
    assert face.visibility is not None and face.visibility.shape == (70,) and 0 < face.visibility.mean() < 1


def test_the_confidence_is_fitted_and_kept_in_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(KINDS, "patches", "tests.model.evaluation.test_evaluation:Patches")
    model = tmp_path / "m.onnx"
    model.write_bytes(BOX.read_bytes())
    before = Landmarker.load(model)
    line = fit_confidence_on(before, BenchmarkConfig("patches"), str(model))
    after = Landmarker.load(model)
    assert "ECE of the confidence" in line and after.metadata.sigma_fit != AS_TOLD
    assert replace(after.metadata, sigma_fit=before.metadata.sigma_fit) == before.metadata
    with pytest.raises(FakeitError, match="export the checkpoint first"):
        fit_confidence_on(before, BenchmarkConfig("patches"), str(tmp_path / "m.pt"))


def test_a_fitted_confidence_is_what_faces_have() -> None:
    reader = Reader()
    reader.metadata = replace(reader.metadata, sigma_fit=SigmaFit(1.0, 0.03))
    source = Patches()
    annotation, pixels = source.read(source.samples()[0]), source.image(source.samples()[0])
    assert isinstance(annotation, Annotation)
    (face,) = Landmarker(reader).predict_boxes(pixels, [from_landmarks(annotation.landmarks)])
    assert face.confidence.mean() == pytest.approx(1 - np.exp(-0.5), abs=0.03)


def test_a_built_in_adapter_is_judged_by_the_confidence_that_its_faces_have() -> None:
    """It was judged as if the network's own fit were not there: ECE 0.17 for the box's 0.11 on the same points."""
    reader, source = Reader(), Patches()
    reader.metadata = replace(reader.metadata, sigma_fit=SigmaFit(1.0, 0.03))
    held = collect(Landmarker(reader), source, source.samples()[:3], "true")
    plain, adapted = score(Landmarker(reader, adapter=JAW_CONTOUR), held, "inter-ocular")
    assert adapted.reliability["confidence"].said == pytest.approx(plain.reliability["confidence"].said)
