"""The processors of a process, also where the system does not tell them (macOS)."""

from __future__ import annotations

import os

import pytest

from fakeit.pipelines.machine import processors


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system does not tell")
def test_they_are_what_the_system_tells() -> None:
    assert processors.allowed() == processors.allowed(os.getpid()) == os.sched_getaffinity(0)
    assert processors.can_bind()
    processors.bind(0, processors.allowed())
    assert processors.allowed() == os.sched_getaffinity(0)


def test_where_the_system_does_not_tell_they_are_all(monkeypatch: pytest.MonkeyPatch) -> None:
    for call in ("sched_getaffinity", "sched_setaffinity"):
        monkeypatch.delattr(os, call, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert processors.allowed() == processors.allowed(os.getppid()) == set(range(6))
    assert not processors.can_bind()
    processors.bind(0, {2})
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert processors.allowed() == {0}
