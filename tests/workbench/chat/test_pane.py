"""The events of the pane, called as Gradio calls them, with an engine of words in place of models."""

import asyncio
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import gradio as gr
import pytest

from core.errors import CompatibilityError, ModelNotFoundError, RunVerb
from tests.workbench.chat.test_markup import position
from tests.workbench.chat.test_turns import ANSWER, CARD
from workbench.chat import markup, pane, turns
from workbench.chat.sessions import ChatHistory, Tabs
from workbench.inference import client
from workbench.inference.engine_process import EngineLostError
from workbench.inference.wire import Loaded, Piece
from workbench.store.references import role

CHAT = "0123456789abcdef0123456789abcdef"
SAMPLING = (0.0, 0.95, 50, 128, None)


class FakeGeneration:
    def __init__(self, parts: list) -> None:
        self.parts = parts

    def __iter__(self):
        for part in self.parts:
            if isinstance(part, Exception):
                raise part
            yield part

    def stop(self) -> None:
        pass


class FakeEngine:
    """Return `parts` as the answer, and record every request."""

    def __init__(self) -> None:
        self.parts: list = [Loaded(CARD), Piece("It ", 1), Piece("is.", 3), ANSWER]
        self.requests: list = []
        self.lens_error: Exception | None = None

    def info(self, model: str, task: str):
        assert task == "causal", "only causal language models can chat"
        if model == "missing":
            raise ModelNotFoundError("There is no model 'missing'.", "Another was expected.")
        return CARD

    def generate(self, model: str, messages: list, **sampling):
        self.requests.append((model, messages, sampling))
        return FakeGeneration(self.parts)

    def lens(self, teacher: str, student: str, messages: list, answer: str):
        self.requests.append((teacher, student, messages, answer))
        if self.lens_error:
            raise self.lens_error
        return [position("It", 0.3), position(" is.", 1.2)]


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    fake = FakeEngine()
    monkeypatch.setattr(client, "engine", lambda: fake)
    monkeypatch.setattr(pane, "tabs", Tabs())
    monkeypatch.setattr(pane, "saved_chats", ChatHistory())
    return fake


def tab(models: str = "house-chat,mine", name: str = "tab") -> SimpleNamespace:
    return SimpleNamespace(query_params={"models": models, "c": CHAT}, session_hash=name)


def answer(index: int, question: str = "Is it good?", said: str = "", request: SimpleNamespace | None = None,
           remembers: bool = False, sampling: tuple = SAMPLING) -> list:
    return list(pane.answer(index)(question, said, remembers, request or tab(), *sampling))


def test_the_address_names_at_most_three_models_each_once() -> None:
    assert pane.models_of(tab(" a,b,,a ,c,d")) == ("a", "b", "c")
    assert pane.models_of(tab("")) == ()
    assert pane.chat_of(SimpleNamespace(query_params={"c": "../etc"})) == ""


def test_an_answer_grows_and_is_kept(engine) -> None:
    steps = answer(1)
    shown = [display[-1]["content"][0]["text"] for _, display, _ in steps]
    assert shown == ["…", "…", "It ", "It is."]
    header, _, said = steps[-1]
    assert "first token" in header
    assert turns.loads(said)[0].card == CARD
    assert pane.saved_chats.read(CHAT, ["house-chat", "mine"]) == ["", said]


