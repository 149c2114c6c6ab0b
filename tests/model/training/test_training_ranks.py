"""Real ranks: one contract over all backends, N ranks train as one, and what is left when one of them is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch
from tiny_dataset import make_dataset
from train_job import IF_HOROVOD_IS_QUICK, ROOT, SEVERAL, go, job, launcher, losses, sets

from fakeit.model.distributed import communicator
from fakeit.model.distributed.communicator import own_cores
from fakeit.model.training.checkpoint import load

PROBE = """
import json, os, sys, torch
from fakeit.model.distributed.communicator import CommConfig, connect, mean_buffers, all_reduce
comm = connect(CommConfig())
torch.manual_seed(comm.rank)
network = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
optimiser = torch.optim.SGD(network.parameters(), lr=1.0)
module = comm.attach(network)
start = network[0].bias.detach().clone()
everyones_start = comm.gather(start.tolist())
for last in (False, True):
    with comm.no_sync(module, last):
        (network(torch.ones(4, 3))[:, :1].sum() * 0 + (network[0].bias * (comm.rank + 1)).sum() if comm.name != "ddp"
         else (module(torch.ones(4, 3)) * 0).sum() + (network[0].bias * (comm.rank + 1)).sum()).backward()
comm.reduce_gradients()
optimiser.step()
optimiser.zero_grad()
moved = (start - network[0].bias.detach()).tolist()
network[1].running_mean.fill_(float(comm.rank))
mean_buffers(comm, network)
waits = [comm.all_reduce_async(torch.tensor([float(comm.rank + n)])) for n in range(3)]
answer = dict(rank=comm.rank, size=comm.size, name=comm.name, starts=everyones_start, moved=moved,
              sums=[w().item() for w in waits], counts=all_reduce(comm, torch.ones(3, dtype=torch.int32)).tolist(),
              said=comm.broadcast({"from": comm.rank}), buffer=network[1].running_mean.tolist(),
              gathered=comm.gather(comm.rank * 10), cores=comm.gather(sorted(os.sched_getaffinity(0))))
comm.barrier()
open(f"{sys.argv[1]}/{comm.rank}.json", "w").write(json.dumps(answer))
comm.close()
"""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_dataset(tmp_path_factory.mktemp("data") / "set", train=(13, 12), val=(9,), missing=0.2))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a conf: a network without and one with batch norm, an uneven last batch, missing points."""
    (tmp_path / "conf.toml").write_text(
        'network = { name = "lenet" }\ndata = { batch_size = 7 }\ntracking = { uri = "" }\n'
        'optimiser = { name = "sgd", lr = 0.05 }\n'
        'train = { epochs = 2, validate_batch = 2, checkpoint_minutes = 0.0, precision = "float32" }\n'
        "[augment]\nrotation = { range = [-20.0, 20.0] }\nflip = { probability = 0.5 }\n"
    )
    return tmp_path


@pytest.mark.parametrize(
    ("backend", "ranks"),
    [
        ("single", 1),
        ("horovod", 2),
        pytest.param("ddp", 2, marks=IF_HOROVOD_IS_QUICK),
        pytest.param("horovod", 4, marks=pytest.mark.slow),
    ],
)
def test_every_backend_keeps_the_contract(backend: str, ranks: int, tmp_path: Path) -> None:
    (tmp_path / "probe.py").write_text(PROBE)
    done = go([*launcher(backend, ranks), str(tmp_path / "probe.py"), str(tmp_path)])
    assert done.returncode == 0, done.stderr[-2000:]
    answers = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(ranks)]
    mean = sum(range(1, ranks + 1)) / ranks
    for rank, answer in enumerate(answers):
        assert (answer["rank"], answer["size"], answer["name"]) == (rank, ranks, backend)
        assert all(start == answer["starts"][0] for start in answer["starts"]), "weights must start as rank 0's"
        assert answer["moved"] == pytest.approx([2 * mean] * 2), "two accumulated gradients, averaged over ranks"
        assert answer["sums"] == [sum(range(ranks)) + ranks * n for n in range(3)]
        assert answer["counts"] == [ranks] * 3
        assert answer["said"] == {"from": 0} and answer["gathered"] == [10 * r for r in range(ranks)]
        assert answer["buffer"] == pytest.approx([sum(range(ranks)) / ranks] * 2)
    cores = [core for mine in answers[0]["cores"] for core in mine]
    if ranks <= len(os.sched_getaffinity(0)):
        assert len(set(cores)) == len(cores), "each rank keeps to its own processors"


