"""Results of an ablation: the difference that leaving out each part makes, over paired seeds.

    difference_v = 1/n sum_s (variant_s - full_s)     the same weights, data order and dropout for both wherever both draw them

with its 95% interval (Student's t, `core.evaluation.statistics`). Beside it stands the paper's table 4 (1910.01108): how many
points of GLUE each part of the triple loss was worth; it gives no spread over seeds.

    <home>/ablations/<name>-<digest>/recipe.json     the configuration and the seeds
    <home>/ablations/<name>-<digest>/result.json     what was found, seeds that have ended in all variants
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.config import ExperimentConfig
from core.errors import ConfigError
from core.evaluation.statistics import Estimate, mean_interval
from core.loss_terms import LOSS_TERMS
from core.metrics import METRICS
from core.recipes import parse_recipe
from core.studies.ablation.variants import FULL, RANDOM
from core.studies.seeds import DEFAULT_SEEDS, seeds_of
from core.system.files import read_json, write_json
from core.system.paths import home

RECIPE, RESULT = "recipe.json", "result.json"
WORDS = {FULL: "the whole recipe", RANDOM: "random initialisation"} | {f"minus_{term.name}": term.left_out for term in LOSS_TERMS
                                                                       if term.left_out}
MEASURED = ("cross_entropy", "kl_to_teacher", "agreement", "masked_accuracy", "sentiment_accuracy")  # shown, where they were measured

# Table 4 of 1910.01108: variant -> change of the GLUE macro score, in points.
PUBLISHED = {"minus_kd": -2.96, "minus_hidden": -1.46, "minus_hard": -0.31, RANDOM: -3.69}
PAPER, PLACE = "1910.01108", "Table 4"


@dataclass(frozen=True, slots=True)
class Ablation:
    """The result.

    Attributes:
        name: of the recipe.
        config: the whole recipe, as plain data.
        seeds: those that every variant has ended.
        values: variant -> metric -> its value for each of the seeds; the whole recipe first.
        environment: releases of the libraries and the commit of this code.
        date: when the last seed ended, UTC, in ISO 8601.
        seconds: working time of all trainings, those found in the cache included.
    """

    name: str
    config: Mapping[str, Any]
    seeds: tuple[int, ...]
    values: Mapping[str, Mapping[str, tuple[float, ...]]]
    environment: Mapping[str, Any]
    date: str
    seconds: float

    @property
    def metrics(self) -> tuple[str, ...]:
        """Those that are shown and were measured."""
        return tuple(name for name in MEASURED if name in self.values[FULL])

    @property
    def parts(self) -> tuple[str, ...]:
        """The variants but the whole recipe."""
        return tuple(name for name in self.values if name != FULL)

    def difference(self, variant: str, metric: str) -> Estimate:
        """Return the paired difference of a variant from the whole recipe, with its interval."""
        return mean_interval([after - whole for after, whole in zip(self.values[variant][metric], self.values[FULL][metric], strict=True)])

    def costs(self, variant: str, metric: str) -> bool | None:
        """Return whether leaving the part out makes the metric worse; None where the interval contains 0, or with one seed."""
        found = self.difference(variant, metric)
        if found.low is None or found.high is None or found.low <= 0 <= found.high:
            return None
        return (found.value > 0) == (METRICS[f"eval/{metric}"].better == "lower")

    def to_dict(self) -> dict[str, Any]:
        """Return plain data that `from_dict` reads back, with the differences."""
        differences = {variant: {metric: asdict(self.difference(variant, metric)) for metric in self.metrics} for variant in self.parts}
        return asdict(self) | {"differences": differences, "published": {"glue_points": PUBLISHED, "arxiv": PAPER, "place": PLACE}}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Ablation:
        """Return the ablation of `to_dict`."""
        values = {variant: {metric: tuple(each) for metric, each in metrics.items()} for variant, metrics in plain["values"].items()}
        known = {key: value for key, value in plain.items() if key not in ("differences", "published")}
        return cls(**{**known, "seeds": tuple(plain["seeds"]), "values": values})


# ---------------------------------------------------------------------------------------------------- where it is kept


def name_of(config: ExperimentConfig) -> str:
    """Return the name of a recipe's ablation."""
    return config.name or "ablation"


