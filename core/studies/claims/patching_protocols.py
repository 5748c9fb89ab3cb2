"""The protocols of the claims about sizes by patching: each measures one seed; `core.studies.claims.patching` says what must come out.

A student has one block for each *span* of a teacher's blocks, begins as the first block of each, and is distilled with its hidden states
aligned to the ends of the spans. A *patched* model has some of its blocks exchanged for the spans that they stand for
(`core.chains.interpolation.substitute`): one model at every depth between, without training. CE is held-out cross-entropy in nats per
token; every gain is a difference within a seed, above 0 where it speaks for the claim.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from core.evaluation.statistics import mean
from core.recorder import Recorder
from core.studies.claims.claim import Numbers
from core.studies.claims.patching_protocol import PatchingProtocolConfig

if TYPE_CHECKING:
    from core.chains.interpolation import AnchorPair
    from core.studies.claims.small_patching import Patching


def _patching(seed: int, setting: PatchingProtocolConfig, recorder: Recorder) -> Patching:
    from core.studies.claims.small_patching import Patching

    return Patching(setting, seed, recorder)


def last_to_first(pair: AnchorPair) -> tuple[int, ...]:
    """Return the published order in which spans are patched back."""
    return tuple(reversed(range(pair.small.dimensions.layers)))


def curve(models: Patching, pair: AnchorPair, order: Sequence[int]) -> dict[int, float]:
    """Return depth -> CE of the student, of every size between as spans are patched back in that order, and of the teacher."""
    found: dict[int, float] = {}
    for count in range(len(order) + 1):
        model = models.patched(pair, order[:count])
        found[model.dimensions.layers] = models.cross_entropy(model)
    return found


def between(losses: dict[int, float]) -> list[float]:
    """Return the losses of the sizes between the two ends."""
    return [losses[depth] for depth in sorted(losses)[1:-1]]


def interpolates(seed: int, setting: PatchingProtocolConfig, recorder: Recorder) -> Numbers:
    """Measure E1: sizes by patching against the teacher pruned to the same depths, evenly, and against the student as it is."""
    models = _patching(seed, setting, recorder)
    pair = models.student(setting.spans[0])
    patched = curve(models, pair, last_to_first(pair))
    pruned = {depth: models.cross_entropy(models.pruned(depth)) for depth in patched}
    smallest = min(patched)
    inner = sorted(patched)[1:-1]
    return {"least_over_pruning": min(pruned[depth] - patched[depth] for depth in inner),
            "over_student": patched[smallest] - mean(between(patched)),
            "area_over_pruning": mean(between(pruned)) - mean(between(patched)), "student": patched[smallest],
            "teacher": patched[max(patched)], **{f"patched_{depth}": patched[depth] for depth in inner},
            **{f"pruned_{depth}": pruned[depth] for depth in inner}}


def random_does_not(seed: int, setting: PatchingProtocolConfig, recorder: Recorder) -> Numbers:
    """Measure E2: the same with a student that begins at random: what the sizes between lose against the student itself."""
    models = _patching(seed, setting, recorder)
    found: dict[str, float] = {}
    for name, random in (("copied", False), ("random", True)):
        pair = models.student(setting.spans[0], random=random)
        losses = curve(models, pair, last_to_first(pair))
        student = losses[min(losses)]
        found |= {f"{name}_student": student, f"{name}_between": mean(between(losses)), f"{name}_worst": max(between(losses)),
                  f"{name}_gain": student - mean(between(losses))}
    return {"random_loss": -found.pop("random_gain"), **found}


def as_good_as_direct(seed: int, setting: PatchingProtocolConfig, recorder: Recorder) -> Numbers:
    """Measure E3: a patched model against one of its depth that was distilled directly, for as many tokens as the student."""
    models = _patching(seed, setting, recorder)
    pair = models.student(setting.spans[0])
    patched = curve(models, pair, last_to_first(pair))
    direct = {depth: models.cross_entropy(models.direct(depth).weights) for depth in setting.direct_sizes}
    return {**{f"margin_{depth}": loss - patched[depth] for depth, loss in direct.items()},
            **{f"direct_{depth}": loss for depth, loss in direct.items()}, **{f"patched_{depth}": patched[depth] for depth in direct},
            "student": patched[min(patched)], "teacher": patched[max(patched)]}


def wide_spans_break(seed: int, setting: PatchingProtocolConfig, recorder: Recorder) -> Numbers:
    """Measure E4: how far a curve is from a straight line, for students of wider spans.

        roughness = (largest |change| from one size to the next) / |CE of the student - CE of the teacher| * number of spans

    1 is a straight line, whatever the number of spans.
    """
    models = _patching(seed, setting, recorder)
    numbers: dict[str, float] = {}
    for span in setting.spans:
        pair = models.student(span)
        losses = [loss for _, loss in sorted(curve(models, pair, last_to_first(pair)).items())]
        jump, whole = max(abs(after - before) for before, after in pairwise(losses)), abs(losses[0] - losses[-1])
        numbers |= {f"roughness_{span}": jump / whole * (len(losses) - 1), f"jump_{span}": jump, f"range_{span}": whole,
                    f"worst_{span}": max(losses) - losses[0]}
    first, last = setting.spans[0], setting.spans[-1]
    return {"rougher": numbers[f"roughness_{last}"] - numbers[f"roughness_{first}"], **numbers}


def choosing_by_kl(seed: int, setting: PatchingProtocolConfig, recorder: Recorder) -> Numbers:
    """Measure E5: mean CE of the sizes between, for spans patched back by least KL to the teacher, from last to first, and at random.

    KL is measured on other held-out text; at every size the span is taken whose patched model is nearest to the teacher.
    """
    import random

    models = _patching(seed, setting, recorder)
    pair = models.student(setting.spans[0])
    published = last_to_first(pair)
    by_kl: list[int] = []
    while len(by_kl) < len(published) - 1:
        distance = {block: models.kl_to_teacher(models.patched(pair, [*by_kl, block])) for block in published if block not in by_kl}
        by_kl.append(min(distance, key=distance.__getitem__))
    by_kl.append(next(block for block in published if block not in by_kl))
    drawn = random.Random(seed)
    orders = {"kl": tuple(by_kl), "last_first": published}
    area = {name: mean(between(curve(models, pair, order))) for name, order in orders.items()}
    area["random"] = mean([mean(between(curve(models, pair, drawn.sample(published,
     len(published))))) for _ in range(setting.random_orders)])
    return {"kl_over_last_first": area["last_first"] - area["kl"], "last_first_over_random": area["random"] - area["last_first"],
            **{f"area_{name}": value for name, value in area.items()}}
