"""Addresses of the server's own routes, behind any prefix."""

from __future__ import annotations

import pytest
import streamlit as st

from workbench.mounts import asset_path, base_path, chat_path, on_device_path


@pytest.mark.parametrize(("configured", "prefix"), [("", ""), (None, ""), ("/", ""), ("lab", "/lab"), ("/lab/", "/lab"), ("a/b", "/a/b")])
def test_every_address_has_the_configured_prefix(monkeypatch: pytest.MonkeyPatch, configured: str | None, prefix: str) -> None:
    monkeypatch.setattr(st, "get_option", lambda name: {"server.baseUrlPath": configured}[name])
    assert base_path() == prefix
    assert (chat_path(), on_device_path()) == (f"{prefix}/chat", f"{prefix}/on-device")
    assert asset_path("plotly.min.js") == f"{prefix}/assets/plotly.min.js"
