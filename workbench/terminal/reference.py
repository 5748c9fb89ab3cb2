"""Reference pages under docs/reference/, generated from the code: ``python -m workbench.terminal.reference`` writes them all.

`tests/test_reference.py` compares them with what this module generates.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from core.config import KINDS, ORDER
from core.metrics import MASKED, METRICS
from core.recipe_keys import RENAMED
from core.studies.claims import outcomes
from core.studies.claims.claim import Claim
from core.studies.claims.registry import CLAIMS
from core.studies.claims.rules import VERDICT_NAMES
from core.system.paths import PROJECT
from workbench.settings import SETTINGS
from workbench.terminal.cli import build_parser

FOLDER = PROJECT / "docs" / "reference"
JSON_SHAPES = PROJECT / "tests" / "compatibility" / "json_shapes"
# Objects of JSON documents whose keys are data, as names of metrics, or stand elsewhere.
FREE = ("config", "report", "metrics", "latest_metrics", "versions", "parents", "environment", "setting", "numbers", "values",
        "differences", "losses", "alphas", "baselines", "published", "glue_points", "summary")
BETTER = {"lower": "lower is better", "higher": "higher is better", "none": ""}

Schema = Mapping[str, Any]


# ---------------------------------------------------------------------------------------------------- command line


def command_line() -> str:
    """Return every verb with its arguments, defaults and help, from the argparse parser."""
    parser = build_parser()
    parts = [parser.description or "", _arguments("python -m workbench", parser)]
    for name, verb in _verbs(parser).items():
        parts += [f"## {name}", verb.description or "", _arguments(f"python -m workbench {name}", verb)]
        if verb.lists_settings:
            parts.append("Keys of `--set` are those of [recipes](recipes.md).")
    return _page("Command line", *parts)


def _verbs(parser: argparse.ArgumentParser) -> Mapping[str, Any]:
    verbs, = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return verbs.choices


def _arguments(command: str, parser: argparse.ArgumentParser) -> str:
    actions = [action for action in parser._actions if not isinstance(action, (argparse._HelpAction, argparse._SubParsersAction))]
    words = [_usage(action) for action in sorted(actions, key=lambda action: not action.option_strings)]
    rows = []
    for action in actions:
        text, default = _without_default((action.help or "") % {"default": action.default})
        rows.append((f"`{_name(action)}`", text, default or ("required" if action.required else "")))
    return f"    {' '.join([command, *words])}\n\n{_table(('argument', 'meaning', 'default'), rows)}"


def _name(action: argparse.Action) -> str:
    value = action.metavar or ("{" + ",".join(action.choices) + "}" if action.choices else action.dest.upper())
    return " ".join([*action.option_strings[-1:], *([] if action.nargs == 0 else [str(value)])])


def _usage(action: argparse.Action) -> str:
    repeated = f"{_name(action)} ..." if action.nargs in ("+", "*") else _name(action)
    return repeated if action.required and action.nargs != "*" else f"[{repeated}]"


# ---------------------------------------------------------------------------------------------------- recipes


def recipes() -> str:
    """Return every key of a recipe with its type, default and meaning, from the configuration's JSON schema."""
    schemas = {name: kind.model_json_schema() for name, kind in KINDS.items()}
    definitions = {name: each for schema in schemas.values() for name, each in schema["$defs"].items()}
    known = {key: next(schema["properties"][key] for schema in schemas.values() if key in schema["properties"]) for key in ORDER}
    parts = ["Keys of a recipe (YAML), and of `--set key=value`. The first words of a meaning are its unit.",
             "## Kinds of experiments",
             "A recipe may name its `kind`. One that does not has the kind of its sections: `task` makes it `fine_tune`, `chain` and "
             "`bridge` the kind of their name, `teacher: null` makes it `pretrain`; any other is `distill`.",
             _table(("kind", "meaning", "sections"), [
                 (f"`{name}`", (kind.model_fields["kind"].description or "").partition("; ")[2],
                  ", ".join(f"`{key}`" for key in ORDER if key in kind.model_fields and key not in ("kind", "name", "description")))
                 for name, kind in KINDS.items()]),
             "## Top level"]
    sections: list[tuple[str, str, Schema]] = []
    plain = {key: field for key, field in known.items() if key != "kind"}
    parts.append(_keys({"properties": plain}, "", definitions, sections))
    while sections:
        name, meaning, section = sections.pop(0)
        parts += [f"## {name}", meaning, _keys(section, f"{name}.", definitions, sections)]
    former = [(f"`{old}`", f"`{new}`") for old, new in RENAMED.items()]
    parts += ["## Former names", "Keys of release 0.1.0 that are still read, with a warning.", _table(("former key", "key"), former)]
    return _page("Recipes", *parts)


