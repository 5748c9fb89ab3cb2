"""Recovery of a made model: the trainings that are begun together, and what their curves say. No Streamlit.

    made      the model itself
    random    new weights of the same shape
    nearest   the anchor whose size is nearest, as it is

All three read the same tokens in the same order, from the same teacher or from none.
"""

from __future__ import annotations

from collections.abc import Mapping

from core.chains.folder import Anchor, Chain, Target
from core.config import ExperimentConfig
from core.evaluation.time_to_target import Curve, first_step, time_to_target
from core.recipes import parse_recipe, read_recipe
from core.system import units
from core.system.paths import ASSETS
from workbench.store.chains import ChainPlace, MadeModel

RECIPE = ASSETS / "recipes" / "quickstart.yaml"
MADE, RANDOM, NEAREST = ROLES = ("made", "random", "nearest")
STEPS = 200  # unless another number of tokens is asked for
EVALUATIONS = 20  # of each training
LONGEST_NAME = 60  # letters of a made model's name in those of its runs


def nearest(chain: Chain, target: Target) -> Anchor:
    """The anchor whose parameter count is nearest to a size."""
    return min(chain.anchors, key=lambda anchor: abs(anchor.parameters - target.parameters))


def names(chain: Chain, target: Target) -> dict[str, str]:
    """What each of the trainings is called on the page."""
    return {MADE: "this model", RANDOM: "new weights, same shape", NEAREST: f"anchor {nearest(chain, target).number}, the nearest"}


def tokens_per_step(chain: Chain) -> int:
    """Tokens of one optimiser step, padding included."""
    base = _base(chain)
    return base.train.per_device_train_batch_size * base.train.gradient_accumulation_steps * base.data.block_length


def configs(place: ChainPlace, chain: Chain, model: MadeModel, *, taught: bool, tokens: int, seed: int) -> dict[str, ExperimentConfig]:
    """The three experiments, on the chain's own text.

    Args:
        taught: by the larger of the two anchors that the model lies between; else by the text alone.
        tokens: that each of them reads; whole steps are taken.
    """
    steps = max(1, round(tokens / tokens_per_step(chain)))
    plain = _base(chain).to_dict()
    plain["train"] |= {"max_steps": steps, "seed": seed, "save_steps": max(1, steps // 2)}
    plain["evaluation"] |= {"eval_steps": max(1, steps // EVALUATIONS), "sentiment_items": 0, "prompts": []}
    plain |= {"control": False, "teacher": {"model": f"{place.name}:{model.target.bracket}"}}
    if not taught:
        plain |= {"kind": "pretrain", "teacher": None, "losses": {"w_kd": 0, "w_hard": 1}}
    students = {MADE: {"model": str(model.folder)}, RANDOM: {"model": str(model.folder), "init": "random"},
                NEAREST: {"model": f"{place.name}:{nearest(chain, model.target).number}"}}
    name = f"{model.name[:LONGEST_NAME]}-recovered"
    return {role: parse_recipe({**plain, "name": name if role == MADE else f"{name}-{role}", "student": student,
                                "description": f"Recovery of {model.name} and what it is held against: {role}."})
            for role, student in students.items()}


def _base(chain: Chain) -> ExperimentConfig:
    """The quickstart's training on the chain's text."""
    plain, own = read_recipe(RECIPE).to_dict(), chain.record.get("config") or {}
    plain |= {key: own[key] for key in ("data",) if key in own}
    plain["evaluation"]["blocks"] = (own.get("evaluation") or plain["evaluation"])["blocks"]
    return parse_recipe(plain)


# ---------------------------------------------------------------------------------------------------- what came of it


def table(curves: Mapping[str, Curve], called: Mapping[str, str], *, ended: bool) -> tuple[list[str], list[list[str]]]:
    """Head and rows: loss before and after, and how soon each was where new weights ended.

    Args:
        curves: role -> held-out cross-entropy over steps, as far as they have come.
        ended: whether the training of new weights is over, so that its last loss is the target.
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
    """What the three curves say when all have ended, in Markdown."""
    made, random, other = (curves[role] for role in ROLES)
    last = made[max(made)]
    parts = [f"After {units.count(tokens)} tokens this model has a loss of {last:.3f}, {_against(last, random[max(random)])} than new "
             f"weights of its shape and {_against(last, other[max(other)])} than {called[NEAREST]}, trained alike."]
    parts.append(_sooner(made, random, "new weights end"))
    parts.append(_sooner(made, other, f"{called[NEAREST]} ends"))
    best = min(made, key=made.__getitem__)
    if made[best] < last - 0.0005:
        parts.append(f"Its own best loss was {made[best]:.3f}, after {best:,} steps.")
    return " ".join(parts)


def _sooner(curve: Curve, other: Curve, where: str) -> str:
    step, ratio = first_step(curve, other[max(other)]), time_to_target(curve, other)
    if step is None:
        return f"It does not get to where {where}."
    if step == 0:
        return f"It is past where {where} before its first step: **at least {ratio:.3g} times sooner**."
    return f"It is where {where} after {step:,} of {max(other):,} steps: **{ratio:.3g} times sooner**." if ratio > 1 else (
        f"It is where {where} only at the end.")


def _against(loss: float, other: float) -> str:
    difference = loss - other
    if abs(difference) < 0.0005:
        return "no different"
    return f"{abs(difference):.3f} {'higher' if difference > 0 else 'lower'}"
