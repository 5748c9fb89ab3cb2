"""One question at a time in a tab, stops that are never lost, chats that outlive a reload."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from workbench.chat import sessions
from workbench.chat.sessions import ChatHistory, Tabs


class FakeGeneration:
    stopped = False

    def stop(self) -> None:
        self.stopped = True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch):
    now = [1000.0]
    monkeypatch.setattr(sessions.time, "monotonic", lambda: now[0])
    return now


def test_a_second_question_waits_for_the_answers_to_the_first(clock) -> None:
    tabs = Tabs()
    assert tabs.try_start("a")
    assert not tabs.try_start("a")  # its answers are about to begin
    assert tabs.try_start("b")
    with tabs.answering("a"), tabs.answering("a"):
        clock[0] += 100
        assert not tabs.try_start("a")
    assert tabs.try_start("a")


def test_a_question_sent_when_the_last_word_is_on_the_screen_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "ENDING_SECONDS", 60)  # a busy machine is slow, not wrong
    tabs, shown = Tabs(), threading.Event()

    def column() -> None:
        with tabs.answering("a"):
            shown.set()
            time.sleep(0.1)

    tabs.try_start("a")
    thread = threading.Thread(target=column)
    thread.start()
    shown.wait()
    with ThreadPoolExecutor(2) as threads:
        assert sorted(threads.map(tabs.try_start, ["a", "a"])) == [False, True], "and of two that wait for it one"
    thread.join()


def test_a_question_that_was_never_answered_does_not_block_the_tab(clock) -> None:
    tabs = Tabs()
    assert tabs.try_start("a")
    clock[0] += sessions.START_SECONDS + 0.1
    assert tabs.try_start("a")


def test_stop_ends_the_answers_of_its_tab_only(clock) -> None:
    tabs, mine, others = Tabs(), FakeGeneration(), FakeGeneration()
    tabs.try_start("a"), tabs.try_start("b")
    with tabs.answering("a") as first, tabs.answering("b") as second:
        first.follow(mine), second.follow(others)
        tabs.stop("a")
    assert mine.stopped
    assert not others.stopped


def test_stop_before_the_first_token_counts(clock) -> None:
    tabs, late, next_one = Tabs(), FakeGeneration(), FakeGeneration()
    tabs.try_start("a")
    tabs.stop("a")
    with tabs.answering("a") as pending:
        pending.follow(late)
    assert late.stopped
    assert tabs.try_start("a")
    with tabs.answering("a") as pending:
        pending.follow(next_one)
    assert not next_one.stopped


def test_a_stop_without_a_question_does_nothing() -> None:
    tabs = Tabs()
    tabs.stop("a")
    tabs.drop("a")
    assert tabs.try_start("a")
    with tabs.answering("a") as round_:
        round_.follow(generation := FakeGeneration())
    assert not generation.stopped


def test_drop_waits_until_the_columns_have_ended() -> None:
    tabs, generation, seen = Tabs(), FakeGeneration(), []
    tabs.try_start("a")

    def column() -> None:
        with tabs.answering("a") as pending:
            pending.follow(generation)
            answering.set()
            while not pending.dropped:
                time.sleep(0.001)
            seen.append("ended")

    answering, thread = threading.Event(), threading.Thread(target=column)
    thread.start()
    answering.wait()
    tabs.drop("a")
    assert seen == ["ended"]
    assert generation.stopped
    thread.join()


def test_chats_are_found_again_by_id_and_models() -> None:
    chats = ChatHistory()
    chats.write("id", ["a", "b"], 1, "said")
    assert chats.read("id", ["a", "b"]) == ["", "said"]
    assert chats.read("id", ["b", "a"]) == ["", ""]
    chats.forget("id", ["a", "b"])
    assert chats.read("id", ["a", "b"]) == ["", ""]


def test_only_the_latest_chats_are_kept() -> None:
    chats = ChatHistory(limit=2)
    for name in ("one", "two", "one", "three"):
        chats.write(name, ["a"], 0, name)
    assert [chats.read(name, ["a"]) for name in ("one", "two", "three")] == [["one"], [""], ["three"]]
