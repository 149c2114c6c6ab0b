"""A real Spark cluster on loopback: a master and two workers that know nothing of this checkout or its environment."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import cv2
import numpy as np
import psutil
import pytest

from fakeit.pipelines.machine import environment
from fakeit.pipelines.store import manifest

ROOT = Path(__file__).resolve().parents[3]
SECRET = "a secret of the tests: 7f3b"
OTHER_PROCESSOR = {"OPENBLAS_CORETYPE": "Nehalem", "OPENCV_CPU_DISABLE": "AVX2,AVX512-SKX"}  # what executors seem to be
PATIENCE = 900  # seconds for a job: on a core shared with a dozen others it has taken ten minutes
DAEMONS = ROOT / "conf" / "spark" / "standalone-daemons.properties"
PROBE = """
import json, os, sys
from pyspark.sql import SparkSession

def look(_):
    import cv2, numpy, pyarrow
    import fakeit.pipelines.landmarks
    libraries = {line.split()[-1] for line in open("/proc/self/maps") if "libpython" in line or "numpy" in line}
    ours = fakeit.pipelines.landmarks.__file__
    paths = [sys.executable, sys.prefix, numpy.__file__, cv2.__file__, pyarrow.__file__, ours]
    return os.getcwd(), sorted(libraries | set(paths)), [p for p in sys.path if p]

session = SparkSession.builder.getOrCreate()
found = session.sparkContext.parallelize(range(8), 8).map(look).collect()
print("PROBE " + json.dumps({"driver": sys.executable, "found": found}))
session.stop()
"""

pytestmark = pytest.mark.timeout(3000)


@dataclass
class Cluster:
    master: str
    work: Path

    processes: tuple[int, ...] = ()
    patience: float = PATIENCE  # seconds for a job

    def submit(
        self, *arguments: str | Path, secret: str = SECRET, master: str = ""
    ) -> subprocess.CompletedProcess[str]:
        with self.submitted(*arguments, secret=secret, master=master) as process:
            stdout, stderr = process.communicate(timeout=self.patience)
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)

    @contextlib.contextmanager
    def submitted(
        self, *arguments: str | Path, secret: str = SECRET, master: str = ""
    ) -> Iterator[subprocess.Popen[str]]:
        """The client while it runs; ended with what it started when left."""
        command = [ROOT / "spark-submit.sh", "--cluster", "standalone", "--master", master or self.master, *arguments]
        loopback = {"SPARK_LOCAL_IP": "127.0.0.1", "PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
        loopback |= {"SPARK_AUTH_SECRET": secret} if secret else {}
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=self.work.parent, env=loopback,
            start_new_session=True,
        )  # fmt: skip
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(30)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Master and two workers of one core each, started with Spark's own spark-class."""
    folder = tmp_path_factory.mktemp("cluster")
    import pyspark

    spark = folder / "spark"  # the cluster's Spark lies elsewhere than the client's
    spark.mkdir()
    for name in ("bin", "jars", "python"):
        (spark / name).symlink_to(Path(pyspark.__file__).parent / name)
    port, web = free_port(), free_port()
    bare = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(folder),
        "JAVA_HOME": str(environment.java_home()),
        "SPARK_HOME": str(spark),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_NO_DAEMONIZE": "1",
        "_SPARK_AUTH_SECRET": SECRET,
        **OTHER_PROCESSOR,
    }
    work, master = folder / "work", f"spark://127.0.0.1:{port}"
    log = (folder / "log").open("w")
    begin, package = str(spark / "bin" / "spark-class"), "org.apache.spark.deploy"
    here = ["--host", "127.0.0.1", "--properties-file", str(DAEMONS)]
    ports = ["--port", str(port), "--webui-port", str(web)]
    started = [start([begin, f"{package}.master.Master", *here, *ports], bare, log)]
    worker = [begin, f"{package}.worker.Worker", *here, "--cores", "1", "--memory", "2g", "--webui-port", "0"]
    started += [start([*worker, "--work-dir", str(work / str(i)), master], bare, log) for i in range(2)]
    with running(started, web, log) as processes:
        yield Cluster(master, work, processes)


