"""The adapter of torch.distributed."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, nn

from fakeit.model.distributed.communicator import CommConfig, Connected


def _end_with_parent() -> None:
    """Has the system send SIGTERM, which leaves a checkpoint, when torchrun itself is killed: nobody else would."""
    if "TORCHELASTIC_RUN_ID" in os.environ and sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


class Ddp(Connected):
    """torch.distributed under torchrun or pyspark's TorchDistributor: NCCL where CUDA is, else gloo."""

    name = "ddp"

    def __init__(self, config: CommConfig) -> None:
        import torch.distributed as dist

        self.dist, self.config = dist, config
        self.local_rank = int(os.environ.get("LOCAL_RANK", "0"))
        cuda = torch.cuda.is_available()
        if cuda:
            torch.cuda.set_device(self.local_rank)
        _end_with_parent()
        dist.init_process_group("nccl" if cuda else "gloo", timeout=timedelta(seconds=config.timeout_s))
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self._wrapped: nn.Module | None = None

    def attach(self, network: nn.Module) -> nn.Module:
        from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import fp16_compress_hook
        from torch.nn.parallel import DistributedDataParallel

        cuda = next(network.parameters()).is_cuda
        self._wrapped = DistributedDataParallel(
            network,
            device_ids=[self.local_rank] if cuda else None,
            forward_sync_buffers=False,
            bucket_cap_mb=25 if self.config.overlaps(network) else 4096,
            gradient_as_bucket_view=True,
        )
        if self.config.compression == "fp16":  # torch's hook for bfloat16 refuses processors
            self._wrapped.register_comm_hook(None, fp16_compress_hook)
        return self._wrapped

    def no_sync(self, module: nn.Module, last: bool) -> AbstractContextManager[Any]:
        return nullcontext() if last else module.no_sync()  # type: ignore[operator, no-any-return]

    def reduce_gradients(self) -> None: ...

    def all_reduce_async(self, values: Tensor) -> Callable[[], Tensor]:
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
