"""What tests share: the material beside the project, and one Spark session."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
# For processes that tests start (jobs, Spark's workers): they find the code, and do not take each other's cores.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("FAKEIT_VENV", sys.prefix)  # what spark-submit.sh runs with
# Bits are promised on CPUs, so that is where tests run; only those of test_gpu.py take the GPUs back.
GPUS = os.environ.get("CUDA_VISIBLE_DEVICES")
os.environ["CUDA_VISIBLE_DEVICES"] = ""


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder beside the project with real data; a test that asks for it is skipped where it is missing."""
    folder = ROOT.parent / "shared"
    if not (folder / "data").is_dir():
        pytest.skip("needs ../shared, which is not here")
    return folder


@pytest.fixture(scope="session")
def gpu() -> dict[str, str]:
    """An environment in which torch sees this machine's GPU; a test that asks for it is skipped where there is none."""
    environment = {key: value for key, value in os.environ.items() if key != "CUDA_VISIBLE_DEVICES"}
    environment |= {} if GPUS is None else {"CUDA_VISIBLE_DEVICES": GPUS}
    command = [sys.executable, "-c", "import torch; raise SystemExit(not torch.cuda.is_available())"]
    if subprocess.run(command, env=environment).returncode:
        pytest.skip("needs an NVIDIA GPU")
    return environment


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """A Spark session on two local cores, one for all tests."""
    from pyspark.sql import SparkSession

    from fakeit.pipelines.machine import shipping

    shipping.prepare_driver()
    os.environ.setdefault("SPARK_CONF_DIR", str(ROOT / "conf" / "spark"))
    builder = SparkSession.builder.master("local[2]").appName("fakeit tests")
    settings = {
        "spark.ui.enabled": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.memory": "1g",
        "spark.sql.shuffle.partitions": "2",
        "spark.log.level": "ERROR",
    }
    for key, value in settings.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    yield session
    session.stop()