@contextlib.contextmanager
def running(started: list[subprocess.Popen[bytes]], web: int, log: IO[str]) -> Iterator[tuple[int, ...]]:
    """A master and two workers from when they know each other; their process numbers. Ended when left."""
    try:
        wait_for_workers(web, 2, Path(log.name))
        yield tuple(process.pid for process in started)
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(timeout=30)
        log.close()


def start(command: list[str], variables: dict[str, str], log: IO[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, env=variables, stdout=log, stderr=log)


def wait_for_workers(port: int, count: int, log: Path) -> None:
    until = time.monotonic() + 180
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while time.monotonic() < until:
        try:
            with opener.open(f"http://127.0.0.1:{port}/json/", timeout=5) as page:
                if json.load(page)["aliveworkers"] == count:
                    return
        except OSError:
            pass
        time.sleep(0.3)
    pytest.fail(f"the cluster did not start:\n{log.read_text()[-3000:]}")


def draw_faces(folder: Path, count: int) -> Path:
    """Pictures of noise with 70 points on an ellipse, in the Face Synthetics layout."""
    folder.mkdir()
    random = np.random.default_rng(5)
    angles = np.linspace(0, 2 * np.pi, 70, endpoint=False)
    for index in range(count):
        cv2.imwrite(str(folder / f"{index:06}.png"), random.integers(0, 255, (96, 96, 3), np.uint8))
        points = 48 + random.uniform(15, 30) * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        np.savetxt(folder / f"{index:06}_ldmks.txt", points, fmt="%.3f")
    return folder


def preprocess(faces: Path, dataset: Path) -> list[str | Path]:
    """A job with its options: small crops, small shards."""
    conf = ROOT / "conf" / "preprocess" / "face_synthetics.toml"
    fast = ["--set", "store.rows_per_shard=16", "--set", "crop.size=32"]
    return [ROOT / "jobs" / "preprocess.py", "--config", conf, "--input", faces, "--output", dataset, *fast]


@pytest.mark.spark
@pytest.mark.parametrize("way", ["spark-submit", "spark-submit.sh", pytest.param("python", marks=pytest.mark.slow)])
def test_every_way_to_start_the_job_gives_the_same_dataset(way: str, tmp_path: Path) -> None:
    """From another folder, without this checkout on PYTHONPATH, and with a user's own Spark."""
    import pyspark

    from fakeit.pipelines.config import load
    from fakeit.pipelines.flows import preprocess as flow
    from fakeit.pipelines.flows.preprocess_config import PreprocessConfig
    from fakeit.pipelines.machine import runners

    faces = draw_faces(tmp_path / "faces", 12)
    own = Path(pyspark.__file__).parent / "bin" / "spark-submit"
    submit = {"spark-submit": own, "spark-submit.sh": ROOT / "spark-submit.sh", "python": sys.executable}[way]
    bare = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "SPARK_LOCAL_IP": "127.0.0.1"}
    bare |= {"JAVA_HOME": str(environment.java_home()), "PYSPARK_PYTHON": sys.executable}
    command = [submit, *preprocess(faces, tmp_path / "dataset")]
    done = subprocess.run(command, cwd=tmp_path, env=bare, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr[-3000:]
    conf = load(
        ROOT / "conf/preprocess/face_synthetics.toml", PreprocessConfig, ["store.rows_per_shard=16", "crop.size=32"]
    )
    here = flow.preprocess(conf, str(faces), str(tmp_path / "here"), runners.in_processes(0)).manifest
    assert manifest.load(str(tmp_path / "dataset")).digest == here.digest


@pytest.mark.spark
def test_a_user_s_python_without_our_packages_is_told_what_to_use(tmp_path: Path) -> None:
    """spark-submit takes whatever `python3` it finds; the first line says which one to give it."""
    import pyspark

    empty = tmp_path / "empty"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", empty], check=True)
    bare = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "PYSPARK_PYTHON": str(empty / "bin" / "python3")}
    bare["JAVA_HOME"] = str(environment.java_home())
    command = [Path(pyspark.__file__).parent / "bin" / "spark-submit", *preprocess(tmp_path, tmp_path / "dataset")]
    done = subprocess.run(command, cwd=tmp_path, env=bare, capture_output=True, text=True, timeout=PATIENCE)
    said = [line for line in done.stdout.splitlines() if line.startswith("error: ")]  # spark-submit joins both there
    assert len(said) == 1 and "is not installed for" in said[0]
    assert re.search(rf"export PYSPARK_PYTHON={re.escape(str(ROOT))}/\.venv(-modern)?/bin/python", said[0])
    assert done.returncode == 2, "spark-submit passes the job's exit code on"


