"""A comparison's cells, run: each training a process of jobs/train.py, several side by side, in any number of launches.

What stands on disk is the state: a cell with a result for its very conf and dataset is done; one with checkpoints goes
on from the newest; one that is trained and lacks some real faces' scores is only judged anew; one that failed is
listed, and tried again at the next launch. A lock that a cell's processes hold
keeps a second launch away from a cell whose first one is still alive.
"""

from __future__ import annotations

import fcntl
import json
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from fakeit.model.comparison.cell import ERRORS, RESULT
from fakeit.model.comparison.grid import Cell
from fakeit.model.comparison.photographs import PhotographSet
from fakeit.model.comparison.slots import ROOT, Slot, slots
from fakeit.model.training.trainer import PREEMPTED
from fakeit.pipelines.config import digest
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.files.storage import write_atomically
from fakeit.pipelines.store import manifest as manifests

CELL, LOG, SECONDS, UNTOLD = "cell.json", "train.log", "seconds.json", "untold"
PATIENCE = 120.0  # seconds that a training may take to save a checkpoint and end
Ended = Literal["done", "failed", "pruned", "stopped", "busy"]


@dataclass(frozen=True)
class CellState:
    """How a cell stands: `reason` is the last line of its log where it failed."""

    cell: Cell
    folder: Path
    ended: Ended
    reason: str = ""


