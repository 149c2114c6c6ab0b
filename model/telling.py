"""What a person sees of a run: a line at the start, a line an epoch, a sheet of predictions at the end."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model.augmentation import Augmenter
from model.checkpoint import Checkpoint, Position
from model.comm import Comm
from model.loading.loader import Loader
from model.loading.store import Store
from model.networks import LandmarkNetwork, parameter_count
from model.validation import some_predictions
from pipelines.faces.crop import CropConfig, from_unit
from pipelines.faces.draw import contact_sheet, draw_landmarks


def announce(
    network: LandmarkNetwork,
    crop: CropConfig,
    training: Store,
    validation: Store,
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


def prediction_sheet(
    network: LandmarkNetwork, loader: Loader, augmenter: Augmenter, crop: CropConfig, scheme: str
) -> NDArray[np.uint8]:
    """Sixteen validation faces with their predicted points, RGB."""
    faces, points = some_predictions(network, loader, augmenter)
    drawn = [draw_landmarks(f, from_unit(p, crop.size), scheme) for f, p in zip(faces, points, strict=True)]
    return contact_sheet(drawn, 4, 192)
