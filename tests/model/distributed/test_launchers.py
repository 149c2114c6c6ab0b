"""What the launchers listen on while ranks run: one address, and never all of the machine's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from train_job import OURS, PYTHON, ROOT, go, launcher

from fakeit.model.distributed import launchers
from fakeit.pipelines.errors import FakeitError

# Rank 0 looks at the sockets of the launcher and of every process below it, while the ranks are connected.
PROBE = """
import json, os, sys
import psutil, torch
if sys.argv[1] == "horovod":
    import horovod.torch as ranks
    ranks.init()
    ranks.allreduce(torch.ones(1))
    rank = ranks.rank()
else:
    import torch.distributed as ranks
    ranks.init_process_group("gloo")
    ranks.all_reduce(torch.ones(1))
    rank = ranks.get_rank()
if rank == 0:
    top = psutil.Process()
    while "fakeit.model.distributed.launchers" not in top.cmdline():
        top = top.parent()
    sockets = [s for p in [top, *top.children(recursive=True)] for s in p.net_connections()]
    heard = [s.laddr.ip for s in sockets if s.status == psutil.CONN_LISTEN]
    open(sys.argv[2], "w").write(json.dumps(heard))
if sys.argv[1] == "horovod":
    ranks.allreduce(torch.ones(1))
else:
    ranks.barrier()
    ranks.destroy_process_group()  # else Gloo's threads may end the process as it goes (SIGABRT)
"""


@pytest.mark.parametrize("backend", ["horovod", "ddp"])
def test_a_local_launch_listens_on_loopback_alone(backend: str, tmp_path: Path) -> None:
    (tmp_path / "probe.py").write_text(PROBE)
    done = go([*launcher(backend, 2), str(tmp_path / "probe.py"), backend, str(tmp_path / "heard")], timeout=100)
    assert done.returncode == 0, done.stderr[-2000:]
    heard = json.loads((tmp_path / "heard").read_text())
    assert heard and set(heard) == {"127.0.0.1"}


# The second start's rank 0 is late: rank 1 then read where the first start's had been, and asked there in vain.
LATE = """
import os, signal, sys, time
import torch, torch.distributed as ranks
rank, start = os.environ["RANK"], os.environ["TORCHELASTIC_RESTART_COUNT"]
time.sleep(2 if (rank, start) == ("0", "1") else 0)
ranks.init_process_group("gloo")
ranks.all_reduce(torch.ones(1))
if (rank, start) == ("1", "0"):
    os.kill(os.getpid(), signal.SIGKILL)
ranks.barrier()
ranks.destroy_process_group()
print(f"start {start}: rank {rank} ended")
"""


@pytest.mark.fault
@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--standalone"]], ids=["static", "standalone"])
def test_ranks_that_are_started_again_find_each_other(options: list[str], tmp_path: Path) -> None:
    (tmp_path / "late.py").write_text(LATE)
    command = [*OURS, "torchrun", "--nproc-per-node", "2", *options, "--max-restarts", "1", str(tmp_path / "late.py")]
    done = go(command, timeout=200)
    assert done.returncode == 0 and done.stdout.count("start 1: rank ") == 2, done.stdout + done.stderr[-2000:]


NEXT = """
import sys
from fakeit.model.distributed import launchers
from torch.distributed import TCPStore
from torch.distributed.elastic.rendezvous import RendezvousParameters, c10d_rendezvous_backend, dynamic_rendezvous
launchers.bind_torch()
launchers.forget_former_starts()
where = RendezvousParameters("c10d", "127.0.0.1:0", "x", 1, 1, "127.0.0.1", is_host=True)
backend, store = c10d_rendezvous_backend.create_backend(where)
handler = dynamic_rendezvous.create_handler(store, backend, where)
held = []
for start in range(3):
    found = handler.next_rendezvous().bootstrap_store_info
    held.append(TCPStore(found.master_addr, found.master_port))
    print(held[-1].host, held[-1].check(["address of rank 0"]))
    held[-1].set("address of rank 0", "here")
handler.shutdown()
"""


def test_every_start_has_a_store_of_its_own() -> None:
    done = go([PYTHON, "-c", NEXT], timeout=100)
    assert done.stdout.splitlines() == ["127.0.0.1 False"] * 3, done.stdout + done.stderr[-2000:]


@pytest.mark.skipif(find_spec("horovod") is None, reason="this environment has no Horovod")
def test_elastic_mode_is_refused() -> None:
    done = go([*OURS, "horovodrun", "-np", "2", "--min-np", "1", "-H", "localhost:2", PYTHON, "-c", "pass"], timeout=60)
    assert done.returncode == 2 and done.stderr.startswith("error: horovodrun's elastic mode unpickles")


def test_an_unknown_launcher_is_named() -> None:
    with pytest.raises(FakeitError, match="launcher 'mpirun': expected horovodrun or torchrun"):
        launchers.main(["mpirun"])


@pytest.mark.skipif(find_spec("horovod") is None, reason="this environment has no Horovod")
def test_the_set_up_puts_both_commands_into_the_environment(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    subprocess.run(["bash", ROOT / "scripts" / "launchers.sh", tmp_path], check=True)
    bare = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    for name in ("horovodrun", "torchrun"):
        file = tmp_path / "bin" / name
        assert os.access(file, os.X_OK) and file.read_text().startswith(f"#!{tmp_path}/bin/python")
        done = subprocess.run([sys.executable, file, "--help"], env=bare, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0 and "usage" in done.stdout.lower()
    ranks = [
        sys.executable,
        tmp_path / "bin" / "horovodrun",
        "-np",
        "2",
        sys.executable,
        "-c",
        "print('a rank is here')",
    ]
    done = subprocess.run(ranks, env=bare, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stdout.count("a rank is here") == 2, done.stderr
