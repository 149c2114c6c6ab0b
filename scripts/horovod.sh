#!/usr/bin/env bash
# Installs Horovod, compiled against the torch that is in the environment, from a cache of wheels where it can.
#   scripts/horovod.sh VENV cpu|gpu
# Horovod publishes no wheels and its C++ depends on torch's, so the wheel is kept under a name that says all it is tied to.
set -euo pipefail
version=0.28.1
venv=$1 flavour=$2
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export PATH="$venv/bin:$PATH"
fail() { echo "error: $*" >&2; exit 2; }

# pinned install|download NAME [OPTIONS]: the file whose SHA-256 stands in requirements-build.lock, and no other.
pinned() { pip "$1" -qq --no-deps --require-hashes "${@:3}" -r <(grep "^$2==" "$root/requirements-build.lock"); }

torch=$(python -c 'from importlib.metadata import version; print(version("torch"))')
key="horovod-$version-torch$torch-py$(python -c 'import sys; print("%d.%d" % sys.version_info[:2])')-$flavour-$(uname -m)"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/fakeit/$key"

build() {
    command -v c++ >/dev/null || command -v g++ >/dev/null ||
        fail "no C++ compiler (c++, g++): Horovod is compiled here; install g++ (Debian: apt install g++)"
    python -c 'import os, sysconfig; raise SystemExit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' ||
        fail "Python.h is missing for $(command -v python): install Python's headers (Debian: apt install python3.11-dev)"
    # gloo inside Horovod declares a CMake so old that CMake 4 refuses it.
    cmake --version 2>/dev/null | grep -q 'version 3\.' || pinned install cmake

    local work
    work=$(mktemp -d)
    # shellcheck disable=SC2064
    trap "rm -rf '$work'" EXIT
    [ "$flavour" = cpu ] || with_nccl "$work"
    pinned download horovod --no-cache-dir --no-build-isolation --no-binary horovod -d "$work"
    tar -xzf "$work/horovod-$version.tar.gz" -C "$work"
    # torch's headers need C++17; Horovod says 14, in two places. Release instead of RelWithDebInfo: half the time, a tenth of the size.
    sed -i 's/CMAKE_CXX_STANDARD 14/CMAKE_CXX_STANDARD 17/' "$work/horovod-$version/CMakeLists.txt" "$work/horovod-$version/horovod/torch/CMakeLists.txt"
    sed -i "s/'RelWithDebInfo'/'Release'/" "$work/horovod-$version/setup.py"

    export HOROVOD_WITH_PYTORCH=1 HOROVOD_WITHOUT_TENSORFLOW=1 HOROVOD_WITHOUT_MXNET=1
    export HOROVOD_WITH_GLOO=1 HOROVOD_WITHOUT_MPI=1 MAKEFLAGS="-j$(nproc)"
    echo "compiling Horovod $version against torch $torch ($flavour): one to three minutes, once"
    pip wheel --no-cache-dir --no-build-isolation --no-deps "$work/horovod-$version" -w "$work/wheel" >"$work/log" 2>&1 ||
        { tail -40 "$work/log" >&2; fail "Horovod did not compile; the compiler's last words are above"; }
    mkdir -p "$cache"
    mv "$work"/wheel/horovod-*.whl "$cache/"
}

# CUDA from its toolkit; NCCL from the wheel that torch brings, whose library lacks the name that CMake looks for.
with_nccl() {
    local cuda="${CUDA_HOME:-/usr/local/cuda}" nccl
    [ -x "$cuda/bin/nvcc" ] || fail "GPU=1 needs CUDA's toolkit: no nvcc in $cuda/bin (set CUDA_HOME)"
    nccl=$(python -c 'import importlib.util as u; s = u.find_spec("nvidia.nccl"); print(s.submodule_search_locations[0] if s else "")' 2>/dev/null || true)
    [ -n "$nccl" ] || fail "GPU=1 needs a torch for CUDA: torch $torch came without nvidia-nccl"
    local has wants
    has=$("$cuda/bin/nvcc" --version | sed -n 's/.*release \([0-9]*\).*/\1/p')
    wants=$(python -c 'import torch; print((torch.version.cuda or "").split(".")[0])')
    [ "$has" = "$wants" ] || fail "torch $torch was made for CUDA $wants, $cuda is CUDA $has: set CUDA_HOME to a toolkit of CUDA $wants"
    mkdir -p "$1/nccl/lib"
    ln -s "$nccl/include" "$1/nccl/include"
    ln -s "$nccl"/lib/libnccl.so.2 "$1/nccl/lib/libnccl.so.2"
    ln -s libnccl.so.2 "$1/nccl/lib/libnccl.so"
    export CUDA_HOME="$cuda" PATH="$cuda/bin:$PATH"  # for torch, which tells CMake where the runtime is
    export HOROVOD_GPU_OPERATIONS=NCCL HOROVOD_CUDA_HOME="$cuda" HOROVOD_NCCL_HOME="$1/nccl" HOROVOD_NCCL_LINK=SHARED
}

ls "$cache"/horovod-*.whl >/dev/null 2>&1 || build
pip install -qq --no-deps --force-reinstall --no-index "$cache"/horovod-*.whl
mkdir -p "$venv/share/fakeit"
echo "$torch" >"$venv/share/fakeit/horovod-built-against"
