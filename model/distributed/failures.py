"""A rank that fails, dies or hangs ends all of them, and one line says which it was and what its last error is.

Every rank knows the processes of the others. One that fails writes its error to `errors/rank-N.txt` in the run's folder
and says it. Those that thereby lose their connection look who is missing: where that one has spoken they leave in
silence, else (SIGKILL, out of memory, a crash) the lowest of them speaks. Whoever leaves does so at once: closing a
connection to a process that is gone may wait for ever.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fakeit.model.distributed.communicator import Comm
from fakeit.pipelines.errors import FakeitError, one_line

LOOK = 3.0  # seconds until a process that is ending is seen to be gone; launchers kill those that are left after five
KINDS = ("HorovodInternalError", "DistBackendError", "DistNetworkError", "DistStoreError")
MESSAGES = re.compile(r"gloo|nccl|connection (closed|reset)|broken pipe|timed out", re.IGNORECASE)


@dataclass(frozen=True)
class Peer:
    """A rank's process."""

    rank: int
    host: str
    pid: int

    @property
    def gone(self) -> bool:
        """Whether the process, which must be of this machine, has ended."""
        import psutil

        try:
            return psutil.Process(self.pid).status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
        except psutil.NoSuchProcess:
            return True

    def __str__(self) -> str:
        return f"rank {self.rank} (process {self.pid} on {self.host})"


@contextmanager
def told(comm: Comm, folder: Path, leave: bool = True) -> Iterator[None]:
    """Runs what is in it as one of some ranks; see the module. Collective at its beginning.

    Args:
        comm: this rank.
        folder: of the run; on a disk that all ranks of this machine see.
        leave: end the process after a failure (a launcher waits for it); else raise FakeitError with the line.
    """
    if comm.size == 1:
        yield
        return
    note = _note(folder, comm.rank)
    note.unlink(missing_ok=True)
    places = comm.gather((socket.gethostname(), os.getpid()))
    peers = [Peer(rank, host, pid) for rank, (host, pid) in enumerate(places)]
    try:
        yield
    except Exception as error:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # of a launcher that has seen the same: first this is said
        line = (
            _lost(error, comm.rank, peers, folder) if is_lost_connection(error) else _own(error, peers[comm.rank], note)
        )
        _tell_torchrun(error)
        if not leave:
            raise FakeitError(line or f"rank {comm.rank} ended since another did") from error
        if line:
            print(f"error: {line}", file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(2 if isinstance(error, FakeitError) else 1)


def is_lost_connection(error: Exception) -> bool:
    """Whether an exception only says that another rank did not answer."""
    if isinstance(error, FakeitError):
        return False
    return type(error).__name__ in KINDS or (isinstance(error, RuntimeError) and bool(MESSAGES.search(str(error))))


def _own(error: Exception, me: Peer, note: Path) -> str | None:
    """Writes down what happened to this rank; the line to say, or None where a lower rank says the same."""
    line = str(error) if isinstance(error, FakeitError) else f"{me}: {type(error).__name__}: {one_line(error, 200)}"
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(f"{line}\n\n{''.join(traceback.format_exception(error))}")
    except OSError:
        return line
    if isinstance(error, FakeitError) and me.rank:  # often all ranks find the same mistake
        time.sleep(1)
        if any(_first_line(_note(note.parent.parent, rank)) == line for rank in range(me.rank)):
            return None
    return line if isinstance(error, FakeitError) else f"{line} (all of it: {note})"


def _lost(error: Exception, rank: int, peers: list[Peer], folder: Path) -> str | None:
    """The line on the rank that is missing, or None where another one says it."""
    me, others = peers[rank], [p for p in peers if p.rank != rank]
    here = [p for p in others if p.host == me.host]
    deadline = time.monotonic() + LOOK
    while True:
        if any(_note(folder, p.rank).exists() for p in others):
            return None
        gone = [p for p in here if p.gone]
        if gone or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    if any(p.rank < rank for p in here if p not in gone):
        return None
    stands = "checkpoints stand, go on with --resume"
    if gone:
        return f"{gone[0]} was killed or crashed without a word (out of memory?), so rank {rank} ended too; {stands}"
    who = ", ".join(map(str, others))
    said = one_line(error, 200)
    return f"rank {rank} had no answer from {who}: one is stuck, or lost with its machine ({said}); {stands}"


def _tell_torchrun(error: Exception) -> None:
    """What `torch.distributed.elastic`'s @record would: its summary then names this error."""
    if "TORCHELASTIC_ERROR_FILE" in os.environ:
        from torch.distributed.elastic.multiprocessing.errors import get_error_handler

        get_error_handler().record_exception(error)


def _note(folder: Path, rank: int) -> Path:
    return folder / "errors" / f"rank-{rank}.txt"


def _first_line(path: Path) -> str:
    try:
        return path.read_text().partition("\n")[0]
    except OSError:
        return ""
