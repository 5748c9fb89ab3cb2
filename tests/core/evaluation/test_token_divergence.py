"""The lens against the definition of KL, written out."""

import math

import pytest
import torch

from core.data.conversation import encode, encode_answer
from core.errors import DataError
from core.evaluation import token_divergence
from core.evaluation.token_divergence import compare_positions, next_token_logits
from core.models import chunking
from tests.core.chat_models import chat_model, chat_tokenizer
from tests.core.masked_models import masked_model, masked_tokenizer

TOKENIZER = chat_tokenizer()
MESSAGES = [{"role": "user", "content": "Is it good?"}]
ANSWER = "A quiet film, naïve café 🎬."


@pytest.fixture(scope="module")
def teacher():
    return chat_model(layers=3)


@pytest.fixture(scope="module")
def student():
    return chat_model(layers=2, seed=1)


def naive(teacher, student) -> list[float]:
    prompt, answer = encode(TOKENIZER, MESSAGES), encode_answer(TOKENIZER, MESSAGES, ANSWER)
    divergences = []
    for i in range(len(answer)):
        ids = torch.tensor([prompt + answer[:i]])
        with torch.no_grad():
            p = teacher(ids).logits[0, -1, :300].double().softmax(-1).tolist()
            q = student(ids).logits[0, -1, :300].double().softmax(-1).tolist()
        divergences.append(sum(a * math.log(a / b) for a, b in zip(p, q, strict=True)))
    return divergences


def test_kl_is_the_definition(teacher, student) -> None:
    positions = compare_positions(teacher, student, TOKENIZER, MESSAGES, ANSWER)
    assert [position.kl for position in positions] == pytest.approx(naive(teacher, student), rel=1e-3)
    assert "".join(position.token for position in positions) == ANSWER


def test_logits_exist_in_chunks_only(teacher, student, monkeypatch) -> None:
    at_once = compare_positions(teacher, student, TOKENIZER, MESSAGES, ANSWER)
    monkeypatch.setattr(chunking, "CHUNK_ELEMENTS", 3 * 300)
    sizes = []
    with teacher.get_output_embeddings().register_forward_hook(lambda *call: sizes.append(call[-1].numel())):
        chunked = compare_positions(teacher, student, TOKENIZER, MESSAGES, ANSWER)
    assert [position.kl for position in chunked] == pytest.approx([position.kl for position in at_once], rel=1e-4)
    assert [position.token for position in chunked] == [position.token for position in at_once]
    assert sizes and max(sizes) <= 3 * 300


def test_a_model_does_not_depart_from_itself(teacher) -> None:
    positions = compare_positions(teacher, teacher, TOKENIZER, MESSAGES, ANSWER)
    assert len(positions) == len(encode_answer(TOKENIZER, MESSAGES, ANSWER)) > 10
    for position in positions:
        assert position.kl == pytest.approx(0, abs=1e-6)
        assert position.teacher_top5 == position.student_top5


def test_the_direction_is_from_teacher_to_student(teacher, student) -> None:
    forward = [position.kl for position in compare_positions(teacher, student, TOKENIZER, MESSAGES, ANSWER)]
    backward = [position.kl for position in compare_positions(student, teacher, TOKENIZER, MESSAGES, ANSWER)]
    assert forward != pytest.approx(backward, rel=1e-2)


def test_leading_tokens_are_each_models_own(teacher, student) -> None:
    last = compare_positions(teacher, student, TOKENIZER, MESSAGES, ANSWER)[0]
    with torch.no_grad():
        for model, top in ((teacher, last.teacher_top5), (student, last.student_top5)):
            probabilities = model(torch.tensor([encode(TOKENIZER, MESSAGES)])).logits[0, -1].softmax(-1)
            values, token_ids = probabilities.topk(5)
            assert [candidate.probability for candidate in top] == pytest.approx(values.tolist(), rel=1e-4)
            assert [candidate.token for candidate in top] == [TOKENIZER.decode([token_id]) for token_id in token_ids]


def test_padding_of_the_vocabulary_takes_no_part(teacher) -> None:
    padded = chat_model(layers=3, width=320)
    padded.load_state_dict({name: torch.cat([value, value.new_full((20, value.shape[1]), 9.0)]) if value.shape[0] == 300 else value
                            for name, value in teacher.state_dict().items()})
    assert max(position.kl for position in compare_positions(teacher, padded, TOKENIZER, MESSAGES, ANSWER)) < 1e-5


def test_an_empty_answer_is_refused(teacher, student) -> None:
    with pytest.raises(DataError, match="empty"):
        compare_positions(teacher, student, TOKENIZER, MESSAGES, "")


def test_an_answer_without_a_token_is_refused(teacher, student, monkeypatch) -> None:
    monkeypatch.setattr(token_divergence, "encode_answer", lambda *_: [])  # as of a tokenizer that drops white space
    with pytest.raises(DataError, match="empty"):
        compare_positions(teacher, student, TOKENIZER, MESSAGES, " ")


def test_a_long_answer_is_cut_to_the_shorter_context(teacher) -> None:
    short = chat_model(positions=32)
    positions = compare_positions(teacher, short, TOKENIZER, MESSAGES, ANSWER * 5)
    assert len(positions) + len(encode(TOKENIZER, MESSAGES)) == 32


def test_next_token_logits_give_any_temperature_exactly(teacher) -> None:
    candidates = next_token_logits(teacher, TOKENIZER, MESSAGES, count=7)
    with torch.no_grad():
        logits = teacher(torch.tensor([encode(TOKENIZER, MESSAGES)])).logits[0, -1]
    assert len(candidates.tokens) == 7
    assert candidates.logits == sorted(candidates.logits, reverse=True)
    assert candidates.tokens[0] == TOKENIZER.decode([int(logits.argmax())])
    softened = (logits / 3).softmax(-1).topk(7).values
    assert (torch.tensor(candidates.logits) / 3).softmax(-1)[:7].tolist() == pytest.approx(softened.tolist(), rel=1e-4)


def test_a_masked_model_predicts_the_blank():
    model, tokenizer = masked_model(), masked_tokenizer()
    candidates = next_token_logits(model, tokenizer, "the film was [MASK] and [MASK]", count=3)
    ids = tokenizer("the film was [MASK] and [MASK]", return_tensors="pt").input_ids
    with torch.no_grad():
        expected = model(input_ids=ids).logits[0, 4].sort(descending=True)  # [CLS] the film was [MASK]
    torch.testing.assert_close(torch.tensor(candidates.logits), expected.values)
    assert candidates.tokens == [tokenizer.decode([token]) for token in expected.indices[:3].tolist()]
    with pytest.raises(DataError, match="no blank"):
        next_token_logits(model, tokenizer, "the film was good")
