"""Check that models can be distilled, compared or trained together, before anything is loaded or trained.

Each ``require_...`` raises a CompatibilityError where its condition does not hold. Those that take entries of the catalogue
return the entry they were given; the others return a sentence for a plan about what was found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.config import DataSpec, ExperimentConfig, LossSpec, MaskingSpec, TaskSpec
from core.errors import CompatibilityError, ConfigError, SetField, about
from core.models.architectures import ARCHITECTURE_SPECS, Objective, head_weight
from core.models.catalog import no_language_head_error
from core.models.checkpoints import TASK_DESCRIPTIONS, TEXT_MODEL_TYPE, Task
from core.models.entries import LoadedModel, ModelEntry
from core.models.vocabulary import require_tokenizer_fits, unpadded_width, vocabulary_size

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def no_chat_template_error(model: str) -> CompatibilityError:
    """Return the error for a bridge's teacher that has no chat template, so that no prompt can be put to it."""
    return CompatibilityError(f"The bridge's teacher '{model}' has no chat template.", "A model that answers was expected.",
                              "Choose an instruction-tuned model.", field="bridge.model")


_ENCODER_FAMILIES = [spec.family for spec in ARCHITECTURE_SPECS.values() if spec.objective == "masked"]


def require_encoder(model: ModelEntry) -> ModelEntry:
    """Return the model if it is an encoder: masked, or fine-tuned from one."""
    if model.task == "image_classification":
        raise CompatibilityError(f"'{model.name}' {TASK_DESCRIPTIONS[model.task]}.", "An encoder of texts was expected.",
                                 "Choose a masked-language model for student.model.", field="student.model")
    if model.task == "causal":
        raise CompatibilityError(f"'{model.name}' is a {model.architecture} model: it predicts the next token.",
                                 f"An encoder was expected, as {', '.join(_ENCODER_FAMILIES[:-1])} or {_ENCODER_FAMILIES[-1]}.",
                                 "Choose a masked-language model for student.model.", field="student.model")
    return model


def require_generalist(model: ModelEntry) -> ModelEntry:
    """Return the model if it can be fine-tuned as the generalist of specialists: a Transformers encoder, with whatever head."""
    spec = ARCHITECTURE_SPECS.get(model.architecture)
    if spec is None or spec.objective != "masked":
        raise CompatibilityError(f"'{model.name}' is a {model.architecture} model.",
                                 "An encoder, or a classifier of texts that was made from one, was expected as the generalist.",
                                 f"Name one of the families {', '.join(_ENCODER_FAMILIES)}, or remove specialists.model.",
                                 field="specialists.model")
    return model


def require_head_for(model: ModelEntry, task: Task) -> None:
    """Check that the model's family has a head for a labelled task; Transformers has none for some questions."""
    spec = ARCHITECTURE_SPECS[model.architecture]
    if task == "question_answering" and not spec.answers_questions:
        raise CompatibilityError(f"'{model.name}' is a {spec.family} model.",
                                 "Transformers has no head for extractive questions on it.",
                                 "Choose an encoder of another family, or classify texts.", field="student.model")


def require_task_teacher(model: ModelEntry) -> ModelEntry:
    """Return the model if it was fine-tuned on a labelled task."""
    if model.task not in ("classification", "question_answering"):
        raise CompatibilityError(f"'{model.name}' is a {model.task} language model.",
                                 "A teacher that was fine-tuned on the task was expected.",
                                 "Fine-tune it first, as assets/recipes/house-sentiment.yaml does, and name that run.",
                                 field="teacher.model")
    if model.architecture == TEXT_MODEL_TYPE:
        raise CompatibilityError(f"'{model.name}' is a small network over averaged words, and no encoder.",
                                 "A teacher that reads a text as its student does was expected.",
                                 "Fine-tune an encoder on the task, and name that run.", field="teacher.model")
    return model


def require_language_model(entry: ModelEntry) -> ModelEntry:
    """Return the model if its head predicts tokens, causal or masked; the head of a labelled task gives no token logits to distil."""
    if entry.task not in ("causal", "masked"):
        raise CompatibilityError(f"'{entry.name}' {TASK_DESCRIPTIONS[entry.task]}.", "A model that predicts tokens was expected.",
                                 "Choose the language model that it was made from. A classifier teaches its own task: give one in 'task'.")
    if entry.header is not None and not entry.header.has_language_head:
        raise no_language_head_error(entry.name, entry.header.architecture)
    return entry


