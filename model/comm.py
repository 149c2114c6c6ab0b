"""The one seam to Horovod, torch.distributed and a single process. Nothing else in the project imports either.

A `Comm` says who this process is, keeps weights equal at the start, turns gradients into their mean over ranks, and
adds up small vectors (losses, counts, flags). Three adapters, one contract test (tests/test_training_ranks.py).
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from fakeit.model.gradients import Gradients
from fakeit.pipelines.errors import FakeitError


@dataclass(frozen=True)
class CommConfig:
    """How ranks talk.

    Attributes:
        backend: "auto" looks at what launched the process: horovodrun, torchrun, or nothing.
        compression: Horovod sends gradients as float16.
        adasum: Horovod adds gradients by Adasum instead of averaging them (arXiv 2006.02924); needs its MPI build.
        overlap: "on" sends gradients beside the backward pass, by Horovod's hooks or DDP's buckets; "off" sends all in
            one message after it; "auto" is on for GPUs, where other processors than the network's reduce them.
        fusion_mb: where it overlaps Horovod packs small tensors into buffers of this size; 0 leaves its default (64).
    """

    backend: Literal["auto", "horovod", "ddp", "single"] = "auto"
    compression: Literal["none", "fp16"] = "none"
    adasum: bool = False
    overlap: Literal["auto", "on", "off"] = "auto"
    fusion_mb: int = 0

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

    def quiet(self, module: nn.Module, last: bool) -> AbstractContextManager[Any]:
        """Around a forward and backward pass: no reducing unless it is the `last` of an accumulation."""
        ...

    def reduce_gradients(self) -> None:
        """After the last backward pass: waits until gradients are the mean over ranks."""
        ...

    def start_sum(self, values: Tensor) -> Callable[[], Tensor]:
        """Begins to add up `values` over ranks; call the result to wait for the sum."""
        ...

    def broadcast(self, value: Any) -> Any:
        """Rank 0's value (picklable), on every rank."""
        ...

    def gather(self, value: Any) -> list[Any]:
        """Every rank's value, in the order of ranks."""
        ...

    def barrier(self) -> None: ...

    def close(self) -> None: ...


def total(comm: Comm, values: Tensor) -> Tensor:
    """Σ over ranks."""
    return comm.start_sum(values)()


def mean_buffers(comm: Comm, network: nn.Module) -> None:
    """Batch norm's running figures become their mean over ranks, so that all ranks judge and save one network."""
    buffers = [b for _, b in network.named_buffers() if b.dtype.is_floating_point]
    if comm.size == 1 or not buffers:
        return
    flat = total(comm, torch.cat([b.reshape(-1) for b in buffers])) / comm.size
    for buffer, mean in zip(buffers, flat.split([b.numel() for b in buffers]), strict=True):
        buffer.copy_(mean.reshape(buffer.shape))


class Single:
    """No others."""

    name, rank, size, local_rank = "single", 0, 1, 0

    def attach(self, network: nn.Module) -> nn.Module:
        return network

    def quiet(self, module: nn.Module, last: bool) -> AbstractContextManager[Any]:
        return nullcontext()

    def reduce_gradients(self) -> None: ...

    def start_sum(self, values: Tensor) -> Callable[[], Tensor]:
        return lambda: values

    def broadcast(self, value: Any) -> Any:
        return value

    def gather(self, value: Any) -> list[Any]:
        return [value]

    def barrier(self) -> None: ...

    def close(self) -> None: ...


class _Connected:
    """A connection to other ranks is one: copies of a network that holds it (`train.sync_batchnorm`) share it."""

    def __deepcopy__(self, memo: dict[int, Any]) -> _Connected:
        return self


