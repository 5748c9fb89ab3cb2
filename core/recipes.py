"""Read recipes: YAML and ``a.b=c`` overrides become one `ExperimentConfig`; what pydantic finds wrong becomes errors."""

from __future__ import annotations

import contextlib
import functools
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import TypeAdapter, ValidationError

from core import recipe_keys
from core.config import KINDS, ORDER, SECTIONS, AnyExperiment, ExperimentConfig, Kind
from core.config.fields import field_at, fields
from core.config.sentences import as_sentence, explained
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
    field = field_at(path)
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
    field = field_at(path)
    return field is not None and {field.annotation, *(() if get_origin(field.annotation) is tuple else get_args(field.annotation))} >= {str}


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
        return None, [*errors, *(explained(detail, KINDS[kind]) for detail in error.errors(include_url=False))]
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
                                          as_sentence(kind.excludes[key]) if key in kind.excludes else f"Its keys are: {sections}.",
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
