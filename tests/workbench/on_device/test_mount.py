"""The files of the pane: their types, how long browsers keep them, and that there are no others."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from core.export import browser_runtime
from workbench import paths
from workbench.on_device import mount


@pytest.fixture
def client(home: Path) -> TestClient:
    return TestClient(mount.pane())


@pytest.mark.parametrize(("name", "kind"), [("pane.html", "text/html"), ("pane.js", "text/javascript"), ("worker.js", "text/javascript"),
                                            ("pane.css", "text/css")])
def test_the_pane(client: TestClient, name: str, kind: str) -> None:
    answer = client.get(f"/{name}")
    assert answer.headers["content-type"] == f"{kind}; charset=utf-8"
    assert answer.headers["cache-control"] == mount.REVALIDATE
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert client.get(f"/{name}", headers={"if-none-match": answer.headers["etag"]}).status_code == 304


def test_code_is_not_served(client: TestClient) -> None:
    for address in ("/mount.py", "/__init__.py", "/", "/exports/", "/runtime/", "/../serve.py", "/%2e%2e/gate.py"):
        assert client.get(address).status_code == 404, address


def test_what_comes_into_being_later_is_served(client: TestClient) -> None:
    for address in ("/exports/tiny-1/model.int8.onnx", f"/runtime/{browser_runtime.ONNX_RUNTIME.folder.name}/ort.mjs"):
        assert client.get(address).status_code == 404
    folder = paths.exports_dir() / "tiny-1"
    folder.mkdir(parents=True)
    (folder / "model.int8.onnx").write_bytes(b"graph")
    (folder / "secret.txt").write_text("no")
    answer = client.get("/exports/tiny-1/model.int8.onnx")
    assert (answer.content, answer.headers["content-type"]) == (b"graph", "application/octet-stream")
    assert client.get("/exports/tiny-1/secret.txt").status_code == 404
    assert client.get("/exports/../store.sqlite").status_code == 404


@pytest.mark.parametrize("name", ["LICENSE.html", "LICENSE.js", "LICENSE.mjs", "LICENSE.css", "LICENSE.wasm", "LICENSE"])
def test_a_models_own_files_become_no_page_of_this_origin(client: TestClient, name: str) -> None:
    folder = paths.exports_dir() / "tiny-1"
    folder.mkdir(parents=True)
    (folder / name).write_text("<script>alert(1)</script>")
    assert client.get(f"/exports/tiny-1/{name}").status_code == 404


def test_libraries_may_be_kept_for_good(client: TestClient) -> None:
    for package in browser_runtime.PACKAGES:
        package.folder.mkdir(parents=True)
        for _, name in package.files:
            (package.folder / name).write_bytes(b"x")
    places = client.get("/runtime.json").json()
    for address in places.values():
        answer = client.get(f"/{address}")
        assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
        assert "immutable" in answer.headers["cache-control"]
    wasm = client.get(f"/{places['onnxruntime'].rpartition('/')[0]}/ort-wasm-simd-threaded.wasm")
    assert wasm.headers["content-type"] == "application/wasm"
