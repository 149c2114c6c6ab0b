"""The page of a comparison, from what its cells left on disk: what it says, then its tables, figures and commands."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fakeit.model.comparison import figures, grid, published
from fakeit.model.comparison.cell import RESULT
from fakeit.model.comparison.config import ComparisonConfig
from fakeit.model.comparison.page import Page
from fakeit.model.comparison.rates import FOLDER, rungs
from fakeit.model.comparison.rows import Row, collect, plus_minus, validated
from fakeit.model.comparison.scaling import Interval, PowerLaw
from fakeit.model.comparison.section import BUDGET, FAR, Section
from fakeit.pipelines.config import from_stored
from fakeit.pipelines.errors import FakeitError


def write_report(folder: Path, output: Path | None = None, faces: bool = True) -> list[Path]:
    """Writes the report of a comparison.

    Args:
        folder: of the comparison.
        output: where `report.html`, `report.md` and `pictures/` go; the comparison's folder without it.
        faces: show test faces; without them the page can be passed on where the pictures must not.

    Raises:
        FakeitError: no comparison there, or none of its cells is done.
    """
    try:
        state = json.loads((folder / "comparison.json").read_text())
    except (OSError, ValueError) as error:
        raise FakeitError(f"{folder}: no comparison ({error}); run jobs/compare.py first") from error
    config = from_stored(state["config"], ComparisonConfig, str(folder))
    rows = collect(folder)
    if not rows:
        raise FakeitError(f"{folder}: none of its cells is done; see cells/*/train.log")
    page = Page(output or folder)
    page.heading(config.title, 1)
    sections = [Section(config, budget, of) for budget, of in _by_budget(config, rows).items()]
    page.answer([section.answer() for section in sections])
    _missing(page, config, rows)
    for section in sections:
        page.heading(f"After {section.budget}")
        _by_size(page, section)
        section.write(page, state["crop"]["size"])
    _rates(page, folder)
    _trials(page, folder)
    if faces:
        _pictures(page, rows)
    _protocol(page, config, state, rows)
    _published(page)
    _commands(page, folder, rows)
    return page.write(config.title)


def _by_budget(config: ComparisonConfig, rows: Sequence[Row]) -> dict[str, list[Row]]:
    """What was spent, in words → the rows that spent it, under names without it; best first, as validated."""
    axis = next((a for a in config.axes if a.name == BUDGET), None)
    spent = {p.name: f"{p.budget or config.budget}" for p in axis.all_points()} if axis else {}
    sections: dict[str, list[Row]] = {}
    for row in rows:
        words = spent.get(row.labels.get(BUDGET, ""), str(config.budget))
        rest = " · ".join(v for k, v in row.labels.items() if k != BUDGET) or "whole"
        sections.setdefault(words, []).append(replace(row, name=rest))
    order = list(dict.fromkeys(spent.values())) or list(sections)
    return {words: sorted(sections[words], key=validated) for words in order if words in sections}


def _missing(page: Page, config: ComparisonConfig, rows: Sequence[Row]) -> None:
    """What the conf asks for and is not here."""
    wanted = {(*grid.labels_of(config, points).items(), seed, fold) for seed, points, fold in grid.planned(config)}
    here = {(*row.labels.items(), x["seed"], x.get("fold", -1)) for row in rows for x in row.results}
    if not config.search and wanted - here:
        hours = sum(x["seconds"] for r in rows for x in r.results) / 3600
        told = f"{len(wanted & here)} of {len(wanted)} trainings, {hours:.1f} hours"
        page.text(f"Unfinished: {told}; the same command goes on.")


def _protocol(page: Page, config: ComparisonConfig, state: dict[str, Any], rows: Sequence[Row]) -> None:
    images, crop = state["images"], state["crop"]
    results = [x for r in rows for x in r.results]
    page.heading("How it was measured")
    if config.question:
        page.text(config.question)
    seeds = sorted({x["seed"] for x in results})
    inputs = sorted({x["input"] for x in results if "input" in x})
    seen = f", {' and '.join(map(str, inputs))} px of them seen by the networks" if inputs else ""
    page.text(
        f"Dataset {state['digest']}: {images['train']:,} training, {images['val']:,} validation, "
        f"{images['test']:,} test faces, {crop['size']} px stored{seen}, {state['scheme']}. "
        f"Seeds {', '.join(map(str, seeds))}. All cells are judged on the same validation and test faces, never "
        "augmented, every face once, every coordinate alike; smaller training sets lie inside larger ones. The best "
        "epoch is chosen on validation faces alone. NME is a face's mean error over the distance of its outer eye "
        "corners. Figures are mean ± standard deviation over seeds; one seed has no ±. Images/s of training are by "
        f"processor time where a CPU computes, milliseconds the quickest of many: {rows[0].results[0]['machine']}."
    )
    if any(x["real"] for x in results):
        page.text(
            "Real faces are cut by their true boxes. Adapted: through a ridge from the network's points to the labels' "
            "habits, fitted on another set, or, where cells train on real faces, on other faces of the held-out ones."
        )
    if any(x.get("fold", -1) >= 0 for x in results):
        page.text(
            f"Real faces that are trained on are dealt into {config.folds} folds by photograph: each face is scored by "
            "networks that saw none of its fold. A network that saw real faces stays out of the box and the registry."
        )
    others = sorted({Path(x["dataset"]).name for x in results if x.get("dataset") and x.get("fold", -1) < 0})
    if others:
        page.text(f"Some rows are trained on a dataset of their own: {', '.join(others)}.")


def _by_size(page: Page, section: Section) -> None:
    """Sizes × the other axes, and the law behind them."""
    lines = section.lines()
    if not lines:
        return
    sizes = sorted({n for line in lines.values() for n in line})
    for split, key, what, form in (
        ("val", "mse", "Validation MSE by training images", ".2e"),
        ("test", "nme", "Test NME % by training images", ".2f"),
    ):
        page.heading(what, 3)
        body = [
            [n, *(plus_minus(line[s].split(split, key), form) if s in line else "–" for s in sizes)]
            for n, line in lines.items()
        ]
        page.table(["", *(f"{s:,}" for s in sizes)], body)
    page.heading("How many images are enough?", 3)
    for name, problem in section.lawless().items():
        page.text(f"{name}: {problem}")
    laws = section.laws()
    if not laws:
        return
    target = section.target()
    head = ["", "exponent", "the next doubling takes away", "NME % there", f"NME % with {FAR:,}"]
    page.table([*head, f"enough for {target:.2f} %"], [_law(name, law, target) for name, law in laws.items()])
    page.text(
        "error(n) = floor + scale · n^-exponent, fitted to every training's test NME; in brackets the middle 80 % of "
        "what the data allow. A floor is fitted from four sizes and five trainings on and is 0 with fewer; few sizes "
        "or seeds make wide brackets, and beyond the largest size everything is extrapolated. “Enough” is "
        + ("what the conf says." if section.config.target else "1.1 × the lowest error found here.")
    )
    page.figure(section.mark("error_by_size"), figures.error_by_size(laws, target))


def _law(name: str, law: PowerLaw, target: float) -> list[str]:
    return [
        name,
        _interval(law.rate(), lambda v: f"{v:.2f}"),
        _interval(law.next_doubling(), lambda v: f"{100 * v:z.0f} %"),
        _interval(law.at(2 * float(law.sizes.max())), lambda v: f"{v:.2f}"),
        _interval(law.at(FAR), lambda v: f"{v:.2f}"),
        _interval(law.smallest(target), _size),
    ]


def _rates(page: Page, folder: Path) -> None:
    """The search for learning rates, where there was one."""
    found = rungs(folder / FOLDER)
    if not found:
        return
    page.heading("Learning rates")
    page.text("NME in % on validation faces of short trainings, one seed; each network was compared at its lowest.")
    rates = sorted({rung.lr for rung in found})
    body = []
    for point in dict.fromkeys(rung.point for rung in found):
        own = {rung.lr: rung.nme for rung in found if rung.point == point}
        lowest = min(own.values())
        cells = ["–" if r not in own else f"{own[r]:.2f}{' ←' if own[r] == lowest else ''}" for r in rates]
        body.append([point, *cells])
    page.table(["", *(f"{rate:g}" for rate in rates)], body)


def _trials(page: Page, folder: Path) -> None:
    path = folder / "trials.json"
    if not path.exists():
        return
    rows = json.loads(path.read_text())
    keys = sorted({key for r in rows for key in r["params"]})
    page.heading("Trials")
    ordered = sorted(rows, key=lambda r: (list(r["study"].values()), r["value"] is None, r["value"] or 0))
    body = [
        [
            f"{' · '.join(r['study'].values())} #{r['number']}", r["state"].lower(),
            "–" if r["value"] is None else f"{r['value']:.2f}", str(r["epochs"]),
            *(f"{v:.3g}" if isinstance(v := r["params"].get(k), float) else str(v) for k in keys),
        ]
        for r in ordered
    ]  # fmt: skip
    page.table(["trial", "state", "NME val %", "epochs", *keys], body)
    page.figure("trials", figures.trials(rows, keys))


def _pictures(page: Page, rows: Sequence[Row]) -> None:
    page.heading("Best and worst test faces")
    page.text("Green: predicted; red: true. The easiest and the hardest faces of the best and of the worst row.")
    ordered = sorted(rows, key=validated)
    for which, row in (("best_row", ordered[0]), *((("worst_row", ordered[-1]),) if len(ordered) > 1 else ())):
        for kind in ("best", "worst"):
            path = row.folders[0] / f"{kind}.jpg"
            if path.exists():
                page.text(f"{row.name}: its {kind}")
                page.picture(f"{which}_{kind}", path)


def _published(page: Page) -> None:
    page.heading("Published figures, for orientation")
    for table in (published.BASELINES_BY_SIZE, published.BASELINES, published.NME):
        page.heading(table.title, 3)
        page.table(table.head, table.rows)
        page.text(table.note)


def _commands(page: Page, folder: Path, rows: Sequence[Row]) -> None:
    page.heading("Every cell again, by hand")
    page.text("DATASET: the folder of that digest. Judging on real faces and MLflow's tags are jobs/compare.py's.")
    for r in rows:
        for result in r.results:
            named = Path(result.get("dataset") or "DATASET").name
            page.code(re.sub(r"--dataset .*? --output", f"--dataset {named} --output", result["command"]))
    failed = [p for p in sorted((folder / "cells").glob("*/failed.txt")) if not (p.parent / RESULT).exists()]
    if failed:
        page.heading("Cells that failed")
        page.table(["cell", "reason"], [[p.parent.name, p.read_text().strip()] for p in failed])


def _interval(found: Interval, form: Callable[[float], str]) -> str:
    return f"{form(found.middle)} ({form(found.low)} … {form(found.high)})"


def _size(value: float) -> str:
    return "never" if math.isinf(value) or value > 1e9 else f"{value:,.0f}"
