"""Where a rank computes, and how what is made on the CPU gets there without waiting for it."""

from __future__ import annotations

import os
import shutil

import torch
from torch import Tensor

from model.comm import Comm
from model.train_config import TrainConfig
from pipelines.errors import FakeitError


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
        threads = config.train.threads or (0 if told else len(os.sched_getaffinity(0)))
        if threads:
            torch.set_num_threads(threads)
        return "cpu"
    torch.cuda.set_device(comm.local_rank)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    return f"cuda:{comm.local_rank}"


def pinned(tensor: Tensor, device: torch.device) -> Tensor:
    """In memory that a GPU reads by itself, where `device` is one."""
    return tensor.pin_memory() if device.type == "cuda" else tensor


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """To `device`, without waiting for what it still has to do."""
    return pinned(tensor, device).to(device, non_blocking=True)
