"""Recovery training of a created model: the runs that are started together, and what their curves show. No Streamlit.

    made      the created model itself
    random    a random initialisation of the same shape
    nearest   the anchor whose size is nearest, as it is

All three are trained on the same tokens in the same order, with the same teacher or without one.
"""

from __future__ import annotations

from collections.abc import Mapping

from core.chains.folder import Anchor, Chain, Target
from core.config import ExperimentConfig
from core.evaluation.time_to_target import Curve, first_step, time_to_target
from core.recipes import parse_recipe, read_recipe
from core.system import units
from core.system.paths import ASSETS
from workbench.store.chains import ChainPlace, CreatedModel

RECIPE = ASSETS / "recipes" / "quickstart.yaml"
CREATED, RANDOM, NEAREST = ROLES = ("made", "random", "nearest")
STEPS = 200  # the default
EVALUATIONS = 20  # of each training
LONGEST_NAME = 60  # letters of a created model's name in the names of its runs


def nearest(chain: Chain, target: Target) -> Anchor:
    """Return the anchor whose parameter count is nearest to a size."""
    return min(chain.anchors, key=lambda anchor: abs(anchor.parameters - target.parameters))


def names(chain: Chain, target: Target) -> dict[str, str]:
    """Return the label of each run on the page."""
    return {CREATED: "this model", RANDOM: "random initialisation", NEAREST: f"anchor {nearest(chain, target).number}, the nearest"}


def tokens_per_step(chain: Chain) -> int:
    """Tokens of one optimiser step, padding included."""
    base = _base(chain)
    return base.train.per_device_train_batch_size * base.train.gradient_accumulation_steps * base.data.block_length


def configs(place: ChainPlace, chain: Chain, model: CreatedModel, *, distilled: bool, tokens: int,
            seed: int) -> dict[str, ExperimentConfig]:
    """Return the three experiments, on the chain's own text.

    Args:
        distilled: whether the larger of the two neighbouring anchors is the teacher; else training is on text only.
        tokens: training tokens of each run, rounded to whole steps.
    """
    steps = max(1, round(tokens / tokens_per_step(chain)))
    plain = _base(chain).to_dict()
    plain["train"] |= {"max_steps": steps, "seed": seed, "save_steps": max(1, steps // 2)}
    plain["evaluation"] |= {"eval_steps": max(1, steps // EVALUATIONS), "sentiment_items": 0, "prompts": []}
    plain |= {"control": False, "teacher": {"model": f"{place.name}:{model.target.larger_anchor}"}}
    if not distilled:
        plain |= {"kind": "pretrain", "teacher": None, "losses": {"w_kd": 0, "w_hard": 1}}
    students = {CREATED: {"model": str(model.folder)}, RANDOM: {"model": str(model.folder), "init": "random"},
                NEAREST: {"model": f"{place.name}:{nearest(chain, model.target).number}"}}
    name = f"{model.name[:LONGEST_NAME]}-recovered"
    return {role: parse_recipe({**plain, "name": name if role == CREATED else f"{name}-{role}", "student": student,
                                "description": f"Recovery of {model.name} and its baselines: {role}."})
            for role, student in students.items()}


def _base(chain: Chain) -> ExperimentConfig:
    """Return the quickstart's training on the chain's text."""
    plain, own = read_recipe(RECIPE).to_dict(), chain.record.get("config") or {}
    plain |= {key: own[key] for key in ("data",) if key in own}
    plain["evaluation"]["blocks"] = (own.get("evaluation") or plain["evaluation"])["blocks"]
    return parse_recipe(plain)


# ---------------------------------------------------------------------------------------------------- results


def table(curves: Mapping[str, Curve], called: Mapping[str, str], *, ended: bool) -> tuple[list[str], list[list[str]]]:
    """Return head and rows: loss before and after, and the time to the final loss of the random initialisation.

    Args:
        curves: role -> held-out cross-entropy over steps, as far as they have come.
        ended: whether the run from a random initialisation has finished, so that its final loss is the target.
    """
    rows = []
    for role in ROLES:
        curve = curves.get(role)
        if not curve:
            rows.append([called[role], "–", "–", "–", "–"])
            continue
        reached = _reached(curve, curves[RANDOM]) if ended and curves.get(RANDOM) else ("–", "–")
        rows.append([called[role], f"{curve[min(curve)]:.3f}", f"{curve[max(curve)]:.3f}", *reached])
    return ["Held-out loss", "Before", "After" if ended else "Now", "To target", "Ratio"], rows


def _reached(curve: Curve, other: Curve) -> tuple[str, str]:
    step, ratio = first_step(curve, other[max(other)]), time_to_target(curve, other)
    if step is None:
        return "not reached", "–"
    return ("0 steps", f"≥ {ratio:.3g}×") if step == 0 else (f"{step:,} steps", f"{ratio:.3g}×")


def finding(curves: Mapping[str, Curve], called: Mapping[str, str], tokens: int) -> str:
    """Return the conclusion of the three finished runs, in Markdown."""
    created, random, other = (curves[role] for role in ROLES)
    last = created[max(created)]
    parts = [f"After {units.count(tokens)} tokens this model has a loss of {last:.3f}, {_against(last, random[max(random)])} than a "
             f"random initialisation of its shape and {_against(last, other[max(other)])} than {called[NEAREST]}, trained the same way."]
    parts.append(_sooner(created, random, "the final loss of the random initialisation"))
    parts.append(_sooner(created, other, f"the final loss of {called[NEAREST]}"))
    best = min(created, key=created.__getitem__)
    if created[best] < last - 0.0005:
        parts.append(f"Its own best loss was {created[best]:.3f}, after {best:,} steps.")
    return " ".join(parts)


def _sooner(curve: Curve, other: Curve, target: str) -> str:
    step, ratio = first_step(curve, other[max(other)]), time_to_target(curve, other)
    if step is None:
        return f"It does not reach {target}."
    if step == 0:
        return f"It is below {target} before its first step: **at least {ratio:.3g} times sooner**."
    return f"It reaches {target} after {step:,} of {max(other):,} steps: **{ratio:.3g} times sooner**." if ratio > 1 else (
        f"It reaches {target} only at the end.")


def _against(loss: float, other: float) -> str:
    difference = loss - other
    if abs(difference) < 0.0005:
        return "no different"
    return f"{abs(difference):.3f} {'higher' if difference > 0 else 'lower'}"
