"""One benchmark run, from a landmarker and a source to the table, the page and the figures that are kept."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fakeit.model.evaluation import html_report, predictions, scoring
from fakeit.model.evaluation.predictions import Boxes, PredictionSet
from fakeit.model.evaluation.protocols import EvaluationProtocol, open_protocol, protocol
from fakeit.model.evaluation.scoring import Evaluation
from fakeit.model.inference.adapter import BUILT_IN, ByGeometry, adapter_path
from fakeit.model.inference.backends import AS_TOLD, write_metadata
from fakeit.model.inference.landmarker import Landmarker, model_file
from fakeit.pipelines.errors import FakeitError, Rejected
from fakeit.pipelines.faces.box import from_landmarks
from fakeit.pipelines.faces.box_fit import fit_boxes, store
from fakeit.pipelines.files.pictures import expand
from fakeit.pipelines.landmarks import convert
from fakeit.pipelines.machine.extras import is_installed
from fakeit.pipelines.progress import progress
from fakeit.pipelines.secrets import masked
from fakeit.pipelines.sources import Sample, SampleList, Source, read_sample, summary

LOST = "no face found, of the pictures"
TURNS = (-10.0, -5.0, 5.0, 10.0)


@dataclass(frozen=True)
class BenchmarkConfig:
    """What is scored.

    Attributes:
        source: a protocol's name or a source's kind; "" with `unlabelled` alone.
        path: of the source.
        boxes: the ways faces are found.
        limit: the first samples only.
        unlabelled: folder of faces for the agreement figures.
        options: of the source, beside the protocol's own.
    """

    source: str = ""
    path: str = ""
    boxes: tuple[Boxes, ...] = ("true", "detector")
    limit: int | None = None
    unlabelled: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def open(self) -> tuple[EvaluationProtocol, Source, SampleList]:
        """The protocol, its source and the samples. Raises FakeitError as `open_protocol`."""
        chosen = protocol(self.source)
        chosen = replace(chosen, options={**chosen.options, **self.options})
        source, found = open_protocol(chosen, self.path)
        return chosen, source, SampleList(found[: self.limit], found.unmatched)


@dataclass(frozen=True)
class Result:
    """A run's outcome. `text` for the terminal, `html` the page, `json` and `figures` for machines."""

    name: str
    text: str
    html: str
    figures: dict[str, float]
    facts: dict[str, str]
    worst: NDArray[np.uint8] | None

    @property
    def json(self) -> str:
        return json.dumps({"facts": self.facts, "figures": self.figures}, indent=1) + "\n"


def benchmark(landmarker: Landmarker, config: BenchmarkConfig, model: str) -> Result:
    """Scores a model.

    Args:
        landmarker: with the adapter to score with, if any.
        config: on what.
        model: what the report calls it.
    """
    about = landmarker.metadata
    facts = {
        "model": f"{model} ({about.network}, {about.precision}, {about.scheme})",
        "crop": f"{about.crop.size} px, margin {about.crop.margin}",
        "detector": f"{landmarker.config.detector}, {landmarker.config.refine} passes after the first",
    }
    evaluations: list[Evaluation] = []
    left: dict[str, str] = {}
    worst = None
    if config.source:
        chosen, source, samples = config.open()
        scoring.check_comparable(about.scheme, source.scheme, landmarker.adapter)
        facts |= {"benchmark": f"{chosen.name}: {len(samples)} faces of {config.path}", "about": chosen.about}
        for boxes in config.boxes:
            collected = predictions.collect(landmarker, source, _shown(samples), boxes)
            evaluations += score(landmarker, collected, chosen.normaliser, chosen.video)
            if worst is None:
                worst = html_report.worst_sheet(evaluations[-1], collected, source)
            left |= {"not read": _counted(collected.rejected), "no sample": summary(samples.unmatched)}
    agreements: dict[str, float] = {}
    if config.unlabelled:
        agreements, unread = agreement_on(landmarker, config.unlabelled, config.limit)
        left["not read of unlabelled"] = _counted(unread)
    left = {what: told for what, told in left.items() if told}
    figures = {f"{_key(e.title)}/{k}": v for e in evaluations for k, v in e.scores.flat().items()}
    figures |= {f"{_key(e.title)}/ece_{w}": r.ece for e in evaluations for w, r in e.reliability.items()}
    figures |= {f"{_key(e.title)}/by/{_key(k)}": s.nme for e in evaluations for k, s in e.groups.items()}
    figures |= {f"agreement/{_key(k)}": v for k, v in agreements.items()}
    lines = [html_report.table_text(evaluations)] if evaluations else []
    lines += [r.line(f"{e.title}, {what}") for e in evaluations for what, r in e.reliability.items()]
    lines += [f"agreement, {name}: {value:.2f} %{_of(name)}" for name, value in agreements.items()]
    lines += [f"{what}: {told}" for what, told in left.items()]
    facts |= left
    title = f"{Path(model).name} on {config.source or config.unlabelled}"
    html = ""
    if is_installed("matplotlib"):  # the base does without the page
        html = html_report.page(title, {k: v for k, v in facts.items() if v}, evaluations, worst, agreements)
    return Result(title, "\n".join(lines), html, figures, facts, worst)