@pytest.mark.spark
@pytest.mark.slow
def test_executors_run_from_the_shipped_archive_alone(cluster: Cluster, tmp_path: Path) -> None:
    job = tmp_path / "probe.py"
    job.write_text(PROBE)
    # No task starts before both workers have come, so that each gets some.
    both = {"spark.cores.max": 2, "spark.scheduler.minRegisteredResourcesRatio": 1}
    both["spark.scheduler.maxRegisteredResourcesWaitingTime"] = 120000
    done = cluster.submit(*[word for key, value in both.items() for word in ("--conf", f"{key}={value}")], job)
    assert done.returncode == 0, done.stderr[-3000:]
    line = next(line for line in done.stdout.splitlines() if line.startswith("PROBE "))
    seen = json.loads(line.removeprefix("PROBE "))
    assert Path(seen["driver"]).parent == ROOT / ".venv" / "bin"
    workers = set()
    for folder, used, search in seen["found"]:
        assert Path(folder).is_relative_to(cluster.work)
        workers.add(Path(folder).relative_to(cluster.work).parts[0])
        for path in used:
            assert Path(folder, path).is_relative_to(folder), f"{path} is not from the archive in {folder}"
        for path in search:  # a jar of the client's Spark is named there, and read by nobody
            assert path.endswith(".jar") or not path.startswith((str(ROOT), sys.prefix, sys.base_prefix)), path
    assert workers == {"0", "1"}


@pytest.mark.spark
@pytest.mark.slow
def test_the_cluster_writes_the_bytes_of_a_local_run(cluster: Cluster, tmp_path: Path) -> None:
    faces = draw_faces(tmp_path / "faces", 60)
    done = cluster.submit(*preprocess(faces, tmp_path / "cluster"))
    assert done.returncode == 0, done.stderr[-3000:]
    local = [sys.executable, *preprocess(faces, tmp_path / "local"), "--workers", "0"]
    subprocess.run(local, check=True, capture_output=True, timeout=PATIENCE)
    by_cluster, by_hand = manifest.load(str(tmp_path / "cluster")), manifest.load(str(tmp_path / "local"))
    assert len(by_hand.shards) >= 8
    assert {s.path: s.sha256 for s in by_cluster.shards} == {s.path: s.sha256 for s in by_hand.shards}
    assert by_cluster.digest == by_hand.digest


@pytest.mark.spark
@pytest.mark.slow
@pytest.mark.fault
def test_an_executor_killed_half_way_costs_nothing(cluster: Cluster, tmp_path: Path) -> None:
    """Its Python and its JVM die by SIGKILL while shards are made; speculation is on. Same digest, nothing twice."""
    faces, made = draw_faces(tmp_path / "faces", 400), tmp_path / "cluster"
    more = ["--set", "augment.variants=16"]
    with cluster.submitted(*preprocess(faces, made), *more) as process:
        until, killed = time.monotonic() + PATIENCE, 0
        while not killed and time.monotonic() < until and process.poll() is None:
            time.sleep(0.02)
            if len(list(made.glob("_tasks/*.json"))) >= 20:
                _, first, _ = cluster.processes  # the master, two workers
                for child in psutil.Process(first).children(recursive=True):
                    with contextlib.suppress(psutil.NoSuchProcess):
                        child.kill()
                        killed += 1
        stood = len(list(made.glob("_tasks/*.json")))
        stdout, stderr = process.communicate(timeout=PATIENCE)
    assert killed >= 2 and process.returncode == 0, stderr[-3000:]
    local = [sys.executable, *preprocess(faces, tmp_path / "local"), *more, "--workers", "0"]
    subprocess.run(local, check=True, capture_output=True, timeout=PATIENCE)
    by_cluster, by_hand = manifest.load(str(made)), manifest.load(str(tmp_path / "local"))
    assert stood < len(by_hand.shards) and by_cluster.digest == by_hand.digest
    manifest.verify(str(made), by_cluster.shards, hashes=True)
    assert {p.relative_to(made).as_posix() for p in made.glob("*/*.parquet")} == {s.path for s in by_cluster.shards}


