"""How models differ about a blank or about the classes of a text: tables for figures and for people, from the engine's plain data.

A model's list is its first `FIRST` words. Against the teacher's list a student's word has a mark:

    same     it stands in the same place
    moved    in another place of the list
    new      it is not in the teacher's list; in the teacher's figure `lost` is a word that is not in every student's list
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from core.system.units import UNKNOWN

FIRST = 10  # words of a list
SAME, MOVED, NEW, LOST = "same", "moved", "new", "lost"

Plain = Mapping[str, Any]


def word_list(blank: Plain, number: int) -> list[Plain]:
    """Return the words of one model for a blank, most likely first."""
    known = [word for word in blank["words"] if word["places"][number] is not None]
    return sorted(known, key=lambda word: word["places"][number]["rank"])[:FIRST]


def marked_words(blank: Plain, number: int, roles: Sequence[str]) -> pd.DataFrame:
    """Return what `charts.ranked` draws of one model's list: columns ``label``, ``value`` (probability), ``mark`` and ``note``."""
    lists = [[word["token"] for word in word_list(blank, each)] for each in range(len(roles))]
    rows = []
    for place, word in enumerate(word_list(blank, number)):
        mark, note = _lost(word["token"], lists, roles) if number == 0 else _against(lists[0], word["token"], place)
        rows.append((word["token"], word["places"][number]["probability"], mark, note))
    return pd.DataFrame(rows, columns=["label", "value", "mark", "note"])


def _against(teacher: Sequence[str], token: str, place: int) -> tuple[str, str]:
    if token not in teacher:
        return NEW, "new"
    moved = teacher.index(token) - place
    return (MOVED, f"{'▲' if moved > 0 else '▼'} {abs(moved)}") if moved else (SAME, "")


def _lost(token: str, lists: Sequence[Sequence[str]], roles: Sequence[str]) -> tuple[str, str]:
    without = [role for role, words in zip(roles[1:], lists[1:], strict=True) if token not in words]
    if not without:
        return SAME, ""
    return LOST, "lost" if len(without) == len(roles) - 1 else f"lost by {without[0].lower()}"


def word_table(blank: Plain, roles: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Head and rows: every word, its probability and place with each model, the students' ratio to the teacher, and the difference."""
    lists = [[word["token"] for word in word_list(blank, each)] for each in range(len(roles))]
    head = ["Word", *(f"{role}: probability, place" + (", ratio" if number else "") for number, role in enumerate(roles))]
    rows = []
    for word in blank["words"]:
        teacher = word["places"][0]
        cells = [_cell(place, teacher if number else None) for number, place in enumerate(word["places"])]
        rows.append([word["token"], *cells, _difference(word["token"], lists, roles)])
    if len(roles) == 1:
        return head, [row[:-1] for row in rows]
    return [*head, "Difference"], rows


def _cell(place: Plain | None, teacher: Plain | None) -> str:
    if place is None:
        return "not a word of its vocabulary"
    ratio = f", × {place['probability'] / teacher['probability']:.2g}" if teacher is not None and teacher["probability"] else ""
    return f"{place['probability']:.2%}, {ordinal(place['rank'])}{ratio}"


def _difference(token: str, lists: Sequence[Sequence[str]], roles: Sequence[str]) -> str:
    said = []
    if token not in lists[0]:
        said.append(f"not among the {roles[0].lower()}'s first {FIRST}")
    for role, words in zip(roles[1:], lists[1:], strict=True):
        who = f"the {role.lower()}'s"
        if token not in words:
            said.append(f"not among {who} first {FIRST}")
        elif token in lists[0]:
            moved = lists[0].index(token) - words.index(token)
            said.append(f"{abs(moved)} {'place' if abs(moved) == 1 else 'places'} {'up' if moved > 0 else 'down'} in {who} list" if moved
                        else f"same place in {who} list")
    text = "; ".join(said)
    return text[:1].upper() + text[1:]


def agreement(blank: Plain, number: int, role: str) -> str:
    """How far a student's answer to a blank is from the teacher's, in a sentence."""
    teacher, student = ([word["token"] for word in word_list(blank, each)] for each in (0, number))
    shared = len(set(teacher) & set(student))
    first = "the same first word" if teacher[0] == student[0] else f"another first word ({student[0]} for {teacher[0]})"
    nats = blank["divergences"][number]
    distance = f"KL(teacher ‖ {role.lower()}) {nats:.3g} nats" if nats is not None else (
        "another tokenizer: words are matched by their text, and there is no KL")
    return f"{shared} of {len(teacher)} words shared, {first}; {distance}"


def ordinal(number: int) -> str:
    """1 -> 1st."""
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number:,}{ending}"


# ---------------------------------------------------------------------------------------------------- classes


def same_classes(one: Sequence[Plain], other: Sequence[Plain]) -> bool:
    """Whether two classifiers tell the same classes apart, in whatever order and case."""
    return {share["label"].lower() for share in one} == {share["label"].lower() for share in other}


def chosen(shares: Sequence[Plain]) -> str:
    """Return the class that a model gives the highest probability."""
    return max(shares, key=lambda share: share["probability"])["label"]


def marked_classes(answers: Sequence[Sequence[Plain]], number: int) -> pd.DataFrame:
    """Return what `charts.ranked` draws of one classifier: classes in the teacher's order, the chosen one marked where it differs."""
    shares, teacher = answers[number], answers[0]
    comparable = same_classes(teacher, shares)
    if comparable:
        order = [share["label"].lower() for share in teacher]
        shares = sorted(shares, key=lambda share: order.index(share["label"].lower()))
    taken = chosen(shares)
    differs = comparable and taken.lower() != chosen(teacher).lower()
    rows = [(share["label"], share["probability"], NEW if differs and share["label"] == taken else SAME,
             "chosen" if share["label"] == taken else "") for share in shares]
    return pd.DataFrame(rows, columns=["label", "value", "mark", "note"])


def class_table(answers: Sequence[Sequence[Plain]], roles: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Head and rows: the probability of every class with each model, and the students' differences to the teacher in points."""
    labels = list(dict.fromkeys(share["label"].lower() for shares in answers for share in shares))
    names = {share["label"].lower(): share["label"] for shares in reversed(answers) for share in shares}
    found = [{share["label"].lower(): share["probability"] for share in shares} for shares in answers]
    rows = []
    for label in labels:
        teacher = found[0].get(label)
        cells = []
        for number, shares in enumerate(found):
            share = shares.get(label)
            points = f" ({100 * (share - teacher):+.1f} points)" if number and share is not None and teacher is not None else ""
            cells.append(UNKNOWN if share is None else f"{share:.2%}{points}")
        rows.append([names[label], *cells])
    return ["Class", *roles], rows


def class_agreement(answers: Sequence[Sequence[Plain]], number: int) -> str:
    """Whether a student chooses the teacher's class, in a sentence."""
    teacher, student = answers[0], answers[number]
    if not same_classes(teacher, student):
        return "Its classes are not the teacher's: what they choose cannot be compared."
    mine, theirs = chosen(student), chosen(teacher)
    return f"Agrees with the teacher: {mine}." if mine.lower() == theirs.lower() else f"Disagrees: {mine}, where the teacher says {theirs}."
