"""The report's figures: curves, clouds, small multiples, error against size. Matplotlib without pyplot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fakeit.model.comparison.scaling import PowerLaw
from fakeit.model.evaluation.metrics import cumulative
from fakeit.model.tracking.curves import legend, plain_log, style


def _axes(width: float = 8.5, height: float = 4.2) -> tuple[Figure, Any]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.grid(alpha=0.3)
    return figure, axes


def _columns(panels: int) -> int:
    """Of small multiples in a line."""
    return panels if panels <= 4 else 4 if panels % 3 == 1 else 3


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
        plain_log(axis)
    axes.legend(fontsize=8)
    return figure


def cumulative_errors(sets: Mapping[str, Mapping[str, NDArray[np.floating]]]) -> Figure:
    """The share of faces with an NME below each value, a panel a set of faces; those of all seeds together.

    Args:
        sets: of faces → row → (N,) each face's NME, a share.
    """
    columns = _columns(len(sets))
    lines = -(-len(sets) // columns)
    figure = Figure(figsize=(11, 3.9 * lines), layout="constrained")
    for position, (title, errors) in enumerate(sets.items()):
        axes = figure.add_subplot(lines, columns, position + 1)
        axes.grid(alpha=0.3)
        everything = np.concatenate([e[np.isfinite(e)] for e in errors.values()])
        reach = max(0.1, float(np.quantile(everything, 0.9))) if len(everything) else 0.1
        grid = np.linspace(0, reach, 101)
        for index, (name, values) in enumerate(errors.items()):
            if np.isfinite(values).any():
                curve = cumulative(np.asarray(values[np.isfinite(values)], np.float64), grid)
                axes.plot(100 * grid, 100 * curve, **style(index), linewidth=1.3, label=name)
        axes.set(xlabel="NME, % inter-ocular", ylim=(0, 100), xlim=(0, 100 * reach))
        axes.set_title(title, fontsize=10)
        if position % columns == 0:
            axes.set_ylabel("faces, %")
        if position == 0:
            legend(axes, len(errors))
    return figure


def error_by_speed(points: Mapping[str, tuple[float, NDArray[np.floating]]], what: str) -> Figure:
    """Error against milliseconds a face; the Pareto front, whose networks nothing beats in both, is a line.

    Args:
        points: name → (milliseconds, (seeds,) NME %).
        what: the error is of.
    """
    figure = Figure(figsize=(8.5, 4.2), layout="constrained")
    axes = figure.add_subplot()
    axes.grid(alpha=0.3, which="both")
    means = {name: (ms, float(np.mean(errors))) for name, (ms, errors) in points.items()}
    front = pareto(means)
    axes.plot(*zip(*(means[name] for name in front), strict=True), color="#999", linewidth=1, zorder=1)
    for index, (name, (ms, errors)) in enumerate(points.items()):
        look = style(index)["color"]
        axes.plot([ms] * len(errors), errors, "_", color=look, markersize=7, zorder=2)
        filled = look if name in front else "none"
        axes.plot(ms, means[name][1], "o", color=look, markerfacecolor=filled, markersize=7, zorder=3)
        axes.annotate(name, means[name], textcoords="offset points", xytext=(8, 4), fontsize=8)
    axes.set(xlabel="milliseconds a face, alone, on this machine", ylabel=f"NME, {what}, %", xscale="log", yscale="log")
    axes.set_xlim(right=2.5 * max(ms for ms, _ in points.values()))  # room for the last name
    for axis in (axes.xaxis, axes.yaxis):
        plain_log(axis)
    return figure


def pareto(points: Mapping[str, tuple[float, float]]) -> list[str]:
    """Names of the points that no other beats in one figure without losing in the other, by the first figure. Both are
    better when lower."""
    front: list[str] = []
    for name in sorted(points, key=lambda n: points[n]):
        if not front or points[name][1] < points[front[-1]][1]:
            front.append(name)
    return front


def small_multiples(panels: Mapping[str, Mapping[str, NDArray[np.floating]]]) -> Figure:
    """A panel a group of faces or points, a line a row, a dot a seed: all on one scale.

    Args:
        panels: title → row → (seeds,) NME %.
    """
    names = list(dict.fromkeys(name for rows in panels.values() for name in rows))
    columns = _columns(len(panels))
    lines = -(-len(panels) // columns)
    figure = Figure(figsize=(11, lines * (0.9 + 0.24 * len(names))), layout="constrained")
    shared = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    for axes, (title, rows) in zip(shared.flat, panels.items(), strict=False):
        for index, name in enumerate(names):
            found = rows.get(name, np.zeros(0))
            axes.plot(found, [index] * len(found), "o", color=style(index)["color"], markersize=4.5, alpha=0.8)
        axes.set_title(title, fontsize=9)
        axes.set_yticks(range(len(names)), names, fontsize=8)
        axes.grid(alpha=0.3)
    for axes in list(shared.flat)[len(panels) :]:
        axes.set_axis_off()
    for axes in shared[-1]:
        axes.set_xlabel("NME, %")
    shared[0][0].set_ylim(len(names) - 0.5, -0.5)
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
        plain_log(axes.yaxis)
        if position == 0:
            axes.set_ylabel("validation NME, %")
            axes.legend(fontsize=7)
    return figure
