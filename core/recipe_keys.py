"""The keys of recipes as release 0.1.0 named them, and the shape that its recipes had.

Recipes, stored runs and reports of that release are read under today's names (`upgraded`). Digests and keys of caches are computed over
the old names and the old shape (`release_shape`), so that a configuration keeps the digest that it was stored under. A key that is newer
than that release is left out of them while it has its default (`core.config.base.counted`): it changes no digest until it is used.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

# Dotted key of release 0.1.0 -> today's; ``[]`` stands for each element of a list.
RENAMED = {
    "student.fresh": "student.from_scratch",
    "student.from_scratch.feed_forward": "student.from_scratch.intermediate_size",
    "student.feed_forward": "student.intermediate_size",
    "student.units": "student.pruning_criterion",
    "data.passes": "data.corpus_epochs",
    "data.small_talk": "data.identity_question_every",
    "masking.fraction": "masking.mlm_probability",
    "masking.mask": "masking.mask_replace_prob",
    "masking.random": "masking.random_replace_prob",
    "masking.rarity": "masking.mlm_smoothing",
    "masking.whole_words": "masking.whole_word_mask",
    "chain.order": "chain.teacher",
    "chain.anchors[].feed_forward": "chain.anchors[].intermediate_size",
}
# Today's key -> value of release 0.1.0 -> today's.
RENAMED_VALUES = {"chain.teacher": {"stepwise": "predecessor", "direct": "largest"}}

# Section -> its keys in release 0.1.0, under their names of then. A record: it stays as it is.
RELEASE_KEYS: dict[str, str] = {
    "": "kind name description teacher student losses data masking train evaluation bridge task chain control",
    "teacher": "model",
    "student": "layers layer_map hidden feed_forward units architecture dropout init model lora fresh",
    "student.lora": "rank alpha dropout",
    "student.fresh": "architecture layers hidden heads key_value_heads feed_forward vocabulary positions",
    "losses": "w_kd w_hard w_hidden w_hidden_mse hidden_layers divergence beta temperature kd_positions",
    "data": "source subset split column streaming max_rows passes block_length prompt_weight label_weight small_talk validation_fraction",
    "masking": "fraction mask random rarity whole_words",
    "train": "max_steps num_train_epochs per_device_train_batch_size gradient_accumulation_steps learning_rate lr_scheduler_type "
             "warmup_ratio weight_decay adam_beta2 max_grad_norm precision save_precision device seed logging_steps save_steps report_to",
    "evaluation": "eval_steps blocks sentiment_items prompts max_new_tokens retention",
    "evaluation.retention": "tasks train_items epochs learning_rate seeds seconds length exports",
    "task": "source subset split validation text_column pair_column label_column kind max_length doc_stride max_train_items max_items "
            "validation_fraction",
    "chain": "anchors mode order curve_points",
    "chain.anchors[]": "layers hidden feed_forward parameters model",
    "bridge": "model prompts texts max_new_tokens batch_size sampling_temperature top_k top_p",
}

# What a recipe of release 0.1.0 had in the sections that an experiment has no use for, under today's names.
ABSENT: dict[str, Any] = {
    "teacher": None,
    "student": {"layers": None, "layer_map": "uniform", "hidden": None, "intermediate_size": None, "pruning_criterion": "importance",
                "architecture": "teacher", "dropout": None, "init": "teacher", "model": None, "lora": None, "from_scratch": None},
    "data": {"source": "house", "subset": None, "split": "train", "column": None, "streaming": False, "max_rows": None,
             "corpus_epochs": 1, "block_length": 256, "prompt_weight": 1.0, "label_weight": 1.0, "identity_question_every": 100,
             "validation_fraction": 0.05},
    "masking": {"mlm_probability": 0.15, "mask_replace_prob": 0.8, "random_replace_prob": 0.1, "mlm_smoothing": 0.7,
                "whole_word_mask": False},
    "bridge": None, "task": None, "chain": None, "control": False,
}


def upgraded(plain: Mapping[str, Any], on_renamed: Callable[[str, str], None] | None = None) -> dict[str, Any]:
    """Return a copy of a recipe's plain data under today's names.

    Args:
        on_renamed: called with the old and the new dotted name of each key that was renamed.

    Raises:
        ValueError: a key is there under both names; the arguments are the old and the new one.
    """
    result = copy.deepcopy(dict(plain))
    for old, new in RENAMED.items():
        for place, key, today in _places(result, old, new):
            if today in place:
                raise ValueError(old, new)
            # The renamed key keeps its place, so that a recipe is written in the order in which it was read.
            items = [(today if name == key else name, value) for name, value in place.items()]
            place.clear()
            place.update(items)
            if on_renamed:
                on_renamed(old, new)
    for path, values in RENAMED_VALUES.items():
        for place, key, _ in _places(result, path, path):
            if isinstance(place[key], str):
                place[key] = values.get(place[key], place[key])
    return result


def today(path: str) -> str:
    """Return today's name of a dotted key, which may lie in a section that was renamed."""
    for old, new in RENAMED.items():
        if path == old or path.startswith(f"{old}."):
            path = new + path.removeprefix(old)
    return path


@cache
def known_keys() -> frozenset[str]:
    """Return the dotted keys of release 0.1.0 under today's names; ``[]`` stands for each element of a list."""
    return frozenset(today(f"{section}.{key}".removeprefix(".")) for section, keys in RELEASE_KEYS.items() for key in keys.split())


def release_names(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of plain data under the names of release 0.1.0."""
    result = copy.deepcopy(dict(plain))
    for path, values in RENAMED_VALUES.items():
        back = {value: key for key, value in values.items()}
        for place, key, _ in _places(result, path, path):
            place[key] = back.get(place[key], place[key])
    for old, new in reversed(RENAMED.items()):
        for place, key, former in _places(result, new, old):
            place[former] = place.pop(key)
    return result


def release_shape(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Return plain data in the shape of release 0.1.0: every section is there, under its old names, and no kind is named."""
    return release_names({**ABSENT, **{key: value for key, value in plain.items() if key != "kind"}})


def _places(plain: Any, path: str, other: str) -> list[tuple[dict[str, Any], str, str]]:
    """Return where the last key of `path` is: the mapping that holds it, the key, and the last key of `other`."""
    *sections, key = path.split(".")
    places = [plain]
    for section in sections:
        name = section.removesuffix("[]")
        inner = [place[name] for place in places if isinstance(place, dict) and name in place]
        places = [each for value in inner if isinstance(value, list) for each in value] if section.endswith("[]") else inner
    return [(place, key, other.rpartition(".")[2]) for place in places if isinstance(place, dict) and key in place]
