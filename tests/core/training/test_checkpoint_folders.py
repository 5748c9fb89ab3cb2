"""The newest checkpoint that was written to its end."""

from __future__ import annotations

from pathlib import Path

from core.training.checkpoint_folders import latest_checkpoint, latest_step


def test_the_newest_complete_checkpoint_is_taken(tmp_path: Path) -> None:
    assert latest_checkpoint(tmp_path) is None and latest_checkpoint(tmp_path / "none") is None and latest_step(tmp_path) == 0
    for step, state in ((9, b"{}"), (10, None), (11, b""), (12, b'{"global_step": 12, "log_hi'), (13, bytes(16)), (14, b"[]")):
        (tmp_path / f"checkpoint-{step}").mkdir()
        if state is not None:
            (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_bytes(state)
    assert latest_checkpoint(tmp_path) == tmp_path / "checkpoint-9" and latest_step(tmp_path) == 9
    (tmp_path / "checkpoint-100").mkdir()
    (tmp_path / "checkpoint-100" / "trainer_state.json").write_text("{}")
    assert latest_checkpoint(tmp_path) == tmp_path / "checkpoint-100", "by number, not by name"
