"""The claim about the bridge, and its Rouge-L against the definition and against the package of Google Research."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from core.recorder import ListRecorder, StopRequested
from core.studies.claims import bridge
from core.studies.claims.bridge import BridgeProtocolConfig, rouge_l
from core.studies.claims.registry import CLAIMS
from tests.core.chat_models import save_chat_model

SCORER = RougeScorer(["rougeL"])  # without a stemmer; its words are runs of letters and digits
TEXTS = ("A quiet film with a very good script", "a very quiet and a good film", "The plot is dull and the jokes are old", "quiet")
WORDS = st.lists(st.sampled_from("abcd"), max_size=7).map(" ".join)


def naive(candidate: str, reference: str) -> float:
    mine, theirs = tuple(candidate.split()), tuple(reference.split())

    @cache
    def longest(i: int, j: int) -> int:
        if i == len(mine) or j == len(theirs):
            return 0
        return 1 + longest(i + 1, j + 1) if mine[i] == theirs[j] else max(longest(i + 1, j), longest(i, j + 1))

    common = longest(0, 0)
    if not common:
        return 0.0
    precision, recall = common / len(mine), common / len(theirs)
    return 2 * precision * recall / (precision + recall)


@given(WORDS, WORDS)
def test_it_is_its_definition(candidate: str, reference: str) -> None:
    assert rouge_l(candidate, reference) == pytest.approx(naive(candidate, reference))


@given(WORDS, WORDS)
def test_it_is_that_of_rouge_score(candidate: str, reference: str) -> None:
    assert rouge_l(candidate, reference) == pytest.approx(SCORER.score(reference, candidate)["rougeL"].fmeasure)


@pytest.mark.parametrize("candidate", TEXTS)
@pytest.mark.parametrize("reference", TEXTS)
def test_sentences_score_as_in_rouge_score(candidate: str, reference: str) -> None:
    assert rouge_l(candidate, reference) == pytest.approx(SCORER.score(reference, candidate)["rougeL"].fmeasure)


def test_the_same_text_is_1_whatever_its_case() -> None:
    assert rouge_l("A good Film", "a good film") == 1.0


# ---------------------------------------------------------------------------------------------------- C8


def conversations(path: Path) -> Path:
    rows = [{"messages": [{"role": "user", "content": f"Describe film {number}."},
                          {"role": "assistant", "content": f"Film {number} is quiet and has {number} good scenes, one of them very good."}]}
            for number in range(60)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_every_figure_is_measured(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = save_chat_model(tmp_path / "proxy", layers=4)
    setting = BridgeProtocolConfig(proxy=str(proxy), texts=60, steps=1, chain_steps=1, small_layers=2, blocks=2, answers=2, answer_tokens=2)
    monkeypatch.setattr(bridge, "_written", lambda *_: (conversations(tmp_path / "texts.jsonl"), 60))
    numbers = CLAIMS["C8"].protocol(7, setting, ListRecorder())
    assert set(numbers) == {figure.name for figure in CLAIMS["C8"].figures} and numbers["texts"] == 60
    with pytest.raises(StopRequested):
        CLAIMS["C8"].protocol(7, setting, ListRecorder(stop_after=0))
    losses = bridge._below(str(proxy), tmp_path / "texts.jsonl", 7, setting).losses
    assert (losses.divergence, losses.uses("hard"), losses.temperature) == ("reverse_kl", False, 1)


def test_other_text_has_the_same_questions_and_as_many_words(tmp_path: Path, home: Path) -> None:
    texts = conversations(tmp_path / "texts.jsonl")
    written, other = ([json.loads(line)["messages"] for line in path.read_text().splitlines()] for path in (texts, bridge._other(texts)))
    assert len(written) == len(other)
    for (question, answer), (same, excerpt) in zip(written, other, strict=True):
        assert question == same and len(answer["content"].split()) == len(excerpt["content"].split())
        assert answer["content"] != excerpt["content"]


@pytest.mark.parametrize(("bridged", "expected"), [(2.5, "pass"), (3.0, "inconclusive"), (3.2, "fail")])
def test_reading_as_much_other_text_does_not_pass(bridged: float, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that is as good after any other text is no bridge, however far it came from before."""
    losses = {"house-chat": 3.6, "read bridged": bridged, "read other": 3.0}
    monkeypatch.setattr(bridge, "_written", lambda *_: (Path("texts"), 3))
    monkeypatch.setattr(bridge, "_other", lambda texts: texts)
    monkeypatch.setattr(bridge, "_reads", lambda name, *_: f"read {name}")
    monkeypatch.setattr(bridge, "_cross_entropy", lambda head, *_: losses[head])
    monkeypatch.setattr(bridge, "_rouge", lambda head, *_: 1 / losses[head])
    monkeypatch.setattr(bridge, "_made", lambda head, *_: losses[head] + 0.5)
    numbers = CLAIMS["C8"].protocol(1, BridgeProtocolConfig(), ListRecorder())
    assert numbers["gain_over_before"] > 0.3
    assert CLAIMS["C8"].rule.judge({name: (value,) * 3 for name, value in numbers.items()}) == expected
    unheaded = {**numbers, "made_gain": 0.0}  # what the proxy learnt does not reach the size below it
    assert CLAIMS["C8"].rule.judge({name: (value,) * 3 for name, value in unheaded.items()}) != "pass"
