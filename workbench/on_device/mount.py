"""The server's side of the pane: files, and nothing else. No text that a visitor types comes here.

    /on-device/pane.html?models=ID,ID   the pane, with pane.js, pane.css and worker.js beside it
    /on-device/runtime.json             where the libraries of the pinned releases lie
    /on-device/runtime/...              onnxruntime-web and the tokenizers, kept by `core.export.browser_runtime`
    /on-device/exports/ID/...           a model that was exported (`core.export`): int8 graph, tokenizer, configuration, record

They lie behind the same guard as the pages (`workbench.auth`).
"""

from __future__ import annotations

import os
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from core.export.browser_runtime import ONNX_RUNTIME, TOKENIZERS, runtime_dir
from workbench import paths

# By the end of a name: what the system's own tables say of these varies, and browsers start no module of another type.
TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
         ".mjs": "text/javascript; charset=utf-8", ".json": "application/json", ".wasm": "application/wasm",
         ".onnx": "application/octet-stream"}
# An export holds files of strangers beside its own, as a licence: none of them may become a page or a program of this origin.
PANE, RUNTIME, EXPORTS = frozenset({".html", ".css", ".js"}), frozenset({".mjs", ".wasm"}), frozenset({".json", ".onnx"})
FOR_GOOD = "private, max-age=31536000, immutable"  # behind an address that names a release
REVALIDATE = "private, no-cache"  # cached as well, and revalidated by its ETag


class Files(StaticFiles):
    """The files of one folder that end in one of a few ways; no other ones, no listing. The folder need not exist yet.

    Args:
        folder: which.
        suffixes: keys of `TYPES`.
        caching: what browsers may do with them.
    """

    def __init__(self, folder: Path, suffixes: frozenset[str], caching: str) -> None:
        super().__init__(directory=folder, check_dir=False)
        self.config_checked = True  # a folder that comes into being later is no mistake of the server's configuration
        self._suffixes, self._caching = suffixes, caching

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        """Return the path and status of a file, as in Starlette; files with other suffixes are not found."""
        full_path, found = super().lookup_path(path)
        return (full_path, found) if Path(path).suffix in self._suffixes else ("", None)

    def file_response(self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope,
                      status_code: int = 200) -> Response:
        """Starlette's answer, a 304 included, with our type and caching."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        if response.status_code != 304:
            response.headers["content-type"] = TYPES[Path(full_path).suffix]
        response.headers["cache-control"] = self._caching
        response.headers["x-content-type-options"] = "nosniff"
        return response


def pane() -> Starlette:
    """Return the application to mount at `workbench.mounts.on_device_path`."""
    return Starlette(routes=[Route("/runtime.json", _libraries), Mount("/runtime", Files(runtime_dir(), RUNTIME, FOR_GOOD)),
                             Mount("/exports", Files(paths.exports_dir(), EXPORTS, REVALIDATE)),
                             Mount("/", Files(Path(__file__).parent, PANE, REVALIDATE))])


async def _libraries(_request: Request) -> JSONResponse:
    """Addresses of the two libraries, relative to the pane."""
    return JSONResponse({"onnxruntime": f"runtime/{ONNX_RUNTIME.folder.name}/ort.mjs",
                         "tokenizers": f"runtime/{TOKENIZERS.folder.name}/tokenizers.mjs"}, headers={"cache-control": REVALIDATE})
