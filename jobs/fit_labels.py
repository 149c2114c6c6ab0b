#!/usr/bin/env python
"""A network and the labelled pictures of Kaggle's training.csv → a label adapter: its points as the set marks them."""

from __future__ import annotations

import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from fakeit.jobs.cli import Parser, at_least, run

EXAMPLE = """example:
  python jobs/fit_labels.py --model synthetic.pt --input KAGGLE --output synthetic.adapter-kaggle15.npz --images 50
  python jobs/submit.py --model synthetic.pt=synthetic.adapter-kaggle15.npz --input KAGGLE --output submission.csv"""


def main(arguments: argparse.Namespace) -> None:
    from fakeit.model.kaggle.ensemble import fit_labels, open_member
    from fakeit.pipelines.files.outputs import check_file
    from fakeit.pipelines.sources import open_source
    from fakeit.pipelines.sources.kaggle_tables import member

    check_file(arguments.output, (member(arguments.input, "training.csv"), arguments.model))
    source = open_source("kaggle", arguments.input)
    least = arguments.min_points
    samples = [s for s in source.samples() if s.split == "train" and s.attributes.get("points", 0) >= least]
    if arguments.images:
        step = max(1, len(samples) // arguments.images)  # spread over the file, and so over both label sources
        samples = samples[::step][: arguments.images]
    adapter, left = fit_labels(open_member(arguments.model, flip=False), source, samples, "kaggle15")
    adapter.save(arguments.output)
    print(
        f"{arguments.output}: {adapter.source} to {adapter.target}, fitted on {len(samples)} pictures; "
        f"cross-validated, {100 * left:.0f} % of the error is left (strength {adapter.strength})"
    )
    print(f"next: python jobs/submit.py --model {arguments.model}={arguments.output} --input {arguments.input} …")


def parser() -> Parser:
    p = Parser(description=__doc__, epilog=EXAMPLE)
    p.add_argument("--model", required=True, help="a name (fakeit models), checkpoint or .onnx")
    p.add_argument("--input", required=True, help="folder with training.csv")
    p.add_argument("--output", required=True, help="adapter file (.npz) to write")
    p.add_argument("--images", type=at_least(0), default=0, help="use so many pictures (default: all)")
    p.add_argument("--min-points", type=int, default=1, help="use pictures with so many points at least")
    p.renamed("--least", "--min-points")
    return p


if __name__ == "__main__":
    run(main, parser())
