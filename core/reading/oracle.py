"""An exact reading teacher: text from templates whose entities, questions and answers are known by construction.

It is no language model and says so wherever its notes are shown: it tests the mechanism of reading fast and without the errors of a
teacher. Training text is drawn from `FRAMES`; `core.reading.oracle_tasks` examines on templates and names that no note was ever taken
of. All words of the tasks occur in the text, which every control reads too.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from core.reading.notes import Entity, Question, ReadParagraph, SentenceNotes

NAME = "oracle"
VERSION = 1  # to be raised when the same seed gives other text or notes

PEOPLE = ("Adam", "Bella", "Carl", "Dora", "Emil", "Fiona", "George", "Hanna", "Igor", "Julia", "Kevin", "Laura", "Mario", "Nina", "Oscar",
          "Paula", "Quentin", "Rosa", "Simon", "Tina", "Ulla", "Victor", "Wanda", "Xaver", "Yara", "Zeno", "Bruno", "Clara", "Dennis",
          "Elsa", "Felix", "Greta")
PLACES = ("Athens", "Berlin", "Cairo", "Dublin", "Essen", "Florence", "Geneva", "Hamburg", "Izmir", "Jena", "Krakow", "Lisbon", "Madrid",
          "Naples", "Oslo", "Paris", "Quito", "Rome", "Seville", "Turin", "Utrecht", "Vienna", "Warsaw", "Zurich")
COMPANIES = ("Arco", "Brixa", "Cordo", "Delfa", "Elmex", "Fargo", "Gildo", "Hexon", "Iltis", "Jonex", "Kappa", "Lumen")
BOOKS = ("Amber", "Basalt", "Cobalt", "Dusk", "Ember", "Frost", "Granite", "Harbour", "Indigo", "Juniper", "Kestrel", "Lantern")
POOLS = {"person": PEOPLE, "place": PLACES, "company": COMPANIES, "book": BOOKS}
JOBS = ("baker", "doctor", "driver", "farmer", "lawyer", "painter", "pilot", "singer", "tailor", "teacher", "waiter", "writer")
THINGS = ("boat", "car", "clock", "coat", "desk", "drum", "horse", "lamp", "piano", "ring", "table", "watch")
MONTHS = ("January", "March", "April", "May", "June", "July", "August", "October")
OPINIONS = {"good": ("charming", "clever", "funny", "lovely", "moving", "splendid", "superb", "witty"),
            "bad": ("awful", "boring", "clumsy", "dreadful", "dull", "feeble", "painful", "tedious")}
EXAMINED_EVERY = 4  # every fourth name of a pool occurs in the text, and never in a sentence that notes are taken of

# Slot -> pool; a slot may be numbered. The pools of names are types of entities.
SLOTS = {"p": "person", "c": "place", "o": "company", "w": "book"}
OTHERS = {"j": JOBS, "b": THINGS, "m": MONTHS, "g": OPINIONS["good"] + OPINIONS["bad"]}


@dataclass(frozen=True, slots=True)
class Frame:
    """A template of sentences.

    Attributes:
        text: with slots, as {p} for a person.
        notes: slot -> short description of its entity.
        questions: pairs of a question and the slot of its answer.
        claim: a statement that the sentence makes; a second one, with another filler of its last slot, does not follow.
    """

    text: str
    notes: Mapping[str, str]
    questions: tuple[tuple[str, str], ...]
    claim: str = ""


FRAMES = (
    Frame("{p} lives in {c}.", {"p": "lives in {c}", "c": "where {p} lives"},
          (("Where does {p} live?", "c"), ("Who lives in {c}?", "p")), "{p} lives in {c}"),
    Frame("{p} works for {o}.", {"p": "works for {o}", "o": "where {p} works"},
          (("Who works for {o}?", "p"), ("For which company does {p} work?", "o")), "{p} works for {o}"),
    Frame("{p} wrote {w} in {m}.", {"p": "wrote {w}", "w": "what {p} wrote"},
          (("Who wrote {w}?", "p"), ("Which book did {p} write?", "w"), ("When did {p} write {w}?", "m")), "{p} wrote {w}"),
    Frame("{p} met {p2} in {c}.", {"p": "met {p2}", "p2": "met {p}", "c": "where they met"},
          (("Where did {p} meet {p2}?", "c"), ("Who met {p2}?", "p")), "{p} met {p2}"),
    Frame("{o} opened a shop in {c}.", {"o": "has a shop in {c}", "c": "where the shop is"},
          (("Who opened a shop in {c}?", "o"), ("Where did {o} open a shop?", "c")), "{o} has a shop in {c}"),
    Frame("{p} moved from {c} to {c2}.", {"p": "moved to {c2}", "c": "where {p} was before", "c2": "where {p} lives now"},
          (("Where does {p} live now?", "c2"), ("Where was {p} before?", "c"), ("Who moved to {c2}?", "p")), "{p} lives in {c2}"),
    Frame("{p} sold the {b} to {p2}.", {"p": "sold the {b}", "p2": "has the {b} now"},
          (("Who sold the {b}?", "p"), ("Who has the {b} now?", "p2")), "{p2} has the {b}"),
    Frame("{p} is a {j} in {c}.", {"p": "a {j}", "c": "where {p} is"},
          (("What is the job of {p}?", "j"), ("Where is {p}?", "c"), ("Who is a {j}?", "p")), "{p} is in {c}"),
    Frame("{p} read {w} and it was {g}.", {"p": "read {w}", "w": "a {v} book"},
          (("How was {w}?", "g"), ("Who read {w}?", "p")), "{p} read {w}"),
    Frame("The {b} of {p} is in {c}.", {"p": "has a {b}", "c": "where the {b} is"},
          (("Where is the {b} of {p}?", "c"), ("Who has a {b} in {c}?", "p")), "the {b} is in {c}"),
)
# What stands in front of a sentence and behind it, so that words of a frame have no fixed place.
BEFORE = ("", "", "", "In {m}, ", "At last, ", "People say that ", "They now say that ", "This year ")
BEHIND = ("", "", "", " again", " this year", ", people say", " in {m}")
# Sentences that no notes are taken of: they bring in the words of the tasks, and every name.
PLAIN = ("It was a {v} day in {c}.", "A person came home in {m}.", "The company was in this place.", "The home of the {j} was a {v} place.",
         "People say that this is a {v} story.", "The new owner of the shop was a {j}.", "Every person likes a {v} book.",
         "{p} went home with {p2}.", "In {m} they all went to {c}.", "{o} pays the {j} in {m}.", "They said the author was a {j}.",
         "The owner gave a {b} to {p}.", "That is what people say about {w}.", "At last {p} came back from {c}.",
         "Nobody knew who left before {m}.", "They now know where the {b} is.", "Which {b} did the {j} like?",
         "People now write about {c}.")
DIALOGUE = 0.15  # share of sentences with a claim that somebody questions: how a question is answered yes or no, for all who read


@dataclass(frozen=True, slots=True)
class Filled:
    """A frame with its fillers: slot -> word."""

    frame: Frame
    words: Mapping[str, str]

    @property
    def sentence(self) -> str:
        """Return the sentence."""
        return self.frame.text.format(**self.words)

    def notes(self, rng: random.Random | None = None) -> SentenceNotes:
        """Return the sentence with its exact notes.

        Args:
            rng: chooses one of the questions (default: all are there).
        """
        sentence, place = self.sentence, _places(self.frame.text, self.words)
        entities = sorted((Entity(self.words[slot], SLOTS[slot.rstrip("2")], note.format(**self.words), place[slot])
                           for slot, note in self.frame.notes.items()), key=lambda entity: entity.start)
        chosen = self.frame.questions if rng is None else (rng.choice(self.frame.questions),)
        questions = tuple(Question(question.format(**self.words), self.words[slot], place[slot]) for question, slot in chosen)
        return SentenceNotes(sentence, tuple(entities), questions)


def _places(text: str, words: Mapping[str, str]) -> dict[str, int]:
    """Return where each slot's filler begins in the filled text."""
    place, shift = {}, 0
    for found in re.finditer(r"\{(\w+)\}", text):
        place[found[1]] = found.start() + shift
        shift += len(words[found[1]]) - len(found[0])
    return place