def folder_of(config: ExperimentConfig) -> Path:
    """Return the folder of a recipe's ablation; another recipe of the same name has another folder."""
    return _all() / f"{name_of(config)}-{config.digest()[:8]}"


def save_request(config: ExperimentConfig, seeds: int = DEFAULT_SEEDS, command: str = "") -> Path:
    """Write down what is to be done, for the process that does it and for the page; returns the folder.

    Args:
        command: the line that repeats it; a later call without one keeps it.
    """
    folder = folder_of(config)
    command = command or command_of(folder)
    write_json(folder / RECIPE, {"config": config.to_dict(), "seeds": seeds, "command": command, "noted": time.time()})
    return folder


def command_of(folder: Path) -> str:
    """Return the command that repeats an ablation; empty where it is not known."""
    plain = read_json(folder / RECIPE)
    return plain.get("command", "") if isinstance(plain, dict) else ""


def load_request(folder: Path) -> tuple[ExperimentConfig, tuple[int, ...]] | None:
    """Return the configuration and the seeds of an ablation; None where a folder holds none that this release reads."""
    plain = read_json(folder / RECIPE)
    if not isinstance(plain, dict):
        return None
    try:
        return parse_recipe(plain["config"]), seeds_of(plain["seeds"])
    except (TypeError, KeyError, ConfigError):
        return None


def result_of(folder: Path) -> Ablation | None:
    """Return the results so far; None before the first seed has finished in all variants."""
    try:
        return Ablation.from_dict(read_json(folder / RESULT) or {})
    except (TypeError, KeyError, AttributeError):
        return None


def folders() -> list[Path]:
    """Return all ablations begun here, the latest first."""
    found = [(plain["noted"], path.parent) for path in _all().glob(f"*/{RECIPE}")
             if isinstance(plain := read_json(path), dict) and "noted" in plain]
    return [folder for _, folder in sorted(found, reverse=True)]


def _all() -> Path:
    return home() / "ablations"


# ---------------------------------------------------------------------------------------------------- in words


def label(metric: str) -> str:
    """Return a metric as a heading, with its unit and which way is better."""
    about = METRICS[f"eval/{metric}"]
    unit = f" ({about.unit})" if about.unit else ""
    return f"{about.label}{unit} {'↓' if about.better == 'lower' else '↑'}"


def shown(estimate: Estimate) -> str:
    """Return a difference with its margin."""
    margin = "" if estimate.high is None else f" ± {estimate.high - estimate.value:.2g}"
    return f"{estimate.value:+.3g}{margin}"


def table(result: Ablation) -> tuple[list[str], list[list[str]]]:
    """Return head and rows: the whole recipe's means, then each variant's differences."""
    rows = [[WORDS[FULL], *(f"{mean_interval(result.values[FULL][metric]).value:.4g}" for metric in result.metrics), ""]]
    rows += [[WORDS[variant], *(shown(result.difference(variant, metric)) for metric in result.metrics),
              f"{PUBLISHED[variant]:+.2f}" if variant in PUBLISHED else ""] for variant in result.parts]
    return ["", *map(label, result.metrics), "GLUE points, published"], rows


def verdicts(result: Ablation) -> list[str]:
    """Return one sentence for each variant, on the first metric."""
    metric = result.metrics[0]
    chance = "is inconclusive, as its interval contains 0" if len(result.seeds) > 1 else "is inconclusive, as one seed has no interval"
    said = {True: "is worse", False: "is better", None: chance}
    return [f"{WORDS[variant][0].upper()}{WORDS[variant][1:]}: {METRICS[f'eval/{metric}'].label} {said[result.costs(variant, metric)]} "
            f"({shown(result.difference(variant, metric))})." for variant in result.parts]
