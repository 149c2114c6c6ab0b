"""The page behind its door: which names it answers to, who may come in, and what is left when it ends (nothing)."""

from __future__ import annotations

import hmac
import ipaddress
import os
import signal
import socket
import stat
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fakeit.model.inference.web.folder import PrivateFolder
from fakeit.model.inference.web.workers import Workers
from fakeit.pipelines.errors import FakeitError

UPLOAD_LIMIT = "50mb"


@dataclass(frozen=True)
class Door:
    """Where the server listens, and who may speak to it.

    Attributes:
        host, port: address. names: Host headers that are answered beside this machine's own.
        users: a file of NAME:PASSWORD lines; needed for every host but loopback.
        certificate, key: PEM files; with them the page is https.
    """

    host: str = "127.0.0.1"
    port: int = 7860
    names: tuple[str, ...] = ()
    users: str | None = None
    certificate: str | None = None
    key: str | None = None

    def __post_init__(self) -> None:
        if not is_loopback(self.host) and self.users is None:
            raise FakeitError(
                f"--host {self.host} lets the network in; say --auth FILE (a line NAME:PASSWORD each), or keep "
                "to 127.0.0.1 and come by `ssh -L 7860:127.0.0.1:7860`"
            )
        if (self.certificate is None) != (self.key is None):
            raise FakeitError("--certificate and --key go together")

    def allowed(self) -> set[str]:
        """Host names that are answered: without the list, a page of a stranger could point its own name here (DNS
        rebinding) and read what this server says."""
        names = {"127.0.0.1", "localhost", "::1", *self.names}
        if not is_loopback(self.host):
            names |= {socket.gethostname(), socket.getfqdn(), self.host, *_own_addresses()}
        return {name.lower() for name in names - {"0.0.0.0", "::"}}


def is_loopback(host: str) -> bool:
    """Whether `host` (a name or an address) is this machine to itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _own_addresses() -> Iterable[str]:
    import psutil

    found = [address for addresses in psutil.net_if_addrs().values() for address in addresses]
    return [a.address.split("%")[0] for a in found if a.family in (socket.AF_INET, socket.AF_INET6)]


class Guard:
    """ASGI: requests for another host, or sent by another site's page, end here with 403."""

    def __init__(self, app: Any, allowed: set[str]) -> None:
        self.app, self.allowed = app, allowed

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] in ("http", "websocket") and not self._welcome(dict(scope["headers"])):
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
                return
            text = b"this name is not answered here; the owner can allow it with --allow-host\n"
            headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(text)).encode())]
            await send({"type": "http.response.start", "status": 403, "headers": headers})
            await send({"type": "http.response.body", "body": text})
            return
        await self.app(scope, receive, send)

    def _welcome(self, headers: dict[bytes, bytes]) -> bool:
        host = hostname("//" + headers.get(b"host", b"").decode("latin-1"))
        origin = headers.get(b"origin")
        return host in self.allowed and (origin is None or hostname(origin.decode("latin-1")) in self.allowed)


def hostname(url: str) -> str:
    """The lower-case name in a URL, without its port; "" where there is none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def read_users(file: str) -> Callable[[str, str], bool]:
    """Who may come in: a check of name and password.

    Raises:
        FakeitError: no such file, others can read it, or a line is not NAME:PASSWORD.
    """
    try:
        mode, lines = os.stat(file).st_mode, Path(file).read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise FakeitError(f"--auth {file}: {getattr(error, 'strerror', None) or 'not a text'}") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise FakeitError(f"--auth {file}: others can read it; chmod 600 {file}")
    users = {}
    for number, line in enumerate(filter(str.strip, lines), 1):
        name, colon, password = line.partition(":")
        if not (name and colon and len(password) >= 8):
            raise FakeitError(f"--auth {file}, line {number}: wanted NAME:PASSWORD, a password of 8 letters or more")
        users[name] = password.encode()
    if not users:
        raise FakeitError(f"--auth {file}: no line NAME:PASSWORD in it")

    def check(name: str, password: str) -> bool:
        good = hmac.compare_digest(users.get(name, b""), password.encode()) and name in users
        if not good:
            time.sleep(1)  # guessing takes time
        return good

    return check


def serve(models: dict[str, str], door: Door, workers: Workers | None = None, keep_s: float = 600) -> None:
    """Serves the page until SIGINT or SIGTERM; then nothing is left of what was uploaded.

    Raises:
        FakeitError: the port is taken, or a file of the door is not right.
    """
    check = read_users(door.users) if door.users else None
    for file in filter(None, (door.certificate, door.key)):
        if not Path(file).is_file():
            raise FakeitError(f"{file}: no such file")
    os.environ.update(GRADIO_ANALYTICS_ENABLED="False", HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1")
    folder = PrivateFolder(keep_s)
    workers = workers or Workers()
    before = signal.signal(signal.SIGTERM, _leave)
    try:
        _launch(models, door, check, workers, folder)
    except OSError as error:
        raise FakeitError(f"port {door.port}: {error}") from error
    finally:
        signal.signal(signal.SIGTERM, before)
        workers.close()
        folder.close()


def _leave(_signal: int, _frame: Any) -> None:
    raise KeyboardInterrupt


def _launch(models: dict[str, str], door: Door, check: Any, workers: Workers, folder: PrivateFolder) -> None:
    # Here, since gradio reads where its files go when it is imported.
    import gradio
    from starlette.middleware import Middleware

    from fakeit.model.inference.web.page import CSS, page

    blocks = page(models, workers.ask, folder)
    blocks.queue(max_size=64, default_concurrency_limit=4)
    guard = Middleware(Guard, allowed=door.allowed())
    blocks.launch(
        server_name=door.host,
        server_port=door.port,
        share=False,
        quiet=True,
        show_error=False,
        max_file_size=UPLOAD_LIMIT,
        auth=check,
        ssl_certfile=door.certificate,
        ssl_keyfile=door.key,
        ssl_verify=False,  # gradio asks itself whether it is up; the certificate may be the owner's own
        ssr_mode=False,
        run_history=False,
        footer_links=[],
        css=CSS,
        theme=gradio.themes.Soft(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
        app_kwargs={"middleware": [guard], "docs_url": None, "redoc_url": None},
        prevent_thread_lock=True,
    )
    where = f"{'https' if door.certificate else 'http'}://{door.host}:{door.port}"
    print(f"{len(models)} model{'s'[: len(models) - 1]}; {where}, Ctrl-C ends it", flush=True)
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        print("ended; what was uploaded is removed", flush=True)
    finally:
        blocks.close(verbose=False)
