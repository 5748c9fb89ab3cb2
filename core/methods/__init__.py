"""The systems that papers describe, each as a module that reads like its paper, and which of them carries an experiment out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from core.config import ExperimentConfig


def engine_for(config: ExperimentConfig) -> Callable[..., dict[str, Any]]:
    """What carries an experiment out: a chain, a bridge, fine-tuning on a task, or the distillation of one student. All are called
    alike; see `core.methods.distillation.distill`."""
    if config.chain is not None:
        from core.methods.chain import build_chain

        return build_chain
    if config.bridge is not None:
        from core.methods.bridge import bridge_distill

        return bridge_distill
    if config.task is not None:
        from core.methods.fine_tuning import tune

        return tune
    from core.methods.distillation import distill

    return distill
