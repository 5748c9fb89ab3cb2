"""A run as a job of a SLURM cluster: submitit writes the script, SLURM's own commands do the rest.

The job's tasks are the processes of the run. SLURM sends SIGUSR2 before the time limit, and SIGTERM to a job that is preempted: rank 0
saves a checkpoint and queues the job again. One that gets no time for it (a partition's GraceTime) SLURM queues again itself, to continue
from an earlier checkpoint.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from core.system.paths import SOURCE
from workbench.errors import HostError, LaunchError
from workbench.launch.job import Job
from workbench.launch.launcher import JobStatus, Progress, SlurmSpec
from workbench.processes import log_tail

SCRIPT = "job.sh"  # in ``ranks/`` of the run
NOT_SHARED = 44  # exit code of a process that does not find the run's folder
ANSWER_SECONDS = 60.0  # that a command of SLURM gets
PRINTED = 2000  # bytes of the end of a job's output that are shown
WAITING = ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT", "REQUEUE_FED", "RESV_DEL_HOLD", "SUSPENDED")
UNDER_WAY = ("RUNNING", "COMPLETING", "RESIZING", "SIGNALING", "STAGE_OUT", "STOPPED")
FAILURES = {  # state of a job -> what happened
    "OUT_OF_MEMORY": "It used more memory than the job has (memory_gib).", "TIMEOUT": "It reached its time limit before a checkpoint was "
    "saved; give it more minutes or warning_seconds.", "NODE_FAIL": "A machine failed.", "BOOT_FAIL": "A machine did not start.",
    "DEADLINE": "The cluster's deadline for it has passed."}


class Slurm:
    """Submits jobs to the cluster that `sbatch` of this machine knows.

    Args:
        spec: settings of its jobs.
    """

    outlives, poll, patience = True, 2.0, 600.0

    def __init__(self, spec: SlurmSpec) -> None:
        self._spec = spec

    def script(self, job: Job) -> str:
        """Return the script that `submit` hands to sbatch. Raises LaunchError where submitit is not installed."""
        _leave_logging_alone()
        try:
            from submitit.slurm.slurm import _make_sbatch_string  # the part of its executor that pickles nothing
        except ImportError as error:
            raise LaunchError("submitit is not installed.", "It writes the scripts of SLURM jobs.",
                              "Install it (pip install 'stillhouse[slurm]').") from error
        spec = self._spec
        given: dict[str, Any] = {"partition": spec.partition, "account": spec.account, "gpus_per_node": spec.gpus_per_node or None,
                                 "mem": f"{round(spec.memory_gib * 1024)}M" if spec.memory_gib else None}
        no_wckey: dict[str, Any] = {"wckey": None}  # a label for the accounting that submitit would set
        text: str = _make_sbatch_string(
            f"{self._python()} -u -m workbench.launch.rank {shlex.quote(str(job.directory))}", job.folder,
            job_name=f"stillhouse-{job.config.name or job.directory.name}", time=spec.minutes, nodes=spec.nodes,
            ntasks_per_node=spec.processes_per_node, cpus_per_task=spec.cpus_per_task, signal_delay_s=spec.warning_seconds,
            setup=[*spec.setup, *self._imports(), "export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1} TQDM_DISABLE=1",
                   f"test -f {shlex.quote(str(job.folder / 'job.json'))} || exit {NOT_SHARED}"],
            additional_parameters={**spec.extra, "requeue": True}, srun_args=["--kill-on-bad-exit=1"], stderr_to_stdout=True,
            **{name: value for name, value in given.items() if value is not None}, **no_wckey)
        return text

    def _python(self) -> str:
        """Return the command of the cluster's Python."""
        return shlex.quote(self._spec.python or sys.executable)

    def _imports(self) -> list[str]:
        """Return the lines by which a job finds this code: by its path, which the machines of the cluster see too."""
        return [f"export PYTHONPATH={shlex.quote(str(SOURCE))}${{PYTHONPATH:+:$PYTHONPATH}}"]

    def _run(self, *command: str) -> str:
        """Return what a command of SLURM prints. Raises LaunchError."""
        return _slurm(*command)

    def submit(self, job: Job, on_progress: Progress) -> str:
        """Hand the script to sbatch, and return the job's id."""
        path = job.folder / SCRIPT
        path.write_text(self.script(job), encoding="utf-8")
        return job_id_of(self._run("sbatch", "--parsable", str(path)))

    def sync(self, on_progress: Progress, *, ended: bool = False) -> str:
        """Do nothing: the cluster writes into the run's own folder."""
        return ""

    def status(self, job_id: str) -> JobStatus:
        """Return the state that scontrol or, for jobs of a while ago, sacct tells."""
        try:
            facts = dict(re.findall(r"(\w+)=(\S*)", self._run("scontrol", "show", "job", "-o", job_id)))
        except LaunchError as error:
            if "Invalid job id" not in f"{error.given} {error.expected}":
                raise
            facts = self._accounted(job_id)
        state, nodes, reason = facts.get("JobState", "UNKNOWN"), facts.get("NodeList", ""), facts.get("Reason", "None")
        known = [part for part in (reason if reason != "None" else "", nodes if nodes not in ("", "(null)") else "") if part]
        where = f" on {self._spec.host}" if self._spec.host is not None else ""
        text = f"SLURM job {job_id}{where}: {state}{f' ({chr(44).join(known)})' if known else ''}"
        if restarts := int(facts.get("Restarts") or 0):
            text += f", queued again {restarts} times" if restarts > 1 else ", queued again once"
        if state in WAITING:
            return JobStatus("waiting", text)
        if state in UNDER_WAY:
            return JobStatus("running", text)
        if state == "CANCELLED":
            return JobStatus("ended", text, cancelled=True)
        code = int(facts.get("ExitCode", "0:0").partition(":")[0] or 0)
        if code == NOT_SHARED:
            return JobStatus("ended", text, "The machines of the cluster do not see the run's folder: it is not on a file system that they "
                                            "share. Set the launcher's folder to one that is.")
        return JobStatus("ended", text, f"{text}. {FAILURES[state]}" if state in FAILURES else "")

    def cancel(self, job_id: str) -> None:
        """End a job with scancel."""
        self._run("scancel", job_id)

    def log(self, job_id: str) -> str:
        """Return the end of what srun and the shell of the job printed."""
        facts = dict(re.findall(r"(StdOut)=(\S*)", self._run("scontrol", "show", "job", "-o", job_id)))
        return log_tail(Path(facts["StdOut"]), PRINTED).strip() if "StdOut" in facts else ""

    def _accounted(self, job_id: str) -> dict[str, str]:
        """Return what the accounting says of a job that the controller has forgotten; without accounting, that it is over."""
        try:
            rows = self._run("sacct", "-n", "-X", "-P", "-o", "State,NodeList,ExitCode", "-j", job_id).splitlines()
        except HostError:
            raise
        except LaunchError:
            rows = []
        if not rows:
            return {"JobState": "UNKNOWN"}
        state, nodes, code = rows[-1].split("|")
        return {"JobState": state.split()[0], "NodeList": nodes, "ExitCode": code}


