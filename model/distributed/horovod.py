"""The adapter of Horovod: gradients go through a buffer of ours, whole after the backward pass or in parts with it."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from fakeit.model.distributed.communicator import CommConfig, Connected
from fakeit.model.distributed.gradient_buffer import GradientBuffer
from fakeit.pipelines.errors import FakeitError


class Horovod(Connected):
    """Horovod over Gloo or, built with `make setup GPU=1`, NCCL."""

    name = "horovod"

    def __init__(self, config: CommConfig) -> None:
        if config.fusion_mb:
            os.environ["HOROVOD_FUSION_THRESHOLD"] = str(config.fusion_mb << 20)
        if not torch.cuda.is_available():  # ms between looks for messages: each look takes the processor from the ranks
            os.environ.setdefault("HOROVOD_CYCLE_TIME", "5")
        os.environ.setdefault("HOROVOD_STALL_CHECK_TIME_SECONDS", str(min(60, config.timeout_s)))
        os.environ.setdefault("HOROVOD_STALL_SHUTDOWN_TIME_SECONDS", str(config.timeout_s))
        import horovod.torch as hvd

        if config.adasum and not hvd.mpi_built():
            raise FakeitError("comm.adasum needs a Horovod that was built with MPI; this one talks through Gloo")
        hvd.init()
        self.hvd, self.config = hvd, config
        self.rank, self.size, self.local_rank = hvd.rank(), hvd.size(), hvd.local_rank()
        self._under_way: set[int] = set()
        self._compression = hvd.Compression.fp16 if config.compression == "fp16" else hvd.Compression.none
        self._gradients: GradientBuffer | None = None
        self._overlap = self._last = True
        self._sent: list[tuple[int, Tensor, Any]] = []  # handle, where the mean goes, what the compression remembers

    def attach(self, network: nn.Module) -> nn.Module:
        state = {name: value for name, value in network.state_dict().items() if isinstance(value, Tensor)}
        sent = {name: value.contiguous() for name, value in state.items()}  # Horovod sends no others
        self.hvd.broadcast_parameters(sent, root_rank=0)
        for name, value in state.items():
            value.copy_(sent[name])
        self._overlap = self.config.overlaps(network)
        self._gradients = GradientBuffer(network, self._arrived)
        return network

    def no_sync(self, module: nn.Module, last: bool) -> AbstractContextManager[Any]:
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

    def all_reduce_async(self, values: Tensor) -> Callable[[], Tensor]:
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
