"""Carries a verb out in a child of this process, so that somebody is left to say what happened when the system ends it for lack of memory.

The system ends the process that holds most memory, by a signal that no program can answer. On Linux, whose control groups do so most, a
verb that computes is carried out in a child therefore, and this process, which holds next to nothing, waits for it: signals from other
processes are handed on, and those of the terminal reach both.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import signal
import sys

from core.system import machine, ranks
from workbench.error_mapping import LESS_TO_TRAIN, killed_error
from workbench.errors import StoreError
from workbench.processes import offer_memory

TRAINING = ("distill", "chain", "ablate", "plan", "sweep", "claim", "signals")  # verbs that need less memory where a recipe asks for less
COMPUTING = ("distill", "chain", "ablate", "interpolate", "generate", "export", "evaluate", "annotate",
             "serve-teacher")  # verbs that always import torch
HANDED_ON = {getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)}  # Windows has no SIGHUP
PARENT_ENDS = 1  # Linux's PR_SET_PDEATHSIG: the signal that a process gets when the one that started it ends


def computes(options: argparse.Namespace) -> bool:
    """Return whether a verb imports torch."""
    return options.verb in COMPUTING or (options.verb == "plan" and options.measure) or (
        options.verb == "sweep" and not options.no_measure) or (
        options.verb == "signals" and options.action_name == "build") or (
        options.verb == "claim" and bool(options.names or options.all))


def less_memory(verb: str | None) -> str:
    """Return how a verb gets by with less memory, as a sentence."""
    return LESS_TO_TRAIN if verb in TRAINING else "Choose a smaller model, or close other programs."


def in_child(verb: str) -> int | None:
    """Continue in a child of this process, on Linux, unless this is one of several that were started together. Call it in the one thread.

    Returns:
        None in the child. In the process that waited, the exit code of the child; one that was ended by another signal than SIGKILL
        ends this process by the same.

    Raises:
        OutOfMemoryError: the child was ended by SIGKILL, in all likelihood by the system.
    """
    if sys.platform != "linux" or ranks.started_together() > 1:
        return None
    sys.stdout.flush()
    sys.stderr.flush()
    parent, before = os.getpid(), machine.ended_for_memory()
    # One that is ignored here, as after nohup, is waited for too once it is blocked: the child may handle it.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {*HANDED_ON, signal.SIGCHLD})
    child = os.fork()
    if child == 0:
        ctypes.CDLL(None).prctl(PARENT_ENDS, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before that
            os._exit(1)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        offer_memory()
        return None
    status = _wait_for(child)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    if status == -signal.SIGKILL:
        raise killed_error(f"The process of '{verb}'", less_memory(verb), since=before, run=_lost_run(child))
    if status < 0:
        signal.signal(-status, signal.SIG_DFL)
        os.kill(parent, -status)
    return status


def _wait_for(child: int) -> int:
    """Return the exit status of the child, negative for a signal; hand on what other processes send meanwhile."""
    while True:
        caught = signal.sigwaitinfo({*HANDED_ON, signal.SIGCHLD})
        if caught.si_signo == signal.SIGCHLD:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
        elif caught.si_code <= 0:  # from a process; what the terminal sends, the child has got too
            os.kill(child, caught.si_signo)


def _lost_run(process: int) -> str:
    """Record a run of that process as lost, and return its name; empty where there is none."""
    from workbench.runs import jobs
    from workbench.store import Store
    from workbench.store.records import ACTIVE

    name = ""
    with contextlib.suppress(StoreError):  # it is the process that is spoken of, with or without a store
        store = Store()
        name = next((run.name for run in store.runs(status=ACTIVE) if run.process is not None and run.process.pid == process), "")
        jobs.reconcile(store)
    return name
