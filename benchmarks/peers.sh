#!/usr/bin/env bash
# Installs what benchmarks/ingest.py compares with into FOLDER, beside the project's environment and not into it: their
# pins and ours exclude each other. Then: PYTHONPATH=FOLDER python benchmarks/ingest.py
set -euo pipefail
folder=${1:?usage: benchmarks/peers.sh FOLDER}
"$(dirname "$0")/../.venv/bin/pip" install --quiet --no-deps --target "$folder" \
    webdataset==1.0.2 braceexpand==0.1.7 mosaicml-streaming==0.13.0 transformers==4.57.6 huggingface_hub==0.36.2 \
    tokenizers==0.22.2 regex==2026.11.15 safetensors==0.8.0 xxhash==4.1.0 zstd==1.5.7.2 Brotli==1.2.1 \
    python-snappy==0.7.3 cramjam==2.14.0 catalogue==2.0.10 filelock==4.2.11
# streaming names torchvision when it is imported, and torchvision's wheel does not load beside a CPU torch.
mkdir -p "$folder/torchvision/transforms"
echo "class VisionDataset: ..." >"$folder/torchvision/datasets.py"
echo "def to_tensor(picture): raise NotImplementedError" >"$folder/torchvision/transforms/functional.py"
touch "$folder/torchvision/__init__.py" "$folder/torchvision/transforms/__init__.py"
