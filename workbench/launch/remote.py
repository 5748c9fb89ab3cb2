"""A run as a job of a SLURM cluster that shares no folder with this machine: its commands by ssh, its files by rsync.

    FOLDER/inputs/<key>/NAME    data and models of this machine (`workbench.launch.copies`); they stay for later runs
    FOLDER/<run>/               the run's folder, until all of it is back and verified

Nothing is submitted before the host has what is needed and every file is there. While a job is under way ``ranks/`` comes back, records
and logs; when it has ended, everything. A connection may be lost at any moment: what is called again continues, and a job of which no
answer came back is found by ``ranks/submitted``.
"""

from __future__ import annotations

import random
import re
import shlex
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from core import __version__
from core.system.files import write_json
from core.system.units import format_bytes
from workbench.errors import HostError, LaunchError
from workbench.launch.copies import PATHS, Copies, copies_of, paths_here, placed_there, restore_documents
from workbench.launch.host import NOT_FOUND, Host
from workbench.launch.job import FOLDER, STOP, Job
from workbench.launch.launcher import Progress, SlurmSpec
from workbench.launch.slurm import PRINTED, SCRIPT, Slurm, job_id_of, refusal
from workbench.processes import log_tail

SUBMITTED, BACK = "submitted", "back"  # in ranks/: the id of the job, there; that everything came back, here
OWN = ("--exclude=/log.txt", "--exclude=/journal.jsonl", "--exclude=/.reserve")  # files of the process that watches
GONE = ("--delete", "--filter=risk /checkpoints/***", "--filter=protect *")  # checkpoints that a run has removed at its end, and no more
ATTEMPTS = 6  # at submitting a job; the waits between them are about a minute
QUESTIONS = """
command -v rsync >/dev/null && echo 'has rsync'
command -v sbatch >/dev/null && echo 'has sbatch'
mkdir -p -- FOLDER 2>&1 | sed 's/^/folder: /'
test -d FOLDER && test -w FOLDER && echo 'has folder'
df -Pk -- FOLDER | awk 'NR == 2 { print "free", $4 }'
( cd /
SETUP
PYTHON -c 'PROGRAM'
) </dev/null 2>&1 | sed 's/^/python: /'
"""
PROGRAM = ('import importlib.util as u; from core import __version__ as v; '
           'print("stillhouse", v, *(n for n in ("torch", "submitit") if not u.find_spec(n)))')


