"""The claims about chains of anchors and the sizes between them (2605.07783), at a scale of minutes on one core.

Anchors are tiny decoders of one family, trained on film reviews; `core.studies.claims.small_chain` makes them. They are nested:
the units of the largest are sorted once, and every smaller anchor starts as the first units and evenly spread blocks of its
predecessor, and is distilled from it. CE is held-out cross-entropy in nats per token, lower is better; V the vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.evaluation.time_to_target import time_to_target
from core.recorder import Recorder
from core.studies.claims.chain_protocol import ChainProtocolConfig
from core.studies.claims.claim import Claim, Figure, Numbers, Source
from core.studies.claims.rules import above, below, every, trend

if TYPE_CHECKING:
    from core.studies.claims.small_chain import SmallChain, Start

SYSTEM = "Chain of anchors"
PAPER = "2605.07783"
SHARES = (0, 10, 25, 50, 100)  # percent of the token budget at which C2 looks
NATS = "nats/token"


def _chain(seed: int, setting: ChainProtocolConfig, recorder: Recorder) -> SmallChain:
    from core.studies.claims.small_chain import SmallChain

    return SmallChain(setting, seed, recorder)


# ---------------------------------------------------------------------------------------------------- protocols


def before_training(seed: int, setting: ChainProtocolConfig, recorder: Recorder) -> Numbers:
    """Measure C1: CE_0 of the interpolated model at the default alpha, against ln V - 1 and against Rand after its budget."""
    chain = _chain(seed, setting, recorder)
    interpolated = chain.cross_entropy(chain.interpolated())
    random = chain.recovered("random").held_out
    uniform = chain.uniform_cross_entropy()
    return {"margin_to_uniform": uniform - 1 - interpolated, "margin_to_random": random[setting.recovery_steps] - interpolated,
            "interpolated": interpolated, "random_before": random[0], "random_after": random[setting.recovery_steps], "uniform": uniform}


def equal_tokens(seed: int, setting: ChainProtocolConfig, recorder: Recorder) -> Numbers:
    """Measure C2: the same tokens from three initialisations; how much sooner the interpolated one reaches the loss where Rand ends.

    The time-to-target ratio is that of `core.evaluation.time_to_target`.
    """
    chain = _chain(seed, setting, recorder)
    curves = {start: chain.recovered(start).held_out for start in ("interpolated", "random", "nearest")}
    budget = setting.recovery_steps
    at = {share: min(curves["random"], key=lambda step: abs(step - budget * share / 100)) for share in SHARES}
    return {"gain": curves["random"][budget] - curves["interpolated"][budget],
            "time_ratio": time_to_target(curves["interpolated"], curves["random"]),
            "gain_over_nearest": curves["nearest"][budget] - curves["interpolated"][budget],
            **{f"{start}_{share}": curve[at[share]] for start, curve in curves.items() for share in SHARES}}


def nearer_anchor(seed: int, setting: ChainProtocolConfig, recorder: Recorder) -> Numbers:
    """Measure C3: alpha* = argmin over the grid of CE(alpha), for every shape between the two largest anchors, without training."""
    chain = _chain(seed, setting, recorder)
    pair = chain.pair(0, 1)
    numbers: dict[str, float] = {}
    best, sizes = [], []
    for place, shape in enumerate(chain.shapes_between(pair), start=1):
        curve = chain.sweep(pair, shape, "selection")
        best.append(min(curve, key=curve.__getitem__))
        sizes.append(chain.sizer(shape))
        numbers |= {f"parameters_{place}": sizes[-1], f"alpha_{place}": best[-1],
                    f"gain_over_small_{place}": curve[1.0] - min(curve.values())}
    ends = {min(setting.alphas), max(setting.alphas)}
    return {"spearman": spearman(best, sizes), "boundary_alpha_fraction": sum(alpha in ends for alpha in best) / len(best), **numbers}


def better_than_expansion(seed: int, setting: ChainProtocolConfig, recorder: Recorder) -> Numbers:
    """Measure C4: CE(alpha = 1) - CE(alpha*), alpha* chosen strictly between 0 and 1 on other text; then both after the token budget."""
    chain = _chain(seed, setting, recorder)
    pair, shape = chain.pair(1, 2), chain.target()
    alpha = chain.best_alpha(pair, shape, [alpha for alpha in setting.alphas if 0 < alpha < 1])
    alone, mixed = (chain.cross_entropy(chain.between(pair, shape, each)) for each in (1.0, alpha))
    starts: tuple[tuple[Start, float], ...] = (("alone", 1.0), ("mixed", alpha))
    trained = {start: chain.recovered(start, alpha=each).held_out[setting.recovery_steps] for start, each in starts}
    return {"gain": alone - mixed, "alpha": alpha, "mixed": mixed, "alone": alone,
            "gain_after_budget": trained["alone"] - trained["mixed"], "mixed_after": trained["mixed"], "alone_after": trained["alone"]}


def denser_chain(seed: int, setting: ChainProtocolConfig, recorder: Recorder) -> Numbers:
    """Measure C5: one target between the second and third of four anchors, and between the first and last alone; alpha chosen for each."""
    chain = _chain(seed, setting, recorder)
    shape = chain.target()
    steps = len(setting.sizes) - 1
    pairs = {"dense": chain.pair(1, 2), "sparse": chain.sparse_pair(setting.chain_steps),
                "sparse_same_updates": chain.sparse_pair(setting.chain_steps * steps)}
    alphas = {name: chain.best_alpha(pair, shape, setting.alphas) for name, pair in pairs.items()}
    found = {name: chain.cross_entropy(chain.between(pair, shape, alphas[name])) for name, pair in pairs.items()}
    return {"gain": found["sparse"] - found["dense"], "gain_same_updates": found["sparse_same_updates"] - found["dense"], **found,
            **{f"alpha_{name}": alpha for name, alpha in alphas.items()}}


def step_by_step(seed: int, setting: ChainProtocolConfig, recorder: Recorder) -> Numbers:
    """Measure C6: the smallest anchor distilled through the chain, and directly from the largest with as many updates of its own."""
    chain = _chain(seed, setting, recorder)
    last = len(setting.sizes) - 1
    ways = {"stepwise": chain.anchor(last), "direct": chain.direct(setting.chain_steps),
            "direct_same_compute": chain.direct(setting.chain_steps * last)}
    found = {name: chain.cross_entropy(way.weights) for name, way in ways.items()}
    return {"gain": found["direct"] - found["stepwise"], "gain_same_compute": found["direct_same_compute"] - found["stepwise"], **found,
            **{f"{name}_loss_step_std": way.loss_step_std for name, way in ways.items()}}


def barrier(seed: int, setting: ChainProtocolConfig, recorder: Recorder) -> Numbers:
    """Measure C7: CE(alpha = 1/2) - max(CE(0), CE(1)) at one shape, between nested anchors and between ones trained apart."""
    chain = _chain(seed, setting, recorder)
    numbers: dict[str, float] = {}
    for name, pair in (("independent", chain.independent_pair()), ("nested", chain.pair(0, 1))):
        large, middle, small = (chain.cross_entropy(chain.between(pair, chain.middle(pair), alpha)) for alpha in (0.0, 0.5, 1.0))
        numbers |= {f"barrier_{name}": middle - max(large, small), f"{name}_large": large, f"{name}_half": middle, f"{name}_small": small}
    return numbers


def spearman(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the correlation of ranks, ties at their mean rank; 0 where one of them never changes, which shows no relation.

        rho = cov(rank x, rank y) / (sd(rank x) sd(rank y))
    """
    x, y = _ranks(first), _ranks(second)
    middle = (len(x) + 1) / 2
    covariance = sum((a - middle) * (b - middle) for a, b in zip(x, y, strict=True))
    spread = (sum((a - middle) ** 2 for a in x) * sum((b - middle) ** 2 for b in y)) ** 0.5
    return covariance / spread if spread else 0.0


