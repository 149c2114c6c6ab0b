#!/usr/bin/env python
"""A model, or several, on Kaggle's test.csv → submission.csv; with the true values also its score."""

from __future__ import annotations

import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from fakeit.jobs.cli import Parser, run

EXAMPLE = """example:
  python jobs/submit.py --model runs/kaggle/checkpoints/best.pt --input KAGGLE --output submission.csv
  python jobs/submit.py --model a.pt --model synthetic.pt=adapter.npz --input KAGGLE --output submission.csv"""


def main(arguments: argparse.Namespace) -> None:
    from fakeit.model.kaggle.ensemble import open_member, weighted
    from fakeit.model.kaggle.submission import score, score_by_labels, submit, test_points, write_submission
    from fakeit.pipelines.files.outputs import check_file
    from fakeit.pipelines.sources.kaggle_tables import member, read_lookup

    members = [open_member(text, flip=not arguments.no_flip) for text in arguments.model]
    if arguments.weight:
        members = weighted(members, arguments.weight)
    lookup_file = arguments.lookup or member(arguments.input, "IdLookupTable.csv")
    test_file = member(arguments.input, "test.csv")
    check_file(arguments.output, (test_file, lookup_file, arguments.solution, *arguments.model))
    lookup = read_lookup(lookup_file)
    points = test_points(members, test_file)
    submission = submit(points, lookup, lookup_file)
    write_submission(arguments.output, submission)
    print(f"{arguments.output}: {len(submission.values):,} rows for {len(points):,} pictures, ", end="")
    print(f"{submission.clipped} clipped to the picture")
    for line in submission.text().splitlines()[:5]:
        print(f"  {line}")
    if arguments.solution:
        print(f"RMSE {score(submission, arguments.solution):.4f} px of 96")
        for kind, value in score_by_labels(submission, arguments.solution, lookup).items():
            print(f"  pictures with {kind}: {value:.4f}")


def parser() -> Parser:
    p = Parser(description=__doc__, epilog=EXAMPLE)
    p.add_argument(
        "--model", action="append", required=True, metavar="MODEL[=ADAPTER]",
        help="a name (fakeit models), checkpoint or .onnx; again for an ensemble",
    )  # fmt: skip
    p.add_argument("--weight", action="append", type=float, metavar="W", help="of each model's vote, in their order")
    p.add_argument("--no-flip", action="store_true", help="do not ask about the mirrored picture too")
    p.add_argument("--input", required=True, help="folder with test.csv and IdLookupTable.csv")
    p.add_argument("--lookup", help="another IdLookupTable.csv")
    p.add_argument("--output", required=True, help="submission.csv to write")
    p.add_argument("--solution", help="true values in the form of a submission, where you have them")
    return p


if __name__ == "__main__":
    run(main, parser())
