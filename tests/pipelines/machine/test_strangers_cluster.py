"""A Spark cluster as others have it: the workers are other users in another place, who can read neither this checkout
nor its environment; every Spark job, training included, runs there and gives what it gives at home.

It needs the right to be another user and to cover a folder (root with `unshare`), and is skipped elsewhere.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from fakeit.pipelines.machine import environment
from fakeit.pipelines.store import manifest
from tests.pipelines.machine.test_cluster import DAEMONS, ROOT, SECRET, Cluster, free_port, running, start
from tests.pipelines.sources.test_kaggle_source import write_set
from tests.tiny_dataset import make_dataset
from tests.train_job import losses

USERS = ("nobody", "daemon")  # of the two workers; every Linux has both
FACES = 8
CONF = ROOT / "conf"


def quick_storage() -> str | None:
    """Memory, where there is enough: each executor unpacks 1 to 2 GB of small files, which disks are slow to remove."""
    shm = Path("/dev/shm")
    room = shm.is_dir() and not os.statvfs(shm).f_flag & os.ST_NOEXEC and shutil.disk_usage(shm).free
    return str(shm) if room and min(room, psutil.virtual_memory().available) > 9e9 else None


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder that every user may enter and write in: the cluster's shared storage."""
    with tempfile.TemporaryDirectory("", "fakeit-strangers-", quick_storage(), ignore_cleanup_errors=True) as folder:
        for each in (Path(folder), Path(folder, "tmp")):
            each.mkdir(exist_ok=True)
            each.chmod(0o777)
        yield Path(folder)


@pytest.fixture(scope="module")
def strangers(place: Path) -> Iterator[Cluster]:
    """Master and two workers of one core each; each worker another user, who finds an empty folder in place of this
    checkout and of the environment that runs these tests."""
    import pyspark

    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode != 0:
        pytest.skip("needs root with the right to cover folders (unshare -m)")
    spark, empty = place / "spark", place / "empty"
    empty.mkdir()
    for name in ("bin", "jars", "python"):
        shutil.copytree(Path(pyspark.__file__).parent / name, spark / name)
    java = environment.java_home()
    covered = {Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve(), ROOT, (ROOT / ".venv").resolve()}
    if any(Path(java).resolve().is_relative_to(folder) for folder in covered):
        shutil.copytree(java, place / "java")
        java = place / "java"
    port, web = free_port(), free_port()
    master, log = f"spark://127.0.0.1:{port}", (place / "log").open("w")
    bare = {
        "PATH": "/usr/bin:/bin",
        "HOME": "/nonexistent",
        "JAVA_HOME": str(java),
        "SPARK_HOME": str(spark),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_LOCAL_DIRS": str(place / "tmp"),
        "SPARK_NO_DAEMONIZE": "1",
        "_SPARK_AUTH_SECRET": SECRET,
    }
    daemons = shutil.copy(DAEMONS, place / "daemons.properties")
    begin, package = str(spark / "bin" / "spark-class"), "org.apache.spark.deploy"
    here = ["--host", "127.0.0.1", "--properties-file", daemons]
    ports = ["--port", str(port), "--webui-port", str(web)]
    started = [start([begin, f"{package}.master.Master", *here, *ports], bare, log)]
    cover = " && ".join(f"mount --bind {empty} {folder}" for folder in sorted(covered, reverse=True))
    for user in USERS:
        account, work = pwd.getpwnam(user), place / f"work-{user}"
        work.mkdir()
        os.chown(work, account.pw_uid, account.pw_gid)
        worker = [begin, f"{package}.worker.Worker", *here, "--cores", "1", "--memory", "2g", "--webui-port", "0"]
        become = f"setpriv --reuid={account.pw_uid} --regid={account.pw_gid} --clear-groups"
        script = f'{cover} && cd / && umask 000 && test -z "$(ls -A {ROOT})" && exec {become} "$@"'
        command = ["unshare", "-m", "sh", "-c", script, "sh", *worker, "--work-dir", str(work), master]
        started.append(start(command, bare, log))
    with running(started, web, log) as processes:
        yield Cluster(master, place / "elsewhere" / "work", processes, 1500)


def submit(cluster: Cluster, job: str, *arguments: str | Path) -> str:
    """A job from a folder that is not the checkout, whose new files others may write beside."""
    folder = cluster.work.parent
    folder.mkdir(mode=0o777, exist_ok=True)
    before = os.umask(0)
    try:
        here = f"spark.local.dir={folder.parent / 'tmp'}"  # the driver unpacks the environment too
        done = cluster.submit("--conf", "spark.cores.max=2", "--conf", here, ROOT / "jobs" / job, *arguments)
    finally:
        os.umask(before)
    told = [log.read_text()[-3000:] for log in folder.parent.glob("work-*/app-*/*/stderr")] if done.returncode else []
    for left in folder.parent.glob("work-*/app-*"):
        shutil.rmtree(left, ignore_errors=True)
    assert done.returncode == 0, "\n".join([done.stdout[-3000:], done.stderr[-3000:], *told])
    return done.stdout