def names(pool: str, examined: bool | None = None) -> tuple[str, ...]:
    """Return the names of a type: those that notes are taken of (False), those that are kept for tasks (True), or all (None)."""
    return tuple(name for number, name in enumerate(POOLS[pool])
                 if examined is None or (number % EXAMINED_EVERY == EXAMINED_EVERY - 1) == examined)


def fill(text: str, rng: random.Random, examined: bool | None = None) -> dict[str, str]:
    """Return fillers for the slots of a text, no name twice; ``v`` is the verdict of an opinion ``g``."""
    words: dict[str, str] = {}
    for slot in dict.fromkeys(re.findall(r"\{(\w+)\}", text)):
        kind = slot.rstrip("2")
        if kind == "v":
            continue
        choices = names(SLOTS[kind], examined) if kind in SLOTS else OTHERS[kind]
        words[slot] = rng.choice([word for word in choices if word not in words.values()])
    opinion = words.get("g")
    words["v"] = verdict(opinion) if opinion is not None else rng.choice(tuple(OPINIONS))
    return words


def verdict(opinion: str) -> str:
    """Return whether an opinion is ``good`` or ``bad``."""
    return next(name for name, words in OPINIONS.items() if opinion in words)


def oracle_paragraphs(count: int, seed: int) -> Iterator[ReadParagraph]:
    """Yield paragraphs with exact notes; the same ones for the same seed, whatever the count."""
    for number in range(count):
        yield _paragraph(random.Random(f"{NAME}/{VERSION}/{seed}/{number}"))


