"""The one seam to MLflow. Rank 0 alone tracks; the others hold a `NoOpTracker`.

Every figure is first written to a local journal, then sent. A server that is down, or refuses, costs nothing but a
warning that says which: what was not sent is sent at the next epoch, at the end, or when the run is resumed; what the
server has acknowledged is not sent twice.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fakeit.model.tracking.curves import loss_curves
from fakeit.model.tracking.journal import JOURNAL, Journal, State
from fakeit.model.tracking.run_artifacts import log_model
from fakeit.model.tracking.trouble import REFUSES, Refused, in_words, trouble
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.secrets import masked

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from fakeit.model.networks import LandmarkNetwork

STORE = "sqlite:///mlflow.db"  # where no other is named
KEY = "fakeit.run_key"  # tag
KIND = {"mlflow.experimentKind": "custom_model_development"}  # so MLflow's UI shows runs and charts, not prompts


def address(uri: str = STORE) -> str:
    """The tracking store: MLFLOW_TRACKING_URI wins over what a conf says."""
    return os.environ.get("MLFLOW_TRACKING_URI") or uri


def give_up_soon() -> None:
    """A server that is gone must not hold up who waits, as the other ranks do: MLflow itself asks for eight minutes."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")


@contextmanager
def tracked_by(uri: str) -> Iterator[None]:
    """MLflow's fluent calls go to `uri`. (`set_tracking_uri` also sets MLFLOW_TRACKING_URI, which would win over the
    conf of every later run of this process.)"""
    import mlflow

    name = "MLFLOW_TRACKING_URI"
    before = os.environ.get(name)
    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before


@dataclass(frozen=True)
class TrackingConfig:
    """Where runs are kept.

    Attributes:
        uri: an MLflow tracking server, or a file of SQLite; "" tracks nothing. MLFLOW_TRACKING_URI wins over it.
        experiment: groups runs. run: the run's name; "" makes one of network and dataset.
        model: log the trained network with its signature.
        tags: of the run, each NAME=VALUE.
    """

    uri: str = STORE
    experiment: str = "fakeit"
    run: str = ""
    model: bool = True
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for tag in self.tags:
            if not tag.partition("=")[0].strip() or "=" not in tag:
                raise FakeitError(f"tracking.tags: '{tag}' is no tag; each is NAME=VALUE, as in \"team=faces\"")


@dataclass(frozen=True)
class DatasetInfo:
    """A dataset as MLflow shows it."""

    name: str
    digest: str
    source: str
    rows: dict[str, int]
    context: str = "training"


class Tracker(Protocol):
    """Where a run's story is kept. Nothing here raises: a tracker that fails must not end a training."""

    @property
    def run_id(self) -> str | None:
        """Of the MLflow run, where there is one."""
        ...

    def start(self, params: dict[str, Any], datasets: list[DatasetInfo]) -> None:
        """Begins the run: its conf (nested dicts are flattened) and what it is trained on."""
        ...

    def metrics(self, epoch: int, values: dict[str, float]) -> None:
        """Figures of an epoch, counted from 1; those that are not finite are left out."""
        ...

    def picture(self, name: str, image: NDArray[np.uint8]) -> None:
        """(H, W, 3) uint8 RGB, kept under `name`."""
        ...

    def finish(self, status: str, network: LandmarkNetwork | None = None) -> None:
        """Ends the run as "FINISHED", "FAILED" or "KILLED", with the network to keep, if any (moved to the CPU)."""
        ...


class NoOpTracker:
    """Tracks nothing."""

    run_id: str | None = None

    def start(self, params: dict[str, Any], datasets: list[DatasetInfo]) -> None: ...

    def metrics(self, epoch: int, values: dict[str, float]) -> None: ...

    def picture(self, name: str, image: NDArray[np.uint8]) -> None: ...

    def finish(self, status: str, network: LandmarkNetwork | None = None) -> None: ...


