"""The page of a comparison, from what its cells left on disk: self-contained HTML, and the same as Markdown."""

from __future__ import annotations

import html
import json
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from fakeit.model.comparison import figures, published
from fakeit.model.comparison.cell import ERRORS, RESULT
from fakeit.model.comparison.grid import ComparisonConfig
from fakeit.model.comparison.running import read_result
from fakeit.model.comparison.scaling import Interval, PowerLaw, fit_power_law
from fakeit.pipelines import html_page
from fakeit.pipelines.config import from_stored
from fakeit.pipelines.errors import FakeitError

Result = dict[str, Any]


@dataclass
class Row:
    """Cells that differ in their seed alone."""

    name: str
    labels: dict[str, str]
    results: list[Result]
    folders: list[Path]

    def figure(self, split: str, key: str) -> tuple[float, float]:
        """Mean and standard deviation over seeds (NaN for one seed)."""
        values = [r["splits"].get(split, {}).get(key, np.nan) for r in self.results]
        return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")

    def root(self, split: str, size: int) -> tuple[float, float]:
        """Likewise the root mean square error of a coordinate, pixels of the stored crop."""
        values = [size * np.sqrt(r["splits"].get(split, {}).get("mse", np.nan)) for r in self.results]
        return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")

    def mean(self, key: str) -> float:
        return float(np.mean([r[key] for r in self.results]))


def _chosen_by(row: Row) -> float:
    """Rows are in the order of their validation NME; test faces only report (they do where nothing was validated)."""
    validated = row.figure("val", "nme")[0]
    return row.figure("test", "nme")[0] if np.isnan(validated) else validated


class Page:
    """The same text twice: as HTML with its pictures inside, as Markdown with its pictures in a folder beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.html: list[str] = []
        self.markdown: list[str] = []
        (folder / "pictures").mkdir(parents=True, exist_ok=True)

    def heading(self, text: str, level: int = 2) -> None:
        self.html.append(f"<h{level}>{html.escape(text)}</h{level}>")
        self.markdown.append(f"{'#' * level} {text}\n")

    def text(self, text: str) -> None:
        self.html.append(f"<p class=note>{html.escape(text)}</p>")
        self.markdown.append(text + "\n")

    def code(self, text: str) -> None:
        self.html.append(f"<pre>{html.escape(text)}</pre>")
        self.markdown.append(f"```\n{text}\n```\n")

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        self.html.append(html_page.table(head, rows))
        lines = ["| " + " | ".join(v.replace("|", "\\|") for v in row) + " |" for row in (head, *rows)]
        lines.insert(1, "|---|" + "---:|" * (len(head) - 1))
        self.markdown.append("\n".join(lines) + "\n")

    def figure(self, name: str, figure: Figure) -> None:
        text = html_page.svg(figure)
        self.html.append(text)
        (self.folder / "pictures" / f"{name}.svg").write_text(text, encoding="utf-8")
        self.markdown.append(f"![{name}](pictures/{name}.svg)\n")

    def picture(self, name: str, path: Path) -> None:
        data = path.read_bytes()
        self.html.append(html_page.jpeg(data, name))
        (self.folder / "pictures" / f"{name}.jpg").write_bytes(data)
        self.markdown.append(f"![{name}](pictures/{name}.jpg)\n")

    def write(self, title: str) -> list[Path]:
        paths = [self.folder / "report.html", self.folder / "report.md"]
        paths[0].write_text(html_page.document(title, "\n".join(self.html)), encoding="utf-8")
        paths[1].write_text("\n".join(self.markdown), encoding="utf-8")
        return paths


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
    _protocol(page, config, state, rows)
    _main_tables(page, config, rows, state["crop"]["size"])
    _by_size(page, config, rows)
    _trials(page, folder)
    page.heading("Loss curves")
    page.figure("loss_curves", figures.loss_curves({r.name: [x["history"] for x in r.results] for r in rows}))
    page.heading("Cumulative errors on the test faces")
    page.figure("cumulative_errors", figures.cumulative_errors({r.name: _errors(r) for r in rows}))
    if faces:
        _pictures(page, rows)
    _published(page)
    _commands(page, folder, rows)
    return page.write(config.title)


def collect(folder: Path) -> list[Row]:
    """The rows of a comparison, in the order of their labels' first cells."""
    groups: dict[tuple[tuple[str, str], ...], Row] = {}
    for place in sorted((folder / "cells").glob("*"), key=_written):
        if (place / RESULT).exists():
            result = read_result(place)
            key = tuple(result["labels"].items())
            name = " · ".join(v for k, v in key) or "whole"
            row = groups.setdefault(key, Row(name, result["labels"], [], []))
            row.results.append(result)
            row.folders.append(place)
    return list(groups.values())


