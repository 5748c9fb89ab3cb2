"""Models downloaded from the server, unzipped elsewhere, and loaded by Transformers alone."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from core.export import exporting
from tests.core.export.encoders import save_encoder
from workbench.downloads import mount
from workbench.mounts import download_path
from workbench.screens.shared.take_home import python_lines
from workbench.store import Store
from workbench.store.exports import FORM, export_folder, folder_name


@pytest.fixture
def client(home: Path) -> TestClient:
    return TestClient(Starlette(routes=[mount.route(Store())]))


def unzipped(client: TestClient, folder: Path, **given: str) -> list[str]:
    answer = client.get(download_path(), params=given)
    assert answer.status_code == 200, answer.text
    assert int(answer.headers["content-length"]) == len(answer.content)
    with zipfile.ZipFile(io.BytesIO(answer.content)) as read:
        read.extractall(folder)
        return read.namelist()


@pytest.mark.parametrize("task", ["masked", "classification"])
def test_the_lines_of_the_page_load_an_unzipped_model(client: TestClient, tmp_path: Path, task: str, capsys: pytest.CaptureFixture[str],
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    source = save_encoder(tmp_path / "my student", "bert", task)
    (source / "pytorch_model.bin").write_bytes(b"a pickle")
    names = unzipped(client, tmp_path / "elsewhere", model=str(source))
    assert "my-student/model.safetensors" in names
    assert not [name for name in names if name.endswith(".bin")]
    assert (tmp_path / "elsewhere" / "my-student" / "model.safetensors").read_bytes() == (source / "model.safetensors").read_bytes()
    monkeypatch.chdir(tmp_path / "elsewhere")
    exec(python_lines(task, folder_name(str(source))))  # type: ignore[arg-type]
    assert "'score'" in capsys.readouterr().out


def test_an_export_lies_where_transformers_js_reads_it(client: TestClient, tmp_path: Path) -> None:
    source = save_encoder(tmp_path / "student", "distilbert", "classification", layers=1)
    refused = client.get(download_path(), params={"model": str(source), "form": FORM})
    assert refused.status_code == 404
    assert "has no ONNX export yet" in refused.text
    folder = export_folder(str(source), source)
    exporting.export(str(source), FORM, folder)
    names = unzipped(client, tmp_path / "elsewhere", model=str(source), form=FORM)
    assert {"student/onnx/model_quantized.onnx", "student/config.json", "student/tokenizer.json"} <= set(names)
    assert (tmp_path / "elsewhere" / "student" / mount.GRAPH).read_bytes() == (folder / "model.int8.onnx").read_bytes()


def test_what_is_no_model_folder_is_refused(client: TestClient, tmp_path: Path) -> None:
    for given in ({"model": str(tmp_path / "none")}, {"model": ""}, {"model": "no-such-run"}, {"model": "house-chat", "form": "pickle"}):
        assert client.get(download_path(), params=given).status_code == 404, given
    head = client.head(download_path(), params={"model": "house-chat"})
    assert int(head.headers["content-length"]) > 1_000_000
    assert head.content == b""
