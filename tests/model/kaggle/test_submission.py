"""The submission: every line of the lookup filled, clipped, and scored as the competition does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fakeit.model.inference.adapter import Adapter
from fakeit.model.inference.backends import ModelMetadata, Output
from fakeit.model.kaggle.ensemble import Member, fit_labels, open_member, predict, weighted
from fakeit.model.kaggle.submission import mean_points, score, score_by_labels, submit, test_points, write_submission
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.faces.crop import CropConfig
from fakeit.pipelines.sources import open_source
from fakeit.pipelines.sources.kaggle import Kaggle
from fakeit.pipelines.sources.kaggle_tables import read_lookup, read_solution
from tests.pipelines.sources.test_kaggle_source import write_set
from tools import make_kaggle_set

ROOT = Path(__file__).resolve().parents[3]
test_points.__test__ = False  # type: ignore[attr-defined]  # the name is the competition's, it is no test


class Constant:
    """A backend that says the same points of every crop."""

    def __init__(self, points: NDArray[np.floating], scheme: str = "kaggle15") -> None:
        self.metadata = ModelMetadata(scheme, CropConfig(size=96, margin=0.0, colour="grey"))
        self.points = points.astype(np.float32)

    def run(self, crops: NDArray[np.uint8]) -> Output:
        assert crops.shape[1:] == (96, 96, 1)
        return Output(np.repeat(self.points[None], len(crops), 0))


@pytest.fixture(scope="module")
def real(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("real")
    full = make_kaggle_set.read_pts(str(shared / "data/afw_68"))[:60]
    four = make_kaggle_set.read_keypoints(str(shared / "data/youtube_faces_68"))[:80]
    make_kaggle_set.make(full, four, str(folder), 0.15, 1)
    return folder


def lookup_file(folder: Path) -> str:
    path = folder / "IdLookupTable.csv"
    lines = ["RowId,ImageId,FeatureName,Location", "1,1,nose_tip_x,", "2,1,nose_tip_y,", "3,2,mouth_left_corner_x,"]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def test_every_row_is_filled_and_clipped(tmp_path: Path) -> None:
    file = lookup_file(tmp_path)
    points = {1: np.full((15, 2), -3.0, np.float32), 2: np.full((15, 2), 97.5, np.float32)}
    submission = submit(points, read_lookup(file), file)
    write_submission(str(tmp_path / "submission.csv"), submission)
    assert (tmp_path / "submission.csv").read_text() == "RowId,Location\n1,0\n2,0\n3,96\n"
    assert submission.clipped == 3
    (tmp_path / "solution.csv").write_text("RowId,Location\n1,3\n2,4\n3,96\n")
    assert score(submission, str(tmp_path / "solution.csv")) == pytest.approx((25 / 3) ** 0.5)


def test_a_picture_that_is_not_there_is_named(tmp_path: Path) -> None:
    file = lookup_file(tmp_path)
    with pytest.raises(FakeitError, match=r"IdLookupTable.csv, row 3: ImageId 2 is not in test.csv"):
        submit({1: np.zeros((15, 2), np.float32)}, read_lookup(file), file)


def test_the_ensemble_is_the_mean_in_source_pixels() -> None:
    pictures = [np.zeros((96, 96, 3), np.uint8)] * 2
    low, high = Constant(np.full((15, 2), 0.25)), Constant(np.full((15, 2), 0.75))
    mean, spread = predict([Member(low, flip=False), Member(high, flip=False)], pictures, "kaggle15")
    np.testing.assert_allclose(mean, 47.5, atol=1e-4)
    np.testing.assert_allclose(spread, 24 * 2**0.5, rtol=1e-5)
    mirrored, _ = predict([Member(low, flip=True)], pictures, "kaggle15")
    np.testing.assert_allclose(mirrored[0, 0], [47.5, 23.5], atol=1e-4)  # x: mean of 0.25 and 1 − 0.25


def test_the_set_has_the_pattern_of_the_original(real: Path) -> None:
    source = Kaggle(str(real), block=1, val=0.0)
    missing = np.stack([np.isnan(source.read(s).landmarks[:, 0]) for s in source.samples()])
    share = missing.mean(0)
    four = [0, 1, 10, 14]
    assert share[10] == 0 and (share[four] < 0.05).all()
    others = np.delete(share, four)
    assert (np.abs(others - 4780 / 7049) < 0.04).all()


def test_truth_scores_zero_and_the_mean_shape_does_not(real: Path) -> None:
    file, solution = str(real / "IdLookupTable.csv"), str(real / "solution.csv")
    lookup = read_lookup(file)
    truth = {k: np.nan_to_num(v) for k, v in read_solution(str(real), "solution.csv").items()}
    assert score(submit(truth, lookup, file), solution) == pytest.approx(0, abs=1e-4)
    mean = np.nanmean(np.stack(list(read_solution(str(real), "solution.csv").values())), 0)
    points = test_points([Member(Constant((mean + 0.5) / 96), flip=False)], str(real / "test.csv"))
    submission = submit(points, lookup, file)
    assert 3 < score(submission, solution) < 15
    assert set(score_by_labels(submission, solution, lookup)) == {"15 points", "4 points"}


def test_the_solution_makes_the_test_split(real: Path) -> None:
    source: Any = Kaggle(str(real), solution="solution.csv")
    samples = [s for s in source.samples() if s.split == "test"]
    assert samples
    present = {int((source.read(s).visibility > 0).sum()) for s in samples}
    assert max(present) == 15 and 4 in present


def test_a_network_of_another_scheme_and_an_adapter_fitted_on_the_labels(real: Path) -> None:
    source = open_source("kaggle", str(real))
    samples = source.samples()
    mean = np.nanmean(np.stack([source.read(s).landmarks for s in samples]), 0)
    off = Member(Constant((mean + 3.5) / 96), flip=False)  # every point 3 pixels to the lower right
    adapter, left = fit_labels(off, source, samples, "kaggle15")
    assert left < 1 and (adapter.source, adapter.target) == ("kaggle15", "kaggle15")
    pictures = [source.image(s) for s in samples[:3]]
    plain, _ = predict([off], pictures, "kaggle15")
    with_adapter, _ = predict([Member(off.backend, adapter, flip=False)], pictures, "kaggle15")
    assert abs(with_adapter - mean).mean() < 0.5 * abs(plain - mean).mean()
    seventy = Member(Constant(np.full((70, 2), 0.5), "face70"))
    assert predict([seventy], pictures, "kaggle15")[0].shape == (3, 15, 2)


def test_an_adapter_sees_how_sure_a_member_is() -> None:
    """It was given the points alone, though it may have been fitted on more: the rest counted as usual."""
    points = np.random.default_rng(2).uniform(0.2, 0.8, (15, 2))
    sure = Constant(points)
    sure.run = lambda crops: Output(np.repeat(np.float32(points)[None], len(crops), 0), np.ones((len(crops), 15)))  # type: ignore[method-assign,assignment]
    weights = np.zeros((2 * 15 + 15 + 1, 2 * 15))
    weights[30:45] = 0.01
    adapter = Adapter("moves", "kaggle15", "kaggle15", points - points.mean(0), weights, usual=np.zeros(15))
    found, _ = predict([Member(sure, adapter, flip=False)], [np.zeros((96, 96, 3), np.uint8)], "kaggle15")
    np.testing.assert_allclose(found[0], adapter.apply(points * 96 - 0.5, np.ones(15)), atol=1e-3)
    assert (found[0] - (points * 96 - 0.5) > 10).all()


def _set_with_a_broken_row(folder: Path, *files: str) -> Path:
    """A tiny set in Kaggle's layout; the first picture of each of `files` lacks its last pixel."""
    write_set(folder)
    for name in files:
        path = folder / name
        head, first, *rest = path.read_text().splitlines()
        path.write_text("\n".join([head, first.rsplit(" ", 1)[0], *rest]) + "\n")
    return folder


