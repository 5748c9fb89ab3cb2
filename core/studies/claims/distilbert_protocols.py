"""The protocols of the claims about DistilBERT: each measures one seed; `core.studies.claims.distilbert` says what must come out.

Students have half the house encoder's blocks and follow assets/recipes/distilbert.yaml for fewer steps; `core.studies.ablation.variants`
keeps what was trained, so that claims share students. CE is cross-entropy at the masked positions of held-out reviews, in nats per token,
lower is better; *out of domain* is the same on technical English: the reference of Python's language, which every installation carries.
Accuracies are of the models fine-tuned on film reviews. Every gain is a difference within a seed, above 0 where it speaks for the claim.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from core.evaluation.statistics import mean
from core.events import Phase
from core.recorder import Recorder, stop_if_requested
from core.reports.run_report import RunReport
from core.studies.claims.claim import Numbers, ProtocolConfig
from core.system.files import read_json, write_json
from core.system.paths import ASSETS, cache_dir
from core.system.provenance import versions

if TYPE_CHECKING:
    from core.config import ExperimentConfig
    from core.models.entries import LoadedModel

RECIPE = ASSETS / "recipes" / "distilbert.yaml"
PARTS = ("random", "minus_kd", "minus_hidden", "minus_hard")  # of the ablation, in the order of the paper's losses
MAPS = ("first", "last", "uniform", "importance")  # rivals of the published choice of blocks
STUDENTS = ("distilled", "copied", "random")  # of A1: the teacher's blocks and its answers; its blocks alone; neither


@dataclass(frozen=True)
class DistilBertProtocolConfig(ProtocolConfig):
    """Sizes and steps of the students.

    Attributes:
        steps: optimiser steps of every student.
        blocks: held-out blocks of 128 tokens.
        tasks: that models are fine-tuned on; `core.config.TaskSpec` names them.
        train_items, items: reviews that are learnt from, and those that are measured on.
    """

    teacher: str = "house-encoder"
    layers: int = 3
    steps: int = 150
    blocks: int = 64
    tasks: tuple[str, ...] = ("imdb", "rt")
    train_items: int = 3000
    items: int = 1000


@dataclass(frozen=True)
class GeometryProtocolConfig(ProtocolConfig):
    """The sizes of BERT-base and of its student, and how long both are timed.

    Attributes:
        length: tokens of the sequence.
        seconds: of processor time, budget of one seed's interleaved run.
    """

    vocabulary: int = 30522
    hidden: int = 768
    heads: int = 12
    neurons: int = 3072
    layers: int = 12
    student_layers: int = 6
    positions: int = 512
    length: int = 128
    seconds: float = 20.0


def recipe_of(seed: int, setting: DistilBertProtocolConfig) -> ExperimentConfig:
    """Return the recipe that the students follow."""
    from core.recipes import read_recipe

    return read_recipe(RECIPE, [
        f"teacher.model={setting.teacher}", f"student.layers={setting.layers}", f"train.max_steps={setting.steps}", f"train.seed={seed}",
        f"evaluation.eval_steps={setting.steps}", "evaluation.min_evaluations=1",
        f"evaluation.blocks={setting.blocks}", "evaluation.prompts=[]",
        "evaluation.retention=null", "control=false"])


def variant_of(seed: int, name: str, setting: DistilBertProtocolConfig) -> ExperimentConfig:
    """Return one of `core.studies.ablation.variants.variants`, or one of these.

        scratch     new weights and the text alone: no teacher in any way
        copied      the teacher's blocks and the text alone
        at_masked   teacher and student compared at the masked tokens alone; hidden states at all, as the published flag leaves them
        map_x       the blocks that `core.students.layer_maps` chooses by rule x, or the last ones
    """
    from core.models import catalog
    from core.recipes import parse_recipe
    from core.studies.ablation.variants import variants

    config = recipe_of(seed, setting)
    student: dict[str, Any] = {}
    losses: dict[str, Any] = {}
    if name in ("scratch", "copied"):
        losses = {"w_kd": 0, "w_hidden": 0, "w_hard": 1}
        student = {"init": "random"} if name == "scratch" else {}
    elif name == "at_masked":
        losses = {"kd_positions": "masked"}
    elif name.startswith("map_"):
        rule = name.removeprefix("map_")
        depth, layers = catalog.describe(setting.teacher).layers, setting.layers
        assert depth is not None, "the teacher's depth stands in its header"
        student = {"layer_map": list(range(depth - layers, depth)) if rule == "last" else rule}
    else:
        return variants(config)[name]
    plain = config.to_dict()
    return parse_recipe({**plain, "student": {**plain["student"], **student}, "losses": {**plain["losses"], **losses}})


def trained_variant(seed: int, name: str, setting: DistilBertProtocolConfig, recorder: Recorder) -> RunReport:
    """Return the report of a student, cached or trained now."""
    from core.studies.ablation.variants import trained

    return trained(variant_of(seed, name, setting), recorder)


def _cross_entropy(report: RunReport) -> float:
    return report.student_after["cross_entropy"]


def _out_of_domain(folder: str, seed: int, setting: DistilBertProtocolConfig) -> float:
    """Return the CE of a model on text that is no film review."""
    import pydoc_data.topics

    import torch

    from core.data.prepare import document, packed
    from core.evaluation.masked import evaluate_masked
    from core.models import catalog

    loaded, spec = catalog.load(folder, dtype=torch.float32), recipe_of(seed, setting)
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


def _accuracy(model: str, task: str, seed: int, setting: DistilBertProtocolConfig, recorder: Recorder) -> float:
    """Return a model's accuracy after fine-tuning on a task, measured once for all claims."""
    from core.models import catalog, weight_digests

    weights = catalog.describe(model).path
    assert weights is not None, "models of claims are folders"
    inputs = [versions(), weight_digests.weights_hash(weights), task, seed, setting.train_items, setting.items]
    key = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:12]
    path = cache_dir() / "claims" / f"accuracy-{key}.json"
    if (found := read_json(path)) is None:
        found = {"accuracy": _fine_tuned(model, task, seed, setting, recorder)[1]}
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, found)
    return found["accuracy"]


