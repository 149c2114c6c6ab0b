"""The report's figures, as SVG text: curves, clouds, error against size. Matplotlib without pyplot: no global state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from numpy.typing import NDArray

from fakeit.model.comparison.scaling import PowerLaw
from fakeit.model.evaluation.metrics import cumulative

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8c564b", "#7f7f7f", "#bcbd22")
DASHES = ("-", "--", ":", "-.")
Curves = Mapping[str, Sequence[Sequence[dict[str, float]]]]


def _axes(width: float = 8.5, height: float = 4.2) -> tuple[Figure, Any]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.grid(alpha=0.3)
    return figure, axes


def style(index: int) -> dict[str, str]:
    """Colour and line of the `index`-th curve of a figure."""
    return {"color": COLOURS[index % len(COLOURS)], "linestyle": DASHES[index // len(COLOURS) % len(DASHES)]}


def loss_curves(curves: Curves) -> Figure:
    """Loss in training and NME in validation by epoch; a line a seed.

    Args:
        curves: name → a history a seed: epochs' figures, as checkpoints keep them.
    """
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for index, (name, histories) in enumerate(curves.items()):
        for number, history in enumerate(histories):
            label = name if number == 0 else None
            epochs = np.arange(1, len(history) + 1)
            left.plot(epochs, [e["train_loss"] for e in history], **style(index), alpha=0.8, linewidth=1.2)
            nme = [100 * e.get("val_nme", np.nan) for e in history]
            right.plot(epochs, nme, **style(index), alpha=0.8, linewidth=1.2, label=label)
    losses = [e["train_loss"] for histories in curves.values() for h in histories for e in h]
    left.set(xlabel="epoch", ylabel="training loss", yscale="log" if min(losses, default=1) > 0 else "linear")
    right.set(xlabel="epoch", ylabel="validation NME, % inter-ocular", yscale="log")
    _plain_log(right.yaxis)
    for axes in (left, right):
        axes.grid(alpha=0.3, which="both")
    _legend(right, len(curves))
    return figure


def error_by_size(laws: Mapping[str, PowerLaw], target: float) -> Figure:
    """Test NME against training images, both on log axes, with each fitted law and its middle 80 %."""
    figure, axes = _axes(8.5, 4.8)
    for index, (name, law) in enumerate(laws.items()):
        look = style(index)
        axes.plot(law.sizes, law.errors, "o", color=look["color"], markersize=5, label=name)
        grid = np.geomspace(law.sizes.min() / 1.2, law.sizes.max() * 4, 60)
        found = [law.at(float(n)) for n in grid]
        inside = grid <= law.sizes.max()
        middle = np.array([f.middle for f in found])
        axes.plot(grid[inside], middle[inside], color=look["color"], linewidth=1.4)
        axes.plot(grid[~inside], middle[~inside], color=look["color"], linewidth=1.4, linestyle="--")
        axes.fill_between(grid, [f.low for f in found], [f.high for f in found], color=look["color"], alpha=0.1)
    axes.axhline(target, color="#555", linewidth=1, linestyle=":")
    axes.text(axes.get_xlim()[1], target, "good enough ", ha="right", va="bottom", fontsize=8, color="#555")
    axes.set(xscale="log", yscale="log", xlabel="training images (beyond the last point: extrapolated)")
    axes.set_ylabel("test NME, % inter-ocular")
    errors = np.concatenate([law.errors for law in laws.values()])
    axes.set_ylim(errors.min() / 2.2, errors.max() * 1.6)
    for axis in (axes.xaxis, axes.yaxis):
        _plain_log(axis)
    axes.legend(fontsize=8)
    return figure


def cumulative_errors(errors: Mapping[str, NDArray[np.floating]]) -> Figure:
    """The share of test faces with an NME below each value; faces of all seeds together."""
    figure, axes = _axes()
    everything = np.concatenate([e[np.isfinite(e)] for e in errors.values()])
    reach = max(0.1, float(np.quantile(everything, 0.9))) if len(everything) else 0.1
    grid = np.linspace(0, reach, 300)
    for index, (name, values) in enumerate(errors.items()):
        curve = cumulative(np.asarray(values[np.isfinite(values)], np.float64), grid)
        axes.plot(100 * grid, 100 * curve, **style(index), label=name)
    axes.set(xlabel="NME, % inter-ocular", ylabel="test faces, %", ylim=(0, 100), xlim=(0, 100 * reach))
    _legend(axes, len(errors))
    return figure


def error_by_cost(points: Mapping[str, tuple[float, float, float]], unit: str) -> Figure:
    """Test NME against what a network costs.

    Args:
        points: name → (cost, mean NME %, standard deviation or NaN).
        unit: of the cost.
    """
    figure, axes = _axes(8.5, 4)
    for index, (name, (cost, error, deviation)) in enumerate(points.items()):
        bar = None if np.isnan(deviation) else deviation
        axes.errorbar(cost, error, yerr=bar, fmt="o", color=style(index)["color"], capsize=3)
        axes.annotate(name, (cost, error), textcoords="offset points", xytext=(7, 4), fontsize=8)
    axes.set(xlabel=unit, ylabel="test NME, % inter-ocular", xscale="log")
    axes.set_xlim(right=2.5 * max(cost for cost, _, _ in points.values()))  # room for the last name
    _plain_log(axes.xaxis)
    axes.margins(0.15)
    return figure


def trials(rows: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> Figure:
    """Validation NME against each hyperparameter that was searched; pruned trials are crosses."""
    figure = Figure(figsize=(3.2 * max(len(keys), 1), 3.4), layout="constrained")
    studies = sorted({" · ".join(r["study"].values()) for r in rows})
    for position, key in enumerate(keys):
        axes = figure.add_subplot(1, len(keys), position + 1)
        axes.grid(alpha=0.3)
        values = [r["params"][key] for r in rows if key in r["params"]]
        numbers = all(isinstance(v, int | float) for v in values)
        for index, study in enumerate(studies):
            for state, mark in (("COMPLETE", "o"), ("PRUNED", "x")):
                chosen = [r for r in rows if r["state"] == state and " · ".join(r["study"].values()) == study]
                known = [(r["params"][key], r["value"]) for r in chosen if r["value"] is not None]
                label = study if state == "COMPLETE" and position == 0 else None
                x = [p if numbers else str(p) for p, _ in known]
                axes.plot(x, [v for _, v in known], mark, color=style(index)["color"], label=label, markersize=5)
        spread = numbers and min(values, default=0) > 0 and max(values) / min(values) > 8
        axes.set(xlabel=key, yscale="log", xscale="log" if spread else "linear")
        _plain_log(axes.yaxis)
        if position == 0:
            axes.set_ylabel("validation NME, %")
            axes.legend(fontsize=7)
    return figure


def _plain_log(axis: Any) -> None:
    """Ticks at 1, 2 and 5 of each decade, written as plain numbers."""
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 10 else f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _legend(axes: Any, count: int) -> None:
    if count <= 24:
        axes.legend(fontsize=7 if count > 8 else 8)
