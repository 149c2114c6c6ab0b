#!/usr/bin/env python
"""64 GPUs on paper: what sending gradients would cost each network at 10, 25 and 100 Gbit/s and over NVLink.

Nothing is measured here but the networks themselves: parameters and multiplications, layer by layer, are those of the
real ones. The rest is a model, and its assumptions are the options:
  a step      forward F and backward 2 F multiplications and additions, at a sustained rate (`--tflops`, and
              `--tflops-depthwise` for networks of separable convolutions, which memory holds up). Layers end their
              backward pass from the last to the first, each after the time its own multiplications take.
  a message   gradients are packed in that order into buckets of `--bucket-mb`, as they lie in float32; a bucket is sent
              when its last gradient is there and the bucket before it has gone.
  a ring      all-reduce of S bytes over N ranks: 2 (N - 1) / N · S / bandwidth + 2 (N - 1) · latency (Patarasuk and
              Yuan 2009). Between machines a machine's one network card is the bandwidth, since a ring enters and leaves
              a machine once however many GPUs it has.
Efficiency is a step alone over a step with what the backward pass cannot hide. Last line: JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

WORLD = 64
DEPTHWISE = ("mobilenet_v2", "xception", "xception_leaky", "xception_mid6", "xception_small")


@dataclass(frozen=True)
class Link:
    """Bytes a second, and seconds from rank to rank for a message of none."""

    name: str
    bandwidth: float
    latency: float


LINKS = (
    Link("10 Gbit/s", 1.25e9, 30e-6),
    Link("25 Gbit/s", 3.1e9, 20e-6),
    Link("100 Gbit/s", 12.5e9, 5e-6),  # RDMA
    Link("NVLink", 300e9, 2e-6),
)


@dataclass(frozen=True)
class Layer:
    """Of one layer with weights, in the order of the forward pass: parameters, and multiplications for one crop."""

    parameters: int
    macs: int


def ring_seconds(size: float, ranks: int, link: Link) -> float:
    """An all-reduce of `size` bytes."""
    return 2 * (ranks - 1) / ranks * size / link.bandwidth + 2 * (ranks - 1) * link.latency


def exposed_seconds(
    layers: Sequence[Layer], backward: float, width: int, bucket: float, ranks: int, link: Link
) -> float:
    """Seconds that the gradients' messages go on after the backward pass of `backward` seconds.

    Args:
        layers: in the order of the forward pass.
        backward: seconds, shared among the layers by their multiplications.
        width: bytes that are sent for a gradient, 4 or 2.
        bucket: bytes of gradients in float32 that are sent together.
        ranks: how many.
        link: between them.
    """
    macs = max(sum(layer.macs for layer in layers), 1)
    now = sent = waiting = 0.0
    for number, layer in enumerate(reversed(layers)):
        now += backward * layer.macs / macs
        waiting += layer.parameters
        if waiting * 4 >= bucket or number == len(layers) - 1:
            sent = max(now, sent) + ring_seconds(waiting * width, ranks, link)
            waiting = 0
    return max(0.0, sent - backward)


def layers_of(name: str, size: int) -> list[Layer]:
    """The layers of a network of 70 points on colour crops of `size` pixels."""
    import torch
    from torch import nn

    from fakeit.model.networks import NetworkConfig, build, parameter_count

    network = build(NetworkConfig(name=name), 70, 3, size).eval()
    found: list[Layer] = []

    def count(module: nn.Module, _: object, output: torch.Tensor) -> None:
        weight, own = module.weight, sum(p.numel() for p in module.parameters(recurse=False))
        found.append(Layer(own, 0 if weight.ndim < 2 else output[0].numel() * weight[0].numel()))

    for module in network.modules():
        if any(True for _ in module.parameters(recurse=False)) and hasattr(module, "weight"):
            module.register_forward_hook(count)
    with torch.inference_mode():
        network(torch.zeros(1, size, size, 3, dtype=torch.uint8))
    left = parameter_count(network) - sum(layer.parameters for layer in found)
    assert 0 <= left < 1000, f"{name}: {left} parameters in no layer that was seen"
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="*", default=None)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=64, help="crops a GPU")
    parser.add_argument("--ranks", type=int, default=WORLD)
    parser.add_argument("--tflops", type=float, default=60.0, help="sustained in bf16: an A100 on ResNet-50")
    parser.add_argument("--tflops-depthwise", type=float, default=10.0)
    parser.add_argument("--bucket-mb", type=float, default=25.0)
    given = parser.parse_args()
    from fakeit.model.networks import NETWORKS

    print("| network | parameters | message, bf16 | step | " + " | ".join(link.name for link in LINKS) + " |")
    print("|---|---|---|---|" + "---|" * len(LINKS))
    rows = []
    for name in given.networks or NETWORKS:
        layers = layers_of(name, given.size)
        parameters, macs = sum(layer.parameters for layer in layers), sum(layer.macs for layer in layers)
        rate = 1e12 * (given.tflops_depthwise if name in DEPTHWISE else given.tflops)
        step = 6 * macs * given.batch / rate
        row: dict[str, object] = {"network": name, "parameters": parameters, "gmacs": round(macs / 1e9, 3)}
        row["step_ms"] = round(step * 1e3, 2)
        cells = []
        for link in LINKS:
            ring = ring_seconds(parameters * 2, given.ranks, link)
            left = [
                exposed_seconds(layers, step * 2 / 3, width, given.bucket_mb * 1e6, given.ranks, link)
                for width in (4, 2)
            ]
            wide, narrow = (step / (step + seconds) for seconds in left)
            row[link.name] = {"ring_ms": round(ring * 1e3, 2), "float32": round(wide, 3), "bf16": round(narrow, 3)}
            cells.append(f"{ring * 1e3:.3g} ms: {wide:.2f} · **{narrow:.2f}**")
        rows.append(row)
        print(f"| {name} | {parameters / 1e6:.2f} M | {parameters * 2 / 1e6:.1f} MB | {step * 1e3:.2g} ms | "
              + " | ".join(cells) + " |", flush=True)  # fmt: skip
    print(json.dumps({"ring_model": rows}))


if __name__ == "__main__":
    main()
