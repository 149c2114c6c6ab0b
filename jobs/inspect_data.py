#!/usr/bin/env python
"""What a source of faces holds: counts, gaps, sizes, near duplicates, doubtful annotations, and pictures of them; or
what a prepared dataset holds, with the hashes of its shards and the schema that Petastorm would run."""

from __future__ import annotations

import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from fakeit.jobs.cli import Parser, at_least, run

NEEDS = ()  # the base is enough
EXAMPLE = """example:
  python jobs/inspect_data.py 300w 300W --output inspected
  python jobs/inspect_data.py kaggle KAGGLE --output inspected --limit 2000
  python jobs/inspect_data.py dataset DATASET --safe      # a stranger's: nothing of it is run"""


def main(arguments: argparse.Namespace) -> None:
    if arguments.kind == "dataset":
        from fakeit.pipelines.store.inspection import describe

        print(
            describe(
                os.path.abspath(arguments.input) if "://" not in arguments.input else arguments.input, arguments.safe
            )
        )
        return
    from fakeit.pipelines.config import key_values
    from fakeit.pipelines.flows.inspection import inspect
    from fakeit.pipelines.machine import runners
    from fakeit.pipelines.sources import open_source

    source = open_source(arguments.kind, arguments.input, **key_values(arguments.option))
    inspection = inspect(source, runners.in_processes(arguments.workers), arguments.limit)
    print(inspection.text())
    for path in inspection.draw(arguments.output):
        print(f"picture: {path}")


def parser() -> Parser:
    p = Parser(description=__doc__, epilog=EXAMPLE)
    p.add_argument(
        "kind", metavar="SOURCE", help="face_synthetics, 300w, 300vw, wflw, mmlab, kaggle, ffhq, folder, …; or dataset"
    )
    p.add_argument("input", metavar="PATH", help="where its files are")
    p.add_argument("--output", default="inspected", help="folder for the pictures (default: inspected)")
    p.add_argument("--limit", type=at_least(0), default=0, help="look at so many, evenly spread (default: all)")
    p.add_argument("--workers", type=at_least(0), default=0, help="processes beside this one (default 0)")
    p.add_argument("--safe", action="store_true", help="dataset: do not let Petastorm open it after it was looked at")
    p.add_argument("--option", action="append", default=[], metavar="KEY=VALUE", help="an option of the source")
    return p


if __name__ == "__main__":
    run(main, parser(), NEEDS)
