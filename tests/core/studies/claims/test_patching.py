"""The claims about patching: what they measure, and verdicts that turn where it is broken or a trivial student stands in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from core.recorder import ListRecorder, StopRequested
from core.studies.claims import distilbert_protocols, patching, patching_encoder, patching_protocols
from core.studies.claims.claim import Claim
from core.studies.claims.distilbert_protocols import DistilBertProtocolConfig
from core.studies.claims.patching_protocol import PatchingProtocolConfig
from core.studies.claims.registry import CLAIMS
from tests.core.masked_models import masked_model, save

TINY = PatchingProtocolConfig(sizes=((6, 16), (3, 16)), feed_forward=24, spans=(2, 3), direct_sizes=(4,), random_orders=1, vocabulary=300,
                              block_length=32, rows=200, batch=4, anchor_steps=6, chain_steps=4, recovery_steps=4, calibration_blocks=4,
                              evaluation_blocks=4)
DECODERS = [claim for claim in patching.CLAIMS if claim.name != "E6"]


def verdict(claim: Claim, numbers: Any) -> str:
    return claim.rule.judge({name: (value,) * 3 for name, value in numbers.items()})


@pytest.mark.usefixtures("shared_home")
@pytest.mark.parametrize("claim", DECODERS, ids=lambda claim: claim.name)
def test_every_figure_is_measured(claim: Claim) -> None:
    numbers = claim.protocol(7, TINY, ListRecorder())
    assert all(math.isfinite(value) for value in numbers.values())
    whole = {figure.name for figure in claim.figures}
    # Depths and spans of the full scale have other names than those of this one.
    assert {name for name in whole if not name[-1].isdigit()} == {name for name in numbers if not name[-1].isdigit()}
    with pytest.raises(StopRequested):
        claim.protocol(8, TINY, ListRecorder(stop_after=0))


def test_figures_name_what_the_full_scale_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patching_protocols, "_patching", lambda *_: Line())
    for claim in DECODERS:
        assert set(claim.protocol(1, patching.SETTING, ListRecorder())) == {figure.name for figure in claim.figures}


@pytest.mark.usefixtures("shared_home")
def test_the_last_size_is_the_teacher_and_the_first_the_student() -> None:
    from core.studies.claims.small_patching import Patching

    models = Patching(TINY, 7, ListRecorder())
    pair = models.student(2)
    assert pair.small.origin == (0, 2, 4) and pair.ends == (1, 3, 5)
    whole = models.patched(pair, (2, 1, 0))
    assert whole.tensors is pair.large.tensors and models.patched(pair, ()).tensors is pair.small.tensors
    half = models.patched(pair, (2,))
    assert half.dimensions.layers == 4 and half.origin == (0, 2, 4, 5)
    torch.testing.assert_close(half.tensors["model.layers.3.mlp.up_proj.weight"], pair.large.tensors["model.layers.5.mlp.up_proj.weight"])


# ---------------------------------------------------------------------------------------------------- verdicts that turn


class Line:
    """A teacher of loss 3 and a student of loss 4; a size between lies on the line between them, naive pruning far above."""

    student_loss, teacher_loss, pruned_loss, direct_bonus, wide_jump = 4.0, 3.0, 5.0, 0.0, 0.5

    def student(self, span: int, *, random: bool = False) -> SimpleNamespace:
        layers = 12 // span
        return SimpleNamespace(small=SimpleNamespace(dimensions=SimpleNamespace(layers=layers)), span=span, random=random)

    def patched(self, pair: SimpleNamespace, swapped: Sequence[int]) -> SimpleNamespace:
        spans = 12 // pair.span
        share = len(swapped) / spans
        loss = self.student_loss + share * (self.teacher_loss - self.student_loss)
        inside = 0 < len(swapped) < spans
        # The last block first is right; the first one first costs.
        loss += 0.1 * (inside and 0 in swapped) + self.wide_jump * (inside and pair.span == 4) + self.random_cost * (inside and pair.random)
        return SimpleNamespace(dimensions=SimpleNamespace(layers=spans + len(swapped) * (pair.span - 1)), loss=loss)

    random_cost = 2.0

    def pruned(self, _depth: int) -> SimpleNamespace:
        return SimpleNamespace(loss=self.pruned_loss)

    def direct(self, depth: int) -> SimpleNamespace:
        return SimpleNamespace(weights=SimpleNamespace(loss=4.0 - (depth - 6) / 6 - self.direct_bonus))

    def cross_entropy(self, model: SimpleNamespace) -> float:
        return model.loss

    def kl_to_teacher(self, model: SimpleNamespace) -> float:
        return model.loss - self.teacher_loss


class StudentAsItIs(Line):
    """A trivial student: every size between is the student."""

    def patched(self, pair: SimpleNamespace, swapped: Sequence[int]) -> SimpleNamespace:
        made = super().patched(pair, swapped)
        return made if len(swapped) == 12 // pair.span else SimpleNamespace(dimensions=made.dimensions, loss=self.student_loss)


class PrunedTeacher(Line):
    """Another one: every size between is the pruned teacher."""

    def patched(self, pair: SimpleNamespace, swapped: Sequence[int]) -> SimpleNamespace:
        made = super().patched(pair, swapped)
        return SimpleNamespace(dimensions=made.dimensions, loss=self.pruned_loss) if 0 < len(swapped) < 12 // pair.span else made


class BetterDirect(Line):
    direct_bonus = 0.3


class SmoothWide(Line):
    wide_jump = 0.0


class RandomInterpolates(Line):
    random_cost = 0.0


@pytest.mark.parametrize(("name", "broken"), [
    ("E1", StudentAsItIs), ("E1", PrunedTeacher), ("E2", RandomInterpolates), ("E2", PrunedTeacher), ("E3", BetterDirect),
    ("E3", StudentAsItIs), ("E4", SmoothWide), ("E5", StudentAsItIs)])
def test_what_is_measured_decides(name: str, broken: type, monkeypatch: pytest.MonkeyPatch) -> None:
    claim = CLAIMS[name]
    monkeypatch.setattr(patching_protocols, "_patching", lambda *_: Line())
    assert verdict(claim, claim.protocol(1, patching.SETTING, ListRecorder())) == "pass"
    monkeypatch.setattr(patching_protocols, "_patching", lambda *_: broken())
    assert verdict(claim, claim.protocol(1, patching.SETTING, ListRecorder())) != "pass"


def test_a_straight_line_has_roughness_one_whatever_its_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    class Straight(SmoothWide):
        def patched(self, pair: SimpleNamespace, swapped: Sequence[int]) -> SimpleNamespace:
            return super().patched(pair, [block for block in swapped if block] + [99] * (0 in swapped))

    monkeypatch.setattr(patching_protocols, "_patching", lambda *_: Straight())
    numbers = CLAIMS["E4"].protocol(1, patching.SETTING, ListRecorder())
    assert [numbers[f"roughness_{span}"] for span in (2, 3, 4)] == pytest.approx([1, 1, 1])


# ---------------------------------------------------------------------------------------------------- E6


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> DistilBertProtocolConfig:
    teacher = save(masked_model(), tmp_path_factory.mktemp("claims") / "teacher")
    return DistilBertProtocolConfig(teacher=str(teacher), layers=2, steps=2, blocks=4)


@pytest.fixture
def little(monkeypatch: pytest.MonkeyPatch, kept: Path) -> None:
    monkeypatch.setenv("STILLHOUSE_HOME", str(kept))
    monkeypatch.setattr("core.data.prepare.VALIDATION_ROWS", 200)
    recipe = distilbert_protocols.recipe_of

    def shorter(seed: int, given: DistilBertProtocolConfig) -> Any:
        config = recipe(seed, given)
        return config.model_copy(update={"data": config.data.model_copy(update={"max_rows": 40, "block_length": 32}),
                                         "train": config.train.model_copy(update={"per_device_train_batch_size": 4})})

    monkeypatch.setattr(distilbert_protocols, "recipe_of", shorter)


@pytest.mark.usefixtures("little")
def test_the_whole_teacher_comes_back(encoder: DistilBertProtocolConfig) -> None:
    """With every span patched back student and copy are the teacher, which computes what it computed before it was converted."""
    from core.data.prepare import held_out_blocks
    from core.evaluation.masked import evaluate_masked
    from core.models import catalog

    numbers = patching_encoder.patched_back(7, encoder, ListRecorder())
    last = max(int(name.removeprefix("patched_")) for name in numbers if name.startswith("patched_"))
    assert numbers[f"patched_{last}"] == numbers[f"pruned_{last}"]
    teacher = catalog.load(encoder.teacher, dtype=torch.float32)
    held_out = held_out_blocks(distilbert_protocols.recipe_of(7, encoder).data, teacher.tokenizer, "masked").take(encoder.blocks)
    expected = evaluate_masked(teacher.model, held_out, tokenizer=teacher.tokenizer, batch_size=8, device="cpu")["cross_entropy"]
    assert numbers[f"patched_{last}"] == pytest.approx(expected, abs=1e-4)


@pytest.mark.usefixtures("little")
def test_a_copy_that_was_never_distilled_does_not_pass(encoder: DistilBertProtocolConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    patch = patching_encoder.patch
    copies: list[Any] = []

    def copied(small: Any, whole: Any, spans: Any, swapped: Any) -> Any:
        if not copies:
            copies.append(patching_encoder.pruned(whole, [span[0] for span in spans]))
        return patch(copies[0], whole, spans, swapped)

    monkeypatch.setattr(patching_encoder, "patch", copied)
    numbers = patching_encoder.patched_back(7, encoder, ListRecorder())
    assert numbers["least_over_pruning"] == 0 and verdict(CLAIMS["E6"], numbers) != "pass"


@pytest.mark.parametrize(("rise", "margin", "expected"), [(-0.1, 0.1, "pass"), (0.1, 0.1, "fail"), (-0.1, -0.1, "fail")])
def test_one_rise_or_one_lost_size_turns_it(rise: float, margin: float, expected: str) -> None:
    assert verdict(CLAIMS["E6"], {"largest_rise": rise, "least_over_pruning": margin}) == expected


def test_spans_reach_from_one_origin_to_the_next() -> None:
    assert patching_encoder.spans_of((0, 2, 4, 7, 9, 11), 12) == [range(0, 2), range(2, 4), range(4, 7), range(7, 9), range(9, 11),
                                                                 range(11, 12)]
    state = {f"{patching_encoder.BLOCKS}.{block}.w": torch.tensor(float(block)) for block in range(3)} | {
        f"{patching_encoder.EMBEDDINGS}.w": torch.tensor(-1.0), "vocab_transform.w": torch.tensor(-2.0)}
    whole = {name: tensor + 10 for name, tensor in state.items()} | {f"{patching_encoder.BLOCKS}.{block}.w": torch.tensor(10.0 + block)
                                                                     for block in range(6)}
    spans = patching_encoder.spans_of((0, 2, 5), 6)
    last = patching_encoder.patch(state, whole, spans, [2])
    assert [last[f"{patching_encoder.BLOCKS}.{block}.w"].item() for block in range(3)] == [0, 1, 15]
    assert last["vocab_transform.w"] == 8 and last[f"{patching_encoder.EMBEDDINGS}.w"] == -1
    middle = patching_encoder.patch(state, whole, spans, [2, 1])
    assert [middle[f"{patching_encoder.BLOCKS}.{block}.w"].item() for block in range(5)] == [0, 12, 13, 14, 15]
