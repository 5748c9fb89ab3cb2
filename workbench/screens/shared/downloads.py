"""Files that a page offers and that are made when somebody takes them: ``/offer/TOKEN/NAME``.

They are requests of their own because what `st.download_button` makes at the click is removed as soon as two scripts of any session have
ended (`MediaFileManager.remove_orphaned_files` of streamlit 1.67), before the browser has it: where several sessions poll, clicks are lost.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

import streamlit as st
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from core.errors import StillhouseError
from workbench.mounts import offer_path

MOST = 400  # offers of all sessions together; each holds what its file is made from


@dataclass(frozen=True, slots=True)
class Offer:
    """A file that can be made.

    Attributes:
        make: returns its content; called for every download, in a thread.
        name: of the file.
        kind: its media type.
    """

    make: Callable[[], str | bytes]
    name: str
    kind: str


class Offers:
    """Offers by their token, which nobody guesses; the one drawn longest ago makes room. Threads may share it."""

    def __init__(self, most: int = MOST) -> None:
        self._most, self._lock = most, threading.Lock()
        self._kept: OrderedDict[str, Offer] = OrderedDict()

    def put(self, token: str, offer: Offer) -> str:
        """Keep an offer under its session's token for it, and return its address."""
        with self._lock:
            self._kept[token] = offer
            self._kept.move_to_end(token)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return offer_path(token, quote(offer.name, safe=""))

    def get(self, token: str) -> Offer | None:
        """Return an offer; None where there is none (any more)."""
        with self._lock:
            return self._kept.get(token)


OFFERS = Offers()


def download(label: str, make: Callable[[], str | bytes], *, file_name: str, mime: str, key: str, help: str | None = None,
             type: Literal["primary", "secondary"] = "secondary", disabled: bool = False) -> None:
    """Draw a button that downloads what `make` returns at the click.

    Args:
        make: called in a thread of the server, without a session.
        key: tells it from the other downloads of this session, over reruns.
    """
    token = st.session_state.setdefault(f"offer.{key}", secrets.token_urlsafe(24))
    st.link_button(label, OFFERS.put(token, Offer(make, file_name, mime)), key=f"take.{key}", icon=":material/download:", help=help,
                   type=type, disabled=disabled)


def offer_route() -> Route:
    """Return the server's route to the files that pages offer."""
    async def send(request: Request) -> Response:
        offer = OFFERS.get(request.path_params["token"])
        if offer is None:
            return PlainTextResponse("This file is no longer offered. Reload the page that showed it, then download it again.", 404)
        try:
            content = await asyncio.to_thread(offer.make)
        except (StillhouseError, OSError) as error:  # a run that was removed meanwhile, a file that is gone
            return PlainTextResponse(f"{offer.name} cannot be made: {error}", 404)
        headers = {"content-disposition": f"attachment; filename*=utf-8''{quote(offer.name, safe='')}",
                   "cache-control": "private, no-store", "x-content-type-options": "nosniff"}
        return Response(content, headers=headers, media_type=offer.kind)

    return Route(offer_path("{token}", "{name}"), send, methods=["GET"])
