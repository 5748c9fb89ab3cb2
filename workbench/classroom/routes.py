"""The server's side of the hand-outs: ``/handout/class.html``, ``/handout/class.csv`` and a participant's ``/handout/mine.html``.

They are requests of their own because what `st.download_button` makes at the click is removed as soon as two scripts of any session have
ended, before the browser has it: in a class, whose pages poll, clicks would be lost.
"""

from __future__ import annotations

import asyncio
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from core.errors import StillhouseError
from workbench.auth import PARTICIPANT_HEADER
from workbench.classroom import handout
from workbench.classroom.board import Board
from workbench.classroom.store import ClassStore
from workbench.errors import ClassError
from workbench.mounts import handout_path
from workbench.store import Store

TYPES = {"html": "text/html", "csv": "text/csv"}


def handouts(class_id: str, store: Store) -> Route:
    """Return the server's route to the hand-outs of a class."""
    async def send(request: Request) -> Response:
        name = request.path_params["name"]
        try:
            text, stem = await asyncio.to_thread(contents, class_id, name, request.headers.get(PARTICIPANT_HEADER), store)
        except StillhouseError as error:
            return PlainTextResponse(str(error), 404)
        suffix = name.rpartition(".")[2]
        headers = {"content-disposition": f"attachment; filename*=utf-8''{quote(f'{stem}.{suffix}', safe='')}",
                   "cache-control": "private, no-store", "x-content-type-options": "nosniff"}
        return Response(text, headers=headers, media_type=TYPES[suffix])

    return Route(handout_path("{name}"), send, methods=["GET"])


def contents(class_id: str, name: str, participant_id: str | None, store: Store) -> tuple[str, str]:
    """Return a hand-out, and the name of its file without the suffix.

    Args:
        participant_id: who requests it, as the gate says; None for the instructor.

    Raises:
        ClassError: the class is over, or there is no such hand-out for whoever requests it.
    """
    room = ClassStore(class_id)
    board = Board(room, store)
    if name == "mine.html" and participant_id is not None:
        return handout.page(board, store, participant_id), room.participant(participant_id).nickname
    if name == "class.html" and participant_id is None:
        return handout.page(board, store), room.name
    if name == "class.csv" and participant_id is None:
        return handout.csv(board), room.name
    raise ClassError(f"There is no hand-out '{name}' here.", "class.html and class.csv, or a participant's mine.html, were expected.")
