"""Runs whose teacher answers at an address: as with a teacher in memory, over a server's death, refused where it cannot be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.config import ExperimentConfig
from core.errors import ConfigError, TeacherServerError
from core.events import RunWarning
from core.methods.building_signals import build_signals
from core.methods.distillation import distill
from core.planning.plan import plan, static_plan
from core.recipes import parse_recipe
from core.recorder import STUDENT, ListRecorder, NullRecorder, StopRequested
from core.reports.run_report import RunReport
from tests.core.chat_models import save_chat_model
from tests.core.conftest import write_reviews
from tests.served_teacher import TeacherProcess

ALL = 10_000  # tokens, more than there are
KEY = "a-key-that-nobody-repeats"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    save_chat_model(folder / "teacher", layers=3, positions=64)
    save_chat_model(folder / "student", layers=2, positions=64, seed=5)
    return folder


@pytest.fixture(scope="module")
def server(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TeacherProcess]:
    log = tmp_path_factory.mktemp("server") / "server.log"
    process = TeacherProcess(models / "teacher", log, {"STILLHOUSE_TEACHER_KEY": KEY, "STILLHOUSE_HOME": str(log.parent)})
    yield process
    assert process.end() == 0
    assert KEY not in log.read_text()


@pytest.fixture(scope="module")
def mortal(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TeacherProcess]:
    """A server that tests kill; each starts it again before its end."""
    log = tmp_path_factory.mktemp("mortal") / "server.log"
    process = TeacherProcess(models / "teacher", log, {"STILLHOUSE_HOME": str(log.parent)})
    yield process
    assert process.end() == 0


@pytest.fixture
def few_reviews(tmp_path: Path) -> Path:
    """Some twenty blocks: of every position a server lists every token, and that is what these tests take."""
    return write_reviews(tmp_path / "few.txt", 16)


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STILLHOUSE_TEACHER_KEY", KEY)


def experiment(teacher: str, models: Path, corpus: Path, top_k: int = ALL, server: dict[str, Any] | None = None,
               **losses: Any) -> ExperimentConfig:
    return parse_recipe({
        "teacher": {"model": teacher, "signals": {"form": "top_k", "top_k": top_k}, "server": server or {}},
        "student": {"model": str(models / "student")}, "losses": losses,
        "data": {"source": str(corpus), "block_length": 24, "validation_fraction": 0.2},
        "train": {"num_train_epochs": 2, "per_device_train_batch_size": 4, "save_steps": 2, "device": "cpu", "precision": "fp32"},
        "evaluation": {"eval_steps": 100, "blocks": 4, "prompts": []}})


def run(config: ExperimentConfig, folder: Path, recorder: ListRecorder | None = None) -> RunReport:
    return distill(config, recorder or ListRecorder(), folder)


@pytest.mark.parametrize("losses", [{}, {"divergence": "reverse_kl", "temperature": 1.0}], ids=str)
def test_all_tokens_of_a_server_are_the_teacher_in_memory(server, models, few_reviews, tmp_path, losses):
    local = run(experiment(str(models / "teacher"), models, few_reviews, **losses), tmp_path / "local")
    served = run(experiment(server.url, models, few_reviews, **losses), tmp_path / "served")
    for subject, metrics in local.metrics.items():
        for name, value in (metrics or {}).items():
            assert served.metrics[subject][name] == pytest.approx(value, abs=1e-4, rel=1e-4), (subject, name)
    assert served.signals.queried <= served.data.blocks and served.signals.queried + served.signals.reused == 2 * served.data.blocks
    again = run(experiment(server.url, models, few_reviews, **losses), tmp_path / "again")
    assert again.signals.queried == 0 and again.student_after == served.student_after
    assert again.signals.server["tokens"] < 100, "the handshake alone: no position is paid for twice"


def test_a_few_tokens_train_and_report(server, models, few_reviews, tmp_path):
    recorder = ListRecorder()
    report = run(experiment(f"{server.url}#teacher", models, few_reviews, top_k=5), tmp_path / "run", recorder)
    assert report.teacher.name == f"{server.url}#teacher" and report.teacher.parameters is None
    assert RunReport.from_dict(json.loads(json.dumps(report.to_dict()))) == report
    assert 0 < report.student_after["kl_to_teacher"] < report.student_before["kl_to_teacher"]
    assert not recorder.of(RunWarning)
    curves = {name: [value for variant, _, metric, value in recorder.rows if (variant, metric) == (STUDENT, name)]
              for name in ("teacher/latency", "teacher/tokens", "teacher/retries")}
    assert min(curves["teacher/latency"]) > 0 and set(curves["teacher/retries"]) == {0}
    assert curves["teacher/tokens"][-1] <= report.signals.server["tokens"] and curves["teacher/tokens"][0] > 0
    card = (tmp_path / "run" / "student" / "README.md").read_text()
    assert "at an address" in card
    kept = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert kept and all(KEY.encode() not in path.read_bytes() for path in kept), "the key is kept nowhere"


class _KillsTheServer(ListRecorder):
    """Kills the server at a step, starts it again once the run says that it waits."""

    def __init__(self, process: TeacherProcess, step: int) -> None:
        super().__init__()
        self.process, self.step, self.killed, self.restarted = process, step, False, False

    def log(self, variant: str, step: int, metrics: Any) -> None:
        super().log(variant, step, metrics)
        if variant == STUDENT and step == self.step and not self.killed:
            self.killed = True
            self.process.kill()

    def event(self, event: Any) -> None:
        super().event(event)
        if isinstance(event, RunWarning) and not self.restarted:
            self.restarted = True
            self.process.start(self.process.port)


def test_a_server_that_dies_in_the_middle_is_waited_for(mortal, models, few_reviews, tmp_path):
    recorder = _KillsTheServer(mortal, step=1)
    report = run(experiment(mortal.url, models, few_reviews), tmp_path / "run", recorder)
    assert recorder.killed and recorder.restarted and report.signals.server["retries"] > 0
    assert any("The run waits for it" in event.message for event in recorder.of(RunWarning))
    local = run(experiment(str(models / "teacher"), models, few_reviews), tmp_path / "local")
    for name, value in local.student_after.items():
        assert report.student_after[name] == pytest.approx(value, abs=1e-4, rel=1e-4), name


def test_a_server_that_stays_away_ends_the_run_which_can_be_resumed(mortal, models, few_reviews, tmp_path):
    config = experiment(mortal.url, models, few_reviews, server={"patience": 0.2})
    recorder = _KillsTheServer(mortal, step=1)
    recorder.restarted = True  # nobody does
    with pytest.raises(TeacherServerError, match=r"An answer within 0\.2 s was expected"):
        run(config, tmp_path / "run", recorder)
    mortal.start(mortal.port)
    report = run(config, tmp_path / "run")
    assert report.signals.queried <= report.data.blocks, "what was answered before is not requested again"


class _StopsWhileItWaits(_KillsTheServer):
    """Stops the run once it says that it waits, for a server that stays away."""

    def should_stop(self) -> bool:
        return bool(self.of(RunWarning))


def test_a_stop_is_heard_while_the_run_waits(mortal, models, few_reviews, tmp_path):
    recorder, config = _StopsWhileItWaits(mortal, step=1), experiment(mortal.url, models, few_reviews)
    recorder.restarted = True  # nobody does before the stop
    with pytest.raises(StopRequested):
        run(config, tmp_path / "run", recorder)
    mortal.start(mortal.port)
    report = run(config, tmp_path / "run")
    assert not report.stopped and report.signals.queried <= report.data.blocks


def test_plans_ask_only_where_they_measure(server, models, few_reviews):
    config = experiment(server.url, models, few_reviews)
    found = static_plan(config)
    assert found.fits and found.teacher is None and found.student is not None
    whole = plan(config, measure=True)
    assert whole.fits and whole.tokens_per_second, [check.message for check in whole.checks if not check.ok]
    check = next(check for check in whole.checks if check.name == "teacher")
    assert "texts are tokenised alike" in check.message
    gone = plan(experiment("http://127.0.0.1:9", models, few_reviews), measure=False)
    refused = next(check for check in gone.checks if check.name == "teacher")
    assert not refused.ok and "cannot be reached" in refused.message and refused.field == "teacher.model"


def test_a_server_is_queried_ahead_and_paid_once(server, models, few_reviews, tmp_path):
    config = experiment(server.url, models, few_reviews, top_k=6)
    built = build_signals(config, NullRecorder(), lambda kept, blocks: None)
    assert built.error is None and built.queried == built.blocks and built.server["requests"] >= built.blocks
    again = build_signals(config, NullRecorder(), lambda kept, blocks: None)
    assert again.queried == 0 and again.server["tokens"] < 100, "the handshake alone"
    assert run(config, tmp_path / "run").signals.queried == 0


def test_another_key_is_refused_before_the_first_step(server, models, few_reviews, tmp_path, monkeypatch):
    monkeypatch.setenv("STILLHOUSE_TEACHER_KEY", "another-key")
    with pytest.raises(TeacherServerError, match="refuses the key") as refused:
        run(experiment(server.url, models, few_reviews), tmp_path / "run")
    assert "another-key" not in str(refused.value)


def test_visitors_ask_listed_addresses_alone(server, models, few_reviews, tmp_path, monkeypatch):
    config = experiment(server.url, models, few_reviews)
    monkeypatch.setenv("STILLHOUSE_REACH", f"{tmp_path}:{models}:{few_reviews.parent}")
    check = next(check for check in plan(config, measure=False).checks if check.name == "teacher")
    assert not check.ok and "STILLHOUSE_TEACHERS" in check.fix
    monkeypatch.setenv("STILLHOUSE_TEACHERS", server.url)
    assert next(check for check in plan(config, measure=False).checks if check.name == "teacher").ok


@pytest.mark.parametrize(("changes", "field", "said"), [
    ({"student": {}}, "student.model", "no blocks here"), ({"losses": {"w_hidden": 1.0}}, "losses.w_hidden", "hold no states"),
    ({"teacher": {"model": "http://h:1", "signals": {"form": "hidden"}}}, "teacher.signals.form", "likeliest tokens"),
    ({"evaluation": {"retention": {}}}, "evaluation.retention", "retention card"),
    ({"kind": "fine_tune", "task": {}}, "teacher.model", "A task needs a teacher that is loaded"),
    ({"kind": "chain", "chain": {"anchors": [{"layers": 2}]}, "student": None}, "teacher.model", "A chain needs")], ids=str)
def test_what_an_address_cannot_teach_is_refused(changes, field, said):
    plain = {"teacher": {"model": "http://h:1"}, "student": {"model": "house-chat"}, **changes}
    with pytest.raises(ConfigError, match=said) as refused:
        parse_recipe({key: value for key, value in plain.items() if value is not None})
    assert refused.value.field == field


@pytest.mark.parametrize("address", ["http://me:secret@h:1", "https://secret@h", "http://h:1?key=secret", "http://h:secret", "http://"])
def test_an_address_that_is_none_or_holds_a_secret_is_refused_without_repeating_it(address):
    with pytest.raises(ConfigError) as refused:
        parse_recipe({"teacher": {"model": address}, "student": {"model": "house-chat"}})
    assert refused.value.field == "teacher.model" and "secret" not in str(refused.value)
