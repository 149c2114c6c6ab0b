"""Who runs the tasks: what Spark is asked for the progress, with a stand-in for Spark."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from fakeit.pipelines.errors import refused_by_disk
from fakeit.pipelines.machine import runners


class Context:
    """A SparkContext that runs everything at once and remembers each group's jobs; the first is soon forgotten."""

    def __init__(self) -> None:
        self.jobs: dict[str, list[int]] = defaultdict(list)
        self.tasks: list[int] = []
        self.group = ""

    def setJobGroup(self, group: str, *_: Any, **__: Any) -> None:
        self.group = group

    def parallelize(self, tasks: list[int], _: int) -> Any:
        def collect(function: Callable[[int], int]) -> list[int]:
            self.jobs[self.group].append(len(self.tasks))
            self.tasks.append(len(tasks))
            made = [function(task) for task in tasks]
            time.sleep(0.2)
            return made

        return SimpleNamespace(map=lambda function: SimpleNamespace(collect=lambda: collect(function)))

    def statusTracker(self) -> Any:
        def info(job: int) -> Any:
            return SimpleNamespace(stageIds=[job]) if job else None

        return SimpleNamespace(
            getJobIdsForGroup=lambda group: self.jobs[group],
            getJobInfo=info,
            getStageInfo=lambda stage: SimpleNamespace(numCompletedTasks=self.tasks[stage]),
        )


def test_progress_on_spark_is_of_this_run_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups were called by the list's address: rounds over one list, or over one where another had been, were done
    before they began. A job that Spark had forgotten ended the run."""
    monkeypatch.setattr(runners, "LOOK_EVERY", 0.02)
    context, tasks = Context(), [1, 2, 3]
    run = runners.on_spark(SimpleNamespace(sparkContext=context))  # type: ignore[arg-type]
    for _ in range(2):
        steps: list[int] = []
        assert run(lambda task: 2 * task, tasks, steps.append) == [2, 4, 6]
        assert sum(steps) == 3 and min(steps) >= 0
    assert len(context.jobs) == 2, "a group for each run"


def test_what_a_disk_refuses_on_an_executor_is_no_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spark's tests are slow; this is what it wraps around a task's error."""
    monkeypatch.setattr(runners, "LOOK_EVERY", 0.02)

    def full(_: int) -> int:
        trace = (
            "  File \"/x.py\", line 3, in write\nOSError: [Errno 28] No space left on device: '/out'\n\n\tat org.apache"
        )
        raise RuntimeError(
            f"An error occurred while calling o1.collect.\n: Traceback (most recent call last):\n{trace}"
        )

    with pytest.raises(OSError, match="No space left on device: '/out'") as caught:
        runners.on_spark(SimpleNamespace(sparkContext=Context()))(full, [1], lambda _: None)  # type: ignore[arg-type]
    assert refused_by_disk(caught.value)
