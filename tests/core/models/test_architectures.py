import pytest
import torch

from core.errors import UnsupportedModelError
from core.models.architectures import ARCHITECTURE_SPECS, architecture_of, blocks, plain_model, with_blocks, without_block
from tests.core.tiny import ARCHITECTURES, VOCABULARY, logits, tiny_config, tiny_model, token_ids


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_head_of_the_last_hidden_state_is_the_logits(name: str, tied: bool) -> None:
    model, input_ids = tiny_model(name, tied=tied), token_ids()
    with torch.no_grad():
        states = model(input_ids=input_ids, output_hidden_states=True, logits_to_keep=1).hidden_states
        torch.testing.assert_close(model.get_output_embeddings()(states[-1]), logits(model, input_ids))
    assert len(states) == len(blocks(model)) + 1


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_described_part_is_where_it_is_said_to_be(name: str) -> None:
    model = tiny_model(name, layers=3)
    architecture = architecture_of(model.config)
    assert len(blocks(model)) == getattr(model.config, architecture.depth_key) == 3
    assert model.get_submodule(architecture.embeddings) is model.get_input_embeddings()
    assert model.get_submodule(architecture.head) is model.get_output_embeddings()
    if name != "opt-350m":  # where norms come after the blocks, there is no final one
        assert "Norm" in type(model.get_submodule(architecture.final_norm)).__name__
    matrices = {parameter_name.removesuffix(".weight") for parameter_name, parameter in blocks(model)[0].named_parameters()
                if parameter.dim() == 2}
    assert matrices == set(architecture.projections)
    for projection in architecture.projections:
        module = blocks(model)[0].get_submodule(projection)
        assert (type(module).__name__ == "Conv1D") == architecture.fan_in_fan_out
    if architecture.positions:
        assert model.get_submodule(architecture.positions).weight.shape[0] >= getattr(model.config, architecture.context_key)


def test_names_of_older_checkpoints_are_understood() -> None:
    gpt2, neox, opt = ARCHITECTURE_SPECS["gpt2"], ARCHITECTURE_SPECS["gpt_neox"], ARCHITECTURE_SPECS["opt"]
    assert gpt2.canonical("h.3.attn.c_attn.bias") == "transformer.h.3.attn.c_attn.bias"
    assert gpt2.canonical("h.3.attn.bias") is None
    assert gpt2.canonical("h.3.attn.masked_bias") is None
    assert neox.canonical("embed_out.weight") == "lm_head.weight"
    assert neox.canonical("gpt_neox.layers.0.attention.bias") is None
    assert neox.canonical("gpt_neox.layers.0.attention.dense.bias") == "gpt_neox.layers.0.attention.dense.bias"
    assert opt.canonical("decoder.embed_tokens.weight") == "model.decoder.embed_tokens.weight"
    assert gpt2.block_of("transformer.h.11.ln_1.weight") == 11
    assert gpt2.block_of("transformer.ln_f.weight") is None
    assert gpt2.with_block("transformer.h.11.ln_1.weight", 5) == "transformer.h.5.ln_1.weight"


def test_lists_with_one_entry_a_block_follow_the_map() -> None:
    config = tiny_config("qwen2", layers=4)
    config.layer_types = ["full_attention", "full_attention", "sliding_attention", "sliding_attention"]
    config.max_window_layers = 2
    shorter = with_blocks(config, (0, 2, 3))
    assert shorter.layer_types == ["full_attention", "sliding_attention", "sliding_attention"]
    assert (shorter.num_hidden_layers, shorter.max_window_layers) == (3, 1)
    assert config.num_hidden_layers == 4
    shorter.validate()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_without_a_block_the_others_still_run(name: str) -> None:
    model, input_ids = tiny_model(name), token_ids()
    complete = logits(model, input_ids)
    with without_block(model, 1):
        shortened = logits(model, input_ids)
    assert not torch.allclose(shortened, complete)
    assert torch.equal(logits(model, input_ids), complete)
    assert shortened.shape == (*input_ids.shape, VOCABULARY)


def test_wrappers_are_seen_through() -> None:
    model = tiny_model("llama")
    assert plain_model(torch.nn.DataParallel(model)) is model
    assert plain_model(model) is model


def test_an_unknown_architecture_is_named() -> None:
    with pytest.raises(UnsupportedModelError, match=r"'mamba'.*gpt2, gpt_neo, gpt_neox, .*llama"):
        architecture_of({"model_type": "mamba"})