@pytest.mark.parametrize(
    ("backend", "ranks", "network"),
    [
        ("horovod", 2, "lenet"),
        pytest.param("horovod", 4, "lenet", marks=pytest.mark.slow),
        pytest.param("ddp", 2, "lenet", marks=IF_HOROVOD_IS_QUICK),
        pytest.param("horovod", 2, "resnet_lean", marks=pytest.mark.slow),
    ],
)
def test_n_ranks_train_as_one(backend: str, ranks: int, network: str, dataset: str, folder: Path) -> None:
    """25 rows in batches of 7 over 1, 2 or 4 ranks: uneven everywhere, some points missing."""
    options = ["--set", f"network.name={network}", "--set", "network.width=0.25", "--set", "train.sync_batchnorm=true"]
    if network == "resnet_lean":
        options += ["--set", "train.epochs=1"]
    for name, count in (("one", 1), ("many", ranks)):
        done = go(job(backend if count > 1 else "single", count, dataset, folder / name, *options))
        assert done.returncode == 0, done.stderr[-2000:]
    one, many = losses(folder / "one"), losses(folder / "many")
    assert one.keys() == many.keys()
    if network == "resnet_lean":  # rounding grows tenfold a step through 17 batch norms over six rows
        assert all(many[step] == pytest.approx(one[step], rel=1e-3) for step in range(1, 5))
        return
    assert len(one) == 8 and all(many[step] == pytest.approx(one[step], rel=1e-5) for step in one)
    a, b = (load(folder / name / "checkpoints" / "step-000000008.pt") for name in ("one", "many"))
    for name, weights in a.weights.items():
        assert torch.allclose(weights, b.weights[name], rtol=1e-5, atol=1e-5), name
    assert a.metrics["val_nme"] == pytest.approx(b.metrics["val_nme"], rel=1e-4)


@pytest.mark.slow
def test_ddp_trains_as_horovod_to_the_bit(dataset: str, folder: Path) -> None:
    """Leaving Horovod changes who launches, not what comes out: sums of two ranks have one order only."""
    options = sets("network.name=resnet_lean", "network.width=0.25", "train.sync_batchnorm=true")
    for backend in ("horovod", "ddp"):
        done = go(job(backend, 2, dataset, folder / backend, *options))
        assert done.returncode == 0, done.stderr[-2000:]
    assert losses(folder / "horovod") == losses(folder / "ddp") and len(losses(folder / "ddp")) == 8


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "option", "rounding"),
    [
        ("horovod", "comm.compression=fp16", 1e-3),
        ("horovod", "comm.overlap=on", 0.0),
        ("horovod", "comm.overlap=on comm.fusion_mb=1", 0.0),
        ("ddp", "comm.compression=fp16", 1e-3),
    ],
    ids=["fp16", "overlap", "fusion", "ddp-fp16"],
)
def test_options_of_ranks_train_as_the_default(
    backend: str, option: str, rounding: float, dataset: str, folder: Path
) -> None:
    """Also through all that a run can have: convolutions that are channels last, synchronised batch norms, smoothed
    weights, accumulation and a second session. `overlap` is what GPUs do."""
    (folder / "conf.toml").write_text(
        'network = { name = "resnet_lean", width = 0.25 }\ndata = { batch_size = 7 }\ntracking = { uri = "" }\n'
        'optimiser = { name = "sgd", lr = 0.05, ema = 0.9, accumulate = 2 }\n'
        'train = { epochs = 1, sync_batchnorm = true, precision = "float32" }\n'
        "second = { epochs = 1, batch_size = 9, lr = 0.01 }\n"
    )
    for name, options in (("plain", []), ("option", option.split())):
        done = go(job(backend, 2, dataset, folder / name, *sets(*options)))
        assert done.returncode == 0, done.stderr[-2000:]
    plain, other = (list(losses(folder / name).values()) for name in ("plain", "option"))
    assert other == pytest.approx(plain, rel=rounding)
    assert (other == plain) == (rounding == 0), "16 bits must be seen in the last digits"


