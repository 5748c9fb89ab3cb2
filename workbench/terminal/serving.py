"""The verbs that serve: a teacher to other processes and machines, the app to a class."""

from __future__ import annotations

import argparse
import os
import secrets
import signal
import sys
from types import FrameType

from workbench import settings
from workbench.terminal.answer import Answer


def serve_teacher(options: argparse.Namespace) -> Answer:
    """Serve a model's log-probabilities until it is ended."""
    from core.models.compatibility import require_causal_lm, require_language_model, require_vocabulary_fits
    from core.system.devices import resolve_device, resolve_precision
    from workbench.serve import open_socket, parse_port
    from workbench.store import Store, references
    from workbench.teacher_server import require_key, serve

    host, port = options.host or settings.HOST.default, parse_port(options.port)
    require_key(host)
    store = Store()
    require_causal_lm(require_language_model(references.describe(options.model, store)), "server of teachers' answers")
    listener = open_socket(host, port)
    signal.signal(signal.SIGTERM, _end_quietly)
    try:
        from core.models import catalog

        device = resolve_device(options.device)
        teacher = catalog.load(references.resolve(options.model, store), device=device, dtype=resolve_precision(options.precision, device))
        require_vocabulary_fits(teacher)
        serve(teacher, references.short(options.model), listener, host)
    except KeyboardInterrupt:
        pass  # the server has already shut down in order and passes the signal on
    finally:
        listener.close()
    return Answer({"model": options.model, "stopped": True}, "")


def classroom(options: argparse.Namespace) -> Answer:
    """Serve the app with a class until it is ended."""
    from workbench import serve
    from workbench.classroom import store

    room = store.create(options.name)
    given = settings.PASSWORD.read()
    password = given or secrets.token_urlsafe(9)
    os.environ |= {settings.PASSWORD.variable: password, settings.CLASS.variable: room.id}
    print(f"Class {room.name}: participants join at /join with the code {room.code}", file=sys.stderr)
    print(f"Instructor: log in at /login with the password {f'of {settings.PASSWORD.variable}' if given else password}",
          file=sys.stderr, flush=True)
    serve.main(options.port, options.host)
    return Answer({"class": room.name, "deleted": not store.exists(room.id), "stopped": True}, "")


def _end_quietly(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)
