"""Which columns of a table hold the text, and one record of them as a row.

    columns                      format              a row of it
    messages                     messages            {"messages": [...]}
    prompt, completion           prompt+completion   {"prompt": ..., "completion": ...}, or messages when both are lists of them
    text                         text                {"text": ...}
    conversations                messages            {"messages": [...]}: ShareGPT's, with "from" and "value"
    instruction, input, output   messages            {"messages": [...]}: Alpaca's, a question and its answer; input may be missing
    a named column               what it holds       text or messages

The first line that fits decides; upper and lower case are alike. Contents may be lists of parts, as chat interfaces take them:
the parts that are text are joined.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from core.data.rows import Row
from core.errors import DataError, SetField

KNOWN = (("messages",), ("prompt", "completion"), ("text",), ("conversations",), ("instruction", "input", "output"),
         ("instruction", "output"))
ROLES = ("system", "user", "assistant")
# What ShareGPT's files and their descendants call the roles.
SPEAKERS = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "chatgpt": "assistant", "model": "assistant",
            "bard": "assistant", "bing": "assistant", "system": "system"}
MOST_LISTED = 30  # columns that a message names
EXAMPLE = '[{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi."}]'


def known_columns(available: Sequence[str]) -> tuple[str, ...] | None:
    """Return the columns among `available` that a format is recognised by, or None."""
    by_name = {name.lower(): name for name in reversed(available)}
    return next((tuple(by_name[name] for name in names) for names in KNOWN if all(name in by_name for name in names)), None)


def choose_columns(available: Sequence[str], wanted: str | None, origin: str, optional: Collection[str] = ()) -> tuple[str, ...]:
    """Return the columns to read: one that holds text or messages, or a prompt's and its completion's.

    Args:
        optional: columns that some records lack; they are chosen by their name where no others are known.

    Raises:
        DataError: `wanted` is not there, or no column is known by its name.
    """
    listed = listed_names(available) or "none"
    if wanted is not None:
        if wanted not in available:
            near = difflib.get_close_matches(wanted, available, n=1)
            raise DataError(f"{origin} has no column '{wanted}'.", f"Its columns are: {listed}.",
                            "Set data.column to one of them.", field="data.column",
                            suggestion=SetField("data.column", near[0], guess=True) if near else None)
        return (wanted,)
    columns = known_columns([name for name in available if name not in optional]) or known_columns(available)
    if columns is None:
        raise DataError(f"{origin} has no column that is known to hold text. Its columns are: {listed}.",
                        "Expected: 'text', 'messages', 'conversations', 'prompt' and 'completion', or 'instruction' and 'output'.",
                        "A .csv file names its columns in its first line. Name the column with the text.",
                        suggestion=SetField("data.column", "review"))
    if [name.lower() for name in columns] == ["instruction", "output"]:  # as some records have an input, others none
        columns = known_columns([*columns, *(name for name in available if name.lower() == "input")]) or columns
    return columns


def to_row(record: Mapping[str, Any], columns: tuple[str, ...], where: str, optional: Collection[str] = ()) -> Row | None:
    """Return one record as a row; None when it holds nothing to learn from.

    Args:
        where: names the record in messages, as "'reviews.csv', line 7".
        optional: columns that a record may lack; it holds nothing in them then.

    Raises:
        DataError: a column is missing, a value is neither text nor messages, or messages are malformed.
    """
    if len(columns) > 1 and columns[0].lower() == "instruction":
        return _instruction(record, columns, where)
    missing = [name for name in columns if name not in record and name not in optional]
    if missing:
        raise DataError(f"{where}: '{missing[0]}' is missing.", f"Every row needs {' and '.join(columns)}, as the first one has.",
                        "Complete that row, or remove it.")
    values = [_parsed(record.get(name), name, where) for name in columns]
    if len(columns) == 2:
        return _exchange(values[0], values[1], columns, where)
    if isinstance(values[0], list):
        return _conversation(values[0], where)
    text = _text(values[0], f"{where}: '{columns[0]}'")
    return {"text": text} if text.strip() else None


def row_format(row: Row) -> str:
    """Return the name of a row's format."""
    return "prompt+completion" if "prompt" in row else next(name for name in ("messages", "text") if name in row)


def _parsed(value: Any, column: str, where: str) -> Any:
    # Tables of plain text, as CSV is, can only hold messages as JSON.
    if column.lower() not in ("messages", "conversations") or not isinstance(value, str) or not value.strip():
        return value
    try:
        parsed = json.loads(value)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: '{column}' holds text that is not JSON ({error}).", f"Expected: {EXAMPLE}",
                        "Correct that row; a column of plain text should be called 'text'.") from error
    if not isinstance(parsed, list):
        raise _malformed(f"{where}: '{column}' holds {_kind(parsed)}.")
    return parsed


