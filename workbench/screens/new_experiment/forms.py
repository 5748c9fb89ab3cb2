"""Between the configuration and a form: a *draft* is a flat dictionary with one entry per leaf of `ExperimentConfig`.

Keys are dotted paths, as ``train.learning_rate``. What is not a plain leaf has its own entries:

    teacher, student.lora, student.from_scratch,
    evaluation.retention                      True when that optional section is there; its leaves are always kept
    losses.w_kd.start, losses.w_kd.end        the two ends of a weight; equal when it is constant
    chain, bridge, reading, task              the sections as they are; no field of this form belongs to them
    student.layer_map                         a rule, or ``explicit``; then student.layer_map.list is the text "0, 3, 7"
    student.layer_map.note                    what to say beside the list, after the form changed it
    with teacher                              after the teacher was switched off: what to restore when it comes back
    words left out                            which of name and description stand empty because they no longer fit what is run

No Streamlit here: `controls` draws the widgets.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

from pydantic.fields import FieldInfo

from core.config import DistillConfig, ExperimentConfig, LayerRule, LossSpec, Ramp
from core.config.fields import fields, leaves, section_of
from core.errors import ConfigError
from core.loss_terms import LOSS_TERMS, keys
from core.recipes import check_recipe, override
from core.students.layer_maps import layer_map

Draft = dict[str, Any]
EXPLICIT, MAP_LIST = "explicit", "student.layer_map.list"
WITH_TEACHER = "with teacher"
MAP_NOTE = "student.layer_map.note"
WORDS, WORDS_LEFT_OUT = ("name", "description"), "words left out"
# What the words of a recipe are about: who is trained from what, on what, for how long, and what it is compared with.
DESCRIBED = ("teacher", "student", "losses.w_", "data", "masking", "bridge", "reading", "task", "chain", "control", "train.max_steps",
             "train.num_train_epochs")
NO_DATA = "Upload a file, or name one, or a dataset of the hub."
LAYER_RULES = (*get_args(LayerRule), EXPLICIT)
RETENTION = "evaluation.retention"
OPTIONAL_SECTIONS = ("teacher", "student.lora", "student.from_scratch", RETENTION)
WHOLE_SECTIONS = ("chain", "bridge", "reading", "task")
LEAVES: dict[str, FieldInfo] = {path: field for path, field in leaves() if not path.startswith("task.")}


def is_weight(path: str) -> bool:
    """Whether the leaf is a loss weight, constant or changing over training."""
    return section_of(LEAVES[path]) is Ramp


def to_draft(config: ExperimentConfig) -> Draft:
    """Return the draft that `to_plain` turns back into `config`; absent optional sections are filled with their defaults."""
    draft: Draft = {}
    for path in LEAVES:
        value = _reach(config, path)
        if is_weight(path):
            draft[f"{path}.start"], draft[f"{path}.end"] = value.start, value.end
        elif path == "student.layer_map":
            explicit = isinstance(value, tuple)
            draft[path] = EXPLICIT if explicit else value
            draft[MAP_LIST] = ", ".join(map(str, value)) if explicit else ""
        else:
            draft[path] = value
    whole = {section: (spec := getattr(config, section, None)) and spec.model_dump(mode="json") for section in WHOLE_SECTIONS}
    return draft | {section: _reach(config, section) is not None for section in OPTIONAL_SECTIONS} | whole


def to_plain(draft: Mapping[str, Any]) -> dict[str, Any]:
    """Return the draft as a recipe's plain data, not validated yet.

    Raises:
        ConfigError: the explicit layer map is not a list of numbers.
    """
    plain: dict[str, Any] = {}
    for path in LEAVES:
        if any(path.startswith(f"{section}.") and not draft[section] for section in OPTIONAL_SECTIONS):
            continue
        if is_weight(path):
            start, end = draft[f"{path}.start"], draft[f"{path}.end"]
            value = start if start == end else {"start": start, "end": end}
        elif path == "student.layer_map" and draft[path] == EXPLICIT:
            value = _block_numbers(draft[MAP_LIST])
        else:
            value = list(draft[path]) if isinstance(draft[path], tuple) else draft[path]
        *sections, leaf = path.split(".")
        place = plain
        for section in sections:
            place = place.setdefault(section, {})
        place[leaf] = value
    if not draft["teacher"]:
        plain["teacher"] = None
    if draft["student.from_scratch"]:
        plain["student"] |= {"layers": None, "hidden": None, "intermediate_size": None, "lora": None}
    return plain | {section: draft[section] for section in WHOLE_SECTIONS}


def check(draft: Mapping[str, Any]) -> tuple[ExperimentConfig | None, dict[str, str]]:
    """Return the configuration, or None and the messages by the dotted path of the field (or section) they belong to."""
    try:
        plain = to_plain(draft)
    except ConfigError as error:
        return None, {MAP_LIST: str(error)}
    config, errors = check_recipe(plain)
    if config is not None:
        return config, {}
    return None, {_place(error.field): error.expected for error in errors} | ({} if draft["data.source"] else {"data.source": NO_DATA})


def follow_start(draft: Draft, start: ExperimentConfig) -> None:
    """Empty the name and the description that the form began with once what they describe was changed.

    They come back when the change is undone. What somebody wrote stays: only words equal to those of `start` are taken out.
    """
    before = to_draft(start)
    fits = not any(key.startswith(DESCRIBED) and draft.get(key) != value for key, value in before.items())
    left_out = draft.setdefault(WORDS_LEFT_OUT, set())
    for key in WORDS:
        if fits and key in left_out:
            draft[key] = draft[key] or before[key]
            left_out.discard(key)
        elif not fits and before[key] and draft[key] == before[key]:
            draft[key] = "" if key == "description" else None
            left_out.add(key)


def changes(config: ExperimentConfig, start: ExperimentConfig) -> list[str]:
    """``path=value`` for everything in which `config` departs from `start`, as ``--set`` and links take it."""
    plain, before, missing = config.to_dict(), start.to_dict(), object()
    given = _flat(before)
    return [*(override(section, None) for section in before if section not in plain),
            *(override(path, value) for path, value in _flat(plain).items() if given.get(path, missing) != value)]


def command(config: ExperimentConfig, start: ExperimentConfig, recipe: Path | None) -> str:
    """Return the line that repeats the experiment in a terminal; without a shipped `recipe` it names the downloaded file."""
    words = ["python", "-m", "workbench", "distill", str(recipe) if recipe else f"{config.name or 'experiment'}.yaml"]
    for change in changes(config, start) if recipe else ():
        words += ["--set", change]
    return shlex.join(words)


def set_teacher(draft: Draft, there: bool) -> None:
    """Switch the teacher on or off.

    Without one only the hard labels of an architecture from scratch are left; what that replaces comes back with the teacher.
    """
    needs_teacher = ("control", RETENTION, "student.lora", "student.layer_map", "student.architecture", "student.dropout",
                     "losses.kd_positions", *(key for key in draft if key.startswith("losses.w_")))
    if there:
        usual = to_draft(DistillConfig())
        draft |= draft.pop(WITH_TEACHER, None) or {key: usual[key] for key in needs_teacher}
    else:
        draft[WITH_TEACHER] = {key: draft[key] for key in needs_teacher}
        draft |= {"control": False, RETENTION: False, "student.lora": False, "student.layer_map": "uniform",
                  "student.architecture": "teacher", "student.dropout": None, "losses.kd_positions": "all"}
        for key in keys(needs_teacher=True):
            draft[f"losses.{key}.start"] = draft[f"losses.{key}.end"] = 0.0
        if not draft["losses.w_hard.start"]:
            draft["losses.w_hard.start"] = draft["losses.w_hard.end"] = 1.0
    draft["teacher"], draft["student.from_scratch"] = there, not there


def set_depth(draft: Draft, depth: int | None, teacher_layers: int | None) -> None:
    """Change the student's depth. An explicit list that no longer fits is spread evenly again, with a note."""
    draft["student.layers"] = depth
    if draft["student.layer_map"] != EXPLICIT or depth is None or teacher_layers is None or not 1 <= depth <= teacher_layers:
        return
    spread = layer_map("uniform", teacher_layers, depth)
    if len(draft[MAP_LIST].replace(",", " ").split()) != depth:
        draft[MAP_LIST] = ", ".join(map(str, spread))
        draft[MAP_NOTE] = f"Layer map updated to the new depth: {depth} of {teacher_layers} blocks, spread evenly."


