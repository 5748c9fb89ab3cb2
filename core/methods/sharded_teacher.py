"""When the processes of a run share out the teacher's weights: once the first student is built of them, before anything is measured."""

from __future__ import annotations

from dataclasses import asdict

from core.methods.run_folder import RunFolder
from core.methods.steps import TrainingInputs, order_of
from core.system import ranks
from core.training.sharding import is_sharded, shard


def shard_teacher(inputs: TrainingInputs, variant: str, folder: RunFolder) -> None:
    """Share out the teacher's weights, once, where the recipe asks for it; rank 0 tells the others."""
    if not inputs.shards_teacher or inputs.teacher is None or is_sharded(inputs.teacher.model):
        return
    if ranks.rank() == 0:
        ranks.send({"shard": asdict(order_of(inputs, variant, folder))})
    shard(inputs.teacher.model, inputs.device)
