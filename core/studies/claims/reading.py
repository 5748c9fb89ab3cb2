"""The claims about Basic Reading Distillation (2507.19741), on templated text whose notes are exact: an oracle, no language model.

D7 alone has notes of a language model, on film reviews.

A new decoder first reads the text alone (the base). Continued from it for equal steps of equal blocks, it reads the text with notes (own),
the text alone (FURTHER), or the text with notes behind other sentences (SHUFFLED). Tasks are scored by the mean log-probability of their
candidates: `core.reading.oracle_tasks`. `core.studies.ablation.variants` keeps what was trained, so that claims share students.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.config.reading import HOUSE_TASK, ORACLE_TASKS
from core.reading.tasks import short_name
from core.recorder import Recorder
from core.studies.claims.claim import Claim, Figure, Numbers, ProtocolConfig, Source
from core.studies.claims.rules import above, every, trend
from core.system.files import read_json

if TYPE_CHECKING:
    from core.reports.run_report import RunReport

SYSTEM = "Basic Reading Distillation"
PAPER = "2507.19741"
MOST = 4  # of the five tasks
UNIT = "accuracy"
TEXT_TASKS = (HOUSE_TASK, *ORACLE_TASKS)


@dataclass(frozen=True)
class ReadingProtocolConfig(ProtocolConfig):
    """Sizes and steps.

    Attributes:
        paragraphs: of the oracle's text.
        base_steps, steps: of the base, and of what continues from it.
        teacher_hidden, teacher_layers: of the teacher that is distilled in D5; it reads the text with notes for `base_steps` + `steps`.
        task_items: of each task that is read with its answers in D5.
        items: of each task that are scored.
    """

    paragraphs: int = 2000
    hidden: int = 64
    layers: int = 2
    heads: int = 2
    vocabulary: int = 700
    block_length: int = 160
    batch: int = 12
    base_steps: int = 400
    steps: int = 400
    learning_rate: float = 3e-3
    teacher_hidden: int = 96
    teacher_layers: int = 3
    task_items: int = 200
    items: int = 200


@dataclass(frozen=True)
class TextProtocolConfig(ProtocolConfig):
    """Sizes and steps of D7.

    Attributes:
        teacher: takes the notes.
        source: the text, as recipes name it.
        base_paragraphs: that the base reads, without notes.
        paragraphs: that teacher and student read, the first of those.
        base_steps, steps: of the base, and of what continues from it.
        items: of each task that are scored.
    """

    teacher: str = "smollm2-135m-instruct"
    source: str = "house"
    base_paragraphs: int = 2000
    paragraphs: int = 40
    hidden: int = 96
    layers: int = 2
    heads: int = 4
    vocabulary: int = 1500
    positions: int = 640
    block_length: int = 160
    batch: int = 12
    base_steps: int = 400
    steps: int = 60
    learning_rate: float = 3e-3
    items: int = 150


def _report(seed: int, setting: ReadingProtocolConfig, recorder: Recorder, *, start: str | None = None, teacher: str | None = None,
            hidden: int | None = None, layers: int | None = None, **reading: Any) -> RunReport:
    """Return the run of a variant, trained now or found in the cache; without `start` it begins with new weights."""
    from core.recipes import parse_recipe
    from core.studies.ablation.variants import trained

    hidden = hidden or setting.hidden
    steps = setting.steps if start else setting.base_steps if hidden == setting.hidden else setting.base_steps + setting.steps
    return trained(parse_recipe({
        "kind": "reading", "reading": {"model": "oracle", "paragraphs": setting.paragraphs, "items": setting.items, **reading},
        "teacher": {"model": teacher} if teacher else None,
        "student": {"model": start} if start else _new(setting, hidden, layers or setting.layers, 2 * setting.block_length),
        "losses": {"w_kd": 1.0, "w_hard": 0.5, "temperature": 2.0} if teacher else {"w_kd": 0.0, "w_hard": 1.0},
        "data": {"block_length": setting.block_length}, **_training(seed, setting, steps)}), recorder)


def _new(setting: ReadingProtocolConfig | TextProtocolConfig, hidden: int, layers: int, positions: int) -> dict[str, Any]:
    """Return a student that is built from nothing, as recipes describe it."""
    return {"from_scratch": {"architecture": "llama", "layers": layers, "hidden": hidden, "heads": setting.heads,
                             "key_value_heads": setting.heads, "intermediate_size": 3 * hidden, "vocabulary": setting.vocabulary,
                             "positions": positions}}


def _training(seed: int, setting: ReadingProtocolConfig | TextProtocolConfig, steps: int) -> dict[str, Any]:
    """Return the sections on training and evaluation of a recipe."""
    return {"train": {"max_steps": steps, "per_device_train_batch_size": setting.batch, "learning_rate": setting.learning_rate,
                      "seed": seed, "warmup_ratio": 0.1, "save_steps": steps, "logging_steps": 25, "precision": "fp32", "device": "cpu"},
            "evaluation": {"eval_steps": steps, "blocks": 16, "prompts": []}}


def _base(seed: int, setting: ReadingProtocolConfig, recorder: Recorder) -> str:
    """Return the folder of the model that has read the text alone."""
    return _report(seed, setting, recorder, notes="none").output_dir


def _variant(seed: int, setting: ReadingProtocolConfig, recorder: Recorder, **reading: Any) -> RunReport:
    return _report(seed, setting, recorder, start=_base(seed, setting, recorder), **reading)


def _accuracy(report: RunReport) -> float:
    return report.student_after["reading_accuracy"]


# ---------------------------------------------------------------------------------------------------- protocols


def reading_beats_further_training(seed: int, setting: ReadingProtocolConfig, recorder: Recorder) -> Numbers:
    """Measure D1: accuracy with notes against the base and against further training on the same text, task by task."""
    own, further = (_variant(seed, setting, recorder, notes=notes) for notes in ("own", "none"))
    return _against_further(own, further, ORACLE_TASKS)


def _against_further(own: RunReport, further: RunReport, names: Sequence[str]) -> Numbers:
    """Return the accuracies with notes, without and before, and the difference of each task."""
    before, after, other = own.student_before, own.student_after, further.student_after
    tasks = {f"{task}_over_further": after[f"reading_{task}"] - other[f"reading_{task}"] for task in map(short_name, names)}
    return {"over_further": _accuracy(own) - _accuracy(further), "over_base": _accuracy(own) - before["reading_accuracy"],
            "tasks_better": float(sum(value > 0 for value in tasks.values())), "own": _accuracy(own), "further": _accuracy(further),
            "base": before["reading_accuracy"], "tokens_ratio": _tokens(own) / _tokens(further), **tasks}


def _tokens(report: RunReport) -> float:
    """Return the share of a run's positions that is no padding."""
    from core.reports.run_report import CorpusSummary

    assert isinstance(report.data, CorpusSummary), "a reading run reads text"
    return 1 - report.data.padding


