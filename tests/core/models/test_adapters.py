"""Low-rank adapters change nothing at the start, train alone, and merge into the weights they stand beside."""

from __future__ import annotations

import pytest
import torch

from core.config import LoraSpec
from core.models.adapters import add_adapters, add_task_adapters, merge_adapters
from core.models.architectures import architecture_of
from tests.core.tiny import ARCHITECTURES, ENCODERS, logits, tiny_encoder, tiny_model, token_ids

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


@pytest.mark.parametrize("name", [*ARCHITECTURES, *ENCODERS])
def test_adapters_stand_at_every_projection_and_start_as_the_identity(name: str) -> None:
    model = (tiny_encoder if name in ENCODERS else tiny_model)(name).eval()
    before = logits(model, token_ids())
    architecture, depth = architecture_of(model.config), len(model.get_submodule(architecture_of(model.config).blocks))
    adapted = add_adapters(model, LoraSpec(rank=2)).eval()
    trained = [parameter for parameter in adapted.parameters() if parameter.requires_grad]
    assert len(trained) == 2 * len(architecture.projections) * depth
    torch.testing.assert_close(logits(adapted.get_base_model(), token_ids()), before)


def test_a_trained_adapter_is_merged_into_a_copy_that_computes_the_same() -> None:
    adapted = add_adapters(tiny_model("llama"), LoraSpec(rank=2)).eval()
    before = logits(adapted.get_base_model(), token_ids())
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    changed = logits(adapted.get_base_model(), token_ids())
    plain = merge_adapters(adapted)
    assert not any("lora" in name for name, _ in plain.named_parameters())
    assert any("lora" in name for name, _ in adapted.named_parameters()), "the adapted model stays as it is"
    torch.testing.assert_close(logits(plain, token_ids()), changed, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(before, changed)


def test_a_model_without_adapters_is_returned_as_it_is() -> None:
    model = tiny_model("gpt2")
    assert merge_adapters(model) is model


def test_a_tasks_head_is_trained_whole_and_the_seed_decides_the_adapters() -> None:
    from transformers import BertConfig, BertForSequenceClassification

    def adapted(seed: int) -> torch.nn.Module:
        torch.manual_seed(0)
        model = BertForSequenceClassification(BertConfig(vocab_size=90, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
                                                         intermediate_size=24, max_position_embeddings=32))
        return add_task_adapters(model, LoraSpec(rank=2), seed)

    first, same, other = adapted(1), adapted(1), adapted(2)
    trained = {name for name, parameter in first.named_parameters() if parameter.requires_grad}
    assert any("classifier" in name for name in trained) and any("pooler" in name for name in trained)
    assert not any("embeddings" in name for name in trained)
    assert all("lora" in name or "classifier" in name or "pooler" in name for name in trained)
    drawn = {name: value for name, value in first.named_parameters() if "lora_A" in name}
    assert all(torch.equal(value, dict(same.named_parameters())[name]) for name, value in drawn.items())
    assert not all(torch.equal(value, dict(other.named_parameters())[name]) for name, value in drawn.items())
