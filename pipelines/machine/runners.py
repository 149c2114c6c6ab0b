"""Who runs the tasks: Spark, a pool of processes, or this process. The tasks are the same, and so are their results.

A runner takes a picklable function and a list of tasks, and gives back the results in the order of the tasks. Only
names go in and hashes come out; pixels go from disk to disk inside a task.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from fakeit.pipelines.errors import FakeitError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Task = TypeVar("Task")
Result = TypeVar("Result")
LOOK_EVERY = 1.0  # seconds between questions to Spark for the progress; each costs the driver some milliseconds


class Runner(Protocol):
    """Who runs a function over tasks; see the module."""

    def __call__(
        self, function: Callable[[Task], Result], tasks: Sequence[Task], progress: Callable[[int], None]
    ) -> list[Result]:
        """Runs `function` on every task; calls `progress` with the number of tasks that ended since the last call.

        Raises whatever a task raised.
        """
        ...


def on_spark(session: SparkSession) -> Runner:
    """One Spark task for each task; Spark retries those whose executor dies."""

    def run(function: Callable[[Task], Result], tasks: Sequence[Task], progress: Callable[[int], None]) -> list[Result]:
        context = session.sparkContext
        group = f"fakeit-{os.urandom(8).hex()}"
        outcome: dict[str, Any] = {}

        def collect() -> None:
            context.setJobGroup(group, "fakeit tasks", interruptOnCancel=True)
            try:
                outcome["results"] = context.parallelize(tasks, max(len(tasks), 1)).map(function).collect()
            except BaseException as error:
                outcome["error"] = error

        thread = threading.Thread(target=collect, daemon=True)
        thread.start()
        seen = 0
        while thread.is_alive():
            thread.join(LOOK_EVERY)
            done = min(_completed(context, group), len(tasks))
            progress(done - seen)
            seen = done
        if "error" in outcome:
            raise _told(outcome["error"]) from outcome["error"]
        progress(len(tasks) - seen)
        return list(outcome["results"])

    return run


def _told(error: BaseException) -> BaseException:
    """What a task raised, found in the five hundred lines that Spark wraps around it."""
    raised = re.findall(
        r"^(?:pyspark\S*: )?((?:\w+\.)*)(\w+(?:Error|Exception|Rejected)): (.+)$", str(error), re.MULTILINE
    )
    ours = [words for _, name, words in raised if name == "FakeitError"]
    system = [found for *_, words in raised if (found := re.match(r"\[Errno (\d+)\] (.+)", words))]
    if ours:
        return FakeitError(ours[0].strip())
    if system:
        return OSError(int(system[0][1]), system[0][2].strip())
    if raised and type(error).__name__.startswith(("Py4J", "Python")):
        own = [entry for entry in raised if not entry[0].startswith(("org.", "java.", "py4j.", "pyspark."))]
        _, name, words = (own or raised)[0]
        return FakeitError(f"a task failed on Spark: {name}: {words.strip()[:300]} (the executors' logs hold the rest)")
    return error


def _completed(context: Any, group: str) -> int:
    """How many tasks of a job group have ended."""
    tracker = context.statusTracker()
    jobs = [tracker.getJobInfo(job) for job in tracker.getJobIdsForGroup(group)]  # None: Spark has forgotten it
    infos = [tracker.getStageInfo(stage) for job in jobs if job is not None for stage in job.stageIds]
    return sum(info.numCompletedTasks for info in infos if info is not None)


def in_processes(workers: int) -> Runner:
    """A pool of `workers` fresh processes; 0 runs everything in this one."""

    def run(function: Callable[[Task], Result], tasks: Sequence[Task], progress: Callable[[int], None]) -> list[Result]:
        results: list[Result] = []
        if workers == 0:
            for task in tasks:
                results.append(function(task))
                progress(1)
            return results
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, context, _leave_with, (os.getpid(),)) as pool:
            futures = [pool.submit(function, task) for task in tasks]
            try:
                for future in as_completed(futures):
                    future.result()
                    progress(1)
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
            return [future.result() for future in futures]

    return run


def _leave_with(parent: int) -> None:
    """Ends this process soon after its parent was killed; nothing else would tell it."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def spark_session(name: str) -> SparkSession:
    """The running Spark session, or a new one with what spark-submit was given."""
    from pyspark.sql import SparkSession

    from fakeit.pipelines.machine import shipping

    started = time.monotonic()
    shipping.prepare_driver()
    session = SparkSession.builder.appName(name).getOrCreate()
    shipping.ship_code(session.sparkContext)
    session.sparkContext.setLogLevel("ERROR")
    print(f"Spark {session.version} at {session.sparkContext.master} ({time.monotonic() - started:.1f} s)", flush=True)
    return session
