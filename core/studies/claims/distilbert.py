"""The claims about DistilBERT (1910.01108), with the house encoder as the teacher, at a scale of minutes on one core.

Students have half its blocks and follow assets/recipes/distilbert.yaml for fewer steps; `core.studies.ablation.variants` keeps what was
trained, so that claims share students. CE is cross-entropy at the masked positions of held-out reviews, in nats per token, lower is
better; *out of domain* is the same on technical English: the reference of Python's language, which every installation carries. Accuracies
are of the models fine-tuned on film reviews.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.evaluation.statistics import mean
from core.events import Phase
from core.recorder import Recorder
from core.reports.run_report import RunReport
from core.studies.claims.claim import Claim, Figure, Numbers, ProtocolConfig, Source
from core.studies.claims.rules import above, below, every, trend
from core.system.paths import ASSETS

if TYPE_CHECKING:
    from core.config import ExperimentConfig
    from core.models.catalog import LoadedModel

SYSTEM = "DistilBERT"
PAPER = "1910.01108"
RECIPE = ASSETS / "recipes" / "distilbert.yaml"
NATS = "nats/token"
PARTS = ("random", "minus_kd", "minus_hidden", "minus_hard")  # of the ablation, in the order of the paper's losses


@dataclass(frozen=True)
class DistilBertProtocolConfig(ProtocolConfig):
    """Sizes and steps of the students.

    Attributes:
        steps: optimiser steps of every student.
        blocks: held-out blocks of 128 tokens.
        tasks: that models are fine-tuned on; `core.config.TaskSpec` names them.
        train_items, items: reviews that are learnt from, and those that are measured on.
        speed_seconds: that a pair of models is timed.
    """

    teacher: str = "house-encoder"
    layers: int = 3
    steps: int = 150
    blocks: int = 64
    tasks: tuple[str, ...] = ("imdb", "rt")
    train_items: int = 3000
    items: int = 1000
    speed_seconds: float = 20.0


def _recipe(seed: int, setting: DistilBertProtocolConfig) -> ExperimentConfig:
    from core.recipes import read_recipe

    return read_recipe(RECIPE, [
        f"teacher.model={setting.teacher}", f"student.layers={setting.layers}", f"train.max_steps={setting.steps}", f"train.seed={seed}",
        f"evaluation.eval_steps={setting.steps}", "evaluation.min_evaluations=1",
        f"evaluation.blocks={setting.blocks}", "evaluation.prompts=[]",
        "evaluation.retention=null", "control=false"])


def _variant(seed: int, name: str, setting: DistilBertProtocolConfig) -> ExperimentConfig:
    """Return one of `core.studies.ablation.variants.variants`, or one of two more.

        scratch     new weights and the text alone: no teacher in any way
        at_masked   teacher and student compared at the masked tokens alone
    """
    from core.studies.ablation.variants import variants

    config = _recipe(seed, setting)
    student: dict[str, Any]
    losses: dict[str, Any]
    if name == "scratch":
        student, losses = {"init": "random"}, {"w_kd": 0, "w_hidden": 0, "w_hard": 1}
    elif name == "at_masked":
        student, losses = {}, {"kd_positions": "masked"}
    else:
        return variants(config)[name]
    from core.recipes import parse_recipe

    plain = config.to_dict()
    return parse_recipe({**plain, "student": {**plain["student"], **student}, "losses": {**plain["losses"], **losses}})


def _trained(seed: int, name: str, setting: DistilBertProtocolConfig, recorder: Recorder) -> RunReport:
    from core.studies.ablation.variants import trained

    return trained(_variant(seed, name, setting), recorder)


def _cross_entropy(report: RunReport) -> float:
    return report.student_after["cross_entropy"]


def _out_of_domain(folder: str, seed: int, setting: DistilBertProtocolConfig) -> float:
    """Return the CE of a model on text that is no film review."""
    import pydoc_data.topics

    import torch

    from core.data.prepare import document, packed
    from core.evaluation.masked import evaluate_masked
    from core.models import catalog

    loaded, spec = catalog.load(folder, dtype=torch.float32), _recipe(seed, setting)
    texts = [{"text": text} for _, text in sorted(pydoc_data.topics.topics.items())]
    documents = (document(row, loaded.tokenizer, spec.data, "masked") for row in texts)
    blocks = packed(documents, loaded.tokenizer, spec.data, "masked").take(setting.blocks)
    return evaluate_masked(loaded.model, blocks, tokenizer=loaded.tokenizer, batch_size=8, device="cpu")["cross_entropy"]


def _fine_tuned(model: str, task: str, seed: int, setting: DistilBertProtocolConfig, recorder: Recorder,
                teacher: LoadedModel | None = None) -> tuple[LoadedModel, float]:
    """Return fine-tune a model on a task; return it and its accuracy."""
    from core.config import TaskSpec
    from core.tasks.data import load_task
    from core.tasks.fine_tuning import fine_tune_and_evaluate

    recorder.event(Phase(f"Fine-tune on {task}"))
    data = load_task(TaskSpec(source=task, max_train_items=setting.train_items, max_items=setting.items, validation="test"))
    tuned, metrics = fine_tune_and_evaluate(model, data, seed=seed, teacher=teacher, recorder=recorder)
    return tuned, metrics["accuracy"]


# ---------------------------------------------------------------------------------------------------- protocols


def better_than_scratch(seed: int, setting: DistilBertProtocolConfig, recorder: Recorder) -> Numbers:
    """Measure A1: the distilled student and one of the same size that never saw the teacher, after the same steps on the same text."""
    numbers: dict[str, float] = {}
    for name, variant in (("distilled", "full"), ("scratch", "scratch")):
        report = _trained(seed, variant, setting, recorder)
        numbers |= {name: _cross_entropy(report), f"{name}_out_of_domain": _out_of_domain(report.output_dir, seed, setting)}
        accuracies = {task: _fine_tuned(report.output_dir, task, seed, setting, recorder)[1] for task in setting.tasks}
        numbers |= {f"{name}_{task}": accuracy for task, accuracy in accuracies.items()}
        numbers[f"{name}_tasks"] = mean(list(accuracies.values()))
    return {"gain": numbers["scratch"] - numbers["distilled"],
            "gain_out_of_domain": numbers["scratch_out_of_domain"] - numbers["distilled_out_of_domain"],
            "gain_tasks": numbers["distilled_tasks"] - numbers["scratch_tasks"], **numbers}


def ablation_order(seed: int, setting: DistilBertProtocolConfig, recorder: Recorder) -> Numbers:
    """Measure A2: what each part of the recipe is worth: CE without it less CE with all."""
    full = _cross_entropy(_trained(seed, "full", setting, recorder))
    worth = {name: _cross_entropy(_trained(seed, name, setting, recorder)) - full for name in PARTS}
    others = [worth[name] for name in PARTS[1:]]
    return {"random_is_worst": worth["random"] - max(others),
            "masked_loss_matters_least": min(abs(worth["minus_kd"]), abs(worth["minus_hidden"])) - abs(worth["minus_hard"]),
            "soft_targets_before_cosine": worth["minus_kd"] - worth["minus_hidden"], "full": full,
            **{f"worth_{name}": value for name, value in worth.items()}}


def copied_blocks(seed: int, setting: DistilBertProtocolConfig, recorder: Recorder) -> Numbers:
    """Measure A3: Blocks copied from the teacher against new ones: before training, and after the budget."""
    copied, new = (_trained(seed, name, setting, recorder) for name in ("full", "random"))
    uniform = _uniform(setting)
    values = {f"{name}_{when}": report.of(f"student_{when}")["cross_entropy"]
              for name, report in (("copied", copied), ("new", new)) for when in ("before", "after")}
    return {"margin_to_uniform": uniform - 0.5 - values["copied_before"], "gain_before": values["new_before"] - values["copied_before"],
            "gain_after": values["new_after"] - values["copied_after"], "uniform": uniform, **values}


def smaller_and_faster(seed: int, setting: DistilBertProtocolConfig, recorder: Recorder) -> Numbers:
    """Measure A4: parameters and latency of the student beside the teacher, and what their operations predict."""
    import torch

    from core.evaluation.flops import forward_flops
    from core.evaluation.speed import LENGTH, forward_of, measure_speed
    from core.models import catalog

    report = _trained(seed, "full", setting, recorder)
    teacher, student = (catalog.load(model, dtype=torch.float32) for model in (setting.teacher, report.output_dir))
    speed = measure_speed({"teacher": forward_of(teacher.model), "student": forward_of(student.model)}, recorder,
                          vocabulary=teacher.entry.vocabulary, length=min(LENGTH, teacher.entry.context), seconds=setting.speed_seconds,
                          seed=seed)
    measured = speed.models["student"].latency_speedup.value
    large, small = (forward_flops(loaded.header, length=speed.length) for loaded in (teacher, student))
    predicted = large.total / small.total
    return {"off_prediction": abs(measured / predicted - 1), "faster": measured, "predicted": predicted,
            "predicted_blocks": large.blocks / small.blocks,
            "smaller": 1 - student.entry.parameters / teacher.entry.parameters,
            "smaller_blocks": 1 - sum(student.entry.counts.blocks) / sum(teacher.entry.counts.blocks)}


def second_distillation(seed: int, setting: DistilBertProtocolConfig, recorder: Recorder) -> Numbers:
    """Measure A5: The student fine-tuned on a task alone, and with the fine-tuned teacher's soft targets beside the labels."""
    student = _trained(seed, "full", setting, recorder).output_dir
    numbers: dict[str, float] = {}
    for task in setting.tasks:
        teacher, numbers[f"teacher_{task}"] = _fine_tuned(setting.teacher, task, seed, setting, recorder)
        numbers[f"alone_{task}"] = _fine_tuned(student, task, seed, setting, recorder)[1]
        numbers[f"with_teacher_{task}"] = _fine_tuned(student, task, seed, setting, recorder, teacher)[1]
    alone, with_teacher = (mean([numbers[f"{how}_{task}"] for task in setting.tasks]) for how in ("alone", "with_teacher"))
    return {"gain": with_teacher - alone, "alone": alone, "with_teacher": with_teacher, **numbers}


