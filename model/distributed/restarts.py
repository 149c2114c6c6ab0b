"""torchrun that starts its ranks again when one is lost (`--max-restarts`), with those that are left (`--nnodes 1:2`).

The ranks are new processes then, and the job goes on from its newest checkpoint by itself, with however many there are:
a plan's batches are the same for any number of ranks. Rank 0 keeps how many there were, to say who is missing.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from fakeit.model.distributed.communicator import Comm
from fakeit.pipelines.errors import FakeitError

RANKS = "ranks.json"


def check_output(output: str | None) -> None:
    """Raises FakeitError: ranks that may be started again need a folder that is the same after it."""
    if _may_start_again() and not output:
        raise FakeitError("torchrun's --max-restarts needs --output: a run that is started again goes on there")


def _may_start_again() -> bool:
    return int(os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0")) > 0


def goes_on(comm: Comm, output: Path, resume: bool) -> bool:
    """Whether torchrun started these ranks again and a checkpoint of theirs stands; rank 0 says so. Collective.

    Args:
        comm: the ranks.
        output: folder of the run.
        resume: the launch was told to go on with the run that is there; else `train` refuses one of an earlier launch,
            and being started again for that makes it nobody's to go on with.
    """
    if not _may_start_again():
        return False
    restart = max(comm.gather(int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))))
    again = False
    if comm.rank == 0:
        note, stands = output / RANKS, any((output / "checkpoints").glob("step-*.pt"))
        noted = restart > 0 and note.is_file()
        if noted or resume or not stands:
            before = json.loads(note.read_text()) if noted else comm.size
            output.mkdir(parents=True, exist_ok=True)
            note.write_text(json.dumps(comm.size))
            again = restart > 0 and stands
            if restart:
                what = "from the newest checkpoint; what came after it is done again" if again else "from the beginning"
                print(f"a rank was lost: start {restart + 1}, {comm.size} of {before} ranks go on {what}", flush=True)
        else:
            note.unlink(missing_ok=True)
    return bool(comm.broadcast(again))
