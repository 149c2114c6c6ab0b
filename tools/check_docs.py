#!/usr/bin/env python
"""The documentation proves itself: what it tells people to type exists, parses, and runs as written; and no file
keeps a merge's markers.

    python tools/check_docs.py                               # every command: script, options, confs (seconds)
    python tools/check_docs.py --run docs/real_faces.md      # runs its commands in a bare clone, with their seconds
    python tools/check_docs.py --run                         # all pages: about half an hour on two cores

Commands are the lines of blocks that say `sh`, Python those that say `python`. They run in a clone of this checkout
with its environment activated, among small stand-ins of the names that they use (docs_samples.py): FACES, DATASET,
PHOTOS, best.pt … Only what says how large a run is gets smaller (SMALLER), and what needs other machines is named and
left out (ELSEWHERE).
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from fakeit.jobs.cli import Parser, run  # noqa: E402
from tools.docs_samples import make_samples  # noqa: E402

PAGES = ("README.md", "CONTRIBUTING.md", "model/box/README.md", "docs/*.md", "docs/results/README.md")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
MERGE_MARKER = r"^(<{7}|>{7}|[|]{7})( |$)"  # not "=======": that underlines a heading
# What a run in the clone is made smaller by: how many faces, how long.
SMALLER = (
    (re.compile(r"--count \d+"), "--count 24"),
    (re.compile(r"--frames \d+"), "--frames 5"),
    (re.compile(r"((?:jobs/train\.py|fakeit train|jobs/fill_in\.py) .*)"), r"\1 --set train.epochs=1"),
    (re.compile(r"(jobs/compare\.py .*)"), r"\1 --dry-run"),
    (re.compile(r"--seconds \d+"), "--seconds 0.2"),
)
# What cannot run in a clone on one machine, and why.
ELSEWHERE = (
    (re.compile(r"--cluster|spark://"), "needs a cluster; tests/pipelines/machine/test_cluster.py starts one"),
    (re.compile(r"GPU=1|benchmarks/gpu\.sh|docker .*gpu"), "needs a GPU"),
    (re.compile(r"--camera"), "needs a camera"),
    (re.compile(r"--import-ict|--head ict"), "needs ICT-FaceKit's checkout"),
    (re.compile(r"make (setup|demo|test|docs|wheel|lint|clean|check-docs)"), "is what continuous integration runs"),
    (re.compile(r"docker |git clone|pip install|apt |npm |pre-commit"), "installs or needs the network"),
    (re.compile(r"mlflow (ui|server)|demo_web|http\.server|fakeit web"), "serves until it is stopped"),
    (re.compile(r"best\.onnx .*--fit-confidence"), "needs a network with confidence, which the stand-in is not"),
    (re.compile(r"BOX\d\d|LEG6"), "is the record of the box's training, 4.9 hours"),
    (re.compile(r"(dataset|reduced)_sizes\.toml"), "needs thousands of faces; tests/model/comparison has small ones"),
    (re.compile(r"jobs/report\.py"), "needs a comparison's trainings; docs/notebooks/compare.ipynb runs it"),
    (re.compile(r"(peers|comparisons)\.sh|benchmarks/whole_dataset|check_docs"), "takes long"),
)
KNOWN = {"cd", "find", "mlflow", "pip", "docker", "git", "source", ".", "pre-commit", "deactivate", "mkdir", "open"}
LAUNCHERS = {"python", "python3", "python3.11", "horovodrun", "torchrun", "spark-submit", "./spark-submit.sh"}


@dataclass(frozen=True)
class Command:
    """One command of a page: `text` as written, continued lines joined."""

    page: str
    line: int
    text: str
    language: str = "sh"

    @property
    def where(self) -> str:
        return f"{self.page}:{self.line}"


def commands(page: Path, root: Path = ROOT) -> list[Command]:
    """The commands of a page's `sh` blocks, one a line, and its `python` blocks, each whole."""
    text, name, found = page.read_text(), str(page.relative_to(root)), []
    for block in FENCE.finditer(text):
        first = text[: block.start(2)].count("\n") + 1
        if block[1] == "python":
            found.append(Command(name, first, block[2], "python"))
        if block[1] not in ("sh", "bash"):
            continue
        joined, start = "", first
        for number, line in enumerate(block[2].splitlines(), first):
            start = start if joined else number
            joined += line.removesuffix("\\")
            if not line.endswith("\\"):
                if joined.strip() and not joined.lstrip().startswith("#"):
                    found.append(Command(name, start, joined.strip()))
                joined = ""
    return found


