import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from core.data.packing import Blocks, pack
from core.data.tokenisation import Document, Span
from core.errors import DataError, NonFiniteLossError
from core.evaluation.language import evaluate_language, text_bytes
from core.evaluation.served import evaluate_served
from core.models import chunking
from core.signals.cache import Key, SignalCache
from core.signals.cached import CachedTeacher
from core.signals.forms import LikeliestTokens
from core.signals.source import LocalTeacher
from tests.core.evaluation.conftest import SENTENCES, make_gpt2, make_llama

OPTIONS = {"batch_size": 2, "device": "cpu"}


@pytest.fixture
def blocks(tokenizer) -> Blocks:
    documents = [Document(f"{text} {other}<|end|>", 0.0, (Span(len(text) + 1, len(f"{text} {other}<|end|>"), weight),))
                 for text, other, weight in zip(SENTENCES, reversed(SENTENCES), [1.0, 0.5, 3.0, 1.0, 1.0], strict=True)]
    return pack(documents, tokenizer, 48)


def naive(student, teacher, blocks: Blocks, tokenizer, width: int) -> dict[str, float]:
    """One position at a time, straight from the definitions."""
    nats, text_nats, kl, same, pieces = [], [], [], [], []
    for row, weights in zip(blocks.input_ids, blocks.weights, strict=True):
        ids = torch.tensor(row, dtype=torch.long)[None]
        with torch.no_grad():
            q = torch.softmax(student(ids).logits[0, :, :width].double(), -1)
            p = torch.softmax(teacher(ids).logits[0, :, :width].double(), -1)
        for t in range(1, len(row)):
            if weights[t] > 0:
                nats.append(-math.log(q[t - 1, row[t]]))
                kl.append(sum(float(p[t - 1, i]) * math.log(p[t - 1, i] / q[t - 1, i]) for i in range(width)))
                same.append(bool(p[t - 1].argmax() == q[t - 1].argmax()))
                if row[t] != tokenizer.eos_token_id:
                    text_nats.append(nats[-1])
                    pieces.append(tokenizer.convert_ids_to_tokens(int(row[t])))
    size = sum(map(len, pieces))  # a byte-level piece writes every byte as one character
    ce = sum(nats) / len(nats)
    return {"cross_entropy": ce, "perplexity": math.exp(ce), "bits_per_byte": sum(text_nats) / math.log(2) / size,
            "kl_to_teacher": sum(kl) / len(kl), "agreement": sum(same) / len(same), "tokens": len(nats), "bytes": size}


def without_intervals(found):
    """The metrics alone: their intervals are those of tests/core/reports/deployment/test_language.py."""
    return {name: value for name, value in found.items() if name != "blocks" and not name.endswith(("_low", "_high"))}


@pytest.mark.parametrize("chunk", [300, 7 * 300, 1 << 24])
def test_equals_the_definition_however_it_is_chunked(blocks, tokenizer, monkeypatch, chunk):
    monkeypatch.setattr(chunking, "CHUNK_ELEMENTS", chunk)
    student, teacher = make_llama(seed=1), make_gpt2(seed=2)
    found = evaluate_language(student, blocks, teacher, tokenizer=tokenizer, **OPTIONS)
    assert without_intervals(found) == pytest.approx(naive(student, teacher, blocks, tokenizer, 300), rel=1e-4)
    assert len(blocks) > 2
    assert 0 < found["tokens"] < blocks.input_ids.size


def test_vocabularies_padded_to_different_widths_are_cut_to_the_real_one(blocks, tokenizer):
    student, teacher = make_llama(320, seed=1), make_llama(304, seed=2)
    found = evaluate_language(student, blocks, teacher, tokenizer=tokenizer, **OPTIONS)
    assert without_intervals(found) == pytest.approx(naive(student, teacher, blocks, tokenizer, len(tokenizer)), rel=1e-4)


def test_a_teacher_agrees_with_itself_and_a_copy_does_too(blocks, tokenizer):
    teacher = make_llama(seed=1)
    itself = evaluate_language(teacher, blocks, teacher, tokenizer=tokenizer, **OPTIONS)
    copy = evaluate_language(make_llama(seed=1), blocks, teacher, tokenizer=tokenizer, **OPTIONS)
    assert (itself["kl_to_teacher"], itself["agreement"]) == (0.0, 1.0)
    assert without_intervals(copy) == pytest.approx(without_intervals(itself), abs=1e-6)


def test_without_a_teacher_nothing_is_compared(blocks, tokenizer):
    found = evaluate_language(make_llama(), blocks, tokenizer=tokenizer, **OPTIONS)
    assert {"kl_to_teacher", "agreement"}.isdisjoint(found)
    assert found["cross_entropy"] > 0


