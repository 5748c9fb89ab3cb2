"""A chain of tiny models, built as a user's would be: three anchors of 4, 2 and 1 blocks, aligned, with a measured curve."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from core.config import ExperimentConfig
from core.recipes import parse_recipe
from core.recorder import ListRecorder
from tests.core.chat_models import SENTENCES, chat_tokenizer, save_chat_model

HEAD = 16
# As Qwen3 4B, 1.7B and 0.6B: heads of one size, groups that shrink once, and a depth that two of them share.
LARGE = {"hidden_size": 40, "num_attention_heads": 4, "intermediate_size": 152, "num_hidden_layers": 4}
MIDDLE = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 96, "num_hidden_layers": 2}
SMALL = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 48, "num_hidden_layers": 2}


def save_anchor(folder: Path, kind: Any, seed: int = 0, *, head_size: int | None = HEAD, **sizes: Any) -> Path:
    """A random model of a family with tied embeddings and grouped queries, with a chat tokenizer, as a folder."""
    tokenizer = chat_tokenizer()
    torch.manual_seed(seed)
    head = {} if head_size is None else {"head_dim": head_size}
    config = kind(**{"vocab_size": len(tokenizer), "num_key_value_heads": 2, "tie_word_embeddings": True, "max_position_embeddings": 64,
                     "bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id,
                     "pad_token_id": tokenizer.pad_token_id, **head, **sizes})
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def chain_recipe(folder: Path, name: str = "tiny-chain", **sections: Any) -> ExperimentConfig:
    """The recipe, with its corpus and its teacher in `folder`; `sections` stand in place of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    text, teacher = folder / "corpus.txt", folder / "teacher"
    if not teacher.is_dir():
        text.write_text("\n\n".join(f"{sentence} Number {index}." for index in range(60) for sentence in SENTENCES))
        save_chat_model(teacher, layers=4)
    plain: dict[str, Any] = {
        "name": name, "teacher": {"model": str(teacher)}, "data": {"source": str(text), "block_length": 32},
        "losses": {"w_kd": 1, "w_hard": 0.1, "w_hidden_mse": 1, "hidden_layers": "ends", "divergence": "reverse_kl", "temperature": 1},
        "chain": {"anchors": [{"layers": 2, "intermediate_size": 32}, {"layers": 1}], "curve_points": 2},
        "train": {"max_steps": 3, "per_device_train_batch_size": 4, "save_steps": 2, "precision": "fp32", "device": "cpu"},
        "evaluation": {"eval_steps": 50, "blocks": 4, "prompts": []}}
    return parse_recipe(plain | sections)


def build_tiny_chain(folder: Path) -> Path:
    """The chain's folder."""
    from core.methods.chain import build_chain

    build_chain(chain_recipe(folder), ListRecorder(), folder / "tiny-chain")
    return folder / "tiny-chain"
