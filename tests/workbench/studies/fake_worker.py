"""``python -m tests.workbench.studies.fake_worker KIND FOLDER SEEDS``: the worker, with claims and trainings that take no time, never
end or fail, by the claim's or the recipe's name."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from core.config import ExperimentConfig
from core.errors import NonFiniteLossError
from core.events import Phase
from core.recorder import Recorder, StopRequested, stop_if_requested
from core.reports.run_report import RunReport
from core.studies.ablation import run
from core.studies.claims import registry
from tests.core.studies.claims.fake_claims import fake
from workbench.studies import worker


def endless(seed, setting, recorder):
    recorder.event(Phase("Walk", "student"))
    step = 0
    while not recorder.should_stop():
        step += 1
        recorder.log("student", step, {"loss": 1.0})
        time.sleep(0.02)
    raise StopRequested


def broken(seed, setting, recorder):
    raise FloatingPointError("stumbled")


def killed(seed, setting, recorder):
    os._exit(9)


PROTOCOLS = {"ENDLESS": endless, "BROKEN": broken, "KILLED": killed}


def trained(config: ExperimentConfig, recorder: Recorder, **_rest: Any) -> RunReport:
    recorder.event(Phase("steps", total_steps=1000))
    if config.name == "broken":
        raise NonFiniteLossError("The loss became NaN.", "", "Lower the rate.")
    step = 0
    while config.name == "endless":
        step += 1
        time.sleep(0.02)
        recorder.log("student", step, {"loss": 1.0})
        stop_if_requested(recorder)
    return RunReport.from_dict({"seconds": 0.1, "metrics": {"student_after": {"cross_entropy": 3.0 + config.losses.w_kd.start}}})


if __name__ == "__main__":
    registry.CLAIMS.clear()
    registry.CLAIMS.update({"X1": fake("X1")} | {name: fake(name, protocol=protocol) for name, protocol in PROTOCOLS.items()})
    run.trained = trained
    sys.exit(worker.main())
