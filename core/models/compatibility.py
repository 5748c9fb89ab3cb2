"""Refuse models that cannot be distilled, compared or trained together, before anything is loaded or trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.config import DataSpec, ExperimentConfig, LossSpec, MaskingSpec, TaskSpec
from core.errors import (
    CompatibilityError,
    ConfigError,
)
from core.models.architectures import Objective
from core.models.catalog import LoadedModel, ModelEntry
from core.models.checkpoints import TASK_DESCRIPTIONS, Task
from core.models.vocabulary import real_width, vocabulary_size

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def mute(model: str) -> CompatibilityError:
    """The error of a bridge's teacher that nobody can ask."""
    return CompatibilityError(f"The bridge's teacher '{model}' has no chat template.", "A model that answers was expected.",
                              "Choose an instruction-tuned model.")


def encoder(model: ModelEntry) -> ModelEntry:
    """The model, if it reads both ways."""
    if model.task == "causal":
        raise CompatibilityError(f"'{model.name}' is a {model.architecture} model: it predicts the next token.",
                                 "An encoder was expected, as BERT, RoBERTa, DistilBERT, ELECTRA or ModernBERT.",
                                 "Choose a masked-language model for student.model.")
    return model


def task_teacher(model: ModelEntry) -> ModelEntry:
    """The model, if it was fine-tuned on a task."""
    if model.task not in ("classification", "question_answering"):
        raise CompatibilityError(f"'{model.name}' is a {model.task} language model.",
                                 "A teacher that was fine-tuned on the task was expected.",
                                 "Fine-tune it first, as assets/recipes/house-sentiment.yaml does, and name that run.")
    return model


def language_model(entry: ModelEntry) -> ModelEntry:
    """The same entry. Refuses a model whose head was made for a labelled task: it predicts no tokens, and so teaches none."""
    if entry.task not in ("causal", "masked"):
        raise CompatibilityError(f"'{entry.name}' {TASK_DESCRIPTIONS[entry.task]}.", "A model that predicts tokens was expected.",
                                 "Choose the language model that it was made from. A classifier teaches its own task: give one in 'task'.")
    return entry


def predicts_next(entry: ModelEntry, what: str) -> ModelEntry:
    """The same entry. Refuses any model but a causal one, where `what` (a chain, a bridge) is made of those alone."""
    if entry.task != "causal":
        raise CompatibilityError(f"'{entry.name}' {TASK_DESCRIPTIONS[entry.task]}.",
                                 f"A {what} is made of models that predict the next token.",
                                 f"Choose another model for the {what}, or distil '{entry.name}' into one student.")
    return entry


def same_kind(teacher: ModelEntry, student: ModelEntry) -> ModelEntry:
    """The student's entry. Refuses a student that predicts something else than its teacher does."""
    if teacher.task != student.task:
        raise CompatibilityError(f"The teacher '{teacher.name}' {TASK_DESCRIPTIONS[teacher.task]}, "
                                 f"and '{student.name}' {TASK_DESCRIPTIONS[student.task]}.",
                                 "Teacher and student must predict the same.", "Choose a student.model of the teacher's kind, or none.")
    return student


def objective(config: ExperimentConfig, kind: Objective) -> str:
    """Refuses settings that mean something to models of the other kind only.

    Raises:
        CompatibilityError: a recipe for masked models with a causal one.
        ConfigError: questions to a model that fills blanks.
    """
    masked_only = [name for name, differs in (
        ("masking", config.masking != MaskingSpec()), ("losses.kd_positions", config.losses.kd_positions != "all"),
        ("student.architecture", config.student.architecture != "teacher")) if differs]
    if kind == "causal" and masked_only:
        verb = "belongs" if len(masked_only) == 1 else "belong"
        raise CompatibilityError(f"{' and '.join(masked_only)} {verb} to masked-language models, and this one predicts the next token.",
                                 "A BERT-type model with its masked-language head was expected.",
                                 "Choose another teacher, or remove these settings.")
    if kind == "masked" and config.evaluation.sentiment_items:
        raise ConfigError(f"evaluation.sentiment_items is {config.evaluation.sentiment_items}.",
                          "A masked-language model fills blanks and answers no question.",
                          "Set it to 0; evaluation.retention fine-tunes the models and measures that.")
    return f"The model {TASK_DESCRIPTIONS[kind]}."


