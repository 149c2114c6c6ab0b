"""Learning curves, one look for all: a run's in MLflow, a comparison's on its page. Matplotlib without pyplot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8c564b", "#7f7f7f", "#bcbd22")
DASHES = ("-", "--", ":", "-.")
Curves = Mapping[str, Sequence[Sequence[Mapping[str, float]]]]


def style(index: int) -> dict[str, str]:
    """Colour and line of the `index`-th curve of a figure."""
    return {"color": COLOURS[index % len(COLOURS)], "linestyle": DASHES[index // len(COLOURS) % len(DASHES)]}


def loss_curves(curves: Curves) -> Figure:
    """Loss in training (and, of a single run, in validation) and NME in validation by epoch; a line a seed.

    Args:
        curves: name → a history a seed: epochs' figures, as checkpoints and journals keep them.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    alone = len(curves) == 1
    for index, (name, histories) in enumerate(curves.items()):
        for number, history in enumerate(histories):
            look = {**style(index), "alpha": 0.8, "linewidth": 1.2}
            epochs = np.arange(1, len(history) + 1)
            training = "training" if alone and number == 0 else None
            left.plot(epochs, [e.get("train_loss", np.nan) for e in history], **look, label=training)
            if alone:
                look["linestyle"] = "--"
                left.plot(epochs, [e.get("val_loss", np.nan) for e in history], **look, label="validation")
            nme = [100 * e.get("val_nme", np.nan) for e in history]
            right.plot(epochs, nme, **style(index), alpha=0.8, linewidth=1.2, label=None if number else name)
    losses = [e[k] for of in curves.values() for h in of for e in h for k in ("train_loss", "val_loss") if k in e]
    left.set(xlabel="epoch", ylabel="loss" if alone else "training loss")
    left.set_yscale("log" if min(losses, default=1) > 0 else "linear")
    right.set(xlabel="epoch", ylabel="validation NME, % inter-ocular", yscale="log")
    plain_log(right.yaxis)
    for axes in (left, right):
        axes.grid(alpha=0.3, which="both")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if alone:
        left.legend()
    else:
        legend(right, len(curves))
    return figure


def plain_log(axis: Any) -> None:
    """Ticks at 1, 2 and 5 of each decade, written as plain numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 10 else f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def legend(axes: Any, count: int) -> None:
    """A legend, where there are not too many curves for one."""
    if count <= 24:
        axes.legend(fontsize=7 if count > 8 else 8)
