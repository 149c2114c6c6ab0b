#!/usr/bin/env python
"""What is installed and what is missing: packages, Java, GPU, the model in the box; what to run for the rest."""

from __future__ import annotations

import argparse
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from fakeit.jobs.cli import Parser, run

NEEDS = ()  # the base is enough
EXAMPLE = """examples:
  python jobs/doctor.py
  python jobs/doctor.py --json"""


def main(arguments: argparse.Namespace) -> int:
    from fakeit.model.inference.diagnosis import diagnose

    found = diagnose()
    print(json.dumps(found.as_dict(), indent=1) if arguments.json else found.text())
    return 0 if found.usable else 1


def parser() -> Parser:
    p = Parser(description=__doc__, epilog=EXAMPLE)
    p.add_argument("--json", action="store_true", help="for programs")
    return p


if __name__ == "__main__":
    run(main, parser(), NEEDS)
