"""The protocols of the claims about chains of anchors: each measures one seed; `core.studies.claims.chain` says what must come out.

Every gain is a difference within a seed, above 0 where it speaks for the claim. CE is held-out cross-entropy in nats per token.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from core.evaluation.time_to_target import time_to_target
from core.recorder import Recorder
from core.studies.claims.chain_protocol import ChainProtocolConfig
from core.studies.claims.claim import Numbers

if TYPE_CHECKING:
    from core.chains.interpolation import AnchorPair
    from core.models.dimensions import Dimensions
    from core.students.resizing import Weights
    from core.studies.claims.small_chain import SmallChain, Trained

SHARES = (0, 10, 25, 50, 100)  # percent of the token budget at which C2 looks
BASELINES = ("smaller", "expansion", "pruning")  # of C1 and C2
CLONING_NOISE = 0.1  # of repeated units in C11, relative to the spread of their matrix


def _chain(seed: int, setting: ChainProtocolConfig, recorder: Recorder) -> SmallChain:
    from core.studies.claims.small_chain import SmallChain

    return SmallChain(setting, seed, recorder)


def _leads(found: Mapping[str, float], name: str) -> dict[str, float]:
    """Return by how much a model's CE is below that of each baseline."""
    return {f"over_{baseline}": found[baseline] - found[name] for baseline in BASELINES}


def before_training(seed: int, setting: ChainProtocolConfig, recorder: Recorder) -> Numbers:
    """Measure C1: CE of the interpolated model at the default alpha, against what needs no second anchor or no first one.

        smaller     the smaller anchor as it is      expansion   the smaller one with its blocks replicated: alpha = 1, as published
        pruning     the larger one cut to the size: alpha = 0
    """
    chain = _chain(seed, setting, recorder)
    pair, shape = chain.pair(1, 2), chain.target()
    found = {"interpolated": chain.cross_entropy(chain.at_alpha(chain.alpha())), "smaller": chain.cross_entropy(pair.small),
             "expansion": chain.cross_entropy(chain.between(pair, shape, 1.0, "replicate")),
             "pruning": chain.cross_entropy(chain.at_alpha(0.0))}
    random = chain.recovered("random", lambda: chain.random(shape)).held_out
    return {**_leads(found, "interpolated"), **found, "alpha": chain.alpha(), "random_before": random[0],
            "random_after": random[setting.recovery_steps], "uniform": chain.uniform_cross_entropy()}


def equal_tokens(seed: int, setting: ChainProtocolConfig, recorder: Recorder) -> Numbers:
    """Measure C2: the same tokens from every beginning of C1, and from random weights.

    The expansion is the exact one here: replicated blocks would only make it easier to beat. The time-to-target ratio is that of
    `core.evaluation.time_to_target`: until the CE at which random weights end.
    """
    chain = _chain(seed, setting, recorder)
    shape = chain.target()
    beginnings: dict[str, tuple[str, Callable[[], Weights]]] = {
        "interpolated": _at_alpha(chain, chain.alpha()), "smaller": ("smaller", lambda: chain.pair(1, 2).small),
        "expansion": _at_alpha(chain, 1.0), "pruning": _at_alpha(chain, 0.0), "random": ("random", lambda: chain.random(shape))}
    curves = {name: chain.recovered(*beginning).held_out for name, beginning in beginnings.items()}
    budget = setting.recovery_steps
    at = {share: min(curves["random"], key=lambda step: abs(step - budget * share / 100)) for share in SHARES}
    ends = {name: curve[budget] for name, curve in curves.items()}
    return {**_leads(ends, "interpolated"), "over_random": ends["random"] - ends["interpolated"],
            "time_ratio": time_to_target(curves["interpolated"], curves["random"]),
            **{f"{name}_{share}": curve[at[share]] for name, curve in curves.items() for share in SHARES}}


def _at_alpha(chain: SmallChain, alpha: float) -> tuple[str, Callable[[], Weights]]:
    """Return name and beginning of the target at an alpha, so that protocols share what was trained from it."""
    return f"alpha {alpha:.6g}", lambda: chain.at_alpha(alpha)


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
    alpha = chain.best_alpha(chain.pair(1, 2), chain.target(), setting.inner_alphas)
    alone, mixed = (chain.cross_entropy(chain.at_alpha(each)) for each in (1.0, alpha))
    trained = {each: chain.recovered(*_at_alpha(chain, each)).held_out[setting.recovery_steps] for each in (1.0, alpha)}
    return {"gain": alone - mixed, "alpha": alpha, "mixed": mixed, "alone": alone,
            "gain_after_budget": trained[1.0] - trained[alpha], "mixed_after": trained[alpha], "alone_after": trained[1.0]}


def denser_chain(seed: int, setting: ChainProtocolConfig, recorder: Recorder) -> Numbers:
    """Measure C5: one target above the smallest anchor, between it and the next of four, and between it and the largest.

    The smallest anchor is the same model in both, alpha lies strictly between 0 and 1 in both: the gap alone differs. Beside it the whole
    chain of two, whose smallest anchor was distilled straight from the largest, with the compute of four anchors.
    """
    from core.chains.interpolation import AnchorPair

    chain = _chain(seed, setting, recorder)
    last = len(setting.sizes) - 1
    shape = chain.target(last - 1)
    pairs = {"dense": chain.pair(last - 1, last), "sparse": AnchorPair(chain.anchor(last).weights, chain.largest),
             "sparse_same_compute": chain.sparse_pair(chain.equal_compute_steps())}
    alphas = {name: chain.best_alpha(pair, shape, setting.inner_alphas) for name, pair in pairs.items()}
    found = {name: chain.cross_entropy(chain.between(pair, shape, alphas[name])) for name, pair in pairs.items()}
    smallest = chain.cross_entropy(chain.anchor(last).weights)
    return {"gain": found["sparse"] - found["dense"], "gain_same_compute": found["sparse_same_compute"] - found["dense"],
            "over_smaller": smallest - found["dense"], "smaller": smallest, **found,
            **{f"alpha_{name}": alpha for name, alpha in alphas.items()}}


