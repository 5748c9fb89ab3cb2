"""Renders chat templates: ``python -m core.data.template_renderer``, started by `core.data.template_limits`.

A template is a program that comes with a model. The sandbox of Jinja keeps it from files and from Python's insides, and has no limit of
time or memory; those are this process's own, which the system enforces. Requests and answers are lines of JSON.
"""

from __future__ import annotations

import importlib.machinery
import json
import os
import sys
import types
from typing import Any, BinaryIO

try:
    import resource
except ImportError:  # Windows, where the one who waits has to end this process
    resource = None  # type: ignore[assignment]

LONGEST_ERROR = 1000  # characters


def main() -> None:
    """Answer requests until there can be no more: the first line names the limits."""
    render_jinja_template = renderer()
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints is no answer
    limits = json.loads(requests.readline())
    _limit_memory(limits["memory"])
    _send(answers, {"ready": True})
    for line in requests:
        _limit_time(limits["seconds"])
        _send(answers, _answer(json.loads(line), render_jinja_template))


def renderer() -> Any:
    """Return Transformers' function that renders, imported without the packages around it, which take three quarters of the time.

    It is for this process alone: what else is imported of Transformers finds those packages empty. On a busy machine the start of this
    process is what somebody waits for who opens a model, and again after every template that was ended.
    """
    packages = ("transformers", "transformers.utils")
    try:
        for name in packages:
            sys.modules[name] = _bare(name)
        from transformers.utils.chat_template_utils import render_jinja_template
    except (ImportError, AttributeError):  # of another release, whose module leans on its packages
        for name in [each for each in sys.modules if each.partition(".")[0] == packages[0]]:
            del sys.modules[name]
        from transformers.utils.chat_template_utils import render_jinja_template
    return render_jinja_template


def _bare(name: str) -> types.ModuleType:
    """Return a package whose own code is not executed, so that only what is imported from it is."""
    above = name.rpartition(".")[0]
    spec = importlib.machinery.PathFinder.find_spec(name, sys.modules[above].__path__ if above else None)
    if spec is None or spec.submodule_search_locations is None:
        raise ImportError(f"There is no package '{name}'.", name=name)
    package = types.ModuleType(name)
    package.__path__ = list(spec.submodule_search_locations)
    return package


def _answer(request: dict[str, Any], render: Any) -> dict[str, Any]:
    try:
        (text,), marks = render([request["messages"]], chat_template=request["template"], return_assistant_tokens_mask=request["marked"],
                                add_generation_prompt=request["add_generation_prompt"], **request["special_tokens"])
    except MemoryError:
        return {"limit": "memory"}
    except Exception as error:  # a template may fail in any way that Python knows, and that is the answer
        return {"error": (str(error) or type(error).__name__)[:LONGEST_ERROR]}
    return {"limit": "characters"} if len(text) > request["characters"] else {"text": text, "marks": marks[0] if request["marked"] else []}


def _limit_memory(most: int) -> None:
    """Allow `most` bytes beyond what this process has now."""
    if resource is not None and os.path.exists("/proc/self/statm"):
        with open("/proc/self/statm", encoding="ascii") as file:
            now = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + most, now + most))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def _limit_time(seconds: int) -> None:
    """Allow so many seconds of processor time from now on; the system ends a process that takes more, whatever it is doing."""
    if resource is not None:
        used = resource.getrusage(resource.RUSAGE_SELF)
        resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + seconds, resource.RLIM_INFINITY))


def _send(answers: BinaryIO, answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer).encode() + b"\n")
    answers.flush()


if __name__ == "__main__":
    main()