def both_behaviours_count(seed: int, setting: ReadingProtocolConfig, recorder: Recorder) -> Numbers:
    """Measure D2: accuracy without questions and without entities."""
    own = _accuracy(_variant(seed, setting, recorder, notes="own"))
    entities, questions = (_accuracy(_variant(seed, setting, recorder, **{left: 0.0})) for left in ("entities", "questions"))
    return {"cost_of_entities": own - entities, "cost_of_questions": own - questions, "difference": entities - questions, "own": own,
            "without_entities": entities, "without_questions": questions}


def paragraphs_beat_sentences(seed: int, setting: ReadingProtocolConfig, recorder: Recorder) -> Numbers:
    """Measure D3: paragraphs in order against sentences by themselves."""
    paragraph, sentence = (_accuracy(_variant(seed, setting, recorder, unit=unit)) for unit in ("paragraph", "sentence"))
    return {"over_sentences": paragraph - sentence, "paragraph": paragraph, "sentence": sentence}


def content_counts(seed: int, setting: ReadingProtocolConfig, recorder: Recorder) -> Numbers:
    """Measure D4: how much of what notes bring is lost where they stand behind other sentences."""
    own, further, shuffled = (_accuracy(_variant(seed, setting, recorder, notes=notes)) for notes in ("own", "none", "shuffled"))
    return {"beyond_half": (own - shuffled) - (own - further) / 2, "over_shuffled": own - shuffled, "over_further": own - further,
            "own": own, "shuffled": shuffled, "further": further}