@pytest.mark.fault
def test_training_rows_that_cannot_be_read_are_left_out_and_test_rows_are_named(tmp_path: Path) -> None:
    """`Rejected` went through to the user as a traceback."""
    whole = mean_points(str(_set_with_a_broken_row(tmp_path / "whole")))
    left = mean_points(str(_set_with_a_broken_row(tmp_path / "left", "training.csv")))
    assert left.keys() == whole.keys() and all(np.isfinite(v).all() for v in left.values())
    broken = _set_with_a_broken_row(tmp_path / "broken", "test.csv")
    with pytest.raises(FakeitError, match=r"test.csv"):
        test_points([Member(Constant(np.full((15, 2), 0.5)), flip=False)], str(broken / "test.csv"))


def test_two_pictures_of_one_id_are_refused(tmp_path: Path) -> None:
    """The last one's points were handed in for both, without a word."""
    write_set(tmp_path)
    file = tmp_path / "test.csv"
    file.write_text(file.read_text().replace("\n3,", "\n1,"))
    with pytest.raises(FakeitError, match=r"test.csv, row 3: ImageId 1 is row 1's already"):
        test_points([Member(Constant(np.full((15, 2), 0.5)), flip=False)], str(file))


@pytest.mark.parametrize(
    "job, named", [("submit", "test.csv"), ("submit", "IdLookupTable.csv"), ("fit_labels", "training.csv")]
)
def test_no_job_writes_over_what_it_reads(tmp_path: Path, job: str, named: str) -> None:
    """`submit --output KAGGLE/test.csv` put the submission in the place of the pictures."""
    write_set(tmp_path)
    lookup_file(tmp_path)
    before = (tmp_path / named).read_bytes()
    arguments = [
        "--model",
        str(ROOT / "model/box/nano.onnx"),
        "--input",
        str(tmp_path),
        "--output",
        str(tmp_path / named),
    ]
    ended = subprocess.run([sys.executable, f"jobs/{job}.py", *arguments], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 2 and "is an input and would be destroyed" in ended.stderr
    assert (tmp_path / named).read_bytes() == before
    arguments[-1] = str(tmp_path / "missing/out.csv")
    ended = subprocess.run([sys.executable, f"jobs/{job}.py", *arguments], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 2 and "there is no folder" in ended.stderr


def test_a_model_is_named_as_everywhere() -> None:
    """`--model box` was "no such file"."""
    assert open_member("nano").backend.metadata.scheme == "face70"
    with pytest.raises(FakeitError, match="did you mean 'nano'"):
        open_member("nanp")


@pytest.mark.parametrize("weights", [[0.0], [float("nan")], [float("inf")], [1.0, 2.0]])
def test_weights_are_numbers_above_0(weights: list[float]) -> None:
    """A weight of nan was told after the prediction, as a prediction that is nan."""
    with pytest.raises(FakeitError, match="--weight .* for 1 models; one number above 0 is needed for each"):
        weighted([Member(Constant(np.full((15, 2), 0.5)))], weights)


@pytest.mark.fault
def test_an_adapter_is_fitted_on_the_pictures_that_can_be_read(tmp_path: Path) -> None:
    source = Kaggle(str(_set_with_a_broken_row(tmp_path / "set", "training.csv")))
    samples = source.samples()
    member = Member(Constant(np.random.default_rng(1).uniform(0.2, 0.8, (15, 2))), flip=False)
    adapter, _ = fit_labels(member, source, samples, "kaggle15")
    assert adapter.fitted_on == f"{len(samples) - 1} pictures"
    with pytest.raises(FakeitError, match=r"no picture with labels can be read \(.*training.csv"):
        fit_labels(member, source, samples[:1], "kaggle15")


def test_a_solution_with_a_line_too_many_is_named_by_both_scores(tmp_path: Path) -> None:
    file = lookup_file(tmp_path)
    points = {1: np.zeros((15, 2), np.float32), 2: np.zeros((15, 2), np.float32)}
    lookup = read_lookup(file)
    submission = submit(points, lookup, file)
    solution = tmp_path / "solution.csv"
    solution.write_text("RowId,Location\n1,3\n9,4\n")
    for judge in (lambda: score(submission, str(solution)), lambda: score_by_labels(submission, str(solution), lookup)):
        with pytest.raises(FakeitError, match=r"solution.csv, row 2: RowId 9 is not in the submission"):
            judge()
