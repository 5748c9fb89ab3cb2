"""The claims about teachers whose answers are kept (RS-KD, 2503.16870), with the house chat model as the teacher.

Students have half its blocks, copied from it, and follow assets/recipes/quickstart.yaml for fewer steps, at temperature 1 and without hard
labels; `core.studies.ablation.variants` keeps what was trained, so that claims share students. CE is cross-entropy on held-out reviews in
nats per token, ECE the expected calibration error of the likeliest next token (1706.04599); of both, lower is better.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.recorder import STUDENT, ListRecorder, Recorder
from core.reports.run_report import RunReport
from core.studies.claims.claim import Claim, Figure, Numbers, ProtocolConfig, Source
from core.studies.claims.rules import above, always, below, every
from core.system.paths import ASSETS, cache_dir

if TYPE_CHECKING:
    from core.config import ExperimentConfig

SYSTEM = "Teacher signals"
PAPER = "2503.16870"
RECIPE = ASSETS / "recipes" / "quickstart.yaml"
NATS = "nats/token"
SIZES = {"r60": (4, 192), "r37": (4, 144), "r14": (2, 96)}  # blocks and width of students, named by their parameters over the teacher's


@dataclass(frozen=True)
class SignalsProtocolConfig(ProtocolConfig):
    """Sizes and steps.

    Attributes:
        samples: tokens drawn at each position; k: likeliest tokens that are kept.
        timed_steps: of each of two runs that are timed in turns.
        draws: of all sampled targets for the mean gradient.
    """

    teacher: str = "house-chat"
    layers: int = 4
    steps: int = 120
    blocks: int = 64
    rows: int = 6000
    samples: int = 50
    k: int = 12
    timed_steps: int = 12
    draws: int = 1000
    positions: int = 64


def _recipe(seed: int, setting: SignalsProtocolConfig, signals: dict[str, Any] | None = None, **losses: float) -> ExperimentConfig:
    from core.recipes import parse_recipe, read_recipe

    plain = read_recipe(RECIPE, [
        f"teacher.model={setting.teacher}", f"student.layers={setting.layers}", f"train.max_steps={setting.steps}", f"train.seed={seed}",
        f"train.save_steps={setting.steps}", f"data.max_rows={setting.rows}", f"evaluation.eval_steps={setting.steps}",
        "evaluation.min_evaluations=1",
        f"evaluation.blocks={setting.blocks}", "evaluation.prompts=[]", "evaluation.sentiment_items=0", "control=false"]).to_dict()
    return parse_recipe({**plain, "teacher": {**plain["teacher"], "signals": signals or {"form": "live"}},
                         "losses": {"w_kd": 1.0, "w_hard": 0.0, "temperature": 1.0, **losses}})


def _trained(config: ExperimentConfig, recorder: Recorder) -> RunReport:
    from core.studies.ablation.variants import trained

    return trained(config, recorder)


def _calibration(report: RunReport, config: ExperimentConfig) -> float:
    """Return the ECE of a student's likeliest next token on held-out text."""
    import numpy as np
    import torch

    from core.data.prepare import prepare
    from core.evaluation.calibration import expected_calibration_error
    from core.models import catalog
    from core.models.chunking import chunks
    from core.models.forward import eval_mode, last_hidden, log_softmax, output_head
    from core.models.vocabulary import unpadded_width

    loaded = catalog.load(report.output_dir, dtype=torch.float32)
    blocks = prepare(config.data, loaded.tokenizer, config.train.seed, cache_dir()).validation.take(config.evaluation.blocks)
    width, confidence, correct = unpadded_width(loaded.tokenizer, loaded.model), [], []
    with eval_mode(loaded.model):
        for ids, weights in zip(torch.from_numpy(blocks.input_ids).long(), torch.from_numpy(blocks.weights), strict=True):
            counts = weights[1:] > 0
            states, targets = last_hidden(loaded.model, ids[None])[0, :-1][counts], ids[1:][counts]
            for part in chunks(len(targets), width):
                best = log_softmax(output_head(loaded.model), states[part], width).max(-1)
                confidence.append(best.values.exp().numpy())
                correct.append((best.indices == targets[part]).numpy())
    return expected_calibration_error(np.concatenate(confidence), np.concatenate(correct))


