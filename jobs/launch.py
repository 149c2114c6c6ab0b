"""Ranks on Spark's executors: horovod.spark.run, or pyspark's TorchDistributor. The driver only waits.

The servers of both listen on loopback where Spark is local. On a cluster: where `SECURITY.md` says.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from fakeit.pipelines.errors import FakeitError


def launch(launcher: str, ranks: int, work: Callable[..., int], arguments: tuple[Any, ...]) -> int:
    """Runs `work(*arguments)` as `ranks` ranks; returns the first's result.

    Raises:
        FakeitError: Spark is not here, or a rank failed.
    """
    try:
        from fakeit.pipelines.machine.runners import spark_session
    except ImportError as error:
        raise FakeitError(f"--launcher {launcher} needs pyspark ({error})") from error
    # The ranks are new processes beside Spark's workers: here they find the code where the driver has it, …
    root = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))  # not fakeit/, whose folders are links
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    session = spark_session("fakeit train")
    folder, context = os.getcwd(), session.sparkContext
    from fakeit.model.distributed import launchers
    from fakeit.pipelines.machine import shipping

    try:
        slots, master = context.defaultParallelism, context.master
        local = master.startswith("local")
        if not local:  # … on other machines in what was shipped
            context.environment["PYTHONPATH"] = shipping.code_on_executors(context)
        if launcher == "spark" and local and slots < ranks:  # Horovod would wait for ever
            raise FakeitError(
                f"--ranks is {ranks}, but Spark at {master} runs {slots} tasks at once here; "
                f"say ./spark-submit.sh --master 'local[{ranks}]' jobs/train.py …"
            )
        if launcher == "torch":
            from pyspark.ml.torch.distributor import TorchDistributor

            launchers.bind_torch_distributor()
            distributor = TorchDistributor(num_processes=ranks, local_mode=local, use_gpu=False)
            return int(distributor.run(_rank, folder, work, arguments) or 0)
        call = (folder, work, arguments)
        return int(launchers.horovod_on_spark(_rank, call, ranks, "" if local else context.pythonExec) or 0)
    except FakeitError:
        raise
    except Exception as error:  # both launchers raise bare RuntimeErrors around a rank's own error
        line = str(error).strip().splitlines() or [type(error).__name__]
        raise FakeitError(f"a rank failed: {line[-1]}") from error
    finally:
        session.stop()


def _rank(folder: str, work: Callable[..., int], arguments: tuple[Any, ...]) -> int:
    if os.path.isdir(folder):
        os.chdir(folder)  # relative paths mean what they mean to the driver
    return work(*arguments)


if __name__ == "__main__":
    print(f"usage: python jobs/train.py --launcher spark|torch --ranks N …   (no job of its own)\n\n{__doc__}")