def _keys(section: Schema, prefix: str, definitions: Schema, sections: list[tuple[str, str, Schema]]) -> str:
    """Return the table of a section's own keys, and append the sections inside it to `sections`."""
    rows, inner = [], []
    for name, field in section["properties"].items():
        nested, listed = _section(field, definitions)
        meaning, default = _without_default(field.get("description", ""))
        if nested is None:
            shown = default or ("" if name in section.get("required", ()) else f"`{json.dumps(_plain(field.get('default')))}`")
            rows.append((f"`{prefix}{name}`", _type(field), shown or "required", meaning))
        else:
            optional = any(each.get("type") == "null" for each in field.get("anyOf", ()))
            absent = " Absent by default." if optional and field.get("default") is None else " May be null." if optional else ""
            inner.append((f"{prefix}{name}{'[]' if listed else ''}", f"{meaning[:1].upper()}{meaning[1:]}.{absent}", nested))
    sections[:0] = inner
    return _table(("key", "type", "default", "meaning"), rows) if rows else ""


def _section(field: Schema, definitions: Schema) -> tuple[Schema | None, bool]:
    """Return the section that a field holds, and whether it holds a list of them; the weight of a loss is a value."""
    for each in (field, *field.get("anyOf", ())):
        listed = each.get("items", {}).get("$ref")
        name = (listed or each.get("$ref", "")).rpartition("/")[2]
        if name and name != "Ramp":
            return definitions[name], listed is not None
    return None, False


def _type(field: Schema) -> str:
    if "$ref" in field:
        return "number, or {start, end}"
    if "enum" in field:
        return ", ".join(f"`{each}`" for each in field["enum"])
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(map(_type, field["anyOf"])))
    if field.get("type") == "array":
        return f"list of {_type(field.get('items', {}))}"
    words = {"integer": "integer", "number": "number", "boolean": "true, false", "string": "text", "null": "null"}
    bounds = [f"{sign} {field[key]:.10g}" for key, sign in (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"),
                                                         ("exclusiveMaximum", "<")) if key in field]
    return " ".join([words[field["type"]], ", ".join(bounds)]).strip()


def _plain(value: Any) -> Any:
    """Return a constant weight as its number."""
    return value["start"] if isinstance(value, dict) and value.keys() == {"start", "end"} and value["start"] == value["end"] else value


# ---------------------------------------------------------------------------------------------------- metrics, settings, JSON


def metrics() -> str:
    """Return every metric with its unit, direction and meaning."""
    def table(known: Mapping[str, Any]) -> str:
        return _table(("name", "label", "unit", "direction", "meaning"),
                      [(f"`{name}`", each.label, each.unit, BETTER[each.better], each.help) for name, each in known.items()])

    return _page("Metrics", "Names in logs, reports and `--json`. In reports the prefix `eval/` is left out.", table(METRICS),
                 "## Masked language models", "In runs of masked language models these mean:", table(MASKED))


def settings() -> str:
    """Return the environment variables that the app reads."""
    return _page("Settings", "Environment variables that the app reads when it starts.", _table(
        ("variable", "meaning", "default"),
        [(f"`{each.variable}`", each.meaning, f"`{each.default}`" if each.default else "none") for each in SETTINGS]))


