"""Token-level divergence of a student's next-token distribution from its teacher's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from core.data.conversation import Conversation, Detokenizer, as_messages, context_length, encode_answer, fit_prompt
from core.errors import DataError
from core.evaluation.blanks import blank_logits
from core.models.architectures import architecture_of
from core.models.chunking import chunks
from core.models.forward import last_hidden, log_softmax, output_head
from core.models.vocabulary import decode_text, require_rows, vocabulary_size

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

LEADING = 5


@dataclass(frozen=True, slots=True)
class Candidate:
    """A possible next token and its probability at temperature 1."""

    token: str
    probability: float


@dataclass(frozen=True, slots=True)
class Position:
    """One token of the teacher's answer and what both models expected in its place.

    Attributes:
        token: the text of the token that stands there.
        kl: nats; KL(teacher || student) of the two distributions in front of it.
        teacher_top5: the teacher's most likely tokens, falling.
        student_top5: the student's most likely tokens, falling.
    """

    token: str
    kl: float
    teacher_top5: list[Candidate]
    student_top5: list[Candidate]


@dataclass(frozen=True, slots=True)
class NextToken:
    """A next-token distribution before any temperature.

    Attributes:
        tokens: texts of the most likely tokens, falling.
        logits: of the whole vocabulary, falling, so that ``softmax(logits / T)`` is exact at any temperature.
    """

    tokens: list[str]
    logits: list[float]


def compare_positions(teacher: PreTrainedModel, student: PreTrainedModel, tokenizer: PreTrainedTokenizerBase,
                      conversation: Conversation, answer: str, *, vocabulary: int | None = None) -> list[Position]:
    """Return both models' distributions at every token of the teacher's answer.

        KL_t = sum over v of p_t(v) * (log p_t(v) - log q_t(v)),    p teacher, q student, both at temperature 1

    The models must share `tokenizer`. Families pad their embeddings to different widths: only the rows of real tokens
    take part, and each distribution is renormalised over them.

    Args:
        vocabulary: tokens that both models know, counted from 0 (default: the tokenizer's).

    Raises:
        DataError: the answer is empty.
        ConfigError: question and answer together fill the shorter context.
    """
    answer_ids = encode_answer(tokenizer, as_messages(conversation), answer) if answer else []
    if not answer_ids:
        raise DataError("The answer is empty.", "An answer of at least one token was expected.", "Ask a question first.")
    context = min(context_length(teacher), context_length(student))
    prompt_ids = fit_prompt(tokenizer, conversation, context, len(answer_ids)).token_ids
    answer_ids = answer_ids[: context - len(prompt_ids)]
    require_rows(prompt_ids + answer_ids, tokenizer, teacher, student)
    vocabulary = vocabulary_size(tokenizer) if vocabulary is None else vocabulary
    # The token in front of an answer token predicts it, so the last answer token is not read.
    states = [_last_states(model, prompt_ids + answer_ids[:-1], len(answer_ids)) for model in (teacher, student)]  # (N, D) each
    positions: list[Position] = []
    for span in chunks(len(answer_ids), vocabulary):
        teacher_log, student_log = (_log_probabilities(model, state[span], vocabulary)  # (chunk, V)
                                    for model, state in zip((teacher, student), states, strict=True))
        kl = (teacher_log.exp() * (teacher_log - student_log)).sum(-1).clamp_min(0)  # rounding can give -1e-8
        leading = zip(_leading(tokenizer, teacher_log), _leading(tokenizer, student_log), strict=True)
        positions += [Position("", value, *both) for value, both in zip(kl.tolist(), leading, strict=True)]
    return [replace(position, token=piece) for position, piece in zip(positions, _pieces(tokenizer, answer_ids), strict=True)]


def next_token_logits(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, conversation: Conversation,
                      count: int = 20) -> NextToken:
    """Return the logits of the next token, or of the first blank, for a picture of how temperature softens them.

    Args:
        conversation: of a masked model a text with `core.data.masking.MASK` in it.
        count: tokens; how many of the most likely ones to name.

    Raises:
        ConfigError: the question fills the context.
        DataError: there is no blank for a model that fills them.
    """
    if architecture_of(model.config).objective == "masked":
        assert isinstance(conversation, str), "a masked model reads one text"
        last = blank_logits(model, tokenizer, conversation)[0]
    else:
        last = prompt_logits(model, tokenizer, conversation)
    logits, order = last[: vocabulary_size(tokenizer)].sort(descending=True)  # (V,)
    return NextToken([decode_text(tokenizer, [token_id]) for token_id in order[:count].tolist()], logits.tolist())


def prompt_logits(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, conversation: Conversation) -> torch.Tensor:
    """Return float32 logits (V,) of the first token of an answer, on the processor. Raises ConfigError as `next_token_logits`."""
    token_ids = fit_prompt(tokenizer, conversation, context_length(model), 1).token_ids
    require_rows(token_ids, tokenizer, model)
    with torch.inference_mode():
        return output_head(model).logits(_last_states(model, token_ids, 1))[0, : vocabulary_size(tokenizer)].cpu()


@torch.inference_mode()
def _last_states(model: PreTrainedModel, token_ids: list[int], count: int) -> torch.Tensor:
    """Return what enters the output head (count, D) after each of the last `count` tokens."""
    return last_hidden(model, torch.tensor([token_ids], device=model.device))[0, -count:]


@torch.inference_mode()
def _log_probabilities(model: PreTrainedModel, states: torch.Tensor, vocabulary: int) -> torch.Tensor:
    """Return log-probabilities (N, V) on the CPU from states (N, D) in front of the output head."""
    return log_softmax(output_head(model), states, vocabulary).cpu()


def _leading(tokenizer: PreTrainedTokenizerBase, log_probabilities: torch.Tensor) -> list[list[Candidate]]:
    values, token_ids = log_probabilities.topk(min(LEADING, log_probabilities.shape[-1]), dim=-1)  # (N, 5)
    return [[Candidate(decode_text(tokenizer, [token_id]), probability) for token_id, probability in zip(ids, row, strict=True)]
            for ids, row in zip(token_ids.tolist(), values.exp().tolist(), strict=True)]


def _pieces(tokenizer: PreTrainedTokenizerBase, token_ids: list[int]) -> list[str]:
    """Return the text of each token in its place; tokens that hold only part of a character have none until it is complete."""
    detokenizer = Detokenizer(tokenizer)
    return [detokenizer.push(token_id) for token_id in token_ids]
