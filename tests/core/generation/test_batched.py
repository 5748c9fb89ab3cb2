"""Batched generation: the same answers as one at a time."""

from __future__ import annotations

import pytest
import torch
from transformers import MptConfig, MptForCausalLM

from core.data.conversation import encode
from core.errors import CorruptModelError
from core.generation import batched
from core.generation.batched import Candidates, draw_batch, generate_batch
from core.generation.streaming import Sampling, draw, generate
from tests.core.chat_models import chat_model, chat_tokenizer

QUESTIONS = ("Is it good?", "Write a positive review of this film.", "Why?")
GREEDY = Candidates(0.0, 50, 1.0)


@pytest.mark.parametrize("name", ["llama", "gpt2", "gpt_neox", "qwen3"])
def test_a_batch_gives_the_answers_of_its_prompts_alone(name: str) -> None:
    model, tokenizer = chat_model(name, positions=128), chat_tokenizer()
    prompts = [encode(tokenizer, [{"role": "user", "content": question}]) for question in QUESTIONS]
    assert len({len(prompt) for prompt in prompts}) > 1
    answers = generate_batch(model, tokenizer, prompts, max_new_tokens=12, candidates=GREEDY, generator=torch.Generator())
    alone = [generate(model, tokenizer, question, max_new_tokens=12, sampling_temperature=0).text for question in QUESTIONS]
    assert [tokenizer.decode(answer, skip_special_tokens=True) for answer in answers] == alone


@pytest.mark.parametrize("name", ["llama", "gpt2", "gpt_neox", "qwen3", "mistral", "gemma2"])
def test_what_prompts_share_is_read_once_and_changes_no_answer(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokenizer = chat_model(name, positions=128), chat_tokenizer()
    prompts = [tokenizer(f"Write a positive one-line review. Is this review positive or negative? {question}").input_ids
               for question in QUESTIONS]
    read: list[tuple[int, int]] = []
    handle = model.register_forward_pre_hook(lambda _module, given, named: read.append(tuple((given or [named["input_ids"]])[0].shape)),
                                             with_kwargs=True)
    once = generate_batch(model, tokenizer, prompts, max_new_tokens=12, candidates=GREEDY, generator=torch.Generator())
    beginning = read[0]
    handle.remove()
    monkeypatch.setattr(batched, "SHARED", 1000)
    assert once == generate_batch(model, tokenizer, prompts, max_new_tokens=12, candidates=GREEDY, generator=torch.Generator())
    # Layers with a window read every prompt whole.
    assert (beginning[0] == 1) == (name not in ("gemma2", "mistral"))


def test_a_model_that_counts_positions_itself_reads_every_prompt_whole() -> None:
    tokenizer = chat_tokenizer()
    torch.manual_seed(0)
    model = MptForCausalLM(MptConfig(d_model=32, n_heads=4, n_layers=2, vocab_size=len(tokenizer), max_seq_len=256)).eval()
    for parameter in model.parameters():
        parameter.data.normal_(0, 0.3)
    prompts = [tokenizer(f"Write a positive one-line review. Is this review positive or negative? {question}").input_ids
               for question in QUESTIONS]
    answers = generate_batch(model, tokenizer, prompts, max_new_tokens=12, candidates=GREEDY, generator=torch.Generator())
    for prompt, answer in zip(prompts, answers, strict=True):
        assert [answer] == generate_batch(model, tokenizer, [prompt], max_new_tokens=12, candidates=GREEDY, generator=torch.Generator())


def test_answers_end_at_their_end_token() -> None:
    model, tokenizer = chat_model(positions=128), chat_tokenizer()
    prompts = [encode(tokenizer, [{"role": "user", "content": question}]) for question in QUESTIONS]
    free = generate_batch(model, tokenizer, prompts, max_new_tokens=12, candidates=GREEDY, generator=torch.Generator())
    model.generation_config.eos_token_id = free[0][3]
    cut = generate_batch(model, tokenizer, prompts, max_new_tokens=12, candidates=GREEDY, generator=torch.Generator())
    assert cut[0] == free[0][:free[0].index(free[0][3])]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_broken_model_is_refused_and_writes_no_first_token_again_and_again(temperature: float) -> None:
    model, tokenizer = chat_model("llama", positions=128), chat_tokenizer()
    with torch.no_grad():
        model.lm_head.weight[3] = float("nan")
    with pytest.raises(CorruptModelError, match="not numbers"):
        generate_batch(model, tokenizer, [[5, 6, 7], [5, 6]], max_new_tokens=3, candidates=Candidates(temperature, 50, 1.0),
                       generator=torch.Generator())


def test_it_can_be_stopped() -> None:
    model, tokenizer = chat_model(positions=128), chat_tokenizer()
    prompts = [encode(tokenizer, [{"role": "user", "content": "Why?"}])]
    assert generate_batch(model, tokenizer, prompts, max_new_tokens=5, candidates=GREEDY, generator=torch.Generator(),
                          stop=lambda: True) is None


def test_probabilities_are_those_of_transformers() -> None:
    model, tokenizer = chat_model(positions=128), chat_tokenizer()
    prompt = torch.tensor([encode(tokenizer, [{"role": "user", "content": "Why?"}])])
    found = model.generate(prompt, attention_mask=torch.ones_like(prompt), do_sample=True, max_new_tokens=1, output_scores=True,
                           return_dict_in_generate=True, temperature=1.5, top_k=6, top_p=0.8)
    with torch.inference_mode():
        logits = model(prompt).logits[:, -1]
    expected, draws = found.scores[0][0].softmax(-1), 4000
    drawn = draw_batch(logits.expand(draws, -1), Candidates(temperature=1.5, top_k=6, top_p=0.8), torch.Generator().manual_seed(1))
    counts = torch.bincount(drawn, minlength=len(expected))
    assert (counts[expected == 0] == 0).all()
    assert torch.allclose(counts / draws, expected, atol=4 * (0.25 / draws) ** 0.5)  # four standard errors at most


def test_tokens_are_drawn_from_the_same_candidates_as_one_at_a_time() -> None:
    torch.manual_seed(0)
    logits = torch.randn(1, 40) * 3
    candidates = Candidates(temperature=0.7, top_k=8, top_p=0.8)
    drawn = draw_batch(logits.expand(4000, -1), candidates, torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(2)
    sampling = Sampling(sampling_temperature=0.7, top_k=8, top_p=0.8)
    alone = torch.tensor([draw(logits[0], sampling, generator) for _ in range(4000)])
    shares = [torch.bincount(tokens, minlength=40) / 4000 for tokens in (drawn, alone)]
    assert set(drawn.tolist()) == set(alone.tolist())
    assert (shares[0] - shares[1]).abs().max() < 0.04
