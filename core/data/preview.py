"""What training would see: the first rows, and one packed block, token by token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.config import DataSpec
from core.data import prepare, sources
from core.data.conversation import Detokenizer
from core.data.packing import Blocks, padding_id
from core.data.tokenisation import Document
from core.models.architectures import Objective

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CHARACTERS_PER_TOKEN = 8  # more than any common text has, so that the rows read fill a block


def preview(spec: DataSpec, tokenizer: PreTrainedTokenizerBase, rows: int = 5, seed: int = 42,
            objective: Objective = "causal") -> dict[str, Any]:
    """Return the first training rows and the first block packed from as many rows as fill one, ready for JSON.

    Training packs all rows together, so its own first block may hold others; how they are cut and counted is the same.

    Returns:
        source, format, column, columns, total_rows, size, note: see `sources.Inspection`;
        rows: list of {"row", "tokens", "counted"}; counted are the tokens whose prediction enters the loss, or that can be masked;
        counted_share: of the tokens of all rows that were read for it, the share (0-1) that counts;
        block: {"tokens": list of {"id", "text", "weight", "counted"}, "counted", "padding", "length"}; padding is left out of
            the list. The texts joined are the decoded block.

    Raises:
        DataError, NetworkError: as `sources.rows`.
    """
    found = sources.inspect(spec, limit=1)
    documents: list[Document] = []
    shown: list[dict[str, Any]] = []
    characters = 0
    for where, row in prepare.located_rows(spec, "train", seed, objective):
        if len(shown) >= rows and characters >= CHARACTERS_PER_TOKEN * spec.block_length:
            break
        document = prepare.located_document((where, row), tokenizer, spec, objective)
        documents.append(document)
        characters += len(document.text)
        if len(shown) < rows:
            alone = prepare.packed([document], tokenizer, spec, objective)
            shown.append({"row": row, "tokens": alone.tokens, "counted": alone.counted})
    blocks = prepare.packed(documents, tokenizer, spec, objective)
    return {"source": spec.source, "format": found.format, "column": found.column, "columns": list(found.columns),
            "total_rows": found.total_rows, "size": found.size, "note": found.note, "rows": shown, "counted_share": blocks.counted_share,
            "block": _first_block(blocks, tokenizer)}


def _first_block(blocks: Blocks, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    ids, weights = blocks.input_ids[0].tolist(), blocks.weights[0].tolist()
    length = len(ids)
    while ids[-1] == padding_id(tokenizer) and weights[len(ids) - 1] == 0:
        ids.pop()
    tokens = [{"id": token_id, "text": text, "weight": weight, "counted": weight > 0 and place > 0}
              for place, (token_id, text, weight) in enumerate(zip(ids, _texts(ids, tokenizer), weights, strict=False))]
    return {"tokens": tokens, "counted": sum(token["counted"] for token in tokens), "padding": length - len(ids), "length": length}


def _texts(ids: list[int], tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Return what each token adds to the text; a token that ends in the middle of a character adds nothing, the next one the whole."""
    special = set(tokenizer.all_special_ids)
    texts: list[str] = []
    detokenizer = Detokenizer(tokenizer)
    for token_id in ids:
        if token_id in special:
            texts.append(detokenizer.flush() + tokenizer.convert_ids_to_tokens([token_id])[0])
            detokenizer = Detokenizer(tokenizer)
        else:
            texts.append(detokenizer.push(token_id))
    return [*texts[:-1], texts[-1] + detokenizer.flush()]
