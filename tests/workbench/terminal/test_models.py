"""The verbs of models."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from core.evaluation.blanks import fill_blanks
from tests.core.chat_models import save_chat_model
from tests.core.export.encoders import save_encoder
from tests.core.masked_models import classifier, masked_model, masked_tokenizer, save
from tests.workbench.fake_engine import config
from workbench.store import Store
from workbench.terminal import cli


def test_fetching_a_run_says_that_it_is_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    store = Store()
    run = store.create_run(config(1, name="walk"), device="cpu")
    save_chat_model(run.output_dir)
    store.finish(run.id, "finished")
    assert cli.main(["fetch", "walk"]) == 0
    assert f"walk is here already: {run.output_dir}" in capsys.readouterr().out


def test_an_answer_is_computed_on_the_best_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    import torch

    from core.models import catalog
    from core.system import devices

    devices_used: list[object] = []
    monkeypatch.setattr(devices, "resolve_device", lambda name: devices_used.append(name) or torch.device("cpu"))
    load = catalog.load
    monkeypatch.setattr(catalog, "load", lambda reference, **options: devices_used.append(options["device"]) or load(reference, **options))
    assert cli.main(["generate", str(save_chat_model(tmp_path / "tiny")), "--prompt", "Hi", "--max-new-tokens", "2"]) == 0
    assert devices_used == ["auto", torch.device("cpu")]


def test_a_masked_model_fills_the_blanks_of_a_prompt(tmp_path: Path, run_json, capsys: pytest.CaptureFixture[str]) -> None:
    folder, prompt = str(save(masked_model(2), tmp_path / "encoder")), "the [MASK] was [mask]"
    code, document = run_json("generate", folder, "--prompt", prompt)
    expected = fill_blanks(masked_model(2), masked_tokenizer(), prompt)
    assert code == 0 and list(document) == ["model", "prompt", "blanks"] and (document["model"], document["prompt"]) == (folder, prompt)
    assert [[fill["token"] for fill in blank] for blank in document["blanks"]] == [[fill.token for fill in blank] for blank in expected]
    assert [len(blank) for blank in document["blanks"]] == [10, 10] and set(document["blanks"][0][0]) == {"token", "probability"}
    assert document["blanks"][1][0]["probability"] == pytest.approx(expected[1][0].probability, rel=1e-4)
    assert cli.main(["generate", folder, "--prompt", prompt]) == 0
    said = capsys.readouterr().out
    assert "blank 2" in said and f"{expected[1][0].token} " in said
    assert cli.main(["generate", folder, "--prompt", "the film was good"]) == 2
    assert "Write [MASK] or ___ in place of a word" in capsys.readouterr().err


def test_a_classifier_tells_the_classes_of_a_prompt(tmp_path: Path, run_json, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(save(classifier(), tmp_path / "judge"))
    code, document = run_json("generate", folder, "--prompt", "the film was good")
    assert code == 0 and list(document) == ["model", "prompt", "classes"]
    assert [share["label"] for share in document["classes"]] == ["negative", "positive"]
    assert sum(share["probability"] for share in document["classes"]) == pytest.approx(1)
    assert cli.main(["generate", folder, "--prompt", "the film was good"]) == 0
    likeliest = max(document["classes"], key=lambda share: share["probability"])["label"]
    assert capsys.readouterr().out.splitlines()[1].startswith(likeliest)


def test_a_model_that_answers_questions_about_a_text_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = save(masked_model(2), tmp_path / "reader")
    plain = json.loads((folder / "config.json").read_text()) | {"architectures": ["BertForQuestionAnswering"]}
    (folder / "config.json").write_text(json.dumps(plain))
    assert cli.main(["generate", str(folder), "--prompt", "Who?"]) == 2
    assert "finds answers in a text" in capsys.readouterr().err


def test_the_record_of_an_export_is_complete(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    source, out = save_encoder(tmp_path / "tiny", "distilbert", layers=1), tmp_path / "out"
    assert cli.main(["export", str(source), "--format", "onnx-int8", "--out", str(out), "--json"]) == 0
    output = capsys.readouterr()
    record = json.loads(output.out)
    assert (record["output_dir"], record["file"], record["task"]) == (str(out), "model.int8.onnx", "masked")
    assert list(record["forms"]) == ["torch", "onnx", "onnx-int8"]
    assert "Quantising ..." in output.err
    assert cli.main(["export", str(source), "--format", "onnx-int8", "--out", str(out)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert cli.main(["export", str(source), "--format", "gguf", "--out", str(tmp_path / "other")]) == 2
    assert "onnx-int8" in capsys.readouterr().err


def test_an_export_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    source = save_encoder(tmp_path / "tiny", "distilbert", layers=1)
    assert cli.main(["export", str(source), "--format", "onnx", "--out", str(tmp_path / "out")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{source} as onnx: {tmp_path / 'out'}"
    assert [line.split()[0] for line in lines[2:]] == ["FORM", "torch", "onnx"]
    assert "100.0% of" in lines[-1]


def test_what_runs_exports_in_a_browser_is_fetched(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    from core.export import browser_runtime

    def fetched(progress: Callable[[int, int], None]) -> list[Path]:
        progress(2**20, 2**21)
        return [Path("kept")]

    monkeypatch.setattr(browser_runtime, "fetch", fetched)
    assert cli.main(["fetch", "browser-runtime", "--json"]) == 0
    output = capsys.readouterr()
    assert json.loads(output.out)["folders"] == ["kept"]
    assert "1 of 2 MiB" in output.err