class MlflowTracker:
    """MLflow behind a journal.

    Args:
        config: where and what.
        folder: of the run; the journal lies there.
        name: of the run.
        run_id: of the MLflow run that a resumed run goes on with, where a checkpoint knows it.
        resume: the run goes on, whether or not its MLflow run is known; None: it does where `run_id` is given.
    """

    def __init__(
        self, config: TrackingConfig, folder: Path, name: str, run_id: str | None = None, resume: bool | None = None
    ) -> None:
        give_up_soon()
        self.config, self.folder, self.name = config, folder, config.run or name
        self.uri = address(config.uri)
        self._client: MlflowClient | None = None
        self._trouble: str | None = None  # of the last call
        self._params: dict[str, Any] = {}
        self._datasets: list[DatasetInfo] = []
        self.journal = Journal(folder, resume=run_id is not None if resume is None else resume)
        if self.journal.state.uri not in ("", self.uri):  # told another server before: this one gets all of it
            self.journal.state, run_id = State(), None
        if run_id is not None and self.journal.state.run_id is None:
            self.journal.state.run_id, self.journal.state.described = run_id, True

    @property
    def run_id(self) -> str | None:
        """Of the MLflow run, once it was opened."""
        return self.journal.state.run_id

    def start(self, params: dict[str, Any], datasets: list[DatasetInfo]) -> None:
        """Creates the run, or takes up the one that is known."""
        self._params, self._datasets = params, datasets
        self._try(lambda client, run: None)

    def metrics(self, epoch: int, values: dict[str, float]) -> None:
        """Figures of an epoch: into the journal, then to the server with all that it lacks."""
        self.journal.add(epoch, values)
        self._try(self._send)

    def picture(self, name: str, image: NDArray[np.uint8]) -> None:
        """An RGB picture beside the run's figures, e.g. `predictions.png`."""
        self._try(lambda client, run: client.log_image(run, image, artifact_file=name))

    def text(self, name: str, content: str) -> None:
        """A text beside the run's figures, e.g. `report.html`."""
        self._try(lambda client, run: client.log_text(run, content, artifact_file=name))

    def finish(self, status: str, network: LandmarkNetwork | None = None) -> None:
        """Sends what is left, the loss curves and the model; ends the run as FINISHED, FAILED or KILLED."""
        self._try(self._send)
        lines = self.journal.lines
        if status == "FINISHED" and any("train_loss" in line["values"] for line in lines):
            figure = loss_curves({"": [[line["values"] for line in lines]]})
            self._try(lambda client, run: client.log_figure(run, figure, "loss_curve.png"))
        if network is not None and self.config.model:
            self._try(lambda client, run: self._log_model(run, network))
        self._try(lambda client, run: client.set_terminated(run, status))
        if unsent := len(self.journal.unsent()):
            print(f"warning: MLflow lacks {unsent} epochs; they stand in {self.folder / JOURNAL}", file=sys.stderr)

    def _try(self, action: Callable[[MlflowClient, str], Any]) -> None:
        """Does `action`, opening the run first where that has not worked yet; a failure is a warning."""
        try:
            client, run = self._open()
            action(client, run)
            self._trouble = None
        except Exception as error:  # mlflow, its database and its transport raise classes without a common base
            self._warn(error)

    def _warn(self, error: Exception) -> None:
        kind, _ = trouble(error)
        if kind != self._trouble:
            print(masked(f"warning: {in_words(self.uri, error)}; training goes on"), file=sys.stderr, flush=True)
        self._trouble = kind

    def _open(self) -> tuple[MlflowClient, str]:
        """The client and the run, which is created, or taken up and asked what it has, at the first time."""
        from mlflow import MlflowClient

        state = self.journal.state
        if self._client is not None and state.run_id is not None:
            return self._client, state.run_id
        client = MlflowClient(tracking_uri=self.uri)
        if state.run_id is None:
            state.run_id, state.uri = self._create(client), self.uri
        else:
            client.update_run(state.run_id, status="RUNNING")
            state.uri = self.uri
            self.journal.acknowledged([m.step for m in client.get_metric_history(state.run_id, "train_loss")])
        self.journal.remember()
        if not state.described:
            self._describe(client, state.run_id)
        self._client = client
        return client, state.run_id

    def _create(self, client: MlflowClient) -> str:
        """A new run, or the one that a former call made whose answer got lost."""
        state = self.journal.state
        experiment = experiment_id(client, self.config.experiment)
        if state.asked:
            before = client.search_runs([experiment], f"tags.`{KEY}` = '{state.key}'", max_results=1)
            if before:
                return str(before[0].info.run_id)
        state.asked = True
        self.journal.remember()
        tags = {"mlflow.source.name": "jobs/train.py", KEY: state.key}
        tags |= dict(tag.split("=", 1) for tag in self.config.tags)
        return str(client.create_run(experiment, run_name=self.name, tags=tags).info.run_id)

    def _describe(self, client: MlflowClient, run: str) -> None:
        """Params and datasets. Where the server refuses them, figures are sent all the same."""
        from mlflow.entities import Param

        params = [Param(key, masked(str(value))[:500]) for key, value in _flat(self._params).items()]
        try:
            for start in range(0, len(params), 100):
                client.log_batch(run, params=params[start : start + 100])
            inputs = [_dataset_input(info) for info in self._datasets]
            _if_raced_again(lambda: client.log_inputs(run, inputs))
        except Exception as error:
            if trouble(error)[0] != REFUSES:
                raise
            self._warn(error)
        self.journal.state.described = True
        self.journal.remember()

    def _send(self, client: MlflowClient, run: str) -> None:
        from mlflow.entities import Metric

        for line in self.journal.unsent():
            finite = {k: v for k, v in line["values"].items() if np.isfinite(v)}
            client.log_batch(run, [Metric(k, v, line["time"], line["epoch"]) for k, v in finite.items()])
            self.journal.acknowledged([line["epoch"]])

    def _log_model(self, run: str, network: LandmarkNetwork) -> None:
        with tracked_by(self.uri):
            log_model(run, network)