def job_id_of(printed: str) -> str:
    """Return the id in what ``sbatch --parsable`` prints."""
    return printed.strip().partition(";")[0]


def _slurm(*command: str) -> str:
    """Return what a command of SLURM prints. Raises LaunchError in its words where it fails, is not there or does not answer."""
    if shutil.which(command[0]) is None:
        raise LaunchError(f"'{command[0]}' is not here.", "A machine from which jobs of a SLURM cluster are submitted was expected.",
                          "Log in to such a machine and start Stillhouse there, or run it on this one.")
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise LaunchError(f"The SLURM cluster does not answer ({command[0]}).", "", "See sinfo, and try again.") from error
    if done.returncode:
        raise refusal(command[0], done.stderr)
    return done.stdout


def refusal(command: str, stderr: str) -> LaunchError:
    """Return the error of a command of SLURM that failed, in its words."""
    said = " ".join(line.split("error: ")[-1] for line in stderr.splitlines() if line.strip())
    if "Unable to contact" in said or "Connection refused" in said:
        return LaunchError(f"The SLURM cluster is down ({command}).", said, "See sinfo, and try again.")
    return LaunchError(f"The SLURM cluster refuses it ({command}).", said,
                       "Change the launcher's settings; sinfo lists partitions and their limits.")


def enter() -> None:
    """Take up, in a task of a job, the place among the others, in the variables that `core.system.ranks` reads."""
    for name in [name for name in os.environ if name.startswith(("PMI_", "OMPI_COMM_WORLD_", "MV2_COMM_WORLD_"))]:
        del os.environ[name]  # by which libraries would take a task for one of an MPI program
    if os.environ.get("SLURM_NTASKS", "1") != "1":
        _leave_logging_alone()
        from submitit.helpers import TorchDistributedEnvironment

        TorchDistributedEnvironment().export(set_cuda_visible_devices=False)


def _leave_logging_alone() -> None:
    """Keep submitit from configuring logging when it is imported: that closes the handlers of everybody else in this process."""
    os.environ.setdefault("SUBMITIT_LOG_LEVEL", "NOCONFIG")


def in_job() -> bool:
    """Return whether this process is a task of a SLURM job, and has no place among others yet."""
    return "SLURM_PROCID" in os.environ and "RANK" not in os.environ


def requeue() -> None:
    """Queue this job again, which ends it; nothing where somebody has cancelled it, which sends the same signal as a preemption."""
    job_id = os.environ["SLURM_JOB_ID"]
    if dict(re.findall(r"(\w+)=(\S*)", _slurm("scontrol", "show", "job", "-o", job_id))).get("JobState") == "RUNNING":
        _slurm("scontrol", "requeue", job_id)
