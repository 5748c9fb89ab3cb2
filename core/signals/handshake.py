"""What is checked of a teacher's server before the first step: is it the teacher of the recipe, and does it answer what is requested?

    model         the server lists it, and it reads blocks as long as the recipe's
    tokens        texts are tokenised alike on both sides; else tokens are spelt alike
    temperature   one position, requested at two temperatures, has two answers: raw log-probabilities have one, as those of prompts are in
                  stock vLLM whatever its --logprobs-mode (vLLM, pull requests 37082 and 47680)
    k             as many tokens are listed as requested
    answers       what was kept of this server in an earlier run is what it says today
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from core.errors import CompatibilityError, SetField, TeacherServerError
from core.models.vocabulary import decode_text
from core.signals.cache import SignalCache
from core.signals.served import ServedTeacher, listing
from core.signals.server_client import ServerClient
from core.signals.wire import FIELD, wire_format

TEXTS, LONGEST_TEXT = 20, 64  # texts that are tokenised on both sides, of so many tokens
PROBE = 12  # tokens of a position that is queried twice
LARGEST_DIFFERENCE = 0.05  # nats, between kept and new answers: sums in another order differ less, another teacher more
OTHER_TEMPERATURE = 2.0  # times the recipe's
SAME = 1e-3  # nats; answers at two temperatures differ by more


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What the handshake found.

    Attributes:
        model: as the server calls it.
        context: tokens that it reads, where it says.
        compared: texts that were tokenised on both sides; 0 where the server tokenises nothing.
    """

    model: str
    context: int | None
    compared: int


def choose_model(client: ServerClient, block_length: int) -> ServerFacts:
    """Return the model that the recipe means; the client asks for it from now on, in its server's wire format.

    Raises:
        TeacherServerError: the server is not there, refuses, or has no such model, or several.
        CompatibilityError: it reads less than a block.
    """
    listed = client.models()
    names = [str(each.get("id", "")) for each in listed]
    wanted = client.address.model
    if (wanted and wanted not in names) or (not wanted and len(names) != 1):
        raise TeacherServerError(
            f"The teacher's server has no model '{wanted}'." if wanted else f"The teacher's server has {len(names)} models.",
            f"One of these was expected: {', '.join(names)}." if names else "A model was expected.", "Name it",
            suggestion=SetField(FIELD, f"{client.address.url}#{names[0]}") if names else None, field=FIELD)
    client.model = wanted or names[0]
    chosen = listed[names.index(client.model)]
    client.wire = wire_format(chosen)
    context = chosen.get("max_model_len")
    if isinstance(context, int) and block_length + 1 > context:
        raise CompatibilityError(f"data.block_length is {block_length} tokens.",
                                 f"The teacher's server reads {context} at most, one that it writes among them.",
                                 f"Set data.block_length to {context - 1} or less.", suggestion=SetField("data.block_length", context - 1))
    return ServerFacts(client.model, context if isinstance(context, int) else None, 0)


def require_same_tokens(client: ServerClient, tokenizer: Any, rows: Sequence[Sequence[int]]) -> int:
    """Check that texts are tokenised alike on both sides. Returns how many were; 0 where the server tokenises nothing.

    Args:
        rows: token ids of held-out text.

    Raises:
        CompatibilityError: ids differ.
    """
    compared = 0
    for row in rows[:TEXTS]:
        text = decode_text(tokenizer, list(row[:LONGEST_TEXT]), skip_special_tokens=True)
        if not text.strip():
            continue
        theirs = client.tokenize(text)
        if theirs is None:
            return 0
        mine = list(tokenizer(text, add_special_tokens=False)["input_ids"])
        if mine != theirs:
            place = next((place for place, (one, other) in enumerate(zip(mine, theirs, strict=False)) if one != other),
                         min(len(mine), len(theirs)))
            raise _other_vocabulary(f"token {place} of '{text[:40]}' is {mine[place] if place < len(mine) else 'none'} here and "
                                    f"{theirs[place] if place < len(theirs) else 'none'} there")
        compared += 1
    return compared


