"""The claims themselves: complete descriptions, protocols that give the numbers they promise."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from scipy import stats

from core.recorder import ListRecorder, StopRequested
from core.studies.claims import chain, chain_protocols
from core.studies.claims.chain_protocol import ChainProtocolConfig
from core.studies.claims.chain_protocols import spearman
from core.studies.claims.registry import CLAIMS
from core.studies.claims.running import run_claim

TINY = ChainProtocolConfig(sizes=((4, 32), (3, 24), (2, 16), (1, 8)), feed_forward=48, vocabulary=300, block_length=32, rows=200, batch=4,
                    anchor_steps=6, chain_steps=4, recovery_steps=4, calibration_blocks=4, evaluation_blocks=4, alphas=(0.0, 0.5, 1.0),
                     recovery_alphas=(0.0, 0.5, 1.0))
# The smallest anchor has half the width of the largest.
WIDE = replace(TINY, sizes=((3, 32), (2, 24), (1, 16)))


@pytest.mark.usefixtures("shared_home")
@pytest.mark.parametrize("name", [claim.name for claim in chain.CLAIMS])
def test_a_protocol_gives_the_numbers_that_its_claim_names(name: str) -> None:
    setting = {"C3": replace(TINY, sizes=((3, 32), (2, 16), (1, 8))), "C11": WIDE}.get(name, TINY)
    outcome = run_claim(name, (42,), ListRecorder(), setting=setting)
    named = {figure.name for figure in CLAIMS[name].figures}
    if name == "C12":  # names the alphas of the full scale
        named &= set(outcome.numbers)
    assert named == set(outcome.numbers)
    assert all(math.isfinite(number.mean) for number in outcome.numbers.values())


def test_models_are_found_again_and_belong_to_their_seed(shared_home: Path) -> None:
    from core.studies.claims.small_chain import SmallChain

    first, again, other = (SmallChain(TINY, seed, ListRecorder()) for seed in (1, 1, 2))
    assert first.anchor(1).losses and first.anchor(1).weights.origin == (0, 2, 3)
    there = models(shared_home)
    torch.testing.assert_close(again.anchor(1).weights.tensors, first.anchor(1).weights.tensors)
    assert not again.recorder.rows and models(shared_home) == there
    assert not torch.equal(other.largest.tensors["model.norm.weight"], first.largest.tensors["model.norm.weight"])


def test_a_stop_in_the_middle_of_a_model_leaves_nothing_half_made(shared_home: Path) -> None:
    from core.studies.claims.small_chain import SmallChain

    there, recorder = models(shared_home), ListRecorder(stop_after=3)
    with pytest.raises(StopRequested):
        SmallChain(TINY, 3, recorder).anchor(1)
    assert 3 in recorder.series("student", "loss") and TINY.anchor_steps not in recorder.series("student", "loss")
    assert models(shared_home) == there


def models(home: Path) -> set[Path]:
    return set((home / "cache" / "claims").glob("chain-model-*"))


@pytest.mark.usefixtures("shared_home")
def test_held_out_text_for_selection_and_for_results_is_not_the_same() -> None:
    from core.studies.claims.small_chain import SmallChain

    small = SmallChain(TINY, 1, ListRecorder())
    selection, test = (small._held_out(part) for part in ("selection", "test"))
    assert len(selection) == len(test) == TINY.evaluation_blocks
    assert not {row.tobytes() for row in selection.input_ids} & {row.tobytes() for row in test.input_ids}


# ---------------------------------------------------------------------------------------------------- verdicts that turn


def measured(name: str, chain_of: type, monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[float, ...]]:
    """Return what a protocol measures on a chain whose losses are given, three times alike."""
    monkeypatch.setattr(chain_protocols, "_chain", lambda *_: chain_of())
    numbers = CLAIMS[name].protocol(1, TINY, ListRecorder())
    return {figure: (value,) * 3 for figure, value in numbers.items()}


class Known:
    """A chain in which a model is its own loss: everything that is built of one is known by how it was built."""

    mixture, small, cut, replicated, independent_half = 3.0, 3.5, 4.0, 3.7, 5.0
    steps, direct_loss = 1054, 3.8
    alone_after = mixture_after = 3.2
    setting = TINY
    largest = "largest"

    def pair(self, *_: int) -> SimpleNamespace:
        return SimpleNamespace(small=self.small, kind="nested")

    def anchor(self, _number: int) -> SimpleNamespace:
        return SimpleNamespace(weights=self.small, loss_step_std=0.1)

    def direct(self, steps: int) -> SimpleNamespace:
        return SimpleNamespace(weights=self.direct_loss - (0.5 if steps == self.steps else 0.0), loss_step_std=0.1)

    def equal_compute_steps(self) -> int:
        return self.steps

    def independent(self, *, distilled: bool) -> SimpleNamespace:
        return SimpleNamespace(small=self.small, kind="independent" if distilled else "undistilled")

    def target(self, *_: int) -> str:
        return "target"

    def alpha(self) -> float:
        return 0.5

    def best_alpha(self, *_: object) -> float:
        return 0.5

    def shapes_between(self, _pair: object) -> tuple[int, ...]:
        return 1, 2, 3, 4

    def sizer(self, shape: int) -> int:
        return 1000 * shape

    def sweep(self, _pair: object, shape: int, _part: str) -> dict[float, float]:
        """Return losses that are lowest where alpha is as far from 1 as the shape is large."""
        return {alpha: abs(1 - shape / 5 - alpha) for alpha in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)}

    def middle(self, _pair: object) -> str:
        return "middle"

    def at_alpha(self, alpha: float) -> float:
        return {0.0: self.cut, 1.0: self.small}.get(alpha, self.mixture)

    def between(self, pair: SimpleNamespace, _shape: str, alpha: float, depth: str = "identity") -> float:
        if pair.kind == "nested":
            return self.replicated if depth == "replicate" else self.at_alpha(alpha)
        return self.independent_half if alpha == 0.5 else 3.5

    def random(self, _shape: str) -> float:
        return 7.0

    def recovered(self, name: str, begin: Callable[[], float]) -> SimpleNamespace:
        begun = begin()
        end = 6.0 if name == "random" else begun - 0.1
        return SimpleNamespace(held_out={0: begun, TINY.recovery_steps: end}, weights=end)

    def cross_entropy(self, weights: float, _part: str = "test") -> float:
        return weights

    def uniform_cross_entropy(self) -> float:
        return 7.0


class SmallerAnchorAsItIs(Known):
    """A trivial student: whatever is interpolated is the smaller anchor."""

    mixture = Known.small


class LargerCut(Known):
    """Another one: whatever is interpolated is the larger anchor cut to the size."""

    mixture = Known.cut


@pytest.mark.parametrize("name", ["C1", "C2", "C4", "C12"])
def test_a_trivial_student_does_not_pass(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It beats random weights by nats, and none of the baselines."""
    assert CLAIMS[name].rule.judge(measured(name, Known, monkeypatch)) == "pass"
    for trivial in (SmallerAnchorAsItIs, LargerCut):
        assert CLAIMS[name].rule.judge(measured(name, trivial, monkeypatch)) != "pass"
    found = measured("C2", SmallerAnchorAsItIs, monkeypatch)
    assert found["over_random"][0] > 1 and found["time_ratio"][0] > 1


