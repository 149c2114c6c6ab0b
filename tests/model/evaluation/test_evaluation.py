"""Scores against values worked out by hand and against the independent scorer; the report; the benchmark's ways."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from fakeit.jobs import evaluate
from fakeit.model.evaluation import metrics, predictions, scoring
from fakeit.model.evaluation.predictions import nearest_box
from fakeit.model.evaluation.protocols import PROTOCOLS, protocol
from fakeit.model.evaluation.runner import (
    BenchmarkConfig,
    Result,
    agreement_on,
    benchmark,
    fit_adapter_on,
    fit_boxes_on,
    log,
)
from fakeit.model.evaluation.scoring import common_scheme
from fakeit.model.inference.adapter import BUILT_IN, stored_names
from fakeit.model.inference.backends import ModelMetadata, Output
from fakeit.model.inference.landmarker import Landmarker, LandmarkerConfig
from fakeit.model.tracking import model_registry
from fakeit.pipelines.errors import FakeitError, Rejected
from fakeit.pipelines.faces import box_fit
from fakeit.pipelines.faces.box import Box, from_landmarks
from fakeit.pipelines.faces.crop import CropConfig, eye_angle
from fakeit.pipelines.faces.draw import write_image
from fakeit.pipelines.landmarks import scheme
from fakeit.pipelines.sources import KINDS, Annotation, Sample, SampleList, Unmatched, annotate
from tests.pattern_face import POINTS_68, Finder, Reader, picture, placed


@dataclass(frozen=True)
class Patches:
    """A source of drawn faces with labels always 2 of its own pixels below the truth."""

    path: str = ""
    count: int = 12
    scheme: str = "ibug68"

    def samples(self) -> SampleList:
        made = (
            Sample(f"{i}", f"{i}.png", attributes={"occluded": i % 2, "subset": "ab"[i % 3 == 0]})
            for i in range(self.count)
        )
        return SampleList(made, [Unmatched("points without a picture", "gone.pts")])

    def _drawn(self, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        i = int(sample.id)
        image, (true,) = picture([placed(120 + 10 * i, 60, 1 + 0.05 * i, 3 * i)], 460, 400)
        return image, true

    def read(self, sample: Sample) -> Annotation:
        if sample.id == "7":
            raise Rejected("7.pts: damaged")
        i = int(sample.id)
        return annotate(self._drawn(sample)[1][:68] + placed(0, 0, 1 + 0.05 * i, 3 * i)[:, :2] @ [0.0, 2.0])

    def image(self, sample: Sample) -> np.ndarray:
        return self._drawn(sample)[0]


@dataclass(frozen=True)
class Many(Patches):
    """Enough for an adapter."""

    count: int = 30


@pytest.fixture
def patches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "patches", "tests.model.evaluation.test_evaluation:Patches")


def landmarker() -> Landmarker:
    made = Landmarker(Reader(), LandmarkerConfig(detector="test"))
    made._detector = Finder()
    return made


def test_normalisers_are_what_they_are_called() -> None:
    truth = POINTS_68[None].astype(np.float64)
    eyes = np.linalg.norm(POINTS_68[45] - POINTS_68[36])
    assert metrics.normaliser(truth, "ibug68", "inter-ocular")[0] == pytest.approx(eyes)
    width, height = np.ptp(POINTS_68, axis=0)
    assert metrics.normaliser(truth, "ibug68", "box")[0] == pytest.approx(max(width, height))
    assert metrics.normaliser(truth, "ibug68", "sqrt-area")[0] == pytest.approx(np.sqrt(width * height))
    inner = metrics.normaliser(truth, "ibug68", "inter-pupil")[0]
    assert inner == pytest.approx(np.linalg.norm(POINTS_68[42:48].mean(0) - POINTS_68[36:42].mean(0)))
    with pytest.raises(FakeitError, match="inter-ocular"):
        metrics.normaliser(truth, "ibug68", "inter-ear")


def test_summary_by_hand() -> None:
    s = metrics.summarise(np.array([0.01, 0.03, 0.06, 1.0]), missing=1)
    assert (s.faces, s.missing) == (4, 1)
    assert s.nme == pytest.approx(27.5) and s.median == pytest.approx(4.5)
    assert s.failures[0.05] == 50 and s.failures[0.08] == 25
    assert s.auc[0.05] == pytest.approx((0.04 + 0.02) / 4 / 0.05, abs=1e-3)


def test_a_face_that_was_not_found_is_wholly_wrong() -> None:
    truth = np.stack([POINTS_68, POINTS_68])
    predicted = truth.copy()
    predicted[1] = np.nan
    errors = metrics.face_errors(predicted, truth, metrics.normaliser(truth, "ibug68", "inter-ocular"))
    assert errors.tolist() == [0, 1]
    truth[0, :30] = np.nan  # what is not labelled counts for nothing
    assert metrics.face_errors(predicted, truth, np.ones(2))[0] == 0


def test_agrees_with_the_independent_scorer(shared: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    with open(shared / "data" / "youtube_faces_68" / "keypoints.csv", newline="") as file:
        head, *rows = list(csv.reader(file))
    rows = rows[:60]
    truth = np.array([row[1:137] for row in rows], float).reshape(-1, 68, 2)
    predicted = truth + random.normal(0, 3, truth.shape)
    predicted[3] = np.nan
    for name, points in (("truth.csv", truth), ("predicted.csv", predicted)):
        with open(tmp_path / name, "w", newline="") as file:
            table = csv.writer(file)
            table.writerow(head)
            table.writerows([[row[0], *p.ravel()] for row, p in zip(rows, points, strict=True)])
    scorer = shared / "tools" / "nme.py"
    shim = "import numpy, runpy; numpy.trapezoid = getattr(numpy, 'trapezoid', None) or numpy.trapz; "
    run = f"runpy.run_path({str(scorer)!r}, run_name='__main__')"
    command = [sys.executable, "-c", shim + run, str(tmp_path / "truth.csv"), str(tmp_path / "predicted.csv")]
    made = subprocess.run(command, capture_output=True, text=True, check=True)
    theirs = json.loads(made.stdout)
    ours = metrics.summarise(metrics.face_errors(predicted, truth, metrics.normaliser(truth, "ibug68", "inter-ocular")))
    assert ours.nme == pytest.approx(theirs["nme"], abs=1e-3) and ours.p90 == pytest.approx(theirs["p90"], abs=1e-3)
    assert ours.auc[0.1] == pytest.approx(theirs["auc10"], abs=2e-3)
    assert ours.failures[0.1] == pytest.approx(theirs["fr10"], abs=1e-2)


@pytest.mark.parametrize("yaw", [-40, -10, 0, 25, 50])
def test_yaw_of_a_turned_head(yaw: float) -> None:
    eyes = np.array(
        [[-1, 0, 0], [1, 0, 0], [0, 0.6, 1.0]]
    )  # outer corners and nose tip: right, down, towards the viewer
    angle = np.deg2rad(yaw)
    x = eyes[:, 0] * np.cos(angle) + eyes[:, 2] * np.sin(angle)
    points = np.zeros((1, 68, 2))
    for index, place in zip((36, 45, 30), range(3), strict=True):
        points[0, index] = [x[place] * 50, eyes[place, 1] * 50]
    found = metrics.yaw_degrees(points, "ibug68")
    assert found is not None and found[0] == pytest.approx(yaw, abs=0.5)


@pytest.mark.parametrize(
    ("colour", "named"), [((240, 205, 180), "light"), ((190, 140, 100), "tan"), ((70, 45, 35), "dark")]
)
def test_skin_tones_by_the_cheeks(colour: tuple[int, int, int], named: str) -> None:
    points = POINTS_68 - POINTS_68.min(axis=0) + 20
    side = int(points.max()) + 40
    picture = np.full((side, side, 3), colour, np.uint8)
    picture[: int(points[27, 1])] = (10, 200, 10)  # whatever is above the eyes does not count
    tone = metrics.skin_tone(picture, points, "ibug68")
    (group,) = metrics.by_skin_tone(np.array([0.05]), np.array([tone]))
    assert named in group
    grey = np.repeat(picture[..., :1], 3, axis=2)
    assert np.isnan(metrics.skin_tone(grey, points, "ibug68"))
    assert np.isnan(metrics.skin_tone(picture, points - 10_000, "ibug68"))
    cheek = points[[2, 36, 31, 48]].mean(axis=0)
    edge = points - (cheek[0] - 1, 0)  # the left cheek at the picture's edge, the right one beyond the other
    assert metrics.skin_tone(picture[:, : int(cheek[0])], edge, "ibug68") == pytest.approx(tone, abs=0.1)
    assert metrics.by_skin_tone(np.array([0.05]), np.array([np.nan])) == {}


def test_jitter_ignores_a_steady_offset() -> None:
    truth = np.stack([POINTS_68 + [t, 0] for t in range(10)]).astype(np.float64)
    length = np.full(10, 50.0)
    assert metrics.jitter(truth + 5, truth, length) == pytest.approx(0)
    trembling = truth + np.where(np.arange(10) % 2, 1.0, 0.0)[:, None, None] * [1, 0]
    assert metrics.jitter(trembling, truth, length) == pytest.approx(2.0)


def test_mean_shape_floor_is_exact_for_one_shape() -> None:
    truth = np.stack([POINTS_68, POINTS_68 * 3 + 10]).astype(np.float64)
    assert np.allclose(metrics.mean_shape_floor(truth), truth)


def test_both_ways_of_finding_faces(patches: None) -> None:
    result = benchmark(landmarker(), BenchmarkConfig("patches"), "reader")
    for way in ("true_boxes", "boxes_of_test"):
        assert result.figures[f"{way}/faces"] == 11 and result.figures[f"{way}/missing"] == 0
        assert 1.5 < result.figures[f"{way}/nme"] < 9  # 2 pixels of 33 to 50 between the eyes
    assert "mean shape" in result.text
    for wanted in ("<svg", "data:image/jpeg", "occluded", "yaw 0–15°", "jaw", "7.pts: damaged"):
        assert wanted in result.html
    assert json.loads(result.json)["figures"]
    said = "not read: 1; the first: 7.pts: damaged\nno sample: 1 points without a picture: gone.pts"
    assert result.text.endswith(said)  # the table alone said 11 faces of 12 and nothing of the others


def test_true_boxes_are_turned_by_the_eyes_where_training_turned_crops() -> None:
    """Such networks were shown faces as they lie, which they had never seen."""

    class Level(Reader):
        """Says that a face whose eyes are not level in its crop is in the middle."""

        def run(self, crops: np.ndarray) -> Output:
            said = super().run(crops)
            level = [abs(eye_angle(points, "face70")) < 1 for points in said.points]
            return said._replace(points=np.where(np.array(level)[:, None, None], said.points, np.float32(0.5)))

    by_eyes = Level(ModelMetadata("face70", CropConfig(size=128, margin=0.2, align="eyes"), sigma=True))
    source = Patches()
    held = predictions.collect(Landmarker(by_eyes), source, source.samples(), "true", mirrored=True)
    truth = np.stack([source._drawn(sample)[1] for sample in held.samples])
    assert np.abs(held.said.points - truth).max() < 0.5


def test_an_adapter_removes_the_labels_habit(patches: None) -> None:
    made = landmarker()
    source = Patches(count=30)
    held = predictions.collect(made, source, source.samples(), "true")
    made.adapter, left = scoring.fit_label_adapter(held, "ibug68", "patches")
    from fakeit.model.evaluation.runner import score

    without, with_one = score(made, held, "inter-ocular")
    assert with_one.scores.nme < 0.5 * without.scores.nme and "cross-validated" in with_one.title


def test_labels_that_no_points_can_be_held_against_are_refused_before_any_face_is_read(
    patches: None, tmp_path: Path
) -> None:
    """After all predictions were made: cannot be mapped, or none could be read; 0 points present."""
    made = landmarker()
    made.adapter = BUILT_IN["wflw98"]
    with pytest.raises(FakeitError, match="adapter 'wflw98' gives wflw98, the labels are ibug68; evaluate without"):
        benchmark(made, BenchmarkConfig("patches"), "reader")
    assert made.backend.runs == 0  # type: ignore[attr-defined]
    with pytest.raises(FakeitError, match="source 'ffhq' gives no points to score by; --option"):
        benchmark(made, BenchmarkConfig("ffhq", str(tmp_path)), "reader")


def test_an_adapter_of_a_registered_model_lies_beside_its_fetched_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the whole fit it could not be written, into a folder called `models:`."""
    monkeypatch.setitem(KINDS, "patches", "tests.model.evaluation.test_evaluation:Many")
    monkeypatch.setattr(model_registry, "fetch", lambda place: tmp_path / "run.onnx")
    said = fit_adapter_on(landmarker(), BenchmarkConfig("patches"), "mine", "models:/fakeit-landmarks@champion")
    assert said.startswith(str(tmp_path)) and stored_names(tmp_path / "run.onnx") == ["mine"]
    assert said.endswith("\nnot read: 1; the first: 7.pts: damaged")


