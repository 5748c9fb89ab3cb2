"""Documents into blocks of equal length, without cutting what fits and almost without padding.

Concatenating and cutting every T tokens separates questions from their answers. Best-fit packing (2404.10830, section 3)
keeps every document that fits into a block whole and fills the rest with shorter ones; the little padding that remains
lies at the end of a block, where causal attention needs no mask.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from core.data.tokenisation import Document, tokenise

WINDOW = 20_000  # documents packed together: enough for good fits, little enough for memory


@dataclass(frozen=True)
class Blocks:
    """Packed token blocks.

    Attributes:
        input_ids: (N, T) int32.
        weights: (N, T) float32; how much token t counts as a target. Padding counts 0.
        documents: how many documents went in.
        tokens: how many tokens are not padding.
    """

    input_ids: np.ndarray
    weights: np.ndarray
    documents: int
    tokens: int

    def __len__(self) -> int:
        return len(self.input_ids)

    @property
    def counted(self) -> int:
        """Tokens that count at all; the first of a block has nothing before it that could predict it."""
        return int((self.weights[:, 1:] > 0).sum())

    @property
    def counted_share(self) -> float:
        """Share of the tokens that counts, padding left out."""
        return self.counted / max(self.tokens, 1)

    def take(self, count: int) -> Blocks:
        """Return the first `count` blocks; the counts of documents and tokens stay those of the whole."""
        return Blocks(self.input_ids[:count], self.weights[:count], self.documents, self.tokens)

    @property
    def padding(self) -> float:
        """Share of the positions that is padding."""
        return 1.0 - self.tokens / max(self.input_ids.size, 1)


def pack(documents: Iterable[Document], tokenizer: Any, block_length: int, edges: tuple[int, int] | None = None) -> Blocks:
    """Tokenise and pack. Special tokens must already stand in the documents' text; nothing but `edges` is added.

    Args:
        edges: tokens in front of and behind every piece, which count 0: those that encoders begin and end a text with.

    Documents longer than a block are cut into pieces of a block's length. An empty input gives zero blocks. The blocks come
    in a fixed shuffled order: best-fit packing begins with the longest documents, and the first blocks are what is evaluated.

    Raises:
        DataError: as `core.data.tokenisation.tokenise`.
    """
    padding = padding_id(tokenizer)
    ids: list[np.ndarray] = []
    weights: list[np.ndarray] = []
    count = tokens = 0
    stream = iter(documents)
    while window := list(islice(stream, WINDOW)):
        count += len(window)
        pieces = [piece for document in tokenise(window, tokenizer) for piece in _cut(*document, block_length, edges)]
        for bin_ in best_fit([len(piece_ids) for piece_ids, _ in pieces], block_length):
            block_ids = np.full(block_length, padding, dtype=np.int32)
            block_weights = np.zeros(block_length, dtype=np.float32)
            at = 0
            for piece_ids, piece_weights in (pieces[index] for index in bin_):
                block_ids[at:at + len(piece_ids)] = piece_ids
                block_weights[at:at + len(piece_ids)] = piece_weights
                at += len(piece_ids)
            tokens += at
            ids.append(block_ids)
            weights.append(block_weights)
    if not ids:
        empty = np.zeros((0, block_length))
        return Blocks(empty.astype(np.int32), empty.astype(np.float32), count, 0)
    order = np.random.default_rng(0).permutation(len(ids))
    return Blocks(np.stack(ids)[order], np.stack(weights)[order], count, tokens)


def padding_id(tokenizer: Any) -> int:
    """Return the token that fills blocks up: the tokenizer's own, else its end token, else 0."""
    return next((token for token in (tokenizer.pad_token_id, tokenizer.eos_token_id) if token is not None), 0)


def best_fit(lengths: list[int], capacity: int) -> list[list[int]]:
    """Pack by best-fit decreasing: each item, longest first, goes where the least room remains after it.

    Returns the bins as lists of item numbers. Bins are found in constant time through a bit mask of the
    remaining capacities that occur.
    """
    bins: list[list[int]] = []
    by_room: list[list[int]] = [[] for _ in range(capacity + 1)]
    occurring = 0  # bit r is set when some bin has room r
    for item in sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True):
        length = lengths[item]
        candidates = occurring >> length
        if candidates:
            room = length + (candidates & -candidates).bit_length() - 1
            chosen = by_room[room].pop()
            if not by_room[room]:
                occurring ^= 1 << room
        else:
            room, chosen = capacity, len(bins)
            bins.append([])
        bins[chosen].append(item)
        by_room[room - length].append(chosen)
        occurring |= 1 << (room - length)
    return bins


def _cut(ids: np.ndarray, weights: np.ndarray, length: int, edges: tuple[int, int] | None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    room = length - 2 if edges else length
    for start in range(0, len(ids), room):
        piece, counts = ids[start:start + room], weights[start:start + room]
        if edges:
            piece, counts = np.concatenate([edges[:1], piece, edges[1:]]).astype(np.int32), np.pad(counts, 1)
        yield piece, counts