def test_an_alpha_that_does_not_follow_the_size_turns_the_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    class Reversed(Known):
        def sweep(self, _pair: object, shape: int, _part: str) -> dict[float, float]:
            return super().sweep(_pair, 5 - shape, _part)

    class SmallerAnchorIsAlwaysBest(Known):
        def sweep(self, *_: object) -> dict[float, float]:
            return {0.0: 3.0, 0.5: 2.0, 1.0: 1.0}

    found = measured("C3", Known, monkeypatch)
    assert found["spearman"][0] == pytest.approx(-1) and found["boundary_alpha_fraction"][0] == 0
    assert CLAIMS["C3"].rule.judge(found) == "pass"
    assert CLAIMS["C3"].rule.judge(measured("C3", Reversed, monkeypatch)) == "fail"
    trivial = measured("C3", SmallerAnchorIsAlwaysBest, monkeypatch)
    assert CLAIMS["C3"].rule.judge(trivial) == "fail" and trivial["boundary_alpha_fraction"][0] == 1


def test_stepwise_and_direct_are_judged_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """At equal updates the chain wins, at equal compute straight down: one verdict each."""
    assert CLAIMS["C6"].rule.judge(measured("C6", Known, monkeypatch)) == "pass"
    found = measured("C10", Known, monkeypatch)
    assert CLAIMS["C10"].rule.judge(found) == "fail" and found["direct_steps"][0] == Known.steps