def listening(processes: tuple[int, ...]) -> set[str]:
    """The addresses at which these processes, and those below them, take connections."""
    every = [p for pid in processes for p in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True))]
    sockets = []
    for process in every:
        with contextlib.suppress(psutil.NoSuchProcess):  # an executor that has just ended
            sockets += process.net_connections("inet")
    return {s.laddr.ip.removeprefix("::ffff:") for s in sockets if s.status == psutil.CONN_LISTEN}


class Listener:
    """Stands between the client and the master, and writes down every byte that passes."""

    def __init__(self, port: int) -> None:
        self.port, self.heard = port, bytearray()
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"spark://127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            master = socket.create_connection(("127.0.0.1", self.port))
            for source, target in ((client, master), (master, client)):
                threading.Thread(target=self._pass_on, args=(source, target), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self.heard += data
                target.sendall(data)
        for end in (source, target):
            end.close()


TINY = """
from pyspark.sql import SparkSession
session = SparkSession.builder.appName("A-NAME-THAT-IS-LOOKED-FOR").getOrCreate()
conf = session.sparkContext.getConf()
print("SUM", session.sparkContext.parallelize(range(10), 2).sum(), conf.get("spark.network.crypto.enabled"))
session.stop()
"""


@pytest.mark.spark
def test_a_cluster_is_not_spoken_to_without_a_secret(tmp_path: Path) -> None:
    nowhere = Cluster("spark://127.0.0.1:1", tmp_path / "work")
    done = nowhere.submit(tmp_path / "job.py", secret="")
    assert done.returncode == 2
    assert "error: spark://127.0.0.1:1 is only spoken to with a secret: export SPARK_AUTH_SECRET" in done.stderr


@pytest.mark.spark
@pytest.mark.slow
def test_nothing_readable_passes_between_client_and_master(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(TINY)
    between = Listener(int(cluster.master.rpartition(":")[2]))
    with cluster.submitted(tmp_path / "job.py", master=between.address) as process:
        assert process.stdout is not None
        # Read as it comes: to a master behind a middleman the client's goodbye takes minutes.
        assert any(line == "SUM 45 true\n" for line in process.stdout)
    between.socket.close()
    assert len(between.heard) > 1000
    for wanted in (b"A-NAME-THAT-IS-LOOKED-FOR", b"RegisterApplication", b"ApplicationDescription"):
        assert wanted not in between.heard
    assert SECRET.encode() not in between.heard
    assert listening(cluster.processes) == {"127.0.0.1"}


@pytest.mark.spark
@pytest.mark.slow
@pytest.mark.fault
@pytest.mark.parametrize("options", [[], ["--conf", "spark.authenticate=false"]], ids=["wrong secret", "no secret"])
def test_a_stranger_gets_nothing_run(cluster: Cluster, options: list[str], tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    (tmp_path / "job.py").write_text(
        TINY.replace("range(10), 2).sum()", f"range(2), 2).map(lambda _: open({str(ran)!r}, 'w').close()).count()")
    )
    done = cluster.submit(*options, tmp_path / "job.py", secret="another secret")
    assert done.returncode != 0 and "SUM" not in done.stdout
    assert not ran.exists()