class Horovod(_Connected):
    """Horovod over Gloo or, built with `make setup GPU=1`, NCCL."""

    name = "horovod"

    def __init__(self, config: CommConfig) -> None:
        if config.fusion_mb:
            os.environ["HOROVOD_FUSION_THRESHOLD"] = str(config.fusion_mb << 20)
        if not torch.cuda.is_available():  # ms between looks for messages: each look takes the processor from the ranks
            os.environ.setdefault("HOROVOD_CYCLE_TIME", "5")
        import horovod.torch as hvd

        if config.adasum and not hvd.mpi_built():
            raise FakeitError("comm.adasum needs a Horovod that was built with MPI; this one talks through Gloo")
        hvd.init()
        self.hvd, self.config = hvd, config
        self.rank, self.size, self.local_rank = hvd.rank(), hvd.size(), hvd.local_rank()
        self._under_way: set[int] = set()
        self._compression = hvd.Compression.fp16 if config.compression == "fp16" else hvd.Compression.none
        self._gradients: Gradients | None = None
        self._overlap = self._last = True
        self._sent: list[tuple[int, Tensor, Any]] = []  # handle, where the mean goes, what the compression remembers

    def attach(self, network: nn.Module) -> nn.Module:
        state = {name: value for name, value in network.state_dict().items() if isinstance(value, Tensor)}
        sent = {name: value.contiguous() for name, value in state.items()}  # Horovod sends no others
        self.hvd.broadcast_parameters(sent, root_rank=0)
        for name, value in state.items():
            value.copy_(sent[name])
        self._overlap = self.config.overlaps(network)
        self._gradients = Gradients(network, self._arrived)
        return network

    def quiet(self, module: nn.Module, last: bool) -> AbstractContextManager[Any]:
        self._last = last
        return nullcontext()

    def _arrived(self, name: str, gradient: Tensor) -> None:
        if self._overlap and self._last:
            self._send(name, gradient)

    def _send(self, name: str, gradients: Tensor) -> None:
        """Begins to average a part of the buffer."""
        sent, memory = self._compression.compress(gradients)
        op = self.hvd.Adasum if self.config.adasum else self.hvd.Average
        self._sent.append((self.hvd.allreduce_async_(sent, op=op, name=name), gradients, memory))

    def reduce_gradients(self) -> None:
        assert self._gradients is not None
        self._gradients.complete()
        if not self._overlap:
            self._send("gradients", self._gradients.buffer)
        for handle, gradients, memory in self._sent:
            mean = self._compression.decompress(self.hvd.synchronize(handle), memory)
            if mean is not gradients:
                gradients.copy_(mean)
        self._sent.clear()

    def start_sum(self, values: Tensor) -> Callable[[], Tensor]:
        # The lowest name that is free: few names, since Horovod caches them, and the same on all ranks.
        number = next(n for n in range(len(self._under_way) + 1) if n not in self._under_way)
        self._under_way.add(number)
        handle = self.hvd.allreduce_async(values.contiguous(), op=self.hvd.Sum, name=f"sum.{number}")

        def wait() -> Tensor:
            added = self.hvd.synchronize(handle)
            self._under_way.discard(number)
            assert isinstance(added, Tensor)
            return added

        return wait

    def broadcast(self, value: Any) -> Any:
        # Named, since Horovod would name it by the value's type, and wait for ever where ranks hold different types.
        return self.hvd.broadcast_object(value, root_rank=0, name="object")

    def gather(self, value: Any) -> list[Any]:
        return list(self.hvd.allgather_object(value, name="objects"))

    def barrier(self) -> None:
        self.hvd.barrier()

    def close(self) -> None:
        self.hvd.shutdown()


class Ddp(_Connected):
    """torch.distributed under torchrun or pyspark's TorchDistributor: NCCL where CUDA is, else gloo."""

    name = "ddp"

    def __init__(self, config: CommConfig) -> None:
        import torch.distributed as dist

        self.dist, self.config = dist, config
        self.local_rank = int(os.environ.get("LOCAL_RANK", "0"))
        cuda = torch.cuda.is_available()
        if cuda:
            torch.cuda.set_device(self.local_rank)
        dist.init_process_group("nccl" if cuda else "gloo")
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self._wrapped: nn.Module | None = None

    def attach(self, network: nn.Module) -> nn.Module:
        from torch.nn.parallel import DistributedDataParallel

        cuda = next(network.parameters()).is_cuda
        self._wrapped = DistributedDataParallel(
            network,
            device_ids=[self.local_rank] if cuda else None,
            forward_sync_buffers=False,
            bucket_cap_mb=25 if self.config.overlaps(network) else 4096,
            gradient_as_bucket_view=True,
        )
        return self._wrapped

    def quiet(self, module: nn.Module, last: bool) -> AbstractContextManager[Any]:
        return nullcontext() if last else module.no_sync()  # type: ignore[operator, no-any-return]

    def reduce_gradients(self) -> None: ...

    def start_sum(self, values: Tensor) -> Callable[[], Tensor]:
        added = values.clone()
        work = self.dist.all_reduce(added, async_op=True)

        def wait() -> Tensor:
            work.wait()
            return added

        return wait

    def broadcast(self, value: Any) -> Any:
        box = [value]
        self.dist.broadcast_object_list(box, src=0)
        return box[0]

    def gather(self, value: Any) -> list[Any]:
        values: list[Any] = [None] * self.size
        self.dist.all_gather_object(values, value)
        return values

    def barrier(self) -> None:
        self.dist.barrier()

    def close(self) -> None:
        """In this order: a process group that outlives its DDP module aborts at exit now and then."""
        self._wrapped = None
        gc.collect()
        if self.dist.is_initialized():
            self.dist.destroy_process_group()


def _keep_to_own_cores() -> None:
    """Binds this process and the threads it starts to its share of the machine's processors, as MPI's launchers do.

    Left to the system, ranks and the threads that carry their messages push each other from processor to processor.
    """
    local = int(os.environ.get("HOROVOD_LOCAL_RANK") or os.environ.get("LOCAL_RANK") or 0)
    ranks = int(os.environ.get("HOROVOD_LOCAL_SIZE") or os.environ.get("LOCAL_WORLD_SIZE") or 1)
    allowed = sorted(os.sched_getaffinity(0))
    share = max(1, len(allowed) // ranks)
    os.sched_setaffinity(0, {allowed[(local * share + n) % len(allowed)] for n in range(share)})


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
    if backend == "ddp" and (config.compression != "none" or config.adasum or config.fusion_mb):
        raise FakeitError("comm.compression, comm.adasum and comm.fusion_mb are Horovod's; torchrun's ranks have none")
    if backend != "single":
        _keep_to_own_cores()
    if backend == "horovod":
        try:
            return Horovod(config)
        except ImportError as error:
            raise FakeitError(
                f"comm.backend is 'horovod' but horovod cannot be imported ({error}); run make setup"
            ) from error
    return Ddp(config) if backend == "ddp" else Single()
