#!/usr/bin/env python
"""Several trainings of one network → one network, the mean of their weights: it takes no more time than one of them.

    python tools/average_networks.py RUN_A/checkpoints/best.pt RUN_B/checkpoints/best.pt --output mean.pt

For trainings that went on from the same weights, by other faces, augmentation or seeds ("model soups", Wortsman et al.,
arXiv 2203.05482): what each has learnt of its own renders alone cancels out, and on photographs the mean is better than
the best of them (docs/LOG.md). The batch norms' statistics are averaged as the weights are.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import torch
from torch import Tensor

from fakeit.model.training import checkpoint
from fakeit.model.training.checkpoint import Checkpoint
from fakeit.pipelines.errors import FakeitError


def averaged(networks: Sequence[Checkpoint], names: Sequence[str]) -> Checkpoint:
    """The network whose weights are the mean of theirs. Raises FakeitError: they are not of one kind."""
    first = networks[0]
    for name, other in zip(names[1:], networks[1:], strict=True):
        for what in ("network", "crop", "scheme"):
            one, two = getattr(first, what), getattr(other, what)
            if one != two:
                raise FakeitError(f"{name}: its {what} is {two}, that of {names[0]} is {one}")
    states = [each.build().state_dict() for each in networks]
    return Checkpoint(
        first.network, first.crop, first.scheme, {key: _mean([s[key] for s in states]) for key in states[0]}
    )


def _mean(values: Sequence[Tensor]) -> Tensor:
    if not values[0].is_floating_point():  # how many batches a norm has seen
        return values[0]
    return torch.stack([value.double() for value in values]).mean(0).to(values[0].dtype)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help="checkpoints, or names of `fakeit models`; two or more")
    parser.add_argument("--output", required=True)
    arguments = parser.parse_args()
    if len(arguments.models) < 2:
        parser.error("a mean is of two or more")
    made = averaged([checkpoint.load(model) for model in arguments.models], arguments.models)
    checkpoint.write(made, arguments.output)
    print(f"{arguments.output}: the mean of {len(arguments.models)} networks")


if __name__ == "__main__":
    try:
        main()
    except FakeitError as error:
        raise SystemExit(f"error: {error}") from error
