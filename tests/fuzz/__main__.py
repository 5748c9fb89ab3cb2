"""Answer many hostile inputs in one process and report what they cost: ``python -m tests.fuzz recipes 1000``."""

from __future__ import annotations

import os
import sys
import tempfile
from collections import Counter

from tests.fuzz import data_files, folders, recipes, templates, tokenizers
from tests.fuzz.measuring import Cost, measured

KINDS = {"recipes": recipes.answer, "folders": folders.answer, "data": data_files.answer, "templates": templates.answer,
         "tokenizers": tokenizers.answer}


def main(kind: str, count: int, first: int = 0) -> int:
    """Print the faults, the slowest and the largest of `count` answers; return 1 where there is a fault."""
    answer = KINDS[kind]
    with tempfile.TemporaryDirectory() as home:
        os.environ["STILLHOUSE_HOME"], os.environ["HF_HUB_OFFLINE"] = home, "1"
        answer(first) if kind == "none" else measured(lambda: answer(first))  # imports
        costs: list[tuple[int, Cost]] = [(seed, measured(lambda seed=seed: answer(seed))) for seed in range(first, first + count)]
    faults = Counter(cost.fault.splitlines()[-1][:160] for _, cost in costs if cost.fault)
    for line, number in faults.most_common():
        seed, example = next((seed, cost) for seed, cost in costs if cost.fault and cost.fault.splitlines()[-1][:160] == line)
        print(f"{number} x {line}\n  seed {seed}\n{example.fault}")
    slowest, largest = max(costs, key=lambda each: each[1].seconds), max(costs, key=lambda each: each[1].mebibytes)
    refused = sum(not cost.fault and "Error: " in cost.said for _, cost in costs)
    print(f"{count} {kind}: {refused} refused, {sum(faults.values())} faults; slowest {slowest[1].seconds:.2f} s (seed {slowest[0]}); "
          f"most memory {largest[1].mebibytes:.0f} MiB above the base (seed {largest[0]})")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], *map(int, sys.argv[2:])))