def require_causal_lm(entry: ModelEntry, what: str) -> ModelEntry:
    """Return the model if it is causal; `what` names what can be made of causal models alone (chain, bridge)."""
    if entry.task != "causal":
        raise CompatibilityError(f"'{entry.name}' {TASK_DESCRIPTIONS[entry.task]}.",
                                 f"A {what} is made of models that predict the next token.",
                                 f"Choose another model for the {what}, or distil '{entry.name}' into one student.")
    if what == "chain":
        require_single(entry, "teacher.model")
    return entry


def require_single(entry: ModelEntry, field: str) -> None:
    """Check that a model is no ensemble, whose weights are those of several models."""
    if entry.kind == "ensemble":
        raise CompatibilityError(f"'{entry.name}' is an ensemble.", "A single model was expected: an ensemble teaches, and is not trained.",
                                 "Distil it into one student first.", field=field)


def require_same_task(teacher: ModelEntry, student: ModelEntry) -> ModelEntry:
    """Return the student if its head is for the same task as its teacher's."""
    if teacher.task != student.task:
        raise CompatibilityError(f"The teacher '{teacher.name}' {TASK_DESCRIPTIONS[teacher.task]}, "
                                 f"and '{student.name}' {TASK_DESCRIPTIONS[student.task]}.",
                                 "Teacher and student must predict the same.", "Choose a student.model of the teacher's kind, or none.",
                                 field="student.model")
    return student


def require_settings_for(config: ExperimentConfig, kind: Objective) -> str:
    """Refuse settings that only models of the other objective have.

    Raises:
        CompatibilityError: settings of masked language modelling for a causal model.
        ConfigError: sentiment questions for a masked model, which generates no answers.
    """
    masked_only = [name for name, differs in (
        ("masking", config.masking != MaskingSpec()), ("losses.kd_positions", config.losses.kd_positions != "all"),
        ("student.architecture", config.student.architecture != "teacher")) if differs]
    if kind == "causal" and masked_only:
        verb = "belongs" if len(masked_only) == 1 else "belong"
        raise CompatibilityError(f"{' and '.join(masked_only)} {verb} to masked-language models, and this one predicts the next token.",
                                 "A BERT-type model with its masked-language head was expected.",
                                 "Choose another teacher, or remove these settings.",
                                 field="teacher.model" if config.teacher is not None else masked_only[0])
    if kind == "masked" and config.evaluation.sentiment_items:
        raise ConfigError(f"evaluation.sentiment_items is {config.evaluation.sentiment_items}.",
                          "A masked language model predicts masked tokens and answers no question.",
                          "Ask none; evaluation.retention fine-tunes the models and measures that.",
                          suggestion=SetField("evaluation.sentiment_items", 0))
    return f"The model {TASK_DESCRIPTIONS[kind]}."


def require_block_length_fits(spec: DataSpec, context: int) -> str:
    """Check that blocks are no longer than `context`, the tokens of the model's longest sequence."""
    if spec.block_length > context:
        raise CompatibilityError(f"data.block_length is {spec.block_length} tokens.", f"The model reads {context} at most.",
                                 f"Set data.block_length to {context} or less.", suggestion=SetField("data.block_length", context))
    return f"{spec.block_length} tokens of the {context:,} that the model reads."


def describe_task_length(spec: TaskSpec, context: int) -> str:
    """Say how many tokens of an item are read: longer items are truncated, so nothing is refused.

    Args:
        context: tokens of the longest sequence that all models read.
    """
    if spec.max_length > context:
        return (f"task.max_length is {spec.max_length} tokens; the models read {context:,} at most, and so much of an item is read. "
                f"Set task.max_length to {context} to say so.")
    return f"{spec.max_length} tokens of the {context:,} that the models read."


def require_equal_widths(losses: LossSpec, teacher: int, student: int) -> str:
    """Check that hidden states can be compared by their cosine, which has no projection between two widths.

    Args:
        teacher, student: widths of their hidden states, in channels.
    """
    if teacher != student and (losses.w_hidden.start or losses.w_hidden.end):
        raise CompatibilityError(f"losses.w_hidden compares states of {teacher} and {student} channels.", "Equal widths were expected.",
                                 "Set losses.w_hidden to 0, or use losses.w_hidden_mse, which learns a projection.",
                                 suggestion=SetField("losses.w_hidden", 0))
    return f"States of {teacher} and {student} channels."


