"""Verbs that compute, in a child of the command's process: what it says when the child is killed, and that nothing else is different."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from core.system.paths import PROJECT
from tests.waiting import PATIENCE, wait_until
from workbench.store import Store
from workbench.terminal import apart

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="verbs have a process of their own on Linux")

# `generate` as `body` does it, whose process is a child of the one that is started.
PROGRAM = """
import os, signal, sys, time
from workbench.terminal import cli
from workbench.terminal.answer import Answer
def generate(options):
{body}
cli.generate = generate
sys.argv = ["workbench", "generate", "house-chat", "--prompt", "x", *sys.argv[1:]]
sys.exit(cli.main())
"""
KILLS_ITSELF = "os.kill(os.getpid(), signal.SIGKILL)"
WAITS = ("signal.signal({name}, lambda *_: (print('heard'), sys.stdout.flush(), os._exit(7)))", "print(os.getpid(), flush=True)",
         "time.sleep(600)")


def started(*body: str, options: tuple[str, ...] = (), **environment: str) -> subprocess.Popen[str]:
    program = PROGRAM.format(body="\n".join(f"    {line}" for line in body))
    return subprocess.Popen([sys.executable, "-c", program, *options], cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    text=True,
                            env={**os.environ, **environment})


def ended(*body: str, options: tuple[str, ...] = (), **environment: str) -> tuple[int, str, str]:
    with started(*body, options=options, **environment) as process:
        out, err = process.communicate(timeout=PATIENCE)
        return process.returncode, out, err


@pytest.fixture
def waiting() -> Iterator[Callable[[str], tuple[subprocess.Popen[str], psutil.Process]]]:
    """Starts a command that waits in its child for a signal; returns its process and the child."""
    processes: list[subprocess.Popen[str]] = []

    def start(name: str) -> tuple[subprocess.Popen[str], psutil.Process]:
        processes.append(started(*(line.format(name=f"signal.{name}") for line in WAITS)))
        assert processes[-1].stdout is not None
        return processes[-1], psutil.Process(int(processes[-1].stdout.readline()))

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_child_that_is_killed_leaves_a_message(options: tuple[str, ...]) -> None:
    code, out, err = ended(KILLS_ITSELF, options=options)
    assert code == 1
    assert err == ("error: The process of 'generate' was ended by the system (SIGKILL). It was probably out of memory. "
                   "Choose a smaller model, or close other programs.\n")
    if options:
        assert json.loads(out)["error"]["given"] == "The process of 'generate' was ended by the system (SIGKILL)."
    else:
        assert out == ""


@pytest.mark.parametrize(("body", "code"), [("return Answer({'a': 1}, 'said')", 0), ("return Answer({'a': 1}, 'said', 5)", 5)])
def test_an_answer_is_printed_once_with_its_exit_code(body: str, code: int) -> None:
    assert ended("print('before')", body) == (code, "before\nsaid\n", "")


def test_an_end_by_another_signal_is_that_of_the_command() -> None:
    assert ended("os.kill(os.getpid(), signal.SIGUSR1)")[0] == -signal.SIGUSR1


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_what_another_process_sends_is_handed_on(name: str, waiting: Callable) -> None:
    process, child = waiting(name)
    assert child.ppid() == process.pid
    process.send_signal(getattr(signal, name))
    assert process.communicate(timeout=PATIENCE)[0] == "heard\n"
    assert process.returncode == 7


def test_the_child_ends_with_the_command(waiting: Callable) -> None:
    process, child = waiting("SIGTERM")
    process.kill()
    process.wait(PATIENCE)
    wait_until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_the_child_is_what_the_system_ends_first(waiting: Callable) -> None:
    process, child = waiting("SIGTERM")
    scores = [int(Path(f"/proc/{each.pid}/oom_score_adj").read_text()) for each in (child, process)]
    assert scores[0] >= 500 and scores[0] >= scores[1]


def test_processes_that_were_started_together_are_left_alone() -> None:
    code, out, _ = ended("print(os.getppid())", "return Answer({}, '')", RANK="0", WORLD_SIZE="2")
    assert (code, int(out)) == (0, os.getpid())


def test_a_run_whose_process_is_killed_says_how_it_is_resumed(recipe: Callable[..., str], tmp_path: Path) -> None:
    program = ("import os, sys\nfrom workbench.runs import worker\nfrom workbench.terminal import cli\n"
               "worker.run_experiment = lambda *_, **__: os.kill(os.getpid(), 9)\n"
               f"sys.argv = ['workbench', 'distill', {recipe(3)!r}, '--name', 'walk']\nsys.exit(cli.main())\n")
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == 1
    assert "The process of 'distill' was ended by the system (SIGKILL)" in done.stderr
    assert "train.per_device_train_batch_size" in done.stderr
    assert done.stderr.rstrip().endswith("python -m workbench resume walk")
    assert Store().run("walk").status == "lost"


@pytest.mark.parametrize(("arguments", "expected"), [
    (["generate", "x", "--prompt", "y"], True), (["runs"], False), (["plan", "x.yaml"], False), (["plan", "x.yaml", "--measure"], True),
    (["signals", "build", "x.yaml"], True), (["signals", "list"], False), (["claim"], False), (["claim", "C1"], True),
    (["sweep", "x.yaml", "--no-measure"], False), (["sweep", "x.yaml"], True)])
def test_verbs_that_compute(arguments: list[str], expected: bool) -> None:
    from workbench.terminal.cli import build_parser

    assert apart.computes(build_parser().parse_args(arguments)) is expected
