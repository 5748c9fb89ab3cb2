"""What the engine process says of an answer while it grows."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import pytest

from core.generation.streaming import GeneratedToken, GenerationResult
from tests.core.chat_models import save_chat_model
from workbench.inference import server
from workbench.inference.server import Server


class SilentStream:
    """An answer whose tokens make no whole character before its end."""

    def __iter__(self):
        return (GeneratedToken("", 200, index) for index in range(3))

    def result(self) -> GenerationResult:
        return GenerationResult("\N{REPLACEMENT CHARACTER}", 3, 5, 0, 0.1, 20.0, "length")


def test_an_answer_has_begun_before_its_first_character_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "stream", lambda *_args, **_more: SilentStream())
    folder = str(save_chat_model(tmp_path / "tiny"))
    loaded, first, *_, last = Server(io.BytesIO(), io.BytesIO())._generate(threading.Event(), folder, [], {})
    assert [loaded["kind"], first, last["kind"]] == ["loaded", {"kind": "piece", "text": "", "tokens": 1}, "answer"]