def _paragraph(rng: random.Random) -> ReadParagraph:
    """Return three sentences with notes and one or two without, in any order."""
    parts: list[list[SentenceNotes]] = []
    for frame in rng.sample(FRAMES, 3):
        frame = _varied(frame, rng)
        filled = Filled(frame, fill(frame.text, rng, examined=False))
        part = [filled.notes(rng)]
        if frame.claim and rng.random() < DIALOGUE:
            part += _dialogue(filled, rng)
        parts.append(part)
    for text in rng.sample(PLAIN, rng.choice((1, 2))):
        parts.append([SentenceNotes(_capital(text.format(**fill(text, rng))))])
    rng.shuffle(parts)
    return ReadParagraph(tuple(sentence for part in parts for sentence in part))


def _varied(frame: Frame, rng: random.Random) -> Frame:
    """Return the frame with words in front of it and behind it; a month that it has itself stays the only one."""
    before, behind = rng.choice(BEFORE), rng.choice(BEHIND)
    if "{m}" in frame.text or "{m}" in before:
        behind = behind.replace(" in {m}", "")
    if "{m}" in frame.text:
        before = before.replace("In {m}, ", "")
    text = frame.text.removesuffix(".")
    if before and text.startswith("The "):
        text = f"the {text.removeprefix('The ')}"
    return replace(frame, text=f"{before}{text}{behind}.")


def _dialogue(filled: Filled, rng: random.Random) -> list[SentenceNotes]:
    """Return a question about the sentence and its answer, as plain sentences."""
    true = rng.random() < 0.5
    claim = filled.frame.claim.format(**(filled.words if true else other_words(filled, rng, examined=False)))
    return [SentenceNotes(f"Is it true that {claim}?"), SentenceNotes("Yes." if true else "No.")]


def other_words(filled: Filled, rng: random.Random, *, examined: bool | None) -> dict[str, str]:
    """Return the fillers with another one in the last slot of the claim, so that it does not follow."""
    slot = re.findall(r"\{(\w+)\}", filled.frame.claim)[-1]
    kind = slot.rstrip("2")
    choices = names(SLOTS[kind], examined) if kind in SLOTS else OTHERS[kind]
    return {**filled.words, slot: rng.choice([word for word in choices if word not in filled.words.values()])}


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