def unlabelled(page: Path) -> list[int]:
    """Lines of blocks that do not say what they are; whether to run them cannot be known."""
    text = page.read_text()
    return [text[: block.start()].count("\n") + 1 for block in FENCE.finditer(text) if not block[1]]


def problems(command: Command) -> list[str]:
    """What is wrong with a command, without running it."""
    if command.language == "python":
        try:
            compile(command.text, command.where, "exec")
        except SyntaxError as error:
            return [f"{command.where}: {error}"]
        return []
    lexer = shlex.shlex(command.text, posix=True, punctuation_chars="|&;")
    lexer.commenters = "#"
    lexer.wordchars += "…$:@{}[],!%^+"
    parts: list[list[str]] = [[]]
    for word in lexer:
        if set(word) <= set("|&;"):
            parts.append([])
        else:
            parts[-1].append(word)
    return [f"{command.where}: {what}" for part in parts if part for what in wrong_with(part)]


def wrong_with(words: list[str]) -> Iterator[str]:
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    if not words:
        return
    program = words[0].removeprefix(".venv/bin/")
    if program == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M)
        yield from (f"the Makefile has no '{w}'" for w in words[1:] if "=" not in w and w not in targets)
    elif program == "fakeit":
        yield from wrong_subcommand(words[1:])
    elif program in LAUNCHERS or program.endswith((".py", ".sh")):
        yield from wrong_script(words)
    elif program not in KNOWN:
        yield f"'{program}' is no program that the documentation's checks know"


def wrong_script(words: list[str]) -> Iterator[str]:
    if words[0].endswith(".sh") and not (ROOT / words[0]).is_file():
        yield f"{words[0]} does not exist"
    if "-m" in words:
        module = words[words.index("-m") + 1]
        if module.startswith("fakeit.") and not (ROOT / (module.replace(".", "/") + ".py")).is_file():
            yield f"there is no module {module}"
        return
    at = next((n for n, word in enumerate(words) if word.endswith(".py")), None)
    if at is None:
        return
    script = words[at]
    if not (ROOT / script).is_file():
        yield f"{script} does not exist"
    elif script.startswith("jobs/"):
        yield from wrong_options(script, words[at + 1 :])


def wrong_subcommand(words: list[str]) -> Iterator[str]:
    """`fakeit NAME …` is jobs/….py under another name."""
    try:
        known = importlib.import_module("fakeit.jobs.command").ALL
    except ImportError as error:
        yield f"fakeit: {error}"
        return
    if words and words[0] in known:
        yield from wrong_options(f"jobs/{known[words[0]].job}.py", words[1:])
    elif words and not words[0].startswith("-"):
        yield f"fakeit has no command '{words[0]}'"


def wrong_options(script: str, options: list[str]) -> Iterator[str]:
    """What the job's own parser says, and confs that are not there."""
    try:
        module = importlib.import_module(f"fakeit.{script[:-3].replace('/', '.')}")
    except ImportError as error:
        yield f"{script}: {error}"
        return
    said = io.StringIO()
    if hasattr(module, "parser"):
        try:
            with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
                module.parser().parse_args(options)
        except SystemExit as left:
            if left.code:
                yield f"{script}: {said.getvalue().strip()}"
    for word in options:
        if word.startswith("conf/") and not (ROOT / word).is_file():
            yield f"{word} does not exist"


def merge_markers(root: Path = ROOT) -> list[str]:
    """What a merge or rebase has left in any text file that git holds or would take."""
    asked = ["git", "grep", "--untracked", "-nIE", MERGE_MARKER]
    said = subprocess.run(asked, cwd=root, capture_output=True, text=True, errors="replace")
    if said.returncode > 1:
        return [f"merge markers were not looked for: {said.stderr.strip()}"]
    return [f"{line.split(':')[0]}:{line.split(':')[1]}: a merge's marker" for line in said.stdout.splitlines()]


