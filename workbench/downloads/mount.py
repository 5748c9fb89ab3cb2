"""The server's side of a download: ``/download/model.zip?model=REFERENCE&form=folder``.

    folder      the Transformers folder, without pickles
    onnx-int8   its export, if one was made (`workbench.store.exports`), laid out as Transformers.js reads it
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from core.errors import ConfigError, ModelNotFoundError, StillhouseError
from core.export.exporting import COPIED, FILES
from workbench.downloads import archive
from workbench.mounts import download_path
from workbench.store import Store, references
from workbench.store.exports import FORM, export_folder, folder_name

GRAPH = "onnx/model_quantized.onnx"  # where Transformers.js looks for 8-bit weights


def route(store: Store) -> Route:
    """Return the server's route to the downloads."""

    async def send(request: Request) -> Response:
        try:
            given = request.query_params.get("model", ""), request.query_params.get("form", "folder")
            entries = await asyncio.to_thread(contents, *given, store)
        except StillhouseError as error:
            return PlainTextResponse(str(error), 404)
        name = entries[0].name.partition("/")[0]
        headers = {"content-length": str(archive.length(entries)), "content-disposition": f'attachment; filename="{name}.zip"',
                   "cache-control": "private, no-store", "x-content-type-options": "nosniff"}
        if request.method == "HEAD":
            return Response(headers=headers, media_type="application/zip")
        return StreamingResponse(archive.stream(entries), headers=headers, media_type="application/zip")

    return Route(download_path(), send, methods=["GET", "HEAD"])


def contents(reference: str, form: str, store: Store) -> list[archive.Member]:
    """Return what the archive of a model holds.

    Raises:
        ConfigError: another form.
        ModelNotFoundError: the model is not on this machine as a folder, or was not exported.
        ModelError: as `references.describe` raises.
    """
    entry = references.describe(reference, store)
    if entry.path is None or not entry.path.is_dir():
        raise ModelNotFoundError(f"'{reference}' is no model folder on this machine.", "A model folder was expected.",
                                 "Fetch it first, or export it.")
    top = folder_name(reference)
    if form == "folder":
        return archive.members(top, _files(entry.path))
    if form != FORM:
        raise ConfigError(f"The form '{form}' was given.", f"folder or {FORM} was expected.", field="form")
    folder = export_folder(entry.name, entry.path)
    if not folder.is_dir():
        raise ModelNotFoundError(f"'{reference}' has no ONNX export yet.", "", "Export it on the page On device.")
    return archive.members(top, _files(folder) | {GRAPH: folder / FILES[FORM]})


def _files(folder: Path) -> dict[str, Path]:
    return {path.name: path for pattern in COPIED for path in folder.glob(pattern) if path.is_file()}
