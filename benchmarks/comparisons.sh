#!/usr/bin/env bash
# Every page of comparisons from nothing, in one call: renders faces, cuts crops, trains, judges, writes. Cut it anywhere
# and start it again: what is done is not done again. Real faces are named as for jobs/compare.py:
#   benchmarks/comparisons.sh OUTPUT [--photographs AFW:300w=DIR] [--real YTF:youtube_faces=DIR] …
# FACES=110000 as many are rendered · PAGES="dataset_sizes mixing" these pages only · RENDER=1 the renderer's ingredients too
# SCALE=reduced_ the pages that one CPU core can (FACES=27000 is enough) · WORKERS=N trainings side by side, each on its own
# cores or GPU (default: one a GPU, else one)
set -uo pipefail
[ $# -ge 1 ] && [ "${1#-}" = "$1" ] || { sed -n '2,7s/^# //p' "$0"; exit 2; }
output=$1 faces=${FACES:-110000} scale=${SCALE:-} failed=0
shift
cd "$(dirname "$0")/.." && mkdir -p "$output" && output=$(realpath "$output")
python=${FAKEIT_VENV:-.venv}/bin/python cores=$(nproc) gpus=$(nvidia-smi -L 2>/dev/null | grep -c . || true)
workers=${WORKERS:-$((gpus > 0 ? gpus : 1))}
sizes=$([ -n "$scale" ] && echo reduced_steps || echo dataset_sizes)
variants=$([ -n "$scale" ] && echo reduced_variants || echo xception_variants)
pages=${PAGES:-$sizes ${scale}mixing ${scale}ingredients ${scale}architectures $variants}
export MLFLOW_TRACKING_URI=${MLFLOW_TRACKING_URI:-sqlite:///$output/mlflow.db}

dataset=$output/dataset-$faces
if [ ! -e "$dataset/manifest.json" ]; then
    "$python" jobs/synthesize.py --count "$faces" --size 192 --folders --seed 1 --workers "$cores" --output "$output/faces-$faces" &&
        "$python" jobs/preprocess.py --config conf/preprocess/box.toml --input "$output/faces-$faces" --output "$dataset" \
            --set source.options.dense=true --set crop.size=128 --workers "$cores" --resume || exit 1
fi
for page in $pages; do
    "$python" jobs/compare.py --config "conf/compare/$page.toml" --dataset "$dataset" --output "$output" --workers "$workers" "$@" || {
        code=$? failed=1
        echo "== $page: exit $code" >&2
        [ $code -lt 128 ] || exit $code # it was cut
    }
done
[ -z "${RENDER:-}" ] || "$python" benchmarks/ingredients.py --output "$output/render" --workers "$cores" "$@" || failed=1
exit $failed
