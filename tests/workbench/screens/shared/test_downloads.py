"""Files that are made at the click, by requests of their own."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from streamlit.testing.v1 import AppTest

from core.errors import ConfigError
from workbench.screens.shared import downloads
from workbench.screens.shared.downloads import Offer, Offers


@pytest.fixture
def offers(monkeypatch: pytest.MonkeyPatch) -> Offers:
    kept = Offers(most=2)
    monkeypatch.setattr(downloads, "OFFERS", kept)
    return kept


@pytest.fixture
def client(offers: Offers) -> TestClient:
    return TestClient(Starlette(routes=[downloads.offer_route()]))


def test_a_file_is_made_for_every_click_and_is_not_used_up(offers: Offers, client: TestClient):
    made: list[str] = []
    address = offers.put("token", Offer(lambda: made.append("x") or f"a,{len(made)}", "runs of é.csv", "text/csv"))
    assert not made
    for count in (1, 2):
        answer = client.get(address)
        assert (answer.status_code, answer.text, answer.headers["content-type"]) == (200, f"a,{count}", "text/csv; charset=utf-8")
        assert answer.headers["content-disposition"] == "attachment; filename*=utf-8''runs%20of%20%C3%A9.csv"


def test_what_cannot_be_made_says_why(offers: Offers, client: TestClient):
    def gone() -> bytes:
        raise ConfigError("The run is gone.", "", "Look for another.")

    def missing() -> bytes:
        raise FileNotFoundError("log.txt")

    for make, words in ((gone, "The run is gone."), (missing, "log.txt")):
        answer = client.get(offers.put("token", Offer(make, "a.csv", "text/csv")))
        assert answer.status_code == 404 and words in answer.text


def test_the_oldest_offer_makes_room_and_a_token_is_not_guessed(offers: Offers, client: TestClient):
    addresses = [offers.put(token, Offer(lambda: b"1", "a.csv", "text/csv")) for token in ("a", "b", "a", "c")]
    assert [client.get(address).status_code for address in addresses] == [200, 404, 200, 200]
    assert "Reload the page" in client.get("/offer/nobody/a.csv").text


def test_a_button_keeps_its_address_over_reruns_and_offers_what_was_drawn_last(offers: Offers, client: TestClient):
    def page() -> None:
        import streamlit as st

        from workbench.screens.shared.downloads import download

        value = st.number_input("value", 0, 9, 3)
        download("Numbers (CSV)", lambda: f"n\n{value}", file_name="numbers.csv", mime="text/csv", key="numbers")

    app = AppTest.from_function(page).run()
    first = app.get("link_button")[0].proto.url
    assert client.get(first).text == "n\n3"
    app.number_input[0].set_value(5).run()
    assert app.get("link_button")[0].proto.url == first and client.get(first).text == "n\n5"
    assert AppTest.from_function(page).run().get("link_button")[0].proto.url != first, "another session has another"