# ---------------------------------------------------------------------------------------------------- protocols


def sampled_is_enough(seed: int, setting: SignalsProtocolConfig, recorder: Recorder) -> Numbers:
    """Measure F1: students of the whole distribution, of tokens drawn from it, of the likeliest with and without a tail, and of labels."""
    forms: dict[str, dict[str, Any] | None] = {
        "full": None, "sampled": {"form": "sampled", "samples": setting.samples}, "top": {"form": "top_k", "top_k": setting.k},
        "renormalised": {"form": "top_k", "top_k": setting.k, "tail": False}}
    configs = {name: _recipe(seed, setting, signals) for name, signals in forms.items()}
    configs["labels"] = _recipe(seed, setting, w_kd=0.0, w_hard=1.0)
    reports = {name: _trained(config, recorder) for name, config in configs.items()}
    ce = {name: report.student_after["cross_entropy"] for name, report in reports.items()}
    ece = {f"{name}_ece": _calibration(report, configs[name]) for name, report in reports.items()}
    kl = {f"{name}_kl": report.student_after["kl_to_teacher"] for name, report in reports.items()}
    return {"sampled_excess": ce["sampled"] - ce["full"], "top_excess": ce["top"] - ce["sampled"],
            "renormalised_excess": ce["renormalised"] - ce["top"], **ce, **ece, **kl}


def kept_states_train_the_same(seed: int, setting: SignalsProtocolConfig, recorder: Recorder) -> Numbers:
    """Measure F2: the loss curves of a run with the live teacher and of one with its kept hidden states."""
    curves, reports = {}, {}
    for form in ("live", "hidden"):
        seen = _Curve(recorder)
        with tempfile.TemporaryDirectory() as folder:
            reports[form] = _distilled(_recipe(seed, setting, {"form": form}), seen, Path(folder))
        curves[form] = seen.curve.series(STUDENT, "loss")
    gaps = [abs(curves["live"][step] - curves["hidden"][step]) for step in curves["live"]]
    live, kept = (reports[form].student_after for form in ("live", "hidden"))
    return {"largest_gap": max(gaps), "mean_gap": sum(gaps) / len(gaps), "ce_gap": abs(live["cross_entropy"] - kept["cross_entropy"]),
            "kl_gap": abs(live["kl_to_teacher"] - kept["kl_to_teacher"]), "live": live["cross_entropy"], "kept": kept["cross_entropy"]}


def near_the_bound(seed: int, setting: SignalsProtocolConfig, recorder: Recorder) -> Numbers:
    """Measure F3: steps of students of three sizes with the live teacher and with kept states, timed in turns."""
    numbers: dict[str, float] = {}
    for name, (layers, width) in SIZES.items():
        config = _recipe(seed, setting, {"form": "hidden"})
        changes = {"layers": layers} | ({"hidden": width, "pruning_criterion": "first"} if width != SIZES["r60"][1] else {})
        sized = config.model_copy(update={"student": config.student.model_copy(update=changes),
                                          "train": config.train.model_copy(update={"max_steps": setting.timed_steps})})
        speeds: dict[str, list[float]] = {"live": [], "hidden": []}
        for form in ("hidden", "live", "hidden", "live"):
            teacher = sized.teacher
            assert teacher is not None, "the recipe names one"
            signals = teacher.signals.model_copy(update={"form": form})
            timed = sized.model_copy(update={"teacher": teacher.model_copy(update={"signals": signals})})
            with tempfile.TemporaryDirectory() as folder:
                report = _distilled(timed, recorder, Path(folder))
            if form == "hidden" and report.signals is not None:
                assert report.signals.ratio is not None and report.signals.bound is not None, "the teacher is loaded"
                numbers |= {f"{name}_ratio": report.signals.ratio, f"{name}_bound": report.signals.bound}
                if report.signals.queried:  # the first one fills the cache, and is not timed
                    continue
            speeds[form].append(report.tokens_per_second)
        if not speeds["hidden"]:
            raise AssertionError("the second run finds every block")
        numbers[f"{name}_speedup"] = max(speeds["hidden"]) / max(speeds["live"])
        numbers[f"{name}_share"] = numbers[f"{name}_speedup"] / numbers[f"{name}_bound"]
    return {"smallest_share": min(numbers[f"{name}_share"] for name in SIZES), **numbers}


