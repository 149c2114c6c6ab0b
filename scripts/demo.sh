#!/usr/bin/env bash
# The whole road, once, in ./demo: faces → Spark → Parquet → Horovod → MLflow → points on pictures, and a table of what came out.
#   scripts/demo.sh [DATA]      DATA: a folder or .zip in the Face Synthetics layout; without it, faces are rendered
#   DEMO_FACES=N renders N faces (default 400); DEMO_EPOCHS=N trains so long
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
data=${1:-} bin=${FAKEIT_VENV:-$PWD/.venv}/bin out=demo model=demo/run/checkpoints/best.pt
export PATH="$bin:$PATH"
[ -z "$data" ] || [ -e "$data" ] || { echo "error: DATA=$data: no such folder" >&2; exit 2; }
step() { printf '\n\033[1m%s\033[0m\n' "$*"; }
clock() { date +%s; }
began=$(clock)
mkdir -p "$out"
rm -rf "$out"/{run,drawn,drawn_box} "$out"/predictions*.csv

if [ -z "$data" ]; then
    data=$out/faces
    step "1 · rendering faces"
    rm -rf "$data"
    python jobs/synthesize.py --count "${DEMO_FACES:-400}" --size 256 --output "$data" --seed 1
else
    step "1 · faces from $data"
fi
rendered=$(clock)

step "2 · Spark: faces → crops, augmented → Petastorm Parquet"
./spark-submit.sh jobs/preprocess.py --config conf/preprocess/face_synthetics.toml --input "$data" --output "$out/dataset" --overwrite
prepared=$(clock)

command -v horovodrun >/dev/null && ranks=(horovodrun -np 2 python) || ranks=(torchrun --nproc-per-node 2)
step "3 · ${ranks[0]}: two processes train a small network, MLflow keeps the record"
rows=$(python -c 'import sys; from fakeit.pipelines.store import manifest; print(manifest.load(sys.argv[1]).rows("train"))' "$out/dataset")
epochs=${DEMO_EPOCHS:-$((rows > 0 && 15600 / rows > 12 ? 15600 / rows : 12))} # few faces are seen more often
python -m fakeit.model.distributed.launchers "${ranks[@]}" jobs/train.py --config conf/train/demo.toml --set train.epochs="$epochs" --dataset "$out/dataset" --output "$out/run"
trained=$(clock)

step "4 · points on pictures that training has not seen (the test split): this model, and the one in the box"
unseen=$(python - "$data" "$out/dataset" <<'PY'
import sys
from fakeit.pipelines.files.storage import join_member
from fakeit.pipelines.store import manifest, shards

data, dataset = sys.argv[1:]
made = manifest.load(dataset)
rows = [shards.read_shard(f"{dataset}/{shard.path}", made.shape) for shard in made.of("test")]
print(*sorted(join_member(data, f"{name}.png") for part in rows for name in set(part["image_id"]))[:24], sep="\n")
PY
)
python jobs/predict.py --model "$model" --images - --output "$out/predictions.csv" --draw "$out/drawn" <<<"$unseen"
python jobs/predict.py --images - --output "$out/predictions_box.csv" --draw "$out/drawn_box" <<<"$unseen"
ended=$(clock)

step "done in $((ended - began)) s"
row() { printf '  %-28s %s\n' "$@"; }
row "faces ($((rendered - began)) s)" "$data"
row "dataset ($((prepared - rendered)) s)" "$out/dataset"
row "model ($((trained - prepared)) s)" "$model"
row "predictions ($((ended - trained)) s)" "$out/predictions.csv"
row "pictures, $(find "$out/drawn" -type f | wc -l) of them" "$(find "$out/drawn" -type f | sort | head -3 | paste -sd' ') …"
row "… of the model in the box" "$out/drawn_box"
echo
echo "next: MLFLOW_DISABLE_TELEMETRY=true ${bin#"$PWD"/}/mlflow ui --backend-store-uri sqlite:///mlflow.db"
