"""A DistilBERT student of a BERT teacher (1910.01108, section 3): its blocks, without token types and without a pooler.

BERT adds the embedding of token type 0 to every token of a single text. A student without token types loses that, unless it is
folded into the position embeddings, to which it is added anyway:

    position_student[t] = position_teacher[t] + token_type_teacher[0]

Then a student of all the teacher's blocks gives exactly the teacher's logits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.config import StudentSpec
from core.errors import ConfigError, SetField
from core.models.architectures import ARCHITECTURE_SPECS
from core.models.loading import model_from_config

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel

NORM_EPSILON = 1e-12  # of DistilBERT's norms, which no configuration changes
TEACHERS_OWN = SetField("student.architecture", "teacher")

# What a BERT model calls its parts, and what DistilBERT does: inside a block, and outside.
IN_BLOCK = {"attention.self.query": "attention.q_lin", "attention.self.key": "attention.k_lin", "attention.self.value": "attention.v_lin",
            "attention.output.dense": "attention.out_lin", "attention.output.LayerNorm": "sa_layer_norm",
            "intermediate.dense": "ffn.lin1", "output.dense": "ffn.lin2", "output.LayerNorm": "output_layer_norm"}
OUTSIDE = {"bert.embeddings.word_embeddings": "distilbert.embeddings.word_embeddings",
           "bert.embeddings.position_embeddings": "distilbert.embeddings.position_embeddings",
           "bert.embeddings.LayerNorm": "distilbert.embeddings.LayerNorm", "cls.predictions.transform.dense": "vocab_transform",
           "cls.predictions.transform.LayerNorm": "vocab_layer_norm", "cls.predictions.decoder": "vocab_projector"}


def check_student(spec: StudentSpec, model_type: str, activation: str | None) -> None:
    """Check that a teacher can have the DistilBERT student that `spec` asks for; known from its configuration alone.

    Args:
        model_type: the teacher's architecture.
        activation: of its feed-forward parts; None where that is not known.

    Raises:
        ConfigError: a teacher that is no BERT, or whose activation DistilBERT does not have; a width of its own.
    """
    if model_type != "bert":
        raise ConfigError(f"student.architecture is distilbert, and the teacher is a {model_type} model.",
                          "A BERT teacher was expected.", "Build it as the teacher is built.", suggestion=TEACHERS_OWN)
    if activation not in ("gelu", "relu", None):
        raise ConfigError(f"The teacher's activation is {activation}.", "DistilBERT has gelu and relu.",
                          "Build it as the teacher is built.", suggestion=TEACHERS_OWN)
    if spec.narrower:
        raise ConfigError("A DistilBERT student with a width of its own was requested.", "It keeps its teacher's width.",
                          "Remove student.hidden and student.intermediate_size.",
                          field=f"student.{'hidden' if spec.hidden is not None else 'intermediate_size'}")


def distilbert_student(teacher: PreTrainedModel, layer_map: Sequence[int], spec: StudentSpec, dtype: torch.dtype) -> PreTrainedModel:
    """Return a DistilBERT of the teacher's blocks in `layer_map`, with its weights or new ones.

    Args:
        teacher: a BERT model with its masked-language head.
        dtype: of the student's weights.

    Raises:
        ConfigError: as `check_student`.
    """
    check_student(spec, teacher.config.model_type, teacher.config.hidden_act)
    model = model_from_config(distilbert_config(teacher.config, len(layer_map), spec.dropout), "masked", dtype)
    if spec.init == "teacher":
        model.load_state_dict(converted(teacher.state_dict(), layer_map))
    return model


def distilbert_config(bert: PreTrainedConfig, layers: int, dropout: float | None) -> PreTrainedConfig:
    """Return the configuration of a DistilBERT with a BERT's sizes."""
    from transformers import DistilBertConfig

    if bert.layer_norm_eps != NORM_EPSILON:
        raise ConfigError(f"The teacher's norms add {bert.layer_norm_eps:g} to the variance.",
                          f"DistilBERT's add {NORM_EPSILON:g}: a copy would not say what the teacher says.",
                          "Build it as the teacher is built.", suggestion=TEACHERS_OWN)
    rates = {"dropout": bert.hidden_dropout_prob, "attention_dropout": bert.attention_probs_dropout_prob}
    return DistilBertConfig(
        vocab_size=bert.vocab_size, max_position_embeddings=bert.max_position_embeddings, n_layers=layers, n_heads=bert.num_attention_heads,
        dim=bert.hidden_size, hidden_dim=bert.intermediate_size, activation=bert.hidden_act, initializer_range=bert.initializer_range,
        tie_word_embeddings=bert.tie_word_embeddings, pad_token_id=bert.pad_token_id,
        **(rates if dropout is None else dict.fromkeys(rates, dropout)))


def converted(bert: dict[str, torch.Tensor], layer_map: Sequence[int]) -> dict[str, torch.Tensor]:
    """Return a DistilBERT's state from a BERT's: the blocks of `layer_map` in that order, token type 0 folded into the positions."""
    architecture, student = ARCHITECTURE_SPECS["bert"], ARCHITECTURE_SPECS["distilbert"]
    positions = {block: position for position, block in enumerate(layer_map)}
    weights: dict[str, torch.Tensor] = {}
    for name, tensor in bert.items():
        name = architecture.canonical(name) or ""
        block = architecture.block_of(name)
        part, _, kind = name.rpartition(".")
        if block is None and part in OUTSIDE:
            weights[f"{OUTSIDE[part]}.{kind}"] = tensor
        elif block in positions:
            weights[f"{student.blocks}.{positions[block]}.{IN_BLOCK[part.removeprefix(f'{architecture.blocks}.{block}.')]}.{kind}"] = tensor
    weights[f"{student.positions}.weight"] = weights[f"{student.positions}.weight"] + bert[f"{architecture.token_types}.weight"][0]
    return weights
