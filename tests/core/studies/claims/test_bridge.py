"""Rouge-L against its definition, and against the package of Google Research."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from core.studies.claims.bridge import rouge_l

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
