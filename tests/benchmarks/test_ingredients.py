"""What an ingredient is worth: every set can be rendered, and the comparison's conf says what was asked."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from benchmarks.ingredients import EVERYTHING, WITHOUT, conf
from fakeit.model.comparison.config import load as load_comparison
from fakeit.pipelines.config import load
from fakeit.pipelines.synth.config import SynthesisConfig


@pytest.mark.parametrize("name", WITHOUT)
def test_each_is_a_change_of_the_default(name: str) -> None:
    default = load("conf/synthesize/default.toml", SynthesisConfig, [])
    without = load("conf/synthesize/default.toml", SynthesisConfig, WITHOUT[name])
    assert (without == default) == (name == EVERYTHING)


def test_what_the_issue_asks_for_is_there() -> None:
    assert {"hair", "skins of all tones", "measured light", "children and the old"} <= set(WITHOUT)


def test_the_conf_sets_single_keys(tmp_path: Path) -> None:
    """`network.width = 0.5` without quotes is a table that takes the place of the conf's whole network."""
    options = argparse.Namespace(init=None, width=0.35, size=64, seeds=[1], samples=600)
    file = tmp_path / "grid.toml"
    file.write_text(conf({EVERYTHING: tmp_path / "a", "hair": tmp_path / "b"}, options))
    found = load_comparison(str(file), ())
    assert found.set["network.width"] == 0.35 and found.set["input.size"] == 64
    assert all("." in key for key in found.set)
