"""Read recipes: YAML and ``a.b=c`` overrides become one `ExperimentConfig`; pydantic's findings become sentences."""

from __future__ import annotations

import contextlib
import difflib
import functools
import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from core import recipe_keys
from core.config import KINDS, ORDER, SECTIONS, AnyExperiment, ExperimentConfig, Kind, Ramp
from core.config.base import InvalidValueError
from core.errors import ConfigError, SetField
from core.system import plain_data
from core.system.paths import PROJECT
from core.system.plain_data import MAX_CHARACTERS, MAX_DEPTH, PlainDataError

LOGGER = logging.getLogger(__name__)
EXPERIMENT: TypeAdapter[Any] = TypeAdapter(AnyExperiment)
REPETITION_KEYS = ("name", "description", "train.seed", "train.device", "train.processes",
                   "train.report_to")  # what two runs of one recipe may differ in
IGNORED = ("data", "masking")  # sections that release 0.1.0 took in recipes that have no use for them


def read_recipe(path: str | Path, overrides: Iterable[str] = ()) -> ExperimentConfig:
    """Read a YAML recipe and apply ``a.b=c`` overrides.

    Args:
        path: the file. A relative path that does not exist here is looked up in the project's folder, so that
            ``assets/recipes/quickstart.yaml`` is found from any folder.

    Raises:
        ConfigError: no such file, not YAML, an unknown key (the nearest valid one is named), a wrong type or value.
    """
    path = Path(path)
    try:
        if not path.exists() and (PROJECT / path).is_file():
            path = PROJECT / path
        with path.open(encoding="utf-8-sig") as file:
            text = file.read(MAX_CHARACTERS + 1)
    except (OSError, ValueError) as error:  # a path with a zero character raises ValueError
        reason = ("is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else
                  ((error.strerror if isinstance(error, OSError) else "") or "cannot be read").lower())
        raise ConfigError(f"The recipe '{path}' cannot be used: {reason}.", "A YAML file was expected.",
                          "Recipes that ship with the project are in assets/recipes/.") from error
    plain = parse_yaml(text, str(path))
    return parse_recipe(apply_overrides(_today(plain, _warn), overrides))


def parse_yaml(text: str, origin: str) -> dict[str, Any]:
    """Return plain data from a recipe's text; `origin` names it in messages."""
    plain = _plain_data(text, f"The recipe '{origin}'", "Write each value out, with a key that is text and is there once.")
    if not isinstance(plain, dict):
        raise ConfigError(f"The recipe '{origin}' holds {'nothing' if plain is None else type(plain).__name__}.",
                          f"Sections were expected: {', '.join(SECTIONS)}.")
    return plain


def _plain_data(text: str, what: str, fix: str, skipped: int = 0) -> Any:
    """Return the plain data of a YAML text. Raises ConfigError with the place in it.

    Args:
        skipped: characters at the beginning of the first line that are not a user's.
    """
    try:
        return plain_data.parse_yaml(text)
    except PlainDataError as error:
        if error.line == 1 and error.column is not None:
            error.column = max(1, error.column - skipped)
        raise ConfigError(f"{what} is not YAML as recipes have it{error.place}: {error.problem}.",
                          "Keys and values were expected, as in 'student: {layers: 4}', without anchors, aliases and tags.",
                          fix) from error


