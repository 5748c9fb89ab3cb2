"""The bridge: what a teacher writes, and a proxy that learns from it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from filelock import FileLock

from core.config import BridgeSpec
from core.errors import CompatibilityError, ConfigError, DataError
from core.events import WritingTexts
from core.methods import bridge, method_for
from core.methods.bridge import reason_to_leave_out, write_texts
from core.planning.plan import static_plan
from core.recipes import parse_recipe
from core.recorder import ListRecorder, StopRequested
from tests.core.chat_models import SENTENCES, save_chat_model
from tests.core.masked_models import masked_model, save

FOREIGN = ("Other words, other merges.", "Nothing alike here.", "A language of its own.")


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_chat_model(tmp_path_factory.mktemp("bridge") / "teacher", sentences=FOREIGN))


@pytest.fixture(autouse=True)
def eloquent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tiny random model writes no sentences: these stand for what it would write, drawn with the generator that it is given."""
    def write(model: object, tokenizer: object, prompts: list[list[int]], *, max_new_tokens: int, generator: torch.Generator,
              stop: object, **_: object) -> list[list[int]] | None:
        numbers = torch.randint(0, 1000, (len(prompts),), generator=generator).tolist()
        texts = [f"{FOREIGN[number % 3]} Word {number}." for number in numbers]
        return None if stop() else [tokenizer(text, add_special_tokens=False).input_ids[:max_new_tokens] for text in texts]

    monkeypatch.setattr(bridge, "generate_batch", write)


def spec(teacher: str, **changes) -> BridgeSpec:
    return BridgeSpec(**{"model": teacher, "texts": 12, "batch_size": 4, "max_new_tokens": 60, "sampling_temperature": 1.0, **changes})


def test_texts_are_conversations_and_written_once(teacher: str, tmp_path: Path) -> None:
    corpus = write_texts(spec(teacher), ListRecorder(), tmp_path, seed=1)
    rows = [json.loads(line) for line in corpus.path.read_text().splitlines()]
    assert len(rows) == corpus.kept == 12 - sum(corpus.left_out.values())
    assert all([message["role"] for message in row["messages"]] == ["user", "assistant"] for row in rows)
    assert write_texts(spec(teacher), ListRecorder(), tmp_path, seed=1, load=refuse) == corpus


@pytest.mark.parametrize("lines", [4, 6])  # of batches of four: a batch begun is drawn again with its seed
def test_writing_resumes_where_it_was_interrupted(teacher: str, tmp_path: Path, lines: int) -> None:
    whole = write_texts(spec(teacher), ListRecorder(), tmp_path / "whole", seed=1)
    raw = next((tmp_path / "whole").glob("*.raw.jsonl"))
    (tmp_path / "part").mkdir()
    # Killed in the middle of the next line.
    (tmp_path / "part" / raw.name).write_text("\n".join(raw.read_text().splitlines()[:lines]) + '\n{"prompt": "half')
    assert write_texts(spec(teacher), ListRecorder(), tmp_path / "part", seed=1).path.read_text() == whole.path.read_text()


def test_fewer_prompts_than_texts_are_all_answered_once(teacher: str, tmp_path: Path) -> None:
    (tmp_path / "prompts.jsonl").write_text("\n".join(json.dumps({"prompt": f"Question {n}?"}) for n in range(6)))
    few = spec(teacher, prompts=str(tmp_path / "prompts.jsonl"))
    corpus = write_texts(few, ListRecorder(), tmp_path, seed=1)
    assert 0 < corpus.kept + sum(corpus.left_out.values()) <= 6
    assert write_texts(few, ListRecorder(), tmp_path, seed=1, load=refuse) == corpus


def test_two_runs_do_not_write_the_same_texts_at_once(teacher: str, tmp_path: Path) -> None:
    class Stopped(ListRecorder):
        def should_stop(self) -> bool:
            return True

    with FileLock(tmp_path / f"bridge-{bridge._key(spec(teacher), 1)}.raw.lock"), pytest.raises(StopRequested):
        write_texts(spec(teacher), Stopped(), tmp_path, seed=1, load=refuse)
    assert not list(tmp_path.glob("*.jsonl"))


def refuse(*_: object, **__: object) -> None:
    raise AssertionError("the teacher was loaded")


def test_progress_reports_what_was_written_kept_and_left_out(teacher: str, tmp_path: Path) -> None:
    recorder = ListRecorder()
    corpus = write_texts(spec(teacher), recorder, tmp_path, seed=1)
    events = recorder.of(WritingTexts)
    assert [each.done for each in events] == [0, 4, 8, 12] and {each.texts for each in events} == {12}
    assert all(each.kept + sum(each.left_out.values()) == each.done for each in events)
    assert (events[-1].kept, events[-1].left_out) == (corpus.kept, corpus.left_out)


def test_a_text_may_hold_signs_that_end_lines_elsewhere(teacher: str, tmp_path: Path) -> None:
    write_texts(spec(teacher, texts=4), ListRecorder(), tmp_path, seed=1)
    raw, = tmp_path.glob("*.raw.jsonl")
    raw.write_text("".join(json.dumps({"prompt": "Say.", "answer": f"One film\u2028that was number {n}.", "whole": True},
                                      ensure_ascii=False) + "\n" for n in range(4)), encoding="utf-8")
    assert write_texts(spec(teacher, texts=4), ListRecorder(), tmp_path, seed=1).kept == 4


