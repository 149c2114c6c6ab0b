#!/usr/bin/env python
"""Trained models → one table of the competition's RMSE on the same test pictures, each label source apart."""

from __future__ import annotations

import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from fakeit.jobs.cli import Parser, run

EXAMPLE = """example:
  python jobs/kaggle_table.py --input KAGGLE --solution KAGGLE/solution.csv --run baseline runs/a/checkpoints/best.pt \\
      --run generalised runs/b/checkpoints/best.pt --run both runs/a/checkpoints/best.pt,runs/b/checkpoints/best.pt"""


def main(arguments: argparse.Namespace) -> None:
    from fakeit.model.kaggle.ensemble import open_member
    from fakeit.model.kaggle.submission import LABELS, mean_points, score, score_by_labels, submit, test_points
    from fakeit.pipelines.sources.kaggle_tables import member, read_lookup

    lookup_file = member(arguments.input, "IdLookupTable.csv")
    lookup = read_lookup(lookup_file)
    test_file = member(arguments.input, "test.csv")
    print("| model | RMSE, px of 96 | pictures with 15 points | with 4 |\n|---|---|---|---|")
    for name, files in [("mean of the training points", ""), *arguments.run]:
        if files:
            members = [open_member(file, flip=arguments.flip) for file in files.split(",")]
            points = test_points(members, test_file)
        else:
            points = mean_points(arguments.input)
        submission = submit(points, lookup, lookup_file)
        apart = score_by_labels(submission, arguments.solution, lookup)
        cells = [score(submission, arguments.solution), *(apart.get(label, float("nan")) for label in LABELS)]
        print(f"| {name} | " + " | ".join(f"{value:.2f}" for value in cells) + " |", flush=True)


def parser() -> Parser:
    p = Parser(description=__doc__, epilog=EXAMPLE)
    p.add_argument("--input", required=True, help="folder of the competition's files")
    p.add_argument("--solution", required=True, help="true values in the form of a submission")
    p.add_argument("--run", nargs=2, action="append", default=[], metavar=("NAME", "MODELS"),
                   help="a name, and a model (MODEL or MODEL=ADAPTER) or several with commas: their mean")  # fmt: skip
    p.add_argument("--flip", action="store_true", help="also ask about the mirrored picture")
    return p


if __name__ == "__main__":
    run(main, parser())