def require_vocabulary_fits(teacher: LoadedModel) -> str:
    """Check that the output head has a row for every token; padding rows beyond them are cut off in losses and evaluation."""
    tokens = vocabulary_size(teacher.tokenizer)
    rows = len(head_weight(teacher.model))
    if tokens > rows:
        raise _more_tokens_error(teacher.entry.name, tokens, rows)
    padding = f"; {rows - tokens:,} rows of the model are padding" if rows > tokens else ""
    return f"Teacher and student share {tokens:,} tokens{padding}."


def require_tokenizers(teacher: LoadedModel | None, start: LoadedModel | None) -> str:
    """Check the tokenizers of what a run trains with: no more tokens than a model has rows, and one vocabulary of both.

    Args:
        teacher: None where a model is trained on text alone.
        start: what the student begins as; None where it is made of the teacher.
    """
    found = [require_vocabulary_fits(each) for each in (teacher, start) if each is not None]
    if teacher is not None and start is not None:
        require_compatible(teacher, start)
        with about("student.model"):  # the student reads what the teacher's tokenizer gives
            require_tokenizer_fits(teacher.tokenizer, start.model, start.entry.name)
    return found[0]


def require_tokenizer_rows(entry: ModelEntry) -> str:
    """Check, before the weights are loaded, that a model has a row for every token of its tokenizer. Imports Transformers."""
    from core.models.loading import tokenizer_from_pretrained

    assert entry.path is not None, "a model that is here"
    tokens = vocabulary_size(tokenizer_from_pretrained(entry.path))
    if tokens > entry.vocabulary:
        raise _more_tokens_error(entry.name, tokens, entry.vocabulary)
    return f"{tokens:,} tokens."


def _more_tokens_error(name: str, tokens: int, rows: int) -> CompatibilityError:
    return CompatibilityError(f"The tokenizer of '{name}' knows {tokens:,} tokens.", f"The model predicts {rows:,}.",
                              "Put the tokenizer that the model was trained with into its folder.")


EXAMPLES: dict[Task, str] = {"causal": "a causal language model, as house-chat", "masked": "a masked-language model, as house-encoder",
                             "classification": "a model that was fine-tuned on labelled texts",
                             "question_answering": "a model that was fine-tuned on questions",
                             "image_classification": "a network of an ensemble of image classifiers"}


def require_task(entry: ModelEntry, task: Task) -> None:
    """Check that the model's head is for `task`."""
    if entry.task != task:
        raise CompatibilityError(f"'{entry.name}' {TASK_DESCRIPTIONS[entry.task]}.",
                                 f"A model that {TASK_DESCRIPTIONS[task]} was expected.",
                                 f"Choose {EXAMPLES[task]}.")


def require_compatible(teacher: LoadedModel, student: LoadedModel) -> int:
    """Return the number of leading logits that stand for the same tokens in both models.

    Models of one family pad their embeddings to different widths. Logits from that number on are padding, and must be cut off
    in both models before they are compared.

    Raises:
        CompatibilityError: the tokenizers differ.
    """
    shared = require_shared_vocabulary(teacher.tokenizer, student.tokenizer)
    return min(shared, *(unpadded_width(loaded.tokenizer, loaded.model) for loaded in (teacher, student)))


def same_vocabulary(one: PreTrainedTokenizerBase, other: PreTrainedTokenizerBase) -> bool:
    """Return whether two tokenizers give their tokens the same ids, so that models can be compared token by token."""
    try:
        require_shared_vocabulary(one, other)
    except CompatibilityError:
        return False
    return True


def require_shared_vocabulary(teacher: PreTrainedTokenizerBase, student: PreTrainedTokenizerBase) -> int:
    """Return how many token ids, counted from 0, stand for the same tokens in both tokenizers.

    Raises:
        CompatibilityError: two different tokenizers.
    """
    mine, theirs = teacher.get_vocab(), student.get_vocab()
    shared = min(vocabulary_size(teacher), vocabulary_size(student))
    by_number = {number: token for token, number in theirs.items()}
    different = [number for token, number in mine.items() if number < shared and by_number.get(number) != token]
    if different:
        raise CompatibilityError(
            f"The tokenizers differ: {len(different):,} of {shared:,} numbers stand for different tokens "
            f"({len(mine):,} tokens in one, {len(theirs):,} in the other).", "Both models must have one tokenizer.",
            "Choose two models of one family, or a student made from this teacher. A bridge distils across vocabularies: the teacher "
            "writes texts (bridge.model), and a model with the other vocabulary learns from them.")
    return shared
