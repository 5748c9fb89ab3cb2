"""The decode loop against `model.generate`, its distribution against the definition, and its promises to callers."""

import threading

import pytest
import torch

from core.data.conversation import encode
from core.errors import ConfigError, CorruptModelError
from core.generation.streaming import Sampling, draw, generate, stream
from tests.core.chat_models import chat_model, chat_tokenizer
from tests.core.tiny import ARCHITECTURES

QUESTION = "Is it good?"
TOKENIZER = chat_tokenizer()


@pytest.fixture(scope="module")
def model():
    return chat_model()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_most_likely_tokens_are_those_of_transformers(architecture: str) -> None:
    model = chat_model(architecture)
    prompt = torch.tensor([encode(TOKENIZER, [{"role": "user", "content": QUESTION}])])
    whole = model.generate(prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=12)[0]
    reference = whole[prompt.shape[1]:].tolist()
    tokens = [token.token_id for token in stream(model, TOKENIZER, QUESTION, sampling_temperature=0, max_new_tokens=12)]
    assert tokens == [token for token in reference if token != TOKENIZER.eos_token_id]
    assert len(tokens) > 2


def naive_probabilities(logits: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    probabilities = (logits / sampling.sampling_temperature).softmax(-1)
    kept = [int(i) for i in probabilities.argsort(descending=True)][: sampling.top_k or None]
    mass = sum(float(probabilities[i]) for i in kept)
    total, allowed = 0.0, []
    for i in kept:
        allowed.append(i)
        total += float(probabilities[i]) / mass
        if total >= sampling.top_p:
            break
    result = torch.zeros_like(probabilities)
    result[allowed] = probabilities[allowed] / probabilities[allowed].sum()
    return result


SAMPLINGS = [Sampling(sampling_temperature=1, top_k=0, top_p=1), Sampling(sampling_temperature=2, top_k=4, top_p=1),
             Sampling(sampling_temperature=0.5, top_k=0, top_p=0.8), Sampling(sampling_temperature=1.5, top_k=6, top_p=0.7)]


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_probabilities_are_those_of_transformers(model, sampling: Sampling) -> None:
    prompt = torch.tensor([encode(TOKENIZER, [{"role": "user", "content": QUESTION}])])
    found = model.generate(prompt, attention_mask=torch.ones_like(prompt), do_sample=True, max_new_tokens=1, output_scores=True,
                           return_dict_in_generate=True, temperature=float(sampling.sampling_temperature), top_k=sampling.top_k,
                           top_p=float(sampling.top_p))
    with torch.inference_mode():
        logits = model(prompt).logits[0, -1]
    expected, draws = found.scores[0][0].softmax(-1), 2000
    assert torch.allclose(naive_probabilities(logits, sampling), expected, atol=1e-6)
    generator = torch.Generator().manual_seed(1)
    counts = torch.bincount(torch.tensor([draw(logits, sampling, generator) for _ in range(draws)]), minlength=len(logits))
    assert (counts[expected == 0] == 0).all()
    assert torch.allclose(counts / draws, expected, atol=4 * (0.25 / draws) ** 0.5)  # four standard errors at most


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_tokens_are_drawn_as_often_as_the_definition_says(sampling: Sampling) -> None:
    logits = torch.tensor([0.3, 2.0, -1.0, 1.4, 0.0, 0.9, -3.0, 1.1])
    expected, draws = naive_probabilities(logits, sampling), 4000
    generator = torch.Generator().manual_seed(1)
    counts = torch.bincount(torch.tensor([draw(logits, sampling, generator) for _ in range(draws)]), minlength=8)
    assert (counts[expected == 0] == 0).all()
    assert torch.allclose(counts / draws, expected, atol=4 * (0.25 / draws) ** 0.5)  # four standard errors at most


def test_a_seed_gives_one_answer(model) -> None:
    answers = [generate(model, TOKENIZER, QUESTION, seed=seed, sampling_temperature=1.0, max_new_tokens=20).text for seed in (1, 1, 2)]
    assert answers[0] == answers[1] != answers[2]


def test_a_model_that_is_read_meanwhile_changes_no_answer(model) -> None:
    """While Transformers reads a model in bf16, that is the default dtype of the whole process."""
    question = {"seed": 1, "sampling_temperature": 1.0, "max_new_tokens": 40}
    expected = generate(model, TOKENIZER, QUESTION, **question).text
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        assert generate(model, TOKENIZER, QUESTION, **question).text == expected
    finally:
        torch.set_default_dtype(before)


def test_streams_side_by_side_do_not_disturb_each_other(model) -> None:
    alone = [generate(model, TOKENIZER, QUESTION, seed=seed, sampling_temperature=1.0, max_new_tokens=25).text for seed in range(4)]
    together: dict[int, str] = {}

    def answer(seed: int) -> None:
        together[seed] = generate(model, TOKENIZER, QUESTION, seed=seed, sampling_temperature=1.0, max_new_tokens=25).text

    threads = [threading.Thread(target=answer, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[seed] for seed in range(4)] == alone


def test_the_global_random_state_is_left_alone(model) -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    generate(model, TOKENIZER, QUESTION, sampling_temperature=1.0, max_new_tokens=3)
    assert torch.rand(1) == expected


def test_stop_ends_within_a_token(model) -> None:
    seen: list[str] = []
    tokens = stream(model, TOKENIZER, QUESTION, max_new_tokens=30, stop=lambda: len(seen) == 3)
    seen.extend(token.text for token in tokens)
    result = tokens.result()
    assert (len(seen), result.tokens, result.finish) == (3, 3, "stopped")
    assert result.text.startswith("".join(seen))


def test_result_is_the_stream_as_a_whole(model) -> None:
    tokens = stream(model, TOKENIZER, QUESTION, max_new_tokens=15, seed=5)
    pieces = list(tokens)
    result = tokens.result()
    assert [token.index for token in pieces] == list(range(15))
    assert result.tokens == 15
    assert result.finish == "length"
    assert result.text == TOKENIZER.decode([token.token_id for token in pieces], skip_special_tokens=True)
    assert result.prompt_tokens == len(encode(TOKENIZER, [{"role": "user", "content": QUESTION}]))
    assert result.seconds_to_first_token > 0
    assert result.tokens_per_second > 0


def test_answer_ends_at_an_end_token_and_does_not_show_it(model) -> None:
    free = [token.token_id for token in stream(model, TOKENIZER, QUESTION, sampling_temperature=0, max_new_tokens=10)]
    end = free[4]
    model.generation_config.eos_token_id = [TOKENIZER.eos_token_id, end]
    try:
        result = generate(model, TOKENIZER, QUESTION, sampling_temperature=0, max_new_tokens=10)
    finally:
        model.generation_config.eos_token_id = TOKENIZER.eos_token_id
    assert result.finish == "end"
    assert result.tokens == free.index(end)


def test_answer_ends_where_the_context_is_full(model) -> None:
    result = generate(model, TOKENIZER, QUESTION, max_new_tokens=1000)
    assert result.finish == "context"
    assert result.prompt_tokens + result.tokens == 64


def test_a_long_conversation_loses_its_beginning(model) -> None:
    history = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": "It is very good."}] * 6
    result = generate(model, TOKENIZER, [*history, {"role": "user", "content": QUESTION}], max_new_tokens=10)
    assert result.left_out > 0
    assert result.left_out % 2 == 0
    assert result.prompt_tokens + 10 <= 64  # room for the whole answer was kept


def test_a_model_without_a_template_answers_one_line(model) -> None:
    plain = chat_tokenizer.__wrapped__()
    plain.chat_template = None
    newline = plain("\n", add_special_tokens=False).input_ids[0]
    model.get_output_embeddings().weight.data[newline] *= 30  # makes line ends likely
    try:
        result = generate(model, plain, QUESTION, max_new_tokens=40, seed=4, sampling_temperature=3.0, top_k=0, top_p=1.0)
    finally:
        model.get_output_embeddings().weight.data[newline] /= 30
    assert "\n" not in result.text
    assert result.finish == "end"


def test_rows_that_only_pad_the_vocabulary_are_never_drawn() -> None:
    padded = chat_model(width=320)
    padded.get_output_embeddings().weight.data[300:] = 10 * padded.get_output_embeddings().weight.data[:20]
    tokens = [token.token_id for token in stream(padded, TOKENIZER, QUESTION, sampling_temperature=2.0, top_k=0, max_new_tokens=40)]
    assert max(tokens) < len(TOKENIZER)


@pytest.mark.parametrize("wrong", [
    {"max_new_tokens": 0}, {"sampling_temperature": -1}, {"top_k": -1}, {"top_p": 0}, {"top_p": 1.5}, {"seed": -1}])
def test_impossible_sampling_is_refused_before_the_first_token(model, wrong: dict) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        stream(model, TOKENIZER, QUESTION, **wrong)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_broken_model_is_called_broken(temperature: float) -> None:
    broken = chat_model()
    broken.get_input_embeddings().weight.data[5:] = float("nan")
    with pytest.raises(CorruptModelError, match="not numbers"):
        generate(broken, TOKENIZER, QUESTION, sampling_temperature=temperature)
