"""Tokenizers trained on the corpus, the vocabularies of house models: byte-level BPE with a chat template, and WordPiece with a mask."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from core.data.rows import Row

BEGIN, END, USER, ASSISTANT, SYSTEM = "<|begin|>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>"
PADDING = "<|pad|>"

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ '<|' + message['role'] + '|>' }}"
    "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] + eos_token }}{% endgeneration %}"
    "{% else %}{{ message['content'] }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def texts(rows: Iterable[Row]) -> Iterable[str]:
    """Yield the plain text of rows, whatever their format."""
    for row in rows:
        if "messages" in row:
            yield from (message["content"] for message in row["messages"])
        else:
            yield from (row[key] for key in ("text", "prompt", "completion") if key in row)


def train_masked_tokenizer(rows: Iterable[Row], vocabulary: int, positions: int) -> Any:
    """Train WordPiece (1810.04805, section 3) on the rows, lower-cased, and wrap it for Transformers.

    Args:
        vocabulary: tokens in all, special tokens included.
        positions: longest sequence of the model that it is for, in tokens.

    Returns:
        The same for the same rows: a `PreTrainedTokenizerFast` that puts every text between ``[CLS]`` and ``[SEP]`` and knows ``[MASK]``.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    special, all_texts = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], list(texts(rows))
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()

    def train(size: int, first: Sequence[str]) -> None:
        tokenizer.train_from_iterator(all_texts, trainers.WordPieceTrainer(vocab_size=size, special_tokens=[*first], show_progress=False))

    # The trainer numbers the characters inside words ("##a") in the order of a hash map, a different one in each call, and decides between
    # equally frequent pairs by these numbers. It keeps the numbers of special tokens, so they get theirs as such in a second training.
    train(0, special)
    train(vocabulary, [*special, *sorted(token for token in tokenizer.get_vocab() if token.startswith("##"))])
    trained, tokenizer = tokenizer, Tokenizer(tokenizer.model)  # without added tokens: "##a" in a text is no token
    tokenizer.normalizer, tokenizer.pre_tokenizer = trained.normalizer, trained.pre_tokenizer
    tokenizer.add_special_tokens(special)
    tokenizer.decoder = decoders.WordPiece()
    begin, end = ((token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]"))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[begin, end])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]",
        model_max_length=positions, model_input_names=["input_ids", "token_type_ids", "attention_mask"], clean_up_tokenization_spaces=False)


def train_tokenizer(rows: Iterable[Row], vocabulary: int, positions: int) -> Any:
    """Train byte-level BPE (1508.07909; bytes as in GPT-2) on the rows and wrap it for Transformers.

    Args:
        vocabulary: tokens in all, special tokens included.
        positions: longest sequence of the model that it is for, in tokens.

    Returns:
        A `PreTrainedTokenizerFast` that begins every plain text with `<|begin|>`.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    special = [PADDING, BEGIN, END, USER, ASSISTANT, SYSTEM]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(texts(rows), trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A", special_tokens=[(BEGIN, tokenizer.token_to_id(BEGIN))])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=BEGIN, eos_token=END, pad_token=PADDING, chat_template=CHAT_TEMPLATE,
        additional_special_tokens=[USER, ASSISTANT, SYSTEM], model_max_length=positions, clean_up_tokenization_spaces=False)
