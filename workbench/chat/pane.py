"""The chat pane as a Gradio application: events in, HTML and messages out.

A tab's state lives in the tab: the models and the chat's id in its address, its history in hidden text fields. So an
open tab survives a restart of the server, and no tab holds a connection while nothing happens (`gr.State` would).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from core.errors import StillhouseError
from core.models.ensembles import split_references
from workbench.chat import markup, turns
from workbench.chat.sessions import ChatHistory, PendingAnswers, Tabs
from workbench.chat.theme import FOLLOW_PAGE
from workbench.chat.turns import Turn, Turns
from workbench.inference import client
from workbench.inference.wire import Answer, Loaded, Piece
from workbench.store.references import role

MAX_MODELS = 3
REDRAW_SECONDS = 0.08  # between two views of a growing answer: a slow browser must not fall behind the models
STREAMS = 16  # answers of one column at once, over all tabs

EXAMPLES = (
    "Write a positive one-line review.",
    "Write a negative one-line review about the acting.",
    "Is this review positive or negative?\n\nThe plot is thin, but the two leads are a joy to watch.",
    "Continue this review:\n\nI went in expecting very little.",
)

# name of the sampling field -> its widget
SAMPLING: dict[str, Callable[[], gr.components.Component]] = {
    "sampling_temperature": lambda: gr.Slider(0, 2, 0.7, step=0.05, label="Sampling temperature", info="0 takes the most likely token"),
    "top_p": lambda: gr.Slider(0.05, 1, 0.95, step=0.05, label="Top p", info="leading share of the probability to draw from"),
    "top_k": lambda: gr.Slider(0, 200, 50, step=1, label="Top k", info="most likely tokens to draw from, 0 for all"),
    "max_new_tokens": lambda: gr.Slider(8, 1024, 128, step=8, label="Max new tokens", info="tokens"),
    "seed": lambda: gr.Number(0, precision=0, minimum=0, label="Seed", info="the same for every model"),
}
WHOLE_NUMBERS = ("top_k", "max_new_tokens", "seed")

DOWNLOAD = """(text) => {
  if (!text) return;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], {type: "text/markdown"}));
  link.download = "comparison.md";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}"""

# The field is emptied by the browser, and only if it still holds what was sent: somebody may be typing the next question.
EMPTIED = "(now, sent) => (now ?? '').trim() === (sent ?? '').trim() ? '' : now"

# Gradio's server closes a tab's stream of messages when all its events have ended. An event that the browser sends before it has
# read of that gets no new stream, and what the server has to say of it waits until some later event opens one. These are such
# events: a first one for the question, more for the answers, which begin when the first one's stream may be closing again.
REOPENINGS = (0.4, 1.0, 2.2, 4.6, 9.4)  # seconds after the question

tabs, saved_chats = Tabs(), ChatHistory()


class QuestionRejected(gr.Error):
    """The question is rejected: nothing changes, no answer follows, and the field keeps it."""

    def __init__(self) -> None:
        super().__init__("The question was rejected.", visible=False, print_exception=False)


@dataclass(frozen=True, slots=True)
class Pane:
    """The components of one model's column; `history` holds its turns as text."""

    column: gr.Column
    header: gr.HTML
    chat: gr.Chatbot
    history: gr.Textbox
    lens: gr.HTML


# ------------------------------------------------------------------------------------------------ the address


def models_of(request: gr.Request) -> tuple[str, ...]:
    """Return the model references in the tab's address, each once, at most three."""
    return tuple(split_references(dict(request.query_params).get("models", "")))[:MAX_MODELS]


def chat_of(request: gr.Request) -> str:
    """Return the id of the chat in the tab's address; empty when it has none."""
    identifier = dict(request.query_params).get("c", "")
    return identifier if re.fullmatch(r"[0-9a-f]{32}", identifier) else ""


# ------------------------------------------------------------------------------------------------ events


def open_chat(request: gr.Request) -> list[Any]:
    """Return what a tab shows first: the columns of its models, with the history from before a reload."""
    models = models_of(request)
    histories = saved_chats.read(chat_of(request), models)
    updates: list[Any] = [gr.update(visible=not models), gr.update(visible=bool(models) and not any(histories))]
    for index in range(MAX_MODELS):
        there = index < len(models)
        text = histories[index] if there else ""
        updates += [gr.update(visible=there), markup.header(models[index], role(index, models)) if there else "",
                    turns.display(turns.loads(text)), text]
    return updates


def describe(index: int) -> Callable[..., Any]:
    """Return the event handler that loads a column's model and says what it is."""
    def show(history: str, request: gr.Request) -> Iterator[str]:
        models = models_of(request)
        if index >= len(models):
            yield ""
            return
        past = turns.loads(history)
        yield markup.header(models[index], role(index, models), note="loading the model")
        try:
            card = client.engine().info(models[index], "causal")
        except StillhouseError as error:
            yield markup.header(models[index], role(index, models), error=str(error))
        else:
            yield markup.header(models[index], role(index, models), card, past[-1] if past else None)

    return show


