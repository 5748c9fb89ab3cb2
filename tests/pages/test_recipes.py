"""The Recipes page: nothing finished, repetitions as one row, columns, the difference of two, downloads."""

from __future__ import annotations

from tests.pages.conftest import Open, fault_free, texts
from tests.pages.examples import finished, running
from workbench.store import Store


def drawn(page) -> str:
    return "\n".join(str(each.proto.body) for each in page.get("html"))


def seeded(store: Store, name: str, seed: int, temperature: float):
    return finished(store, name, train={"max_steps": 400, "seed": seed}, losses={"temperature": temperature})


def test_empty(open_page: Open, store: Store) -> None:
    running(store)
    assert "No finished run yet" in texts(open_page("recipes"))


def test_repetitions_are_one_row_with_any_key_as_a_column(open_page: Open, store: Store) -> None:
    for seed in (1, 2, 3):
        seeded(store, f"soft-{seed}", seed, 4.0)
    seeded(store, "hard-1", 1, 1.0)
    page = open_page("recipes")
    body = drawn(page)
    assert "<th" in body and "losses.temperature" in body, "the key in which they differ is a column"
    assert "3 (1, 2, 3)" in body and "1 (1)" in body and "soft" in body
    assert page.query_params["by"] == "losses.temperature"
    page = fault_free(page.multiselect(key="recipes.by").set_value(["student.layers"]).run())
    assert "student.layers" in drawn(page) and "losses.temperature" not in drawn(page)
    assert "not known: too few seeds" in drawn(page), "one seed says nothing about the difference"
    assert list(page.dataframe[0].value["seed"]) == [1, 2, 3, 1]
    page = fault_free(page.toggle(key="recipes.several").set_value(True).run())
    assert "1 (1)" not in drawn(page)
    page = fault_free(page.text_input(key="search").set_value("nothing like it").run())
    assert "No recipe matches" in texts(page)


def test_two_recipes_are_compared_seed_by_seed(open_page: Open, store: Store) -> None:
    for seed in (1, 2):
        seeded(store, f"a-{seed}", seed, 4.0)
        seeded(store, f"b-{seed}", seed, 1.0)
    page = open_page("recipes")
    assert "paired, 2 common seeds" in drawn(page) and "not distinguishable" in drawn(page)
    assert "losses.temperature" in texts(page).replace("\\", "")
    page = fault_free(page.selectbox(key="recipes.second").set_value(0).run())
    assert "Choose two different recipes" in texts(page)
