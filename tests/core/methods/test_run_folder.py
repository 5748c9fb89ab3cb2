"""The folder of a run: progress that survives a call, files that are there whole or not at all, and stops with a report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from core.errors import DataError, DeviceError
from core.methods.run_folder import Progress, RunFolder
from core.recorder import StopRequested
from core.reports.run_report import RunReport, StudentSummary
from tests.core.chat_models import chat_model, chat_tokenizer

REPORT = RunReport("/run/student", None, StudentSummary("small"), {}, None, 0.0, 0, 0.0, True, "line")


def test_progress_is_read_back_by_the_next_call(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "deep" / "run")
    assert folder.progress == Progress(tmp_path / "deep" / "run" / "progress.json")
    folder.progress.measurements["teacher"] = {"perplexity": 2.0}
    folder.progress.layer_map = [0, 3]
    folder.add_training("student", steps=3, tokens=24, tokens_per_second=8.0)
    again = RunFolder(folder.path)
    assert again.progress == folder.progress
    assert (again.progress.steps, again.progress.tokens, again.progress.speed) == ({"student": 3}, {"student": 24}, {"student": 8.0})
    again.add_training("student", steps=4, tokens=32, tokens_per_second=0.0)
    assert again.progress.speed == {"student": 8.0}, "a call that only took the last step measured no speed"


def test_seconds_add_up_over_calls(tmp_path: Path) -> None:
    first = RunFolder(tmp_path)
    first.progress.seconds = 0.0
    first.save_progress()
    plain = json.loads((tmp_path / "progress.json").read_text())
    (tmp_path / "progress.json").write_text(json.dumps({**plain, "seconds": 100.0}))
    second = RunFolder(tmp_path)
    assert second.seconds >= 100.0
    second.save_progress()
    assert RunFolder(tmp_path).progress.seconds >= 100.0


def test_other_data_are_refused(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.require_unchanged_data("one", "corpus.txt")
    folder.require_unchanged_data("one", "corpus.txt")
    with pytest.raises(DataError, match=r"corpus\.txt"):
        folder.require_unchanged_data("two", "corpus.txt")
    assert folder.progress.data == "one"


def test_a_model_is_saved_once_and_the_one_in_memory_is_not_rounded(tmp_path: Path) -> None:
    folder, model = RunFolder(tmp_path), chat_model(layers=1)
    with torch.no_grad():
        model.get_input_embeddings().weight.add_(1e-4)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert not folder.has_model("student")
    path = folder.save_model("student", model, chat_tokenizer(), "bf16")
    saved = AutoModelForCausalLM.from_pretrained(path)
    assert saved.dtype == torch.bfloat16 and folder.has_model("student")
    assert torch.equal(saved.get_input_embeddings().weight, before["model.embed_tokens.weight"].bfloat16())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert AutoTokenizer.from_pretrained(path).get_vocab() == chat_tokenizer().get_vocab()
    folder.save_model("student", chat_model(layers=1, seed=5), chat_tokenizer())
    assert torch.equal(AutoModelForCausalLM.from_pretrained(path).get_input_embeddings().weight, saved.get_input_embeddings().weight)


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_a_model_is_saved_in_each_precision(tmp_path: Path, precision: str, dtype: torch.dtype) -> None:
    path = RunFolder(tmp_path).save_model("student", chat_model(layers=1), chat_tokenizer(), precision)
    assert AutoModelForCausalLM.from_pretrained(path).dtype == dtype


def test_what_fails_half_way_is_made_again(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)

    def half(partial: Path) -> None:
        partial.mkdir()
        (partial / "old").touch()
        raise OSError("broken")

    with pytest.raises(OSError, match="broken"):
        folder.make_once("a/b", half)
    assert not (tmp_path / "a" / "b").exists()

    def whole(partial: Path) -> None:
        partial.mkdir()
        (partial / "new").touch()

    assert [path.name for path in folder.make_once("a/b", whole).iterdir()] == ["new"]
    assert folder.make_once("a/b", half) == tmp_path / "a" / "b", "it is there already"
    assert folder.make_once("file", lambda partial: partial.write_text("1")).read_text() == "1"


def test_checkpoints_are_removed_and_logs_stay(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.remove_checkpoints()
    for path in (folder.checkpoints("student"), folder.checkpoints("control"), folder.logs("student")):
        path.mkdir(parents=True)
    folder.remove_checkpoints()
    assert not folder.checkpoints("student").exists() and not folder.checkpoints("control").exists() and folder.logs("student").is_dir()


def test_the_report_is_on_disk(tmp_path: Path) -> None:
    RunFolder(tmp_path).write_report(REPORT)
    assert json.loads((tmp_path / "report.json").read_text()) == json.loads(json.dumps(REPORT.to_dict()))


@pytest.mark.parametrize("digest", ["", "one"])
def test_a_stop_carries_the_report_and_saves_the_progress_of_a_run_that_has_one(tmp_path: Path, digest: str) -> None:
    folder = RunFolder(tmp_path)
    folder.progress.data = digest
    with pytest.raises(StopRequested) as stop, folder.stop_reported(lambda: REPORT):
        raise StopRequested
    assert stop.value.report is REPORT
    assert (tmp_path / "progress.json").exists() == bool(digest)


def test_other_errors_pass(tmp_path: Path) -> None:
    with pytest.raises(KeyError), RunFolder(tmp_path).stop_reported(lambda: pytest.fail("a report was made")):
        raise KeyError


@pytest.mark.parametrize(("processes", "refused"), [("1", False), ("", False), ("2", True)])
def test_one_process_carries_out_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: str, refused: bool) -> None:
    monkeypatch.setenv("WORLD_SIZE", processes)
    if refused:
        with pytest.raises(DeviceError, match="WORLD_SIZE"):
            RunFolder(tmp_path / "run")
    else:
        RunFolder(tmp_path / "run")
    assert (tmp_path / "run").exists() != refused