def unbiased_gradient(seed: int, setting: SignalsProtocolConfig, recorder: Recorder) -> Numbers:
    """Measure F4: the mean gradient of many draws against the whole one, at positions of held-out text."""
    import torch

    from core.config import LossSpec
    from core.data.prepare import held_out_blocks
    from core.models import catalog
    from core.models.forward import eval_mode, last_hidden, output_head
    from core.models.vocabulary import unpadded_width
    from core.signals.targets import Sampled
    from core.students.build import build_student
    from core.training.losses import divergence

    config = _recipe(seed, setting)
    loaded = catalog.load(setting.teacher, dtype=torch.float32)
    student, width = build_student(loaded.model, config.student, seed=seed).model, unpadded_width(loaded.tokenizer, loaded.model)
    ids = torch.from_numpy(held_out_blocks(config.data, loaded.tokenizer).input_ids[:1]).long()
    with eval_mode(loaded.model, student):
        v, z = (output_head(model).logits(last_hidden(model, ids)[0, :setting.positions], width) for model in (loaded.model, student))
    term, generator = divergence(LossSpec(temperature=1.0)), torch.Generator().manual_seed(seed)
    whole, p = term(z.clone(), v.clone())[1], torch.softmax(v, -1)
    direction = whole / whole.norm()
    total, along, squared = torch.zeros_like(whole, dtype=torch.float64), [], 0.0
    for _ in range(setting.draws):
        draws = torch.multinomial(p, setting.samples, replacement=True, generator=generator)
        weights = torch.full(draws.shape, 1 / setting.samples)
        gradient = term(z.clone(), Sampled(draws, weights, torch.zeros(len(draws))))[1].double()
        total += gradient
        along.append(float((gradient * direction).sum()))
        squared += float((gradient - whole).square().sum())
    projected = torch.tensor(along, dtype=torch.float64)
    error = float(projected.std()) / setting.draws**0.5
    expected = (squared / setting.draws) ** 0.5 / setting.draws**0.5  # the norm of the mean's error, if the draws are unbiased
    return {"deviation": abs(float(projected.mean()) - float((whole * direction).sum())) / error,
            "norm_ratio": float((total / setting.draws - whole).norm()) / expected, "one_draw": (squared / setting.draws) ** 0.5,
            "gradient": float(whole.norm())}


def _distilled(config: ExperimentConfig, recorder: Recorder, folder: Path) -> RunReport:
    from core.methods.distillation import distill

    return distill(config, recorder, folder)


