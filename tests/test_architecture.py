"""The house is as docs/ARCHITECTURE.md says: imports run one way, the picture and the ways are the code's."""

from __future__ import annotations

import pytest

from tools import architecture


def test_imports_run_one_way() -> None:
    assert architecture.wrong_arrows() == []


def test_an_import_upwards_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    up = [("networks.heads", "fakeit.model.training.losses"), ("data.loader", "fakeit.jobs.cli")]
    monkeypatch.setattr(architecture, "imports", lambda: iter([(f"fakeit.model.{a}", b) for a, b in up]))
    assert len(architecture.wrong_arrows()) == 2


def test_the_page_is_the_code() -> None:
    page = architecture.PAGE.read_text()
    assert architecture.drawn(page) == page, "run python tools/architecture.py"
    assert architecture.wrong_ways(page) == []
    assert len(architecture.ways(page)) == 3