def test_a_stop_keeps_what_is_written(teacher: str, tmp_path: Path) -> None:
    class Impatient(ListRecorder):
        def should_stop(self) -> bool:
            return len(self.of(WritingTexts)) > 2

    with pytest.raises(StopRequested):
        write_texts(spec(teacher), Impatient(), tmp_path, seed=1)
    assert len(next(tmp_path.glob("*.raw.jsonl")).read_text().splitlines()) == 8


@pytest.mark.parametrize(("answer", "reason"), [
    ("", "empty"), ("Good.", "empty"), ("a good film with a good cast", None),
    ("it is a good film it is a good film it is a good film", "repetitive"), ("Seen it before today.", "duplicate")])
def test_what_teaches_nothing_is_left_out(answer: str, reason: str | None) -> None:
    assert reason_to_leave_out(answer, {"seen it before today."}) == reason


@pytest.mark.parametrize("rest", [{"completion": "x"}, {}])
def test_prompts_come_from_a_file(teacher: str, tmp_path: Path, rest: dict) -> None:
    (tmp_path / "prompts.jsonl").write_text("\n".join(json.dumps({"prompt": f"Question {n}?", **rest}) for n in range(30)))
    write_texts(spec(teacher, prompts=str(tmp_path / "prompts.jsonl")), ListRecorder(), tmp_path, seed=1)
    rows = [json.loads(line) for line in next(tmp_path.glob("bridge*.raw.jsonl")).read_text().splitlines()]
    assert len(rows) == 12 and all(row["prompt"].startswith("Question") for row in rows)


def test_a_teacher_without_a_chat_template_is_refused(teacher: str, tmp_path: Path) -> None:
    folder = save_chat_model(tmp_path / "mute")
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(CompatibilityError, match="chat template"):
        write_texts(spec(str(folder)), ListRecorder(), tmp_path, seed=1)
    config = parse_recipe({"teacher": None, "student": {"model": teacher}, "losses": {"w_kd": 0, "w_hard": 1},
                           "bridge": {"model": str(folder)}, "data": {"block_length": 32}})
    checks = {check.name: check for check in static_plan(config).checks}
    assert not checks["writer"].ok and "chat template" in checks["writer"].message and checks["prompts"].ok
    without_prompts = config.model_copy(update={"bridge": spec(teacher, prompts=str(tmp_path / "none.jsonl"))})
    checks = {check.name: check for check in static_plan(without_prompts).checks}
    assert checks["writer"].ok and not checks["prompts"].ok


def test_a_proxy_learns_another_vocabularys_texts(teacher: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STILLHOUSE_HOME", str(tmp_path / "home"))
    proxy = save_chat_model(tmp_path / "proxy", sentences=SENTENCES)
    config = parse_recipe({
        "teacher": None, "student": {"model": str(proxy)}, "losses": {"w_kd": 0, "w_hard": 1},
        "bridge": {"model": teacher, "texts": 60, "max_new_tokens": 60, "batch_size": 16, "sampling_temperature": 1.0},
        "data": {"block_length": 32, "validation_fraction": 0.2},
        "train": {"max_steps": 12, "per_device_train_batch_size": 4, "learning_rate": 3e-3, "precision": "fp32", "device": "cpu"},
        "evaluation": {"eval_steps": 50, "blocks": 4, "prompts": []}})
    report = method_for(config)(config, ListRecorder(), tmp_path / "run")
    before, after = (measured["cross_entropy"] for measured in (report.student_before, report.student_after))
    assert after < before - 0.1


@pytest.mark.parametrize("plain", [
    {"bridge": {"model": "x"}}, {"teacher": None, "bridge": {"model": "x"},
                                 "student": {"from_scratch": {}}, "losses": {"w_kd": 0, "w_hard": 1}}])
def test_a_bridge_needs_a_proxy_and_no_other_teacher(plain: dict) -> None:
    with pytest.raises(ConfigError, match=r"bridge trains student\.model"):
        parse_recipe(plain)


def test_a_teacher_that_writes_nothing_is_reported(teacher: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none can be learnt from"):
        write_texts(spec(teacher, max_new_tokens=1), ListRecorder(), tmp_path, seed=1)


@pytest.mark.parametrize("place", ["proxy", "writer"])
def test_an_encoder_neither_writes_nor_reads_across_the_bridge(teacher: str, tmp_path: Path, place: str) -> None:
    encoder = str(save(masked_model(), tmp_path / "encoder"))
    proxy, writer = (encoder, teacher) if place == "proxy" else (teacher, encoder)
    config = parse_recipe({"teacher": None, "student": {"model": proxy}, "bridge": {"model": writer, "texts": 4},
                           "losses": {"w_kd": 0, "w_hard": 1}, "train": {"device": "cpu"}})
    recorder = ListRecorder()
    with pytest.raises(CompatibilityError, match="A bridge is made of models that predict the next token"):
        method_for(config)(config, recorder, tmp_path / "run")
    assert not recorder.of(WritingTexts)