def where_compared(seed: int, setting: DistilBertProtocolConfig, recorder: Recorder) -> Numbers:
    """Measure A6: Teacher and student compared at all tokens but padding, or at the masked ones alone."""
    everywhere, masked = (_trained(seed, name, setting, recorder).student_after for name in ("full", "at_masked"))
    return {"gain": masked["cross_entropy"] - everywhere["cross_entropy"],
            "gain_kl": masked["kl_to_teacher"] - everywhere["kl_to_teacher"],
            "all": everywhere["cross_entropy"], "masked": masked["cross_entropy"], "all_kl": everywhere["kl_to_teacher"],
            "masked_kl": masked["kl_to_teacher"], "all_agreement": everywhere["agreement"], "masked_agreement": masked["agreement"]}


def _uniform(setting: DistilBertProtocolConfig) -> float:
    """Return ln V, the cross-entropy of a uniform prediction."""
    from core.models import catalog

    return math.log(catalog.describe(setting.teacher).vocabulary)


# ---------------------------------------------------------------------------------------------------- claims

SETTING = DistilBertProtocolConfig()
SMALL = ("The teacher is a model of 4.3 million parameters trained on film reviews, not BERT-base on Wikipedia and books, and students see "
         "some 300,000 tokens.")
TWO_TASKS = "Two tasks of sentiment stand for the nine of GLUE."