def apply_overrides(plain: Mapping[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """Return a copy of `plain` with every ``a.b=c`` set.

    The value of a field that holds text is the text as it is (see `_text`); any other is read as YAML, so ``null`` and ``[0, 3]`` work.
    A section may be overridden with one of another kind of experiment: the kind that a recipe names follows its sections.
    """
    result, overrides = json.loads(json.dumps(_today(plain), default=str)), list(overrides)
    if overrides:
        result = _kind_by_sections(result)
    for override in overrides:
        path, separator, text = override.partition("=")
        if not separator or not path.strip():
            raise ConfigError(f"The setting '{override}' was given.", "'section.key=value' was expected.",
                              "Name the key and its value", suggestion=SetField("student.layers", 3))
        path = recipe_keys.today(path.strip())
        if path != override.partition("=")[0].strip():
            _warn(override.partition("=")[0].strip(), path)
        *parents, leaf = path.split(".")
        if len(parents) > MAX_DEPTH:
            raise ConfigError(f"The setting '{override}' was given.", "A key lies in two sections at most.",
                              "Name the key and its value", suggestion=SetField("student.layers", 3))
        place = result
        for parent in parents:
            if not isinstance(place.setdefault(parent, {}), dict):
                place[parent] = {}
            place = place[parent]
        # As people write it with spaces around the sign, the space behind it is no part of the text.
        text = text.strip() if override.partition("=")[0].endswith(" ") else text
        place[leaf] = _text(path, text) if _is_text(path) else _plain_data(
            f"value: {text}", f"The setting '{override}'", "Put text with special characters in quotes.", len("value: "))["value"]
    return result


def _kind_by_sections(plain: dict[str, Any]) -> dict[str, Any]:
    """Return plain data that name no kind where their sections tell it."""
    kind = str(plain.get("kind"))
    unnamed = {key: value for key, value in plain.items() if key != "kind"}
    if kind in KINDS and "teacher" not in KINDS[kind].model_fields:
        unnamed.setdefault("teacher", None)
    return unnamed if kind in KINDS and kind_of(unnamed) == kind else plain


def override(path: str, value: Any) -> str:
    """Return ``path=value`` that `apply_overrides` reads back to `value`."""
    as_it_is = isinstance(value, str) and (_text(path, value) == value if _is_text(path) else _reads_as_itself(value))
    return f"{path}={value if as_it_is else json.dumps(value, ensure_ascii=False)}"


def _text(path: str, text: str) -> str | None:
    """Return the value of a field that holds text: the text as it is.

    Nothing at all and ``null`` are the absence of text where a field may be absent. Text may stand between double quotes, as in links and
    commands of release 0.1.0: ``"null"`` and ``"run #2"`` are text without the quotes.
    """
    field = _field(path)
    if text in ("", "null") and field is not None and type(None) in get_args(field.annotation):
        return None
    if text.startswith('"') and text.endswith('"'):
        with contextlib.suppress(ValueError):  # it only looks like it, as "one" and "two"
            return str(json.loads(text))
    return text


def _reads_as_itself(text: str) -> bool:
    """Return whether YAML reads a text, on a line of its own, as that text."""
    try:
        return bool(text) and "\n" not in text and bool(plain_data.parse_yaml(f"value: {text}") == {"value": text})
    except PlainDataError:
        return False


def _is_text(path: str) -> bool:
    """Return whether the field at a dotted path holds text, or text or nothing."""
    field = _field(path)
    return field is not None and {field.annotation, *(() if get_origin(field.annotation) is tuple else get_args(field.annotation))} >= {str}


def flattened(plain: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a configuration as dotted keys with their values; lists are values."""
    found: dict[str, Any] = {}
    for key, value in plain.items():
        found |= flattened(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found


def has_key(path: str) -> bool:
    """Return whether recipes of any kind have a key at a dotted path; a section is one too."""
    return _field(path) is not None


def _field(path: str) -> FieldInfo | None:
    """Return the field at a dotted path, if there is one."""
    *parents, leaf = path.split(".")
    known = fields()
    for parent in parents:
        known = _fields_of(known[parent]) if parent in known else {}
    return known.get(leaf)


def parse_recipe(plain: Mapping[str, Any]) -> ExperimentConfig:
    """Validate plain data. Raises ConfigError that names the field, what was given and what was expected."""
    config, errors = check_recipe(plain)
    if config is None:
        raise errors[0]
    return config


def check_recipe(plain: Mapping[str, Any]) -> tuple[ExperimentConfig | None, list[ConfigError]]:
    """Return the configuration that plain data describe, or None and everything that is wrong with them."""
    try:
        plain = _today(plain)
        kind = kind_of(plain)
    except ConfigError as error:
        return None, [error]
    plain, errors = _own_sections(KINDS[kind], plain)
    losses, weights = plain.get("losses") or {}, KINDS[kind].default_weights(plain)
    if weights and isinstance(losses, Mapping):  # each weight that is given counts, beside the kind's default of the others
        plain["losses"] = {**weights, **losses}
    try:
        # As JSON, lists may be tuples, while text is no number and a switch is no count.
        config = EXPERIMENT.validate_json(json.dumps({**plain, "kind": kind}, default=str), strict=True)
    except ValidationError as error:
        return None, [*errors, *(_explained(detail, KINDS[kind]) for detail in error.errors(include_url=False))]
    return (None if errors else config), errors


def kind_of(plain: Mapping[str, Any]) -> Kind:
    """Return the kind of experiment that plain data name or, where they name none, the one whose sections they have.

    Raises:
        ConfigError: there is no such kind.
    """
    kind = plain.get("kind")
    if kind is not None:
        if str(kind) not in KINDS:
            raise ConfigError(f"kind was given as {json.dumps(kind, default=str)}.", f"One of {', '.join(KINDS)} was expected.",
                              field="kind")
        return kind
    by_section: tuple[tuple[str, Kind], ...] = (("task", "fine_tune"), ("chain", "chain"), ("bridge", "bridge"), ("reading", "reading"),
                                                 ("ensemble", "ensemble"), ("specialists", "specialists"))
    found = next((kind for section, kind in by_section if plain.get(section) is not None), None)
    return found or ("pretrain" if "teacher" in plain and plain["teacher"] is None else "distill")


def _own_sections(kind: type[ExperimentConfig], plain: Mapping[str, Any]) -> tuple[dict[str, Any], list[ConfigError]]:
    """Return plain data without the sections of other kinds, and an error for each of those that says something."""
    own, errors = {}, []
    for key, value in plain.items():
        if key in kind.model_fields or key not in fields():
            own[key] = value
        elif not _says_nothing(key, value):
            name = kind.model_fields["kind"].default
            if key in IGNORED and key not in kind.excludes:
                LOGGER.warning("A recipe of kind '%s' has no use for its section '%s'.", name, key)
            else:
                sections = ", ".join(each for each in ORDER if each in kind.model_fields)
                errors.append(ConfigError(f"'{key}' was given in a recipe of kind '{name}'.",
                                          f"{_sentence(kind.excludes[key])}" if key in kind.excludes else f"Its keys are: {sections}.",
                                          f"Remove {key}.", field=key))
    return own, errors


def _says_nothing(key: str, value: Any) -> bool:
    """Return whether a section of another kind has its default values, as every recipe of release 0.1.0 that was written out has them."""
    default = recipe_keys.ABSENT.get(key)
    return value is None or value is False or (isinstance(value, Mapping) and isinstance(default, Mapping)
                                               and {**default, **value} == default)


def _today(plain: Mapping[str, Any], on_renamed: Callable[[str, str], None] | None = None) -> dict[str, Any]:
    try:
        return recipe_keys.upgraded(plain, on_renamed)
    except ValueError as error:
        old, new = error.args
        raise ConfigError(f"Both {old} and {new} were given.", "They are one setting: the first is its name in release 0.1.0.",
                          f"Remove {old}.", field=new) from error


@functools.cache
def _warn(old: str, new: str) -> None:
    """Warn of a key that has another name now, once in a process."""
    LOGGER.warning("The key '%s' of recipes is called '%s' now; the old name is still read.", old, new)


def fields() -> dict[str, FieldInfo]:
    """Return the keys at the top of recipes of all kinds, in the order in which they are written."""
    return {name: next(kind.model_fields[name] for kind in KINDS.values() if name in kind.model_fields) for name in ORDER}


def describe(path: str) -> str:
    """Return the description of a field by its dotted path, as ``losses.temperature``."""
    *parents, leaf = path.split(".")
    known = fields()
    for parent in parents:
        known = _fields_of(known[parent])
    return known[leaf].description or ""


def _fields_of(field: FieldInfo) -> dict[str, FieldInfo]:
    section = section_of(field)
    return dict(section.model_fields) if section else {}


def section_of(field: FieldInfo) -> type[BaseModel] | None:
    """Return the model whose fields a field holds, optional or not: a section, or a `Ramp`; None for a plain value."""
    candidates = (field.annotation, *get_args(field.annotation))
    return next((each for each in candidates if isinstance(each, type) and issubclass(each, BaseModel)), None)


def leaves(known: Mapping[str, FieldInfo] | None = None, prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Yield every leaf of the configuration with its dotted path, in the order of the recipe; a weight counts as one leaf.

    Kind, chains, bridges, reading, ensembles, images and specialists are left out: they have forms of their own.
    """
    for name, field in (fields() if known is None else known).items():
        if prefix == "" and name in ("kind", "chain", "bridge", "reading", "ensemble", "images", "specialists"):
            continue
        section = section_of(field)
        if section is None or section is Ramp:
            yield prefix + name, field
        else:
            yield from leaves(section.model_fields, f"{prefix}{name}.")


def _explained(detail: Mapping[str, Any], kind: type[ExperimentConfig]) -> ConfigError:
    """Return one finding of pydantic as an error."""
    # The tag of the kind comes first; members of a union put their own name into the path, and only keys are a user's words.
    unknown = detail["type"] == "extra_forbidden"  # its last part is a user's word, whatever it looks like
    *parts, last = map(str, detail["loc"][1:] or ("",))
    location = [part for part in (*parts, *([] if unknown else [last]))
                if part and not re.search(r"[\[\]()]|^(constrained|literal|function|Ramp)", part)] + ([last] if unknown else [])
    path, given = ".".join(location) or "the recipe", detail.get("input")
    known, field = dict(kind.model_fields), ""
    for part in location:
        if part not in known:
            break
        field, known = f"{field}.{part}".lstrip("."), _fields_of(known[part])
    cause = detail.get("ctx", {}).get("error")
    suggestion = None
    if isinstance(cause, InvalidValueError):  # it knows the key better than the place of the validator
        field, suggestion = cause.field, cause.suggestion
    if unknown:
        near = difflib.get_close_matches(last[:100], known, n=1, cutoff=0.4)
        prefix = ".".join(location[:-1])
        fix = f"Did you mean '{prefix + '.' if prefix else ''}{near[0]}'?" if near else ""
        return ConfigError(f"Unknown key '{path}'.", f"Valid keys there: {', '.join(known)}.", fix, field=field or None)
    shown = json.dumps(given, default=str) if not isinstance(given, (dict, BaseModel)) else ""
    meaning = ""
    # A message about a whole section or an element of a list has no description of its own.
    if not isinstance(given, (dict, BaseModel)):
        with contextlib.suppress(KeyError):
            meaning = describe(path)
    given_text = (f"{path} was not given." if detail["type"] == "missing" else f"{path} was given as {shown}." if shown else
                  f"{path[0].upper()}{path[1:]} cannot be used as given.")
    return ConfigError(given_text, sentence(detail), f"It means: {meaning}." if meaning and suggestion is None else "", field=field or None,
                       suggestion=suggestion)


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
    "too_long": "a list of at most {max_length} was expected",
    "model_type": "a section with keys and values was expected", "model_attributes_type": "a section with keys and values was expected",
}


def sentence(detail: Mapping[str, Any]) -> str:
    """Return one detail of a ``ValidationError`` as a sentence."""
    context = {key: _shown(key, value) for key, value in detail.get("ctx", {}).items()}
    if context.get("class_name") == "Ramp":
        words = "a number, or start and end, was expected"
    else:
        words = SENTENCES.get(detail["type"], "").format_map(context) or detail["msg"].removeprefix("Value error, ").rstrip(".")
        if detail["type"] == "string_type" and isinstance(detail["input"], (int, float)):
            words += ": put it in quotes"
    return _sentence(words)


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:].rstrip('.')}."


def _shown(key: str, value: Any) -> str:
    if key == "pattern":
        return PATTERNS[value]
    if key == "expected":
        return str(value).replace("'", "")
    return f"{value:,g}" if isinstance(value, float) and abs(value) < 1e6 else str(value)