def ask(text: str, request: gr.Request, event: gr.EventData) -> list[Any]:
    """Take a question from the text field, or from the example that was clicked. Raises QuestionRejected while one is being answered."""
    example = event.target.value if isinstance(event.target, gr.Button) and event.target.elem_id != "send" else None
    question = (next(known for known in EXAMPLES if _label(known) == example) if example else text or "").strip()
    if not question or not models_of(request):
        raise QuestionRejected
    if not tabs.try_start(str(request.session_hash)):
        gr.Info("The models are still answering. Your question stays in its field: ask it when they are done, or press Stop.")
        raise QuestionRejected
    return [question, gr.update(visible=False)]


def answer(index: int) -> Callable[..., Any]:
    """Return the event handler that answers in one column."""
    def stream(question: str, history: str, remembers: bool, request: gr.Request, *sampling: float) -> Iterator[tuple[Any, Any, Any]]:
        models = models_of(request)
        if index >= len(models) or not question:
            yield gr.skip(), gr.skip(), gr.skip()
            return
        name, past = models[index], turns.loads(history)
        with tabs.answering(str(request.session_hash)) as pending:
            for turn, note in _grow(name, past, Turn(question, sampling=_drawn(sampling, question), remembers=bool(remembers)), pending):
                if pending.dropped:
                    return
                shown, text = (*past, turn), gr.skip()
                if not note:
                    text = turns.dumps(shown)
                    saved_chats.write(chat_of(request), models, index, text)
                yield markup.header(name, role(index, models), turn.card, turn, note=note), turns.display(shown), text

    return stream


def _grow(name: str, past: Turns, turn: Turn, pending: PendingAnswers) -> Iterator[tuple[Turn, str]]:
    """Yield an answer step by step: the turn so far, and its status line; nothing once it has ended."""
    yield turn, "loading the model"
    shown, sent = 0.0, time.monotonic()
    try:
        read = past if turn.remembers else ()
        generation = client.engine().generate(name, turns.conversation(read, turn.question), **(turn.sampling or {}))
        pending.follow(generation)
        for part in generation:
            match part:
                case Loaded():
                    turn, note = replace(turn, card=part.card), "reading the question"
                case Piece():
                    waited = time.monotonic() - sent if turn.waited is None else turn.waited
                    turn, note = replace(turn, text=turn.text + part.text, waited=waited), "answering"
                    if time.monotonic() - shown < REDRAW_SECONDS:
                        continue
                    shown = time.monotonic()
                case Answer():
                    turn, note = replace(turn, text=part.text, answer=part), ""
            yield turn, note
    except StillhouseError as error:
        yield replace(turn, error=str(error)), ""


def _drawn(values: tuple[float | None, ...], question: str) -> dict[str, float]:
    """Return how the tokens of an answer are drawn: as set, or the most likely ones where the answer is a label."""
    # An emptied number field sends None.
    drawn = {name: int(value or 0) if name in WHOLE_NUMBERS else value or 0.0 for name, value in zip(SAMPLING, values, strict=True)}
    return drawn | {"sampling_temperature": 0.0} if turns.asks_for_label(question) else drawn


def look(index: int) -> Callable[..., Any]:
    """Return the event handler that marks the teacher's last answer as the student of one column sees it."""
    def show(wanted: bool, teacher_history: str, request: gr.Request) -> Iterator[Any]:
        models = models_of(request)
        if not wanted or index >= len(models):
            yield gr.update(value="", visible=False)
            return
        past = turns.loads(teacher_history)
        while past and not past[-1].text:
            past = past[:-1]
        if not past:
            yield gr.update(value=markup.message("The teacher's answer will be marked here, token by token."), visible=True)
            return
        yield gr.update(value=markup.message("Comparing token by token …"), visible=True)
        messages = turns.conversation(past[:-1] if past[-1].remembers else (), past[-1].question)
        try:
            positions = client.engine().lens(models[0], models[index], messages, past[-1].text)
        except StillhouseError as error:
            yield gr.update(value=markup.message(str(error)), visible=True)
        else:
            yield gr.update(value=markup.lens(positions, models[0], models[index], f"lens{index}"), visible=True)

    return show


def reopen_stream() -> None:
    """Do nothing: an event that follows another a moment later makes the browser read its messages; see `REOPENINGS`."""


def stop(request: gr.Request) -> None:
    """End the tab's answers where they are."""
    tabs.stop(str(request.session_hash))


def clear(request: gr.Request) -> list[Any]:
    """Clear the history."""
    tabs.drop(str(request.session_hash))
    saved_chats.forget(chat_of(request), models_of(request))
    return [gr.update(visible=True), *([[], "", gr.update(value="", visible=False)] * MAX_MODELS)]


def export(request: gr.Request, *histories: str) -> str:
    """Return the transcript; empty without any turn."""
    panes = {name: turns.loads(text) for name, text in zip(models_of(request), histories, strict=False)}
    if not any(panes.values()):
        gr.Info("There is nothing to export yet: ask a question first.")
        return ""
    return turns.transcript(panes)


