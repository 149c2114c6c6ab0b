#!/usr/bin/env bash
# Makes the virtual environment, or says in one line what is missing.
#   scripts/venv.sh VENV [classic|modern]        PYTHON=/path/to/python chooses another interpreter
# The classic set of versions exists for Python 3.11 only; the modern one takes 3.11 to 3.13, and needs no compiler.
set -euo pipefail
venv=$1 stack=${2:-classic}
fail() { echo "error: $*" >&2; exit 2; }
[ "$stack" = modern ] && wanted="3.11 to 3.13" last=13 known="python3.12 python3.11 python3.13 python3 python" ||
    { wanted=3.11 last=11 known="python3.11 python3 python"; }
fits() { "$1" -c "import sys; raise SystemExit(not (3, 11) <= sys.version_info[:2] <= (3, $last))" >/dev/null 2>&1; }

[ ! -x "$venv/bin/python" ] || ! fits "$venv/bin/python" || exit 0
python=
for candidate in ${PYTHON:-$known}; do
    if fits "$candidate"; then python=$candidate; break; fi
done
[ -n "$python" ] || fail "Python $wanted is missing (tried: ${PYTHON:-${known// /, }}); install it, or: make setup PYTHON=/path/to/python3.11"
"$python" -c 'import ensurepip, venv' 2>/dev/null || fail "$python has no venv module; install it (Debian: apt install python3-venv)"
[ "$stack" = modern ] || command -v c++ >/dev/null || command -v g++ >/dev/null ||
    fail "no C++ compiler (c++, g++); Horovod is compiled here: install one (Debian: apt install g++)"
rm -rf "$venv"
"$python" -m venv "$venv"
