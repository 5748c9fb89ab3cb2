"""The verb that keeps teachers' answers on disk, and lists, shows, deletes and restores what is kept."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

from core.errors import ConfigError
from core.signals import ACTIONS
from workbench.store.kept_answers import document, uses
from workbench.terminal.answer import INTERRUPTED, Answer


def signals(options: argparse.Namespace) -> Answer:
    """Build, list, show, verify, delete or restore teachers' answers."""
    if options.action_name == "list":
        return _list(options.deleted)
    if not options.subject:
        raise ConfigError(f"signals {options.action_name} needs {ACTIONS[options.action_name]}.", "",
                          f"Name it: python -m workbench signals {options.action_name} {ACTIONS[options.action_name].upper()}")
    verb: Callable[[argparse.Namespace], Answer] = {"build": _build, "show": _show, "verify": _verify, "delete": _delete,
                                                    "restore": _restore}[options.action_name]
    return verb(options)


def _build(options: argparse.Namespace) -> Answer:
    from core.methods.building_signals import build_signals
    from core.recipes import read_recipe
    from core.recorder import NullRecorder, StopRequested
    from core.system.units import format_bytes
    from workbench.store import Store, references

    config = references.resolved(read_recipe(options.subject, options.set), Store())
    progress = _BuildProgress()
    try:
        built = build_signals(config, NullRecorder(), progress)
    except (KeyboardInterrupt, StopRequested):
        print("\nWhat was answered is kept: the same command continues after it.", file=sys.stderr)
        return Answer({"stopped": True, "blocks": progress.total, "kept": progress.done}, "", INTERRUPTED)
    text = (f"{built.cache}: {built.blocks:,} blocks as {built.form}, {format_bytes(built.bytes)}; {built.queried:,} were queried in "
            f"{built.seconds:.1f} s.")
    if built.error is not None:
        text += (f"\nAgainst the live teacher at {built.error.positions:,} positions: KL {built.error.kl:.2g} nats, "
                 f"same likeliest token at {built.error.agreement:.1%}, {built.error.mass:.1%} of the probability kept.")
    if built.server is not None:
        text += f"\nThe server answered {built.server['requests']:,} requests for {built.server['tokens']:,} tokens."
    return Answer(built.to_dict() | {"stopped": False}, text)


def _list(deleted: bool) -> Answer:
    from core.signals.manager import stored_caches
    from core.system.paths import signals_dir
    from core.system.units import format_bytes

    found = stored_caches(signals_dir(), deleted=deleted)
    used = uses()
    documents = [document(cache, used) for cache in found]
    lines = [f"{each['cache']}  {each['teacher']:<20} {each['form']:<8} {each['blocks']:>8,} blocks  {format_bytes(each['bytes']):>8}  "
             f"{len(each['runs'])} runs{'  in the bin' if each['deleted'] else ''}" for each in documents]
    return Answer(documents, "\n".join(lines) or "No answers are kept yet: python -m workbench signals build RECIPE")


def _show(options: argparse.Namespace) -> Answer:
    from core.signals.manager import find_cache
    from core.system.paths import signals_dir

    found = document(find_cache(signals_dir(), options.subject), uses())
    return Answer(found, "\n".join(f"{name}: {value}" for name, value in found.items()))


def _verify(options: argparse.Namespace) -> Answer:
    from core.signals.cache import SignalCache
    from core.signals.manager import find_cache
    from core.system.paths import signals_dir

    found = find_cache(signals_dir(), options.subject)
    SignalCache(found.folder, found.manifest.key).verify()
    return Answer(document(found, uses()) | {"whole": True}, f"{found.name}: all {len(found.manifest.shards)} shards are whole.")


def _delete(options: argparse.Namespace) -> Answer:
    from core.signals.manager import delete_cache, purge_cache
    from core.system.paths import signals_dir

    found = (purge_cache if options.purge else delete_cache)(signals_dir(), options.subject)
    said = "was deleted permanently." if options.purge else f"is in the bin. Undo: python -m workbench signals restore {found.name}"
    return Answer(document(found, {}), f"{found.name} {said}")


def _restore(options: argparse.Namespace) -> Answer:
    from core.signals.manager import restore_cache
    from core.system.paths import signals_dir

    found = restore_cache(signals_dir(), options.subject)
    return Answer(document(found, uses()), f"{found.name} is back.")


class _BuildProgress:
    """Prints how many blocks are kept and how long the rest takes, once in a while."""

    SECONDS = 2.0  # between two lines

    def __init__(self) -> None:
        self.done = self.total = 0
        self._first: tuple[int, float] | None = None
        self._printed = 0.0

    def __call__(self, done: int, total: int) -> None:
        self.done, self.total, now = done, total, time.monotonic()
        if self._first is None:
            self._first = done, now
        if now - self._printed < self.SECONDS and done < total:
            return
        self._printed = now
        before, began = self._first
        rest = f", about {(now - began) / (done - before) * (total - done):.0f} s left" if before < done < total else ""
        print(f"{done:,} of {total:,} blocks{rest}", file=sys.stderr)
