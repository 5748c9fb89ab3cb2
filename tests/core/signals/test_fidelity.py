"""The measured difference between kept and live answers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from core.signals.cache import SignalCache
from core.signals.fidelity import Fidelity, measure_fidelity
from core.signals.forms import DrawnTokens, HiddenStates, LikeliestTokens, StoredForm
from core.signals.source import LocalTeacher
from tests.core.chat_models import chat_model, chat_tokenizer
from tests.core.signals.test_cached import T, cached

VOCABULARY = len(chat_tokenizer())


def measured(folder: Path, form: StoredForm, teacher: LocalTeacher, positions: int = 40) -> Fidelity:
    built = cached(folder, form, LocalTeacher(chat_model()))
    built.fill(torch.randint(0, 200, (6, T), generator=torch.Generator().manual_seed(0)))
    built.flush()
    return measure_fidelity(built.cache, form, teacher, 2.0, positions)


@pytest.mark.parametrize("form", [HiddenStates(), LikeliestTokens(5, 2.0), LikeliestTokens(VOCABULARY, 2.0), DrawnTokens(127, 2.0)],
                         ids=str)
def test_kept_answers_are_near_their_own_teacher_and_far_from_another(tmp_path, form):
    same = measured(tmp_path / "same", form, LocalTeacher(chat_model()))
    other = measured(tmp_path / "other", form, LocalTeacher(chat_model(seed=1)))
    assert same.positions == other.positions == 40
    assert same.kl < other.kl and same.agreement > other.agreement
    if not isinstance(form, DrawnTokens):
        assert same.kl < 1e-3 and same.agreement > 0.95
    assert same.mass == pytest.approx(1.0) if form in (HiddenStates(), LikeliestTokens(VOCABULARY, 2.0)) else 0 < same.mass < 1


def test_it_is_the_divergence_of_the_rebuilt_logits(tmp_path):
    teacher, ids = LocalTeacher(chat_model()), torch.randint(0, 200, (1, T), generator=torch.Generator().manual_seed(0))
    built = cached(tmp_path / "c", HiddenStates(), teacher)
    built.fill(ids)
    built.flush()
    states = teacher.answer(ids, None, torch.ones_like(ids, dtype=torch.bool)).targets.states
    head = teacher.model.get_output_embeddings().weight
    live, rebuilt = (torch.log_softmax((each @ head.T)[:, :VOCABULARY].detach().double(), -1)
                     for each in (states, states.bfloat16().float()))
    expected = float((live.exp() * (live - rebuilt)).sum(-1).mean())
    assert measure_fidelity(built.cache, HiddenStates(), teacher, 2.0).kl == pytest.approx(expected, rel=0.05, abs=1e-7)


def test_an_empty_cache_has_nothing_to_compare(tmp_path):
    built = cached(tmp_path / "c", HiddenStates(), None)
    assert isinstance(built.cache, SignalCache)
    with pytest.raises(ValueError, match="empty"):
        measure_fidelity(built.cache, HiddenStates(), LocalTeacher(chat_model()), 2.0)