class _Curve:
    """A recorder that also keeps the numbers."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder, self.curve = recorder, ListRecorder()
        self.event, self.should_stop = recorder.event, recorder.should_stop

    def log(self, variant: str, step: int, metrics: Any) -> None:
        """Keep and pass on."""
        self.curve.log(variant, step, metrics)
        self._recorder.log(variant, step, metrics)


# ---------------------------------------------------------------------------------------------------- claims

SETTING = SignalsProtocolConfig()
SMALL = "The teacher is a model of 4.3 million parameters with 4,096 tokens; students see some 240,000 tokens."
FORMS = (("full", "the whole distribution"), ("sampled", "tokens drawn"), ("top", "the likeliest with their tail"),
         ("renormalised", "the likeliest, renormalised"), ("labels", "the text alone"))

CLAIMS = (
    Claim(
        "F1", "A few tokens drawn are as good as the whole distribution", SYSTEM,
        "Targets of about 12 tokens drawn from the teacher train as well as its whole distribution; the 12 likeliest are worse, and worst "
        "where they are renormalised.",
        "LM loss 2.75 with the whole distribution and with 12 ids drawn, 2.81 without a teacher; calibration error 0.2% with both",
        Source(PAPER, "its main results"),
        "CE after equal steps: drawn - whole, below 0.02 nats; likeliest with their tail - drawn, and renormalised - with their tail, "
        "above 0.",
        (Figure("sampled_excess", "CE, drawn - whole", NATS), Figure("top_excess", "CE, likeliest with tail - drawn", NATS),
         Figure("renormalised_excess", "CE, renormalised - with tail", NATS),
         *(Figure(name, f"CE, {words}", NATS) for name, words in FORMS), *(Figure(f"{name}_ece", f"ECE, {words}") for name, words in FORMS),
         *(Figure(f"{name}_kl", f"KL to the teacher, {words}", NATS) for name, words in FORMS)),
        every(below("sampled_excess", 0.02), above("top_excess"), above("renormalised_excess")), SETTING, 400, sampled_is_enough,
        (SMALL, "Students begin with the teacher's blocks; the paper trains them from random weights on billions of tokens."),
         published_unit="nats/token"),
    Claim(
        "F2", "Kept hidden states train the same model", SYSTEM,
        "The teacher's last hidden states, kept in 16 bits, train the same model as the live teacher.",
        "no number is published for states that are kept on disk; KDFlow passes them between processes", Source("2603.01875", "its design"),
        "CE of the student of the live teacher and of the student of its kept states: apart by less than 0.001 nats; the loss curves too.",
        (Figure("ce_gap", "difference of the CE", NATS), Figure("largest_gap", "largest difference of the loss at a step"),
         Figure("mean_gap", "mean difference of the loss at a step"), Figure("kl_gap", "difference of the KL to the teacher", NATS),
         Figure("live", "CE, live", NATS), Figure("kept", "CE, kept", NATS)),
        every(below("ce_gap", 0.001), below("largest_gap", 0.05)), SETTING, 150, kept_states_train_the_same,
        (SMALL, "The first student fills the cache while it trains: both read what was kept.")),
    Claim(
        "F3", "Kept states are nearly as fast as a step without a teacher can be", SYSTEM,
        "A step costs 2 + 6r with a live teacher and 6r without, for a student of r times the teacher's parameters: at most (1 + 3r) / 3r "
        "times faster.",
        "no number is published", Source(PAPER, "its costs"),
        "Tokens a second with kept hidden states over those with the live teacher, as a share of the bound: at least 85% for three sizes.",
        (Figure("smallest_share", "smallest share of the bound"),
         *(Figure(f"{name}_{part}", f"{words}, {name}") for name in SIZES for part, words in (
             ("share", "share of the bound"), ("speedup", "speed-up"), ("bound", "bound"), ("ratio", "r")))),
        above("smallest_share", 0.85), SETTING, 300, near_the_bound,
        ("The teacher's output head is applied to kept states at every step, which the bound counts as saved.",
         "Seeds are repetitions of the timing; of two timed runs of a kind the faster one counts.")),
    Claim(
        "F4", "The gradient of drawn targets is unbiased", SYSTEM,
        "The gradient of targets that are drawn from the teacher is, in the mean, that of its whole distribution.",
        "proved", Source(PAPER, "its analysis"),
        "Mean over 1,000 draws, along the whole gradient: within 3 standard errors of it.",
        (Figure("deviation", "deviation along the gradient", "standard errors"),
         Figure("norm_ratio", "norm of the mean's error / its expectation"), Figure("one_draw", "error of one draw, norm"),
         Figure("gradient", "norm of the whole gradient")),
        always("deviation", lambda value: value <= 3.0, "is at most 3"), SETTING, 60, unbiased_gradient,
        ("Thousands of entries would leave 3 standard errors by chance: one direction is tested, and the norm of the error is shown.",)),
)