def step_by_step(seed: int, setting: ChainProtocolConfig, recorder: Recorder) -> Numbers:
    """Measure C6: the smallest anchor distilled through the chain, and straight from the largest with as many updates of its own."""
    chain = _chain(seed, setting, recorder)
    return _against_direct(chain, chain.direct(setting.chain_steps))


def step_by_step_equal_compute(seed: int, setting: ChainProtocolConfig, recorder: Recorder) -> Numbers:
    """Measure C10: the same, straight from the largest for as many operations as the whole chain took."""
    chain = _chain(seed, setting, recorder)
    steps = chain.equal_compute_steps()
    return {**_against_direct(chain, chain.direct(steps)), "direct_steps": steps}


def _against_direct(chain: SmallChain, direct: Trained) -> dict[str, float]:
    ways = {"stepwise": chain.anchor(len(chain.setting.sizes) - 1), "direct": direct}
    found = {name: chain.cross_entropy(way.weights) for name, way in ways.items()}
    return {"gain": found["direct"] - found["stepwise"], **found,
            **{f"{name}_loss_step_std": way.loss_step_std for name, way in ways.items()}}


def barrier(seed: int, setting: ChainProtocolConfig, recorder: Recorder) -> Numbers:
    """Measure C7: CE(alpha = 1/2) - max(CE(0), CE(1)) at one shape, between nested anchors and between ones that were trained apart.

    The ones trained apart are the paper's: the smaller is distilled from the larger afterwards, for as many steps as the nested one.
    """
    chain = _chain(seed, setting, recorder)
    numbers: dict[str, float] = {}
    pairs: dict[str, AnchorPair] = {"independent": chain.independent(distilled=True), "nested": chain.pair(0, 1),
                                    "undistilled": chain.independent(distilled=False)}
    for name, pair in pairs.items():
        large, middle, small = (chain.cross_entropy(chain.between(pair, chain.middle(pair), alpha)) for alpha in (0.0, 0.5, 1.0))
        numbers |= {f"barrier_{name}": middle - max(large, small), f"{name}_large": large, f"{name}_half": middle, f"{name}_small": small}
    return numbers


def against_cloning(seed: int, setting: ChainProtocolConfig, recorder: Recorder) -> Numbers:
    """Measure C11: at twice the smallest anchor's width, the mixture with the largest anchor and the smallest one cloned, after the budget.

    `core.students.hypercloning` doubles the width exactly; blocks that it lacks are identity blocks. Zero-initialised channels in place of
    clones are the exact expansion of C4.
    """
    from core.chains.interpolation import AnchorPair
    from core.students.hypercloning import hypercloned
    from core.students.resizing import resized

    chain = _chain(seed, setting, recorder)
    small, large = chain.anchor(len(setting.sizes) - 1).weights, chain.largest
    pair, shape = AnchorPair(small, large), _doubled(small.dimensions, large.dimensions)
    added = shape.layers - small.dimensions.layers

    def cloned() -> Weights:
        last = small.dimensions.layers - 1
        wide = hypercloned(small, 2, CLONING_NOISE, seed)
        return resized(wide, shape, (*range(last + 1), *[last] * added), identity=range(last + 1, shape.layers))

    alpha = chain.best_alpha(pair, shape, setting.inner_alphas)
    beginnings = {"mixed": lambda: chain.between(pair, shape, alpha), "cloned": cloned,
                  "expansion": lambda: chain.between(pair, shape, 1.0), "pruning": lambda: chain.between(pair, shape, 0.0)}
    before = {f"{name}_before": chain.cross_entropy(begin()) for name, begin in beginnings.items()}
    names = {name: f"doubled {name}" + (f" {alpha:g}" if name == "mixed" else "") for name in beginnings}
    after = {name: chain.recovered(names[name], begin).held_out[setting.recovery_steps] for name, begin in beginnings.items()}
    return {**{f"over_{name}": after[name] - after["mixed"] for name in ("cloned", "expansion", "pruning")},
            "clone_changes": abs(before["cloned_before"] - before["expansion_before"]), "alpha": alpha, **before,
            **{f"{name}_after": value for name, value in after.items()}}


def _doubled(small: Dimensions, large: Dimensions) -> Dimensions:
    """Return twice the small anchor's units, at a depth between the anchors'."""
    return replace(small, layers=(small.layers + large.layers) // 2, hidden=2 * small.hidden, heads=2 * small.heads,
                   key_value_heads=2 * small.key_value_heads, intermediate_size=2 * small.intermediate_size)


def alpha_after_recovery(seed: int, setting: ChainProtocolConfig, recorder: Recorder) -> Numbers:
    """Measure C12: the target trained on for the token budget from every alpha; the best one inside against the better end.

    alpha* is chosen on other held-out text than CE is measured on.
    """
    chain = _chain(seed, setting, recorder)
    trained = {alpha: chain.recovered(*_at_alpha(chain, alpha)) for alpha in setting.recovery_alphas}
    selection = {alpha: chain.cross_entropy(made.weights, "selection") for alpha, made in trained.items() if 0 < alpha < 1}
    best = min(selection, key=selection.__getitem__)
    after = {alpha: made.held_out[setting.recovery_steps] for alpha, made in trained.items()}
    return {"over_ends": min(after[0.0], after[1.0]) - after[best], "alpha": best,
            **{f"alpha_{round(100 * alpha)}": value for alpha, value in after.items()}}


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
