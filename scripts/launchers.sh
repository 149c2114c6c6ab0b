#!/usr/bin/env bash
# Puts horovodrun and torchrun into an environment in the form whose servers listen on one interface only.
#   scripts/launchers.sh VENV         model/distributed/launchers.py says why
set -euo pipefail
venv=$(cd "$1" && pwd)
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
for name in horovodrun torchrun; do
    cat >"$venv/bin/$name.new" <<SHIM
#!$venv/bin/python
import sys

sys.path.insert(0, "$root")
from fakeit.model.distributed.launchers import command

if __name__ == "__main__":  # Horovod starts ranks through processes that import this file anew
    command(["$name", *sys.argv[1:]])
SHIM
    chmod +x "$venv/bin/$name.new"
    mv "$venv/bin/$name.new" "$venv/bin/$name"
done
