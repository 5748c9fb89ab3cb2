"""The claims themselves: complete descriptions, protocols that give the numbers they promise."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from scipy import stats

from core.recorder import ListRecorder, StopRequested
from core.studies.claims import chain
from core.studies.claims.chain import spearman
from core.studies.claims.chain_protocol import ChainProtocolConfig
from core.studies.claims.registry import CLAIMS
from core.studies.claims.running import run_claim

TINY = ChainProtocolConfig(sizes=((4, 32), (3, 24), (2, 16), (1, 8)), feed_forward=48, vocabulary=300, block_length=32, rows=200, batch=4,
                    anchor_steps=6, chain_steps=4, recovery_steps=4, calibration_blocks=4, evaluation_blocks=4, alphas=(0.0, 0.5, 1.0))


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("claims")


@pytest.fixture
def shared_home(kept: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One home for all: the claims share their models and blocks. Little text is held out."""
    monkeypatch.setattr("core.data.prepare.VALIDATION_ROWS", 200)
    monkeypatch.setenv("STILLHOUSE_HOME", str(kept))
    return kept


@pytest.mark.usefixtures("shared_home")
@pytest.mark.parametrize("name", [claim.name for claim in chain.CLAIMS])
def test_a_protocol_gives_the_numbers_that_its_claim_names(name: str) -> None:
    setting = TINY if name != "C3" else replace(TINY, sizes=((3, 32), (2, 16), (1, 8)))
    outcome = run_claim(name, (42,), ListRecorder(), setting=setting)
    assert {figure.name for figure in CLAIMS[name].figures} == set(outcome.numbers)
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


@pytest.mark.parametrize(("first", "second", "rho"), [
    ([1, 2, 3, 4], [10, 20, 30, 40], 1.0), ([4, 3, 2, 1], [10, 20, 30, 40], -1.0), ([1, 2, 4, 3], [1, 2, 3, 4], 0.8),
    ([0.9, 0.9, 0.9, 0.9], [1, 2, 3, 4], 0.0), ([1, 1, 2, 2], [1, 2, 3, 4], 0.894427191),
])
def test_spearman(first: list[float], second: list[float], rho: float) -> None:
    assert spearman(first, second) == pytest.approx(rho)
    if rho:
        assert stats.spearmanr(first, second).statistic == pytest.approx(rho)