CLAIMS = (
    Claim(
        "A1", "Distilled beats trained alone", SYSTEM,
        "A student that is distilled is better than one of the same size that is trained on the text alone.",
        "GLUE macro 77.0 for DistilBERT, 68.7 for ELMo; no student of the same size without a teacher is shown",
        Source(PAPER, "table 1"),
        "CE of a randomly initialised student, trained on the text alone - CE of the distilled one, after equal steps: on held-out reviews "
        "and out of domain (technical English); and the mean accuracy of both after fine-tuning.",
        (Figure("gain", "CE, alone - CE, distilled", NATS), Figure("gain_out_of_domain", "the same out of domain", NATS),
         Figure("gain_tasks", "mean accuracy, distilled - alone"), Figure("distilled_tasks", "mean accuracy, distilled"),
         Figure("scratch_tasks", "mean accuracy, alone"), Figure("distilled", "CE, distilled", NATS),
         Figure("scratch", "CE, alone", NATS), Figure("distilled_out_of_domain", "CE out of domain, distilled", NATS),
         Figure("scratch_out_of_domain", "CE out of domain, alone", NATS), Figure("distilled_imdb", "IMDb, distilled"),
         Figure("scratch_imdb", "IMDb, alone"), Figure("distilled_rt", "Rotten Tomatoes, distilled"),
         Figure("scratch_rt", "Rotten Tomatoes, alone")),
        every(above("gain"), above("gain_out_of_domain"), above("gain_tasks")), SETTING, 500, better_than_scratch,
        (SMALL, TWO_TASKS,
         "The distilled student is initialised from the teacher's blocks, the other randomly: A2 and A3 tell the two apart."),
        version=2),
    Claim(
        "A2", "Initialisation, soft targets, cosine, masked loss", SYSTEM,
        "Initialisation from the teacher matters most, then the soft targets, then the cosine; the masked-language loss hardly matters.",
        "GLUE macro without the soft targets -2.96, the cosine -1.46, the masked loss -0.31; from random weights -3.69",
        Source(PAPER, "table 4"),
        "CE without a part - CE of the whole recipe, with the same seeds: random weights are worst, and the masked loss matters least.",
        (Figure("random_is_worst", "worth of the initialisation - the largest of the others", NATS),
         Figure("masked_loss_matters_least", "smaller of the others' absolute worths - that of the masked loss", NATS),
         Figure("soft_targets_before_cosine", "worth of the soft targets - worth of the cosine", NATS),
         Figure("worth_random", "worth of the initialisation", NATS), Figure("worth_minus_kd", "worth of the soft targets", NATS),
         Figure("worth_minus_hidden", "worth of the cosine", NATS), Figure("worth_minus_hard", "worth of the masked loss", NATS),
         Figure("full", "CE, whole recipe", NATS)),
        every(above("random_is_worst"), above("masked_loss_matters_least")), SETTING, 800, ablation_order,
        (SMALL, "The paper measures GLUE after fine-tuning; CE at the masked tokens is what the masked loss itself trains, which speaks "
         "against its mattering least.", "The paper shows no spread over seeds."), version=2),
    Claim(
        "A3", "Initialisation from the teacher beats random", SYSTEM,
        "A student initialised with every other block of its teacher is ahead of a randomly initialised one.",
        "GLUE macro -3.69 from random weights", Source(PAPER, "table 4 and section 3"),
        "CE at step 0 below ln V - 0.5 and below that of random weights, and CE after the budget below that of random weights.",
        (Figure("gain_after", "CE, random - CE, copied, after the budget", NATS),
         Figure("gain_before", "CE, random - CE, copied, step 0", NATS),
         Figure("margin_to_uniform", "ln V - 0.5 - CE, copied, step 0", NATS),
         *(Figure(f"{name}_{when}", f"CE, {name}, {words}", NATS) for name in ("copied", "new")
           for when, words in (("before", "step 0"), ("after", "after the budget"))), Figure("uniform", "ln V", NATS)),
        every(above("margin_to_uniform"), above("gain_before"), above("gain_after")), SETTING, 320, copied_blocks, (SMALL,)),
    Claim(
        "A4", "Smaller and faster", SYSTEM,
        "Half the blocks make a model 40% smaller and 60% faster.",
        "66 of 110 million parameters; 410 s in place of 668 s for STS-B at batch 1 on a processor (1.63 times as fast)",
        Source(PAPER, "table 3"),
        "Latency of one sequence of 128 tokens on one thread, teacher over student, within 15% of the ratio of their operations.",
        (Figure("off_prediction", "|measured / predicted - 1|"), Figure("faster", "latency, teacher / student"),
         Figure("predicted", "operations, teacher / student"), Figure("predicted_blocks", "operations of the blocks alone"),
         Figure("smaller", "share of the parameters saved"), Figure("smaller_blocks", "share of the blocks' parameters saved")),
        every(below("off_prediction", 0.15), above("faster", 1.0), above("smaller")), SETTING, 200, smaller_and_faster,
        ("Embeddings do not shrink and the head is as wide as the vocabulary: in small models half the blocks save less.",
         "Seeds are repetitions of the timing; the weights make no difference to it.")),
    Claim(
        "A5", "A second distillation helps the task", SYSTEM,
        "Fine-tuned with the fine-tuned teacher's soft targets, the student is better on the task than fine-tuned alone.",
        "SQuAD v1.1: 79.1 EM and 86.9 F1 with, 77.7 and 85.8 without", Source(PAPER, "table 2"),
        "Mean accuracy of the student fine-tuned with the teacher (half soft targets at T = 2, half labels) - fine-tuned alone.",
        (Figure("gain", "mean accuracy, with the teacher - alone"), Figure("with_teacher", "mean accuracy, with the teacher"),
         Figure("alone", "mean accuracy, alone"),
         *(Figure(f"{how}_{task}", f"{words}, {how.replace('_', ' ')}") for task, words in (("imdb", "IMDb"), ("rt", "Rotten Tomatoes"))
           for how in ("teacher", "with_teacher", "alone"))),
        trend("gain"), SETTING, 450, second_distillation, (SMALL, "Classification of reviews stands for answering questions.")),
    Claim(
        "A6", "KL at all tokens, or at masked tokens alone", SYSTEM,
        "Teacher and student are compared at all tokens but padding: the published code's default, which the paper does not say.",
        "no order is published", Source(PAPER, "its code"),
        "CE of a student compared at the masked tokens alone - CE of one compared at all tokens, after equal steps.",
        (Figure("gain", "CE, masked alone - CE, all", NATS), Figure("gain_kl", "the same for the KL to the teacher", NATS),
         Figure("all", "CE, all tokens", NATS), Figure("masked", "CE, masked alone", NATS), Figure("all_kl", "KL, all tokens", NATS),
         Figure("masked_kl", "KL, masked alone", NATS), Figure("all_agreement", "agreement, all tokens"),
         Figure("masked_agreement", "agreement, masked alone")),
        trend("gain"), SETTING, 320, where_compared,
        (SMALL, "Held-out CE is measured at masked tokens, where one of the two was compared alone.")),
)
