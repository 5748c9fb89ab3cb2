"""The field's terms in code, comments, pages and documents: words of the old dialect stay out (glossary in CONTRIBUTING.md)."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SUFFIXES = {".py", ".md", ".yaml", ".toml", ".js", ".css", ".html", ".svg"}
# Files of earlier releases, the changelog's released sections, texts that are data, and this file.
EXEMPT = re.compile(r"^(tests/compatibility/(release_0_1_0|json_shapes)/|CHANGELOG\.md$|tests/test_words\.py$|"
                    r"assets/models/.*/tokenizer|assets/results/claims/)")
# Names that stand on disks, and texts that models were trained on or are prompted with: files -> the words that stay.
KEPT = {
    r"workbench/store/(database|run_log|store)\.py$|tests/workbench/store/test_(store|run_log|database)\.py$": {"arm"},
    r"core/studies/claims/outcomes\.py$|tests/core/studies/claims/test_outcomes\.py$": {"wobble"},
    r"core/data/movie_reviews\.py$": {"go on"},
    r"assets/recipes/house-base\.yaml$": {"told"},
    r"docs/reference/json\.md$": {"arm", "bracket"},
}
# The word, and what to write in its place.
OLD_WORDS = {
    r"told": "reported, logged, shown",
    r"taught": "teacher's, distilled from",
    r"anew": "again",
    r"held against": "compared with; baseline",
    r"go(es|ing)? on": "resume, continue",
    r"mend(s|ed|ing)?": "fix",
    r"asked": "requested, queried, target",
    r"arms?": "variant",
    r"conscience|sieve|harvest|wobbles?": "callback, filter, corpus, standard deviation",
    r"anatom(y|ies)": "architecture",
    r"lawful": "valid",
    r"fills blanks|fill in the blank": "predicts masked tokens, fill-mask",
    r"made models?|made view|made names?": "created",
    r"refit|gains|bracket|wish(es)?": "reconstruction, swap_deltas, anchor pair, request",
    r"silent (blocks?|layers?|units?|channels?)": "identity, zero-initialised",
    r"choosing slice|choosing\.npz": "selection",
}
# A name in quotes is one that stands on disks: the column "arm" of the run store.
PATTERN = re.compile(r"(?<![A-Za-z0-9'\"])(" + "|".join(OLD_WORDS) + r")(?![A-Za-z0-9'])", re.IGNORECASE)


def tracked() -> list[Path]:
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [Path(name) for name in names if Path(name).suffix in SUFFIXES and not EXEMPT.search(name) and (ROOT / name).is_file()]


def found_in(text: str) -> list[str]:
    """``line: word -> replacement`` of every old word; underscores part words, so that identifiers count too."""
    return [f"{number}: {match.group(0)} -> {replacement(match.group(0))}" for number, line in enumerate(text.splitlines(), 1)
            for match in PATTERN.finditer(line.replace("_", " "))]


def replacement(word: str) -> str:
    return next(words for pattern, words in OLD_WORDS.items() if re.fullmatch(pattern, word, re.IGNORECASE))


def kept(name: Path) -> set[str]:
    return {word for pattern, words in KEPT.items() if re.match(pattern, name.as_posix()) for word in words}


@pytest.mark.parametrize("sentence", ["The page told it.", "def asked_positions", "goes on", "# held against the control", "arm: str",
                                      "made_model = 1",
                                      "target.bracket", "a silent block", "It fills blanks."])
def test_old_words_are_found(sentence: str) -> None:
    assert found_in(sentence)


def test_an_old_word_comes_with_its_replacement() -> None:
    assert found_in("made_model = 1\nThe page told it.") == ["1: made model -> created", "2: told -> reported, logged, shown"]


@pytest.mark.parametrize("sentence", ["The basket", "alarm, harm, charm", "amend", "masked", "recommend", "the army", "brackets",
                                      "made from it"])
def test_other_words_are_not(sentence: str) -> None:
    assert not found_in(sentence)


def test_no_old_word_is_left() -> None:
    files = tracked()
    assert len(files) > 300
    hits = [f"{name}:{hit}" for name in files for hit in found_in((ROOT / name).read_text(encoding="utf-8"))
            if hit.partition(": ")[2].partition(" -> ")[0].lower() not in kept(name)]
    assert not hits, f"{len(hits)} old words, each with what to write instead:\n" + "\n".join(hits[:40])
