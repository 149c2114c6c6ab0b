"""Models by name: files first, names where there is no file; the card's table is the list's."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakeit.model.inference.landmarker import Landmarker
from fakeit.model.tracking import catalogue
from fakeit.pipelines.errors import FakeitError
from tools import measure_models


def test_every_model_loads_by_its_name() -> None:
    for name, model in catalogue.models().items():
        assert Landmarker.load(name).scheme == "face70"
        assert model.figures["sets"] and 0 < model.figures["megabytes"] == round(model.path.stat().st_size / 1e6, 1)
    assert Landmarker.load("fakeit-box-int8", adapter="ibug68").scheme == "ibug68"


def test_a_file_of_that_name_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "box").touch()
    monkeypatch.chdir(tmp_path)
    assert catalogue.locate("box") == Path("box")


def test_a_folder_of_that_name_is_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "box").mkdir()
    (tmp_path / "fakeit-box").mkdir()
    monkeypatch.chdir(tmp_path)
    assert catalogue.locate("box") == catalogue.locate("fakeit-box") == catalogue.the_box()
    assert catalogue.locate("fakeit-base") == catalogue.the_box()
    assert Landmarker.load().scheme == Landmarker.load("box").scheme


def test_what_is_neither_names_the_nearest() -> None:
    with pytest.raises(FakeitError, match=r"model 'box-int9': no such file or name; did you mean 'box-int8'\?"):
        catalogue.locate("box-int9")


def test_the_card_has_the_measured_table() -> None:
    page = measure_models.CARD.read_text()
    assert measure_models.card(page) == page, "run tools/measure_models.py"