def _accuracies(name: str, model: str, seed: int, setting: DistilBertProtocolConfig, recorder: Recorder) -> dict[str, float]:
    """Return the accuracy on every task, and their mean as ``NAME_tasks``."""
    found = {f"{name}_{task}": _accuracy(model, task, seed, setting, recorder) for task in setting.tasks}
    return {**found, f"{name}_tasks": mean(list(found.values()))}


# ---------------------------------------------------------------------------------------------------- protocols


def better_than_copied(seed: int, setting: DistilBertProtocolConfig, recorder: Recorder) -> Numbers:
    """Measure A1: the distilled student against one with the same copied blocks and no teacher, after the same steps; both beside Rand."""
    numbers: dict[str, float] = {}
    for name, variant in zip(STUDENTS, ("full", "copied", "scratch"), strict=True):
        report = trained_variant(seed, variant, setting, recorder)
        numbers |= {name: _cross_entropy(report), f"{name}_out_of_domain": _out_of_domain(report.output_dir, seed, setting),
                    **_accuracies(name, report.output_dir, seed, setting, recorder)}
    return {"gain": numbers["copied"] - numbers["distilled"],
            "gain_out_of_domain": numbers["copied_out_of_domain"] - numbers["distilled_out_of_domain"],
            "gain_tasks": numbers["distilled_tasks"] - numbers["copied_tasks"], "random_above_chance": numbers["random_tasks"] - 0.5,
            "copied_gain": numbers["random"] - numbers["copied"], **numbers}


def ablation_order(seed: int, setting: DistilBertProtocolConfig, recorder: Recorder) -> Numbers:
    """Measure A2: what each part of the recipe is worth, CE without it less CE with all, and the differences of neighbours in the order."""
    full = _cross_entropy(trained_variant(seed, "full", setting, recorder))
    worth = {name: _cross_entropy(trained_variant(seed, name, setting, recorder)) - full for name in PARTS}
    return {"initialisation_over_soft_targets": worth["random"] - worth["minus_kd"],
            "soft_targets_over_cosine": worth["minus_kd"] - worth["minus_hidden"],
            "cosine_over_masked_loss": worth["minus_hidden"] - worth["minus_hard"], "full": full,
            **{f"worth_{name}": value for name, value in worth.items()}}


def copied_blocks(seed: int, setting: DistilBertProtocolConfig, recorder: Recorder) -> Numbers:
    """Measure A3: Blocks copied from the teacher against new ones: before training, and after the budget."""
    copied, new = (trained_variant(seed, name, setting, recorder) for name in ("full", "random"))
    uniform = _uniform(setting)
    values = {f"{name}_{when}": report.of(f"student_{when}")["cross_entropy"]
              for name, report in (("copied", copied), ("new", new)) for when in ("before", "after")}
    return {"margin_to_uniform": uniform - 0.5 - values["copied_before"], "gain_before": values["new_before"] - values["copied_before"],
            "gain_after": values["new_after"] - values["copied_after"], "uniform": uniform, **values}


def smaller_and_faster(seed: int, setting: GeometryProtocolConfig, recorder: Recorder) -> Numbers:
    """Measure A4: parameters of BERT-base and DistilBERT, and their latency in one interleaved run, with random weights.

    Latency is processor time on one thread: other work on the machine hardly changes it, as it would change the time of a clock.
    """
    import torch

    from core.evaluation.bootstrap import bootstrap_median
    from core.evaluation.speed import latencies

    recorder.event(Phase("Time BERT-base and DistilBERT"))
    stop_if_requested(recorder)
    models = dict(zip(("teacher", "student"), geometry(setting), strict=True))
    for model in models.values():
        with torch.no_grad():
            for parameter in model.parameters():
                torch.nn.init.normal_(parameter, std=0.02, generator=torch.Generator().manual_seed(seed))
    ids = torch.randint(setting.vocabulary, (1, setting.length), generator=torch.Generator().manual_seed(seed))
    taken = latencies({name: partial(model, input_ids=ids) for name, model in models.items()}, recorder, seconds=setting.seconds,
                      clock=time.process_time)
    ratio = bootstrap_median([before / after for before, after in zip(taken["teacher"], taken["student"], strict=True)])
    assert ratio.low is not None and ratio.high is not None, "a few rounds are timed whatever the budget is"
    parameters = {name: sum(parameter.numel() for parameter in model.parameters()) for name, model in models.items()}
    return {"faster": ratio.value, "faster_low": ratio.low, "faster_high": ratio.high,
            "smaller": 1 - parameters["student"] / parameters["teacher"],
            **{f"parameters_{name}": count for name, count in parameters.items()}, "rounds": len(taken["teacher"])}