def _written(place: Path) -> float:
    return (place / RESULT).stat().st_mtime if (place / RESULT).exists() else 0.0


def _protocol(page: Page, config: ComparisonConfig, state: dict[str, Any], rows: Sequence[Row]) -> None:
    images, crop = state["images"], state["crop"]
    if config.question:
        page.text(config.question)
    seeds = sorted({x["seed"] for r in rows for x in r.results})
    page.text(
        f"Dataset {state['digest']}: {images['train']:,} training, {images['val']:,} validation, "
        f"{images['test']:,} test faces, {crop['size']} px stored, {state['scheme']}. "
        f"Budget of every cell: {config.budget}; seeds {', '.join(map(str, seeds))}. "
        "All cells are judged on the same validation and test faces, never augmented, every face once, every "
        "coordinate alike; smaller training sets lie inside larger ones. The best epoch is chosen on validation "
        "faces alone. NME is a face's mean error over the distance of its outer eye corners. Figures are mean "
        "± standard deviation "
        "over seeds; one seed has no ±. Speeds are of this machine as it was then: "
        f"{rows[0].results[0]['machine']}."
    )
    others = sorted({Path(x["dataset"]).name for r in rows for x in r.results if x.get("dataset")})
    if others:
        page.text(
            f"Some rows are trained and judged on a dataset of their own ({', '.join(others)}): the same validation "
            "and test faces with the same true points, other training rows or other contrast."
        )


def _main_tables(page: Page, config: ComparisonConfig, rows: Sequence[Row], size: int) -> None:
    ordered = sorted(rows, key=_chosen_by)
    page.heading("Errors")
    head = ["", "MSE train", "MSE val", "MSE test", "RMSE test px", "NME val %", "NME test %", "AUC10", "FR10 %"]
    real = sorted({name for r in rows for x in r.results for name in x["real"]})
    head += [f"NME {name} %" for name in real]
    body = []
    for r in ordered:
        cells = [_pm(r.figure(s, "mse"), ".2e") for s in ("train", "val", "test")]
        cells += [
            _pm(r.root("test", size), ".2f"),
            _pm(r.figure("val", "nme"), ".2f"),
            _pm(r.figure("test", "nme"), ".2f"),
        ]
        cells += [_pm(r.figure("test", "auc10"), ".3f"), _pm(r.figure("test", "fr10"), ".1f")]
        cells += [f"{np.mean([x['real'].get(n, {}).get('nme', np.nan) for x in r.results]):.2f}" for n in real]
        body.append([r.name, *cells])
    page.table(head, body)
    page.heading("What they cost")
    head = ["", "parameters", "MMAC", "images/s training", "images/s inference", "ms a face", "epochs", "hours"]
    paid = [f"{config.currency}"] if config.price else []
    body = []
    for r in ordered:
        hours = r.mean("seconds") / 3600
        cells = [f"{r.mean('parameters'):,.0f}", f"{r.mean('macs') / 1e6:,.1f}", f"{r.mean('train_images_per_s'):,.0f}"]
        cells += [f"{r.mean('infer_images_per_s'):,.0f}", f"{r.mean('infer_ms'):.1f}"]
        cells += [f"{np.mean([len(x['history']) for x in r.results]):.0f}", f"{hours:.3f}"]
        body.append([r.name, *cells, *([f"{hours * config.price:.3f}"] if config.price else [])])
    page.table([*head, *paid], body)
    total = sum(x["seconds"] for r in rows for x in r.results) / 3600
    page.text(f"All cells together: {total:.2f} hours of training, side by side ones counted each.")
    costs = {r.name: (r.mean("macs") / 1e6, *r.figure("test", "nme")) for r in rows}
    if len({cost for cost, _, _ in costs.values()}) > 1:
        page.figure("error_by_cost", figures.error_by_cost(costs, "million multiplications a face"))


