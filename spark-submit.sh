#!/usr/bin/env bash
# spark-submit with this project's Python, Java, code and environment.
#   ./spark-submit.sh [--cluster NAME] [any option of spark-submit] JOB.py [the job's options]
# --cluster NAME takes conf/spark/NAME.conf (default: local) or a file of that form. Everything else is passed on.
# Away from this machine the executors get the code (--py-files) and a Python with its packages (--archives).
# SPARK_AUTH_SECRET is the secret of a standalone cluster (conf/spark/standalone.conf).
# SPARK_HOME chooses another Spark than the environment's; FAKEIT_VENV another environment than .venv (.venv-modern).
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
fail() { echo "error: $*" >&2; exit 2; }

cluster=local master='' more_code='' more_archives='' passed=()
while (($#)); do
    case $1 in --cluster | --master | --py-files | --archives) [ $# -ge 2 ] || fail "$1 needs a value" ;; esac
    case $1 in
        --cluster=* | --master=* | --py-files=* | --archives=* | --deploy-mode=*) set -- "${1%%=*}" "${1#*=}" "${@:2}"; continue ;;
        --cluster) cluster=$2; shift ;;
        --master) master=$2; passed+=("$1" "$2"); shift ;;
        --py-files) more_code=",$2"; shift ;;  # beside ours, not instead
        --archives) more_archives=",$2"; shift ;;
        *.py) passed+=("$@"); break ;;  # the job; what follows is the job's own
        *) passed+=("$1") ;;
    esac
    shift
done
if [ ${#passed[@]} -eq 0 ] || [[ " ${passed[*]} " == " --help " ]] || [[ " ${passed[*]} " == " -h " ]]; then
    sed -n '2,7s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
    exit $((${#passed[@]} == 0 ? 2 : 0))
fi

# Java takes the encoding of file names from the locale: without one, "größe" becomes "gr????e".
[ "$(locale charmap 2>/dev/null)" = UTF-8 ] || export LC_ALL=C.UTF-8

venv=${FAKEIT_VENV:-$root/.venv}
[ -n "${FAKEIT_VENV:-}" ] || [ -x "$venv/bin/python" ] || [ ! -x "$root/.venv-modern/bin/python" ] || venv=$root/.venv-modern
python="$venv/bin/python"
[ -x "$python" ] || fail "no environment at $venv; run: make setup"
conf="$root/conf/spark/$cluster.conf"
[ -f "$conf" ] || conf=$cluster
[ -f "$conf" ] || fail "no conf/spark/$cluster.conf; there are: $(cd "$root/conf/spark" && ls -- *.conf | sed 's/\.conf$//' | paste -sd' ')"
JAVA_HOME=$(cd "$root" && "$python" -m fakeit.pipelines.machine.environment java-home) || exit 2
export JAVA_HOME
export SPARK_HOME="${SPARK_HOME:-$(echo "$venv"/lib/python3.*/site-packages/pyspark)}"
export SPARK_CONF_DIR="${SPARK_CONF_DIR:-$root/conf/spark}"  # log4j2.properties: warnings and errors only

[ -n "$master" ] || master=$(awk '$1 == "spark.master" {print $2}' "$conf")
# A cluster of one's own has one secret for all; YARN and Kubernetes make one for each application.
if [[ $master == spark://* ]] && grep -q '^spark.authenticate  *true' "$conf"; then
    export _SPARK_AUTH_SECRET="${_SPARK_AUTH_SECRET:-${SPARK_AUTH_SECRET:-}}"
    [ -n "$_SPARK_AUTH_SECRET" ] || fail "$master is only spoken to with a secret: export SPARK_AUTH_SECRET, the one that its master and workers were started with (docs/cluster.md)"
fi
code=$(cd "$root" && "$python" -m fakeit.pipelines.machine.shipping code)
shipped=(--py-files "$code$more_code")
[ -z "$more_archives" ] || shipped+=(--archives "${more_archives#,}")
case ${master:-local} in
    local*)
        export PYSPARK_PYTHON="${PYSPARK_PYTHON:-$python}"
        ;;
    *)
        kind=environment ranks=()  # what preprocessing needs; a job that trains on executors takes torch and Horovod along
        if [[ " ${passed[*]} " == *" --launcher"[\ =]* ]]; then  # ranks begin together, and none may run twice
            kind=training ranks=(--conf spark.speculation=false --conf spark.dynamicAllocation.enabled=false)
        fi
        archive=$(cd "$root" && "$python" -m fakeit.pipelines.machine.shipping "$kind") || fail "the environment could not be packed"
        shipped=(--py-files "$code$more_code" --archives "$archive#environment$more_archives" "${ranks[@]}")
        export PYSPARK_PYTHON="./environment/bin/python"
        # In cluster mode the driver runs from the archive as well; in client mode it is this machine's.
        [[ " ${passed[*]} " == *" --deploy-mode cluster "* ]] || grep -q '^spark.submit.deployMode *cluster' "$conf" ||
            export PYSPARK_DRIVER_PYTHON="$python"
        ;;
esac
exec "$SPARK_HOME/bin/spark-submit" --properties-file "$conf" "${shipped[@]}" "${passed[@]}"
