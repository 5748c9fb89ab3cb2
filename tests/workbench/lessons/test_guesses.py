"""What the reader of a lesson guessed and ran, in a file of the home folder."""

from __future__ import annotations

from pathlib import Path

from workbench.lessons import guesses


def test_guesses_and_runs_are_kept_and_a_lesson_can_start_over(home: Path):
    assert guesses.guess("one", "q") is None and guesses.last() is None
    guesses.commit("one", "q", "T = 1")
    guesses.commit("two", "q", 3.5)
    guesses.note_run("one", "r", "T = 1", "a-run")
    guesses.opened("one")
    assert (guesses.guess("one", "q"), guesses.guess("two", "q"), guesses.run_id("one", "r", "T = 1"), guesses.last()) == (
        "T = 1", 3.5, "a-run", "one")
    before = guesses.start_over("one")
    assert guesses.guess("one", "q") is None and guesses.run_id("one", "r", "T = 1") is None and guesses.guess("two", "q") == 3.5
    guesses.put_back("one", before)
    assert guesses.guess("one", "q") == "T = 1" and guesses.run_id("one", "r", "T = 1") == "a-run"


def test_a_damaged_file_is_as_good_as_none(home: Path):
    guesses.commit("one", "q", 1.0)
    (home / "lessons.json").write_text("{")
    assert guesses.guess("one", "q") is None
    guesses.commit("one", "q", 2.0)
    assert guesses.guess("one", "q") == 2.0
