"""YAML and JSON that somebody else wrote, as plain data, with bounds on what reading them costs.

Both readers return mappings with text keys, lists, text, numbers, switches and None, and raise `PlainDataError` for anything else,
whatever their library raises. YAML is a language with more in it than data: an alias repeats a part of the document, so that a few
hundred characters may stand for gigabytes, and a tag names a type to make. Every event is checked before a node is made of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Hashable
from typing import Any

import yaml

MAX_CHARACTERS = 1 << 18  # of a YAML text: a hundred times what the longest recipe of this project has
MAX_DEPTH = 20  # sections and lists inside each other in a YAML text
MAX_NODES = 30_000  # values and keys of a YAML text; a layer map may be a list of ten thousand
MAX_NUMBER = 100  # characters of a number in a YAML text
MAX_JSON_VALUES = 1_000_000  # in a JSON text: at most some 150 MB as Python objects

_YAML_TAG = "tag:yaml.org,2002:"
_PLAIN_TAGS = frozenset(_YAML_TAG + name for name in ("null", "bool", "int", "float", "str", "seq", "map"))


class PlainDataError(ValueError):
    """What is wrong with a text, and where.

    Args:
        problem: part of a sentence, in lower case and without a full stop.
        line, column: from 1; None where the place is not known.
    """

    def __init__(self, problem: str, line: int | None = None, column: int | None = None) -> None:
        super().__init__(problem)
        self.problem, self.line, self.column = problem, line, column

    @property
    def place(self) -> str:
        """The place as words that follow a noun; empty where it is not known."""
        return "" if self.line is None else f" at line {self.line}, column {self.column}"


def parse_yaml(text: str) -> Any:
    """Return the plain data of a YAML text.

    Dates stay the text that they are written as, and so do ``<<`` and ``=``, which YAML 1.1 gives a meaning.

    Raises:
        PlainDataError: not YAML, an alias or an anchor, a tag of another type, a key that is no text or is there twice, a value that
            is not what its tag says, text that no file can hold, or more than the bounds above.
    """
    if len(text) > MAX_CHARACTERS:
        raise PlainDataError(f"it has {len(text):,} characters, and {MAX_CHARACTERS:,} are read at most")
    loader = None
    try:
        loader = _Loader(text)
        return loader.get_single_data()
    except PlainDataError:
        raise
    except yaml.reader.ReaderError as error:
        before = text[:error.position]
        raise PlainDataError(f"the character U+{ord(text[error.position]):04X} cannot stand in YAML", before.count("\n") + 1,
                             error.position - before.rfind("\n")) from error
    except yaml.MarkedYAMLError as error:
        problem = error.problem or str(error.context)
        problem = f"{error.context}, {problem}" if problem.startswith("but ") else problem
        raise _at(error.problem_mark or error.context_mark, problem) from error
    except (ValueError, OverflowError) as error:  # of an escape that is no character
        assert loader is not None, "only reading raises these"
        raise _at(loader.get_mark(), "an escaped character that does not exist") from error
    except RecursionError as error:
        raise PlainDataError("it is nested too deeply") from error


def parse_json(text: str | bytes, most: int = MAX_JSON_VALUES) -> Any:
    """Return the plain data of a JSON text, or of its bytes in UTF-8.

    Args:
        most: values that it may hold.

    Raises:
        PlainDataError: not UTF-8, not JSON, nested more deeply than Python reads, a whole number of more digits than it reads, or more
            than `most` values.
    """
    try:
        whole = text.decode("utf-8") if isinstance(text, bytes) else text
    except UnicodeDecodeError as error:
        raise PlainDataError("it is not UTF-8 text") from error
    if (count := json_values(whole)) > most:
        raise PlainDataError(f"it holds some {count:,} values, and {most:,} are read at most")
    try:
        return json.loads(whole)
    except json.JSONDecodeError as error:
        raise PlainDataError(error.msg[0].lower() + error.msg[1:], error.lineno, error.colno) from error
    except RecursionError as error:
        raise PlainDataError("it is nested too deeply") from error
    except ValueError as error:
        raise PlainDataError("it holds a whole number of too many digits") from error


def json_values(text: str) -> int:
    """Return about how many values a JSON text holds: separators inside of texts count too, so it is never less than what is there."""
    return sum(map(text.count, ",[{"))


def _at(mark: yaml.Mark | None, problem: str) -> PlainDataError:
    return PlainDataError(problem, mark.line + 1, mark.column + 1) if mark else PlainDataError(problem)


class _Loader(yaml.SafeLoader):
    """Compose and construct plain data alone, each part checked at the event that begins it."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = self._nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()
        self._nodes += 1
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            kind = "alias" if isinstance(event, yaml.AliasEvent) else "anchor"
            raise _at(event.start_mark, f"'{(event.anchor or '')[:40]}' is an {kind}: each value must be written out")
        if event.tag is not None and event.tag not in _PLAIN_TAGS | {"!"}:
            raise _at(event.start_mark, f"the tag '{event.tag.removeprefix(_YAML_TAG)[:40]}' is not read")
        if self._depth > MAX_DEPTH:
            raise _at(event.start_mark, f"it is nested too deeply: {MAX_DEPTH} levels are read at most")
        if self._nodes > MAX_NODES:
            raise _at(event.start_mark, f"it holds more than {MAX_NODES:,} values")
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        kind = node.tag.removeprefix(_YAML_TAG)
        if kind in ("int", "float") and isinstance(node, yaml.ScalarNode) and len(node.value) > MAX_NUMBER:
            raise _at(node.start_mark, f"a number of {len(node.value):,} characters")
        try:
            return super().construct_object(node, deep)
        except PlainDataError:
            raise
        except (ValueError, LookupError, OverflowError) as error:
            raise _at(node.start_mark, f"'{str(node.value)[:40]}' is no value of the type '{kind}'") from error

    def construct_mapping(self, node: yaml.Node, deep: bool = False) -> dict[Hashable, Any]:
        if not isinstance(node, yaml.MappingNode):
            raise _at(node.start_mark, "keys and values were expected")
        result: dict[Hashable, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag != f"{_YAML_TAG}str":
                shown = f"'{key_node.value[:40]}'" if isinstance(key_node, yaml.ScalarNode) else "a list or a section"
                raise _at(key_node.start_mark, f"{shown} stands as a key, and keys are text")
            key = self.construct_object(key_node)
            if key in result:
                raise _at(key_node.start_mark, f"the key '{key[:40]}' is there twice")
            result[key] = self.construct_object(value_node, deep)
        return result

    def construct_yaml_str(self, node: yaml.Node) -> str:
        text = str(self.construct_scalar(node))  # type: ignore[arg-type]  # it raises ConstructorError for another node
        try:
            # JSON, which is YAML too, escapes a character beyond U+FFFF as two halves.
            text = text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError as error:
            raise _at(node.start_mark, "half of an escaped character") from error
        if "\0" in text:
            raise _at(node.start_mark, "the character U+0000 cannot stand in a text")
        return text


_Loader.yaml_implicit_resolvers = {first: [(tag, pattern) for tag, pattern in resolvers if tag in _PLAIN_TAGS]
                                   for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()}
_Loader.add_constructor(f"{_YAML_TAG}str", _Loader.construct_yaml_str)
# YAML 1.1 reads 5e-4 as text; people write learning rates that way.
_Loader.add_implicit_resolver(f"{_YAML_TAG}float", re.compile(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+$"), list("+-0123456789"))
