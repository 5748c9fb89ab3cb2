"""Rouge-L against its definition."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.studies.claims.bridge import rouge_l

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


def test_the_same_text_is_1_whatever_its_case() -> None:
    assert rouge_l("A good Film", "a good film") == 1.0
