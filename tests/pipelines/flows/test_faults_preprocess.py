"""Preprocessing while processes are killed and disks fill up: what comes out equals a run that nobody disturbed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from fakeit.pipelines.store import manifest as manifests
from tests.pipelines.flows.test_preprocess import write_faces

ROOT = Path(__file__).resolve().parents[3]
SMALL = ("crop.size=64", "store.rows_per_shard=16", "augment.variants=2")


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_faces(tmp_path_factory.mktemp("faces"), 150)


@pytest.fixture(scope="module")
def clean(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> manifests.Manifest:
    dataset = tmp_path_factory.mktemp("clean") / "d"
    done = subprocess.run(_command(faces, dataset, "--workers", "0"), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return manifests.load(str(dataset))


def _command(faces: Path, dataset: Path, *more: str, set: tuple[str, ...] = SMALL) -> list[str]:
    conf = ["--config", "conf/preprocess/face_synthetics.toml", *(word for key in set for word in ("--set", key))]
    return [sys.executable, "jobs/preprocess.py", *conf, "--input", str(faces), "--output", str(dataset), *more]


def _wait_for_shards(dataset: Path, count: int, job: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 120
    while len(list(dataset.glob("_tasks/*.json"))) < count and time.monotonic() < until and job.poll() is None:
        time.sleep(0.02)


@pytest.mark.fault
def test_a_killed_job_goes_on_where_it_was(faces: Path, clean: manifests.Manifest, tmp_path: Path) -> None:
    job = subprocess.Popen(_command(faces, tmp_path / "d", "--workers", "1"), cwd=ROOT, stderr=subprocess.DEVNULL)
    _wait_for_shards(tmp_path / "d", 3, job)
    workers = psutil.Process(job.pid).children(recursive=True)
    job.kill()
    job.wait()
    assert not (tmp_path / "d" / manifests.NAME).exists()
    gone, alive = psutil.wait_procs(workers, timeout=30)
    assert not alive, "its workers outlive it"
    told = {p.stem.replace("-", "/", 1): p for p in (tmp_path / "d/_tasks").glob("*.json")}
    stood = {name: Path(tmp_path / "d", json.loads(p.read_text())["attempt"]).stat() for name, p in told.items()}
    assert 0 < len(stood) < len(clean.shards)
    command = _command(faces, tmp_path / "d", "--workers", "0", "--resume")
    assert subprocess.run(command, cwd=ROOT, capture_output=True).returncode == 0
    assert manifests.load(str(tmp_path / "d")).digest == clean.digest
    for name, was in stood.items():  # a shard whose result stood was not made again
        now = (tmp_path / "d" / f"{name}.parquet").stat()
        assert (now.st_ino, now.st_mtime_ns) == (was.st_ino, was.st_mtime_ns)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("a small disk needs the right to mount a tmpfs")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.fault
def test_a_full_disk_is_told_and_the_job_goes_on_after(
    faces: Path, clean: manifests.Manifest, small_disk: Path
) -> None:
    full = subprocess.run(_command(faces, small_disk / "d", "--workers", "0"), cwd=ROOT, capture_output=True, text=True)
    assert full.returncode == 2 and "Traceback" not in full.stderr
    assert "No space left on device; shards that stand are kept, go on with --resume" in full.stderr
    assert not (small_disk / "d" / manifests.NAME).exists() and not list(small_disk.rglob("*.tmp"))
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    again = _command(faces, small_disk / "d", "--workers", "0", "--resume")
    assert subprocess.run(again, cwd=ROOT, capture_output=True).returncode == 0
    assert manifests.load(str(small_disk / "d")).digest == clean.digest


def _submit(master: str, faces: Path, dataset: Path, *settings: str) -> subprocess.Popen[str]:
    options = [word for setting in settings for word in ("--conf", setting)]
    job = _command(faces, dataset)[1:]
    command = [str(ROOT / "spark-submit.sh"), "--master", master, *options, *job]
    variables = os.environ | {"SPARK_LOCAL_IP": "127.0.0.1"}
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=variables
    )


def _victims(job: subprocess.Popen[str], word: str) -> list[psutil.Process]:
    """The job's processes, at any depth, whose command line holds `word`."""
    found = []
    for process in psutil.Process(job.pid).children(recursive=True):
        try:
            if any(word in part for part in process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def _hunt(job: subprocess.Popen[str], dataset: Path, word: str, kills: int, patience: float = 270) -> int:
    """Kills one process with `word` in its command after every further shard; how many were killed in `patience` s."""
    killed, until = 0, time.monotonic() + patience
    while job.poll() is None and killed < kills and time.monotonic() < until:
        _wait_for_shards(dataset, killed + 1, job)
        for process in _victims(job, word)[-1:]:
            try:
                process.send_signal(signal.SIGKILL)
                process.wait(10)
                killed += 1
            except psutil.Error:
                pass
        time.sleep(0.05)
    return killed


@pytest.mark.fault
@pytest.mark.spark
def test_spark_workers_killed(faces: Path, clean: manifests.Manifest, tmp_path: Path) -> None:
    """Python workers of a local Spark: three are killed, their tasks run again."""
    job = _submit("local[2,50]", faces, tmp_path / "d")
    killed = _hunt(job, tmp_path / "d", "pyspark.daemon", 3)
    output, _ = job.communicate(timeout=200)
    assert job.returncode == 0, output[-2000:]
    assert killed >= 1 and manifests.load(str(tmp_path / "d")).digest == clean.digest


@pytest.mark.fault
@pytest.mark.slow
@pytest.mark.spark
@pytest.mark.timeout(1500)
def test_executors_killed_twenty_times(tmp_path: Path) -> None:
    """Whole executors (Java and Python) of a cluster of two: twenty times in one run, SIGKILL."""
    faces = write_faces(tmp_path / "faces", 400)
    alone = _command(faces, tmp_path / "alone", "--workers", "0")
    assert subprocess.run(alone, cwd=ROOT, capture_output=True).returncode == 0
    job = _submit(
        "local-cluster[2,1,1024]", faces, tmp_path / "d",
        "spark.task.maxFailures=200", "spark.deploy.maxExecutorRetries=-1", "spark.executor.memory=512m",
        "spark.speculation=true", "spark.executor.maxNumFailures=200", "spark.excludeOnFailure.enabled=false",
    )  # fmt: skip
    killed = _hunt(job, tmp_path / "d", "CoarseGrainedExecutorBackend", 20, 900)  # each starts a JVM anew
    output, _ = job.communicate(timeout=300)
    assert job.returncode == 0, output[-2000:]
    print(f"{killed} executors killed")
    assert killed == 20
    left, right = manifests.load(str(tmp_path / "alone")), manifests.load(str(tmp_path / "d"))
    assert left.digest == right.digest
    manifests.verify(str(tmp_path / "d"), right.shards, hashes=True)