def score(landmarker: Landmarker, collected: PredictionSet, normaliser: str, video: bool = False) -> list[Evaluation]:
    """Without an adapter, and with the landmarker's where it has one."""
    boxes = "true boxes" if collected.boxes == "true" else f"boxes of {landmarker.config.detector}"
    made = []
    try:
        made.append(scoring.evaluate(collected, *scoring.without_adapter(collected), normaliser, boxes, video))
    except FakeitError:
        if landmarker.adapter is None:
            raise
    if landmarker.adapter is not None:
        points, truth, name, note = scoring.with_adapter(collected, landmarker.adapter)
        fit = None if isinstance(landmarker.adapter, ByGeometry) else landmarker.adapter.sigma_fit  # as faces have it
        title = f"{boxes}, {note}"
        made.append(scoring.evaluate(collected, points, truth, name, normaliser, title, video, fit))
    return made


def _shown(samples: Sequence[Sample]) -> Iterator[Sample]:
    return progress(samples, "evaluate", "faces")


def _counted(rejected: Sequence[str]) -> str:
    """How many could not be read, and why the first; "" where all could."""
    return f"{len(rejected):,}; the first: {rejected[0]}" if rejected else ""


def _of(name: str) -> str:
    """What an agreement's per cent are of."""
    return "" if name.endswith(LOST) else " of the eyes' distance"


def _key(title: str) -> str:
    """A metric's name of a way's title: MLflow allows letters, digits and `_-. /`."""
    if "adapter" in title:
        title = title.split(",")[0] + (" cross-validated adapter" if "cross" in title else " adapter")
    return "".join(c if c.isalnum() or c in "-." else "_" for c in title)


def agreement_on(landmarker: Landmarker, folder: str, limit: int | None) -> tuple[dict[str, float], list[str]]:
    """Change → median agreement over the pictures of a folder, percent of the eyes' distance, and how many of the
    pictures, in percent, had no face that was found; and why some could not be read."""
    table: dict[str, list[float]] = {}
    unread: list[str] = []
    for file in progress(expand([folder])[:limit], "evaluate", "pictures"):
        try:
            if file.problem:
                raise Rejected(file.problem)
            seen = landmarker(file.location)
        except Rejected as error:
            unread.append(str(error))
            continue
        table.setdefault("mirrored", []).append(scoring.agreement(landmarker, seen))
        for angle in TURNS:
            table.setdefault(f"turned by {angle:+.0f}°", []).append(scoring.agreement(landmarker, seen, angle))
    if not table:
        raise FakeitError(f"{folder}: no picture could be read ({_counted(unread)})")
    lost = {f"{k}: {LOST}": 100 * float(np.mean(np.isnan(v))) for k, v in table.items() if np.isnan(v).any()}
    return {k: float(np.nanmedian(v)) for k, v in table.items() if not np.isnan(v).all()} | lost, unread


def _in_true_boxes(
    landmarker: Landmarker, config: BenchmarkConfig, mirrored: bool = False
) -> tuple[EvaluationProtocol, PredictionSet]:
    """The benchmark, and what is said of its faces in true boxes: what a fit is made from."""
    chosen, source, samples = config.open()
    return chosen, predictions.collect(landmarker, source, _shown(samples), "true", mirrored)


def _unread(collected: PredictionSet) -> str:
    return f"\nnot read: {_counted(collected.rejected)}" if collected.rejected else ""


def fit_adapter_on(landmarker: Landmarker, config: BenchmarkConfig, name: str, model: str | None) -> str:
    """Fits a label adapter on a source with true boxes and stores it beside the model; a line on how it went."""
    if name in BUILT_IN:
        raise FakeitError(f"adapter '{name}' is built in; choose another name to fit one")
    if Path(name).name != name:
        raise FakeitError(f"adapter '{name}': is no name of a file; it is stored beside the model, as in ibug68")
    chosen, collected = _in_true_boxes(landmarker, config, mirrored=True)
    adapter, left = scoring.fit_label_adapter(collected, name, f"{chosen.name} ({len(collected.samples)} faces)")
    path = adapter_path(model_file(model), name)
    adapter.save(path)
    return (
        f"{path}: {adapter.source} to {adapter.target}, fitted on {adapter.faces} faces of {chosen.name}; "
        f"cross-validated, {100 * left:.0f} % of the error is left (strength {adapter.strength}); labels lie "
        f"{adapter.shift:+.2f} pixels to the right, {adapter.sigma_fit}{_unread(collected)}"
    )