def test_a_control_without_a_barrier_turns_the_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    class Joined(Known):
        independent_half = 3.4

    assert CLAIMS["C7"].rule.judge(measured("C7", Known, monkeypatch)) == "pass"
    assert CLAIMS["C7"].rule.judge(measured("C7", Joined, monkeypatch)) == "fail"


@pytest.mark.usefixtures("shared_home")
def test_density_compares_one_smallest_anchor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where mixtures are nothing but the smallest anchor, both gaps give one number, and nothing is reproduced."""
    from core.studies.claims.small_chain import SmallChain

    found = CLAIMS["C5"].protocol(42, TINY, ListRecorder())
    assert 0 < found["alpha_dense"] < 1 and 0 < found["alpha_sparse"] < 1
    monkeypatch.setattr(SmallChain, "between", lambda self, pair, *_: pair.small)
    trivial = CLAIMS["C5"].protocol(42, TINY, ListRecorder())
    assert trivial["gain"] == trivial["over_smaller"] == 0
    assert CLAIMS["C5"].rule.judge({name: (value,) * 3 for name, value in trivial.items()}) != "pass"


@pytest.mark.usefixtures("shared_home")
def test_a_clone_in_place_of_the_mixture_does_not_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    from core.studies.claims.small_chain import SmallChain

    found = CLAIMS["C11"].protocol(42, WIDE, ListRecorder())
    assert found["clone_changes"] < 1e-3 and found["cloned_after"] != found["expansion_after"]
    recovered = SmallChain.recovered
    monkeypatch.setattr(SmallChain, "recovered", lambda self, name, begin: recovered(
        self, "doubled cloned" if name.startswith("doubled mixed") else name, begin))
    trivial = CLAIMS["C11"].protocol(42, WIDE, ListRecorder())
    assert trivial["over_cloned"] == 0 and CLAIMS["C11"].rule.judge({name: (value,) * 3 for name, value in trivial.items()}) != "pass"


@pytest.mark.usefixtures("shared_home")
def test_anchors_are_distilled_with_reverse_kl_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from core.studies.claims import small_chain

    seen = []
    trainer = small_chain.DistillationTrainer

    def watched(model, setup, *rest, **named):
        seen.append(setup)
        return trainer(model, setup, *rest, **named)

    monkeypatch.setattr(small_chain, "DistillationTrainer", watched)
    small_chain.SmallChain(TINY, 5, ListRecorder()).anchor(1)
    text, distilled = (setup.losses for setup in seen)
    assert (text.uses("kd"), text.uses("hard")) == (False, True)
    assert (distilled.divergence, distilled.temperature, distilled.uses("hard"), distilled.uses("kd")) == ("reverse_kl", 1.0, False, True)


@pytest.mark.usefixtures("shared_home")
def test_equal_compute_counts_teacher_and_student() -> None:
    """Two steps down against one: cost of a step is 2 P of its teacher and 6 P of its student."""
    from core.studies.claims.small_chain import SmallChain

    small = SmallChain(replace(TINY, sizes=((4, 32), (2, 16), (1, 8)), chain_steps=100), 1, ListRecorder())
    large, middle, last = (small.sizer(small._dimensions(number)) for number in range(3))
    spent = small.equal_compute_steps() * (2 * large + 6 * last)
    assert spent == pytest.approx(100 * (2 * large + 6 * middle + 2 * middle + 6 * last), rel=0.01)


@pytest.mark.parametrize(("first", "second", "rho"), [
    ([1, 2, 3, 4], [10, 20, 30, 40], 1.0), ([4, 3, 2, 1], [10, 20, 30, 40], -1.0), ([1, 2, 4, 3], [1, 2, 3, 4], 0.8),
    ([0.9, 0.9, 0.9, 0.9], [1, 2, 3, 4], 0.0), ([1, 1, 2, 2], [1, 2, 3, 4], 0.894427191),
])
def test_spearman(first: list[float], second: list[float], rho: float) -> None:
    assert spearman(first, second) == pytest.approx(rho)
    if rho:
        assert stats.spearmanr(first, second).statistic == pytest.approx(rho)
