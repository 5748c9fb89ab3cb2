"""The count against what torch counts while the model computes."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    BertConfig,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    DistilBertConfig,
    ElectraConfig,
    ModernBertConfig,
    RobertaConfig,
)

from core.evaluation.flops import forward_flops
from core.models.architectures import ARCHITECTURE_SPECS
from core.models.header import ModelHeader, read_model_header
from tests.core.families import FAMILIES, family_config, is_causal
from tests.core.tiny import ARCHITECTURES, VOCABULARY, tiny_config

SIZES = {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48,
         "max_position_embeddings": 64, "pad_token_id": 0}
ENCODERS = {
    "bert": BertConfig(**SIZES), "roberta": RobertaConfig(**SIZES), "electra": ElectraConfig(**SIZES, embedding_size=16),
    "distilbert": DistilBertConfig(vocab_size=VOCABULARY, dim=32, n_layers=3, n_heads=4, hidden_dim=48, max_position_embeddings=64),
    "modernbert": ModernBertConfig(**SIZES, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2),
}


def counted(model: torch.nn.Module, length: int, batch: int) -> int:
    """What torch's counter sees: with eager attention, whose two products are matrix products like any other."""
    model.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(input_ids=torch.randint(2, VOCABULARY, (batch, length)), attention_mask=torch.ones(batch, length, dtype=torch.long))
    return counter.get_total_flops()


def predicted(model: torch.nn.Module, length: int, batch: int) -> float:
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    config = model.config.to_dict() | {"architectures": [type(model).__name__]}
    return forward_flops(ModelHeader(config, shapes, 0), length=length, batch=batch).total


def causal(name: str, tied: bool) -> torch.nn.Module:
    return AutoModelForCausalLM.from_config(tiny_config(name, 3, tied), attn_implementation="eager")


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_causal_models_are_counted_as_torch_counts_them(name: str, tied: bool) -> None:
    # Rotary tables are made by a product of (positions x 1) and (1 x channels), which torch counts and no block holds.
    assert predicted(causal(name, tied), 12, 2) == pytest.approx(counted(causal(name, tied), 12, 2), rel=2e-3)


@pytest.mark.parametrize("name", ENCODERS)
def test_masked_models_are_counted_as_torch_counts_them(name: str) -> None:
    model = AutoModelForMaskedLM.from_config(ENCODERS[name], attn_implementation="eager")
    assert predicted(model, 12, 2) == pytest.approx(counted(model, 12, 2), rel=2e-3)


@pytest.mark.filterwarnings("ignore:.*causal_conv1d.*")
@pytest.mark.parametrize("case", [case for case in FAMILIES if "deberta" not in case])
def test_further_families_are_counted_as_torch_counts_them(case: str) -> None:
    kind = AutoModelForCausalLM if is_causal(case) else AutoModelForMaskedLM
    model = kind.from_config(family_config(case), attn_implementation="eager")
    if case == "qwen3_moe":
        model.set_experts_implementation("eager")  # other kernels hide their products from the counter
    assert predicted(model, 12, 2) == pytest.approx(counted(model, 12, 2), rel=1e-2)


def test_every_architecture_is_counted() -> None:
    known = {case.partition(",")[0] for case in FAMILIES}
    assert {name.removesuffix("-350m") for name in ARCHITECTURES} | set(ENCODERS) | known == set(ARCHITECTURE_SPECS)


@pytest.mark.parametrize("kind", [BertForSequenceClassification, BertForQuestionAnswering])
def test_heads_of_labelled_tasks_are_counted_where_they_read(kind: type) -> None:
    model = kind._from_config(ENCODERS["bert"], attn_implementation="eager")
    assert predicted(model, 12, 2) == counted(model, 12, 2)


def test_embeddings_cost_nothing_and_blocks_grow_with_their_number() -> None:
    shapes = {name: tuple(tensor.shape) for name, tensor in causal("llama", False).state_dict().items()}
    config = tiny_config("llama", 3, False).to_dict()
    flops = forward_flops(ModelHeader(config, shapes, 0), length=12)
    wide = forward_flops(ModelHeader(config, {**shapes, "model.embed_tokens.weight": (10 * VOCABULARY, 32)}, 0), length=12)
    assert wide == flops
    assert flops.head == 2 * 12 * 32 * VOCABULARY
    kept = {name: shape for name, shape in shapes.items() if not name.startswith("model.layers.2.")}
    fewer = forward_flops(ModelHeader({**config, "num_hidden_layers": 2}, kept, 0), length=12)
    assert fewer.blocks == pytest.approx(flops.blocks * 2 / 3) and fewer.head == flops.head


def test_a_folder_is_counted_from_its_files_alone(tmp_path, monkeypatch) -> None:
    model = causal("gpt2", True)
    model.save_pretrained(tmp_path)
    monkeypatch.setattr(torch.nn.Module, "__call__", lambda *_: pytest.fail("no model is needed"))
    assert forward_flops(read_model_header(tmp_path), length=12, batch=2).total == predicted(model, 12, 2)
