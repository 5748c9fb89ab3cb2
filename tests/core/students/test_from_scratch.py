"""Models and vocabularies from nothing: untrained, tied, the same for a seed, and local in their attention where they fill blanks."""

from __future__ import annotations

import math

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

from core.config import ScratchSpec
from core.models.architectures import blocks
from core.students.from_scratch import objective_from_scratch, student_from_scratch, tokenizer_from_scratch
from tests.core.chat_models import SENTENCES
from tests.core.tiny import logits, token_ids

SHAPE = {"layers": 2, "hidden": 32, "heads": 4, "intermediate_size": 48, "vocabulary": 301, "positions": 64}
CAUSAL = ScratchSpec(architecture="llama", key_value_heads=2, **SHAPE)
MASKED = ScratchSpec(architecture="bert", key_value_heads=4, **SHAPE)
SPECS = pytest.mark.parametrize("spec", [CAUSAL, MASKED], ids=["llama", "bert"])


class Tokenizer:
    bos_token_id, eos_token_id, pad_token_id = 0, 0, 1

    def get_vocab(self) -> dict[str, int]:
        return {str(number): number for number in range(301)}


@SPECS
def test_a_new_student_is_untrained_and_tied(spec: ScratchSpec) -> None:
    model = student_from_scratch(spec, Tokenizer(), seed=3)
    assert model.training and model.dtype == torch.float32
    input_ids = token_ids(rows=4)
    log_probabilities = logits(model, input_ids).log_softmax(-1)
    assert -log_probabilities.mean().item() == pytest.approx(math.log(301), rel=0.1 if spec is MASKED else 0.02)
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight
    assert (model.config.vocab_size, model.config.hidden_size, model.config.max_position_embeddings) == (301, 32, 64)
    assert len(blocks(model)) == 2
    assert {module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)} <= {0.0}


@SPECS
def test_weights_are_those_of_the_seed_and_nothing_else_is_drawn(spec: ScratchSpec) -> None:
    state = torch.get_rng_state()
    first, again, other = (student_from_scratch(spec, Tokenizer(), seed).state_dict() for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


@SPECS
def test_a_new_student_is_saved_and_loaded_by_anybodys_class(spec: ScratchSpec, tmp_path) -> None:
    model = student_from_scratch(spec, Tokenizer(), seed=3)
    model.save_pretrained(tmp_path)
    loaded = (AutoModelForCausalLM if spec is CAUSAL else AutoModelForMaskedLM).from_pretrained(tmp_path)
    assert torch.equal(logits(loaded, token_ids()), logits(model, token_ids()))


def test_heads_of_a_causal_model_share_keys() -> None:
    attention = blocks(student_from_scratch(CAUSAL, Tokenizer(), seed=0))[0].self_attn
    assert attention.k_proj.weight.shape == (16, 32) and attention.q_proj.weight.shape == (32, 32)


def test_a_new_encoder_attends_to_near_positions() -> None:
    """The more two positions lie apart, the less their vectors agree, as those of sinusoids; queries and keys begin equal."""
    model = student_from_scratch(MASKED, Tokenizer(), seed=3)
    positions = model.bert.embeddings.position_embeddings.weight.detach()
    assert positions.shape == (64, 32)
    assert positions.std().item() == pytest.approx(model.config.initializer_range, rel=0.1)
    cosine = torch.nn.functional.cosine_similarity(positions[20], positions, dim=-1)
    assert cosine.argmax() == 20 and cosine[21] > cosine[23] > cosine[30]
    for block in blocks(model):
        query, key = block.attention.self.query.weight, block.attention.self.key.weight
        assert torch.equal(query, key) and query is not key
    first, second = (block.attention.self.query.weight for block in blocks(model))
    assert not torch.equal(first, second)


def test_an_odd_width_has_a_wave_for_every_channel() -> None:
    spec = MASKED.model_copy(update={"hidden": 33, "heads": 3, "key_value_heads": 3})
    positions = student_from_scratch(spec, Tokenizer(), seed=0).bert.embeddings.position_embeddings.weight
    assert positions[1:].abs().min(dim=0).values.shape == (33,) and (positions[1:].abs().max(dim=0).values > 0).all()


@SPECS
def test_the_vocabulary_and_the_objective_are_those_of_the_architecture(spec: ScratchSpec) -> None:
    tokenizer = tokenizer_from_scratch(spec, [{"text": sentence * 3} for sentence in SENTENCES])
    assert len(tokenizer) <= 301 and tokenizer.model_max_length == 64
    assert (tokenizer.mask_token is not None) == (spec is MASKED)
    assert objective_from_scratch(spec) == ("causal" if spec is CAUSAL else "masked")