@pytest.mark.slow
def test_adasum_trains_or_says_what_it_needs(dataset: str, folder: Path) -> None:
    hvd = pytest.importorskip("horovod.torch")
    done = go(job("horovod", 2, dataset, folder / "run", "--set", "comm.adasum=true"))
    if hvd.mpi_built():
        assert done.returncode == 0 and len(losses(folder / "run")) == 8
    else:
        assert done.returncode and "error: comm.adasum needs a Horovod that was built with MPI" in done.stderr


@pytest.mark.parametrize(
    ("allowed", "parents", "rank", "ranks", "own"),
    [
        ({0, 1}, {0, 1}, 0, 2, {0}),
        ({0, 1}, {0, 1}, 1, 2, {1}),
        ({0, 1, 2, 3}, {0, 1, 2, 3}, 1, 2, {2, 3}),
        ({0}, {0}, 1, 2, {0}),
        ({2, 3}, {0, 1, 2, 3}, 1, 2, {2, 3}),  # MPI has bound it already: it was halved once more
        ({3}, {0, 1, 2, 3}, 1, 2, {3}),
    ],
)
def test_processors_are_divided_once(
    allowed: set[int], parents: set[int], rank: int, ranks: int, own: set[int]
) -> None:
    assert own_cores(allowed, parents, rank, ranks) == own


def test_a_process_that_connects_twice_keeps_its_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the rounds of jobs/fill_in.py do: 4, 2, 1."""
    now = {0, 1, 2, 3}
    monkeypatch.setattr(communicator, "_kept", [])
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: now if process == 0 else {0, 1, 2, 3})
    monkeypatch.setattr(os, "sched_setaffinity", lambda process, cores: (now.clear(), now.update(cores)))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    for _ in range(3):
        communicator._keep_to_own_cores()
    assert now == {0, 1}


def test_ranks_start_where_no_process_can_be_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS."""
    for call in ("sched_getaffinity", "sched_setaffinity"):
        monkeypatch.delattr(os, call, raising=False)
    monkeypatch.setattr(communicator, "_kept", [])
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    communicator._keep_to_own_cores()


def _wait_for_step(folder: Path, step: int, process: subprocess.Popen[bytes]) -> None:
    """Until a checkpoint of at least `step` stands."""
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline and process.poll() is None:
        steps = [int(p.stem.split("-")[1]) for p in (folder / "checkpoints").glob("step-*.pt")]
        if steps and max(steps) >= step:
            return
        time.sleep(0.05)
    raise AssertionError("no checkpoint appeared")


def _ranks_of(process: subprocess.Popen[bytes]) -> list[int]:
    """Process ids of the python ranks below a launcher."""
    import psutil

    found = [(p.pid, p.cmdline()) for p in psutil.Process(process.pid).children(recursive=True)]
    started = "jobs/train.py"  # torchrun says python -u before it
    return [pid for pid, command in found if any(part.endswith(started) for part in command[1:3])]