def local(job: str, *arguments: str | Path) -> None:
    command = [sys.executable, ROOT / "jobs" / job, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stderr[-3000:]


def owners(folder: Path) -> set[str]:
    return {pwd.getpwuid(path.stat().st_uid).pw_name for path in folder.rglob("*") if path.is_file()}


def hashes(folder: Path) -> dict[str, str]:
    files = [p for p in folder.rglob("*") if p.is_file() and p.name != "synthesis.json"]
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def rendered(strangers: Cluster, place: Path) -> Path:
    """Faces by jobs/synthesize.py on the cluster."""
    options = ["--config", CONF / "synthesize" / "default.toml", "--size", "160", "--seed", "3"]
    shown = submit(strangers, "synthesize.py", *options, "--count", str(FACES), "--output", "faces")
    assert f"{FACES} faces" in shown
    local("synthesize.py", *options, "--count", str(FACES), "--workers", "0", "--output", place / "faces-here")
    return strangers.work.parent / "faces"


@pytest.mark.spark
@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_synthesize_there_draws_the_faces_of_home(rendered: Path, place: Path) -> None:
    assert owners(rendered) <= {*USERS, "root"} and owners(rendered) & set(USERS)
    assert hashes(rendered) == hashes(place / "faces-here")


@pytest.mark.spark
@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_preprocess_there_finds_faces_by_mtcnn(strangers: Cluster, rendered: Path, place: Path) -> None:
    options: list[str | Path] = ["--config", CONF / "preprocess" / "face_synthetics.toml", "--input", rendered]
    for key in ("source.box=mtcnn", "store.rows_per_shard=4", "crop.size=48", "store.max_rejected=0.9"):
        options += ["--set", key]
    submit(strangers, "preprocess.py", *options, "--output", "made")
    local("preprocess.py", *options, "--workers", "0", "--output", place / "here")
    there, here = manifest.load(str(strangers.work.parent / "made")), manifest.load(str(place / "here"))
    assert there.digest == here.digest and len(there.shards) > 3
    manifest.verify(str(strangers.work.parent / "made"), there.shards, hashes=True)
    assert owners(strangers.work.parent / "made" / "train") & set(USERS)


@pytest.mark.spark
@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_fill_in_there_needs_no_torch(strangers: Cluster, place: Path) -> None:
    write_set(place / "kaggle")
    kaggle = ["--config", CONF / "preprocess" / "kaggle.toml", "--input", place / "kaggle"]
    few = ["--set", "store.rows_per_shard=20", "--set", "source.options.block=5"]
    local("preprocess.py", *kaggle, *few, "--workers", "0", "--output", place / "gaps")
    options: list[str | Path] = ["--config", CONF / "train" / "kaggle_cnn.toml", "--dataset", place / "gaps"]
    options += ["--rounds", "1", "--min-confidence", "0"]
    for key in ("network.name=lenet", "train.epochs=1", 'tracking.uri=""', "train.threads=1", 'train.device="cpu"'):
        options += ["--set", key]
    submit(strangers, "fill_in.py", *options, "--scratch", "scratch", "--output", "filled")
    local("fill_in.py", *options, "--workers", "0", "--scratch", place / "scratch-here", "--output", place / "filled")
    there, here = manifest.load(str(strangers.work.parent / "filled")), manifest.load(str(place / "filled"))
    assert there.conf["fill_in"]["missing"] > 0 and there.digest == here.digest
    assert owners(strangers.work.parent / "filled" / "train") & set(USERS)


TRAINING = """
network = { name = "lenet" }
data = { batch_size = 8 }
tracking = { uri = "" }
optimiser = { name = "sgd", lr = 0.05 }
train = { epochs = 2, precision = "float32", threads = 1, device = "cpu" }
"""


@pytest.fixture(scope="module")
def at_home(strangers: Cluster, place: Path) -> dict[int, float]:
    """The losses of a training on one rank here."""
    (place / "train.toml").write_text(TRAINING)
    make_dataset(place / "set", train=(13, 12), val=(9,))
    options = ["--config", place / "train.toml", "--dataset", place / "set", "--output", place / "trained-here"]
    local("train.py", *options)
    return losses(place / "trained-here")


@pytest.mark.spark
@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("launcher", ["torch", "spark"])
def test_two_ranks_train_there_as_one_does_here(
    strangers: Cluster, place: Path, at_home: dict[int, float], launcher: str
) -> None:
    if launcher == "spark" and find_spec("horovod") is None:
        pytest.skip("Horovod is not part of this environment")
    output = strangers.work.parent / f"trained-{launcher}"
    output.mkdir(parents=True)
    output.chmod(0o777)  # its ranks are other users
    options = ["--config", place / "train.toml", "--dataset", place / "set", "--output", output.name]
    submit(strangers, "train.py", *options, "--launcher", launcher, "--ranks", "2")
    assert losses(output) == pytest.approx(at_home, rel=1e-3) and len(at_home) == 8
    assert owners(output) & set(USERS)
