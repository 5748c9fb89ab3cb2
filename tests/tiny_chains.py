"""A chain of tiny models, built as a user's would be: three anchors of 4, 2 and 1 blocks, aligned, with a measured curve."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core.config import ExperimentConfig
from core.recipes import parse_recipe
from core.recorder import ListRecorder
from tests.core.chat_models import SENTENCES, save_chat_model


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
