"""Nothing is installed that is not byte for byte what the locks say."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tools import advisories, lock_hashes, relock

ROOT = Path(__file__).resolve().parents[1]
LOCKS = sorted(ROOT.glob("requirements*.lock"))


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_pin_is_exact_and_has_hashes(lock: Path) -> None:
    found = lock_hashes.hashes(lock.read_text())
    assert found
    for pin, options in found.items():
        assert re.fullmatch(r"[\w.-]+==[\w.+!-]+", pin), pin
        assert options, f"{lock.name}: {pin} has no --hash; run: python tools/lock_hashes.py {lock.name}"


def test_the_set_up_installs_from_hashed_locks_alone() -> None:
    lines = [(file, line) for file in ("Makefile", "scripts/horovod.sh", "scripts/java.sh", "scripts/venv.sh")
             for line in (ROOT / file).read_text().splitlines()]  # fmt: skip
    installs = [(file, line) for file, line in lines if re.search(r"pip\S* (install|download) ", line)]
    assert len(installs) <= 8
    for file, line in installs:
        by_hash = "--require-hashes" in line or "$(HASHED)" in line
        own_wheel = "--no-index" in line or "--editable ." in line  # the Horovod that was compiled here; ourselves
        nvidia = "Requires-Dist: nvidia" in line  # pinned by torch's metadata; said in requirements-torch.lock
        site = "docs/requirements.txt" in line  # the documentation's own venv: nothing of it runs with the product
        assert by_hash or own_wheel or nvidia or site, f"{file}: {line.strip()}"


def test_new_pins_are_asked_for_and_old_ones_keep_theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = "--hash=sha256:" + "1" * 64, "--hash=sha256:" + "2" * 64
    old, new = tmp_path / "old.lock", tmp_path / "new.lock"
    old.write_text(f"# why\na==1 {one}\nb==1 {one}\n")
    new.write_text("# why\na==1\nb==2\n")
    asked: list[list[str]] = []

    def ask(pins: list[str], *_options: str) -> dict[str, str]:
        asked.append(pins)
        return {pin: two for pin in pins}

    monkeypatch.setattr(lock_hashes, "ask", ask)
    monkeypatch.setattr("sys.argv", ["lock_hashes.py", str(new), "--from", str(old)])
    lock_hashes.main()
    assert new.read_text() == f"# why\na==1 {one}\nb==2 {two}\n"
    assert asked == [["b==2"], ["b==2"]]


def test_relocking_asks_the_index_for_others_only() -> None:
    """PyPI's `fakeit` is a stranger's package; the extra [all] names this project itself."""
    asked = {re.match(r"[\w.-]+", line)[0] for line in relock.asked_for()}  # type: ignore[index]
    assert {"numpy", "mlflow", "pytest"} <= asked and not [name for name in asked if name.startswith("fakeit")]


def test_each_known_hole_is_about_a_version_that_is_pinned() -> None:
    """A line that excuses a hole goes when the package does, or is looked at again when its version changes."""
    pinned = advisories.pinned()
    for package, version in advisories.UNREACHABLE:
        assert pinned.get(package) == version, f"{package} {version} is not pinned any more: look at its line again"
    security = (ROOT / "SECURITY.md").read_text()
    for package, _ in advisories.UNREACHABLE:
        assert package in security


def test_the_list_for_a_checker_holds_every_pin() -> None:
    pinned = advisories.pinned()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = (re.match(r"[\w.-]+", pin) for pin in project["dependencies"])
    asked = {advisories.normal(name[0]) for name in names if name}
    assert asked - {"tomli"} <= set(pinned)  # which Python 3.11 holds itself


def test_a_relocking_that_breaks_off_leaves_the_lock_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no hashes were to be had the new lock stood without any, and `make setup` refused it."""
    (tmp_path / "requirements.lock").write_text("# why\nzipp==3 --hash=sha256:0\n")
    (tmp_path / "build" / "relock-classic").mkdir(parents=True)

    def run(*command: str) -> str:
        if "lock_hashes" in command[1]:
            raise SystemExit("error: no file for zipp==4 at any index")
        return "zipp==4\n"

    for name, value in {"ROOT": tmp_path, "install": lambda *_: None, "run": run}.items():
        monkeypatch.setattr(relock, name, value)
    monkeypatch.setattr("sys.argv", ["relock.py", "classic", "--no-tests"])
    with pytest.raises(SystemExit, match="no file for zipp"):
        relock.main()
    assert (tmp_path / "requirements.lock").read_text() == "# why\nzipp==3 --hash=sha256:0\n"
