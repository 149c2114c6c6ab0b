"""Filling in: labels stay, predictions are marked and weighted, and the filled set is a dataset like any other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fakeit.model.inference.backends import ModelMetadata, Output
from fakeit.model.kaggle import imputation, shard_imputation
from fakeit.model.kaggle.imputation import fill_in as fill
from fakeit.model.kaggle.shard_imputation import FillConfig, Predictor
from fakeit.model.training.config import TrainConfig
from fakeit.pipelines.config import load
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.faces.crop import CropConfig
from fakeit.pipelines.flows import preprocess
from fakeit.pipelines.flows.preprocess_config import PreprocessConfig
from fakeit.pipelines.landmarks import KAGGLE_NAMES, scheme
from fakeit.pipelines.machine import runners
from fakeit.pipelines.store import manifest as manifests
from fakeit.pipelines.store.schema import Rows
from fakeit.pipelines.store.shards import read_shard
from tests.pipelines.sources.test_kaggle_source import write_set

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROOT = Path(__file__).resolve().parents[3]
IN_PROCESS = runners.in_processes(0)
FACE = np.random.default_rng(3).uniform(0.2, 0.8, (15, 2)).astype(np.float32)
MIRRORED = FACE[list(scheme("kaggle15").flip)] * np.array([-1, 1], np.float32) + np.array([1, 0], np.float32)
FACE = (FACE + MIRRORED) / 2  # so that both sides agree


class Fake:
    """A model that answers with one face, off by what its name says."""

    def __init__(self, offset: float) -> None:
        self.metadata = ModelMetadata("kaggle15", CropConfig(size=96, margin=0.0, colour="grey"))
        self.offset = offset

    def run(self, crops: NDArray[np.uint8]) -> Output:
        return Output(np.repeat(FACE[None] + np.float32(self.offset), len(crops), 0))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("fill")
    write_set(folder / "set")
    config = load(
        ROOT / "conf/preprocess/kaggle.toml", PreprocessConfig, ["store.rows_per_shard=20", "source.options.block=5"]
    )
    preprocess.preprocess(config, str(folder / "set"), str(folder / "data"), IN_PROCESS)
    return str(folder / "data")


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(shard_imputation, "_backend", lambda path: Fake(float(Path(path).name.split("=")[1])))
    yield


def rows_of(dataset: str, split: str = "train") -> Rows:
    manifest = manifests.load(dataset)
    parts = [read_shard(f"{dataset}/{s.path}", manifest.shape) for s in manifest.of(split)]
    return {name: np.concatenate([np.asarray(p[name]) for p in parts]) for name in parts[0]}


def test_gaps_are_filled_marked_and_weighted(dataset: str, tmp_path: Path) -> None:
    trained: list[str] = []

    def train(data: str, name: str) -> str:
        trained.append(data)
        return "model=0"

    config = FillConfig(rounds=2, min_confidence=0.0, pseudo_label_weight=0.5)
    rounds = fill(dataset, str(tmp_path / "filled"), str(tmp_path / "scratch"), train, IN_PROCESS, config)
    assert trained == [dataset, str(tmp_path / "scratch/round-1/filled")]
    before, after = rows_of(dataset), rows_of(str(tmp_path / "filled"))
    gap = np.isnan(before["landmarks"][..., 0])
    assert list(before["image_id"]) == list(after["image_id"])
    assert (before["image"] == after["image"]).all()
    assert np.isfinite(after["landmarks"]).all() and (after["visibility"][gap] == 0).all()
    assert ((after["weight"][gap] > 0) & (after["weight"][gap] < 0.5)).all()
    np.testing.assert_array_equal(after["landmarks"][~gap], before["landmarks"][~gap])
    assert (after["weight"][~gap] == 1).all()
    told = manifests.load(str(tmp_path / "filled")).conf["fill_in"]
    assert told["filled"]["left_eye_inner_corner"] == gap[:, 2].sum() and "nose_tip" not in told["filled"]
    assert told["missing"] == gap.sum() == rounds[-1].missing and told["round"] == 2


def test_the_driver_reads_no_shard_and_asks_no_model(
    dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counting gaps and judging models on validation rows ran on the driver, over the whole dataset."""
    inside: list[object] = []

    def runner(function: Any, tasks: Any, progress: Any) -> list[Any]:
        inside.append(function)
        try:
            return [function(task) for task in tasks]
        finally:
            inside.pop()

    def only_inside(work: Any) -> Any:
        def checked(*arguments: Any, **options: Any) -> Any:
            assert inside, "on the driver"
            return work(*arguments, **options)

        return checked

    for name in ("predict", "read_shard", "read_columns"):
        monkeypatch.setattr(shard_imputation, name, only_inside(getattr(shard_imputation, name)))
    assert not any(hasattr(imputation, name) for name in ("predict", "read_shard", "read_columns"))
    config = FillConfig(rounds=1, min_confidence=0.0)
    (done,) = fill(dataset, str(tmp_path / "f"), str(tmp_path / "s"), lambda d, n: "m=0", runner, config)
    assert done.missing > 0 and not inside


def test_usual_errors_are_those_of_validation_rows(dataset: str) -> None:
    """Points that are often missing are judged as in a row with gaps: the face is first laid onto its other points."""
    predictors, config = [Predictor("m=0.1")], FillConfig()
    lacking = imputation.missing_share(dataset, IN_PROCESS)
    found, often = imputation.validation_errors(dataset, predictors, config, IN_PROCESS, lacking), lacking > 0.3
    truth = rows_of(dataset, "val")["landmarks"]
    said = FACE + np.array([0, 0.1], np.float32)  # of the crop and of its mirror: they contradict each other sideways
    off = ((said - truth).astype(np.float64) ** 2).mean(-1)
    for point in np.flatnonzero(~often):
        known = np.isfinite(off[:, point])
        expected = float(np.sqrt(off[known, point].mean())) if known.sum() >= 5 else config.typical
        assert found[point] == pytest.approx(expected, rel=1e-5)


