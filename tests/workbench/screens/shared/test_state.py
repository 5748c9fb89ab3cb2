"""What pages remember."""

from __future__ import annotations

import pytest

from core.errors import ModelNotFoundError
from workbench.screens.shared import state
from workbench.store import Store


def test_a_model_that_is_not_there_is_looked_up_once(monkeypatch: pytest.MonkeyPatch, fresh_streamlit_caches: None):
    calls = []

    def describe(reference: str, store: Store):
        calls.append(reference)
        raise ModelNotFoundError(f"There is no '{reference}'.")

    monkeypatch.setattr(state.references, "describe", describe)
    for _ in range(2):
        with pytest.raises(ModelNotFoundError, match="There is no 'nothing'"):
            state.describe("nothing")
    assert calls == ["nothing"]
