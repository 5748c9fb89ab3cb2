"""``python -m tests.workbench.checks.fake_worker NAME``: the worker, with claims that take no time, or as long as they are left alone."""

from __future__ import annotations

import os
import sys
import time

from core.claims import registry
from core.recorder import Stopped
from tests.core.claims.fake_claims import fake
from workbench.checks import worker


def endless(seed, setting, recorder):
    recorder.event("phase", {"name": "Walk", "arm": "student", "total_steps": None})
    step = 0
    while not recorder.should_stop():
        step += 1
        recorder.log("student", step, {"loss": 1.0})
        time.sleep(0.02)
    raise Stopped


def broken(seed, setting, recorder):
    raise FloatingPointError("stumbled")


def killed(seed, setting, recorder):
    os._exit(9)


PROTOCOLS = {"ENDLESS": endless, "BROKEN": broken, "KILLED": killed}

if __name__ == "__main__":
    registry.CLAIMS.clear()
    registry.CLAIMS.update({"X1": fake("X1")} | {name: fake(name, protocol=protocol) for name, protocol in PROTOCOLS.items()})
    sys.exit(worker.main())
