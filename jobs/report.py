#!/usr/bin/env python
"""The page of a comparison that jobs/compare.py ran: report.html, report.md and pictures, from its folder alone."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from fakeit.jobs.cli import Parser, run

EXAMPLE = """example:
  python jobs/report.py --comparison architectures --output docs/results/architectures"""


def main(arguments: argparse.Namespace) -> None:
    from fakeit.model.comparison.report import write_report

    output = Path(arguments.output) if arguments.output else None
    for path in write_report(Path(arguments.comparisons) / arguments.comparison, output, not arguments.no_faces):
        print(f"{path}: written")


def parser() -> Parser:
    p = Parser(description=__doc__, epilog=EXAMPLE)
    p.add_argument("--comparison", required=True, metavar="NAME", help="the name in its conf")
    p.add_argument("--comparisons", default="comparisons", metavar="DIR", help="folder of comparisons")
    p.add_argument("--output", metavar="DIR", help="where the page goes (default: into the comparison's folder)")
    p.add_argument("--no-faces", action="store_true", help="no test faces, where they must not be passed on")
    return p


if __name__ == "__main__":
    run(main, parser())