def _ranks(values: Sequence[float]) -> list[float]:
    return [sum(other < value for other in values) + (sum(other == value for other in values) + 1) / 2 for value in values]


# ---------------------------------------------------------------------------------------------------- claims

SETTING = ChainProtocolConfig()
SAME_CORPUS = ("The anchors have seen the corpus that the random model is trained on, for more steps. The paper's public checkpoints had "
               "seen far more, so that its comparison is not at equal compute either.")

CLAIMS = (
    Claim(
        "C1", "Good before any training", SYSTEM,
        "A model interpolated between two anchors works before it has seen a single token.",
        "HellaSwag, 138M: 30.6 with no token, 23.7 for random weights after 78M tokens (Rouge-L)",
        Source(PAPER, "table 9"),
        "CE of the interpolated model at step 0, alpha by relative distance: below ln V - 1, and below the CE of a random model of the "
        "same shape after its token budget.",
        (Figure("margin_to_random", "CE of the random model after its budget - CE of the interpolated one before", NATS),
         Figure("margin_to_uniform", "ln V - 1 - CE of the interpolated model", NATS),
         Figure("interpolated", "CE, interpolated, step 0", NATS), Figure("random_after", "CE, random, after the budget", NATS),
         Figure("random_before", "CE, random, step 0", NATS), Figure("uniform", "ln V", NATS)),
        every(above("margin_to_uniform"), above("margin_to_random")), SETTING, 180, before_training,
        (SAME_CORPUS, "alpha follows its rule and is not tuned.")),
    Claim(
        "C2", "Better after the same tokens", SYSTEM,
        "Started from an interpolated model, training on the same tokens ends better and gets there sooner than from random weights.",
        "Mean over five tasks, 138M, 78M tokens: 46.33 against 39.67 (Rouge-L); 500M tokens are said to be 217.86 times faster than random",
        Source(PAPER, "main results, source GPT2-XL"),
        "CE at 0, 10, 25, 50 and 100% of one token budget for the interpolated, the random and the nearest anchor's model; time-to-target "
        "ratio = steps of random / steps of interpolated until the CE where random ends.",
        (Figure("gain", "CE of random - CE of interpolated, whole budget", NATS), Figure("time_ratio", "time-to-target ratio"),
         Figure("gain_over_nearest", "CE of the nearest anchor, trained on - CE of interpolated, whole budget", NATS),
         *(Figure(f"{start}_{share}", f"CE, {start}, {share}% of the budget", NATS)
           for start in ("interpolated", "random", "nearest") for share in SHARES)),
        every(above("gain"), above("time_ratio", 1.0)), SETTING, 220, equal_tokens,
        (SAME_CORPUS, "All three take the learning rate that suits random weights, which speaks against the claim.",
         "Where interpolated is past the target at step 0, the ratio counts one step: it is then a lower bound.")),
    Claim(
        "C3", "alpha* moves to the nearer anchor", SYSTEM,
        "The best share of the smaller anchor follows how near the target is to it.",
        "alpha swept from .1 to .9: .9 is best for 138M, between 117M and 345M; no rule is given",
        Source(PAPER, "equation 3 and its sweep"),
        "Spearman correlation of alpha* with the parameters of the target, over all shapes between the two largest anchors, at step 0.",
        (Figure("spearman", "Spearman correlation of alpha* and size"),
         Figure("boundary_alpha_fraction", "fraction of targets whose alpha* is 0 or 1"),
         *(Figure(f"alpha_{place}", f"alpha* of target {place}, ascending in size") for place in range(1, 5)),
         *(Figure(f"gain_over_small_{place}", f"CE(1) - CE(alpha*) of target {place}", NATS) for place in range(1, 5)),
         *(Figure(f"parameters_{place}", f"parameters of target {place}") for place in range(1, 5))),
        trend("spearman", lambda value: value <= -0.8, "is at most -0.8"), SETTING, 150, nearer_anchor,
        ("Where the pruned large anchor is poor, alpha* is at the boundary for every size: the fraction is shown.",
         "alpha* near 1 is no evidence by itself, since exact expansion makes alpha = 1 as good as the smaller anchor.")),
    Claim(
        "C4", "Two anchors beat one", SYSTEM,
        "A mixture of two anchors is better than the smaller one expanded.",
        "277M from GPT2-XL: 36.47 for the chain, 34.71 from a single anchor (Rouge-L)",
        Source(PAPER, "comparison with single expansion"),
        "CE(alpha = 1) - CE(alpha*), where alpha* strictly between 0 and 1 is chosen on other held-out text.",
        (Figure("gain", "CE(1) - CE(alpha*), step 0", NATS), Figure("alpha", "alpha*"),
         Figure("mixed", "CE(alpha*), step 0", NATS), Figure("alone", "CE(1), step 0", NATS),
         Figure("gain_after_budget", "CE(1) - CE(alpha*), after the same tokens", NATS),
         Figure("mixed_after", "CE(alpha*), after the budget", NATS), Figure("alone_after", "CE(1), after the budget", NATS)),
        above("gain"), SETTING, 210, better_than_expansion,
        ("alpha = 1 is the smaller anchor exactly, identity blocks and padded channels included; the paper shows no such baseline.",)),
    Claim(
        "C5", "A denser chain is better", SYSTEM,
        "More anchors, and so smaller gaps, give a better model of the same size.",
        "Pythia, 113.63M: 47.58 with four anchors, 46.24 with two (Rouge-L)",
        Source(PAPER, "chain density"),
        "CE of one target between the first and last of four anchors alone, less its CE between the second and third; alpha chosen for "
        "each on other text.",
        (Figure("gain", "CE, two anchors - CE, four anchors", NATS),
         Figure("gain_same_updates", "the same, the small anchor of two having had as many updates as the whole chain", NATS),
         Figure("dense", "CE, four anchors", NATS), Figure("sparse", "CE, two anchors", NATS),
         Figure("sparse_same_updates", "CE, two anchors, as many updates", NATS), Figure("alpha_dense", "alpha*, four anchors"),
         Figure("alpha_sparse", "alpha*, two anchors"), Figure("alpha_sparse_same_updates", "alpha*, two anchors, as many updates")),
        trend("gain"), SETTING, 280, denser_chain,
        ("Four anchors cost more training than two: the comparison at equal updates stands beside it.",)),
    Claim(
        "C6", "Stepwise beats direct distillation", SYSTEM,
        "The smallest anchor is better when distilled through the chain than directly from the largest.",
        "Dolly, GPT-2 XL to B: 26.02 step by step, 23.30 direct (Rouge-L)",
        Source(PAPER, "stepwise and direct distillation"),
        "CE of the smallest anchor distilled from the largest - CE of the same shape distilled through the chain, at equal updates of "
        "its own.",
        (Figure("gain", "CE, direct - CE, step by step", NATS),
         Figure("gain_same_compute", "the same, direct with as many updates as the whole chain", NATS),
         Figure("stepwise", "CE, step by step", NATS), Figure("direct", "CE, direct", NATS),
         Figure("direct_same_compute", "CE, direct, as many updates as the chain", NATS),
         Figure("stepwise_loss_step_std", "standard deviation of the loss from step to step, step by step", NATS),
         Figure("direct_loss_step_std", "the same, direct", NATS),
         Figure("direct_same_compute_loss_step_std", "the same, direct, longer", NATS)),
        trend("gain"), SETTING, 290, step_by_step,
        ("At equal updates of the student the chain has had more training in all: the comparison at equal compute stands beside it.",
         "Reverse KL is taken on the corpus, not on the student's own samples as in the paper.")),
    Claim(
        "C7", "Only nested anchors can be averaged", SYSTEM,
        "Anchors of one chain lie in a region where averages of weights work; models trained apart are separated by a barrier "
        "(2209.04836).",
        "no number: the paper averages public checkpoints and shows no such control",
        Source(PAPER, "equation 3"),
        "Barrier = CE(alpha = 1/2) - max(CE(0), CE(1)) at one shape: above 0 between models trained apart, below 0 between nested anchors.",
        (Figure("barrier_independent", "barrier, trained apart", NATS), Figure("barrier_nested", "barrier, nested", NATS),
         *(Figure(f"{kind}_{end}", f"CE, {words}, {where}", NATS)
           for kind, words in (("independent", "trained apart"), ("nested", "nested"))
           for end, where in (("large", "alpha = 0"), ("half", "alpha = 1/2"), ("small", "alpha = 1")))),
        every(above("barrier_independent"), below("barrier_nested")), SETTING, 190, barrier,
        ("The models trained apart differ in seed and size alone: same corpus, tokenizer and family.",)),
)