def test_a_conf_that_cuts_other_crops_is_refused_before_it_trains(dataset: str, tmp_path: Path) -> None:
    """Its models were shown the stored crops all the same: an error of onnxruntime, or points of another crop."""
    config = load(ROOT / "conf/train/kaggle_cnn.toml", TrainConfig, ["input.size=64"])
    with pytest.raises(FakeitError, match=r"leave \[input\] out"):
        imputation.trainer(config, str(tmp_path))(dataset, "round-1")


def test_validation_rows_keep_their_gaps(dataset: str, tmp_path: Path) -> None:
    fill(dataset, str(tmp_path / "f"), str(tmp_path / "s"), lambda d, n: "m=0", IN_PROCESS, FillConfig(rounds=1))
    for name in ("landmarks", "weight", "visibility"):
        np.testing.assert_array_equal(rows_of(str(tmp_path / "f"), "val")[name], rows_of(dataset, "val")[name])


def test_experts_that_disagree_have_no_confidence() -> None:
    images = np.zeros((3, 96, 96, 1), np.uint8)
    floor = (0.01,) * 15
    sure = shard_imputation.ImputeMissing((Predictor("m=0"),), "kaggle15", floor, FillConfig())
    torn = shard_imputation.ImputeMissing((Predictor("m=0.2"), Predictor("m=-0.2")), "kaggle15", floor, FillConfig())
    unknown = np.full((3, 15, 2), np.nan, np.float32)
    assert sure.answers(images, unknown)[1].min() > 0.95
    assert torn.answers(images, unknown)[1].max() < 0.05


def test_a_face_is_laid_onto_the_points_that_are_known() -> None:
    turn = 1.2 * np.array([[0.96, 0.28], [-0.28, 0.96]])
    truth = ((FACE - 0.5) @ turn + [0.6, 0.4]).astype(np.float32)
    known = np.where(np.isin(np.arange(15), (0, 1, 10, 14))[:, None], truth, np.float32(np.nan))
    one = np.where(np.arange(15)[:, None] == 10, FACE + np.float32(0.1), np.float32(np.nan))
    none = np.full_like(FACE, np.nan)
    laid = shard_imputation.align_to_known(np.stack([FACE] * 3), np.stack([known, one, none]))
    for found, wanted in zip(laid, (truth, FACE + 0.1, FACE), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_one_model_for_each_point(dataset: str, tmp_path: Path) -> None:
    trained: dict[str, Rows] = {}

    def train(data: str, name: str) -> str:
        trained[name] = rows_of(data)
        return "m=0.1"

    config = FillConfig(rounds=1, models="each", min_confidence=0.0)
    (ended,) = fill(dataset, str(tmp_path / "f"), str(tmp_path / "s"), train, IN_PROCESS, config)
    lacking = [n for n in KAGGLE_NAMES if n not in ("left_eye_center", "right_eye_center", "nose_tip")][:-1]
    assert list(trained) == [f"round-1-{name}" for name in lacking] and len(ended.predictors) == 11
    weight = trained["round-1-left_eye_inner_corner"]["weight"]
    assert weight[:, 2].any() and not np.delete(weight, 2, axis=1).any()


def test_refusals(dataset: str, tmp_path: Path) -> None:
    (tmp_path / "held").mkdir()
    (tmp_path / "held" / "letter.txt").write_text("mine")
    for overwrite, words in ((False, "already holds 1 files"), (True, "no dataset; it is not overwritten")):
        with pytest.raises(FakeitError, match=words):
            fill(
                dataset, str(tmp_path / "held"), str(tmp_path), lambda d, n: "m=0", IN_PROCESS, FillConfig(rounds=1),
                overwrite,
            )  # fmt: skip
    with pytest.raises(FakeitError, match=r"pseudo-label-weight 1\.0"):
        FillConfig(pseudo_label_weight=1.0)
    full = str(tmp_path / "full")
    fill(dataset, full, str(tmp_path / "s"), lambda d, n: "m=0", IN_PROCESS, FillConfig(rounds=1, min_confidence=0.0))
    with pytest.raises(FakeitError, match="there is nothing to fill in"):
        fill(full, str(tmp_path / "x"), str(tmp_path / "s"), lambda d, n: "m=0", IN_PROCESS, FillConfig(rounds=1))


@pytest.mark.spark
def test_trained_and_filled_on_spark(
    dataset: str, tmp_path: Path, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # a real model this time
    train = imputation.trainer(
        load(
            ROOT / "conf/train/kaggle_cnn.toml",
            TrainConfig,
            ["network.name=lenet", "train.epochs=1", 'tracking.uri=""', "train.threads=1", 'train.device="cpu"'],
        ),
        str(tmp_path / "scratch"),
    )
    filled = [str(tmp_path / name) for name in ("spark", "here")]
    config = FillConfig(rounds=1, min_confidence=0.0)
    for output, runner in zip(filled, (runners.on_spark(spark), IN_PROCESS), strict=True):
        (ended,) = fill(dataset, output, str(tmp_path / "scratch"), train, runner, config)
        assert sum(ended.filled.values()) == ended.missing > 0
    assert np.isfinite(rows_of(filled[0])["landmarks"]).all()
    np.testing.assert_allclose(rows_of(filled[0])["landmarks"], rows_of(filled[1])["landmarks"], atol=1e-4)
