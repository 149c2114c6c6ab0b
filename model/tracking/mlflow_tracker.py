"""The one seam to MLflow. Rank 0 alone tracks; the others hold a `NoOpTracker`.

Every figure is first written to a local journal, then sent. A server that is down costs nothing but a warning: what
was not sent is sent at the next epoch, at the end, or when the run is resumed; what the server has is not sent twice.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.secrets import masked

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from fakeit.model.networks import LandmarkNetwork

JOURNAL = "journal.jsonl"
STORE = "sqlite:///mlflow.db"  # where no other is named


def address(uri: str = STORE) -> str:
    """The tracking store: MLFLOW_TRACKING_URI wins over what a conf says."""
    return os.environ.get("MLFLOW_TRACKING_URI") or uri


@dataclass(frozen=True)
class TrackingConfig:
    """Where runs are kept.

    Attributes:
        uri: an MLflow tracking server, or a file of SQLite; "" tracks nothing. MLFLOW_TRACKING_URI wins over it.
        experiment: groups runs. run: the run's name; "" makes one of network and dataset.
        model: log the trained network with its signature.
        tags: of the run.
    """

    uri: str = STORE
    experiment: str = "fakeit"
    run: str = ""
    model: bool = True
    tags: tuple[str, ...] = ()


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

    run_id: str | None

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
        run_id: of the MLflow run that a resumed run goes on with.
    """

    def __init__(self, config: TrackingConfig, folder: Path, name: str, run_id: str | None = None) -> None:
        # A server that is gone must not hold up the ranks that wait for this one.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        self.config, self.folder, self.name, self.run_id = config, folder, config.run or name, run_id
        self.uri = address(config.uri)
        self._client: MlflowClient | None = None
        self._down, self._sent = False, 0
        self._params: dict[str, Any] = {}
        self._datasets: list[DatasetInfo] = []
        self._lines: list[dict[str, Any]] = []
        journal = folder / JOURNAL
        if run_id is None:
            journal.unlink(missing_ok=True)
        elif journal.exists():
            self._lines = [json.loads(line) for line in journal.read_text().splitlines() if line.endswith("}")]

    def start(self, params: dict[str, Any], datasets: list[DatasetInfo]) -> None:
        """Creates the run, or takes up the one of `run_id`."""
        self._params, self._datasets = params, datasets
        self._try(self._open)

    def metrics(self, epoch: int, values: dict[str, float]) -> None:
        """Figures of an epoch: into the journal, then to the server with all that it lacks."""
        if all(line["epoch"] != epoch for line in self._lines):
            line = {"epoch": epoch, "time": int(time.time() * 1000), "values": values}
            self._lines.append(line)
            try:
                with open(self.folder / JOURNAL, "a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
            except OSError as error:
                print(f"warning: {self.folder / JOURNAL}: {error.strerror}", file=sys.stderr, flush=True)
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
        if status == "FINISHED" and any("train_loss" in line["values"] for line in self._lines):
            figure = loss_curves(self._lines)
            self._try(lambda client, run: client.log_figure(run, figure, "loss_curve.png"))
        if network is not None and self.config.model:
            self._try(lambda client, run: self._log_model(run, network))
        self._try(lambda client, run: client.set_terminated(run, status))
        if self._down:
            unsent = len(self._lines) - self._sent
            print(f"warning: MLflow lacks {unsent} epochs; they stand in {self.folder / JOURNAL}", file=sys.stderr)

    def _try(self, action: Callable[[MlflowClient, str], Any]) -> None:
        """Does `action`, opening the run first where that has not worked yet; a failure is a warning."""
        try:
            if self._client is None or self.run_id is None:
                self._open(None, None)
            if action != self._open:
                assert self._client is not None and self.run_id is not None
                action(self._client, self.run_id)
            self._down = False
        except Exception as error:  # mlflow, its database and its transport raise classes without a common base
            if not self._down:
                line = " ".join(str(error).split())[:160]
                print(
                    masked(f"warning: MLflow at {self.uri} does not answer ({line}); training goes on"),
                    file=sys.stderr,
                    flush=True,
                )
            self._down = True

    def _open(self, _client: Any, _run: Any) -> None:
        from mlflow import MlflowClient
        from mlflow.entities import Param

        if self._client is not None and self.run_id is not None:
            return
        client = MlflowClient(tracking_uri=self.uri)
        if self.run_id is not None:  # a resumed run: learn what the server has
            client.update_run(self.run_id, status="RUNNING")
            known = {m.step for m in client.get_metric_history(self.run_id, "train_loss")}
            self._sent = sum(1 for line in self._lines if line["epoch"] in known)
            self._client = client
            return
        found = client.get_experiment_by_name(self.config.experiment)
        experiment = found.experiment_id if found else client.create_experiment(self.config.experiment)
        tags = {"mlflow.source.name": "jobs/train.py", **dict(tag.split("=", 1) for tag in self.config.tags)}
        run_id = client.create_run(experiment, run_name=self.name, tags=tags).info.run_id
        params = [Param(key, masked(str(value))[:500]) for key, value in _flat(self._params).items()]
        for start in range(0, len(params), 100):
            client.log_batch(run_id, params=params[start : start + 100])
        client.log_inputs(run_id, [_dataset_input(info) for info in self._datasets])
        self._client, self.run_id = client, run_id

    def _send(self, client: MlflowClient, run: str) -> None:
        from mlflow.entities import Metric

        while self._sent < len(self._lines):
            line = self._lines[self._sent]
            finite = {k: v for k, v in line["values"].items() if np.isfinite(v)}
            client.log_batch(run, [Metric(k, v, line["time"], line["epoch"]) for k, v in finite.items()])
            self._sent += 1

    def _log_model(self, run: str, network: LandmarkNetwork) -> None:
        """The network as an exported torch program: whoever loads it needs none of our code."""
        import logging

        import mlflow
        import mlflow.pytorch
        import torch
        from mlflow.models import infer_signature

        class Points(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.network = network

            def forward(self, images: torch.Tensor) -> torch.Tensor:
                return self.network(images).points  # type: ignore[no-any-return]

        side = network.size
        example = np.zeros((2, side, side, network.channels), np.uint8)
        with torch.no_grad():
            points = network.cpu().eval()(torch.from_numpy(example)).points.numpy()
        for noisy in ("mlflow", "torch.export"):
            logging.getLogger(noisy).setLevel(logging.ERROR)
        mlflow.set_tracking_uri(self.uri)
        with mlflow.start_run(run_id=run):
            mlflow.pytorch.log_model(
                Points().eval(),
                name="model",
                signature=infer_signature(example, points),
                input_example=example,
                pip_requirements=[f"torch=={torch.__version__.split('+')[0]}", "numpy<2"],
            )


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


def loss_curves(lines: list[dict[str, Any]]) -> Any:
    """A matplotlib figure: losses and NME over epochs."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = [line["epoch"] for line in lines]
    for key, label in (("train_loss", "training"), ("val_loss", "validation")):
        left.plot(epochs, [line["values"].get(key, float("nan")) for line in lines], label=label)
    positive = all(line["values"].get(k, 1) > 0 for line in lines for k in ("train_loss", "val_loss"))
    left.set(xlabel="epoch", ylabel="loss", yscale="log" if positive else "linear")
    left.legend()
    right.plot(epochs, [100 * line["values"].get("val_nme", float("nan")) for line in lines], color="tab:green")
    right.set(xlabel="epoch", ylabel="validation NME, % inter-ocular")
    return figure


def make(config: TrackingConfig, folder: Path, name: str, rank: int, run_id: str | None) -> Tracker:
    """The tracker of a rank."""
    return MlflowTracker(config, folder, name, run_id) if rank == 0 and address(config.uri) else NoOpTracker()
