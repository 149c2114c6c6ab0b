"""horovodrun and torchrun, whose servers listen on one interface instead of on all of the machine's.

Both launchers start a key-value server without credentials through which ranks find each other, and bind it to 0.0.0.0.
Whoever reaches it can send ranks elsewhere. Here it listens on the interface of the launch: loopback when all ranks are
on this machine, else the address that the other machines are told. `make setup` puts both commands into .venv/bin;
elsewhere: `python -m fakeit.model.distributed.launchers horovodrun -np 2 …`.

Between machines nothing is encrypted and nobody is asked who they are: for networks you trust only.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from fakeit.pipelines.errors import FakeitError

LOOPBACK = "127.0.0.1"
_listen_on = LOOPBACK  # where Horovod's key-value server goes; known once the interface is


def main(arguments: Sequence[str]) -> None:
    """Runs `arguments[0]`, horovodrun or torchrun, with the rest."""
    launchers = {"horovodrun": horovodrun, "torchrun": torchrun, "torchrun-below-spark": _torchrun_below_spark}
    if not arguments or arguments[0] not in launchers:
        raise FakeitError(f"launcher '{arguments[0] if arguments else ''}': expected horovodrun or torchrun")
    sys.argv = list(arguments)
    launchers[arguments[0]](list(arguments[1:]))


def horovodrun(arguments: list[str]) -> None:
    """Horovod's own command, its servers bound as the module says. Ends the process as it ends."""
    from horovod.runner import launch

    bind_horovod()
    launch._run_elastic = _no_elastic_mode
    launch.run_commandline()


def horovod_on_spark(work: Callable[..., Any], arguments: tuple[Any, ...], ranks: int, python: str) -> Any:
    """`work(*arguments)` on `ranks` ranks of Spark's executors, servers bound as the module says; the first's result.

    `python`: the executors' interpreter, which is not this one, in an environment of their own; "" where Spark runs on
    this machine alone."""
    import horovod.spark

    bind_horovod()
    where: dict[str, Any] = {"env": dict(os.environ), "nics": {loopback_interface()}}
    if python:
        where = {"executable": python}
    return horovod.spark.run(work, arguments, num_proc=ranks, verbose=0, **where)[0]


def bind_horovod() -> None:
    """From here on the key-value servers of this process's Horovod listen where its ranks are told to look."""
    from horovod.runner import gloo_run
    from horovod.runner.http import http_server

    http_server.find_port = _bound_server
    gloo_run.launch_gloo = _remembering(gloo_run.launch_gloo)
    try:
        from horovod.spark import gloo_run as spark_gloo_run
    except ImportError:  # no pyspark here
        return
    spark_gloo_run.launch_gloo = _remembering(spark_gloo_run.launch_gloo)


def _remembering(launch_gloo: Callable[..., Any]) -> Callable[..., Any]:
    if hasattr(launch_gloo, "remembers"):
        return launch_gloo

    def launch(command: Any, exec_command: Any, settings: Any, nics: Any, env: Any, server_ip: str) -> Any:
        global _listen_on
        _listen_on = server_ip
        return launch_gloo(command, exec_command, settings, nics, env, server_ip)

    launch.remembers = True  # type: ignore[attr-defined]
    return launch


def _bound_server(make: Callable[[tuple[str, int]], Any]) -> tuple[Any, int]:
    """In place of Horovod's `find_port`: a server at a free port of one address."""
    server = make((_listen_on, 0))
    return server, server.server_address[1]


def _no_elastic_mode(_arguments: Any) -> None:
    raise FakeitError(
        "horovodrun's elastic mode unpickles what anybody on the network sends it (CVE-2024-10190, in every release); "
        "leave --min-np and --host-discovery-script out: a run that lost a rank goes on with --resume"
    )


def torchrun(arguments: list[str]) -> None:
    """torch's own command, its store bound as the module says. Ends the process as it ends."""
    from torch.distributed import run

    parsed = run.parse_args(arguments)
    local = str(parsed.nnodes) in ("1", "1:1") and not parsed.rdzv_endpoint
    if local:  # the static rendezvous, which is the default, has one store for all starts of the ranks
        arguments = ["--local-addr", LOOPBACK, "--standalone", *arguments]
        name = loopback_interface()
        os.environ.setdefault("GLOO_SOCKET_IFNAME", name)
        os.environ.setdefault("NCCL_SOCKET_IFNAME", name)
    bind_torch()
    forget_former_starts()
    run.main(arguments)


def bind_torch_distributor() -> None:
    """The torchrun of pyspark's TorchDistributor in local mode is ours; on a cluster its executors start their own."""
    from pyspark.ml.torch.distributor import TorchDistributor

    theirs = TorchDistributor._create_torchrun_command

    def command(*arguments: Any) -> list[str]:
        made = theirs(*arguments)
        at = made.index("pyspark.ml.torch.torch_run_process_wrapper")
        return [*made[:at], "fakeit.model.distributed.launchers", "torchrun-below-spark", *made[at + 1 :]]

    TorchDistributor._create_torchrun_command = staticmethod(command)


def _torchrun_below_spark(arguments: list[str]) -> None:
    """Ends with the driver that started it, as pyspark's own wrapper does."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
    torchrun(arguments)


def bind_torch() -> None:
    """From here on the stores that this process serves listen on the one address that ranks are told."""
    import torch.distributed as dist
    from torch.distributed.elastic.rendezvous import c10d_rendezvous_backend, static_tcp_rendezvous

    store = _bound_store(dist.TCPStore)
    for module in (dist, c10d_rendezvous_backend, static_tcp_rendezvous):
        module.TCPStore = store  # type: ignore[attr-defined]


def forget_former_starts() -> None:
    """From here on ranks that are started again (`--max-restarts`) find each other in a store of their own.

    torch 2.13 keeps the one in which the ranks before them left their addresses: a rank that reads there before the
    other has written asks a process that is gone, and the start fails."""
    from torch.distributed.elastic.rendezvous.dynamic_rendezvous import DynamicRendezvousHandler

    theirs = DynamicRendezvousHandler.next_rendezvous

    def next_rendezvous(self: Any) -> Any:
        self._shared_tcp_store_server = self._bootstrap_store_info = None
        return theirs(self)

    DynamicRendezvousHandler.next_rendezvous = next_rendezvous  # type: ignore[method-assign]


def _bound_store(tcp_store: Callable[..., Any]) -> Callable[..., Any]:
    def make(
        host_name: str, port: int, world_size: int | None = None, is_master: bool = False, *rest: Any, **named: Any
    ) -> Any:
        if is_master:
            try:
                listener = socket.create_server((host_name, port), backlog=128)
            except OSError as error:  # torch's own kind: a second agent of this machine then joins the first one's
                raise RuntimeError(f"{host_name}:{port} cannot be listened on: {error}") from error
            port = listener.getsockname()[1]
            named.update(master_listen_fd=listener.detach(), use_libuv=False)
        return tcp_store(host_name, port, world_size, is_master, *rest, **named)

    return make


def loopback_interface() -> str:
    """Its name: lo, or lo0."""
    import psutil

    found = [name for name, addresses in psutil.net_if_addrs().items() if any(a.address == LOOPBACK for a in addresses)]
    if not found:
        raise FakeitError(f"no network interface has {LOOPBACK}")
    return found[0]


def command(arguments: Sequence[str]) -> None:
    """`main`, with one line for what the user must change."""
    try:
        main(arguments)
    except FakeitError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from error


if __name__ == "__main__":
    command(sys.argv[1:])
