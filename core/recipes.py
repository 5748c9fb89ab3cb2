"""Read recipes: YAML and ``a.b=c`` overrides become one `ExperimentConfig`; pydantic's findings become sentences."""

from __future__ import annotations

import contextlib
import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from core.config import SECTIONS, ExperimentConfig, Ramp
from core.errors import ConfigError, SetField
from core.system.paths import PROJECT


def read_recipe(path: str | Path, overrides: Iterable[str] = ()) -> ExperimentConfig:
    """Read a YAML recipe and apply ``a.b=c`` overrides.

    Args:
        path: the file. A relative path that does not exist here is looked up in the project's folder, so that
            ``assets/recipes/quickstart.yaml`` is found from any folder.

    Raises:
        ConfigError: no such file, not YAML, an unknown key (the nearest valid one is named), a wrong type or value.
    """
    path = Path(path)
    if not path.exists() and (PROJECT / path).is_file():
        path = PROJECT / path
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = "is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else (error.strerror or "cannot be read").lower()
        raise ConfigError(f"The recipe '{path}' cannot be used: {reason}.", "A YAML file was expected.",
                          "Recipes that ship with the project are in assets/recipes/.") from error
    plain = parse_yaml(text, str(path))
    return parse_recipe(apply_overrides(plain, overrides))


class _RecipeLoader(yaml.SafeLoader):
    """YAML 1.1 reads 5e-4 as text; people write learning rates that way."""


_RecipeLoader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+$"), list("+-0123456789"))


def parse_yaml(text: str, origin: str) -> dict[str, Any]:
    """Plain data from a recipe's text; `origin` names it in messages."""
    try:
        plain = yaml.load(text, Loader=_RecipeLoader)
    except RecursionError as error:
        raise ConfigError(f"The recipe '{origin}' is nested too deeply to be read.",
                          "Sections with keys and values were expected.") from error
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f" at line {where.line + 1}" if where else ""
        raise ConfigError(f"The recipe '{origin}' is not YAML{line}: {getattr(error, 'problem', None) or error}.",
                          "Keys and values were expected, as in 'student: {layers: 4}'.") from error
    if not isinstance(plain, dict):
        raise ConfigError(f"The recipe '{origin}' holds {'nothing' if plain is None else type(plain).__name__}.",
                          f"Sections were expected: {', '.join(SECTIONS)}.")
    return plain


