"""Starts the processes of a run on this machine: ``torch.distributed.run``, which also ends all where one fails and says which did.

    python -m workbench.launch.agent FOLDER PROCESSES
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from core.system.files import write_json
from workbench.launch.family import as_parent, end_with_parent
from workbench.launch.job import FOLDER

FAILURES = "failures.json"  # rank -> exit code, of those that failed first


def main(arguments: list[str] | None = None) -> int:
    """Start the processes and wait for them; return 0 where all ended well."""
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    parser = argparse.ArgumentParser(prog="python -m workbench.launch.agent", description="Start the processes of a run on this machine.")
    parser.add_argument("directory", type=Path, help="path; the run's folder")
    parser.add_argument("processes", type=int, help="count")
    options = parser.parse_args(arguments)
    end_with_parent()
    os.environ.update(as_parent(os.environ))
    try:
        run.run(run.parse_args(["--standalone", f"--nproc-per-node={options.processes}", "--local-addr=127.0.0.1", "--monitor-interval=0.2",
                                "-m", "workbench.launch.rank", str(options.directory)]))
    except ChildFailedError as error:
        write_json(options.directory / FOLDER / FAILURES, {rank: failure.exitcode for rank, failure in error.failures.items()})
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