def experiment_id(client: MlflowClient, name: str) -> str:
    """The experiment of that name, made where there is none. Raises Refused: it was deleted."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, tags=KIND))
        except MlflowException as error:  # another run was quicker
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = client.get_experiment_by_name(name)
    if found.lifecycle_stage == "deleted":
        raise Refused(
            f"experiment '{name}' was deleted; restore it (mlflow experiments restore --experiment-id "
            f"{found.experiment_id}) or name another as tracking.experiment"
        )
    return str(found.experiment_id)


def _if_raced_again(call: Callable[[], Any], times: int = 3) -> None:
    """Calls again where another run wrote the same row at the same moment: MLflow's server looks first, inserts then,
    and its database refuses the second. By the next call the row is seen."""
    for left in reversed(range(times)):
        try:
            return call()
        except Exception as error:  # over HTTP an MlflowException, from a local store the database's own
            if not left or not any(sign in str(error) for sign in ("UniqueViolation", "UNIQUE constraint")):
                raise


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested params → `network.name` and so on; what is None or empty is left out."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat.update(_flat(value, f"{prefix}{key}."))
        elif value not in (None, [], ""):
            flat[prefix + key] = value
    return flat


def _dataset_input(info: DatasetInfo) -> Any:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    source = json.dumps({"uri": masked(info.source)})
    dataset = Dataset(info.name, info.digest, "local", source, profile=json.dumps({"rows": info.rows}))
    return DatasetInput(dataset, [InputTag("mlflow.data.context", info.context)])


def make(
    config: TrackingConfig, folder: Path, name: str, rank: int, run_id: str | None, resume: bool | None = None
) -> Tracker:
    """The tracker of a rank; see `MlflowTracker`."""
    if rank != 0 or not address(config.uri):
        return NoOpTracker()
    return MlflowTracker(config, folder, name, run_id, resume)
