"""Passwords and tokens are in no line, log or record."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from fakeit.pipelines.errors import FakeitError, Rejected
from fakeit.pipelines.secrets import MaskedStream, masked, without_secrets

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "Tr0ub4dor-3"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"at https://ada:{PASSWORD}@host:5000/x is down", "at https://ada:***@host:5000/x is down"),
        (f"postgresql+psycopg2://u:{PASSWORD}@db/m", "postgresql+psycopg2://u:***@db/m"),
        (f"https://:{PASSWORD}@host", "https://:***@host"),
        (f"https://ada:p@{PASSWORD}@host/x", "https://ada:***@host/x"),
        (f"GET /x?token={PASSWORD}&a=1", "GET /x?token=***&a=1"),
        (f"https://s3/x?X-Amz-Signature={PASSWORD}", "https://s3/x?X-Amz-Signature=***"),
        (f"https://a.blob/x?sv=1&sig={PASSWORD}", "https://a.blob/x?sv=1&sig=***"),
        (f"{{'Authorization': 'Bearer {PASSWORD}'}}", "{'Authorization': 'Bearer ***'}"),
        ("file:///a/b:c@d", "file:///a/b:c@d"),
        ("http://127.0.0.1:7860/x?page=2", "http://127.0.0.1:7860/x?page=2"),
        ("models:/fakeit-landmarks@champion", "models:/fakeit-landmarks@champion"),
        ("sqlite:///mlflow.db", "sqlite:///mlflow.db"),
        ("12:30 me@example.org key=value", "12:30 me@example.org key=value"),
    ],
)
def test_what_is_secret_is_hidden_and_nothing_else(text: str, shown: str) -> None:
    assert masked(text) == shown
    assert masked(masked(text)) == shown


def test_values_of_the_environment_are_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "dapi-77aa")
    monkeypatch.setenv("SHORT_SECRET", "the")
    assert masked("the server said: dapi-77aa is wrong") == "the server said: *** is wrong"
    record = {"tracking": {"uri": f"https://a:{PASSWORD}@h"}, "tags": ("dapi-77aa",), "epochs": 3}
    assert without_secrets(record) == {"tracking": {"uri": "https://a:***@h"}, "tags": ("***",), "epochs": 3}


@pytest.mark.parametrize("kind", [FakeitError, Rejected])
def test_errors_hide_them(kind: type[Exception]) -> None:
    error = kind(f"https://ada:{PASSWORD}@host/faces.zip: not found")
    assert PASSWORD not in str(error) and PASSWORD not in repr(error)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_a_stream_hides_them_and_stays_a_stream() -> None:
    below = io.StringIO()
    print(f"warning: https://a:{PASSWORD}@h", "x", file=MaskedStream(below), flush=True)
    assert below.getvalue() == "warning: https://a:***@h x\n"
    assert not MaskedStream(below).isatty()


def test_a_job_does_not_repeat_the_password_of_an_address(tmp_path: Path) -> None:
    address = f"https://ada:{PASSWORD}@127.0.0.1:9/faces"
    command = [
        sys.executable,
        ROOT / "jobs" / "preprocess.py",
        "--config",
        ROOT / "conf/preprocess/face_synthetics.toml",
    ]
    done = subprocess.run(
        [*command, "--input", address, "--output", tmp_path / "d", "--workers", "0"],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode != 0
    assert PASSWORD not in done.stdout + done.stderr