def reading_adds_to_distillation(seed: int, setting: ReadingProtocolConfig, recorder: Recorder) -> Numbers:
    """Measure D5: distillation with and without notes, and task distillation with and without notes."""
    teacher = _report(seed, setting, recorder, hidden=setting.teacher_hidden, layers=setting.teacher_layers, notes="own").output_dir
    base = _base(seed, setting, recorder)
    kd, kd_reading = (_accuracy(_report(seed, setting, recorder, start=base, teacher=teacher, notes=notes)) for notes in ("none", "own"))
    td, td_reading = (_accuracy(_variant(seed, setting, recorder, notes=notes, task_items=setting.task_items)) for notes in ("none", "own"))
    return {"over_kd": kd_reading - kd, "over_td": td_reading - td, "kd": kd, "kd_reading": kd_reading, "td": td, "td_reading": td_reading}


def nearer_to_the_teacher(seed: int, setting: ReadingProtocolConfig, recorder: Recorder) -> Numbers:
    """Measure D6: cross-entropy of the teacher's answers to the tasks, before and after reading."""
    own = _variant(seed, setting, recorder, notes="own")
    falls = {f"{task}_fall": own.student_before[f"answer_nll_{task}"] - own.student_after[f"answer_nll_{task}"] for task in ORACLE_TASKS}
    return {"tasks_nearer": float(sum(value > 0 for value in falls.values())), **falls}


def notes_of_a_model(seed: int, setting: TextProtocolConfig, recorder: Recorder) -> Numbers:
    """Measure D7: D1's comparison with a model's notes on real text, and how many of its answers were valid."""
    base = _text_report(seed, setting, recorder, None, notes="none", paragraphs=setting.base_paragraphs)
    own, further = (_text_report(seed, setting, recorder, base.output_dir, notes=notes) for notes in ("own", "none"))
    taken = read_json(Path(own.output_dir).parent / "notes" / "notes.json")
    assert isinstance(taken, Mapping), "a run with notes keeps what was said of them"
    return {**_against_further(own, further, TEXT_TASKS), "share_valid": taken["share_valid"], "sentences": taken["usable"]}


def _text_report(seed: int, setting: TextProtocolConfig, recorder: Recorder, start: str | None, **reading: Any) -> RunReport:
    from core.recipes import parse_recipe
    from core.studies.ablation.variants import trained

    return trained(parse_recipe({
        "kind": "reading", "teacher": None,
        "reading": {"model": setting.teacher, "paragraphs": setting.paragraphs, "tasks": list(TEXT_TASKS), "items": setting.items,
                    **reading},
        "student": {"model": start} if start else _new(setting, setting.hidden, setting.layers, setting.positions),
        "losses": {"w_kd": 0.0, "w_hard": 1.0}, "data": {"source": setting.source, "block_length": setting.block_length},
        **_training(seed, setting, setting.steps if start else setting.base_steps)}), recorder)


# ---------------------------------------------------------------------------------------------------- claims

SETTING = ReadingProtocolConfig()
SMALL = ("The teacher is an oracle over templated text, and the student a decoder of some 200,000 parameters: what is tested is the "
         "mechanism, not the published sizes.")
FORMAT = ("Questions and types of the tasks are put as notes put them; SHUFFLED (D4) has the same format, so it shows how much of a "
          "difference is format.")

