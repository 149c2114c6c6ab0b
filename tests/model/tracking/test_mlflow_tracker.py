"""MLflow behind a journal: nothing is lost when the server is away, nothing is sent twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fakeit.model.tracking.journal import JOURNAL, Journal
from fakeit.model.tracking.mlflow_tracker import DatasetInfo, MlflowTracker, NoOpTracker, TrackingConfig, make
from fakeit.pipelines.errors import FakeitError

INFO = DatasetInfo("faces", "abc123", "/data/faces", {"train": 10, "val": 2})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


@pytest.fixture(autouse=True)
def no_other_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)  # also what a test sets by mlflow.set_tracking_uri


def tracker(server: str, folder: Path, run_id: str | None = None) -> MlflowTracker:
    made = MlflowTracker(TrackingConfig(uri=server, model=False), folder, "a run", run_id)
    made.start({"network": {"name": "lenet"}, "world_size": 2}, [INFO])
    return made


def points(server: str, run_id: str, name: str = "train_loss") -> list[tuple[int, float]]:
    from mlflow import MlflowClient

    return sorted((m.step, m.value) for m in MlflowClient(server).get_metric_history(run_id, name))


def test_a_run_holds_params_figures_and_the_dataset(server: str, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    made = tracker(server, tmp_path)
    made.metrics(1, {"train_loss": 0.5, "val_nme": float("nan")})
    made.metrics(2, {"train_loss": 0.25, "val_nme": 0.1})
    made.finish("FINISHED")
    assert made.run_id is not None
    run = MlflowClient(server).get_run(made.run_id)
    assert run.info.status == "FINISHED" and run.data.params == {"network.name": "lenet", "world_size": "2"}
    assert points(server, made.run_id) == [(1, 0.5), (2, 0.25)] and points(server, made.run_id, "val_nme") == [(2, 0.1)]
    assert run.inputs.dataset_inputs[0].dataset.digest == "abc123"
    assert [a.path for a in MlflowClient(server).list_artifacts(made.run_id)] == ["loss_curve.png"]


def test_a_resumed_run_goes_on_without_doubled_points(server: str, tmp_path: Path) -> None:
    first = tracker(server, tmp_path)
    first.metrics(1, {"train_loss": 0.5})
    first.metrics(2, {"train_loss": 0.4})
    second = tracker(server, tmp_path, first.run_id)  # the first was killed after epoch 2, its checkpoint is of epoch 1
    second.metrics(2, {"train_loss": 0.4})
    second.metrics(3, {"train_loss": 0.3})
    assert second.run_id == first.run_id is not None
    assert points(server, second.run_id) == [(1, 0.5), (2, 0.4), (3, 0.3)]


@pytest.mark.fault
def test_what_a_server_missed_is_sent_when_it_is_back(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from mlflow import MlflowClient

    made = tracker(server, tmp_path)
    made.metrics(1, {"train_loss": 0.5})

    def away(*arguments: object, **options: object) -> None:
        raise ConnectionError("connection refused")

    with monkeypatch.context() as broken:
        broken.setattr(MlflowClient, "log_batch", away)
        made.metrics(2, {"train_loss": 0.4})
        made.metrics(3, {"train_loss": 0.3})
    assert capsys.readouterr().err.count("does not answer") == 1
    journal = [json.loads(line) for line in (tmp_path / JOURNAL).read_text().splitlines()]
    assert [line["epoch"] for line in journal] == [1, 2, 3]
    made.metrics(4, {"train_loss": 0.2})
    assert made.run_id is not None
    assert [step for step, _ in points(server, made.run_id)] == [1, 2, 3, 4]


@pytest.mark.fault
def test_a_journal_that_is_cut_at_any_byte_goes_on(tmp_path: Path) -> None:
    """Cut behind the figures' brace a line looked whole, and the resume ended in a trace."""
    for epoch in (1, 2):
        Journal(tmp_path, resume=True).add(epoch, {"train_loss": 0.5 / epoch})
    written = (tmp_path / JOURNAL).read_text()
    for length in range(len(written.splitlines()[0]) + 1, len(written)):
        (tmp_path / JOURNAL).write_text(written[:length])
        whole = length == len(written) - 1  # but for the end of its line
        assert [line["epoch"] for line in Journal(tmp_path, resume=True).lines] == [1, 2][: 1 + whole]


@pytest.mark.fault
def test_a_server_that_was_never_there_costs_a_warning(
    tmp_path: Path, server: str, capsys: pytest.CaptureFixture[str]
) -> None:
    made = tracker("http://127.0.0.1:9", tmp_path)
    made.metrics(1, {"train_loss": 0.5})
    made.finish("FINISHED")
    assert "MLflow lacks 1 epochs" in capsys.readouterr().err
    made.uri, made.config = server, TrackingConfig(uri=server, model=False)
    made.metrics(2, {"train_loss": 0.4})
    assert made.run_id is not None
    assert [step for step, _ in points(server, made.run_id)] == [1, 2]


