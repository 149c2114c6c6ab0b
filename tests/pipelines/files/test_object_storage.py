"""Datasets from and to S3: a real server on loopback (moto), spoken to through fsspec and s3fs as on a cluster.

The locked environment has both; the test is skipped, saying so, where they are missing.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from fakeit.model.data.dataset import DatasetSpec, ShardedDataset
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.files import storage
from fakeit.pipelines.flows import preprocess as flow
from fakeit.pipelines.flows.preprocess_config import PreprocessConfig, SplitConfig, StoreConfig
from fakeit.pipelines.machine import runners
from fakeit.pipelines.store import manifest as manifests
from tests.pipelines.machine.test_cluster import draw_faces

ROOT = Path(__file__).resolve().parents[3]
CONFIG = PreprocessConfig(split=SplitConfig(0.2, 0.2), store=StoreConfig(rows_per_shard=8))


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """An empty bucket of a server that lives as long as these tests; its address and keys stand in the environment."""
    pytest.importorskip("s3fs", reason="needs s3fs (pip install s3fs)")
    server = pytest.importorskip("moto.server", reason="needs moto and flask (pip install moto[s3])")
    import boto3

    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    running = server.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    running.start()
    address = "http://127.0.0.1:{1}".format(*running.get_host_and_port())
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**keys, "AWS_ENDPOINT_URL": address, "NO_PROXY": "127.0.0.1"}.items():
            patch.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket="faces")
        yield "s3://faces"
        running.stop()


def test_from_s3_to_s3_and_into_training(bucket: str, tmp_path: Path) -> None:
    """The same digest as from disk to disk; a resumed run goes on; training reads the rows where they lie."""
    faces = draw_faces(tmp_path / "faces", 24)
    fs, _ = storage.file_system(bucket)
    fs.put(str(faces), "faces/in", recursive=True)
    here = flow.preprocess(CONFIG, str(faces), str(tmp_path / "out"), runners.in_processes(0)).manifest
    there = flow.preprocess(CONFIG, f"{bucket}/in", f"{bucket}/out", runners.in_processes(0)).manifest
    assert there.digest == here.digest and not [n for n in storage.list_files(f"{bucket}/out") if n.endswith(".tmp")]
    storage.remove(f"{bucket}/out/{here.shards[0].path}")
    again = flow.preprocess(CONFIG, f"{bucket}/in", f"{bucket}/out", runners.in_processes(0), "resume").manifest
    assert again.digest == here.digest
    manifests.verify(f"{bucket}/out", again.shards, hashes=True)
    held, wanted = (ShardedDataset([DatasetSpec(path)], "train") for path in (f"{bucket}/out", str(tmp_path / "out")))
    rows = np.arange(held.rows)
    images = [np.empty((held.rows, *wanted.shape.arrays()["image"][1]), np.uint8) for _ in range(2)]
    points = [data.gather(rows, into)[0] for data, into in zip((held, wanted), images, strict=True)]
    assert np.array_equal(*points) and np.array_equal(*images) and images[0].any()


def test_the_jobs_speak_s3(bucket: str, tmp_path: Path) -> None:
    """As a user types it, in processes of its own, with the address and keys from the environment."""
    fs, _ = storage.file_system(bucket)
    fs.put(str(draw_faces(tmp_path / "faces", 6)), "faces/typed", recursive=True)
    conf = ROOT / "conf" / "preprocess" / "face_synthetics.toml"
    command = [sys.executable, ROOT / "jobs" / "preprocess.py", "--config", conf, "--input", f"{bucket}/typed"]
    command += ["--output", f"{bucket}/made", "--workers", "2", "--set", "crop.size=32"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, env=dict(os.environ))
    assert done.returncode == 0, done.stderr[-2000:]
    fs.invalidate_cache()
    assert sum(s.images for s in manifests.load(f"{bucket}/made").shards) == 6


def test_a_missing_package_is_one_line() -> None:
    """Whichever store is asked for: the package is named, and nothing else is said."""
    for url, package in {"s3://b/f": "s3fs", "abfs://b/f": "adlfs", "gs://b/f": "gcsfs"}.items():
        if find_spec(package) is not None:
            continue
        with pytest.raises(FakeitError, match=package) as told:
            storage.list_files(url)
        assert "\n" not in str(told.value)
