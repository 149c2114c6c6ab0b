"""A comparison in MLflow: one parent run, a child a cell, and the best cells as versions of a registered model.

Children are the runs that trainings make themselves; here they only get a parent, the labels of their cell as params
and tags (what the UI's compare, parallel-coordinates and search views work on), and the figures on the test faces.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

from fakeit.model.comparison.config import ComparisonConfig
from fakeit.model.comparison.grid import Cell
from fakeit.model.export import export
from fakeit.model.inference.backends import load_network
from fakeit.model.tracking import model_registry
from fakeit.model.tracking.mlflow_tracker import MlflowTracker, TrackingConfig, address, experiment_id, tracked_by
from fakeit.model.tracking.trouble import Refused, in_words
from fakeit.model.training import checkpoint
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.secrets import masked
from fakeit.pipelines.store.manifest import Manifest

CHAMPION, CHALLENGER = "champion", "challenger"


class ComparisonTracker:
    """The parent run of a comparison.

    Args:
        config: of the comparison.
        dataset: its path. manifest: what is in it.
        run_id: of the parent run, when the comparison is taken up again.
    """

    def __init__(self, config: ComparisonConfig, dataset: str, manifest: Manifest, run_id: str | None = None) -> None:
        self.config, self.manifest, self.uri = config, manifest, address(config.uri)
        self.client = MlflowClient(tracking_uri=self.uri)
        self.run_id = run_id if run_id and self._known(run_id) else self._create(dataset)
        self._monitor = SystemMetricsMonitor(self.run_id, tracking_uri=self.uri)

    def __enter__(self) -> ComparisonTracker:
        self.client.update_run(self.run_id, status="RUNNING")
        self._monitor.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._monitor.finish()
        status = "FINISHED" if kind is None else "KILLED" if kind is KeyboardInterrupt else "FAILED"
        self.client.set_terminated(self.run_id, status)

    def _known(self, run_id: str) -> bool:
        try:
            return self.client.get_run(run_id).info.lifecycle_stage == "active"
        except MlflowException:
            return False

    def _create(self, dataset: str) -> str:
        try:
            experiment = experiment_id(self.client, self.config.experiment)
        except Refused as error:
            raise FakeitError(f"MLflow at {self.uri}: {error}") from error
        tags = {"comparison": self.config.name, "mlflow.source.name": "jobs/compare.py"}
        tags["mlflow.note.content"] = f"{self.config.title}\n\n{self.config.question}"
        run_id: str = self.client.create_run(experiment, run_name=self.config.name, tags=tags).info.run_id
        params = {"budget": str(self.config.budget), "seeds": self.config.seeds, "dataset": self.manifest.digest}
        params |= {f"axis.{a.name}": ", ".join(p.name for p in a.all_points()) for a in self.config.axes}
        self.client.log_batch(run_id, params=[Param(k, str(v)[:500]) for k, v in params.items()])
        shown = Dataset(Path(dataset).name, self.manifest.digest, "local", f'{{"uri": "{Path(dataset).absolute()}"}}')
        self.client.log_inputs(run_id, [DatasetInput(shown, [InputTag("mlflow.data.context", "comparison")])])
        return run_id

    def keys(self, cell: Cell, stage: str = "cell") -> dict[str, Any]:
        """Keys of the cell's training conf that make its run a child of this one. `stage`: "cell", or "rate" where it
        only looks for a learning rate."""
        tags = {"mlflow.parentRunId": self.run_id, "comparison": self.config.name, "cell": cell.id, "stage": stage}
        tags |= {"network": cell.train_config().network.name, "seed": str(cell.seed), **cell.labels}
        return {
            "tracking.uri": self.uri,
            "tracking.experiment": self.config.experiment,
            "tracking.run": cell.id,
            "tracking.model": False,  # only the best cells' models are kept, by `register`
            "tracking.tags": [f"{k}={v}" for k, v in tags.items()],
        }

    def finished(self, cell: Cell, result: dict[str, Any]) -> bool:
        """What the cell's run lacks: labels as params, figures of its best network on whole splits. Whether MLflow took
        them; what it did not is a warning, as in a training: the cells to come are not to be lost for it."""
        run = result["run_id"]
        if not run:
            return True
        figures = {f"{split}_{k}": v for split, scores in result["splits"].items() for k, v in scores.items()}
        figures |= {f"real_{name}_{k}": v for name, scores in result["real"].items() for k, v in scores.items()}
        for key in ("parameters", "macs", "images", "train_images_per_s", "infer_images_per_s", "infer_ms"):
            figures[key] = result[key]
        now = [Metric(f"final_{k}", float(v), 0, 0) for k, v in figures.items() if math.isfinite(v)]
        params = [Param(f"cell.{k}", v) for k, v in cell.labels.items()]
        try:
            self.client.log_batch(run, metrics=now, params=params)
        except Exception as error:  # mlflow, its database and its transport raise classes without a common base
            told = f"it lacks the final figures of {cell.id}, which the next launch sends"
            print(masked(f"warning: {in_words(self.uri, error)}; {told}"), file=sys.stderr, flush=True)
            return False
        return True

    def mark(self, run_id: str | None, tag: str, value: str) -> None:
        """A tag on a cell's run, as `pruned`."""
        if run_id:
            self.client.log_batch(run_id, tags=[RunTag(tag, value)])

    def files(self, paths: list[Path]) -> None:
        """Puts files (the report) beside the parent run's figures."""
        for path in paths:
            self.client.log_artifact(self.run_id, str(path))

    # ------------------------------------------------------------ registered models

    def register(self, ranked: list[tuple[float, dict[str, Any], Path]]) -> dict[str, str]:
        """Registers the best two cells and deals out the aliases.

        They go by validation NME; each version's test NME is told beside it. Versions of former comparisons on the same
        dataset compete; those on other datasets, or without a validation figure, cannot be compared and lose their
        alias to the ones that can.

        Args:
            ranked: (validation NME %, result, folder of the cell), best first, one a combination of the axes.

        Returns:
            Alias → version.
        """
        name = self.config.register
        if not name or not ranked:
            return {}
        self._registered_model(name)
        for score, result, folder in ranked[:2]:
            self._version(name, score, result, folder)
        versions = [
            v for v in self.client.search_model_versions(f"name = '{name}'")
            if v.tags.get("dataset") == self.manifest.digest and "val_nme" in v.tags
        ]  # fmt: skip
        versions.sort(key=lambda v: (float(v.tags["val_nme"]), int(v.version)))
        aliases = dict(zip((CHAMPION, CHALLENGER), (str(v.version) for v in versions), strict=False))
        for alias, version in aliases.items():
            self.client.set_registered_model_alias(name, alias, version)
        return aliases

    def _registered_model(self, name: str) -> None:
        try:
            self.client.get_registered_model(name)
        except MlflowException:
            about = "Facial landmarks learnt from rendered faces. Aliases are by validation NME on one dataset."
            self.client.create_registered_model(name, description=about)

    def _version(self, name: str, score: float, result: dict[str, Any], folder: Path) -> None:
        run = result["run_id"]
        if not run or self.client.search_model_versions(f"name = '{name}' and run_id = '{run}'"):
            return
        network, recipe = load_network(folder / "run" / "checkpoints" / checkpoint.BEST)
        made = export(network, recipe, folder / model_registry.FILE)
        self.client.log_artifact(run, str(made.path), model_registry.FOLDER)
        logger = MlflowTracker(TrackingConfig(self.uri, self.config.experiment), folder / "run", "", run)
        logger.finish("FINISHED", network)
        tags = {"val_nme": f"{score:.4f}", "dataset": self.manifest.digest, "comparison": self.config.name}
        if "test" in result["splits"]:
            tags["test_nme"] = f"{result['splits']['test']['nme']:.4f}"
        with tracked_by(self.uri):
            version = mlflow.register_model(f"runs:/{run}/model", name, tags=tags, await_registration_for=30)
        self.client.update_model_version(name, version.version, model_card(self.config, self.manifest, result))


def model_card(config: ComparisonConfig, manifest: Manifest, result: dict[str, Any]) -> str:
    """What one must know before one uses a model, as Markdown."""
    test = result["splits"].get("test", {})
    crop = manifest.crop
    lines = [
        f"# {result['network']}: {result['parameters']:,} parameters, {manifest.scheme} landmarks",
        f"**In**: face crops, {crop.size} px stored, {crop.colour}, uint8, box margin {crop.margin}. "
        "**Out**: points in the unit crop.",
        f"**Trained** on {result['images']:,} images of dataset `{manifest.digest}` (seed {result['seed']}), "
        f"comparison “{config.title}”, {result['samples']:,} samples seen.",
        f"**Measured** on {test.get('faces', 0):.0f} unseen faces of that dataset: NME "
        f"{test.get('nme', math.nan):.2f} % (inter-ocular), MSE {test.get('mse', math.nan):.2e}.",
        *(f"Real faces, {name}: NME {scores['nme']:.2f} %." for name, scores in result["real"].items()),
        "**Not for** identifying people or judging them. Rendered faces are not everybody's: measure it on the faces "
        "it will meet.",
        f"Made again by: `{result['command']}`",
    ]
    return "\n\n".join(lines)