def apply_overrides(plain: Mapping[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """A copy of `plain` with every ``a.b=c`` set; the value is read as YAML, so ``null`` and ``[0, 3]`` work."""
    result = json.loads(json.dumps(plain, default=str))
    for override in overrides:
        path, separator, text = override.partition("=")
        if not separator or not path.strip():
            raise ConfigError(f"The setting '{override}' was given.", "'section.key=value' was expected.",
                              "Name the key and its value", suggestion=SetField("student.layers", 3))
        *parents, leaf = path.strip().split(".")
        place = result
        for parent in parents:
            if not isinstance(place.setdefault(parent, {}), dict):
                place[parent] = {}
            place = place[parent]
        value = parse_yaml(f"value: {text}", override)["value"]
        place[leaf] = text.strip() if _is_text(path.strip()) and isinstance(value, (int, float)) else value
    return result


def override(path: str, value: Any) -> str:
    """Return ``path=value`` that `apply_overrides` reads back to `value`."""
    plain_text = isinstance(value, str) and value and "\n" not in value and yaml.safe_load(value) == value
    return f"{path}={value if plain_text else json.dumps(value, ensure_ascii=False)}"


def _is_text(path: str) -> bool:
    """Whether the field at a dotted path holds text, which YAML must not read as a number or a switch."""
    field = dict(leaves()).get(path)
    return field is not None and str in (field.annotation, *get_args(field.annotation)) and int not in get_args(field.annotation)


def parse_recipe(plain: Mapping[str, Any]) -> ExperimentConfig:
    """Validate plain data. Raises ConfigError that names the field, what was given and what was expected."""
    try:
        # As JSON, lists may be tuples, while text is no number and a switch is no count.
        return ExperimentConfig.model_validate_json(json.dumps(_task_defaults(plain), default=str), strict=True)
    except ValidationError as error:
        raise ConfigError(*_explain(error)) from error


def _task_defaults(plain: Mapping[str, Any]) -> dict[str, Any]:
    """What a recipe with a task leaves unsaid: no teacher unless one is named; with one, the published weights (1910.01108's second
    step: half and half). Each weight that is given counts, beside the default of the other."""
    if plain.get("task") is None:
        return dict(plain)
    weights = {"w_kd": 0.0, "w_hard": 1.0} if plain.get("teacher") is None else {"w_kd": 0.5, "w_hard": 0.5}
    losses = plain.get("losses") or {}
    return {"teacher": None, **plain, "losses": weights | losses if isinstance(losses, Mapping) else losses}


def describe(path: str) -> str:
    """The description of a field by its dotted path, as ``losses.temperature``."""
    model: type[BaseModel] = ExperimentConfig
    *parents, leaf = path.split(".")
    for parent in parents:
        model = section_of(model.model_fields[parent])
    return model.model_fields[leaf].description or ""


def section_of(field: FieldInfo) -> type[BaseModel] | None:
    """The model whose fields a field holds, optional or not: a section, or a `Ramp`; None for a plain value."""
    candidates = (field.annotation, *get_args(field.annotation))
    return next((each for each in candidates if isinstance(each, type) and issubclass(each, BaseModel)), None)


def leaves(model: type[BaseModel] = ExperimentConfig, prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every leaf of the configuration with its dotted path, in the order of the recipe; a weight counts as one leaf.

    Chains and bridges are left out: they have forms of their own.
    """
    for name, field in model.model_fields.items():
        if prefix == "" and name in ("chain", "bridge"):
            continue
        section = section_of(field)
        if section is None or section is Ramp:
            yield prefix + name, field
        else:
            yield from leaves(section, f"{prefix}{name}.")


def _explain(error: ValidationError) -> tuple[str, str, str]:
    first = error.errors(include_url=False)[0]
    # Members of a union put their own name into the path; only keys that exist in the recipe are a user's words.
    location = [str(part) for part in first["loc"] if not re.search(r"[\[\]()]|^(constrained|literal|function|Ramp)", str(part))]
    path, given = ".".join(location) or "the recipe", first.get("input")
    if first["type"] == "extra_forbidden":
        model: type[BaseModel] | None = ExperimentConfig
        for parent in location[:-1]:
            field = model.model_fields.get(parent) if model else None
            model = section_of(field) if field else None
        valid = list(model.model_fields) if model else []
        near = difflib.get_close_matches(location[-1], valid, n=1, cutoff=0.4)
        prefix = ".".join(location[:-1])
        fix = f"Did you mean '{prefix + '.' if prefix else ''}{near[0]}'?" if near else ""
        return f"Unknown key '{path}'.", f"Valid keys there: {', '.join(valid)}.", fix
    shown = json.dumps(given, default=str) if not isinstance(given, (dict, BaseModel)) else ""
    known = ""
    # A message about a whole section or an element of a list has no description of its own.
    if not isinstance(given, (dict, BaseModel)):
        with contextlib.suppress(KeyError, AttributeError):
            known = describe(path)
    given_text = (f"{path} was not given." if first["type"] == "missing" else f"{path} was given as {shown}." if shown else
                  f"{path[0].upper()}{path[1:]} cannot be used as given.")
    return given_text, sentence(first), f"It means: {known}." if known else ""


PATTERNS = {r"^(auto|cpu|cuda(:\d+)?)$": "auto, cpu, cuda or cuda:N"}  # of fields that are text of a certain form
SENTENCES = {
    "greater_than": "a number above {gt} was expected", "greater_than_equal": "a number of {ge} or more was expected",
    "less_than": "a number below {lt} was expected", "less_than_equal": "a number of at most {le} was expected",
    "int_type": "a whole number was expected", "int_from_float": "a whole number was expected",
    "float_type": "a number was expected", "finite_number": "a number that is not infinite was expected",
    "bool_type": "true or false was expected", "string_type": "text was expected",
    "string_too_short": "something must be given here", "missing": "something must be given here",
    "literal_error": "one of {expected} was expected", "string_pattern_mismatch": "one of {pattern} was expected",
    "tuple_type": "a list was expected", "too_short": "a list of at least {min_length} was expected",
    "model_type": "a section with keys and values was expected", "model_attributes_type": "a section with keys and values was expected",
}


def sentence(detail: Mapping[str, Any]) -> str:
    """One detail of a ``ValidationError`` as a sentence."""
    context = {key: _shown(key, value) for key, value in detail.get("ctx", {}).items()}
    if context.get("class_name") == "Ramp":
        words = "a number, or start and end, was expected"
    else:
        words = SENTENCES.get(detail["type"], "").format_map(context) or detail["msg"].removeprefix("Value error, ").rstrip(".")
        if detail["type"] == "string_type" and isinstance(detail["input"], (int, float)):
            words += ": put it in quotes"
    return f"{words[0].upper()}{words[1:]}."


def _shown(key: str, value: Any) -> str:
    if key == "pattern":
        return PATTERNS[value]
    if key == "expected":
        return str(value).replace("'", "")
    return f"{value:,g}" if isinstance(value, float) and abs(value) < 1e6 else str(value)
