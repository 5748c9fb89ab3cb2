"""Templates that would take the machine down. Each must end; how soon depends on the machine and is not asserted."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from core.data import template_limits, template_renderer
from core.data.template_limits import TemplateFailedError, check, render_within_limits, stopped_by
from core.errors import DataError
from core.system.paths import SOURCE
from tests.waiting import wait_until

MESSAGES = [{"role": "user", "content": "Hello"}]
FOREVER = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
LIMITED = os.name == "posix" and Path("/proc/self/statm").exists()


def rendered(template: str, *, marked: bool = False, prompt: bool = False) -> tuple[str, list[tuple[int, int]]]:
    return render_within_limits(MESSAGES, template, {"eos_token": "</s>"}, add_generation_prompt=prompt, marked=marked)


def children() -> set[int]:
    return {each.pid for each in psutil.Process().children()}


def test_what_a_template_sees() -> None:
    assert rendered("{{ messages[0].content }}{{ eos_token }}{{ add_generation_prompt }}", prompt=True) == ("Hello</s>True", [])
    assert rendered("a{% generation %}{{ messages[0].content }}{% endgeneration %}b", marked=True) == ("aHellob", [(1, 6)])
    assert render_within_limits([{"role": "user", "content": "a\ud800\n\x00ü"}], "{{ messages[0].content }}", {},
                                add_generation_prompt=False, marked=False)[0] == "a\ud800\n\x00ü"


@pytest.mark.skipif(not LIMITED, reason="limits as Linux has them")
@pytest.mark.parametrize("template", [
    FOREVER, "{{ 9 ** (9 ** 9) }}", "{% macro again() %}{% for a in range(99999) %}{{ again() }}{% endfor %}{% endmacro %}{{ again() }}"])
def test_time(monkeypatch: pytest.MonkeyPatch, template: str) -> None:
    monkeypatch.setattr(template_limits, "SECONDS", 1)
    template_limits._processes.end()  # they have the limits that they were started with
    try:
        with pytest.raises((DataError, TemplateFailedError), match=r"1 seconds of processor time|recursion"):
            rendered(template)
    finally:
        template_limits._processes.end()


@pytest.mark.skipif(not LIMITED, reason="limits as Linux has them")
@pytest.mark.parametrize("template", [
    "{{ '%999999999d' % 1 }}", "{{ 'x' * 10 ** 10 }}", "{{ 'x' | center(10 ** 9) }}", "{{ '{:999999999}'.format(1) }}",
    "{{ [1] * 10 ** 9 }}",
    "{% set s = namespace(t='xx') %}{% for a in range(60) %}{% set s.t = s.t ~ s.t %}{% endfor %}{{ s.t }}"])
def test_memory(template: str) -> None:
    with pytest.raises(DataError, match="MB of memory"):
        rendered(template)


def test_a_long_error_is_cut() -> None:
    with pytest.raises(TemplateFailedError) as refused:
        rendered("{{ raise_exception('x' * 100000) }}")
    assert len(str(refused.value)) == template_renderer.LONGEST_ERROR


def test_length() -> None:
    """What a template writes is bounded by what the messages hold, and at all."""
    longest = template_limits.longest_text(MESSAGES)
    assert longest == (1 << 16) + (1 << 10) + 8 * len("Hello")
    assert len(rendered(f"{{{{ 'x' * {longest} }}}}")[0]) == longest
    with pytest.raises(DataError, match=rf"{longest:,} characters"):
        rendered(f"{{{{ 'x' * {longest + 1} }}}}")
    long = [{"role": "user", "content": "x" * template_limits.LONGEST_TEXT}]
    for template, fits in (("{{ messages[0].content }}", True), ("{{ messages[0].content }}x", False)):
        with contextlib.nullcontext() if fits else pytest.raises(DataError, match="8,388,608 characters"):
            render_within_limits(long, template, {}, add_generation_prompt=False, marked=False)


@pytest.mark.parametrize("template", [
    "{{", "{% for %}", "{{ messages[9].a.b }}", "{{ raise_exception('no system messages') }}", "{{ range(10 ** 9) }}", "{% include 'x' %}",
    "{{ messages.append(1) }}", "{{ 1 / 0 }}", "{{ messages[0].content() }}", "{{ '' | nothing }}", "{{ undefined() }}",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "{{ '\\ud800' | int + 'a' }}"])
def test_a_template_that_fails_says_why_and_the_process_is_used_again(template: str) -> None:
    rendered("x")
    before = children()
    with pytest.raises(TemplateFailedError, match=r"."):
        rendered(template)
    assert rendered("x")[0] == "x"
    assert children() == before


def test_the_next_text_is_rendered_after_one_that_ended_its_process() -> None:
    rendered("x")
    used = children()
    with pytest.raises(DataError, match="characters"):
        rendered(f"{{{{ 'x' * {template_limits.LONGEST_TEXT + 1} }}}}")
    assert len(children() & used) == len(used) - 1
    assert rendered("x")[0] == "x"


def test_stop_ends_it() -> None:
    """Long before its time is up: the process is gone, and nobody waits for it."""
    stopped, said = threading.Event(), []
    before = children()

    def ask() -> None:
        with stopped_by(stopped.is_set), pytest.raises(DataError) as refused:
            rendered(FOREVER)
        said.append(str(refused.value))

    asking = threading.Thread(target=ask)
    asking.start()
    wait_until(lambda: children() - before or template_limits._processes._idle == [])
    stopped.set()
    asking.join()
    assert "until it was stopped" in said[0]
    assert rendered("x")[0] == "x"


def test_stop_while_a_process_starts() -> None:
    template_limits._processes.end()
    with stopped_by(lambda: True), pytest.raises(DataError, match="until it was stopped"):
        rendered("x")
    assert rendered("x")[0] == "x"


def test_a_process_that_dies_is_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    rendered("x")
    process = template_limits._processes._idle[-1]
    process._popen.kill()
    process._popen.wait()
    with pytest.raises(DataError, match="takes its process down"):
        rendered("x")
    assert rendered("x")[0] == "x"


def test_it_knows_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STILLHOUSE_PASSWORD", "copper kettle")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    template_limits._processes.end()
    rendered("x")
    environment = psutil.Process(template_limits._processes._idle[-1]._popen.pid).environ()
    assert not {"STILLHOUSE_PASSWORD", "HF_TOKEN"} & environment.keys()


@pytest.mark.parametrize(("template", "said"), [(5, "of type int"), (["x"], "of type list"), (None, "NoneType"),
                                                ("x" * (template_limits.LONGEST_TEMPLATE + 1), "262,145 characters")])
def test_what_is_no_template(template: object, said: str) -> None:
    with pytest.raises(DataError, match=said):
        check(template)
    assert check("x") == "x"


def in_a_process(lines: str) -> str:
    code = f"import sys\nfrom core.data import template_renderer\n{lines}"
    return subprocess.run([sys.executable, "-c", code], cwd=SOURCE, capture_output=True, text=True, check=True).stdout


MARKED = "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}"
RENDER = (f"print(template_renderer.renderer()([[{{'role': 'user', 'content': 'hi'}}]], chat_template={MARKED!r}, "
          "return_assistant_tokens_mask=True))\n")


def test_the_process_that_renders_imports_little_to_begin_with() -> None:
    found = in_a_process(f"{RENDER}print(any(name in sys.modules for name in ('torch', 'transformers.configuration_utils', 'httpx')))\n"
                         "print(hasattr(sys.modules['transformers'], 'AutoModel'))")
    assert found.splitlines() == ["(['hi'], [[(0, 2)]])", "False", "False"]


def test_it_imports_all_where_that_little_is_not_enough() -> None:
    found = in_a_process("def bare(name):\n    raise ImportError(name)\ntemplate_renderer._bare = bare\n"
                         f"{RENDER}print(hasattr(sys.modules['transformers'], 'AutoModel'))")
    assert found.splitlines() == ["(['hi'], [[(0, 2)]])", "True"]