CLAIMS = (
    Claim(
        "D1", "Reading beats further training on the same text", SYSTEM,
        "A small model that reads a teacher's notes on plain text does better on tasks that it never trained on than the model before, and "
        "than one trained further on the same text without notes.",
        "mean of 7 tasks 54.2 against 48.0 before; further training on the text alone 47.1", Source(PAPER, "its main results and ablation"),
        "Mean accuracy over five tasks, with notes - without (FURTHER) and - before, after equal steps of equal blocks; and on how many of "
        "the tasks it is better.",
        (Figure("over_further", "accuracy, own - FURTHER"), Figure("over_base", "accuracy, own - base"),
         Figure("tasks_better", "tasks of five with own above FURTHER"), Figure("own", UNIT), Figure("further", "accuracy of FURTHER"),
         Figure("base", "accuracy of the base"), Figure("tokens_ratio", "tokens without padding, own / FURTHER"),
         *(Figure(f"{task}_over_further", f"{task}, own - FURTHER") for task in ORACLE_TASKS)),
        every(above("over_further"), above("over_base"), trend("tasks_better", lambda value: value >= MOST, f"is at least {MOST}")),
        SETTING, 400, reading_beats_further_training,
        (SMALL, FORMAT, "Sentence templates, wordings of questions and half of the names of the tasks are in no note; their words are in "
         "the text of every student."), published_unit="percent of items"),
    Claim(
        "D2", "Questions count more than entities, and both count", SYSTEM,
        "Without question raising and answering the accuracy falls at least as much as without named entities, and falls without either.",
        "70.9 with both, 68.4 without entities, 67.8 without questions (6 tasks)", Source(PAPER, "its ablation"),
        "Mean accuracy over five tasks with both - without entities, above 0; without entities - without questions, above or equal to 0.",
        (Figure("cost_of_entities", "accuracy lost without entities"), Figure("cost_of_questions", "accuracy lost without questions"),
         Figure("difference", "accuracy, without entities - without questions"), Figure("own", "accuracy with both"),
         Figure("without_entities", "accuracy without entities"), Figure("without_questions", "accuracy without questions")),
        every(trend("cost_of_entities"), trend("difference", lambda value: value >= 0, "is at least 0")), SETTING, 500,
        both_behaviours_count,
        (SMALL, "Steps are equal: without one behaviour the other streams are read more often."), published_unit="percent of items"),
    Claim(
        "D3", "Paragraphs in their order beat sentences by themselves", SYSTEM,
        "Notes between the sentences of a paragraph in its order teach more than sentences with their notes by themselves.",
        "57.5 for paragraphs, 55.6 for sentences", Source(PAPER, "its ablation"),
        "Mean accuracy over five tasks, paragraphs - sentences, above 0.",
        (Figure("over_sentences", "accuracy, paragraphs - sentences"), Figure("paragraph", "accuracy, paragraphs"),
         Figure("sentence", "accuracy, sentences")),
        trend("over_sentences"), SETTING, 450, paragraphs_beat_sentences,
        (SMALL, "The oracle's sentences of a paragraph share no names, so their order says less than that of prose."),
         published_unit="percent of items"),
    Claim(
        "D4", "Content counts, not format", SYSTEM,
        "What reading brings comes from what notes say of their sentence: behind other sentences the same notes bring little.",
        "no number is published: this control is ours", Source(PAPER, "no such control"),
        "Own - SHUFFLED is more than half of own - FURTHER, in mean accuracy over five tasks.",
        (Figure("beyond_half", "(own - SHUFFLED) - half of (own - FURTHER)"), Figure("over_shuffled", "accuracy, own - SHUFFLED"),
         Figure("over_further", "accuracy, own - FURTHER"), Figure("own", "accuracy, own"), Figure("shuffled", "accuracy of SHUFFLED"),
         Figure("further", "accuracy of FURTHER")),
        every(above("beyond_half"), above("over_shuffled")), SETTING, 500, content_counts,
        (SMALL, "SHUFFLED reads the very notes of own, hence the same tokens, each behind another sentence of the text.")),
    Claim(
        "D5", "Reading adds to distillation and to task distillation", SYSTEM,
        "A student that is distilled, or that is trained on answers to the tasks themselves, does better where it also reads.",
        "distillation 51.0 to 58.9 (GPT-2 120M); task distillation 65.5 to 68.2", Source(PAPER, "its section on orthogonality"),
        "Mean accuracy over five tasks: distillation on text with notes - on text alone; answers to the tasks and notes - answers alone.",
        (Figure("over_kd", "accuracy, distillation and reading - distillation"),
         Figure("over_td", "accuracy, tasks and reading - tasks"), Figure("kd", "accuracy, distillation"),
         Figure("kd_reading", "accuracy, distillation and reading"), Figure("td", "accuracy, tasks"),
         Figure("td_reading", "accuracy, tasks and reading")),
        every(trend("over_kd"), trend("over_td")), SETTING, 1200, reading_adds_to_distillation,
        (SMALL, "The teacher that is distilled has read the notes itself; the answers to the tasks are the oracle's."),
         published_unit="percent of items"),
    Claim(
        "D6", "Reading moves a student towards its teacher", SYSTEM,
        "The cross-entropy of the teacher's answers under the student falls on most tasks.",
        "it falls on all tasks but PIQA", Source(PAPER, "its analysis of cross-entropy"),
        "Mean negative log-probability of the right candidates, before - after reading: above 0 on at least three of five tasks.",
        (Figure("tasks_nearer", "tasks of five on which it falls"), *(Figure(f"{task}_fall", f"fall, {task}", "nats/token")
                                                                   for task in ORACLE_TASKS)),
        trend("tasks_nearer", lambda value: value >= 3, "is at least 3"), SETTING, 300, nearer_to_the_teacher,
        (SMALL, "The oracle has no probabilities: its answers are the right candidates.")),
    Claim(
        "D7", "Reading beats further training with a small model's own notes", SYSTEM,
        "A small model that reads a language model's notes on plain text does better on tasks that it never trained on than the model "
        "before, and than one trained further on the same text without notes.",
        "mean of 7 tasks 54.2 against 48.0 before; further training on the text alone 47.1", Source(PAPER, "its main results and ablation"),
        "As D1, with the notes of SmolLM2-135M-Instruct on film reviews in place of an oracle's: mean accuracy over six tasks, with notes "
        "- without (FURTHER) and - before, after equal steps of equal blocks; and on how many of the tasks it is better.",
        (Figure("over_further", "accuracy, own - FURTHER"), Figure("over_base", "accuracy, own - base"),
         Figure("tasks_better", "tasks of six with own above FURTHER"), Figure("own", UNIT), Figure("further", "accuracy of FURTHER"),
         Figure("base", "accuracy of the base"), Figure("share_valid", "share of the teacher's answers that are valid"),
         Figure("sentences", "sentences of usable length"), Figure("tokens_ratio", "tokens without padding, own / FURTHER"),
         *(Figure(f"{short_name(task)}_over_further", f"{task}, own - FURTHER") for task in TEXT_TASKS)),
        every(above("over_further"), above("over_base"), trend("tasks_better", lambda value: value >= MOST, f"is at least {MOST}")),
        TextProtocolConfig(), 300, notes_of_a_model,
        ("A teacher of 135 million parameters, a student of some 400,000 and 40 reviews stand for 13 billion, 564 million and millions of "
         "sentences: an outcome here says little of those.",
         "FURTHER reads the same reviews for the same steps, hence more often than own, which reads notes too.",
         "All but the sentiment of reviews are the oracle's tasks, whose names and sentences are in no review.",
         "What is left of an answer occurs in its sentence; whether it is true nobody has looked."), published_unit="percent of items"),
)
