#!/usr/bin/env bash
# Makes the virtual environment, with Python 3.11, or says in one line what is missing.
#   scripts/venv.sh VENV        PYTHON=/path/to/python3.11 chooses another interpreter
set -euo pipefail
venv=$1
fail() { echo "error: $*" >&2; exit 2; }
is_311() { "$1" -c 'import sys; raise SystemExit(sys.version_info[:2] != (3, 11))' >/dev/null 2>&1; }

[ ! -x "$venv/bin/python" ] || ! is_311 "$venv/bin/python" || exit 0
python=
for candidate in ${PYTHON:-python3.11 python3 python}; do
    if is_311 "$candidate"; then python=$candidate; break; fi
done
[ -n "$python" ] || fail "Python 3.11 is missing (tried: ${PYTHON:-python3.11, python3, python}); install it, or: make setup PYTHON=/path/to/python3.11"
"$python" -c 'import ensurepip, venv' 2>/dev/null || fail "$python has no venv module; install it (Debian: apt install python3.11-venv)"
command -v c++ >/dev/null || command -v g++ >/dev/null ||
    fail "no C++ compiler (c++, g++); Horovod is compiled here: install one (Debian: apt install g++)"
rm -rf "$venv"
"$python" -m venv "$venv"
