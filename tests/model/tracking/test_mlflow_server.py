"""A real MLflow server: it goes and comes back in the middle of a run; on Postgres it takes parallel runs at once."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from fakeit.model.tracking.mlflow_tracker import DatasetInfo, MlflowTracker, TrackingConfig

pytestmark = pytest.mark.slow
INFO = DatasetInfo("faces", "abc123", "/data/faces", {"train": 10, "val": 2})


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def mlflow_server(store: str, folder: Path, port: int, artifacts: str = "") -> Iterator[str]:
    """`mlflow server` on `store`, until it answers and as long as it is needed."""
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store, "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", "1"]
    command += ["--artifacts-destination", artifacts or str(folder / "artifacts")]
    lean = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # 2 processes instead of 10
    with open(folder / "server.log", "ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, env=lean)
    try:
        deadline = time.monotonic() + 300
        while True:
            try:
                with urllib.request.urlopen(f"{url}/health", timeout=5):
                    break
            except OSError:
                assert process.poll() is None and time.monotonic() < deadline, (folder / "server.log").read_text()
                time.sleep(0.3)
        yield url
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)


def steps(url: str, run_id: str) -> list[int]:
    from mlflow import MlflowClient

    return sorted(m.step for m in MlflowClient(url).get_metric_history(run_id, "train_loss"))


@pytest.mark.fault
@pytest.mark.timeout(400)
def test_a_server_that_is_away_at_the_start_and_in_the_middle(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from mlflow import MlflowClient

    port, store = free_port(), f"sqlite:///{tmp_path}/mlflow.db"
    config = TrackingConfig(uri=f"http://127.0.0.1:{port}", model=False)
    first = MlflowTracker(config, tmp_path, "a run")
    first.start({"seed": 1}, [INFO])
    first.metrics(1, {"train_loss": 1.0})
    assert first.run_id is None and capfd.readouterr().err.count("does not answer") == 1
    resumed = MlflowTracker(config, tmp_path, "a run", None, resume=True)  # of a checkpoint that knows no run
    with mlflow_server(store, tmp_path, port) as url:
        resumed.start({"seed": 1}, [INFO])
        resumed.metrics(2, {"train_loss": 0.5})
        assert resumed.run_id is not None and steps(url, resumed.run_id) == [1, 2]
    resumed.metrics(3, {"train_loss": 0.4})
    assert capfd.readouterr().err.count("does not answer") == 1
    with mlflow_server(store, tmp_path, port) as url:
        again = MlflowTracker(config, tmp_path, "a run", resumed.run_id, resume=True)
        again.start({"seed": 1}, [INFO])
        again.metrics(4, {"train_loss": 0.3})
        again.finish("FINISHED")
        client = MlflowClient(url)
        (run,) = client.search_runs([client.get_experiment_by_name("fakeit").experiment_id])
        assert run.info.run_id == first.run_id or run.info.run_id == again.run_id == resumed.run_id
        assert run.info.status == "FINISHED" and steps(url, run.info.run_id) == [1, 2, 3, 4]
        client.delete_experiment(run.info.experiment_id)
        other = MlflowTracker(config, tmp_path / "other", "another")
        (tmp_path / "other").mkdir()
        other.start({}, [INFO])
    told = capfd.readouterr().err
    assert "refuses (experiment 'fakeit' was deleted" in told and "does not answer" not in told


CELL = """
import sys
from pathlib import Path
from fakeit.model.tracking.mlflow_tracker import DatasetInfo, MlflowTracker, TrackingConfig
folder = Path(sys.argv[2])
folder.mkdir()
tracker = MlflowTracker(TrackingConfig(uri=sys.argv[1], experiment="cells", model=False), folder, folder.name)
tracker.start({"cell": folder.name, **{f"key{n}": n for n in range(150)}}, [DatasetInfo("d", "x", "/d", {"train": 1})])
for epoch in range(1, 31):
    tracker.metrics(epoch, {"train_loss": 1 / epoch, **{f"figure{n}": float(n) for n in range(20)}})
