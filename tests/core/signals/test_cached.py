"""A teacher that is queried once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from core.errors import CorruptSignalsError
from core.signals.cache import SignalCache
from core.signals.cached import CachedTeacher
from core.signals.forms import DrawnTokens, HiddenStates, LikeliestTokens, StoredForm
from core.signals.manifest import Key
from core.signals.source import LocalTeacher
from tests.core.chat_models import chat_model, chat_tokenizer

T = 12


@pytest.fixture(scope="module")
def teacher() -> LocalTeacher:
    return LocalTeacher(chat_model())


@pytest.fixture
def blocks() -> torch.Tensor:
    return torch.randint(0, 200, (5, T), generator=torch.Generator().manual_seed(0))


def cached(folder: Path, form: StoredForm, source: LocalTeacher | None) -> CachedTeacher:
    key = Key("teacher", "w", "t", form.describe(), "float32", T, len(chat_tokenizer()))
    return CachedTeacher(SignalCache(folder, key), form, source)


def test_it_is_queried_once_for_each_block(tmp_path, teacher, blocks):
    first, everywhere = cached(tmp_path / "c", HiddenStates(), teacher), torch.ones(3, T, dtype=torch.bool)
    first.answer(blocks[:3], None, everywhere)
    first.answer(blocks[2:], None, everywhere)
    assert (first.queried, first.reused) == (5, 1)
    first.flush()
    later = cached(tmp_path / "c", HiddenStates(), None)
    later.answer(blocks[[4, 0, 2]], None, everywhere)
    assert (later.queried, later.reused) == (0, 3)
    with pytest.raises(CorruptSignalsError, match="lack a block"):
        later.answer(blocks + 1, None, torch.ones(5, T, dtype=torch.bool))


def test_hidden_answers_are_the_live_ones_up_to_bf16(tmp_path, teacher, blocks):
    positions = torch.rand(5, T, generator=torch.Generator().manual_seed(1)) < 0.5
    live = teacher.answer(blocks, None, positions)
    kept = cached(tmp_path / "c", HiddenStates(), teacher).answer(blocks, None, positions)
    assert torch.equal(kept.targets.states, live.targets.states.bfloat16().float())
    width, part = len(chat_tokenizer()), slice(0, len(kept.targets))
    torch.testing.assert_close(kept.targets.at(part, width), live.targets.at(part, width), atol=0.05, rtol=0.02)
    torch.testing.assert_close(kept.states.last.float(), live.states.last, atol=0.02, rtol=0.01)


@pytest.mark.parametrize("form", [HiddenStates(), LikeliestTokens(4, 2.0), LikeliestTokens(4, 2.0, tail=False), DrawnTokens(20, 2.0)],
                         ids=str)
def test_answers_before_and_after_they_were_kept_are_equal(tmp_path, teacher, blocks, form):
    positions = torch.rand(5, T, generator=torch.Generator().manual_seed(1)) < 0.5
    first = cached(tmp_path / "c", form, teacher)
    before = first.answer(blocks, None, positions).targets
    first.flush()
    after = cached(tmp_path / "c", form, None).answer(blocks, None, positions).targets
    assert len(after) == int(positions.sum())
    for name in before.__dataclass_fields__:
        if isinstance(getattr(before, name), torch.Tensor):
            assert torch.equal(getattr(before, name), getattr(after, name)), name


def test_filling_asks_for_what_is_missing_alone(tmp_path, teacher, blocks):
    source = cached(tmp_path / "c", DrawnTokens(20, 2.0), teacher)
    assert source.fill(blocks[:2]) == 2 and source.fill(blocks) == 3 and source.fill(blocks) == 0
    assert source.seconds > 0
