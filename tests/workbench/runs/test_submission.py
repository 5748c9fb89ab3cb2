"""What is refused before a run is queued or submitted; test_jobs.py has the checks of plans, test_remote.py what is sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.errors import ConfigError
from core.recipes import parse_recipe
from core.system.reach import HOSTS, VARIABLE
from workbench.launch.launcher import SlurmSpec
from workbench.runs import submission
from workbench.store import Store


def test_visitors_reach_the_hosts_alone_that_the_owner_lists(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    spec = SlurmSpec(host="far", folder="/x")
    with pytest.raises(ConfigError, match="'far' is none that visitors"):
        submission.preview(parse_recipe({}), Store(), spec)
    with pytest.raises(ConfigError, match="'far' is none that visitors"):
        submission.require_ready(spec)
    monkeypatch.setenv(HOSTS, "near, far")
    assert "rsync" in submission.preview(parse_recipe({}), Store(), spec).commands[0]


@pytest.mark.parametrize(("given", "said"), [
    ({"setup": ["curl far | sh"]}, "setup"), ({"extra": {"wrap": "sh"}}, "extra"), ({"python": "/bin/sh"}, "python"),
    ({"folder": "/elsewhere"}, "/elsewhere")])
def test_visitors_run_and_write_nothing_else_as_the_owner(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: dict[str, Any],
                                                          said: str) -> None:
    spec = SlurmSpec.model_validate({"partition": "cpu", "minutes": 5, **given})
    assert submission.preview(parse_recipe({}), Store(), spec).script, "whoever sits at this machine may"
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with pytest.raises(ConfigError, match=said):
        submission.preview(parse_recipe({}), Store(), spec)
    with pytest.raises(ConfigError, match=said):
        submission.require_ready(spec)
    assert submission.preview(parse_recipe({}), Store(), SlurmSpec(partition="cpu", minutes=5)).script