def test_mlflow_opens_the_experiment_as_a_training(server: str, tmp_path: Path) -> None:
    """By this tag: else its UI begins with prompts and traces."""
    from mlflow import MlflowClient

    tracker(server, tmp_path).metrics(1, {"train_loss": 0.5})
    made = MlflowClient(server).get_experiment_by_name(TrackingConfig().experiment)
    assert made.tags["mlflow.experimentKind"] == "custom_model_development"


def test_only_the_first_rank_tracks(tmp_path: Path) -> None:
    assert isinstance(make(TrackingConfig(), tmp_path, "x", 1, None), NoOpTracker)
    assert isinstance(make(TrackingConfig(uri=""), tmp_path, "x", 0, None), NoOpTracker)


def test_the_logged_model_predicts_as_the_checkpoint(server: str, tmp_path: Path) -> None:
    """Loaded as anyone would who has MLflow and none of our code: through pyfunc, and as a torch module."""
    import mlflow
    import numpy as np
    import torch

    from fakeit.model.networks import NetworkConfig, build

    torch.manual_seed(3)
    network = build(NetworkConfig(name="lenet", head="gaussian"), 5, 3, 32).eval()
    made = MlflowTracker(TrackingConfig(uri=server, experiment="models"), tmp_path, "a run")
    made.start({}, [INFO])
    made.metrics(1, {"train_loss": 0.5})
    made.finish("FINISHED", network)
    assert "MLFLOW_TRACKING_URI" not in os.environ, "the next run of this process may have another server"
    images = np.random.default_rng(2).integers(0, 256, (5, 32, 32, 3), np.uint8)
    with torch.no_grad():
        expected = network(torch.from_numpy(images)).points.numpy()
    mlflow.set_tracking_uri(server)
    where = f"runs:/{made.run_id}/model"
    loaded = mlflow.pyfunc.load_model(where)
    np.testing.assert_allclose(loaded.predict(images), expected, rtol=1e-5, atol=1e-6)
    with torch.no_grad():
        points = mlflow.pytorch.load_model(where)(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(points, expected, rtol=1e-5, atol=1e-6)
    shape = loaded.metadata.signature.inputs.inputs[0].shape
    assert tuple(shape) == (-1, 32, 32, 3), "any number of faces"


def test_nobody_is_told_that_mlflow_is_used() -> None:
    """Asked in a process that is no test and no CI, where mlflow by itself would report."""
    ours = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "PYTHONPATH": os.environ["PYTHONPATH"]}
    asked = "import fakeit.model; from mlflow.telemetry.utils import is_telemetry_disabled as off; print(off())"
    done = subprocess.run([sys.executable, "-c", asked], env=ours, capture_output=True, text=True, timeout=100)
    assert done.stdout.strip() == "True", done.stderr[-500:]


def runs_of(server: str, experiment: str) -> list[str]:
    from mlflow import MlflowClient

    client = MlflowClient(server)
    return [r.info.run_id for r in client.search_runs([client.get_experiment_by_name(experiment).experiment_id])]


def away(*arguments: object, **options: object) -> None:
    raise ConnectionError("connection refused")


