"""The pane's HTML: complete, and safe whatever a model writes."""

import re
from dataclasses import replace

import pytest

from tests.workbench.chat.test_turns import CARD, SAID
from workbench.chat import markup

TOP = [{"token": f" word{i}", "probability": 0.5 / (i + 1)} for i in range(5)]


def position(token: str, kl: float) -> dict:
    return {"token": token, "kl": kl, "teacher_top5": TOP, "student_top5": TOP[::-1]}


def test_the_header_names_what_really_answers() -> None:
    html = markup.header("house-chat", "Teacher", CARD, SAID)
    for part in ("Teacher", "house-chat", "4.3M parameters", "8 layers", "0123456789ab", "first token 0.25 s", "80.0 tokens/s",
                 "cut at the limit"):
        assert part in html


def test_the_header_says_what_the_context_left_out() -> None:
    assert "2 oldest messages left out" in markup.header("m", "Student", CARD, replace(SAID, answer=replace(SAID.answer, left_out=2)))


@pytest.mark.parametrize(("parameters", "shown"), [(512, "512 "), (65_700, "65.7k "), (134_515_008, "135M "), (7_250_000_000, "7.25B ")])
def test_parameters_as_people_say_them(parameters: int, shown: str) -> None:
    assert f">{shown}parameters" in markup.header("m", "Teacher", replace(CARD, parameters=parameters))


def test_a_path_is_shown_by_its_last_part_with_the_full_path_beside_it() -> None:
    assert re.search(r'title="/home/me/models/mine/">mine<', markup.header("/home/me/models/mine/", "Student"))
    assert ">owner/name<" in markup.header("owner/name", "Student")


def test_nothing_that_a_model_or_an_address_says_becomes_markup() -> None:
    evil = "<script>alert(1)</script>"
    pages = [markup.header(evil, "Teacher", error=evil), markup.message(evil), markup.header(evil, "Teacher", note=evil),
             markup.lens([position(evil, 1.0) | {"teacher_top5": [{"token": evil, "probability": 1.0}],
                                                 "student_top5": [{"token": evil, "probability": 1.0}]}], evil, evil, "lens1")]
    assert not any("<script>" in page for page in pages)
    assert all("&lt;script&gt;" in page for page in pages)


@pytest.mark.parametrize(("kl", "level"), [(0.0, 0), (0.099, 0), (0.1, 1), (0.5, 2), (1.0, 3), (2.0, 4), (50.0, 4)])
def test_marks_grow_with_the_divergence(kl: float, level: int) -> None:
    assert markup.level(kl) == level
    assert f'class="l{level}" title="{kl:.3f} nats"' in markup.lens([position("film", kl)], "a", "b", "lens1")


def test_the_lens_holds_every_token_with_the_top_five_of_both() -> None:
    html = markup.lens([position("A", 0.2), position(" quiet\n", 0.6), position("", 1.6)], "house-chat", "/runs/mine", "lens1")
    assert html.count("<details") == 3
    assert html.count('name="lens1"') == 3  # one open at a time
    assert html.count('<td class="token">') == 3 * 10
    assert "0.80 nats a token, 1.60 at most" in html
    assert "⏎" in html
    assert "▫" in html
    assert "50.0%" in html


def test_where_the_student_would_write_another_token_it_stands_above() -> None:
    same = position(" word4", 0.0)  # the student's list begins with it
    html = markup.lens([same, position(" film", 1.0)], "a", "b", "lens1")
    assert "it would write 1 of 2 tokens itself" in html
    assert html.count("<rt") == 1 and '<ruby> film<rt aria-label="b would write">word4</rt></ruby>' in html
