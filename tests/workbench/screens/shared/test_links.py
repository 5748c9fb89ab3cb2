"""A widget and the address: links are followed once, what the browser sends late is not."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest

FIRST, SECOND = "first", "second"


def _page() -> None:
    import streamlit as st

    from workbench.screens.shared import links

    if st.query_params.get("page") == "another":  # the widget is gone, as on every other page
        return
    links.follow("word", "word", "usual", lambda text: text.strip())
    links.keep("word", "word", st.text_input("Word", key="word"))


def page(**address: str) -> AppTest:
    test = AppTest.from_function(_page)
    for name, value in address.items():
        test.query_params[name] = value
    return test.run()


def word(test: AppTest) -> str:
    assert not test.exception
    return test.text_input[0].value


def test_without_a_link_there_is_the_usual_and_the_address_says_so() -> None:
    test = page()
    assert word(test) == "usual" and test.query_params["word"] == "usual"


def test_a_link_is_followed_and_so_is_the_next_one() -> None:
    test = page(word=FIRST)
    assert word(test) == FIRST
    test.query_params["word"] = SECOND
    assert word(test.run()) == SECOND


def test_an_address_older_than_the_widget_sets_nothing() -> None:
    test = page(word=f" {FIRST}")  # what stands in a link need not be what the widget writes
    for late in (f" {FIRST}", FIRST):
        for moved in (SECOND, "third"):
            test.text_input[0].set_value(moved)
            test.query_params["word"] = late
            assert word(test.run()) == moved and test.query_params["word"] == moved


def test_the_page_opened_again_shows_what_it_showed_last_or_what_the_link_says() -> None:
    test = page(word=FIRST)
    test.text_input[0].set_value(SECOND).run()

    def elsewhere() -> None:
        del test.query_params["word"]
        test.query_params["page"] = "another"
        test.run()
        del test.query_params["page"]

    elsewhere()
    assert word(test.run()) == SECOND
    elsewhere()
    test.query_params["word"] = FIRST  # followed before, but on another visit
    assert word(test.run()) == FIRST
