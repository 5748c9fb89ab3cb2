"""Messages between the web process and the engine process: one JSON object a line.

    request     {"id": 7, "op": "generate", "model": "house-chat", ...}       {"id": 7, "op": "cancel"}
                {"id": 0, "op": "release"}                                    nobody answers: unused models go
    message     {"id": 7, "kind": "loaded", "card": {...}}                    the model is ready
                {"id": 7, "kind": "piece", "text": " a film", "tokens": 2}    more of an answer
                {"id": 7, "kind": "note", "reader": 0, ...}                   what a model notes of a sentence
                {"id": 7, "kind": "answer", ...}                              last: the answer is complete
                {"id": 7, "kind": "value", "value": ...}                      last: the result of any other request
                {"id": 7, "kind": "error", "error": "ModelNotFoundError", ...}     last: it failed
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

from core.errors import StillhouseError
from core.reading.notes import Behaviour

LAST = ("answer", "value", "error", "lost")


@dataclass(frozen=True, slots=True)
class ModelCard:
    """The model that produced the answer.

    Attributes:
        parameters: number of distinct parameters of the loaded model.
        layers: its blocks.
        context: tokens; its longest sequence.
        weights: 12 hexadecimal digits of the loaded weights.
        device: where it computes.
    """

    parameters: int
    layers: int
    context: int
    weights: str
    device: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """Announce that the model is in memory, with its card."""

    card: ModelCard


@dataclass(frozen=True, slots=True)
class Piece:
    """More of an answer: its text, and how many tokens the answer has so far."""

    text: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Answer:
    """The end of an answer; fields as in `core.generation.streaming.GenerationResult`."""

    text: str
    tokens: int
    prompt_tokens: int
    left_out: int
    seconds_to_first_token: float
    tokens_per_second: float
    finish: str


@dataclass(frozen=True, slots=True)
class Note:
    """What a model notes of a sentence.

    Attributes:
        reader, sentence: numbers of the model and of the sentence, as they were requested.
        behaviour: as of `core.reading.notes`.
        text: with its label.
    """

    reader: int
    sentence: int
    behaviour: Behaviour
    text: str


def send(stream: IO[bytes], message: Mapping[str, Any]) -> None:
    """Write one object. Callers hold a lock: two lines must not mix."""
    stream.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")
    stream.flush()


def receive(stream: IO[bytes]) -> Iterator[dict[str, Any]]:
    """Every object until the other side is gone; a line cut short by its end is dropped."""
    for line in stream:
        if line.endswith(b"\n"):
            yield json.loads(line)


def read_note(message: Mapping[str, Any]) -> Note:
    """Return a note as a value."""
    return Note(**_fields(message))


def read_generation(message: Mapping[str, Any]) -> Loaded | Piece | Answer:
    """Return a message of a generation as a value."""
    fields = _fields(message)
    match message["kind"]:
        case "loaded":
            return Loaded(ModelCard(**fields["card"]))
        case "piece":
            return Piece(**fields)
        case "answer":
            return Answer(**fields)
    raise ValueError(message["kind"])


def _fields(message: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in message.items() if name not in ("id", "kind")}


def write_error(error: StillhouseError) -> dict[str, Any]:
    """Return an error as plain data."""
    return {"kind": "error", **error.to_dict()}


def read_error(message: Mapping[str, Any]) -> StillhouseError:
    """Return the error that `write_error` wrote; of a class that is not the engine's own, its root."""
    return StillhouseError.from_dict(message)
