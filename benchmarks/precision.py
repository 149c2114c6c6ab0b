#!/usr/bin/env python
"""bf16 beside float32 on this processor: images/s of forward and backward of each network, timed as `train.precision =
"auto"` times them (in turns, the best step of each), only longer. Last line: JSON."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from fakeit.model.networks import NetworkConfig  # noqa: E402
from fakeit.model.training import precision  # noqa: E402
from fakeit.pipelines.faces.crop import CropConfig  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=["resnet_lean", "resnet18", "mobilenet_v2", "lenet"])
    parser.add_argument("--size", type=int, default=80)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    precision.SECONDS = options.seconds
    crop, found = CropConfig(size=options.size), {}
    print(f"bf16 arithmetic: {precision.has_bf16_arithmetic()}\n{'network':16}{'float32':>9}{'bf16':>9}{'ratio':>7}")
    for name in options.networks:
        plain, half = precision.rates(NetworkConfig(name=name, width=options.width), 70, crop, options.batch)
        print(f"{name:16}{plain:9,.0f}{half:9,.0f}{half / plain:7.2f}", flush=True)
        found[name] = {"float32": plain, "bf16": half}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