def test_a_fast_model_does_not_redraw_the_pane_for_every_piece(engine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.parts = [Loaded(CARD), *(Piece("x", number + 1) for number in range(1000)), ANSWER]
    assert len(answer(0)) < 30
    monkeypatch.setattr(pane, "REDRAW_SECONDS", 0.0)
    assert len(answer(0)) == 1003


def test_every_model_gets_the_same_question_seed_and_sampling(engine) -> None:
    answer(0), answer(1)
    (first, *same), (second, *too) = engine.requests
    assert (first, second) == ("house-chat", "mine")
    assert same == too
    assert same[1] == {"sampling_temperature": 0.0, "top_p": 0.95, "top_k": 50, "max_new_tokens": 128, "seed": 0}  # an emptied field is 0


def test_a_label_is_answered_greedily_and_anything_else_as_set(engine) -> None:
    warm = (0.7, *SAMPLING[1:])
    header = answer(0, "Is this review positive or negative?\n\nThe plot is thin.", sampling=warm)[-1][0]
    assert engine.requests[-1][2]["sampling_temperature"] == 0.0
    assert "greedy, since the answer is a label" in header
    header = answer(0, "Write a review, good or bad.", sampling=warm)[-1][0]
    assert engine.requests[-1][2]["sampling_temperature"] == 0.7
    assert "greedy" not in header


def test_the_first_token_counts_the_loading(engine, monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(0, 10_000, 2))
    monkeypatch.setattr(pane.time, "monotonic", lambda: float(next(now)))
    said = answer(0)[-1][2]
    turn, = turns.loads(said)
    assert turn.waited is not None
    assert turn.waited >= 2.0
    assert f"first token {turn.waited:.2f} s (of which {turn.waited - 0.25:.1f} s loading)" in markup.header("a", "Model", CARD, turn)


def test_the_next_question_carries_what_was_said_only_on_request(engine) -> None:
    said = answer(0)[-1][2]
    answer(0, "Why?", said)
    assert [message["content"] for message in engine.requests[-1][1]] == ["Why?"]
    answer(0, "Why?", said, remembers=True)
    assert [message["content"] for message in engine.requests[-1][1]] == ["Is it good?", "It is.", "Why?"]


def test_a_dead_engine_is_a_message_in_the_pane_and_not_part_of_the_next_question(engine) -> None:
    engine.parts = [Loaded(CARD), EngineLostError("It was killed.")]
    _, display, said = answer(0)[-1]
    assert display[-1]["content"][0]["text"] == "It was killed."
    engine.parts = [Loaded(CARD), ANSWER]
    answer(0, "Why?", said)
    assert [message["content"] for message in engine.requests[-1][1]] == ["Why?"]


def test_columns_without_a_model_and_empty_questions_do_nothing(engine) -> None:
    skipped = [tuple(part.get("__type__") for part in step) for step in (*answer(2), *answer(0, ""))]
    assert skipped == [("update",) * 3] * 2
    assert engine.requests == []


def test_describe_tells_what_is_loaded_or_why_not(engine) -> None:
    assert "0123456789ab" in list(pane.describe(0)("", tab()))[-1]
    assert "There is no model &#x27;missing&#x27;." in list(pane.describe(1)("", tab("house-chat,missing")))[-1]


def ask(text: str, target: object = None, request: SimpleNamespace | None = None) -> list:
    return pane.ask(text, request or tab(), SimpleNamespace(target=target))


def test_a_question_is_taken_once(engine, monkeypatch: pytest.MonkeyPatch) -> None:
    messages: list[str] = []
    monkeypatch.setattr(gr, "Info", messages.append)
    assert ask(" Is it good? ")[0] == "Is it good?"
    with pytest.raises(pane.QuestionRejected):  # and nothing is written: the field keeps it, the earlier question continues
        ask("Again?")
    assert "still answering" in messages[0]
    assert ask("Other tab?", request=tab(name="other"))[0] == "Other tab?"
    with pytest.raises(pane.QuestionRejected):
        ask("  ", request=tab(name="third"))
    assert len(messages) == 1


def test_a_control_is_labelled_and_its_absence_reported_without_a_command(engine, monkeypatch: pytest.MonkeyPatch) -> None:
    models = ("house-chat", "mine", "mine:control")
    assert [role(index, models) for index in range(3)] == ["Teacher", "Student", "Control"]
    error = ModelNotFoundError("The run 'mine' (stopped) has no control model.", "Another was expected.",
                               "Let it finish, or resume it.", suggestion=RunVerb("resume", "mine"))

    def refuse(*_arguments: object) -> None:
        raise error

    monkeypatch.setattr(FakeEngine, "info", refuse)
    shown = list(pane.describe(0)("", tab()))[-1]
    assert "Let it finish, or resume it.</p>" in shown and "python -m" not in shown


def test_an_example_is_sent_with_its_line_breaks(engine) -> None:
    example = next(text for text in pane.EXAMPLES if "\n" in text)
    assert ask("half a thought", gr.Button(pane._label(example), render=False))[0] == example


def test_the_lens_looks_at_the_last_answer_of_the_teacher(engine) -> None:
    said = answer(0)[-1][2]
    assert list(pane.look(1)(False, said, tab()))[-1]["visible"] is False
    update = list(pane.look(1)(True, said, tab()))[-1]
    assert update["visible"]
    assert update["value"].count("<details") == 2
    assert engine.requests[-1] == ("house-chat", "mine", [{"role": "user", "content": "Is it good?"}], "It is.")


def test_the_lens_says_why_it_cannot_compare(engine) -> None:
    said = answer(0)[-1][2]
    engine.lens_error = CompatibilityError("The tokenizers differ.")
    assert "The tokenizers differ." in list(pane.look(1)(True, said, tab()))[-1]["value"]
    failed = turns.dumps([replace(turns.loads(said)[0], text="", answer=None, error="No.")])
    assert "will be marked here" in list(pane.look(1)(True, failed, tab()))[-1]["value"]


def test_a_reload_shows_what_was_said_and_clear_forgets_it(engine) -> None:
    said = answer(0)[-1][2]
    nothing, examples, column, _, display, text, *_ = pane.open_chat(tab())
    assert (nothing["visible"], examples["visible"], column["visible"]) == (False, False, True)
    assert (display[1]["content"][0]["text"], text) == ("It is.", said)
    pane.clear(tab())
    assert pane.open_chat(tab())[1]["visible"]
    assert pane.open_chat(tab(""))[0]["visible"]


def test_after_clear_an_answer_under_way_shows_nothing_more(engine) -> None:
    steps = pane.answer(0)("Is it good?", "", False, tab(), *SAMPLING)
    next(steps), next(steps)
    waiting = threading.Thread(target=pane.clear, args=[tab()])
    waiting.start()
    while not pane.tabs._pending["tab"].dropped:
        time.sleep(0.001)
    assert list(steps) == []
    waiting.join()
    assert pane.saved_chats.read(CHAT, ["house-chat", "mine"]) == ["", ""]


def test_export(engine, monkeypatch: pytest.MonkeyPatch) -> None:
    messages: list[str] = []
    monkeypatch.setattr(gr, "Info", messages.append)
    assert pane.export(tab(), "", "", "") == ""
    assert "nothing to export" in messages[0]
    said = answer(0)[-1][2]
    assert pane.export(tab(), said, "", "").startswith("# Comparison")


@pytest.fixture(scope="module")
def blocks() -> gr.Blocks:
    async def build() -> gr.Blocks:  # inside a loop: outside one Gradio makes its own and leaves it open
        return pane.build_chat()

    return asyncio.run(build())


def test_the_pane_keeps_no_connection_open_per_tab(blocks: gr.Blocks) -> None:
    assert not any(isinstance(block, gr.State) for block in blocks.blocks.values())
    assert blocks.get_config_file()["connect_heartbeat"] is False


def test_a_browser_starts_every_answer_even_while_the_one_before_is_ending(blocks: gr.Blocks) -> None:
    columns = [event for event in blocks.get_config_file()["dependencies"] if event["api_name"] == "stream"
               or str(event["api_name"]).startswith("stream_")]
    assert [event["trigger_mode"] for event in columns] == ["multiple"] * pane.MAX_MODELS
