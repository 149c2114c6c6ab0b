"""Checkpoints: one file with all that resuming and predicting need, in plain containers and tensors.

A file appears whole or not at all (temporary name, fsync, rename). `index.json` beside the files lists them with their
SHA-256, so that a damaged one is known before it is trusted and the one before it is used. A full disk keeps what was
there. Files load with `weights_only=True`: no code runs.
"""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fakeit.model.networks import LandmarkNetwork, NetworkConfig, build
from fakeit.model.tracking import catalogue
from fakeit.pipelines.config import from_dict, to_dict
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.faces.crop import CropConfig
from fakeit.pipelines.files.storage import write_atomically
from fakeit.pipelines.landmarks import scheme

FORMAT = 1
INDEX, BEST, STEP_FILES = "index.json", "best.pt", "step-*.pt"
State = dict[str, Any]


@dataclass(frozen=True)
class Position:
    """Where a run stands: `rows` of `epoch` are consumed, `step` optimiser steps are done, in which session."""

    session: int = 0
    epoch: int = 0
    rows: int = 0
    step: int = 0


@dataclass(frozen=True)
class Checkpoint:
    """The content of a file.

    Attributes:
        network: conf of the network.
        crop: the recipe of the crops that it works on; their size and colour are the network's input.
        scheme: of its points.
        weights: state dict of the network as trained; ema: smoothed weights, the better ones, where there are some.
        optimiser: its state. position: where the run stands. progress: history, best figures, running sums.
        scaler: state of float16's gradient scaling, where that is trained with.
        conf: the whole training conf. dataset: digests and paths. run_id: MLflow's. metrics: validation figures.
    """

    network: NetworkConfig
    crop: CropConfig
    scheme: str
    weights: dict[str, Tensor]
    ema: dict[str, Tensor] | None = None
    optimiser: State | None = None
    position: Position = field(default_factory=Position)
    progress: State = field(default_factory=dict)
    conf: State = field(default_factory=dict)
    dataset: State = field(default_factory=dict)
    run_id: str | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    scaler: State | None = None

    def build(self, ema: bool = True) -> LandmarkNetwork:
        """The network with its weights (smoothed ones where there are some), ready to predict."""
        bare = from_dict({**to_dict(self.network), "pretrained": None}, NetworkConfig, "checkpoint")
        network = build(bare, scheme(self.scheme).count, self.crop.channels, self.crop.size)
        network.load_state_dict(self.ema if ema and self.ema is not None else self.weights)
        return network.eval()


def dump(checkpoint: Checkpoint) -> bytes:
    """Checkpoint → the bytes of its file."""
    plain = {name: getattr(checkpoint, name) for name in ("weights", "ema", "optimiser", "scaler", "progress")}
    for name in ("network", "crop", "position"):
        plain[name] = to_dict(getattr(checkpoint, name))
    for name in ("scheme", "conf", "dataset", "run_id", "metrics"):
        plain[name] = getattr(checkpoint, name)
    buffer = io.BytesIO()
    torch.save({"fakeit_checkpoint": FORMAT, **plain}, buffer)
    return buffer.getvalue()


def write(checkpoint: Checkpoint, path: str | Path) -> None:
    """Writes a checkpoint's file, whole or not at all. Raises FakeitError: it cannot be written there."""
    try:
        with write_atomically(str(path)) as file:
            file.write(dump(checkpoint))
    except OSError as error:
        raise FakeitError(f"output {path}: cannot be written ({error})") from error


def load(path: str | Path) -> Checkpoint:
    """Reads a checkpoint file, or by its name a model that comes along and can be trained on ("box").

    Raises:
        FakeitError: no such file, damaged, not a checkpoint of ours, or of another format.
    """
    path = catalogue.locate(path)
    if path.suffix == ".onnx" and path.is_file():
        return _from_onnx(path)
    try:
        plain = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise FakeitError(f"checkpoint {path} does not exist") from error
    except IsADirectoryError as error:
        raise FakeitError(f"checkpoint {path} is a folder; name a file, as in {path / BEST}") from error
    except Exception as error:  # torch's readers raise whatever the damaged bytes lead them to
        raise FakeitError(f"checkpoint {path} is damaged or no checkpoint: {_reason(path, error)}") from error
    if not isinstance(plain, dict) or plain.get("fakeit_checkpoint") != FORMAT:
        found = plain.get("fakeit_checkpoint") if isinstance(plain, dict) else type(plain).__name__
        raise FakeitError(f"checkpoint {path}: format {found!r}, this version reads format {FORMAT}")
    plain.pop("fakeit_checkpoint")
    where = f"checkpoint {path}"
    for name, kind in (("network", NetworkConfig), ("crop", CropConfig), ("position", Position), ("weights", None)):
        if not isinstance(plain.get(name), dict):
            found = type(plain[name]).__name__ if name in plain else "nothing"
            raise FakeitError(f"{where}: '{name}' is to be a table, found {found}")
        plain[name] = plain[name] if kind is None else from_dict(plain[name], kind, where)
    try:
        return Checkpoint(**plain)
    except TypeError as error:
        raise FakeitError(f"{where}: {error}") from error


