"""An evaluation as one self-contained HTML page: tables, the cumulative curve, the worst faces. No file beside it."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fakeit.model.evaluation.metrics import Floats, Scores, cumulative
from fakeit.model.evaluation.predictions import PredictionSet
from fakeit.model.evaluation.scoring import Evaluation
from fakeit.pipelines import html_page
from fakeit.pipelines.faces.box import from_landmarks
from fakeit.pipelines.faces.crop import CropConfig, Picture, crop_from_source
from fakeit.pipelines.faces.draw import GREEN, RED, contact_sheet, draw_landmarks
from fakeit.pipelines.faces.matrix import transform
from fakeit.pipelines.landmarks import scheme
from fakeit.pipelines.sources import Source, read_sample

WORST, TILE, COLUMNS = 48, 160, 8


def page(
    title: str,
    facts: Mapping[str, str],
    evaluations: Sequence[Evaluation],
    worst: NDArray[np.uint8] | None,
    agreement: Mapping[str, float] | None = None,
) -> str:
    """The report.

    Args:
        title: of the page.
        facts: what was measured on what: model, source, boxes.
        evaluations: the ways it was scored, the most honest first; regions and groups are shown for all.
        worst: sheet of the worst faces of the first way.
        agreement: picture set → agreement under a change, percent.
    """
    parts = [f"<h1>{html.escape(title)}</h1>", html_page.table(["", ""], [[k, v] for k, v in facts.items()])]
    if evaluations:
        parts += _evaluations(evaluations)
    if worst is not None:
        parts.append(f"<h2>The worst {WORST}</h2><p class=note>Green: predicted; red: labelled. NME below each.</p>")
        parts.append(html_page.picture(worst))
    if agreement:
        parts.append("<h2>Agreement with itself</h2><p class=note>No labels are used: points of a changed picture, ")
        parts.append("brought back, against those of the picture; % of the eyes' distance.</p>")
        parts.append(html_page.table(["change", "%"], [[name, f"{value:.2f}"] for name, value in agreement.items()]))
    return html_page.document(title, "\n".join(parts))


def _evaluations(evaluations: Sequence[Evaluation]) -> list[str]:
    first = evaluations[0]
    parts = [f"<h2>Scores</h2><p class=note>NME in % of the {first.normaliser} distance; a face that was not found "]
    parts.append("counts as 100 %. MSE in crop sides squared, of faces found. FR: share of faces above a level.</p>")
    rows = [[e.title, *_cells(e.scores)] for e in evaluations]
    rows.append([f"mean shape in the true box ({first.scheme})", *_cells(first.floor)])
    parts.append(html_page.table(["way", *_HEAD], rows))
    parts += ["<h2>Cumulative error</h2>", _figure_curve(evaluations)]
    names = list(first.regions)
    parts += ["<h2>By region</h2>", html_page.table(["NME %", *names], [_region_row(e, names) for e in evaluations])]
    parts += ["<h2>By point</h2>", _figure_points(evaluations)]
    if any(e.reliability for e in evaluations):
        parts += ["<h2>What it says of itself</h2><p class=note>Confidence: the chance that a point lies within 3 % "]
        parts += ["of the crop's side of the label; visibility: that it is seen. Honest is the diagonal.</p>"]
        parts.append(html_page.svg(reliability_figure(evaluations)))
    for e in evaluations:
        if e.groups:
            parts += [f"<h2>By pose, skin tone and attribute: {html.escape(e.title)}</h2>"]
            parts.append(html_page.table(["faces that are", *_HEAD], [[k, *_cells(s)] for k, s in e.groups.items()]))
        if e.videos:
            rows = [[name, *_cells(scores), f"{jitter:.2f}"] for name, (scores, jitter) in e.videos.items()]
            parts.append(f"<h2>By video: {html.escape(e.title)}</h2>")
            parts += [html_page.table(["video", *_HEAD, "jitter %"], rows), _figure_videos(e)]
    return parts


_HEAD = ["faces", "missed", "NME", "median", "P90", "P95", "P99"]
_HEAD += ["AUC5", "AUC8", "AUC10", "FR5", "FR8", "FR10", "MSE"]


def _cells(s: Scores) -> list[str]:
    percents = [f"{v:.2f}" for v in (s.nme, s.median, s.p90, s.p95, s.p99)]
    areas, failures = [f"{v:.3f}" for v in s.auc.values()], [f"{v:.1f}" for v in s.failures.values()]
    return [str(s.faces), str(s.missing), *percents, *areas, *failures, f"{s.mse:.2e}" if np.isfinite(s.mse) else "–"]


def _region_row(e: Evaluation, names: Sequence[str]) -> list[str]:
    return [e.title, *(f"{e.regions[name]:.2f}" if name in e.regions else "–" for name in names)]


def table_text(evaluations: Sequence[Evaluation]) -> str:
    """The scores as lines for a terminal, the floor last."""
    head = ["faces", "missed", "NME %", "median", "P90", "FR10 %", "AUC10", "MSE"]
    rows = [(e.title, e.scores) for e in evaluations] + [("mean shape in the true box", evaluations[0].floor)]
    width = max(len(name) for name, _ in rows)
    lines = [" " * width + "".join(f"{name:>9}" for name in head)]
    for name, s in rows:
        numbers = (
            f"{s.faces:9d}{s.missing:9d}{s.nme:9.2f}{s.median:9.2f}{s.p90:9.2f}{s.failures[0.1]:9.1f}{s.auc[0.1]:9.3f}"
        )
        lines.append(f"{name:<{width}}{numbers}{s.mse:9.1e}")
    return "\n".join(lines)


def _axes(width: float = 9, height: float = 4.2) -> tuple[Any, Any]:
    from matplotlib.figure import Figure  # without pyplot: no global state, no window

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.grid(alpha=0.3)
    return figure, axes


def curve_figure(evaluations: Sequence[Evaluation]) -> Any:
    """The cumulative error curves as a matplotlib figure."""
    figure, axes = _axes()
    grid = np.linspace(0, 0.15, 301)
    for e in evaluations:
        axes.plot(100 * grid, 100 * cumulative(_known(e.errors), grid), label=f"{e.title} ({e.scores.nme:.2f} %)")
    axes.set(xlabel=f"NME, % ({evaluations[0].normaliser})", ylabel="faces, %", xlim=(0, 15), ylim=(0, 100))
    axes.legend(loc="lower right")
    return figure


def reliability_figure(evaluations: Sequence[Evaluation]) -> Any:
    """The reliability diagrams: the share that came true against what was said."""
    figure, axes = _axes(6, 5)
    axes.plot([0, 1], [0, 1], color="#999", linewidth=0.8)
    for e in evaluations:
        for what, r in e.reliability.items():
            axes.plot(r.said, r.true, ".-", label=f"{what}, {e.title} (ECE {r.ece:.3f})")
    axes.set(xlabel="said", ylabel="came true", xlim=(0, 1), ylim=(0, 1))
    axes.legend(fontsize=7)
    return figure


def _known(errors: Floats) -> Floats:
    return errors[np.isfinite(errors)]


def _figure_curve(evaluations: Sequence[Evaluation]) -> str:
    return html_page.svg(curve_figure(evaluations))


def _figure_points(evaluations: Sequence[Evaluation]) -> str:
    figure, axes = _axes(12, 3.6)
    for e in evaluations:
        axes.plot(e.points, ".-", label=f"{e.title}, {e.scheme}")
    for name, points in scheme(evaluations[0].scheme).regions.items():
        axes.axvline(min(points) - 0.5, color="#ccc", linewidth=0.8)
        axes.text(min(points), axes.get_ylim()[1] * 0.97, name, fontsize=7, rotation=90, va="top", color="#888")
    axes.set(xlabel="point", ylabel="mean error, %", ylim=(0, None))
    axes.legend()
    return html_page.svg(figure)


def _figure_videos(e: Evaluation) -> str:
    figure, axes = _axes(12, 4)
    names = list(e.videos)
    axes.bar(range(len(names)), [e.videos[n][0].nme for n in names], label="NME, %")
    axes.plot(range(len(names)), [e.videos[n][1] for n in names], "k.", label="jitter, %")
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=6)
    axes.legend()
    return html_page.svg(figure)


def worst_sheet(e: Evaluation, collected: PredictionSet, source: Source) -> NDArray[np.uint8]:
    """The WORST faces, worst first: labels in red under predictions in green."""
    order = [i for i in np.argsort(-np.nan_to_num(e.errors, nan=-1)) if np.isfinite(e.errors[i])][:WORST]
    tiles, captions = [], []
    for index in order:
        pixels = read_sample(source, collected.samples[index])[1]
        recipe = CropConfig(size=2 * TILE, margin=0.35)
        matrix = crop_from_source(from_landmarks(e.truth[index]), recipe)
        tile = Picture(pixels, "rgb").warp(matrix, recipe.size)
        for points, colour in ((e.truth[index], RED), (e.predicted[index], GREEN)):
            tile = draw_landmarks(tile, transform(points, matrix), e.scheme, colour)
        tiles.append(tile)
        captions.append(f"{100 * e.errors[index]:.1f} {collected.samples[index].id.rsplit('/', 1)[-1][-16:]}")
    return contact_sheet(tiles, COLUMNS, TILE, captions)
