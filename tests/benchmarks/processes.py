"""What several GPUs are worth: tokens a second of one recipe on 1, 2, 4, ... of them, and each one's share of the first's speed.

    python -m tests.benchmarks processes        on a machine with several GPUs; elsewhere there is nothing to measure
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from core.recipes import read_recipe
from core.recorder import STUDENT
from tests.benchmarks.table import ROOT, Figure
from workbench.runs import jobs
from workbench.runs.slots import visible_gpus
from workbench.store import Store

OVERRIDES = ("control=false", "train.max_steps=200", "train.per_device_train_batch_size=64", "evaluation.sentiment_items=0",
             "evaluation.prompts=[]", "evaluation.eval_steps=200", "data.max_rows=null")


def speed(store: Store, processes: int) -> float:
    """Tokens a second at the end of a run of quickstart with large steps."""
    recipe = read_recipe(ROOT / "assets" / "recipes" / "quickstart.yaml", [*OVERRIDES, f"train.processes={processes}", "train.device=cuda"])
    run = jobs.submit(recipe, store)
    while store.run(run.id).active:
        time.sleep(1)
    assert store.run(run.id).status == "finished", jobs.log_tail(store.run(run.id))
    return store.latest_metrics(run.id)[STUDENT]["tokens_per_second"]


def figures() -> list[Figure]:
    """The rows of the table."""
    counts = [2**power for power in range(10) if 2**power <= len(visible_gpus())]
    if len(counts) < 2:
        return []
    with tempfile.TemporaryDirectory() as home:
        store = Store(Path(home) / "store.sqlite")
        found = {count: speed(store, count) for count in counts}
    first = found[1]
    return [Figure(f"training on {count} GPUs", value, "tokens/s", "", None,
                   f"speed-up {value / first:.2f}, efficiency {value / first / count:.0%}") for count, value in found.items()]