def fit_confidence_on(landmarker: Landmarker, config: BenchmarkConfig, model: str | None) -> str:
    """Fits the confidence on a source with true boxes, faces held back from training, and writes it into the model's
    ONNX file; a line on how it went. Raises FakeitError where the network does not judge or the file is no ONNX."""
    path = model_file(model)
    if path.suffix.lower() != ".onnx":
        raise FakeitError(f"{path}: it is kept in an ONNX file's metadata; export the checkpoint first")
    chosen, collected = _in_true_boxes(landmarker, config)
    points, truth, name = scoring.without_adapter(collected)
    before = scoring.evaluate(collected, points, truth, name, chosen.normaliser, "", sigma_fit=AS_TOLD)
    if "confidence" not in before.reliability:
        raise FakeitError(f"{path}: this network gives no σ, so no confidence can be fitted (set network.head)")
    fit = scoring.fit_sigma_fit(collected, points, truth, name)
    after = scoring.evaluate(collected, points, truth, name, chosen.normaliser, "", sigma_fit=fit)
    write_metadata(path, replace(landmarker.metadata, sigma_fit=fit))
    eces = " → ".join(f"{e.reliability['confidence'].ece:.3f}" for e in (before, after))
    return f"{path}: {fit}; ECE of the confidence {eces} on {len(collected.samples)} faces{_unread(collected)}"


def fit_boxes_on(landmarker: Landmarker, config: BenchmarkConfig) -> str:
    """Fits the map from the detector's boxes to tight ones for every scheme the labels give, and stores it."""
    _, source, samples = config.open()
    found, truths = [], []
    for sample in _shown(samples):
        try:
            annotation, pixels = read_sample(source, sample)
            truth = annotation.landmarks
            box = predictions.nearest_box(landmarker.detector_boxes(pixels), from_landmarks(truth), truth)
        except Rejected:
            continue
        if box is not None:
            found.append(box)
            truths.append(truth)
    if len(found) < 10:
        raise FakeitError(f"{config.path}: the detector found {len(found)} of its faces; a fit needs 10 or more")
    lines = [f"{landmarker.config.detector}: {len(found)} of {len(samples)} faces found"]
    for target in _schemes_from(source.scheme):
        fit = fit_boxes(found, [from_landmarks(convert(t, source.scheme, target)) for t in truths])
        store(landmarker.config.detector, target, fit)
        lines.append(f"  {target}: {fit}")
        if target != source.scheme and source.scheme == "ibug68":  # and from few points to the whole face
            few = [from_landmarks(convert(t, source.scheme, target)) for t in truths]
            store(f"points of {target}", "ibug68", fit_boxes(few, [from_landmarks(t) for t in truths]))
    return "\n".join(lines)


def _schemes_from(name: str) -> Iterable[str]:
    return [s for s in ("ibug68", "kaggle15", "five") if _mappable(name, s)]


def _mappable(source: str, target: str) -> bool:
    from fakeit.pipelines.landmarks import mapping

    try:
        mapping(source, target)
    except FakeitError:
        return False
    return True


def log(result: Result, uri: str) -> str:
    """Figures, the page and the worst faces into MLflow; a line that says where. Raises FakeitError: it takes none."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param

    from fakeit.model.tracking.mlflow_tracker import address, experiment_id, give_up_soon
    from fakeit.model.tracking.trouble import in_words

    give_up_soon()
    place, now = address(uri), int(time.time() * 1000)
    figures = [Metric(name, value, now, 0) for name, value in result.figures.items() if np.isfinite(value)]
    try:
        client = MlflowClient(tracking_uri=place)
        experiment, tags = experiment_id(client, "fakeit-evaluate"), {"mlflow.source.name": "jobs/evaluate.py"}
        run = client.create_run(experiment, run_name=result.name, tags=tags).info.run_id
        client.log_batch(run, figures, [Param(name, masked(text)[:500]) for name, text in result.facts.items() if text])
        client.log_text(run, result.html, "report.html")
        if result.worst is not None:
            client.log_image(run, result.worst, artifact_file="worst.png")
        client.set_terminated(run)
    except Exception as error:  # mlflow, its database and its transport raise classes without a common base
        raise FakeitError(f"{in_words(place, error)}; --report and --json write files") from error
    return f"MLflow run {run} at {place}"
