"""A SLURM cluster of its own on the loopback: one controller and two node daemons of this machine, in a folder of their own."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.waiting import wait_until
from tests.workbench.launch.installed import require_installed

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol")
NODES = ("127.0.0.1", "127.0.0.2")  # names that are addresses: processes of a job find each other by them
CONF = """
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SchedulerParameters=sched_interval=1,bf_interval=1
ReturnToService=2
SlurmdTimeout=30
MinJobAge=600
KillWait=5
NodeName={nodes[0]} NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=2 RealMemory=1000
NodeName={nodes[1]} NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=2 RealMemory=1000
PartitionName=main Nodes={nodes[0]},{nodes[1]} Default=YES MaxTime=120 State=UP PriorityTier=1 GraceTime=120
PartitionName=urgent Nodes={nodes[0]},{nodes[1]} MaxTime=120 State=UP PriorityTier=10
"""


@dataclass(frozen=True)
class Cluster:
    """A running cluster; its commands find it by SLURM_CONF."""

    folder: Path

    def run(self, *command: str) -> str:
        """What a command of SLURM prints."""
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def state(self, job_id: str) -> str:
        """State of a job."""
        return self.run("scontrol", "show", "job", "-o", job_id).partition("JobState=")[2].split()[0]


@contextlib.contextmanager
def cluster() -> Iterator[Cluster]:
    """Start a cluster, wait until both nodes are idle, and end its daemons, and what jobs have left, afterwards."""
    require_installed(PROGRAMS, "slurm-wlm munge")
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))  # short: sockets lie in it, whose paths may have 108 characters
    for name in ("state", *(f"spool-{node}" for node in NODES)):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o600)
    conf = folder / "slurm.conf"
    conf.write_text(CONF.format(folder=folder, host=socket.gethostname(), user=getpass.getuser(), nodes=NODES,
                                ports=[_free_port() for _ in range(3)]))
    before = dict(os.environ)
    os.environ.update({"SLURM_CONF": str(conf), "PATH": f"{os.environ['PATH']}:/usr/sbin"})
    try:
        _start("munged", f"--key-file={key}", f"--socket={folder}/munge.sock", f"--pid-file={folder}/munge.pid",
               f"--log-file={folder}/munge.log", f"--seed-file={folder}/munge.seed", "--force")
        _start("slurmctld", "-f", str(conf), "-c")
        for node in NODES:
            _start("slurmd", "-f", str(conf), "-N", node)
        made = Cluster(folder)
        wait_until(lambda: made.run("sinfo", "-h", "-N", "-p", "main", "-o", "%T").split() == ["idle", "idle"],
                   lambda: f"two idle nodes: {made.run('sinfo', '-N', '-l')}")
        yield made
    finally:
        with contextlib.suppress(subprocess.SubprocessError, OSError):
            subprocess.run(["scancel", "--state=RUNNING"], check=False, timeout=30)
        for pid_file in folder.glob("*.pid"):
            with contextlib.suppress(OSError, ValueError, psutil.Error):
                daemon = psutil.Process(int(pid_file.read_text()))
                daemon.terminate()
                daemon.wait(30)
        os.environ.clear()
        os.environ.update(before)
        shutil.rmtree(folder, ignore_errors=True)


def _start(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
