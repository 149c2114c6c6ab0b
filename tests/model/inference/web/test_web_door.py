"""Who may speak to the web demo, and what is left of an upload."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import pytest

from fakeit.model.inference.web.folder import PrivateFolder
from fakeit.model.inference.web.server import Door, Guard, hostname, read_users
from fakeit.pipelines.errors import FakeitError


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "example.org"])
def test_off_loopback_nobody_comes_in_without_a_password(host: str) -> None:
    with pytest.raises(FakeitError, match=f"--host {host} lets the network in; say --auth FILE"):
        Door(host)
    Door("127.0.0.1")
    Door("localhost")


def asked(door: Door, headers: dict[str, str], kind: str = "http") -> list[dict[str, Any]]:
    """What the guard sends, and whether the page behind it was reached."""
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def behind(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "reached"})

    raw = [(key.encode(), value.encode()) for key, value in headers.items()]
    asyncio.run(Guard(behind, door.allowed())({"type": kind, "headers": raw}, None, send))
    return sent


HERE = "127.0.0.1:7860"


@pytest.mark.parametrize(
    ("headers", "welcome"),
    [
        ({"host": HERE}, True),
        ({"host": "localhost:7860"}, True),
        ({"host": "LOCALHOST"}, True),
        ({"host": "[::1]:7860"}, True),
        ({"host": "faces.lab", "origin": "https://faces.lab"}, True),
        ({"host": HERE, "origin": "http://127.0.0.1:7860"}, True),
        ({"host": "rebound.example:7860"}, False),
        ({"host": "127.0.0.1.rebound.example"}, False),
        ({"host": "rebound.example@127.0.0.1.x"}, False),
        ({}, False),
        ({"host": ""}, False),
        ({"host": "[::1"}, False),
        ({"host": HERE, "origin": "https://evil.example"}, False),
        ({"host": HERE, "origin": "null"}, False),
    ],
)
def test_only_known_names_are_answered(headers: dict[str, str], welcome: bool) -> None:
    door = Door(names=("faces.lab",))
    reached = asked(door, headers) == [{"type": "reached"}]
    assert reached == welcome
    if not welcome:
        assert asked(door, headers)[0]["status"] == 403
        assert asked(door, headers, "websocket") == [{"type": "websocket.close", "code": 1008}]


def test_a_machine_on_the_network_answers_to_its_own_names(tmp_path: Path) -> None:
    allowed = Door("0.0.0.0", users=str(tmp_path / "users")).allowed()
    assert {"127.0.0.1", "localhost"} < allowed and "0.0.0.0" not in allowed and "" not in allowed
    assert hostname("//[fe80::1]:80") == "fe80::1"


def test_users_are_read_from_a_file_that_others_cannot_read(tmp_path: Path) -> None:
    file = tmp_path / "users"
    with pytest.raises(FakeitError, match="No such file"):
        read_users(str(file))
    file.write_text("ada:difference engine\n")
    file.chmod(0o644)
    with pytest.raises(FakeitError, match="others can read it; chmod 600"):
        read_users(str(file))
    file.chmod(0o600)
    check = read_users(str(file))
    assert check("ada", "difference engine")
    assert not check("ada", "wrong") and not check("bob", "")
    file.write_text("ada:short\n")
    with pytest.raises(FakeitError, match="line 1: wanted NAME:PASSWORD"):
        read_users(str(file))
    file.write_text("\n")
    with pytest.raises(FakeitError, match="no line NAME:PASSWORD"):
        read_users(str(file))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PrivateFolder:
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in ("TMPDIR", "GRADIO_TEMP_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    return PrivateFolder(keep_s=60)


def test_uploads_lie_where_nobody_else_reads_and_go(folder: PrivateFolder, tmp_path: Path) -> None:
    assert folder.path.stat().st_mode & 0o777 == 0o700
    upload = folder.path / "hash" / "me.jpg"
    upload.parent.mkdir()
    upload.write_bytes(b"x")
    others = tmp_path / "mine.jpg"
    others.write_bytes(b"x")
    folder.forget(str(others))
    folder.forget(str(folder.path / ".." / "mine.jpg"))
    folder.forget("")
    folder.forget(str(folder.path))
    assert others.exists() and upload.exists()
    folder.forget(str(upload))
    assert not upload.parent.exists()
    old, new = Path(folder.make(), "old"), Path(folder.make(), "new")
    for file in (old, new):
        file.write_bytes(b"x")
    link = old.with_name("link")
    link.symlink_to(others)
    for path in (old, old.parent):
        os.utime(path, (time.time() - 100,) * 2)
    os.utime(link, (time.time() - 100,) * 2, follow_symlinks=False)
    folder.sweep()
    assert not old.exists() and not link.is_symlink() and others.exists() and new.exists()
    folder.close()
    assert not folder.path.exists()
