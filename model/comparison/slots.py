"""Where cells run side by side: each in its own share of the processors, and on a GPU of its own where there are some.

So a cell is as quick beside others as alone (but for memory's bandwidth), and what is measured of it is its own.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fakeit.pipelines.machine import processors

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True)
class Slot:
    """One place for a process. `processors`: those it may use; `gpu`: the one it sees, "" where there is none."""

    processors: tuple[int, ...]
    gpu: str = ""

    def start(self, command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        """Starts a process of this project in this place; options are those of subprocess.Popen."""
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
        if self.gpu:
            environment["CUDA_VISIBLE_DEVICES"] = self.gpu
        if not processors.can_bind():  # then its threads are at least no more than its share
            environment.setdefault("OMP_NUM_THREADS", str(len(self.processors)))
        child = subprocess.Popen(list(command), env=environment, **options)
        with suppress(ProcessLookupError):  # it has ended, and whoever waits for it learns why
            # Python has only begun: threads of numeric libraries are made later, and inherit it.
            processors.bind(child.pid, self.processors)
        return child


def slots(workers: int) -> list[Slot]:
    """`workers` places in what this process may use: processors dealt out evenly, GPUs in turn."""
    mine = sorted(processors.allowed())
    shares = [mine[i * len(mine) // workers : (i + 1) * len(mine) // workers] for i in range(workers)]
    cards = gpus()
    return [
        Slot(tuple(share or [mine[i % len(mine)]]), cards[i % len(cards)] if cards else "")
        for i, share in enumerate(shares)
    ]


def gpus() -> list[str]:
    """Names of the GPUs that this process may use, as CUDA_VISIBLE_DEVICES takes them."""
    told = os.environ.get("CUDA_VISIBLE_DEVICES")
    if told is not None:
        return [name.strip() for name in told.split(",") if name.strip() not in ("", "-1")]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]