class RemoteSlurm(Slurm):
    """Submits jobs on a host, and brings back what they write.

    Args:
        spec: settings of its jobs, with a host and a folder there.
        directory: the run's folder here.
    """

    patience = 86_400.0  # seconds; a machine that is carried home finds its job again

    def __init__(self, spec: SlurmSpec, directory: Path) -> None:
        super().__init__(spec)
        assert spec.host is not None and spec.folder is not None, "SlurmSpec sees to it"
        self.poll = float(spec.sync_seconds)
        self._host, self._here, self._stop_sent = Host(spec.host), directory, False
        self._folder = spec.folder.rstrip("/")
        self._there = f"{self._folder}/{directory.name}"

    def script(self, job: Job) -> str:
        """Return the script as `Slurm`, with the paths of the host."""
        return super().script(replace(job, directory=Path(self._there)))

    def copies(self, job: Job) -> Copies:
        """Return what is copied there for a job."""
        return copies_of(job, self._folder)

    def commands(self, job: Job) -> list[str]:
        """Return the commands that `submit` carries out, and `sync` at the end, for a terminal."""
        lines = [self._host.push_command(item.source, _parent(item.target)) for item in self.copies(job).items]
        lines += [self._push_run(), ["ssh", self._host.name, f"sbatch --parsable {shlex.quote(f'{self._there}/{FOLDER}/{SCRIPT}')}"],
                  self._pull_run(), ["ssh", self._host.name, f"rm -rf -- {shlex.quote(self._there)}"]]
        return [shlex.join(line) for line in lines]

    def require_ready(self, needed_bytes: int = 0) -> None:
        """Look at the host once: rsync, sbatch, a folder that can be written with that much room, and this release of Stillhouse.

        Raises:
            HostError: ssh does not get through.
            LaunchError: what is missing there.
        """
        name, spec = self._host.name, self._spec
        values = {"FOLDER": shlex.quote(self._folder), "PYTHON": self._python(), "PROGRAM": PROGRAM, "SETUP": "\n".join(spec.setup)}
        lines = self._host.script(re.sub("|".join(values), lambda found: values[found[0]], QUESTIONS)).out.splitlines()
        for program, what in (("rsync", "It copies the files of a run."), ("sbatch", "A host from which jobs are submitted was expected.")):
            if f"has {program}" not in lines:
                raise LaunchError(f"There is no {program} on '{name}'.", what, "Have it installed there, or name another host.")
        if "has folder" not in lines:
            said = next((line.partition(": ")[2] for line in lines if line.startswith("folder: ")), "it cannot be written")
            raise LaunchError(f"'{self._folder}' on '{name}' is no folder for runs ({said}).", "A folder that can be written was expected.",
                              "Set the launcher's folder to one, as of your scratch space.")
        _require_release(name, spec.python or "python3", [line.partition(": ")[2] for line in lines if line.startswith("python: ")])
        free = next((int(line.split()[1]) * 1024 for line in lines if re.fullmatch(r"free \d+", line)), needed_bytes)
        if free < needed_bytes:
            raise LaunchError(f"The disk of '{self._folder}' on '{name}' has {format_bytes(free)} left.",
                              f"{format_bytes(needed_bytes)} are copied there for this run.",
                              "Make room there, or set the launcher's folder to one on another disk.")

    def submit(self, job: Job, on_progress: Progress) -> str:
        """Copy everything, then hand the script to sbatch there; where the connection is lost, again from where it was."""
        for attempt in range(1, ATTEMPTS):
            try:
                return self._submit(job, on_progress)
            except HostError as error:
                if error.lasting:
                    raise
                on_progress(f"{error.given} Trying again.")
                time.sleep(2 ** attempt * random.uniform(0.5, 1.5))  # others of a sweep do too, and a server takes only so many at once
        return self._submit(job, on_progress)

    def _submit(self, job: Job, on_progress: Progress) -> str:
        """Do what `submit` does, or return the job of an earlier call whose answer was lost."""
        copies = self.copies(job)
        on_progress(f"Checking {self._host.name}.")
        self.require_ready(copies.bytes)
        if earlier := self._earlier():
            return earlier
        placed_there(job, copies).write()
        (job.folder / SCRIPT).write_text(self.script(job), encoding="utf-8")
        write_json(job.folder / PATHS, {item.target: item.source for item in copies.items} | {self._there: str(self._here)})
        self._done("mkdir", "-p", "--", self._there, *(_parent(item.target) for item in copies.items))
        for item in copies.items:
            self._copy(self._host.push_command(item.source, _parent(item.target)), on_progress,
                       f"Copying {item.source} ({format_bytes(item.bytes)}) to {self._host.name}")
        self._copy(self._push_run(), on_progress, f"Copying the run's folder to {self._host.name}")
        done = self._host.script(f"set -e\ncd -- {shlex.quote(f'{self._there}/{FOLDER}')}\n"
                                 f"sbatch --parsable {SCRIPT} > {SUBMITTED}.partial\nmv {SUBMITTED}.partial {SUBMITTED}\ncat {SUBMITTED}")
        if done.code:
            raise refusal("sbatch", done.err)
        return job_id_of(done.out)

    def sync(self, on_progress: Progress, *, ended: bool = False) -> str:
        """Bring back records and logs, and a request to stop there; in the end everything, verified, and remove it there."""
        ranks = self._here / FOLDER
        if not ended:
            if (ranks / BACK).exists():
                return ""
            if (ranks / STOP).exists() and not self._stop_sent:
                self._done("touch", "--", f"{self._there}/{FOLDER}/{STOP}")
                self._stop_sent = True
            self._host.copy(self._host.pull_command(f"{self._there}/{FOLDER}", ranks, "--exclude=*.partial"))
            return ""
        if not (ranks / BACK).exists():
            self._bring_back(on_progress)
            restore_documents(self._here, paths_here(ranks))
            (ranks / BACK).touch()
        try:
            self._done("rm", "-rf", "--", self._there)
        except LaunchError as error:
            return (f"Everything is here, and the run's folder on {self._host.name} could not be removed: {error.given} "
                    f"Remove {self._there} there.")
        return ""

    def log(self, job_id: str) -> str:
        """Return the end of what srun and the shell of the job printed, which came back with the rest."""
        return "\n".join(log_tail(path, PRINTED).strip() for path in sorted((self._here / FOLDER).glob(f"{job_id}_*_log.out")))

    def _python(self) -> str:
        return shlex.quote(self._spec.python or "python3")

    def _imports(self) -> list[str]:
        return []  # it is installed there

    def _run(self, *command: str) -> str:
        done = self._host.run(*command)
        if done.code == NOT_FOUND:
            raise LaunchError(f"'{command[0]}' is not on '{self._host.name}'.", "A host that submits jobs of a SLURM cluster was expected.",
                              "Name another host in the launcher's settings.")
        if done.code:
            raise refusal(command[0], done.err)
        return done.out

    def _done(self, *command: str) -> None:
        done = self._host.run(*command)
        if done.code:
            raise LaunchError(f"'{self._host.name}' refuses it ({' '.join(done.err.split())}).",
                              "A folder that can be written was expected.", "Put that right, and try again.")

    def _earlier(self) -> str:
        """Return the id of a job of this run that was handed over; empty where none was."""
        return job_id_of(self._host.run("cat", "--", f"{self._there}/{FOLDER}/{SUBMITTED}").out)

    def _push_run(self) -> list[str]:
        return self._host.push_command(f"{self._here}/", self._there, *OWN, "--delete")

    def _pull_run(self, *options: str) -> list[str]:
        return self._host.pull_command(self._there, self._here, *OWN, *GONE, *options)

    def _bring_back(self, on_progress: Progress) -> None:
        """Copy the run's folder, and compare every file by its checksum; what differs is copied once more."""
        name = self._host.name
        self._copy(self._pull_run(), on_progress, f"Copying the run's folder from {name}")
        on_progress(f"Verifying what came from {name}.")
        if self._host.differences(self._there, self._here, *OWN):
            self._copy(self._pull_run("--checksum"), on_progress, f"Copying what differs from {name} again")
            if wrong := self._host.differences(self._there, self._here, *OWN):
                raise LaunchError(f"{wrong[0]} of the run is not here what it is on '{name}' ({len(wrong)} files differ).",
                                  "Equal checksums were expected.", f"The run's folder is still there: {self._there}")

    def _copy(self, command: Sequence[str], on_progress: Progress, what: str) -> None:
        on_progress(f"{what}.")
        self._host.copy(command, lambda percent: on_progress(f"{what}: {percent}%"))


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _require_release(host: str, python: str, printed: Sequence[str]) -> None:
    """Raise LaunchError if the Python of a host has another release, or none, by what it printed."""
    found = next((line.split() for line in printed if line.startswith("stillhouse ")), None)
    install = f"Install it there (pip install 'stillhouse[slurm]=={__version__}'), and set the launcher's python to that environment's."
    if found is None:
        raise LaunchError(f"'{python}' on '{host}' has no Stillhouse ({(printed or ['it printed nothing'])[-1]}).",
                          f"Stillhouse {__version__}, as here, was expected.", install)
    _, version, *missing = found
    if version != __version__:
        raise LaunchError(f"'{python}' on '{host}' has Stillhouse {version}.", f"Stillhouse {__version__}, as here, was expected.", install)
    if missing:
        raise LaunchError(f"'{python}' on '{host}' has no {' and no '.join(missing)}.", "They carry out a job.", install)