def _by_size(page: Page, config: ComparisonConfig, rows: Sequence[Row]) -> None:
    """Sizes × the other axes, and the law behind them."""
    lines: dict[str, dict[int, Row]] = defaultdict(dict)
    size_axis = next((a.name for a in config.axes if a.key == "data.images"), None)
    if size_axis is None:
        return
    for r in rows:
        name = " · ".join(v for k, v in r.labels.items() if k not in (size_axis, "trial")) or "network"
        lines[name][int(r.results[0]["images"])] = r
    sizes = sorted({n for line in lines.values() for n in line})
    for split, key, what, form in (
        ("val", "mse", "Validation MSE by training images", ".2e"),
        ("test", "nme", "Test NME % by training images", ".2f"),
    ):
        page.heading(what)
        body = [
            [n, *(_pm(line[s].figure(split, key), form) if s in line else "–" for s in sizes)]
            for n, line in lines.items()
        ]
        page.table(["", *(f"{s:,}" for s in sizes)], body)
    page.heading("How many images are enough?")
    target = config.target or 1.1 * min(rows, key=_chosen_by).figure("test", "nme")[0]
    laws: dict[str, PowerLaw] = {}
    for name, line in lines.items():
        points = [(n, x["splits"]["test"]["nme"]) for n, r in line.items() for x in r.results]
        try:
            laws[name] = fit_power_law([n for n, _ in points], [e for _, e in points])
        except FakeitError as error:
            page.text(f"{name}: {error}")
    if not laws:
        return
    body = []
    for name, law in laws.items():
        largest = float(law.sizes.max())
        body.append(
            [
                name,
                _interval(law.rate(), lambda v: f"{v:.2f}"),
                _interval(law.next_doubling(), lambda v: f"{100 * v:.0f} %"),
                _interval(law.at(2 * largest), lambda v: f"{v:.2f}"),
                _interval(law.smallest(target), _size),
            ]
        )
    page.table(
        ["", "exponent", "the next doubling takes away", "NME % there", f"smallest size for {target:.2f} %"], body
    )
    page.text(
        "error(n) = floor + scale · n^-exponent, fitted to every training's test NME; in brackets the middle 80 % of "
        "what the data allow. A floor is fitted from four sizes on and is 0 with fewer; few sizes or seeds make wide "
        "brackets, and beyond the largest size everything is extrapolated. “Good enough” is "
        + (f"{target:.2f} %, as the conf says." if config.target else "1.1 × the lowest error found here.")
    )
    page.figure("error_by_size", figures.error_by_size(laws, target))


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
    ordered = sorted(rows, key=_chosen_by)
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
    page.text("DATASET: the folder of the digest above. Judging on real faces and MLflow's tags are jobs/compare.py's.")
    for r in rows:
        for result in r.results:
            named = Path(result.get("dataset") or "DATASET").name
            page.code(re.sub(r"--dataset .*? --output", f"--dataset {named} --output", result["command"]))
    failed = [p for p in sorted((folder / "cells").glob("*/failed.txt")) if not (p.parent / RESULT).exists()]
    if failed:
        page.heading("Cells that failed")
        page.table(["cell", "reason"], [[p.parent.name, p.read_text().strip()] for p in failed])


def _errors(row: Row) -> np.ndarray[Any, np.dtype[np.float64]]:
    found = [np.load(place / ERRORS) for place in row.folders]
    return np.concatenate([f["test" if "test" in f else "val"] for f in found]).astype(np.float64)


def _pm(figure: tuple[float, float], form: str) -> str:
    mean, deviation = figure
    if np.isnan(mean):
        return "–"
    return f"{mean:{form}}" if np.isnan(deviation) else f"{mean:{form}} ± {deviation:{form}}"


def _interval(found: Interval, form: Callable[[float], str]) -> str:
    return f"{form(found.middle)} ({form(found.low)} … {form(found.high)})"


def _size(value: float) -> str:
    return "never" if np.isinf(value) or value > 1e9 else f"{value:,.0f}"
