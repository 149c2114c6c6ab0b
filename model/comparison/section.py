"""What is told of the rows of a comparison that spent the same: a sentence, tables, curves, clouds, small multiples."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from dataclasses import dataclass
from functools import partial

import numpy as np

from fakeit.model.comparison import answers, figures
from fakeit.model.comparison.config import ComparisonConfig
from fakeit.model.comparison.page import Page
from fakeit.model.comparison.rows import Floats, Result, Row, over_real, plus_minus, real_sets, spread
from fakeit.model.comparison.scaling import LEAST_SIZES, PowerLaw, fit_power_law
from fakeit.model.tracking.curves import loss_curves
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.store.manifest import SPLITS

BUDGET, FAR = "budget", 1_000_000  # the axis that parts a page; images that a law is asked about


@dataclass(frozen=True)
class Section:
    """See the module. `budget`: in words; `rows`: best first, as validated."""

    config: ComparisonConfig
    budget: str
    rows: list[Row]

    @property
    def real(self) -> list[str]:
        """Names of the sets of real faces."""
        return real_sets(self.rows)

    def told(self) -> tuple[dict[str, Floats], str]:
        """NME % a seed of each row, of the faces that the page's answer is about, and what faces those are."""
        if self.config.told == "real" and self.real:
            return {row.name: over_real(row, self.real) for row in self.rows}, f"on real faces ({', '.join(self.real)})"
        split = "test" if "test" in self.rows[0].results[0]["splits"] else "val"
        return {row.name: row.split(split, "nme") for row in self.rows}, "on unseen rendered faces"

    def mark(self, name: str) -> str:
        """A file's name, which sections of one page do not share."""
        apart = any(axis.name == BUDGET for axis in self.config.axes)
        return f"{name}_{re.sub(r'[^a-z0-9]+', '_', self.budget.lower())}" if apart else name

    # ------------------------------------------------------------------ sizes

    def lines(self) -> dict[str, dict[int, Row]]:
        """Name without size → size → row; empty where sizes are not compared."""
        axis = next((a.name for a in self.config.axes if a.key == "data.images"), None)
        lines: dict[str, dict[int, Row]] = defaultdict(dict)
        for row in self.rows if axis else []:
            name = " · ".join(v for k, v in row.labels.items() if k not in (axis, BUDGET, "trial")) or "network"
            lines[name][int(row.results[0]["images"])] = row
        return dict(lines)

    def laws(self) -> dict[str, PowerLaw]:
        """Name → its law over sizes, of those that have one."""
        return {name: law for name, law in self._fits().items() if isinstance(law, PowerLaw)}

    def lawless(self) -> dict[str, str]:
        """Name → why it has no law."""
        return {name: str(problem) for name, problem in self._fits().items() if isinstance(problem, FakeitError)}

    def _fits(self) -> dict[str, PowerLaw | FakeitError]:
        found: dict[str, PowerLaw | FakeitError] = {}
        for name, line in sorted(self.lines().items()):
            points = [(size, error) for size, row in line.items() for error in row.split("test", "nme")]
            try:
                found[name] = fit_power_law([n for n, _ in points], [e for _, e in points])
            except FakeitError as problem:
                found[name] = problem
        return found

    def target(self) -> float:
        """The error in % that is good enough."""
        return self.config.target or 1.1 * float(np.mean(self.rows[0].split("test", "nme")))

    # ------------------------------------------------------------------- text

    def answer(self) -> str:
        """One sentence."""
        told, what = self.told()
        seeds = spread(list(told.values()))
        if self.lines():
            if laws := self.laws():
                return answers.sizes(laws, self.budget, FAR)
            return f"At {self.budget}: fewer than {LEAST_SIZES} sizes are done, so nothing is said of more images."
        base = next((row for row in self.rows if self.config.baseline in row.labels.values()), None)
        if base is not None:
            return answers.against(self.rows, told, seeds, what, self.budget, base)
        best = self.rows
        if self.config.told == "real":  # there is nothing to validate on, and nothing is chosen by it
            best = sorted(self.rows, key=lambda row: float(np.mean(told[row.name])))
        return answers.leader(best, told, seeds, what, self.budget)

    def write(self, page: Page, size: int) -> None:
        """Tables and figures. `size`: pixels of the stored crop."""
        self._errors(page, size)
        self._costs(page)
        told, what = self.told()
        if len({row.mean("macs") for row in self.rows}) > 1:
            page.heading("Accuracy against speed", 3)
            page.text("Filled and joined: networks that no other beats in both. A dash is a seed.")
            costs = {row.name: (row.mean("infer_ms"), told[row.name]) for row in self.rows}
            page.figure(self.mark("error_by_speed"), figures.error_by_speed(costs, what))
        page.heading("Learning curves", 3)
        curves = loss_curves({r.name: [x["history"] for x in r.results] for r in self.rows})
        page.figure(self.mark("loss_curves"), curves)
        page.heading("Cumulative errors", 3)
        sets = [("rendered, unseen", "test"), *((name, name) for name in self.real)]
        clouds = {title: {r.name: r.errors(of) for r in self.rows} for title, of in sets}
        page.figure(self.mark("cumulative_errors"), figures.cumulative_errors(clouds))
        for key, heading in (("parts", "By part of the face"), ("yaw", "By how far the face is turned")):
            if panels := self._panels(key):
                page.heading(heading, 3)
                page.text("NME in %, one dot a seed, all panels on one scale.")
                page.figure(self.mark(f"by_{key}"), figures.small_multiples(panels))

    def _panels(self, key: str) -> dict[str, dict[str, Floats]]:
        """Panel → row → (seeds,) NME %: of rendered faces, or of the real ones that the answer is about."""
        of = self.real if self.config.told == "real" and self.real else ["test"]
        panels: dict[str, dict[str, Floats]] = {}
        for faces in of:
            groups = dict.fromkeys(g for r in self.rows for x in r.results for g in x.get(key, {}).get(faces, {}))
            for group in sorted(groups) if key == "yaw" else groups:
                title = f"{faces}: {group}" if len(of) > 1 else group
                panels[title] = {row.name: row.seeds(partial(_group, key, faces, group)) for row in self.rows}
        return panels

    def _errors(self, page: Page, size: int) -> None:
        page.heading("Errors", 3)
        head = ["", "NME test %", *(title for name in self.real for title in (f"NME {name} %", "adapted"))]
        body = []
        for r in self.rows:
            found = [r.split("test", "nme")]
            found += [r.real(name, key) for name in self.real for key in ("nme", "adapted")]
            body.append([r.name, *(plus_minus(values, ".2f") for values in found)])
        page.table(head, body)
        head = ["", "MSE train", "MSE val", "MSE test", "RMSE test px", "NME val %", "AUC10", "FR10 %"]
        body = []
        for r in self.rows:
            cells = [plus_minus(r.split(s, "mse"), ".2e") for s in SPLITS]
            cells += [plus_minus(r.root("test", size), ".2f"), plus_minus(r.split("val", "nme"), ".2f")]
            cells += [plus_minus(r.split("test", "auc10"), ".3f"), plus_minus(r.split("test", "fr10"), ".1f")]
            body.append([r.name, *cells])
        page.table(head, body)
        told, what = self.told()
        seeds, fewest = spread(list(told.values())), min(len(f) for f in told.values())
        page.text(
            f"Seeds alone make two rows differ by up to {100 * math.expm1(seeds.least(fewest, fewest)):.1f} % of the "
            f"NME {what} (95 %, {seeds.freedom} degrees of freedom): nothing is called better within that."
            if seeds.freedom
            else "One seed: nothing here can be called better than anything else."
        )

    def _costs(self, page: Page) -> None:
        page.heading("What they cost", 3)
        head = ["", "parameters", "MMAC", "images/s training", "images/s inference", "ms a face"]
        head += ["learning rate", "samples seen", "hours", *([self.config.currency] if self.config.price else [])]
        body = []
        for r in self.rows:
            hours = r.mean("seconds") / 3600
            forms = {"parameters": ",.0f", "macs": ",.1f", "train_images_per_s": ",.0f", "infer_images_per_s": ",.0f"}
            forms |= {"infer_ms": ".2f", "lr": "g", "samples": ",.0f"}
            found = {**{key: r.mean(key) for key in forms}, "macs": r.mean("macs") / 1e6}
            cells = [f"{found[key]:{form}}" for key, form in forms.items()]
            price = [f"{hours * self.config.price:.3f}"] if self.config.price else []
            body.append([r.name, *cells, f"{hours:.3f}", *price])
        page.table(head, body)
        total = sum(x["seconds"] for r in self.rows for x in r.results) / 3600
        page.text(f"All these cells together: {total:.2f} hours of training, side by side ones counted each.")


def _group(key: str, faces: str, group: str, result: Result) -> float:
    found = result.get(key, {}).get(faces, {}).get(group, math.nan)
    return float(found["nme"] if isinstance(found, dict) else found)
