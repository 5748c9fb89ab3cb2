"""Several processes that train together, as a launcher starts them: forked from one that has imported the engine once."""

from __future__ import annotations

import multiprocessing
import os
import socket
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(["core.methods.following", "core.methods.distillation"])


def run_ranks(count: int, work: Callable[..., None], *arguments: Any, log: Path) -> list[int | None]:
    """Call `work` in so many processes and return their exit codes, by rank.

    Args:
        work: a function of a module.
        log: where what each prints is written, with the rank behind its name.
    """
    port = _free_port()
    processes = [context.Process(target=_rank, args=(rank, count, port, Path(f"{log}.{rank}"), dict(os.environ), work, arguments))
                 for rank in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return [process.exitcode for process in processes]


def _rank(rank: int, count: int, port: int, log: Path, environment: dict[str, str], work: Callable[..., None],
          arguments: tuple[Any, ...]) -> None:
    with log.open("w") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
        os.environ.update(environment | {
            "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count),
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"})
        code = 0
        try:
            work(*arguments)
        except BaseException:
            traceback.print_exc()
            code = 1
        sys.stdout.flush()
        sys.stderr.flush()
        # The interpreter must not be torn down: gloo's threads, which the wrapped model keeps, may still run then and abort it.
        os._exit(code)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