def block_length(spec: DataSpec, context: int) -> str:
    """`context`: tokens of the model's longest sequence."""
    if spec.block_length > context:
        raise CompatibilityError(f"data.block_length is {spec.block_length} tokens.", f"The model reads {context} at most.",
                                 f"Set data.block_length to {context} or less.")
    return f"{spec.block_length} tokens of the {context:,} that the model reads."


def task_length(spec: TaskSpec, context: int) -> str:
    """`context`: tokens of the longest sequence that all models read. Longer items lose what is too much; nothing fails."""
    if spec.max_length > context:
        return (f"task.max_length is {spec.max_length} tokens; the models read {context:,} at most, and so much of an item is read. "
                f"Set task.max_length to {context} to say so.")
    return f"{spec.max_length} tokens of the {context:,} that the models read."


def widths(losses: LossSpec, teacher: int, student: int) -> str:
    """`teacher`, `student`: channels. The cosine of two hidden states needs equal widths; matched layers have a projection."""
    if teacher != student and (losses.w_hidden.start or losses.w_hidden.end):
        raise CompatibilityError(f"losses.w_hidden compares states of {teacher} and {student} channels.", "Equal widths were expected.",
                                 "Set losses.w_hidden to 0, or use losses.w_hidden_mse, which learns a projection.")
    return f"States of {teacher} and {student} channels."


def vocabulary(teacher: LoadedModel) -> str:
    """Whether the model has a row for every token; padding beyond them is cut off in losses and evaluation."""
    tokens = vocabulary_size(teacher.tokenizer)
    rows = teacher.model.get_output_embeddings().weight.shape[0]
    if tokens > rows:
        raise CompatibilityError(f"The tokenizer of '{teacher.entry.name}' knows {tokens:,} tokens.", f"The model predicts {rows:,}.",
                                 "Put the tokenizer that the model was trained with into its folder.")
    padding = f"; {rows - tokens:,} rows of the model are padding" if rows > tokens else ""
    return f"Teacher and student share {tokens:,} tokens{padding}."


EXAMPLES: dict[Task, str] = {"causal": "a causal language model, as house-chat", "masked": "a masked-language model, as house-encoder",
                             "classification": "a model that was fine-tuned on labelled texts",
                             "question_answering": "a model that was fine-tuned on questions"}


def check_task(entry: ModelEntry, task: Task) -> None:
    """Refuse a model whose head is for something else. Raises CompatibilityError."""
    if entry.task != task:
        raise CompatibilityError(f"'{entry.name}' {TASK_DESCRIPTIONS[entry.task]}.",
                                 f"A model that {TASK_DESCRIPTIONS[task]} was expected.",
                                 f"Choose {EXAMPLES[task]}.")


def check_compatible(teacher: LoadedModel, student: LoadedModel) -> int:
    """The number of tokens that both models know, under the same numbers.

    Families pad their embeddings to different widths: logits from that number on are padding, and must be cut off in both
    models before they are compared.

    Raises:
        CompatibilityError: the tokenizers differ.
    """
    shared = shared_vocabulary(teacher.tokenizer, student.tokenizer)
    return min(shared, *(real_width(loaded.tokenizer, loaded.model) for loaded in (teacher, student)))


def same_vocabulary(one: PreTrainedTokenizerBase, other: PreTrainedTokenizerBase) -> bool:
    """Whether two tokenizers give their tokens the same numbers, so that models can be held against each other token by token."""
    try:
        shared_vocabulary(one, other)
    except CompatibilityError:
        return False
    return True


def shared_vocabulary(teacher: PreTrainedTokenizerBase, student: PreTrainedTokenizerBase) -> int:
    """How many tokens two tokenizers have in common, counted from 0. Raises CompatibilityError if they are different ones."""
    mine, theirs = teacher.get_vocab(), student.get_vocab()
    shared = min(vocabulary_size(teacher), vocabulary_size(student))
    by_number = {number: token for token, number in theirs.items()}
    different = [number for token, number in mine.items() if number < shared and by_number.get(number) != token]
    if different:
        raise CompatibilityError(
            f"The tokenizers differ: {len(different):,} of {shared:,} numbers stand for different tokens "
            f"({len(mine):,} tokens in one, {len(theirs):,} in the other).", "Both models must have one tokenizer.",
            "Choose two models of one family, or a student made from this teacher.")
    return shared