@pytest.mark.fault
@pytest.mark.slow
@pytest.mark.parametrize("victims", ["one", "all"])
def test_killed_ranks_end_the_job_and_a_resume_goes_on_exactly(victims: str, dataset: str, folder: Path) -> None:
    options = ["--set", "train.epochs=15", "--set", "train.keep=3"]
    whole = go(job(SEVERAL, 2, dataset, folder / "whole", *options))
    assert whole.returncode == 0, whole.stderr[-2000:]
    process = subprocess.Popen(job(SEVERAL, 2, dataset, folder / "killed", *options), cwd=ROOT)
    _wait_for_step(folder / "killed", 9, process)
    ranks = _ranks_of(process)
    assert ranks
    for pid in ranks[-1:] if victims == "one" else ranks:
        os.kill(pid, signal.SIGKILL)
    started = time.monotonic()
    assert process.wait(30) != 0
    assert time.monotonic() - started < 30
    resumed = go(job(SEVERAL, 2, dataset, folder / "killed", *options, "--resume"))
    assert resumed.returncode == 0, resumed.stderr[-2000:]
    assert losses(folder / "killed") == losses(folder / "whole"), "bit for bit"


@pytest.mark.fault
def test_sigterm_leaves_a_checkpoint_and_a_code_and_another_world_size_goes_on(dataset: str, folder: Path) -> None:
    options = ["--set", "train.epochs=12"]
    process = subprocess.Popen(job("single", 1, dataset, folder / "run", *options), cwd=ROOT)
    _wait_for_step(folder / "run", 3, process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 75
    before = losses(folder / "run")
    resumed = go(job(SEVERAL, 2, dataset, folder / "run", *options, "--resume", "--set", "train.checkpoint_minutes=5"))
    assert resumed.returncode == 0, resumed.stderr[-2000:]
    assert f"resumed at step {max(before)}:" in resumed.stdout
    after = losses(folder / "run")
    assert sorted(after) == list(range(1, 49)) and all(after[step] == before[step] for step in before)


@pytest.mark.spark
@pytest.mark.slow
@pytest.mark.timeout(700)
@pytest.mark.parametrize("launcher_", ["spark", "torch"])
def test_ranks_on_spark(launcher_: str, dataset: str, folder: Path) -> None:
    command = job("single", 1, dataset, folder / "run", "--launcher", launcher_, "--ranks", "2")
    done = go([str(ROOT / "spark-submit.sh"), "--master", "local[2]", *command[1:]], timeout=600)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    assert len(losses(folder / "run")) == 8


@pytest.mark.spark
@pytest.mark.slow
def test_spark_with_too_few_slots_is_told_not_waited_for(dataset: str, folder: Path) -> None:
    command = job("single", 1, dataset, folder / "run", "--launcher", "spark", "--ranks", "3")
    done = go([str(ROOT / "spark-submit.sh"), "--master", "local[2]", *command[1:]], timeout=280)
    assert done.returncode == 2
    assert "error: --ranks is 3, but Spark at local[2] runs 2 tasks at once" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--datset", "x"], "did you mean '--dataset'"),
        (["--set", "train.epoch=1"], "did you mean 'epochs'"),
        (["--dataset", "/nowhere"], "/nowhere: no manifest.json"),
        (["--config", "conf/train/lennet.toml"], "did you mean 'lenet.toml'"),
        (["--set", "input.scheme=ibug86"], "landmark scheme 'ibug86' is unknown; known are face70"),
        (["--set", "comm.backend=ddp"], "torchrun did not launch this"),
        (["--resume"], "no checkpoint to resume from"),
        (["--launcher", "spark", "--ranks", "0"], "--ranks is 0; at least 1 is needed"),
    ],
)
def test_mistakes_leave_with_2_and_one_line(options: list[str], message: str, dataset: str, folder: Path) -> None:
    done = go(job("single", 1, dataset, folder / "run", *options))
    assert done.returncode == 2 and message in done.stderr and len(done.stderr.strip().splitlines()) == 1