def require_answers_as_requested(teacher: ServedTeacher, tokenizer: Any, row: Sequence[int], *, spelt: bool) -> None:
    """Ask one position at two temperatures: the temperature has to arrive, k has to be honoured, ids have to be tokens.

    Args:
        row: token ids of a text.
        spelt: whether the spelling of tokens is compared too, where the server says it.

    Raises:
        TeacherServerError: raw log-probabilities, or fewer than k.
        CompatibilityError: another vocabulary.
    """
    client, k, probe = teacher.client, min(teacher.k, teacher.vocabulary), list(row[:PROBE])
    entry = client.listed([probe], k, teacher.temperature)[0][-1]
    found = listing(entry, probe[-1], teacher)
    assert entry is not None, "what was listed is there"
    if found.short:
        raise TeacherServerError(f"The teacher's server lists {len(entry)} tokens of a position.",
                                 f"teacher.signals.top_k is {teacher.k}.", "Start it with --max-logprobs -1, or ask for fewer",
                                 suggestion=SetField("teacher.signals.top_k", len(entry)))
    if spelt:
        _require_same_spelling(entry, tokenizer)
    if teacher.temperature == 1.0:  # raw ones are right
        return
    other = client.listed([probe], k, OTHER_TEMPERATURE * teacher.temperature)[0][-1] or {}
    mine, theirs = _log_p(entry), _log_p(other)
    shared = mine.keys() & theirs.keys()
    if shared and max(abs(mine[token] - theirs[token]) for token in shared) < SAME:
        raise TeacherServerError("The teacher's server gives the same log-probabilities at two temperatures.",
                                 f"Those at losses.temperature = {teacher.temperature:g} were expected; raw ones are at 1.",
                                 "Stock vLLM and SGLang apply none to a prompt's: serve the model with serve-teacher, or compare at "
                                 "temperature 1",
                                 suggestion=SetField("losses.temperature", 1.0))


def require_same_answers(teacher: ServedTeacher, cache: SignalCache) -> None:
    """Check that the server still says what is kept of it: another model may answer under the same name by now.

    Raises:
        TeacherServerError: answers differ.
    """
    if not cache.manifest.shards:
        return
    ids, rows = cache.sample(1)
    probe = ids[0, :PROBE].tolist()
    kept = {int(token) & 0xFFFF if rows[0]["ids"].dtype == torch.int16 else int(token): float(log_p)
            for token, log_p in zip(rows[0]["ids"][len(probe) - 2], rows[0]["log_p"][len(probe) - 2], strict=True) if log_p > -torch.inf}
    found = listing(teacher.client.listed([probe], min(teacher.k, teacher.vocabulary), teacher.temperature)[0][-1], probe[-1], teacher)
    now = dict(zip(found.ids.tolist(), found.log_p.tolist(), strict=True))
    shared = kept.keys() & now.keys()
    difference = max((abs(kept[token] - now[token]) for token in shared), default=float("inf"))
    if difference > LARGEST_DIFFERENCE:
        raise TeacherServerError(
            f"The teacher's server answers differently than it did: by {difference:.2f} nats.", f"Its answers in '{cache.folder}' were "
            f"expected, up to {LARGEST_DIFFERENCE:g}.", f"Start the server with the model that it had (and vLLM with "
            f"--no-enable-prefix-caching), or delete them: signals delete {cache.folder.name}", field=FIELD)


def _require_same_spelling(entry: Mapping[str, Any], tokenizer: Any) -> None:
    """Compare the spelling of listed tokens, which vLLM says beside their ids."""
    said = [(int(token), str(each["decoded_token"])) for token, each in entry.items() if each.get("decoded_token")]
    wrong = [(token, text) for token, text in said if "\ufffd" not in text and decode_text(tokenizer, [token]).strip() != text.strip()]
    if len(wrong) > len(said) // 2:
        token, text = wrong[0]
        raise _other_vocabulary(f"token {token} is '{decode_text(tokenizer, [token])}' here and '{text}' there")


def _log_p(entry: Mapping[str, Any]) -> dict[int, float]:
    return {int(token): float(said["logprob"]) for token, said in entry.items() if said["logprob"] is not None}


def _other_vocabulary(difference: str) -> CompatibilityError:
    return CompatibilityError(f"The teacher's server has another tokenizer: {difference}.", "Teacher and student must have one tokenizer.",
                              "Choose a student.model of the teacher's family, or a teacher of the student's.", field=FIELD)