tracker.finish("FINISHED")
print(tracker.run_id)
"""


def cells(url: str, folder: Path, count: int) -> list[tuple[str, str]]:
    """So many trackers side by side, each a process of its own: their runs' ids and what they said."""
    processes = [
        subprocess.Popen([sys.executable, "-c", CELL, url, str(folder / f"cell-{n}")], stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True)
        for n in range(count)
    ]  # fmt: skip
    said = [process.communicate(timeout=400) for process in processes]
    return [(out.strip().splitlines()[-1], err) for out, err in said]


@contextmanager
def postgres() -> Iterator[str]:
    """A PostgreSQL of this machine in a folder of its own; skips where there is none. Installs nothing."""
    found = [*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    binaries = Path(shutil.which("initdb") or next((b / "initdb" for b in found if (b / "initdb").exists()), ""))
    if not binaries.name:
        pytest.skip("needs PostgreSQL (Debian: apt-get install postgresql), which is not here")
    if find_spec("psycopg2") is None:
        pytest.skip("needs psycopg2 (pip install psycopg2-binary), with which MLflow's server talks to PostgreSQL")
    folder, port = Path(tempfile.mkdtemp(prefix="fakeit-postgres-")), free_port()
    owner: dict[str, str] = {}
    if os.getuid() == 0:  # it refuses to run as root
        owner = {"user": "nobody"}
        shutil.chown(folder, "nobody")
    try:
        run = {"check": True, "capture_output": True, "cwd": folder, **owner}
        subprocess.run([binaries.resolve(), "-D", folder / "data", "-U", "fakeit", "-A", "trust"], **run)  # type: ignore[call-overload]
        server = subprocess.Popen(
            [binaries.resolve().with_name("postgres"), "-D", folder / "data", "-k", folder, "-h", "127.0.0.1",
             "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder, **owner,
        )  # type: ignore[call-overload]  # fmt: skip
        try:
            deadline = time.monotonic() + 60
            while True:
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                assert server.poll() is None and time.monotonic() < deadline
                time.sleep(0.2)
            yield f"postgresql+psycopg2://fakeit@127.0.0.1:{port}/postgres"
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.timeout(900)
def test_parallel_cells_on_postgres_lose_nothing(tmp_path: Path) -> None:
    with postgres() as store, mlflow_server(store, tmp_path, free_port()) as url:
        for run_id, said in cells(url, tmp_path, 6):
            assert "warning" not in said
            assert steps(url, run_id) == list(range(1, 31))


@contextmanager
def bucket(patch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty bucket of an S3 server of our own, whose address and keys stand in the environment."""
    moto = pytest.importorskip("moto.server", reason="needs moto and flask (pip install moto[s3])")
    import boto3

    server = moto.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    address = "http://127.0.0.1:{1}".format(*server.get_host_and_port())
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}
    for name, value in {**keys, "AWS_ENDPOINT_URL": address, "MLFLOW_S3_ENDPOINT_URL": address}.items():
        patch.setenv(name, value)
    boto3.client("s3").create_bucket(Bucket="runs")
    yield "s3://runs/mlflow"
    server.stop()


@pytest.mark.timeout(500)
@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_artifacts_lie_on_s3_and_come_back_through_the_server(
    tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As docs/comparisons.md has it: who trains needs no key of the bucket, the server has it."""
    import boto3
    from mlflow import MlflowClient

    with contextlib.ExitStack() as stack:
        store = stack.enter_context(postgres()) if database == "postgres" else f"sqlite:///{tmp_path}/mlflow.db"
        place = stack.enter_context(bucket(monkeypatch))
        url = stack.enter_context(mlflow_server(store, tmp_path, free_port(), place))
        keys = boto3.client("s3")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        tracker = MlflowTracker(TrackingConfig(uri=url, model=False), tmp_path, "a run")
        tracker.start({"seed": 1}, [INFO])
        tracker.metrics(1, {"train_loss": 1.0})
        (tmp_path / "points.csv").write_text("x,y\n")
        MlflowClient(url).log_artifact(str(tracker.run_id), str(tmp_path / "points.csv"))
        tracker.finish("FINISHED")
        held = [entry["Key"] for entry in keys.list_objects_v2(Bucket="runs")["Contents"]]
        assert any(key.startswith("mlflow/") and key.endswith(f"{tracker.run_id}/artifacts/points.csv") for key in held)
        back = MlflowClient(url).download_artifacts(str(tracker.run_id), "points.csv", str(tmp_path))
        assert Path(back).read_text() == "x,y\n"