def _exchange(prompt: Any, completion: Any, columns: tuple[str, ...], where: str) -> Row | None:
    if isinstance(prompt, list) and isinstance(completion, list):
        return _conversation([*prompt, *completion], where)
    question, answer = (_text(value, f"{where}: '{name}'") for value, name in zip((prompt, completion), columns, strict=True))
    return {"prompt": question, "completion": answer} if answer.strip() else None


def _instruction(record: Mapping[str, Any], columns: tuple[str, ...], where: str) -> Row | None:
    """Return Alpaca's record as a conversation: the chat template of a model says how it reads an instruction."""
    needed = [name for name in columns if name.lower() != "input"]
    missing = [name for name in needed if name not in record]
    if missing:
        raise DataError(f"{where}: '{missing[0]}' is missing.", f"Every row needs {' and '.join(needed)}, as the first one has.",
                        "Complete that row, or remove it.")
    given = next((name for name in record if name.lower() == "input"), "input")
    instruction, context, answer = (_text(record.get(name), f"{where}: '{name}'") for name in (needed[0], given, needed[1]))
    question = f"{instruction}\n\n{context}" if context.strip() else instruction
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]} if answer.strip() else None


def _conversation(messages: list[Any], where: str) -> Row | None:
    checked = [_message(message, number, where) for number, message in enumerate(messages, start=1)]
    return {"messages": checked} if any(message["content"].strip() for message in checked) else None


def _message(message: Any, number: int, where: str) -> dict[str, str]:
    where = f"{where}, message {number}"
    if not isinstance(message, Mapping):
        raise _malformed(f"{where} is {_kind(message)}.")
    role_key, content_key = ("from", "value") if "role" not in message and "from" in message else ("role", "content")
    for key in (role_key, content_key):
        if key not in message:
            raise _malformed(f"{where} has no '{key}' (its keys: {', '.join(map(_short, message)) or 'none'}).")
    role = message[role_key]
    if role_key == "from" and isinstance(role, str):
        role = SPEAKERS.get(role.lower(), role)
    if role not in ROLES:
        raise _malformed(f"{where} has the role {json.dumps(role, default=str)}.")
    if role == "system" and number > 1:
        raise _malformed(f"{where} is a system message.", "A system message can only be the first.")
    content = message[content_key]
    if isinstance(content, list):
        content = "".join(_part(part, index, where) for index, part in enumerate(content, start=1))
    if not isinstance(content, str):
        raise _malformed(f"{where}: the content is {_kind(content)}.")
    return {"role": role, "content": _text(content, f"{where}: the content")}


def _part(part: Any, index: int, where: str) -> str:
    """Return the text of one part of a content. Raises DataError for a picture, a sound and anything else that is no text."""
    text = part.get("text") if isinstance(part, Mapping) and part.get("type", "text") == "text" else part
    if not isinstance(text, str):
        kind = f"of the type {json.dumps(part['type'], default=str)}" if isinstance(part, Mapping) and "type" in part else _kind(part)
        raise _malformed(f"{where}: part {index} of the content is {kind}.",
                         'Parts of text were expected, as in [{"type": "text", "text": "Hello"}].')
    return text


def _malformed(given: str, expected: str = "") -> DataError:
    return DataError(given, expected or f"Each message has a role ({', '.join(ROLES)}) and its content as text: {EXAMPLE}",
                     "Correct that row, or remove it.")


def _text(value: Any, what: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise DataError(f"{what} holds {_kind(value)}.", "Text was expected.",
                        "Correct that row, or name the column that holds the text.", suggestion=SetField("data.column", "review"))
    return require_characters(value, what).replace("\r\n", "\n")


def require_characters(text: str, what: str) -> str:
    """Return a text of complete characters, as files, tokenizers and browsers take them. Raises DataError.

    Args:
        what: names it in messages, as "'reviews.jsonl', line 7: 'text'".
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{what} holds {text[error.start]!a}, half of a character.", "Complete Unicode characters were expected.",
                        "Correct it, or leave it out.") from error
    return text


def listed_names(names: Sequence[str]) -> str:
    """Return the names of columns for messages: the first of them, where there are many."""
    more = f" and {len(names) - MOST_LISTED:,} more" if len(names) > MOST_LISTED else ""
    return ", ".join(_short(name) for name in names[:MOST_LISTED]) + more


def _kind(value: Any) -> str:
    names = {type(None): "nothing", bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list", bytes: "bytes"}
    return names.get(type(value), "an object" if isinstance(value, Mapping) else type(value).__name__)


def _short(name: Any) -> str:
    # A table without a header shows its first record here, which may be long.
    text = str(name)
    return text if len(text) <= 40 else f"{text[:37]}..."