# ------------------------------------------------------------------------------------------------ layout


def _label(example: str) -> str:
    return " ".join(example.split())


def _column(index: int) -> Pane:
    with gr.Column(visible=index < 2, min_width=240, elem_id=f"pane{index}") as column:
        header = gr.HTML(elem_id=f"header{index}", js_on_load=None)
        chat = gr.Chatbot(elem_id=f"chat{index}", show_label=False, height="max(9rem, calc(100vh - 18.5rem))", buttons=[],
                          render_markdown=False, layout="bubble", latex_delimiters=[], feedback_options=None)
        lens = gr.HTML(elem_id=f"lens{index}", visible=False, js_on_load=None)
    history = gr.Textbox(visible="hidden")  # outside the column: making that visible would show it
    return Pane(column, header, chat, history, lens)


def build_chat() -> gr.Blocks:
    """Return the whole pane, to be mounted with the theme and style sheet of `workbench.chat.theme`."""
    with gr.Blocks(title="Side-by-side chat", analytics_enabled=False, fill_width=True) as blocks:
        nothing = gr.HTML(markup.message("No model is chosen yet: pick two or three."), visible=False, elem_id="nothing", js_on_load=None)
        with gr.Row(elem_id="panes", equal_height=False):
            panes = [_column(index) for index in range(MAX_MODELS)]
        with gr.Row(visible=False, elem_id="examples") as example_row:
            examples = [gr.Button(_label(text), size="sm", elem_classes="example") for text in EXAMPLES]
        with gr.Row(elem_id="ask"):
            box = gr.Textbox(placeholder="Ask every model the same question", show_label=False, label="Question", lines=1, max_lines=6,
                             elem_id="question", scale=8, container=False)
            send = gr.Button("Ask", variant="primary", elem_id="send", scale=0, min_width=88)
            halt = gr.Button("Stop", elem_id="stop", scale=0, min_width=88)
        with gr.Row(elem_id="tools"):
            wanted = gr.Checkbox(label="Same prefix: the teacher's answer, read by students", elem_id="mark",
                                 container=False, scale=4)
            remembers = gr.Checkbox(label="Models read earlier turns", elem_id="remember", container=False, scale=4)
            clearing = gr.Button("Clear", size="sm", elem_id="clear", scale=0, min_width=88)
            saving = gr.Button("Export", size="sm", elem_id="export", scale=0, min_width=88)
        with gr.Accordion("Sampling, the same for every model", open=False, elem_id="sampling"), gr.Row():
            sampling = [widget() for widget in SAMPLING.values()]
        question, written = gr.Textbox(visible="hidden"), gr.Textbox(visible="hidden")

        quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        streamed: dict[str, Any] = {**quiet, "concurrency_limit": STREAMS}
        opened = blocks.load(open_chat, None, [nothing, example_row, *(part for pane in panes
                             for part in (pane.column, pane.header, pane.chat, pane.history))], queue=False, **quiet)
        blocks.load(None, None, None, js=FOLLOW_PAGE, **quiet)
        asking = [box.submit, send.click, *(example.click for example in examples)]
        question_sent = gr.on(asking, ask, [box], [question, example_row], trigger_mode="multiple", **streamed)
        for seconds in REOPENINGS:
            gr.on([*asking, clearing.click, wanted.change], reopen_stream, None, None, trigger_mode="multiple", **streamed,
                  js=f"() => new Promise((resolve) => setTimeout(resolve, {1000 * seconds:.0f}))")
        question_sent.success(None, [box, question], [box], js=EMPTIED, **quiet)
        # "multiple": an answer's last view is on the screen a moment before its event has ended, and by default a question sent
        # right then would start no event of that column. That a tab answers one question at a time is the business of `tabs`.
        answers = [question_sent.success(answer(index), [question, pane.history, remembers, *sampling],
                                 [pane.header, pane.chat, pane.history], trigger_mode="multiple", **streamed)
                   for index, pane in enumerate(panes)]
        # Through the queue, as the answers are: what they sent before cannot arrive after it.
        emptied = [example_row, *(part for pane in panes for part in (pane.chat, pane.history, pane.lens))]
        cleared = clearing.click(clear, None, emptied, **streamed)
        for index, pane in enumerate(panes):
            for event in (opened, cleared):
                event.then(describe(index), [pane.history], [pane.header], **streamed)
            if index:
                compared = ([wanted, panes[0].history], [pane.lens])
                answers[0].then(look(index), *compared, trigger_mode="always_last", **streamed)  # the marks are those of the last answer
                wanted.change(look(index), *compared, **streamed)
        halt.click(stop, None, None, queue=False, **quiet)
        exported = saving.click(export, [pane.history for pane in panes], [written], **quiet)
        exported.then(None, [written], None, js=DOWNLOAD, **quiet)
    return blocks
