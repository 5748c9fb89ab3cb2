"""Documents beside the weights: a model card, the recipe, and the model's provenance.

    README.md         model card with the front matter that model hubs read
    recipe.yaml       the whole configuration; `distill` takes it as it is
    stillhouse.json   configuration, lineage, measurements, command
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from core.config import (
    EnsembleConfig,
    ExperimentConfig,
    FineTuneConfig,
    LossSpec,
    Ramp,
    ReadingConfig,
    ReadingSpec,
    TaskSpec,
    TrainSpec,
)
from core.config.reading import ORACLE
from core.data.movie_reviews import HOUSE, HOUSE_SOURCES
from core.evaluation.statistics import item_interval
from core.events import CONTROL, STUDENT, STUDENT_AFTER
from core.loss_terms import BY_NAME
from core.metrics import METRICS
from core.reports import retention_text
from core.reports.citations import methods_section
from core.reports.run_report import CorpusSummary, RunReport, TaskSummary
from core.system.provenance import git_commit, versions

COLUMNS = {"teacher": "teacher", "student_before": "student before", "student_after": "student after", "control": "control (no teacher)"}
DIVERGENCES = {"forward_kl": "KL(teacher || student)", "reverse_kl": "KL(student || teacher)", "jsd": "generalised Jensen-Shannon"}


def write_folder_documents(folder: Path, config: ExperimentConfig, report: RunReport, *, variant: str = STUDENT) -> None:
    """Write the three documents into a model folder.

    Args:
        report: the finished report of the run.
        variant: whose folder it is, ``student`` or ``control``.
    """
    (folder / "README.md").write_text(model_card(config, report, variant=variant), encoding="utf-8")
    (folder / "recipe.yaml").write_text(config.to_yaml(), encoding="utf-8")
    (folder / "stillhouse.json").write_text(json.dumps(record(config, report, variant=variant), indent=2) + "\n", encoding="utf-8")


def record(config: ExperimentConfig, report: RunReport, *, variant: str = STUDENT) -> dict[str, Any]:
    """Return the content of ``stillhouse.json``."""
    plain = report.to_dict()
    return {
        "arm": variant, "config": config.to_dict(), "config_digest": config.digest(),
        "lineage": {"teacher": plain["teacher"], "layer_map": plain["student"].get("layer_map"), "data": plain["data"],
                    "seed": config.train.seed, "versions": versions(), "git_commit": git_commit()},
        **{key: plain[key] for key in ("student", "metrics", "tokens", "seconds", "tokens_per_second", "command")},
        "retention": plain.get("retention"),
    }


def model_card(config: ExperimentConfig, report: RunReport, *, variant: str = STUDENT) -> str:
    """Return the text of the model card, front matter included."""
    name = report.student.name if variant == STUDENT else f"{report.student.name}-{variant}"
    header = yaml.safe_dump(front_matter(config, report, name, variant), sort_keys=False, allow_unicode=True)
    parts = [f"---\n{header}---\n\n# {name}", _summary(config, report, variant), "## Measured on held-out items", _table(report.metrics),
             _footnotes(config, report.student_after), *_retention(report), "## How it was made", _making(config, report, variant),
             "## Methods", methods_section(config, variant),
             "## Use", _usage(report.student_after),
             "## Repeat", f"```\n{report.command or 'python -m workbench distill recipe.yaml'}\n```\n\n"
             "`recipe.yaml` beside this card is the whole configuration; `stillhouse.json` adds lineage, versions and every number."]
    return "\n\n".join(part for part in parts if part) + "\n"


def _retention(report: RunReport) -> list[str]:
    """Return the section of the retention card, where there is one."""
    return ["## What it keeps, and what it saves", retention_text.markdown(report.retention)] if report.retention else []


def front_matter(config: ExperimentConfig, report: RunReport, name: str, variant: str) -> dict[str, Any]:
    """Return the card's metadata: ``library_name``, ``base_model``, ``tags`` and a ``model-index`` of the variant's own measurements."""
    tags = ["stillhouse", *(["distillation"] if _is_distilled(config, variant) else []), *(["control"] if variant == CONTROL else [])]
    base = report.student.started or (report.teacher and report.teacher.name)
    if isinstance(config, EnsembleConfig):
        base = None  # a mean of several models has no name
    if config.teacher is not None and config.teacher.address is not None:
        base = config.student.model  # what is there, and is what the weights come from
    origin = {"base_model": _shown(base)} if base else {}
    metrics = report.of(STUDENT_AFTER if variant == STUDENT else CONTROL)
    return {"library_name": "transformers", "pipeline_tag": _pipeline(metrics), **origin, "tags": tags,
            "model-index": [{"name": name, "results": _results(config, metrics)}]}


def _pipeline(metrics: Mapping[str, float]) -> str:
    """Return the use of a model as hubs call it, from what was measured of it."""
    if "errors" in metrics:
        return "image-classification"
    for name, use in (("masked_accuracy", "fill-mask"), ("accuracy", "text-classification"), ("exact_match", "question-answering")):
        if name in metrics:
            return use
    return "text-generation"


def _is_distilled(config: ExperimentConfig, variant: str) -> bool:
    return variant == STUDENT and config.teacher is not None and config.losses.needs_teacher()


def _results(config: ExperimentConfig, metrics: Mapping[str, float]) -> list[dict[str, Any]]:
    reviews = "movie-reviews"
    corpus = reviews if config.data.source == HOUSE and not _of_oracle(config) else _corpus(config)
    labelled = reviews
    if isinstance(config, EnsembleConfig):
        labelled = _shown(config.images.source)
    elif isinstance(config, FineTuneConfig) and config.task.source not in HOUSE_SOURCES:
        labelled = _shown(config.task.source)
    results = []
    for task, dataset, names in (
            (_pipeline(metrics), labelled, ("accuracy", "matthews", "f1", "exact_match", "answer_f1")),
            (_pipeline(metrics), corpus, ("perplexity", "cross_entropy", "bits_per_byte", "masked_accuracy", "kl_to_teacher", "agreement")),
            ("text-classification", reviews, ("sentiment_accuracy",))):
        values = [{"type": name, "name": METRICS[f"eval/{name}"].label, "value": metrics[name]} for name in names if name in metrics]
        if values:
            results.append({"task": {"type": task}, "dataset": {"type": dataset, "name": dataset}, "metrics": values})
    return results


def _of_oracle(config: ExperimentConfig) -> bool:
    return isinstance(config, ReadingConfig) and config.reading.model == ORACLE


def _corpus(config: ExperimentConfig) -> str:
    """Return what the text is that a model was trained on."""
    return "templated text of an oracle" if _of_oracle(config) else _shown(config.data.source)


def _shown(reference: str) -> str:
    """Return a reference without where it lay: a card travels, so it names a file or a folder alone."""
    path = Path(reference)
    if not path.is_absolute() and not reference.startswith((".", "~")):
        return reference
    # A variant's folder is called the same in every run, whose folder is not.
    return f"{path.parent.name}/{path.name}" if path.name in (STUDENT, CONTROL) else path.name


def _summary(config: ExperimentConfig, report: RunReport, variant: str) -> str:
    student, teacher = report.student, report.teacher
    if isinstance(config, FineTuneConfig):
        return _task_summary(config, report)
    if isinstance(config, EnsembleConfig):
        return _ensemble_summary(config, report)
    size = f"{student.layers} blocks and {student.parameters:,} parameters"
    given = config.student.model
    begun = given and (f"begun as {_shown(given)}" if config.student.init == "teacher" else
                       f"in the shape of {_shown(given)} with new weights")
    if teacher is None:
        kind = "masked-language" if _pipeline(report.student_after) == "fill-mask" else "language"
        text = f"A {kind} model of {size}, {f'{begun}, trained on text' if begun else 'trained from nothing'}"
    else:
        weights = "its weights" if config.student.init == "teacher" else "new weights"
        size_of_teacher = "at an address" if teacher.parameters is None else f"{teacher.layers} blocks, {teacher.parameters:,} parameters"
        origin = f"{_shown(teacher.name)} ({size_of_teacher})"
        text = f"A student of {size}, {f'{begun}, with {origin} as teacher' if begun else f'built from {origin} with {weights}'}"
        text += " and distilled from it" if _is_distilled(config, variant) else " and trained on the text alone"
        text += ", as the control of a distillation," if variant == CONTROL else ""
    compared = ""
    if _is_distilled(config, variant):
        compared = (" Its control is the same student, trained for the same tokens without a teacher." if config.control else
                    " No control was trained.")
    return f"{text} with Stillhouse, on {_corpus(config)}.{compared}{' ' + config.description if config.description else ''}"


def _task_summary(config: ExperimentConfig, report: RunReport) -> str:
    student, teacher, data = report.student, report.teacher, report.data
    assert isinstance(data, TaskSummary)
    what = f"A classifier ({', '.join(data.labels)})" if data.labels else "A model that answers questions by a span of a context,"
    distilled = ""
    if _is_distilled(config, STUDENT):
        assert teacher is not None and teacher.parameters is not None, "a task's model has a teacher that was loaded"
        distilled = f", distilled from {_shown(teacher.name)} ({teacher.parameters:,} parameters)"
    assert student.started is not None, "a model for a task starts from a pretrained one"
    return (f"{what} of {student.layers} blocks and {student.parameters:,} parameters: {_shown(student.started)}, fine-tuned with "
            f"Stillhouse on {data.task}{distilled}.{' ' + config.description if config.description else ''}")


def _ensemble_summary(config: EnsembleConfig, report: RunReport) -> str:
    data = report.data
    assert isinstance(data, TaskSummary)
    return (f"A classifier of images ({', '.join(data.labels)}): a multilayer perceptron of {report.student.parameters:,} parameters with "
            f"{', '.join(map(str, config.ensemble.student.hidden)) or 'no'} hidden units, distilled with Stillhouse from the "
            f"{config.ensemble.mean} mean of {config.ensemble.size} classifiers on {_shown(data.task)}."
            f"{' ' + config.description if config.description else ''}")


def _table(metrics: Mapping[str, Mapping[str, float] | None]) -> str:
    measured = {who: values for who, values in metrics.items() if values}
    lines = [["", *(COLUMNS[who] for who in measured)], ["---", *("---:" for _ in measured)]]
    for key, metric in METRICS.items():
        name = key.removeprefix("eval/")
        if key.startswith("eval/") and any(name in values for values in measured.values()):
            arrow = {"lower": " ↓", "higher": " ↑", "none": ""}[metric.better]
            unit = f" ({metric.unit})" if metric.unit else ""
            numbers = (f"{values[name]:.4g}" if name in values else "" for values in measured.values())
            lines.append([f"{metric.label}{unit}{arrow}", *numbers])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _footnotes(config: ExperimentConfig, after: Mapping[str, float]) -> str:
    if isinstance(config, EnsembleConfig):
        seeds = config.ensemble.seeds
        repeated = f"; all but the student before training are means over {seeds} repetitions" if seeds > 1 else ""
        return (f"{after['items']:,.0f} images that nothing was trained or chosen on. Teacher is the ensemble, control the same network on "
                f"hard labels{repeated}.")
    if isinstance(config, FineTuneConfig):
        name = "accuracy" if "accuracy" in after else "answer_f1"
        recalls = [f"{name.removeprefix('recall_')} {value:.1%}" for name, value in after.items() if name.startswith("recall_")]
        return (f"{after['items']:,} held-out items; {METRICS[f'eval/{name}'].label} {_item_range(name, after)}."
                + (f" Recall of each label: {', '.join(recalls[:10])}." if recalls else ""))
    if "bytes" in after:
        notes = [f"Text: {after['tokens']:,} tokens ({after['bytes']:,} bytes) of the validation part. Perplexity compares only within one "
                 "tokenizer, bits per byte across tokenizers."]
    else:
        notes = [f"Text: {after['tokens']:,} masked tokens of the validation part, the same for every model. Perplexity compares only "
                 "within one tokenizer."]
    if "sentiment_items" in after:
        notes.append(f"Sentiment: {after['sentiment_items']:,} reviews of the validation part of movie-reviews, scored by label "
                     f"log-probability; accuracy {_item_range('sentiment_accuracy', after)}.")
    tasks = {name.removeprefix("reading_"): value for name, value in after.items() if name.startswith("reading_")}
    if tasks:
        accuracy = ", ".join(f"{name.replace('_', ' ')} {value:.1%}" for name, value in tasks.items() if name != "accuracy")
        notes.append(f"Reading: tasks that were never trained on, by the mean log-probability of their candidates: {accuracy}.")
    return " ".join(notes)


def _item_range(name: str, metrics: Mapping[str, float]) -> str:
    """Return a score over items with its interval: "0.8100, between 0.7767 and 0.8394 (95% CI, Wilson over 600 items)"."""
    found = item_interval(name, metrics)
    if found is None or found.low is None:
        return f"{metrics[name]:.4f}"
    return f"{found.value:.4f}, between {found.low:.4f} and {found.high:.4f} ({found.interval_words})"


def _making(config: ExperimentConfig, report: RunReport, variant: str) -> str:
    student, data, train, lora = report.student, report.data, config.train, config.student.lora
    facts = []
    if student.layer_map:
        facts.append(f"Layer map: its blocks are the teacher's {', '.join(map(str, student.layer_map))} (counted from 0).")
    if lora:
        facts.append(f"Adapters: of rank {lora.rank}, {student.trainable_parameters:,} parameters, trained and then merged.")
    facts.append(f"Loss: {'hard labels only.' if variant == CONTROL else describe_losses(config.losses)}")
    if isinstance(config, FineTuneConfig):
        return "\n".join(f"- {fact}" for fact in (*facts, *_task_making(config.task, config.train, report)))
    if isinstance(config, EnsembleConfig):
        seeds = config.ensemble.seeds
        facts.append(f"Training: AdamW with peak learning rate {train.learning_rate:g}, {train.lr_scheduler_type} decay, "
                     f"seed {train.seed}{f'; the first of {seeds} repetitions' if seeds > 1 else ''}.")
        return "\n".join(f"- {fact}" for fact in facts)
    assert isinstance(data, CorpusSummary)
    facts.append(f"Data: {_corpus(config)}, {data.documents:,} documents in {data.blocks:,} blocks of "
                 f"{config.data.block_length} tokens.")
    if isinstance(config, ReadingConfig):
        facts.append(_notes(config.reading))
    step = train.per_device_train_batch_size * train.gradient_accumulation_steps
    facts.append(f"Training: {report.tokens:,} tokens, {step} blocks a step, AdamW with peak learning rate {train.learning_rate:g}, "
                 f"{train.lr_scheduler_type} decay, seed {train.seed}.")
    return "\n".join(f"- {fact}" for fact in facts)


def _notes(spec: ReadingSpec) -> str:
    """Return whose notes a student was trained on, and how."""
    if spec.notes == "none":
        return "Notes: none, a control for further training on the same text."
    whose = "exact notes of an oracle, which is no language model" if spec.model == ORACLE else f"notes of {_shown(spec.model)}"
    behind = ", each behind another sentence than its own (a control)" if spec.notes == "shuffled" else ""
    return (f"Notes: {whose} on {spec.paragraphs:,} paragraphs{behind}; original text, entities and questions {spec.original:g} : "
            f"{spec.entities:g} : {spec.questions:g} by {spec.unit}, loss on {'all tokens' if spec.loss_on == 'all' else 'notes'}.")


def _task_making(task: TaskSpec, train: TrainSpec, report: RunReport) -> list[str]:
    data = report.data
    assert isinstance(data, TaskSummary)
    step = train.per_device_train_batch_size * train.gradient_accumulation_steps
    return [f"Data: {data.task}, {data.train_items:,} training items and {data.items:,} measured on, at most "
            f"{task.max_length} tokens of each" + (" window." if data.kind == "question_answering" else "."),
            f"Training: {report.tokens:,} tokens, {step} items a step, AdamW with peak learning rate {train.learning_rate:g}, "
            f"{train.lr_scheduler_type} decay, seed {train.seed}."]


def describe_losses(spec: LossSpec) -> str:
    """Return the terms that count, with their weights, in one line."""
    text = " + ".join(f"{_weight(ramp)} x {BY_NAME[term].title}" for term, ramp in spec.weights().items() if ramp.start or ramp.end)
    if spec.w_kd.start or spec.w_kd.end:
        text += f"; soft targets are {DIVERGENCES[spec.divergence]} at temperature T = {spec.temperature:g}, times T squared"
    return f"{text}."


def _weight(ramp: Ramp) -> str:
    return f"{ramp.start:g}" if ramp.start == ramp.end else f"({ramp.start:g} to {ramp.end:g})"


def _usage(metrics: Mapping[str, float]) -> str:
    if _pipeline(metrics) == "image-classification":
        return ("Pixels from 0 to 1, flattened; `config.json` names the hidden layers, `model.safetensors` holds their weights.\n\n"
                "```python\nimport torch\nfrom safetensors.torch import load_file\n\nweights = load_file(\"model.safetensors\")\n"
                "hidden = pixels.flatten(1)\nfor layer in range(sum(name.startswith(\"layers.\") for name in weights) // 2):\n"
                "    hidden = torch.relu(hidden @ weights[f\"layers.{layer}.weight\"].T + weights[f\"layers.{layer}.bias\"])\n"
                "logits = hidden @ weights[\"classifier.weight\"].T + weights[\"classifier.bias\"]\n```")
    loader = {"fill-mask": "AutoModelForMaskedLM", "text-classification": "AutoModelForSequenceClassification",
              "question-answering": "AutoModelForQuestionAnswering"}.get(_pipeline(metrics), "AutoModelForCausalLM")
    return (f"```python\nfrom transformers import {loader}, AutoTokenizer\n\n"
            f"model = {loader}.from_pretrained(\".\")\ntokenizer = AutoTokenizer.from_pretrained(\".\")\n```")