def pages(names: list[str]) -> list[Path]:
    return [page for name in names or PAGES for page in sorted(ROOT.glob(name))]


def smaller(text: str) -> str:
    for pattern, replacement in SMALLER:
        text = pattern.sub(replacement, text)
    return text


def elsewhere(text: str) -> str | None:
    return next((why for pattern, why in ELSEWHERE if pattern.search(text)), None)


def bare_clone(folder: Path) -> Path:
    """What git holds of this checkout, committed or not, with the environment of this one."""
    clone = folder / "fakeit"
    shutil.rmtree(clone, ignore_errors=True)
    listing = ["git", "ls-files", "-z", "-co", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, capture_output=True, check=True)
    for name in names.stdout.decode().split("\0"):
        source, target = ROOT / name, clone / name
        if name and (source.is_symlink() or source.is_file()):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)
    (clone / ".venv").symlink_to((ROOT / ".venv").resolve())
    command = folder / "bin" / "fakeit"  # the clone's own: an environment's may be another checkout's
    command.parent.mkdir(exist_ok=True)
    script = "from fakeit.jobs.command import main; main()"
    command.write_text(f'#!/bin/sh\nexport PYTHONPATH="{clone}"\nexec "{clone}/.venv/bin/python" -c "{script}" "$@"\n')
    command.chmod(0o755)
    return clone


def run_command(command: Command, clone: Path, timeout: int = 900) -> tuple[float, str]:
    """Seconds that it took, and what went wrong (nothing: "")."""
    text = smaller(command.text)
    for name in re.findall(r"--output (\S+)", text):  # a stand-in gives way to what the command makes
        if (clone / name).is_dir() and "--resume" not in text:
            shutil.rmtree(clone / name)
    variables = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    programs = f"{clone.parent}/bin:{clone}/.venv/bin:{os.environ['PATH']}"
    variables |= {"PATH": programs, "MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1"}
    arguments = ["python", "-c", text] if command.language == "python" else ["bash", "-euo", "pipefail", "-c", text]
    began = time.monotonic()
    try:
        ran = subprocess.run(arguments, cwd=clone, env=variables, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        return time.monotonic() - began, f"not done after {timeout} s"
    wrong = "" if ran.returncode == 0 else f"exit {ran.returncode}: {(ran.stdout + ran.stderr).strip()[-600:]}"
    return time.monotonic() - began, wrong


def run_pages(chosen: list[Path], only: str, out: Path) -> list[str]:
    """Runs the commands of pages in one clone, in order; a line for each. Returns what went wrong."""
    wrong: list[str] = []
    clone = bare_clone(out)
    for page in chosen:
        here = [c for c in commands(page) if re.search(only, c.text)]
        if any(elsewhere(c.text) is None for c in here):
            make_samples(clone)
        for command in here:
            first = command.text.strip().splitlines()[0]
            why = elsewhere(command.text)
            if why:
                print(f"{command.where:<28}     –   {first[:90]}   ({why})", flush=True)
                continue
            seconds, problem = run_command(command, clone)
            print(f"{command.where:<28} {seconds:5.1f} s {first[:110]}{'   FAILED' if problem else ''}", flush=True)
            wrong += [f"{command.where}: {first}\n    {problem}"] if problem else []
    return wrong


def main(arguments: argparse.Namespace) -> int:
    chosen = pages(arguments.pages)
    wrong = merge_markers()
    wrong += [problem for page in chosen for command in commands(page) for problem in problems(command)]
    if arguments.run:
        with tempfile.TemporaryDirectory() as folder:
            wrong += run_pages(chosen, arguments.only, Path(arguments.folder or folder))
    print("\n".join(wrong) if wrong else f"{sum(len(commands(page)) for page in chosen)} commands, nothing wrong")
    return 1 if wrong else 0


def parser() -> Parser:
    p = Parser(description=__doc__)
    p.add_argument("pages", nargs="*", metavar="PAGE", help="README.md, docs/training.md … (default: all)")
    p.add_argument("--run", action="store_true", help="run them, too, in a bare clone")
    p.add_argument("--only", default="", metavar="REGEX", help="of the commands, those that match")
    p.add_argument("--folder", metavar="DIR", help="where the clone goes and stays (default: a temporary folder)")
    return p


if __name__ == "__main__":
    run(main, parser())
