#!/usr/bin/env python
"""A trained `resnet_lean` → a narrower one that begins where the wide one ended, to be trained on with `--init`.

    python tools/narrow_network.py large FACES --width 0.75 --head-width 64 --output narrow.pt

Structured pruning: of every group of channels that only live together (a stage's shortcut stream, the inside of a
block, the votes' maps) those stay whose product of size (root mean square over the crops of FACES, rendered faces) and
of outgoing weights is largest: the change that leaving a channel out makes in what reads it, to first order.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import defaultdict
from dataclasses import replace

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import numpy as np
import torch
from torch import Tensor, nn

from fakeit.model.networks import LandmarkNetwork, build
from fakeit.model.networks.resnet_lean import DEPTHS, STAGE_ENDS, STEM
from fakeit.model.training import checkpoint
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.landmarks import scheme
from tools.keep_statistics import crops_of

Groups = dict[str, str]  # a layer's name → the name of a group of channels


def channel_groups(network: LandmarkNetwork) -> tuple[Groups, Groups]:
    """Which group each layer of a `resnet_lean` with votes reads, and which it makes. Norms make what they keep."""
    reads: Groups = {}
    makes: Groups = {"backbone.layers.0": "stem", "backbone.layers.1": "stem"}
    stream, layer = "stem", STEM
    for stage, depth in enumerate(DEPTHS):
        for _ in range(depth):
            block = f"backbone.layers.{layer}"
            if f"{block}.shortcut.1.weight" in network.state_dict():
                reads[f"{block}.shortcut.1"] = stream
                makes |= {f"{block}.shortcut.{part}": f"stage {stage}" for part in (1, 2)}
            reads |= {f"{block}.conv1": stream, f"{block}.conv2": block}
            stream = f"stage {stage}"
            makes |= {f"{block}.{part}1": block for part in ("conv", "bn")}
            makes |= {f"{block}.{part}2": stream for part in ("conv", "bn")}
            layer += 1
        if layer - 1 in STAGE_ENDS:
            lateral = f"head.lateral.{STAGE_ENDS.index(layer - 1)}"
            reads[lateral], makes[lateral] = stream, "merged"
    reads |= {"head.merge.1": "merged", "head.vote": "votes", "dense.weigh": stream}
    makes |= {"head.merge.1": "votes", "head.merge.2": "votes"}
    return reads, makes


@torch.no_grad()
def importance(network: LandmarkNetwork, reads: Groups, crops: np.ndarray) -> dict[str, Tensor]:
    """Of each group's channels: the mean square of what they carry times the square of what is made of it."""
    found: dict[str, Tensor] = defaultdict(lambda: torch.zeros(()))
    modules = dict(network.named_modules())

    def look(name: str) -> object:
        def hook(module: nn.Module, inputs: tuple[Tensor]) -> None:
            (taken,), weight = inputs, module.weight
            assert isinstance(weight, Tensor)
            channels = network.backbone.channels if name == "dense.weigh" else weight.shape[1]
            carried = taken.reshape(len(taken), channels, -1).square().mean((0, 2))
            made = weight.reshape(len(weight), channels, -1).square().sum((0, 2))
            found[reads[name]] = found[reads[name]] + carried * made

        return hook

    hooks = [modules[name].register_forward_pre_hook(look(name)) for name in reads]
    for start in range(0, len(crops), 50):
        network(torch.from_numpy(crops[start : start + 50]))
    for hook in hooks:
        hook.remove()
    return found


def narrowed(wide: LandmarkNetwork, narrow: LandmarkNetwork, crops: np.ndarray) -> dict[str, Tensor]:
    """The wide network's weights without the channels that `narrow` has no place for, as `narrow`'s state dict."""
    reads, makes = channel_groups(wide)
    worth, given = importance(wide, reads, crops), wide.state_dict()
    kept: dict[str, Tensor] = {}
    state = {}
    for name, wanted in narrow.state_dict().items():
        layer, value = name.rpartition(".")[0], given[name]
        for axis, groups in enumerate((makes, reads)):
            if layer not in groups or value.ndim <= axis:
                continue
            group = groups[layer]
            if group not in kept:
                count = wanted.shape[axis] * len(worth[group]) // value.shape[axis]  # a grid has cells of each channel
                kept[group] = worth[group].topk(count).indices.sort().values
            value = value.reshape(*value.shape[:axis], len(worth[group]), -1, *value.shape[axis + 1 :])
            value = value.index_select(axis, kept[group]).flatten(axis, axis + 1)
        if value.shape != wanted.shape:
            raise FakeitError(f"{name}: {tuple(value.shape)} of the wide network do not fit {tuple(wanted.shape)}")
        state[name] = value.contiguous()
    return state


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a checkpoint, or a name of `fakeit models`")
    parser.add_argument("faces", help="folder in the Face Synthetics layout, a few hundred rendered faces")
    parser.add_argument("--width", type=float, required=True)
    parser.add_argument("--head-width", type=int, required=True)
    parser.add_argument("--output", required=True)
    arguments = parser.parse_args()
    stored = checkpoint.load(arguments.model)
    wide = stored.build()
    config = replace(stored.network, width=arguments.width, head_width=arguments.head_width)
    narrow = build(config, scheme(stored.scheme).count, stored.crop.channels, stored.crop.size).eval()
    crops = crops_of(arguments.faces, stored.crop)
    narrow.load_state_dict(narrowed(wide, narrow, crops))
    with torch.no_grad():
        sample = torch.from_numpy(crops[:200])
        apart = float((narrow(sample).points - wide(sample).points).norm(dim=-1).mean()) * stored.crop.size
    made = checkpoint.Checkpoint(config, stored.crop, stored.scheme, narrow.state_dict())
    checkpoint.write(made, arguments.output)
    print(f"{arguments.output}: width {config.width}; {apart:.1f} of {stored.crop.size} pixels from {arguments.model}")


if __name__ == "__main__":
    try:
        main()
    except FakeitError as error:
        raise SystemExit(f"error: {error}") from error
