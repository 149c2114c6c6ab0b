"""How this process talks to the others: one interface, three adapters (Horovod, torch.distributed, a single process).

Nothing outside of this room imports Horovod or torch.distributed. A `Comm` says who this process is, keeps weights
equal at the start, turns gradients into their mean over ranks, and adds up small vectors (losses, counts, flags).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.machine import processors


@dataclass(frozen=True)
class CommConfig:
    """How ranks talk.

    Attributes:
        backend: "auto" looks at what launched the process: horovodrun, torchrun, or nothing.
        compression: gradients are sent as float16.
        adasum: Horovod adds gradients by Adasum instead of averaging them (arXiv 2006.02924); needs its MPI build.
        overlap: "on" sends gradients beside the backward pass, by Horovod's hooks or DDP's buckets; "off" sends all in
            one message after it; "auto" is on for GPUs, where other processors than the network's reduce them.
        timeout_s: of a rank that hangs: so long the others wait for an answer before they end (one that dies is noticed
            at once). Longer than what rank 0 may do alone: write a checkpoint to a slow disk, ask a slow MLflow.
        fusion_mb: where it overlaps Horovod packs small tensors into buffers of this size; 0 leaves its default (64).
    """

    backend: Literal["auto", "horovod", "ddp", "single"] = "auto"
    compression: Literal["none", "fp16"] = "none"
    adasum: bool = False
    overlap: Literal["auto", "on", "off"] = "auto"
    fusion_mb: int = 0
    timeout_s: int = 600

    def __post_init__(self) -> None:
        if self.timeout_s < 1:
            raise FakeitError(f"comm.timeout_s is {self.timeout_s}; at least 1 second is needed")

    def overlaps(self, network: nn.Module) -> bool:
        on_gpu = next(network.parameters()).is_cuda
        return self.adasum or self.overlap == "on" or (self.overlap == "auto" and on_gpu)


class Comm(Protocol):
    """One process among `size`. Every method but the properties is collective: all ranks call it, in the same order."""

    name: str
    rank: int
    size: int
    local_rank: int

    def attach(self, network: nn.Module) -> nn.Module:
        """The module to train with: its gradients become the mean over ranks. Weights as they are on rank 0 go to all.
        Once for each network: hooks stay on its parameters."""
        ...

    def no_sync(self, module: nn.Module, last: bool) -> AbstractContextManager[Any]:
        """Around a forward and backward pass: no reducing unless it is the `last` of an accumulation."""
        ...

    def reduce_gradients(self) -> None:
        """After the last backward pass: waits until gradients are the mean over ranks."""
        ...

    def all_reduce_async(self, values: Tensor) -> Callable[[], Tensor]:
        """Begins to add up `values` over ranks, without waiting.

        Args:
            values: any shape and dtype, the same on every rank; not to be changed until the sum is there.

        Returns:
            A function that waits and gives the sum, a tensor like `values` on the same device.
        """
        ...

    def broadcast(self, value: Any) -> Any:
        """Rank 0's value (picklable), on every rank."""
        ...

    def gather(self, value: Any) -> list[Any]:
        """Every rank's value, in the order of ranks."""
        ...

    def barrier(self) -> None:
        """Waits until every rank is here."""
        ...

    def close(self) -> None:
        """Ends the connection; nothing collective may follow."""
        ...


def all_reduce(comm: Comm, values: Tensor) -> Tensor:
    """Σ over ranks of `values` (any shape); waits for it. Collective."""
    return comm.all_reduce_async(values)()


def mean_buffers(comm: Comm, network: nn.Module) -> None:
    """Batch norm's running figures become their mean over ranks, so that all ranks judge and save one network.

    Collective: one sum over all floating-point buffers of `network`, which are changed."""
    buffers = [b for _, b in network.named_buffers() if b.dtype.is_floating_point]
    if comm.size == 1 or not buffers:
        return
    flat = all_reduce(comm, torch.cat([b.reshape(-1) for b in buffers])) / comm.size
    for buffer, mean in zip(buffers, flat.split([b.numel() for b in buffers]), strict=True):
        buffer.copy_(mean.reshape(buffer.shape))


class Single:
    """No others."""

    name, rank, size, local_rank = "single", 0, 1, 0

    def attach(self, network: nn.Module) -> nn.Module:
        return network

    def no_sync(self, module: nn.Module, last: bool) -> AbstractContextManager[Any]:
        return nullcontext()

    def reduce_gradients(self) -> None: ...

    def all_reduce_async(self, values: Tensor) -> Callable[[], Tensor]:
        return lambda: values

    def broadcast(self, value: Any) -> Any:
        return value

    def gather(self, value: Any) -> list[Any]:
        return [value]

    def barrier(self) -> None: ...

    def close(self) -> None: ...


class Connected:
    """A connection to other ranks is one: copies of a network that holds it (`train.sync_batchnorm`) share it."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Connected:
        return self


def own_cores(allowed: set[int], parents: set[int], local_rank: int, ranks: int) -> set[int]:
    """The processors of one of `ranks` ranks on this machine.

    Args:
        allowed: those that this process may use.
        parents: those that its parent may use. Where these are more, the launcher (MPI, Slurm, a `taskset`) has given
            this rank its own already, and they stay as they are.
        local_rank: of this process among them.
    """
    if allowed < parents:
        return allowed
    ordered = sorted(allowed)
    share = max(1, len(ordered) // ranks)
    return {ordered[(local_rank * share + n) % len(ordered)] for n in range(share)}


_kept: list[bool] = []  # in this process: what is divided once must not be divided again


def _keep_to_own_cores() -> None:
    """Binds this process and the threads it starts to its share of the machine's processors, as MPI's launchers do.

    Left to the system, ranks and the threads that carry their messages push each other from processor to processor.
    """
    local = int(os.environ.get("HOROVOD_LOCAL_RANK") or os.environ.get("LOCAL_RANK") or 0)
    ranks = int(os.environ.get("HOROVOD_LOCAL_SIZE") or os.environ.get("LOCAL_WORLD_SIZE") or 1)
    if _kept:
        return
    _kept.append(True)
    allowed = processors.allowed()
    try:
        parents = processors.allowed(os.getppid())
    except OSError:  # another user's, or gone
        parents = allowed
    processors.bind(0, own_cores(allowed, parents, local, ranks))


def connect(config: CommConfig) -> Comm:
    """The adapter that `config` names, or that fits what launched this process.

    Side effect: of several ranks on one machine each keeps to its share of the processors from here on.
    """
    backend = config.backend
    if backend == "auto":
        if "HOROVOD_RANK" in os.environ:
            backend = "horovod"
        else:
            backend = "ddp" if {"RANK", "WORLD_SIZE", "MASTER_ADDR"} <= os.environ.keys() else "single"
    if backend == "ddp" and "RANK" not in os.environ:
        raise FakeitError(
            "comm.backend is 'ddp' but torchrun did not launch this: torchrun --nproc-per-node 2 jobs/train.py …"
        )
    if backend == "ddp" and (config.adasum or config.fusion_mb):
        raise FakeitError("comm.adasum and comm.fusion_mb are Horovod's; torchrun's ranks have none")
    if backend != "single":
        _keep_to_own_cores()
    if backend == "horovod":
        try:
            from fakeit.model.distributed.horovod import Horovod

            return Horovod(config)
        except ImportError as error:
            raise FakeitError(
                f"comm.backend is 'horovod' but horovod cannot be imported ({error}); run make setup"
            ) from error
    if backend == "ddp":
        from fakeit.model.distributed.ddp import Ddp

        return Ddp(config)
    return Single()
