"""A narrower network begins where the wide one ended: channels that carry nothing go first, grids are stretched."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import torch
from torch import nn

from fakeit.model.networks import LandmarkNetwork, NetworkConfig, build
from fakeit.model.networks.heads import DenseHead
from tools.narrow_network import channel_groups, narrowed

SIZE = 64


def network(width: float, head_width: int) -> LandmarkNetwork:
    torch.manual_seed(1)
    config = NetworkConfig("resnet_lean", width, head="votes", head_width=head_width, visibility=True, dense_modes=8)
    made = build(config, 70, 3, SIZE).eval()
    for norm in made.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.weight.data.uniform_(0.5, 1.5)
            norm.bias.data.uniform_(0.0, 0.5)
    return made


def silence_half(wide: LandmarkNetwork) -> None:
    """Makes every second channel of each group carry nothing."""
    modules, members = dict(wide.named_modules()), defaultdict(list)
    for name, group in channel_groups(wide)[1].items():
        members[group].append(modules[name])
    for group, layers in members.items():
        makers = layers if group == "merged" else [one for one in layers if isinstance(one, nn.BatchNorm2d)]
        assert makers, group
        for layer in makers:
            layer.weight.data[1::2] = 0
            if layer.bias is not None:
                layer.bias.data[1::2] = 0


def test_channels_that_carry_nothing_go_first() -> None:
    wide, narrow = network(0.5, 32), network(0.25, 16)
    silence_half(wide)
    crops = np.random.default_rng(1).integers(0, 256, (6, SIZE, SIZE, 3), dtype=np.uint8)
    narrow.load_state_dict(narrowed(wide, narrow, crops))
    with torch.no_grad():
        before, after = wide(torch.from_numpy(crops)), narrow(torch.from_numpy(crops))
    for name in ("points", "log_sigma", "visibility", "dense"):
        assert torch.allclose(getattr(before, name), getattr(after, name), atol=1e-5), name


def test_dense_points_stay_where_they_are_on_a_larger_grid() -> None:
    small, large = DenseHead(8, 3, 4), DenseHead(8, 5, 4)
    small.weigh.weight.data = torch.randn(4, 8).repeat_interleave(9, 1)  # every cell of a channel counts alike
    stretched = large.stretched("weigh.weight", small.weigh.weight)
    assert stretched is not None
    large.load_state_dict({**small.state_dict(), "weigh.weight": stretched})
    even = torch.randn(2, 8, 1, 1)
    assert torch.allclose(small(even.expand(-1, -1, 3, 3)), large(even.expand(-1, -1, 5, 5)), atol=1e-5)
    assert large.stretched("modes.weight", small.modes.weight) is None
