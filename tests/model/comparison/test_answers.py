"""What a page says follows from its figures, and nothing is called better within the seeds' spread."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fakeit.model.comparison import answers
from fakeit.model.comparison.figures import pareto
from fakeit.model.comparison.rows import Floats, Row, Spread, plus_minus, spread
from fakeit.model.comparison.scaling import fit_power_law


def _rows(**figures: list[float]) -> tuple[list[Row], dict[str, Floats], Spread]:
    rows = [Row(name, {"network": name}, [], []) for name in figures]
    found = {name: np.array(values) for name, values in figures.items()}
    return rows, found, spread(list(found.values()))


def test_a_difference_beyond_the_seeds_is_a_difference() -> None:
    rows, figures, seeds = _rows(a=[8.0, 8.1, 7.9], b=[9.0, 9.1, 8.9], c=[8.05, 8.15, 7.95])
    assert seeds.freedom == 6 and seeds.deviation == pytest.approx(0.012, abs=0.002)
    assert seeds.worse(figures["b"], figures["a"]) and not seeds.worse(figures["c"], figures["a"])
    assert not seeds.worse(figures["a"], figures["b"])
    text = answers.leader(rows, figures, seeds, "on test faces", "300,000 samples")
    assert text.startswith("After 300,000 samples, a leads (8.00 ± 0.10 % on test faces), but c is not told apart")
    assert "b" not in text.split("but")[1].split("is not")[0]


def test_a_lead_beyond_the_seeds_is_said() -> None:
    rows, figures, seeds = _rows(a=[8.0, 8.1], b=[9.0, 9.1], c=[9.5, 9.6])
    text = answers.leader(rows, figures, seeds, "on test faces", "an hour")
    assert "a is best" in text and "ahead of b (9.05 ± 0.07 %)" in text


def test_what_has_hardly_begun_to_learn_does_not_blur_the_rest() -> None:
    rows, figures, seeds = _rows(a=[8.0, 8.1], b=[9.0, 9.1], unlearnt=[20.0, 28.0])
    assert seeds.freedom == 2 and seeds.worse(figures["b"], figures["a"])
    assert seeds.worse(figures["unlearnt"], figures["b"])


def test_one_seed_calls_nothing_better() -> None:
    rows, figures, seeds = _rows(a=[8.0], b=[80.0])
    assert not seeds.worse(figures["b"], figures["a"])
    assert "nothing can be called better" in answers.leader(rows, figures, seeds, "on test faces", "an hour")
    assert "nothing can be called better" in answers.against(rows, figures, seeds, "on x", "an hour", rows[0])


def test_changes_are_told_against_the_baseline() -> None:
    rows, figures, seeds = _rows(whole=[8.0, 8.1], without=[10.0, 10.1], same=[8.05, 8.02], less=[7.0, 7.1])
    text = answers.against(rows, figures, seeds, "on real faces", "40,000 samples", rows[0])
    assert "whole has 8.05 ± 0.07 % on real faces" in text
    assert "better are less (-12 %)" in text and "worse are without (+25 %)" in text
    assert "1 of 3 changes make no difference beyond the seeds' spread" in text


def test_sizes_are_told_with_an_interval() -> None:
    n = np.repeat([2000.0, 5000.0, 10000.0], 2)
    law = fit_power_law(n, 300 * n**-0.4 * np.array([1, 1.01, 1, 0.99, 1, 1.01]))
    text = answers.sizes({"net": law}, "equal steps", 1_000_000)
    assert "100 times the largest size tried" in text and "1,000,000 would leave 1.2 (" in text
    assert "twice as many as 10,000 take away 24 (" in text
    flat = fit_power_law([2000, 5000, 10000], [10.6, 10.2, 10.3])
    told = answers.sizes({"net": flat}, "x", 1e6)
    assert "take away 1 (-2 … 5) % of net's error, which cannot be told from nothing" in told
    assert "or more, since no floor could be fitted" in told
    level = fit_power_law([2000, 5000, 10000] * 2, [10.0, 10.01, 10.02, 10.02, 10.01, 10.0])
    assert "-0 " not in answers.sizes({"net": level}, "x", 1e6), "nothing has no sign"


@pytest.mark.parametrize(
    ("points", "front"),
    [
        ({"quick": (1, 9), "slow": (9, 5), "beaten": (9.5, 6), "middle": (3, 7)}, ["quick", "middle", "slow"]),
        ({"one": (1, 1), "worse": (2, 2)}, ["one"]),
        ({"same time": (1, 2), "and better": (1, 1)}, ["and better"]),
    ],
)
def test_the_front_holds_what_nothing_beats(points: dict[str, tuple[float, float]], front: list[str]) -> None:
    assert pareto(points) == front


def test_figures_of_folds_weigh_by_their_faces() -> None:
    def result(seed: int, fold: int, nme: float, faces: int) -> dict[str, object]:
        return {"seed": seed, "fold": fold, "real": {"AFW": {"nme": nme, "faces": faces}}}

    row = Row("r", {}, [result(1, 0, 6.0, 30), result(1, 1, 9.0, 10), result(2, 0, 7.0, 30), result(2, 1, 7.0, 10)], [])
    assert row.real("AFW").tolist() == [6.75, 7.0]
    assert plus_minus(row.real("AFW"), ".2f") == "6.88 ± 0.18"
    assert plus_minus(np.array([np.nan]), ".2f") == "–"


def test_rows_of_cells_that_are_not_there(tmp_path: Path) -> None:
    from fakeit.model.comparison.rows import collect

    assert collect(tmp_path) == []
