"""Checkpoints are written beside the training: ranks wait while the state is copied, not while a disk takes it."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from torch import Tensor
from torch.utils import _pytree as pytree

from fakeit.model.training.checkpoint import Checkpoint, CheckpointManager


class BackgroundSaver:
    """Saves one checkpoint at a time, in their order, in a thread. A kill meanwhile leaves those before.

    Args:
        checkpoints: where they are kept.
    """

    def __init__(self, checkpoints: CheckpointManager) -> None:
        self.checkpoints = checkpoints
        self._pool = ThreadPoolExecutor(1, "checkpoint")
        self._under_way: Future[str | None] | None = None

    def save(self, checkpoint: Checkpoint, best: bool = False) -> str | None:
        """Takes a copy of a checkpoint and begins to write it.

        Returns:
            What prevented the one before (see `CheckpointManager.save`), or None.
        """
        copied = snapshot(checkpoint)
        problem = self.wait()
        self._under_way = self._pool.submit(self.checkpoints.save, copied, best)
        return problem

    def wait(self) -> str | None:
        """Until what was begun stands on the disk. Returns what prevented it, or None."""
        under_way, self._under_way = self._under_way, None
        return under_way.result() if under_way is not None else None


def snapshot(checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint with its tensors copied to memory of the CPU: training changes the originals in place."""

    def copied(state: Any) -> Any:
        return pytree.tree_map_only(Tensor, lambda value: value.detach().to("cpu", copy=True), state)

    states = {name: copied(getattr(checkpoint, name)) for name in ("weights", "ema", "optimiser", "scaler")}
    return replace(checkpoint, **states)
