"""Runs of one configuration as repetitions: groups, their means over seeds, the difference of two groups, one table of everything.

Of two runs of a group with the same seed the later one counts: a repetition with the same seed is no independent value.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from core.config.fields import flattened
from core.errors import ConfigError
from core.evaluation.statistics import Estimate, difference_over_seeds, mean_interval
from core.recipes import REPETITION_KEYS
from workbench.screens.shared.results import COLUMNS
from workbench.store.records import Run

Measured = Mapping[str, Mapping[str, float]]  # subject -> metrics


@dataclass(frozen=True)
class Group:
    """Runs of one recipe, one a seed, by ascending seed.

    Attributes:
        keys: dotted recipe key -> value, of all keys that the runs share.
        measured: of each run, subject -> metrics.
    """

    keys: Mapping[str, Any]
    runs: tuple[Run, ...]
    measured: tuple[Measured, ...]

    @property
    def seeds(self) -> list[int]:
        """The seeds, ascending."""
        return [run.seed for run in self.runs]

    @property
    def name(self) -> str:
        """What the names of the runs begin with alike; the first name where that is nothing."""
        names = [run.name for run in self.runs]
        columns = itertools.takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
        alike = "".join(letters[0] for letters in columns)
        return names[0] if len(names) == 1 else alike.rstrip("-_. ") or names[0]

    def values(self, subject: str, metric: str) -> dict[int, float]:
        """Return seed -> what a subject of its run reached; runs that were not measured so are left out."""
        return {run.seed: each[subject][metric] for run, each in zip(self.runs, self.measured, strict=True)
                if metric in each.get(subject, {})}

    def mean(self, subject: str, metric: str) -> Estimate | None:
        """Return the mean over seeds with its Student's t interval; None where nothing was measured."""
        values = list(self.values(subject, metric).values())
        return mean_interval(values) if values else None


def keys_of(run: Run) -> dict[str, Any]:
    """Return the recipe of a run as dotted keys; as it was stored where this release does not read it."""
    try:
        return flattened(run.config.to_dict())
    except ConfigError:
        return flattened(json.loads(run.config_json))


def grouped(runs: Iterable[Run], measured: Mapping[str, Measured]) -> list[Group]:
    """Return the groups of runs, those with the most seeds first, else the newest.

    Args:
        runs: newest first.
        measured: run id -> subject -> metrics; a run without an entry is left out.
    """
    found: dict[str, dict[int, Run]] = {}
    keys: dict[str, dict[str, Any]] = {}
    for run in runs:
        if run.id not in measured:
            continue
        shared = {key: value for key, value in keys_of(run).items() if key not in REPETITION_KEYS}
        digest = json.dumps(shared, sort_keys=True)
        keys[digest] = shared
        found.setdefault(digest, {}).setdefault(run.seed, run)  # newest first: the first of a seed counts
    groups = []
    for digest, by_seed in found.items():
        ordered = tuple(by_seed[seed] for seed in sorted(by_seed))
        groups.append(Group(keys[digest], ordered, tuple(measured[run.id] for run in ordered)))
    return sorted(groups, key=lambda group: -len(group.runs))


def differing_keys(groups: Sequence[Group]) -> list[str]:
    """Return the recipe keys in which groups differ, in the order of recipes."""
    names = dict.fromkeys(key for group in groups for key in group.keys)
    return [name for name in names if len({json.dumps(group.keys.get(name), sort_keys=True) for group in groups}) > 1]


def labels_of(groups: Sequence[Group]) -> list[str]:
    """Return names of groups, numbered where several have the same."""
    names = [group.name for group in groups]
    seen: dict[str, int] = {}
    labels = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        labels.append(name if names.count(name) == 1 else f"{name} ({seen[name]})")
    return labels


def difference(first: Group, second: Group, subject: str, metric: str) -> tuple[Estimate, str] | None:
    """Return the mean of the first group minus that of the second, and how it was taken; None where either was not measured.

    Seed by seed where both have seeds in common, else as independent samples (`core.evaluation.statistics.difference_over_seeds`).
    """
    return difference_over_seeds(first.values(subject, metric), second.values(subject, metric))


def run_table(groups: Sequence[Group], keys: Sequence[str], metrics: Sequence[str], subject: str) -> pd.DataFrame:
    """Return one row a run: recipe, run, seed, keys and metrics of one subject."""
    rows = [{"recipe": label, "run": run.name, "seed": run.seed, **{key: cell(group.keys.get(key)) for key in keys},
             **{metric: each.get(subject, {}).get(metric) for metric in metrics}}
            for label, group in zip(labels_of(groups), groups, strict=True) for run, each in zip(group.runs, group.measured, strict=True)]
    return pd.DataFrame(rows)


def everything_csv(groups: Sequence[Group]) -> str:
    """Return one row a run with every recipe key, every metric of every model, versions, commit and command."""
    rows = []
    for label, group in zip(labels_of(groups), groups, strict=True):
        for run, each in zip(group.runs, group.measured, strict=True):
            row: dict[str, Any] = {"recipe": label, "run": run.name, "id": run.id, "seed": run.seed, "configuration": run.config_hash}
            row |= {f"config.{key}": cell(value) for key, value in keys_of(run).items()}
            row |= {f"{subject}.{metric}": value for subject in COLUMNS for metric, value in each.get(subject, {}).items()}
            row |= {f"version.{name}": value for name, value in run.versions.items()}
            rows.append(row | {"commit": run.git_commit, "device": run.device, "command": run.command,
                               "seconds": None if run.seconds is None else round(run.seconds, 1)})
    return pd.DataFrame(rows).to_csv(index=False)


def cell(value: Any) -> Any:
    """Return a recipe's value for a table: lists as text."""
    return json.dumps(value) if isinstance(value, list | tuple) else value
