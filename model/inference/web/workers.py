"""Processes that answer, each ended and started again when a picture takes too long or too much memory.

A decoder that runs away in native code cannot be stopped in a thread. So the server's process never decodes: it hands
a job to a worker, waits as long as the limit says, and ends the worker if it must; the other workers serve on.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import queue
import resource
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from fakeit.model.inference.web import answers
from fakeit.model.inference.web.answers import Answer, Job
from fakeit.pipelines.errors import FakeitError, Rejected


@dataclass(frozen=True)
class Limits:
    """What a job may take.

    Attributes:
        picture_s, video_s: seconds from the moment when the model is loaded.
        load_s: seconds for starting the process and loading the model.
        memory: bytes that a worker may hold.
        jobs: after so many a worker is replaced, so that memory which libraries keep is given back.
    """

    picture_s: float = 20
    video_s: float = 180
    load_s: float = 90
    memory: int = 4 << 30
    jobs: int = 1000


class Workers:
    """`count` processes; `ask` waits for a free one. Thread-safe."""

    def __init__(
        self, count: int = 2, limits: Limits | None = None, work: Callable[[Job], Answer] = answers.answer
    ) -> None:
        self.limits = limits or Limits()
        self._free: queue.Queue[_Worker] = queue.Queue()
        self._all = [_Worker(self.limits, work) for _ in range(count)]
        for worker in self._all:
            self._free.put(worker)

    def ask(self, job: Job) -> Answer:
        """Raises Rejected or FakeitError: as the job did, or it took too long or too much."""
        worker = self._free.get()
        try:
            return worker.ask(job)
        finally:
            self._free.put(worker)

    def close(self) -> None:
        for worker in self._all:
            worker.end()


class _Worker:
    def __init__(self, limits: Limits, work: Callable[[Job], Answer]) -> None:
        self.limits, self.work, self.jobs = limits, work, 0
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None

    def ask(self, job: Job) -> Answer:
        if self.jobs >= self.limits.jobs:
            self.end()
        if self._process is None or not self._process.is_alive():
            self._start()
        assert self._pipe is not None
        allowed, self.jobs = self.limits.load_s, self.jobs + 1
        try:
            self._pipe.send(job)
            while True:
                if not self._pipe.poll(allowed):
                    self.end()
                    raise FakeitError(f"it took more than {allowed:g} s and was given up")
                kind, content = self._pipe.recv()
                if kind == "loaded":
                    allowed = self.limits.video_s if job.video else self.limits.picture_s
                elif kind == "done":
                    return content  # type: ignore[no-any-return]
                else:
                    raise {"rejected": Rejected, "error": FakeitError}[kind](content)
        except (EOFError, OSError) as error:
            self.end()
            most = f"{self.limits.memory >> 30} GB"
            raise FakeitError(f"it took more than {most} of memory, or broke its reader") from error

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, self.limits.memory, self.work), daemon=True)
        self._process.start()
        theirs.close()
        self.jobs = 0

    def end(self) -> None:
        """Kills the process, whatever it is doing."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None


def _serve(pipe: Any, memory: int, work: Callable[[Job], Answer]) -> None:
    """A worker's life: jobs in, answers out, until the server is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's, who ends this process
    _limit(resource.RLIMIT_DATA, memory)
    _limit(resource.RLIMIT_CORE, 0)  # a core file would keep the picture
    with contextlib.suppress(EOFError, OSError):
        while True:
            pipe.send(_answered(pipe, pipe.recv(), work))


def _limit(kind: int, most: int) -> None:
    """Holds this process to `most`, or to what it is held to already where that is less. Linux always does; macOS may
    refuse a limit of memory, and there the page works without."""
    hard = resource.getrlimit(kind)[1]
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    try:
        resource.setrlimit(kind, (most, most))
    except (ValueError, OSError):
        if sys.platform == "linux":
            raise


def _answered(pipe: Any, job: Job, work: Callable[[Job], Answer]) -> tuple[str, Any]:
    try:
        if work is answers.answer:
            answers.loaded(job.model, job.detector, job.adapter)
        pipe.send(("loaded", time.monotonic()))
        return "done", work(job)
    except Rejected as error:
        return "rejected", str(error)
    except FakeitError as error:
        return "error", str(error)
    except MemoryError:
        return "error", "it needs more memory than is allowed here"
    except Exception as error:  # whatever a hostile file makes a library raise; the server must go on
        return "error", f"it could not be read ({type(error).__name__})"
