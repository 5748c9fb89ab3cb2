"""Fragments stand in containers of their own: what that is for is shown in tests/e2e/test_classroom.py."""

from __future__ import annotations

import ast
from pathlib import Path

from streamlit.testing.v1 import AppTest

from core.system.paths import PROJECT

HELPER = PROJECT / "workbench" / "screens" / "shared" / "fragments.py"


def page() -> None:
    import streamlit as st

    from workbench.screens.shared.fragments import fragment

    def inner(word: str) -> None:
        st.caption(word)

    st.title("Before")
    fragment(inner, run_every=5.0)("polled")
    st.text("after")


def test_a_fragment_is_the_only_child_of_its_container():
    main = AppTest.from_function(page).run().main
    title, container, text = main.children.values()
    assert (title.type, text.type) == ("title", "text")
    place, = container.children.values()
    assert [each.value for each in place.children.values()] == ["polled"]


def test_every_fragment_is_made_that_way():
    found = []
    for path in [*(PROJECT / "workbench").rglob("*.py"), *(PROJECT / "pages").rglob("*.py")]:
        names = {node.attr for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Attribute)
                 and isinstance(node.value, ast.Name) and node.value.id == "st"}
        found += [path] if "fragment" in names else []
    assert found == [HELPER], list(map(Path, found))
