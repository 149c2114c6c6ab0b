"""Models by their name in MLflow's registry: fetched once, named in the web demo, and missed in one clear line."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient

from fakeit.model.export import export
from fakeit.model.inference.backends import ModelMetadata
from fakeit.model.inference.landmarker import Landmarker
from fakeit.model.inference.web import choices
from fakeit.model.networks import NetworkConfig, build
from fakeit.model.tracking import model_registry
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.faces.box import Box
from fakeit.pipelines.faces.crop import CropConfig


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store with two versions of one name; the first is champion, the second holds no network."""
    folder = tmp_path_factory.mktemp("store")
    client = MlflowClient(tracking_uri=f"sqlite:///{folder}/mlflow.db")
    network, recipe = build(NetworkConfig(name="lenet"), 70, 3, 32), ModelMetadata("face70", CropConfig(size=32))
    made = export(network, recipe, folder / model_registry.FILE)
    experiment = client.create_experiment("x", artifact_location=str(folder / "artifacts"))
    client.create_registered_model(model_registry.NAME)
    for holds in (True, False):
        run = client.create_run(experiment).info.run_id
        if holds:
            client.log_artifact(run, str(made.path), model_registry.FOLDER)
        source = str(folder / "artifacts" / run / "artifacts")
        client.create_model_version(model_registry.NAME, source, run, tags={"test_nme": "7.1", "dataset": "d"})
    client.set_registered_model_alias(model_registry.NAME, "champion", "1")
    return f"sqlite:///{folder}/mlflow.db"


@pytest.fixture(autouse=True)
def here(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("place", ["models:/fakeit-landmarks@champion", "models:/fakeit-landmarks/1"])
def test_a_registered_model_is_loaded_by_its_name(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    landmarker = Landmarker.load(place)
    assert landmarker.predict_boxes(np.zeros((60, 60, 3), np.uint8), [Box(10, 10, 40, 40)])[0].points.shape == (70, 2)
    fetched = model_registry.fetch(place)
    before = fetched.stat().st_mtime_ns
    assert model_registry.fetch(place) == fetched and fetched.stat().st_mtime_ns == before


def test_the_web_demo_offers_the_versions() -> None:
    models = choices.known_models(["models:/fakeit-landmarks"])
    assert models["fakeit-landmarks@champion (version 1, test_nme 7.1)"] == "models:/fakeit-landmarks@champion"
    assert "models:/fakeit-landmarks/2" in models.values()
    with pytest.raises(FakeitError, match="nothing is registered"):
        choices.known_models(["models:/absent"])


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("models:/fakeit-landmarks@champoin", "did you mean 'models:/fakeit-landmarks@champion'"),
        ("models:/fakeit-landmarks/9", "registered are models:/fakeit-landmarks@champion"),
        ("models:/absent/1", "no model 'absent' there"),
        ("models:/fakeit-landmarks", "expected models:/NAME@ALIAS"),
        ("models:/fakeit-landmarks/2", "version 2 holds no onnx/landmarks.onnx"),
    ],
)
def test_what_is_not_there_is_said_in_one_line(place: str, message: str) -> None:
    with pytest.raises(FakeitError, match=message):
        model_registry.fetch(place)


@pytest.mark.parametrize("asked", [model_registry.fetch, lambda place: choices.known_models([place.split("@")[0]])])
def test_a_store_that_does_not_answer_is_not_called_empty(
    monkeypatch: pytest.MonkeyPatch, asked: Callable[[str], object]
) -> None:
    """It was asked for eight minutes, and then "no model 'fakeit-landmarks' there" was said."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", raising=False)
    began = time.monotonic()
    with pytest.raises(FakeitError, match="MLflow at http://127.0.0.1:9 does not answer"):
        asked("models:/fakeit-landmarks@champion")
    assert time.monotonic() - began < 60


def test_no_store_is_not_made_by_asking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    with pytest.raises(FakeitError, match="mlflow.db: no such file"):
        model_registry.fetch("models:/fakeit-landmarks@champion")
    assert not (tmp_path / "mlflow.db").exists()
