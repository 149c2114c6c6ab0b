"""What a run starts with: its device; a checkpoint of its own, another run's weights, or nothing but the mean shape;
the tracker that is told of it."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fakeit.model.data.dataset import ShardedDataset
from fakeit.model.distributed.communicator import Comm
from fakeit.model.distributed.sync_batchnorm import synchronise
from fakeit.model.networks import LandmarkNetwork, build
from fakeit.model.networks.heads import DenseHead, DirectHead, VotesHead
from fakeit.model.tracking import mlflow_tracker
from fakeit.model.training.checkpoint import Checkpoint, CheckpointManager, load
from fakeit.model.training.config import TrainConfig
from fakeit.pipelines.config import to_dict
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.faces.crop import CropConfig
from fakeit.pipelines.landmarks import scheme
from fakeit.pipelines.machine import processors
from fakeit.pipelines.secrets import without_secrets
from fakeit.pipelines.store.manifest import SPLITS

STEPS = "steps.jsonl"


def warn(message: str) -> None:
    """One line to stderr; training goes on."""
    print(f"warning: {message}", file=sys.stderr, flush=True)


def device_of(config: TrainConfig, comm: Comm) -> str:
    """The device of this rank; on a CPU as many threads as there are processors for it."""
    wanted = config.train.device
    if wanted == "cuda" and not torch.cuda.is_available():
        raise FakeitError("train.device is 'cuda' but torch sees no GPU")
    if wanted == "cpu" or not torch.cuda.is_available():
        if config.train.precision == "fp16":
            raise FakeitError("train.precision is 'fp16', which needs a GPU; 'bf16' works on a CPU too")
        if config.train.compile and not shutil.which(os.environ.get("CXX", "g++")):
            raise FakeitError("train.compile needs a C++ compiler (g++, or the one CXX names) where there is no GPU")
        told = "OMP_NUM_THREADS" in os.environ and comm.size == 1
        threads = config.train.threads or (0 if told else len(processors.allowed()))
        if threads:
            torch.set_num_threads(threads)
        return "cpu"
    torch.cuda.set_device(comm.local_rank)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    return f"cuda:{comm.local_rank}"


def verify_datasets(stores: Sequence[ShardedDataset], comm: Comm) -> None:
    """Each rank looks at the files on its own machine; URLs are asked for by rank 0 alone.

    Raises:
        FakeitError: on all ranks, what the first of them found.
    """
    problem = None
    try:
        for store in stores:
            store.verify(remote=comm.rank == 0)
    except (FakeitError, OSError) as error:
        problem = str(error)
    found = [said for said in comm.gather(problem) if said]
    if found:
        raise FakeitError(found[0])


def check_monitor(figure: str, validation: ShardedDataset) -> None:
    """Raises FakeitError where the NME is to choose the best epoch and no face to validate on has one, which is over
    the distance of its eyes. Looks only as far as the first that has."""
    if figure != "nme" or not validation.rows:
        return
    known = scheme(validation.scheme)
    eyes = [*known.left_eye, *known.right_eye]
    for index in range(len(validation.places)):
        if np.isfinite(validation.opened(index).landmarks[:, eyes]).all((1, 2)).any():
            return
    raise FakeitError(
        f"train.monitor is 'nme', which is over the distance of the eyes; in dataset {validation.mix[0].path} no face "
        f"of the split val has {' and '.join(known.names[eye] for eye in eyes)} of {known.title}: "
        "monitor 'mse', 'mae' or 'loss'"
    )


def prepare_folder(
    config: TrainConfig, output: Path, checkpoints: CheckpointManager, comm: Comm, resume: bool
) -> Checkpoint | None:
    """Brings a run's folder into a state to start from, on rank 0; all ranks get the checkpoint to go on from, if any.

    Raises:
        FakeitError: a run is there and --resume was not said; or it was, and no checkpoint is whole.
    """
    found: Any = None
    if comm.rank == 0:
        try:
            found = _prepare(config, output, checkpoints, resume)
        except FakeitError as error:
            found = str(error)
        except OSError as error:
            found = f"--output {output} cannot be written: {error.strerror or error}"
    found = comm.broadcast(found)
    if isinstance(found, str):
        raise FakeitError(found)
    assert found is None or isinstance(found, Checkpoint)
    return found


def _prepare(config: TrainConfig, output: Path, checkpoints: CheckpointManager, resume: bool) -> Checkpoint | None:
    steps = output / STEPS
    if resume:
        for left in checkpoints.folder.glob("*.tmp"):  # of a write that was killed
            left.unlink()
        restored, problems = checkpoints.latest()
        for problem in problems:
            warn(problem)
        if steps.exists():  # what came after the checkpoint will be done again
            lines = [line for line in steps.read_text().splitlines() if line.endswith("}")]
            kept = [line for line in lines if json.loads(line)["step"] <= restored.position.step]
            steps.write_text("".join(f"{line}\n" for line in kept))
        return restored
    if any(checkpoints.folder.glob("*.pt")):
        raise FakeitError(f"{output} holds a run already; say --resume to go on with it, or another --output")
    output.mkdir(parents=True, exist_ok=True)
    steps.unlink(missing_ok=True)
    (output / "conf.json").write_text(json.dumps(without_secrets(to_dict(config)), indent=1))
    return None


def check_fits(restored: Checkpoint, scheme_name: str, crop: CropConfig, digest: str) -> None:
    """Raises FakeitError where a checkpoint is not of this scheme, crop recipe or dataset."""
    if restored.scheme != scheme_name:
        raise FakeitError(f"the checkpoint's scheme is {restored.scheme}, the dataset's is {scheme_name}")
    if restored.crop != crop:
        raise FakeitError(f"the checkpoint works on crops {restored.crop}, this conf makes {crop}")
    if restored.dataset["digest"] != digest:
        raise FakeitError(
            f"the checkpoint was trained on dataset {restored.dataset['digest']}, this is {digest}: "
            "resume with the same one, or start anew with --init"
        )


def make_network(
    config: TrainConfig,
    store: ShardedDataset,
    crop: CropConfig,
    comm: Comm,
    device: str,
    restored: Checkpoint | None,
    init: str | None,
) -> LandmarkNetwork:
    """The network to train, with the weights to start with, on the device."""
    start = restored or (load(init) if init is not None else None)
    wanted = config.network
    if start is not None:  # pixels are shown to its weights as they learnt them
        wanted = replace(wanted, pretrained=None, normalise=start.network.normalise)
    torch.manual_seed(config.train.seed)
    network = build(wanted, scheme(store.scheme).count, crop.channels, crop.size)
    if restored is not None:
        try:
            network.load_state_dict(restored.weights)
        except RuntimeError as error:
            raise FakeitError(f"the checkpoint is of {restored.network}, the conf says {wanted}") from error
    else:
        assert isinstance(network.head, DirectHead | VotesHead)
        network.head.start_at(_mean_shape(store, crop))
        if start is not None:  # its head too, unless it has other points
            _take_weights(network, start, str(init), comm.rank == 0)
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return synchronise(network, comm) if config.train.sync_batchnorm else network


def start_tracking(
    config: TrainConfig,
    output: Path,
    comm: Comm,
    training: ShardedDataset,
    parameters: int,
    restored: Checkpoint | None,
) -> mlflow_tracker.Tracker:
    """The run's tracker, told of conf, datasets and the number of the network's parameters; of a restored run the one
    that it had."""
    dataset = training.mix[0].path
    name = f"{config.network.name} on {Path(dataset).name}"
    run_id = restored.run_id if restored else None
    tracker = mlflow_tracker.make(config.tracking, output, name, comm.rank, run_id, restored is not None)
    infos = [
        mlflow_tracker.DatasetInfo(
            Path(item.path).name,
            made.digest,
            str(Path(item.path).absolute()),
            {split: made.rows(split) for split in SPLITS},
        )
        for item, made in zip(training.mix, training.manifests, strict=True)
    ]
    told = {"world_size": comm.size, "comm": comm.name, "parameters": parameters, "dataset": dataset}
    tracker.start({**to_dict(config), **told, "dataset_digest": infos[0].digest}, infos)
    return tracker


def _take_weights(network: LandmarkNetwork, stored: Checkpoint, init: str, tell: bool) -> None:
    """Takes over a checkpoint's weights as far as names and shapes fit. Raises FakeitError where most do not."""
    given = dict(stored.ema if stored.ema is not None else stored.weights)
    if stored.crop.size != network.size:
        for name, value in list(given.items()):
            part, _, within = name.partition(".")
            head = getattr(network, part, None)
            stretched = head.stretched(within, value) if isinstance(head, DirectHead | VotesHead | DenseHead) else None
            if stretched is not None:
                given[name] = stretched
    own = network.state_dict()
    fitting = {name: value for name, value in given.items() if name in own and own[name].shape == value.shape}
    if 2 * len(fitting) < len(own):
        names = f"it is a {stored.network.name}, the conf says {network.config.name}"
        raise FakeitError(f"--init {init}: only {len(fitting)} of {len(own)} layers fit; {names}")
    network.load_state_dict({**own, **fitting})
    if tell and len(fitting) < len(own):
        missing = [name for name in own if name not in fitting]
        warn(f"--init: {len(missing)} of {len(own)} layers start anew, as {missing[0]}")


def _mean_shape(store: ShardedDataset, crop: CropConfig) -> Tensor:
    """(K, 2) mean of the first shard's points, in the network's unit crop."""
    index = next(i for i, end in enumerate(store.firsts[1:]) if end > 0)
    points = torch.from_numpy(store.opened(index).landmarks[:, : store.points].copy())
    ratio = (1 + 2 * crop.margin) / (1 + 2 * store.crop.margin)
    return (points.nanmean(0) - 0.5) / ratio + 0.5
