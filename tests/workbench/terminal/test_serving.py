"""The verb that serves a teacher; the process itself is met in `tests/core/methods/test_served_teachers.py`."""

from __future__ import annotations

import json

import pytest

from core.models import catalog
from workbench import teacher_server
from workbench.terminal import cli


@pytest.mark.parametrize(("words", "said"), [
    (["house-encoder"], "predict"), (["nowhere-to-be-found"], "There is no model"),
    (["house-chat", "--port", "x"], "port was given as 'x'"),
    (["house-chat", "--host", "0.0.0.0"], "Set STILLHOUSE_TEACHER_KEY")], ids=str)
def test_what_cannot_be_served_is_refused_before_it_is_loaded(words, said, capsys, monkeypatch):
    monkeypatch.setattr(catalog, "load", lambda *_: pytest.fail("loaded"))
    assert cli.main(["serve-teacher", *words]) == 2
    assert said in "".join(capsys.readouterr())


def test_a_model_is_served_under_its_name(monkeypatch, capsys):
    served = []
    monkeypatch.setattr(teacher_server, "serve", lambda teacher, name, listener, host: served.append(
        (teacher.entry.name, name, listener.getsockname()[0], host)))
    assert cli.main(["serve-teacher", "house-chat", "--port", "0", "--json"]) == 0
    assert served == [("house-chat", "house-chat", "127.0.0.1", "127.0.0.1")]
    assert json.loads(capsys.readouterr().out) == {"model": "house-chat", "stopped": True}