def test_padding_and_batch_size_change_nothing(blocks, tokenizer):
    model = make_llama(seed=3)
    padded = replace(blocks, input_ids=np.pad(blocks.input_ids, ((0, 0), (0, 9))), weights=np.pad(blocks.weights, ((0, 0), (0, 9))))
    plain = evaluate_language(model, blocks, tokenizer=tokenizer, **OPTIONS)
    assert evaluate_language(model, padded, tokenizer=tokenizer, batch_size=64, device="cpu") == pytest.approx(plain, rel=1e-5)


def test_bytes_are_those_of_the_text(tokenizer):
    text = "naïve café… " + SENTENCES[0]
    whole = pack([Document(text + "<|end|>", begin=tokenizer.eos_token_id)], tokenizer, 128)
    assert text_bytes(whole, tokenizer) == len(text.encode("utf-8")) > len(text)


def test_nothing_counted_is_the_users_to_know(blocks, tokenizer):
    silent = replace(blocks, weights=np.zeros_like(blocks.weights))
    with pytest.raises(DataError, match="No held-out position counts"):
        evaluate_language(make_llama(), silent, tokenizer=tokenizer, **OPTIONS)


def test_bf16_comes_close_and_training_mode_is_kept(blocks, tokenizer):
    model = make_llama(seed=4).train()
    exact = evaluate_language(model, blocks, tokenizer=tokenizer, **OPTIONS)
    rounded = evaluate_language(model, blocks, tokenizer=tokenizer, dtype=torch.bfloat16, **OPTIONS)
    assert rounded["cross_entropy"] == pytest.approx(exact["cross_entropy"], rel=0.02)
    assert rounded != exact
    assert model.training


def test_predictions_that_are_not_numbers_are_an_error(blocks, tokenizer):
    model = make_llama()
    model.model.norm.weight.data[0] = math.nan
    with pytest.raises(NonFiniteLossError):
        evaluate_language(model, blocks, tokenizer=tokenizer, **OPTIONS)


def test_text_of_special_tokens_alone_has_no_bits_per_byte(blocks, tokenizer):
    only_ends = replace(blocks, weights=(blocks.input_ids == tokenizer.eos_token_id).astype(np.float32))
    found = evaluate_language(make_llama(), only_ends, tokenizer=tokenizer, **OPTIONS)
    assert found["bytes"] == 0 < found["tokens"]
    assert "bits_per_byte" not in found


def listed(teacher, blocks: Blocks, tokenizer, folder, k: int) -> CachedTeacher:
    form, length = LikeliestTokens(k, 1.0), blocks.input_ids.shape[1]
    key = Key("t", "w", "k", form.describe(), "float32", length, len(tokenizer))
    return CachedTeacher(SignalCache(folder, key), form, LocalTeacher(teacher))


def test_a_teacher_whose_tokens_are_all_listed_is_the_teacher(blocks, tokenizer, tmp_path):
    student, teacher = make_gpt2(len(tokenizer), seed=0), make_gpt2(len(tokenizer), seed=1)
    options = {"tokenizer": tokenizer, "batch_size": 2}
    whole = listed(teacher, blocks, tokenizer, tmp_path / "all", len(tokenizer))
    expected = evaluate_language(student, blocks, teacher, device="cpu", **options)
    assert evaluate_language(student, blocks, whole, device="cpu", **options) == pytest.approx(expected, rel=1e-5)
    expected = evaluate_language(teacher, blocks, teacher, device="cpu", **options)
    assert evaluate_served(whole, blocks, **options) == pytest.approx(expected, rel=1e-5)


def test_a_few_listed_tokens_bound_the_divergence_and_show_the_agreement(blocks, tokenizer, tmp_path):
    student, teacher = make_gpt2(len(tokenizer), seed=0), make_gpt2(len(tokenizer), seed=1)
    full = evaluate_language(student, blocks, teacher, tokenizer=tokenizer, batch_size=2, device="cpu")
    few = evaluate_language(student, blocks, listed(teacher, blocks, tokenizer, tmp_path / "few", 3), tokenizer=tokenizer, batch_size=2,
                            device="cpu")
    assert 0 < few["kl_to_teacher"] < full["kl_to_teacher"]
    assert few["agreement"] == full["agreement"] and few["cross_entropy"] == full["cross_entropy"]


def test_nothing_counted_is_the_users_to_know_of_a_served_teacher_too(blocks, tokenizer, tmp_path):
    whole = listed(make_gpt2(len(tokenizer)), blocks, tokenizer, tmp_path / "all", 3)
    with pytest.raises(DataError, match="No held-out position counts"):
        evaluate_served(whole, replace(blocks, weights=np.zeros_like(blocks.weights)), tokenizer=tokenizer, batch_size=2)