def json_output() -> str:
    """Return the keys of each verb's JSON document, from the schemas that a test holds the verbs to."""
    parts = ["The document that each verb prints with `--json`. A key that only some documents of a verb have says which; `[]` stands for "
             "the elements of a list. A mistake is `{\"error\": {\"given\", \"expected\", \"fix\"}}`, with exit code 2.",
             f"Keys inside these objects are left out: {', '.join(f'`{key}`' for key in FREE)}. They are data, such as names of metrics, "
             "or listed elsewhere: `config` under [recipes](recipes.md), `report` under distill and chain."]
    for verb in _verbs(build_parser()):
        schemas = json.loads((JSON_SHAPES / f"{verb}.json").read_text(encoding="utf-8"))
        cases = {case: dict(_json_keys(schema)) for case, schema in schemas.items() if "error" not in schema.get("properties", {})}
        keys = dict.fromkeys(key for found in cases.values() for key in found)
        parts += [f"## {verb}", _table(("key", "type", "documents"), [
            (f"`{key}`", " or ".join(sorted({kind for found in cases.values() for kind in found.get(key, ())})), _which(key, cases))
            for key in keys])]
    return _page("JSON output", *parts)


def _json_keys(schema: Schema, prefix: str = "") -> Iterator[tuple[str, Sequence[str]]]:
    """Yield the dotted keys of a document with their types."""
    for key, value in schema.get("properties", {}).items():
        types = value.get("type", "null")
        yield prefix + key, [types] if isinstance(types, str) else types
        if key not in FREE:
            yield from _json_keys(value, f"{prefix}{key}.")
    if "items" in schema:
        yield from _json_keys(schema["items"], f"{prefix.removesuffix('.')}[].")


def _which(key: str, cases: Mapping[str, Mapping[str, Any]]) -> str:
    there = [case for case, found in cases.items() if key in found]
    others = [case for case in cases if case not in there]
    return "" if not others else ", ".join(there) if len(there) <= len(others) else f"all but {', '.join(others)}"


# ---------------------------------------------------------------------------------------------------- pages


def claims() -> str:
    """Return every claim with the outcome that ships with the project: verdict, decisive number and its interval."""
    rows = []
    for claim in CLAIMS.values():
        outcome = outcomes.shipped(claim)
        source = f"[{claim.source.arxiv}]({claim.source.url}), {claim.source.place}"
        if outcome is None:
            rows.append((claim.name, claim.title, source, outcomes.verdict_words(claim, None), "", _earlier(claim)))
            continue
        figure = claim.figures[0]
        number = outcome.numbers[figure.name].interval
        ends = "" if number.low is None else f" [{number.low:.3g}, {number.high:.3g}]"
        rows.append((claim.name, claim.title, source, VERDICT_NAMES[outcome.verdict], str(len(outcome.seeds)),
                     f"{figure.words}: {number.value:.3g}{ends}{' ' if figure.unit else ''}{figure.unit}"))
    return _page("Claims", "Claims of the papers, tested at a scale of minutes by rules that were fixed before the first "
                 "run. Brackets hold 95% "
                 "confidence intervals, Student's t over the seeds. `python -m workbench claim NAME` repeats one.",
                 _table(("claim", "statement", "source", "verdict", "seeds", "decisive number"), rows))


def _earlier(claim: Claim) -> str:
    """Return what the last outcome of an earlier version said; empty where there is none."""
    earlier = outcomes.earlier(claim)
    return f"under version {earlier[0].version}: {VERDICT_NAMES[earlier[0].verdict]}" if earlier else ""


REFERENCES: Mapping[str, Callable[[], str]] = {
    "command-line.md": command_line, "recipes.md": recipes, "metrics.md": metrics, "settings.md": settings, "json.md": json_output,
    "claims.md": claims}


def _without_default(text: str) -> tuple[str, str]:
    """Return a help text without its default in brackets, and the default."""
    found = re.search(r" ?\(default: (.*?)\)(?=$|[;,.])", text)
    return (text[:found.start()] + text[found.end():], found[1]) if found else (text, "")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _page(title: str, *parts: str) -> str:
    source = "<!-- Generated by `make reference`; do not edit. -->"
    return "\n\n".join([f"# {title}", source, *filter(None, parts)]) + "\n"


def main() -> None:
    """Write all references."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, generate in REFERENCES.items():
        (FOLDER / name).write_text(generate(), encoding="utf-8")
        print(FOLDER / name)


if __name__ == "__main__":
    main()