def geometry(setting: GeometryProtocolConfig) -> tuple[Any, Any]:
    """Return a BERT encoder with its pooler, and a DistilBERT encoder of half the blocks, in evaluation mode."""
    from transformers import BertConfig, BertModel, DistilBertConfig, DistilBertModel

    teacher = BertModel(BertConfig(vocab_size=setting.vocabulary, hidden_size=setting.hidden, num_attention_heads=setting.heads,
                                   intermediate_size=setting.neurons, num_hidden_layers=setting.layers,
                                   max_position_embeddings=setting.positions))
    student = DistilBertModel(DistilBertConfig(vocab_size=setting.vocabulary, dim=setting.hidden, n_heads=setting.heads,
                                               hidden_dim=setting.neurons, n_layers=setting.student_layers,
                                               max_position_embeddings=setting.positions))
    return teacher.eval(), student.eval()


def second_distillation(seed: int, setting: DistilBertProtocolConfig, recorder: Recorder) -> Numbers:
    """Measure A5: The student fine-tuned on a task alone, and with the fine-tuned teacher's soft targets beside the labels."""
    student = trained_variant(seed, "full", setting, recorder).output_dir
    numbers: dict[str, float] = {}
    for task in setting.tasks:
        teacher, numbers[f"teacher_{task}"] = _fine_tuned(setting.teacher, task, seed, setting, recorder)
        numbers[f"alone_{task}"] = _fine_tuned(student, task, seed, setting, recorder)[1]
        numbers[f"with_teacher_{task}"] = _fine_tuned(student, task, seed, setting, recorder, teacher)[1]
    alone, with_teacher = (mean([numbers[f"{how}_{task}"] for task in setting.tasks]) for how in ("alone", "with_teacher"))
    return {"gain": with_teacher - alone, "alone": alone, "with_teacher": with_teacher, **numbers}


def where_compared(seed: int, setting: DistilBertProtocolConfig, recorder: Recorder) -> Numbers:
    """Measure A6: teacher and student compared at all tokens but padding, or at the masked ones alone; hidden states at all in both."""
    everywhere, masked = (trained_variant(seed, name, setting, recorder).student_after for name in ("full", "at_masked"))
    return {"gain": masked["cross_entropy"] - everywhere["cross_entropy"],
            "gain_kl": masked["kl_to_teacher"] - everywhere["kl_to_teacher"],
            "all": everywhere["cross_entropy"], "masked": masked["cross_entropy"], "all_kl": everywhere["kl_to_teacher"],
            "masked_kl": masked["kl_to_teacher"], "all_agreement": everywhere["agreement"], "masked_agreement": masked["agreement"]}


def retained(seed: int, setting: DistilBertProtocolConfig, recorder: Recorder) -> Numbers:
    """Measure A7: what the students of A1 keep of their teacher's accuracy after fine-tuning, in percent of it."""
    numbers = _accuracies("teacher", setting.teacher, seed, setting, recorder)
    for name, variant in (("distilled", "full"), ("copied", "copied")):
        report = trained_variant(seed, variant, setting, recorder)
        numbers |= _accuracies(name, report.output_dir, seed, setting, recorder)
        numbers[f"{name}_retained"] = 100 * numbers[f"{name}_tasks"] / numbers["teacher_tasks"]
    return {"retained": numbers.pop("distilled_retained"), "gain": 100 * (numbers["distilled_tasks"] - numbers["copied_tasks"])
            / numbers["teacher_tasks"], "without_teacher": numbers.pop("copied_retained"), **numbers}


def published_map(seed: int, setting: DistilBertProtocolConfig, recorder: Recorder) -> Numbers:
    """Measure A8: students of the published map's blocks against those of other choices, after equal steps."""
    found = {rule: _cross_entropy(trained_variant(seed, f"map_{rule}", setting, recorder)) for rule in ("table", *MAPS)}
    return {**{f"over_{rule}": found[rule] - found["table"] for rule in MAPS}, **found}


def _uniform(setting: DistilBertProtocolConfig) -> float:
    """Return ln V, the cross-entropy of a uniform prediction."""
    from core.models import catalog

    return math.log(catalog.describe(setting.teacher).vocabulary)
