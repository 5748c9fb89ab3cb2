import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, GPTNeoXConfig, OPTConfig, Qwen2Config, Qwen3Config

from core.models.forward import eval_mode, last_hidden, output_head
from tests.core.evaluation.conftest import make_gpt2, make_llama

SMALL = {"vocab_size": 60, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
CONFIGS = [Qwen2Config(**SMALL, num_key_value_heads=2), Qwen3Config(**SMALL, num_key_value_heads=2, head_dim=8), GPTNeoXConfig(**SMALL),
           OPTConfig(vocab_size=60, hidden_size=32, ffn_dim=48, num_hidden_layers=2, num_attention_heads=4, word_embed_proj_dim=16)]


def assert_same_logits(model):
    input_ids = torch.randint(0, 60, (2, 9))
    with torch.no_grad():
        torch.testing.assert_close(output_head(model).logits(last_hidden(model, input_ids)), model(input_ids).logits)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.model_type)
def test_the_two_halves_give_the_models_logits(config):
    assert_same_logits(AutoModelForCausalLM.from_config(config).eval())


@pytest.mark.parametrize("make", [make_gpt2, make_llama])
def test_the_two_halves_give_the_models_logits_for(make):
    assert_same_logits(make(60))


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_adapters_take_part():
    bare = make_llama(60)
    input_ids = torch.randint(0, 60, (1, 7))
    with torch.no_grad():
        without = last_hidden(bare, input_ids)
    adapted = get_peft_model(bare, LoraConfig(target_modules=["q_proj", "down_proj"], init_lora_weights=False)).eval()
    with torch.no_grad():
        assert not torch.allclose(last_hidden(adapted, input_ids), without)
    assert_same_logits(adapted)


def test_evaluating_restores_every_models_mode_even_after_an_error():
    one, other = make_llama(60).train(), make_llama(60).eval()

    def fail() -> None:
        with eval_mode(one, other):
            assert not one.training
            assert torch.is_inference_mode_enabled()
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert one.training
    assert not other.training
