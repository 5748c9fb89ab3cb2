"""Held-out tasks of the oracle: sentence templates, questions and half of the names differ from those that notes are taken of.

    answers      which of the names in a passage answers a question
    yes_no       whether a statement about a passage holds
    entailment   which of two statements follows from a passage
    typing       whether a name is a person, a place, a company or a book
    sentiment    whether what is said of a book is good or bad

Questions and types are put as notes put them; yes_no, entailment and sentiment are not.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from core.reading.items import Item
from core.reading.notes import ANSWER, ENTITIES, QUESTION
from core.reading.oracle import OPINIONS, POOLS, SLOTS, Filled, Frame, fill, other_words, verdict

# Templates of the tasks alone; their words are those of the text.
HELD_OUT = (
    Frame("The home of {p} is in {c}.", {}, (("In which place is the home of {p}?", "c"), ("Who has a home in {c}?", "p")),
          "{p} lives in {c}"),
    Frame("{o} pays {p}.", {}, (("Which company pays {p}?", "o"), ("Who is at {o}?", "p")), "{p} works for {o}"),
    Frame("The author of {w} is {p}.", {}, (("Who is the author of {w}?", "p"), ("What did {p} write?", "w")), "{p} wrote {w}"),
    Frame("At last {p} left {c} and went to {c2}.", {}, (("Where is {p} now?", "c2"), ("In which place was {p} before?", "c")),
          "{p} lives in {c2}"),
    Frame("{p} gave the {b} to {p2}.", {}, (("Who is the new owner of the {b}?", "p2"), ("Who gave the {b} to {p2}?", "p")),
          "{p2} has the {b}"),
    Frame("The owner of the shop in {c} is {o}.", {}, (("In which place is the shop of {o}?", "c"), ("Which company is in {c}?", "o")),
          "{o} has a shop in {c}"),
)
OPINION_FRAMES = ("People say that {w} is {g}.", "{p} said that the story was {g}.", "It was {g}, this book of {p}.")
TYPED = ("{p} came with {o}.", "{c} likes {w}.", "They said {w} was in {c}.", "{o} went to {p}.")


def oracle_items(task: str, count: int, seed: int = 0) -> list[Item]:
    """Return items of a task; the same ones for the same seed."""
    rng = random.Random(f"tasks/{task}/{seed}")
    make: Callable[[random.Random, bool], Item] = {"answers": _answers, "yes_no": _yes_no, "entailment": _entailment, "typing": _typing,
                                                   "sentiment": _sentiment}[task]
    return [make(rng, number % 2 == 1) for number in range(count)]


def _filled(rng: random.Random, examined: bool) -> Filled:
    frame = rng.choice(HELD_OUT)
    return Filled(frame, fill(frame.text, rng, examined=examined))


def _shuffled(rng: random.Random, prompt: str, right: str, wrong: list[str]) -> Item:
    candidates = [right, *wrong]
    rng.shuffle(candidates)
    return Item(prompt, tuple(candidates), candidates.index(right))


def _answers(rng: random.Random, examined: bool) -> Item:
    """Two passages of one template: the answer, its counterpart in the other one, and another name of the same passage."""
    first = _filled(rng, examined)
    second = Filled(first.frame, _apart(first, rng, examined))
    parts = [first.sentence, second.sentence]
    rng.shuffle(parts)
    question, slot = rng.choice(first.frame.questions)
    other = rng.choice([name for key, name in first.words.items() if key not in (slot, "v", "b")])
    return _shuffled(rng, f"{' '.join(parts)}\n{QUESTION} {question.format(**first.words)} {ANSWER}", f" {first.words[slot]}",
                     [f" {second.words[slot]}", f" {other}"])


def _apart(first: Filled, rng: random.Random, examined: bool) -> dict[str, str]:
    """Return fillers of the same template without any of the first ones."""
    while True:
        words = fill(first.frame.text, rng, examined=examined)
        if not (set(words.values()) - set(OPINIONS)) & set(first.words.values()):
            return words


def _yes_no(rng: random.Random, examined: bool) -> Item:
    filled, true = _filled(rng, examined), rng.random() < 0.5
    claim = filled.frame.claim.format(**(filled.words if true else _swapped(filled, rng, examined)))
    return Item(f"{filled.sentence} Is it true that {claim}?", (" Yes.", " No."), 0 if true else 1)


def _swapped(filled: Filled, rng: random.Random, examined: bool) -> dict[str, str]:
    """Return fillers of a statement that does not follow: with another name of the passage where one fits, else with another one."""
    if "c2" in filled.words:
        return {**filled.words, "c": filled.words["c2"], "c2": filled.words["c"]}
    if "p2" in filled.words:
        return {**filled.words, "p": filled.words["p2"], "p2": filled.words["p"]}
    return other_words(filled, rng, examined=examined)


def _entailment(rng: random.Random, examined: bool) -> Item:
    """Two passages of one template; the wrong statement joins their names."""
    first = _filled(rng, examined)
    second = Filled(first.frame, _apart(first, rng, examined))
    parts = [first.sentence, second.sentence]
    rng.shuffle(parts)
    slots = re.findall(r"\{(\w+)\}", first.frame.claim)
    wrong = {**first.words, slots[-1]: second.words[slots[-1]]}
    return _shuffled(rng, " ".join(parts), f" {_capital(first.frame.claim.format(**first.words))}.",
                     [f" {_capital(first.frame.claim.format(**wrong))}."])


def _typing(rng: random.Random, examined: bool) -> Item:
    text = rng.choice(TYPED)
    words = fill(text, rng, examined=examined)
    slot = rng.choice([key for key in words if key in SLOTS])
    right = SLOTS[slot]
    return _shuffled(rng, f"{text.format(**words)}\n{ENTITIES} {words[slot]} (", f"{right})",
                     [f"{other})" for other in POOLS if other != right])


def _sentiment(rng: random.Random, examined: bool) -> Item:
    text = rng.choice(OPINION_FRAMES)
    words = fill(text, rng, examined=examined)
    right = verdict(words["g"])
    return _shuffled(rng, f"{text.format(**words)} They all say that this is a", f" {right} story.",
                     [f" {other} story." for other in OPINIONS if other != right])


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
