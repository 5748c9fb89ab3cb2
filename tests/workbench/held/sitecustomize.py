"""Holds the training of a run at a step; imported by every interpreter that is started with this folder in PYTHONPATH.

`tests/workbench/held_steps.py` says in the environment which step it is and for how long.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
import time
from collections.abc import Sequence
from types import ModuleType
from typing import Any

MODULE = "core.training.base_trainer"
POLL = 0.02  # seconds


class _Finder(importlib.abc.MetaPathFinder):
    """Changes the trainer as it is imported; nothing is imported for it."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> importlib.machinery.ModuleSpec | None:
        if name != MODULE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        assert spec is not None and spec.loader is not None
        execute = spec.loader.exec_module

        def executed(module: ModuleType) -> None:
            execute(module)
            _hold(module.BaseTrainer)

        spec.loader.exec_module = executed
        return spec


def _hold(trainer: Any) -> None:
    step = trainer.training_step

    def held(self: Any, *given: Any, **named: Any) -> Any:
        # The other ranks wait for the first at the step's end; a job that is preempted takes the step, to be stopped behind it.
        while (self.is_world_process_zero() and self.state.global_step == int(os.environ["HELD_AT"])
               and os.path.exists(os.environ["HELD_WHILE"]) and not getattr(self.recorder, "interrupted", 0)):
            time.sleep(POLL)
        return step(self, *given, **named)

    trainer.training_step = held


sys.meta_path.insert(0, _Finder())