def set_map_list(draft: Draft, text: str) -> None:
    """Change the explicit list; a depth that was given follows its length."""
    draft[MAP_LIST] = text
    draft.pop(MAP_NOTE, None)
    with suppress(ConfigError):
        if draft["student.layers"] is not None and _block_numbers(text):
            draft["student.layers"] = len(_block_numbers(text))


def with_invalid_fields_reset(draft: Mapping[str, Any], before: Mapping[str, Any], errors: Collection[str]) -> Iterator[Draft]:
    """Yield copies of `draft` in which ever more is as it was in the valid draft `before`.

    Reset are the fields that the messages belong to, then their sections, then everything.
    """
    for group in (lambda path: path in errors or any(path.startswith(f"{error}.") for error in errors if error),
                  lambda path: path.split(".")[0] in {error.split(".")[0] for error in errors},
                  lambda path: True):
        yield {**draft, **{path: value for path, value in before.items() if group(path)}}


def set_mix(draft: Draft, soft_share: float) -> None:
    """Set the ratio of the weights of soft targets and hard labels; their sum is unchanged."""
    total = draft["losses.w_kd.start"] + draft["losses.w_hard.start"] or 1.0
    for term, share in (("w_kd", soft_share), ("w_hard", 1 - soft_share)):
        draft[f"losses.{term}.start"] = draft[f"losses.{term}.end"] = round(total * share, 3)


