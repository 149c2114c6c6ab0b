"""SIGKILL at a step, then --resume: every step's loss is that of an unbroken run, bit for bit, and that of the file
`tests/model/training/golden/losses.json`, which

    python tests/model/training/test_golden_losses.py write

makes anew. Sums of floats depend on the processor's instructions and on torch's build: where both are those the file
was made with, it is held to the bit, elsewhere to a thousandth. Unbroken against resumed is to the bit everywhere.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
GOLDEN = Path(__file__).with_name("golden") / "losses.json"
STEPS = 12
CONF = """
network = { name = "lenet", dropout = 0.1 }
data = { batch_size = 7, shuffle_block_shards = 1, mixup = 0.2 }
optimiser = { name = "adam", lr = 3e-3, ema = 0.9 }
schedule = { name = "cosine", warmup = 0.5 }
train = { epochs = 3, checkpoint_minutes = 0.0, validate_batch = 4, threads = 1, precision = "float32" }
tracking = { uri = "" }
[augment]
rotation = { range = [-20.0, 20.0] }
flip = { probability = 0.5 }
iso_noise = { range = [0.0, 0.05] }
"""


def processor() -> str:
    """What decides how sums are rounded: the kind of processor and torch's build."""
    import torch

    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    first = [line.partition(":") for line in text.split("\n\n")[0].splitlines()]
    known = {key.strip(): value.strip() for key, _, value in first}
    kind = [known.get(key, "?") for key in ("vendor_id", "cpu family", "model", "stepping")]
    return " ".join([*kind, torch.backends.cpu.get_cpu_capability(), "torch", torch.__version__])


def train(folder: Path, ranks: int, name: str, die_at: int = 0, resume: bool = False) -> subprocess.Popen[bytes]:
    """Starts a run of this file's conf in its own process(es); its rank 0 kills itself with SIGKILL after `die_at`."""
    from train_job import SEVERAL, launcher

    launch = launcher(SEVERAL if ranks > 1 else "single", ranks)
    command = [*launch, str(Path(__file__).resolve()), "run", str(folder), name]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([*command, str(die_at), str(int(resume))], cwd=ROOT, env=environment)


def run(folder: str, name: str, die_at: str, resume: str) -> int:
    """The process that `train` starts."""
    from fakeit.jobs.train import work
    from fakeit.model.training import trainer
    from fakeit.model.training.config import TrainConfig
    from fakeit.pipelines.config import load

    after = trainer.Trainer._after_step

    def dying(self: Any, session: Any, report: Any, epoch: int, steps: Any) -> None:
        after(self, session, report, epoch, steps)
        if report.step == int(die_at) and self.is_rank_zero:
            os.kill(os.getpid(), signal.SIGKILL)

    trainer.Trainer._after_step = dying  # type: ignore[method-assign]
    config = load(f"{folder}/conf.toml", TrainConfig, [])
    options = {"dataset": f"{folder}/set", "output": f"{folder}/{name}", "resume": resume == "1", "init": None}
    return work(config, options)


def prepare(folder: Path) -> Path:
    from tiny_dataset import make_dataset

    (folder / "conf.toml").write_text(CONF)
    make_dataset(folder / "set", train=(13, 12), val=(9,), missing=0.1, margin=0.4)
    return folder


def losses(folder: Path) -> list[float]:
    found = [json.loads(line) for line in (folder / "steps.jsonl").read_text().splitlines()]
    assert [line["step"] for line in found] == list(range(1, STEPS + 1)), "every step once"
    return [line["loss"] for line in found]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(tmp_path_factory.mktemp("golden"))


@pytest.fixture(scope="module")
def unbroken(folder: Path) -> Any:
    """Losses of a run that nobody disturbed, by the number of ranks."""
    known: dict[int, list[float]] = {}

    def give(ranks: int) -> list[float]:
        if ranks not in known:
            assert train(folder, ranks, f"whole-{ranks}").wait(120) == 0
            known[ranks] = losses(folder / f"whole-{ranks}")
        return known[ranks]

    return give


two = pytest.param(2, marks=pytest.mark.slow)


@pytest.mark.parametrize("ranks", [1, two])
def test_losses_are_the_golden_ones(unbroken: Any, ranks: int) -> None:
    golden = json.loads(GOLDEN.read_text())
    expected = golden["losses"][str(ranks)]
    if golden["processor"] == processor():
        assert unbroken(ranks) == expected
    else:
        assert unbroken(ranks) == pytest.approx(expected, rel=1e-3)


def test_the_golden_losses_are_those_of_any_number_of_ranks() -> None:
    golden = json.loads(GOLDEN.read_text())["losses"]
    assert golden["2"] == pytest.approx(golden["1"], rel=1e-5) and len(golden["1"]) == STEPS


@pytest.mark.fault
@pytest.mark.parametrize(
    ("ranks", "step"), [(1, 6), pytest.param(1, 3, marks=pytest.mark.slow), pytest.param(1, 11, marks=pytest.mark.slow),
                        pytest.param(2, 6, marks=pytest.mark.slow)],
)  # fmt: skip
def test_killed_and_resumed_is_unbroken_to_the_bit(folder: Path, unbroken: Any, ranks: int, step: int) -> None:
    name = f"killed-{ranks}-{step}"
    process = train(folder, ranks, name, die_at=step)
    started = time.monotonic()
    code = process.wait(90)
    assert code == (-signal.SIGKILL if ranks == 1 else 1), "it must die"
    assert time.monotonic() - started < 90
    done = len((folder / name / "steps.jsonl").read_text().splitlines())
    assert done < STEPS, "it must not have ended by itself"
    assert train(folder, ranks, name, resume=True).wait(120) == 0
    assert losses(folder / name) == unbroken(ranks)


def write() -> int:
    """Makes the golden file: the losses of one and of two ranks, and what they were made with."""
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        found = {}
        for ranks in (1, 2):
            assert train(prepare(Path(name)), ranks, f"{ranks}").wait() == 0
            found[str(ranks)] = losses(Path(name) / str(ranks))
    GOLDEN.write_text(json.dumps({"processor": processor(), "losses": found}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    raise SystemExit(write() if sys.argv[1] == "write" else run(*sys.argv[2:]))
