#!/usr/bin/env bash
# Every figure that needs a GPU, in one go of about ten minutes, after `make setup GPU=1`:
#   benchmarks/gpu.sh OUTPUT [DATASET]
# Tables go to OUTPUT/*.log; with a DATASET (of jobs/preprocess.py) also bf16 beside float32, curve by curve.
# DEVICE=cpu goes through the same motions without a GPU. PAGES=all goes on to every page of comparisons at full scale, hours
# (benchmarks/comparisons.sh OUTPUT/pages; arguments after DATASET, as --photographs AFW:300w=DIR, go there).
set -uo pipefail
[ $# -ge 1 ] || { sed -n '2,6s/^# //p' "$0"; exit 2; }
output=$1 dataset=${2:-} device=${DEVICE:-cuda} size=${SIZE:-128} batch=${BATCH:-256} seconds=${SECONDS_EACH:-3}
cd "$(dirname "$0")/.." && mkdir -p "$output" && output=$(realpath "$output")
python=.venv/bin/python failed=0
part() {  # NAME COMMAND...: shown and kept; a part that fails does not take the others with it
    echo "== $1"
    "${@:2}" 2>&1 | tee "$output/$1.log" || { echo "== $1 failed"; failed=1; }
}
step=("$python" benchmarks/train_step.py --device "$device" --size "$size" --batch "$batch" --seconds "$seconds" --scaling)
few=(--networks resnet_lean mobilenet_v2 resnet18)
if [ "$device" = cuda ]; then
    part machine nvidia-smi
    part tests "$python" -m pytest -m gpu
fi
part bf16_resident "${step[@]}" --precision bf16 --resident --plain
part bf16_streaming "${step[@]}" --precision bf16 "${few[@]}"
part float32_resident "${step[@]}" --resident "${few[@]}"
part compiled "${step[@]}" --precision bf16 --resident --compile "${few[@]}"
part augmented "${step[@]}" --precision bf16 --resident --augment "${few[@]}"
if [ -n "$dataset" ]; then
    train=(jobs/train.py --config conf/train/resnet18.toml --dataset "$dataset" --set train.epochs=3 --set train.precision=bf16
        --set data.resident=true --set data.batch_size="$batch" --set data.batch_per='"rank"' --set 'tracking.uri=""')
    ranks=$(nvidia-smi -L 2>/dev/null | grep -c . || true)
    part one_rank "$python" "${train[@]}" --output "$output/one"
    part horovod .venv/bin/horovodrun -np "${ranks/#0/1}" "$python" "${train[@]}" --output "$output/horovod"
    part curves "$python" jobs/compare.py --config conf/compare/precision.toml --dataset "$dataset" \
        --output "$output/comparisons" --set seeds='[1]' --set budget.epochs="${EPOCHS:-10}"
    part report "$python" jobs/report.py --comparison precision --comparisons "$output/comparisons" --no-faces
fi
[ "${PAGES:-}" != all ] || PAGES="" benchmarks/comparisons.sh "$output/pages" "${@:3}" || failed=1
exit $failed