@dataclass
class CellRunner:
    """Runs cells of one comparison.

    Attributes:
        dataset: that all cells are trained on. content: its digest.
        folder: of the comparison; each cell has one in `cells/` below it.
        tracking: keys of the training conf that say where it is tracked; no part of a cell's identity.
        real: sets of real faces that every cell is judged on too. stored: where their crops lie. folds: into how many
            those that cells train on are dealt.
        finished: told of every cell that has just been judged, with its result; False: whom it tells did not take it,
            and is told by the next launch.
        watch: is asked now and then whether a training is to be stopped for good (a pruned trial).
    """

    dataset: str
    content: str
    folder: Path
    tracking: Callable[[Cell], dict[str, Any]] = lambda cell: {}
    real: tuple[PhotographSet, ...] = ()
    stored: Path = Path("photographs")
    folds: int = 1
    finished: Callable[[Cell, Path, dict[str, Any]], bool] = lambda cell, folder, result: True
    watch: Callable[[Cell, Path], bool] = lambda cell, folder: False
    _children: set[subprocess.Popen[bytes]] = field(default_factory=set)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _free: queue.SimpleQueue[Slot] = field(default_factory=queue.SimpleQueue)

    def run(self, cells: Sequence[Cell], workers: int = 1) -> list[CellState]:
        """Runs all cells, `workers` at a time, each in a slot of its own, those that go on from another's network after
        all others; a cell that fails does not stop the rest.

        Raises:
            KeyboardInterrupt: SIGINT or SIGTERM; trainings are asked to save a checkpoint first.
        """
        self._free = queue.SimpleQueue()
        for slot in slots(workers):
            self._free.put(slot)
        first, then = [c for c in cells if not c.after], [c for c in cells if c.after]
        with ThreadPoolExecutor(workers) as pool, self._interruptible():
            states = [*pool.map(self.one, first), *pool.map(self.one, then)]
        if self._stopping.is_set():
            raise KeyboardInterrupt
        return states

    def place(self, cell: Cell) -> Path:
        return self.folder / "cells" / cell.id

    def identity(self, cell: Cell) -> str:
        """Names what a training must have been made from: conf, overrides, datasets, the network it started from."""
        train = cell.train_config()
        content = manifests.load(cell.dataset).digest if cell.dataset else self.content
        base = self._stored(self.folder / "cells" / cell.after, "identity") if cell.after else None
        return digest([train, content, *(start for start in (cell.init, base) if start)])

    def state(self, cell: Cell) -> Ended | None:
        """What stands on disk: "done", "failed" or nothing yet."""
        place = self.place(cell)
        if self._stored(place, "identity") != self.identity(cell):
            return None
        judged = (place / RESULT).exists() and self._stored(place, "scored_on") == self._scored_on()
        return "done" if judged else "failed" if (place / "failed.txt").exists() else None

    def _scored_on(self) -> list[str]:
        return sorted(each.spoken for each in self.real)

    def one(self, cell: Cell) -> CellState:
        """Brings one cell to its end, from wherever it stands."""
        place = self.place(cell)
        if self.state(cell) == "done":
            if (place / UNTOLD).exists():
                self._tell(cell, place)
            return CellState(cell, place, "done")
        if self._stopping.is_set():
            return CellState(cell, place, "stopped")
        place.mkdir(parents=True, exist_ok=True)
        with open(place / "lock", "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return CellState(cell, place, "busy", "another process is at it")
            self._prepare(cell, place)
            slot = self._free.get() if not self._free.empty() else slots(1)[0]
            try:
                return self._bring_to_end(cell, place, lock.fileno(), slot)
            finally:
                self._free.put(slot)

    def _prepare(self, cell: Cell, place: Path) -> None:
        """Forgets what was made from another conf or dataset, and writes down what is made now."""
        if self._stored(place, "identity") != self.identity(cell):
            shutil.rmtree(place / "run", ignore_errors=True)
            for name in (SECONDS, LOG):
                (place / name).unlink(missing_ok=True)
        for name in (RESULT, ERRORS):
            (place / name).unlink(missing_ok=True)
        (place / "failed.txt").unlink(missing_ok=True)
        (place / UNTOLD).touch()
        described = {
            "labels": cell.labels,
            "seed": cell.seed,
            "conf": cell.conf,
            "overrides": cell.overrides,
            "identity": self.identity(cell),
            "scored_on": self._scored_on(),
            "dataset": cell.dataset,
            "fold": cell.fold,
            "command": cell.shell(self.dataset, f"runs/{cell.id}"),
        }
        with write_atomically(str(place / CELL)) as file:
            file.write(json.dumps(described, indent=1).encode())

    def _bring_to_end(self, cell: Cell, place: Path, lock: int, slot: Slot) -> CellState:
        command = cell.command(self.dataset, str(place / "run"))
        for key, value in self.tracking(cell).items():
            command += ["--set", f"{key}={json.dumps(value)}"]
        if any((place / "run" / "checkpoints").glob("step-*.pt")):
            command.append("--resume")
        started = time.monotonic()
        try:
            ended = self._process([sys.executable, *command], cell, place, lock, slot)
        finally:
            _add_seconds(place, time.monotonic() - started)
        if ended == "pruned":
            return CellState(cell, place, "pruned")
        judging = [sys.executable, "-m", "fakeit.model.comparison.cell", str(place), self._judged_on(cell)]
        judging.append(json.dumps(self._photographs(cell)))
        if ended == 0:
            ended = self._process(judging, cell, place, lock, slot, watched=False)  # it is trained: no more to prune
        if self._stopping.is_set() or ended == PREEMPTED:
            return CellState(cell, place, "stopped")
        if ended != 0:
            reason = _last_line(place / LOG) or f"ended with {ended}"
            (place / "failed.txt").write_text(reason + "\n")
            return CellState(cell, place, "failed", reason)
        self._tell(cell, place)
        return CellState(cell, place, "done")

    def _tell(self, cell: Cell, place: Path) -> None:
        if self.finished(cell, place, read_result(place)):
            (place / UNTOLD).unlink()

    def _judged_on(self, cell: Cell) -> str:
        return self.dataset if cell.judged else cell.dataset or self.dataset

    def _photographs(self, cell: Cell) -> dict[str, Any]:
        """What `fakeit.model.comparison.cell` is told of real faces."""
        fold = [cell.fold, self.folds] if cell.fold >= 0 else None
        return {"sets": [asdict(each) for each in self.real], "stored": str(self.stored), "fold": fold}

    def _process(
        self, command: list[str], cell: Cell, place: Path, lock: int, slot: Slot, watched: bool = True
    ) -> int | Literal["pruned"]:
        """Runs a process to its end. It holds the cell's lock, even when this one is killed."""
        command = [str(ROOT / c) if c == "jobs/train.py" else c for c in command]
        with open(place / LOG, "ab") as log:
            child = slot.start(command, stdout=log, stderr=log, pass_fds=(lock,), start_new_session=True)
        self._children.add(child)
        try:
            while (code := _wait(child, 1.0)) is None:
                if self._stopping.is_set():
                    return _end(child)
                if watched and self.watch(cell, place):
                    _end(child)
                    return "pruned"
            return code
        finally:
            if child.poll() is None:
                child.kill()
            self._children.discard(child)

    @staticmethod
    def _stored(place: Path, key: str) -> Any:
        try:
            return json.loads((place / CELL).read_text())[key]
        except (OSError, ValueError, KeyError):
            return None

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """SIGINT and SIGTERM end the trainings in good order, and start no further ones."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        for number in kept:
            signal.signal(number, lambda *_: self._stopping.set())
        try:
            yield
        finally:
            for number, handler in kept.items():
                signal.signal(number, handler)


def read_result(place: Path) -> dict[str, Any]:
    """A cell's result with what its folder says about it: labels, seed, command, seconds.

    Raises:
        FakeitError: it has none.
    """
    try:
        described = json.loads((place / CELL).read_text())
        result: dict[str, Any] = json.loads((place / RESULT).read_text())
    except (OSError, ValueError) as error:
        raise FakeitError(f"{place}: no result of a cell ({error})") from error
    seconds = json.loads((place / SECONDS).read_text()) if (place / SECONDS).exists() else float("nan")
    return {**result, **described, "seconds": seconds}


def _wait(child: subprocess.Popen[bytes], seconds: float) -> int | None:
    try:
        return child.wait(seconds)
    except subprocess.TimeoutExpired:
        return None


def _end(child: subprocess.Popen[bytes]) -> int:
    """Asks a training to save a checkpoint and end, and kills one that does not; its exit code."""
    child.terminate()
    if (code := _wait(child, PATIENCE)) is not None:
        return code
    child.kill()
    return child.wait()


def _add_seconds(place: Path, seconds: float) -> None:
    """Training time adds up over launches."""
    path = place / SECONDS
    before = json.loads(path.read_text()) if path.exists() else 0.0
    with write_atomically(str(path)) as file:
        file.write(json.dumps(before + seconds).encode())


def _last_line(path: Path) -> str:
    lines = [line for line in path.read_text(errors="replace").splitlines() if line.strip()] if path.exists() else []
    return lines[-1].strip()[:300] if lines else ""