def set_weight(value: float, draft: Draft, path: str) -> None:
    """Change a loss weight to one that stays as it is over training."""
    draft[f"{path}.start"] = draft[f"{path}.end"] = value


def weights_text(draft: Mapping[str, Any]) -> str:
    """Return the weights of soft targets and hard labels as they are, ramps included."""
    ends = ((draft[f"losses.{term}.start"], draft[f"losses.{term}.end"]) for term in ("w_kd", "w_hard"))
    soft, hard = (f"{start:g}" if start == end else f"{start:g} → {end:g}" for start, end in ends)
    return f"Weights: {soft} on soft targets, {hard} on hard labels."


def soft_share(draft: Mapping[str, Any]) -> float:
    """Share of the soft targets in the weight of soft targets and hard labels at the first step, from 0 to 1."""
    soft, hard = draft["losses.w_kd.start"], draft["losses.w_hard.start"]
    return soft / (soft + hard) if soft + hard else 0.0


def equation(losses: LossSpec, *, masked: bool = False) -> str:
    """Return the loss in LaTeX with the numbers of `losses`: p is the teacher's, q the student's distribution; no terms of weight 0.

    Args:
        masked: whether they are masked language models: then the labels are the masked tokens.
    """
    soft = {"forward_kl": r"\mathrm{KL}(p^T \,\|\, q^T)", "reverse_kl": r"\mathrm{KL}(q^T \,\|\, p^T)",
            "jsd": rf"\mathrm{{JSD}}_{{{losses.beta:g}}}(p^T, q^T)"}[losses.divergence]
    weights, shown = losses.weights(), []
    for term in LOSS_TERMS:
        if losses.uses(term.name):
            latex = term.equation.replace("D(p^T, q^T)", soft).replace("T^2", f"{losses.temperature:g}^2")
            label = (term.masked if masked and term.masked else term).label
            shown.append(rf"\underbrace{{{_weight(weights[term.name])}\cdot {latex}}}_{{\text{{{label}}}}}")
    if masked and len(shown) > 2:  # one below the other: the line is wider than a phone
        return r"\begin{aligned}\mathcal{L} =\;& " + r" \\[4pt] +\;& ".join(shown) + r"\end{aligned}"
    return r"\mathcal{L} = " + " + ".join(shown)


def _weight(ramp: Ramp) -> str:
    return f"{ramp.start:g}" if ramp.start == ramp.end else rf"({ramp.start:g} \to {ramp.end:g})"


def _flat(plain: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in plain.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return flat


def _reach(config: ExperimentConfig, path: str) -> Any:
    """Return the value at a dotted path; inside an absent optional section, the section's own default."""
    value: Any = config
    known: Mapping[str, FieldInfo] = fields()
    for key in path.split("."):
        field = known[key]
        value = getattr(value, key) if value is not None else field.get_default()
        section = section_of(field)
        known = section.model_fields if section else {}
    return value


def _block_numbers(text: str) -> list[int]:
    try:
        return [int(number) for number in text.replace(",", " ").split()]
    except ValueError as error:
        raise ConfigError(f"The layer map was given as '{text}'.", "Block numbers from 0 were expected.", "For example: 0, 3, 7") from error


def _place(field: str | None) -> str:
    """Return the field of the form beside which the error of a recipe's field stands; of a whole section the section."""
    section, *rest = (field or "").removesuffix(".start").removesuffix(".end").split(".")
    if section in ("bridge", "reading"):  # their forms have fields of their own
        return ".".join([section, *rest[:1]])
    return section if section in WHOLE_SECTIONS else ".".join([section, *rest])