@pytest.mark.fault
def test_a_server_that_fails_half_way_gets_one_run(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Creating a run worked, describing it did not: every epoch opened another, six in five epochs."""
    from mlflow import MlflowClient

    config = TrackingConfig(uri=server, experiment="half", model=False)
    made = MlflowTracker(config, tmp_path, "a run")
    with monkeypatch.context() as broken:
        broken.setattr(MlflowClient, "log_batch", away)
        made.start({"seed": 1}, [INFO])
        for epoch in range(1, 6):
            made.metrics(epoch, {"train_loss": 1.0 / epoch})
    made.metrics(6, {"train_loss": 0.1})
    assert runs_of(server, "half") == [made.run_id]
    assert made.run_id is not None and [step for step, _ in points(server, made.run_id)] == [1, 2, 3, 4, 5, 6]
    assert MlflowClient(server).get_run(made.run_id).data.params == {"seed": "1"}


@pytest.mark.fault
def test_a_run_whose_creation_was_not_answered_is_found(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    create = MlflowClient.create_run

    def unheard(self: MlflowClient, *arguments: object, **options: object) -> None:
        create(self, *arguments, **options)
        away()

    config = TrackingConfig(uri=server, experiment="unheard", model=False)
    made = MlflowTracker(config, tmp_path, "a run")
    with monkeypatch.context() as broken:
        broken.setattr(MlflowClient, "create_run", unheard)
        made.start({}, [INFO])
    made.metrics(1, {"train_loss": 0.5})
    assert runs_of(server, "unheard") == [made.run_id]


@pytest.mark.fault
def test_runs_that_begin_at_once_do_not_stand_in_each_other_s_way(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Seen on PostgreSQL: another run makes the experiment, or logs the same dataset, between look and insert."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    look, log, asked = MlflowClient.get_experiment_by_name, MlflowClient.log_inputs, []

    def just_before(self: MlflowClient, name: str) -> object:
        asked.append(name)
        if len(asked) == 1:
            self.create_experiment(name)
            return None
        return look(self, name)

    def just_logged(self: MlflowClient, *arguments: object, **options: object) -> object:
        asked.append("inputs")
        if asked.count("inputs") == 1:
            raise MlflowException("(psycopg2.errors.UniqueViolation) duplicate key", 1000)
        return log(self, *arguments, **options)

    monkeypatch.setattr(MlflowClient, "get_experiment_by_name", just_before)
    monkeypatch.setattr(MlflowClient, "log_inputs", just_logged)
    made = MlflowTracker(TrackingConfig(uri=server, experiment="at once", model=False), tmp_path, "a run")
    made.start({}, [INFO])
    assert "warning" not in capsys.readouterr().err and made.run_id is not None
    assert MlflowClient(server).get_run(made.run_id).inputs.dataset_inputs[0].dataset.digest == "abc123"


@pytest.mark.fault
def test_what_was_never_sent_survives_a_resume_that_knows_no_run(server: str, tmp_path: Path) -> None:
    """Down from the start: the checkpoint has no run id, and the resume threw the journal away."""
    first = tracker("http://127.0.0.1:9", tmp_path)
    for epoch in (1, 2):
        first.metrics(epoch, {"train_loss": 1.0 / epoch})
    assert first.run_id is None
    again = MlflowTracker(TrackingConfig(uri=server, model=False), tmp_path, "a run", None, resume=True)
    again.start({}, [INFO])
    again.metrics(3, {"train_loss": 0.2})
    assert again.run_id is not None and [step for step, _ in points(server, again.run_id)] == [1, 2, 3]
    third = MlflowTracker(TrackingConfig(uri=server, model=False), tmp_path, "a run", None, resume=True)
    assert third.run_id == again.run_id, "the journal knows it, whatever the checkpoint does"


@pytest.mark.fault
def test_a_run_that_begins_anew_sets_aside_what_was_never_sent(
    server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tracker("http://127.0.0.1:9", tmp_path).metrics(1, {"train_loss": 0.5})
    anew = tracker(server, tmp_path)
    assert "MLflow never got 1 epochs of a former run" in capsys.readouterr().err
    (aside,) = tmp_path.glob("journal-*.jsonl")
    assert json.loads(aside.read_text())["values"] == {"train_loss": 0.5}
    anew.metrics(1, {"train_loss": 0.4})
    tracker(server, tmp_path)
    assert len(list(tmp_path.glob("journal-*.jsonl"))) == 1, "what the server has is not kept"


@pytest.mark.fault
def test_a_line_that_was_cut_short_spoils_no_other(server: str, tmp_path: Path) -> None:
    tracker(server, tmp_path).metrics(1, {"train_loss": 0.5})
    with open(tmp_path / JOURNAL, "a") as file:
        file.write('{"epoch": 2, "ti')
    again = MlflowTracker(TrackingConfig(uri=server, model=False), tmp_path, "a run", None, resume=True)
    again.metrics(2, {"train_loss": 0.4})
    assert [json.loads(line)["epoch"] for line in (tmp_path / JOURNAL).read_text().splitlines()] == [1, 2]


@pytest.mark.fault
def test_a_server_that_refuses_is_not_called_silent(
    server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(server)
    client.delete_experiment(client.create_experiment("gone"))
    made = MlflowTracker(TrackingConfig(uri=server, experiment="gone", model=False), tmp_path, "a run")
    made.start({}, [INFO])
    made.metrics(1, {"train_loss": 0.5})
    told = capsys.readouterr().err
    assert told.count("refuses (experiment 'gone' was deleted; restore it (mlflow experiments restore") == 1
    assert "does not answer" not in told
    client.restore_experiment(client.get_experiment_by_name("gone").experiment_id)
    made.metrics(2, {"train_loss": 0.4})
    assert made.run_id is not None and [step for step, _ in points(server, made.run_id)] == [1, 2]


@pytest.mark.parametrize("tag", ["faces", "=x", " =x"])
def test_a_tag_that_is_none_is_told_before_anything_begins(tag: str) -> None:
    with pytest.raises(FakeitError, match="tracking.tags: '.*' is no tag; each is NAME=VALUE"):
        TrackingConfig(tags=(tag,))