def test_an_adapter_that_cannot_be_called_so_is_refused_before_anything_is_read() -> None:
    """`--fit-adapter a/b` was a trace after all faces had been gone through."""
    with pytest.raises(FakeitError, match="adapter 'a/b': is no name of a file"):
        fit_adapter_on(landmarker(), BenchmarkConfig("patches", "/absent"), "a/b", None)


def test_faces_the_detector_misses_are_counted(patches: None) -> None:
    made = landmarker()
    made._detector = type("Blind", (), {"detect": lambda self, image: []})()
    source = Patches()
    held = predictions.collect(made, source, source.samples()[:5], "detector")
    result = scoring.evaluate(held, *scoring.without_adapter(held), "inter-ocular", "blind")
    assert result.scores.missing == 5 and result.scores.nme == 100 and result.scores.failures[0.1] == 100


def test_the_box_map_is_fitted_and_stored(patches: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(box_fit, "DATA", tmp_path / "fits.json")
    box_fit._stored.cache_clear()
    made = landmarker()
    made._detector = Finder(off=0.2)
    text = fit_boxes_on(made, BenchmarkConfig("patches"))
    assert "11 of 12" in text and set(json.loads((tmp_path / "fits.json").read_text())["test"]) >= {"ibug68", "five"}
    assert abs(box_fit.box_fit("test", "face70").dx + 0.2) < 0.08
    box_fit._stored.cache_clear()


def test_agreement_of_an_exact_model_is_high(tmp_path: Path) -> None:
    image, _ = picture([placed(80, 60, 1.6, 5)], 360, 340)
    write_image(str(tmp_path / "1.png"), image)
    # A mirrored pattern is read mirrored, so only turns can agree here.
    made = landmarker()
    table, unread = agreement_on(made, str(tmp_path), None)
    assert all(table[f"turned by {a:+.0f}°"] < 2 for a in (-10, -5, 5, 10))
    assert made._detector.calls == 6 and not unread  # once as it is, mirrored, turned four times


@pytest.mark.slow
def test_mlflow_holds_figures_and_page(patches: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    result = benchmark(landmarker(), BenchmarkConfig("patches", boxes=("true",), limit=4), "reader")
    uri = f"sqlite:///{tmp_path / 'm.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)  # wins, and is what is told
    line = log(result, "http://127.0.0.1:9")
    assert line.endswith(f" at {uri}")
    run = MlflowClient(tracking_uri=uri).get_run(line.split()[2])
    assert run.data.metrics["true_boxes/nme"] == pytest.approx(result.figures["true_boxes/nme"])


def test_where_mlflow_takes_nothing_no_run_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run "None" was said to be there, and the figures to stand in a temporary folder that was gone."""
    result = Result("reader on patches", "", "<p>", {"true_boxes/nme": 1.0}, {"model": "m"}, None)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(FakeitError, match=r"MLflow at http://127.0.0.1:9 does not answer \(.*--report and --json"):
        log(result, "http://127.0.0.1:9")


def test_names() -> None:
    assert protocol("300w-full").wanted["subset"] == ("common", "challenging")
    assert protocol("face_synthetics").kind == "face_synthetics"
    with pytest.raises(FakeitError, match="did you mean '300w-full'"):
        protocol("300w-ful")
    assert all(p.normaliser in metrics.NORMALISERS for p in PROTOCOLS.values())
    assert common_scheme("face70", "wflw98") == "ibug68" and common_scheme("face70", "kaggle15") == "kaggle15"
    assert len(scheme(common_scheme("kaggle15", "five")).names) == 5


def test_nearest_box() -> None:
    boxes = [Box(0, 0, 10, 10), Box(52, 50, 40, 40)]
    face = np.array([[50.0, 50], [90, 90]])
    assert nearest_box(boxes, from_landmarks(face), face) == boxes[1]
    assert nearest_box(boxes, from_landmarks(face + 150), face + 150) is None
    assert nearest_box([], from_landmarks(face), face) is None
    eyes = np.array([[60.0, 60], [70, 61], [np.nan, 0]])  # of a scheme of few points: their box is a part of the face's
    assert nearest_box(boxes, from_landmarks(eyes), eyes) == boxes[1]
    assert nearest_box(boxes, from_landmarks(eyes + 100), eyes + 100) is None


def test_pictures_without_a_face_are_per_cent_of_the_pictures(tmp_path: Path) -> None:
    """It read: without a face: 7.00 % of the eyes' distance."""
    for index in range(4):
        image = picture([placed(60, 60, 1.5)] * (index != 3), 400, 360)[0]
        write_image(str(tmp_path / f"{index}.png"), image)
    (tmp_path / "4.png").write_bytes(b"no picture")
    said = benchmark(landmarker(), BenchmarkConfig("", "", (), None, str(tmp_path)), "m").text
    assert "agreement, mirrored: no face found, of the pictures: 25.00 %\n" in said.replace(": 25", ": 25") + "\n"
    assert "of the eyes' distance" in said
    assert f"not read of unlabelled: 1; the first: {tmp_path}/4.png: not an image" in said


def test_a_folder_is_scored_by_the_points_that_its_options_name(tmp_path: Path) -> None:
    """`--source folder` was any source by the help and could not be said: its options had no way in."""
    image, (true,) = picture([placed(80, 60, 1.6)], 360, 340)
    write_image(str(tmp_path / "1.png"), image)
    names = ",".join(f"{axis}{point}" for point in range(70) for axis in "xy")
    (tmp_path / "p.csv").write_text(f"image,{names}\n1.png,{','.join(map(str, true.ravel()))}\n")
    config = BenchmarkConfig("folder", str(tmp_path), options={"scheme": "face70", "points": "p.csv"})
    assert benchmark(landmarker(), config, "reader").figures["true_boxes/nme"] < 1
    asked = evaluate.parser().parse_args(
        ["--source", "300vw", "--input", str(tmp_path), "--option", "evry=2", "--model", "nano"]
    )
    with pytest.raises(FakeitError, match="source '300vw': unknown key 'evry'; did you mean 'every'"):
        evaluate.main(asked)


def test_no_folder_for_the_report_is_told_before_anything_is_scored(tmp_path: Path) -> None:
    asked = evaluate.parser().parse_args(
        ["--source", "300w", "--input", str(tmp_path), "--json", str(tmp_path / "missing" / "figures.json")]
    )
    with pytest.raises(FakeitError, match="figures.json: there is no folder .*missing"):
        evaluate.main(asked)