def _from_onnx(path: Path) -> Checkpoint:
    """The box, and whatever else was exported and kept its statistics."""
    from fakeit.model.training.from_onnx import network_from_onnx

    network, scheme_name, crop = network_from_onnx(path)
    return Checkpoint(network.config, crop, scheme_name, network.state_dict())


def _reason(path: Path, error: Exception) -> str:
    """Why torch could not read a file, in our words: torch's own advise to switch its safety off."""
    if isinstance(error, pickle.UnpicklingError) and zipfile.is_zipfile(path):
        return "it holds other objects than tensors and plain containers; opening them could run code"
    size = path.stat().st_size
    if not size:
        return "it is empty"
    if not zipfile.is_zipfile(path):
        return f"its {size} bytes are not whole, or not torch's; copy it again, or take the checkpoint before it"
    return "its content does not fit together; copy it again, or take the checkpoint before it"


def step_file(step: int) -> str:
    """The name of the file of a step's checkpoint; names sort as steps do."""
    return f"step-{step:09d}.pt"


class CheckpointManager:
    """The checkpoints of one run: the last `keep` and the best, in one folder."""

    def __init__(self, folder: str | Path, keep: int = 3) -> None:
        self.folder, self.keep = Path(folder), keep

    def save(self, checkpoint: Checkpoint, best: bool = False) -> str | None:
        """Writes a checkpoint and forgets the oldest.

        Returns:
            None, or what prevented it (a full disk): then what was there before still stands.
        """
        data = dump(checkpoint)
        step = checkpoint.position.step
        name = step_file(step)
        entry = {"step": step, "sha256": hashlib.sha256(data).hexdigest()}
        entries = {e["name"]: e for e in self.index()}
        # Files of later steps are what a resumed run passed over as damaged: it has been there since.
        before = sorted(path.name for path in self.folder.glob(STEP_FILES) if path.name < name)
        kept = [*before, name][-self.keep :]
        entries[name] = {"name": name, **entry}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with write_atomically(str(self.folder / name)) as file:
                file.write(data)
            if best:
                with write_atomically(str(self.folder / BEST)) as file:
                    file.write(data)
                entries[BEST] = {"name": BEST, **entry}
            with write_atomically(str(self.folder / INDEX)) as file:
                listed = [entries[known] for known in [*kept, BEST] if known in entries]
                file.write(json.dumps(listed, indent=1).encode())
        except OSError as error:
            return f"checkpoint at step {step} was not saved: {error.strerror or error}"
        for path in self.folder.glob(STEP_FILES):
            if path.name not in kept:
                path.unlink(missing_ok=True)
        return None

    def index(self) -> list[dict[str, Any]]:
        try:
            return list(json.loads((self.folder / INDEX).read_text()))
        except (OSError, ValueError):
            return []

    def latest(self) -> tuple[Checkpoint, list[str]]:
        """The newest checkpoint that is whole (the best, where no other is), and a line for each damaged one that was
        passed over.

        Raises:
            FakeitError: there is none.
        """
        entries = {e["name"]: e for e in self.index()}
        files = [*sorted(self.folder.glob(STEP_FILES), reverse=True), *self.folder.glob(BEST)]
        problems: list[str] = []
        for path in files:
            try:
                self._check(path, entries.get(path.name))
                return load(path), problems
            except FakeitError as error:
                problems.append(f"{error}; the one before is used")
        detail = f" ({problems[0]})" if problems else ""
        raise FakeitError(f"{self.folder}: no checkpoint to resume from{detail}")

    @staticmethod
    def _check(path: Path, entry: dict[str, Any] | None) -> None:
        if entry is not None and hashlib.sha256(path.read_bytes()).hexdigest() != entry["sha256"]:
            raise FakeitError(f"checkpoint {path} is damaged (its SHA-256 is not the index's)")
