"""What a person sees of a run: a line at the start, a line an epoch, a file of every step's loss, a sheet of faces."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fakeit.model.data.batch_augmentation import Augmenter
from fakeit.model.data.dataset import ShardedDataset
from fakeit.model.data.loader import Loader
from fakeit.model.distributed.communicator import Comm
from fakeit.model.networks import LandmarkNetwork, parameter_count
from fakeit.model.training.checkpoint import Checkpoint, Position
from fakeit.model.training.setup import warn
from fakeit.model.training.validation import some_predictions
from fakeit.pipelines.faces.crop import CropConfig, from_unit
from fakeit.pipelines.faces.draw import contact_sheet, draw_landmarks
from fakeit.pipelines.progress import ProgressBar, duration


def announce(
    network: LandmarkNetwork,
    crop: CropConfig,
    training: ShardedDataset,
    validation: ShardedDataset,
    comm: Comm,
    device: str,
    restored: Checkpoint | None,
) -> None:
    """What is trained on what, by whom."""
    where = f"{comm.size} rank{'s' * (comm.size > 1)} ({comm.name}) on {device}"
    rows = f"{training.rows:,} training and {validation.rows:,} validation rows"
    name = f"{network.config.name}, {parameter_count(network):,} parameters, {crop.size} px {crop.colour}"
    print(f"{name}; {rows}; {where}", flush=True)
    if restored is not None:
        position: Position = restored.position
        print(f"resumed at step {position.step}: epoch {position.epoch + 1}, {position.rows:,} rows in", flush=True)


def epoch_line(epoch: int, last: int, values: dict[str, float], better: bool) -> str:
    """One line on an epoch; a star where it is the best so far."""
    parts = [f"epoch {epoch + 1:>3}/{last}", f"train {values['train_loss']:.3e}"]
    if "val_loss" in values:
        parts += [f"val {values['val_loss']:.3e}", f"mse {values['val_mse']:.2e}"]
        parts += [f"NME {100 * values['val_nme']:.2f} %"]
    parts += [f"lr {values['lr']:.1e}", f"{values.get('images_per_s', 0):,.0f} images/s"]
    return "  ".join(parts) + ("  *" if better else "")


def estimate(seconds: float, epochs: int) -> str:
    """What is to come, once the first epoch is over: it took `seconds`, judging it included."""
    several = f"the {epochs} epochs to come" if epochs > 1 else "the epoch to come"
    return f"estimate: {duration(seconds * epochs)} for {several}"


def whole_run(epoch: ProgressBar, more: int) -> str:
    """How long the whole run will take, at the pace of this epoch with `more` to come after it."""
    left = epoch.left()
    if left is None or not more or epoch.rate <= 0:
        return ""
    return f"all epochs: {duration(left + more * epoch.total / epoch.rate)} left"


def prediction_sheet(
    network: LandmarkNetwork, loader: Loader, augmenter: Augmenter, crop: CropConfig, scheme: str
) -> NDArray[np.uint8]:
    """Sixteen validation faces with their predicted points, RGB."""
    faces, points = some_predictions(network, loader, augmenter)
    drawn = [draw_landmarks(f, from_unit(p, crop.size), scheme) for f, p in zip(faces, points, strict=True)]
    return contact_sheet(drawn, 4, 192)


class StepLog:
    """Every step's loss and the norm of its gradient, a line of JSON each; null where the step was
    not taken. A full disk delays the lines and stops nothing.

    Args:
        path: of the file; None writes nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self.path, self.warned = path, False
        self._lines: list[str] = []
        self._written_at = time.monotonic()

    def add(self, step: int, epoch: int, loss: float | None, gradient_norm: float | None) -> None:
        if self.path is not None:
            line = {"step": step, "epoch": epoch, "loss": loss, "gradient_norm": gradient_norm}
            self._lines.append(json.dumps(line) + "\n")
            if time.monotonic() - self._written_at > 2:
                self.flush()

    def flush(self) -> None:
        """Appends what is not yet in the file: all of it, or nothing where there is no room."""
        self._written_at = time.monotonic()
        if self.path is None or not self._lines:
            return
        size = self.path.stat().st_size if self.path.exists() else 0
        try:
            with open(self.path, "ab") as file:
                file.write("".join(self._lines).encode())
            self._lines.clear()
        except OSError as error:
            if self.path.exists():
                os.truncate(self.path, size)
            if not self.warned:
                warn(f"{self.path} cannot be written ({error.strerror}); training goes on")
            self.warned = True
