"""The ablation worker with trainings that take no time, never end or fail, by the recipe's name."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from core import ablation_run
from core.config import ExperimentConfig
from core.errors import NonFiniteLoss
from core.recorder import Recorder
from workbench.checks import ablation_worker


def trained(config: ExperimentConfig, recorder: Recorder, **_rest: Any) -> Mapping[str, Any]:
    recorder.event("phase", {"name": "steps", "total_steps": 1000})
    if config.name == "broken":
        raise NonFiniteLoss("The loss became NaN.", "", "Lower the rate.")
    step = 0
    while config.name == "endless":
        step += 1
        time.sleep(0.02)
        recorder.log("student", step, {"loss": 1.0})
        if recorder.should_stop():
            return {"stopped": True}
    return {"stopped": False, "seconds": 0.1, "metrics": {"student_after": {"cross_entropy": 3.0 + config.losses.w_kd.start}}}


if __name__ == "__main__":
    ablation_run.trained = trained
    raise SystemExit(ablation_worker.main())
