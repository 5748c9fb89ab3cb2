"""How many logits stand for tokens, since families pad their embeddings beyond the tokenizer; and what one sequence of tokens reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from core.errors import CompatibilityError
from core.models.architectures import head_weight, plain_model

RIGHT_TOKENIZER = "Put the tokenizer that the model was trained with into its folder, or resize its embeddings and train the new rows."


def vocabulary_size(tokenizer: Any) -> int:
    """Return how many rows of logits stand for tokens: the highest token id plus one.

    Ids may have gaps; len() would miss the end.
    """
    return max(tokenizer.get_vocab().values()) + 1


def unpadded_width(tokenizer: Any, *models: Any) -> int:
    """Return the number of logits that count where `models` are trained or compared: families pad their embeddings beyond the tokenizer."""
    return min(vocabulary_size(tokenizer), *(len(head_weight(model)) for model in models))


def embedding_rows(model: Any) -> int:
    """Return how many tokens a model has an embedding for, padding included."""
    return len(plain_model(model).get_input_embeddings().get_parameter("weight"))


def require_tokenizer_fits(tokenizer: Any, model: Any, name: str) -> None:
    """Check, before a model is trained or saved with a tokenizer, that it has an embedding for every token of it.

    Raises:
        CompatibilityError: the tokenizer knows more, as where tokens were added to it and the embedding was not resized.
    """
    tokens, rows = vocabulary_size(tokenizer), embedding_rows(model)
    if tokens > rows:
        raise CompatibilityError(f"The tokenizer knows {tokens:,} tokens.", f"The model '{name}' has embeddings for {rows:,}.",
                                 RIGHT_TOKENIZER)


def require_rows(input_ids: Iterable[int], tokenizer: Any, *models: Any) -> None:
    """Check, where ids enter a model, that it has an embedding for each of them.

    A tokenizer may know more tokens than its model: that is of no consequence until a text holds one of them.

    Args:
        input_ids: of a text or of many; what padding stands for may be among them.
        models: that read them.

    Raises:
        CompatibilityError: a token without an embedding; it is named.
    """
    rows = min(map(embedding_rows, models))
    outside = next((int(token) for token in input_ids if not 0 <= token < rows), None)
    if outside is not None:
        name = f"'{tokenizer.convert_ids_to_tokens(outside)}', " if outside >= 0 else ""
        raise CompatibilityError(f"The text holds {name}token {outside} of the tokenizer.",
                                 f"The model has embeddings for the tokens 0 to {rows - 1}.", RIGHT_TOKENIZER)


def decode_text(tokenizer: Any, token_ids: Sequence[int], **options: bool) -> str:
    """Return the text of one sequence of tokens: `decode` itself is typed as if it might be a batch.

    Args:
        options: of the tokenizer's `decode`.
    """
    text = tokenizer.decode(token_ids, **options)
    assert isinstance(text, str)
    return text
