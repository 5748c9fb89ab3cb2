"""Columns recognised by name, and records as rows."""

import re

import pytest

from core.data.formats import choose_columns, row_format, to_row
from core.errors import DataError, SetField

USER, ANSWER = {"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi."}
SYSTEM = {"role": "system", "content": "Be brief."}


def row(columns: tuple[str, ...] = ("messages",), **record):
    return to_row(record, columns, "'chats.jsonl', line 7")


@pytest.mark.parametrize(("available", "chosen"), [
    (["id", "text"], ("text",)),
    (["Text", "label"], ("Text",)),
    (["prompt", "text"], ("text",)),
    (["completion", "prompt", "text"], ("prompt", "completion")),
    (["prompt", "prompt_id", "messages"], ("messages",)),
])
def test_columns_are_known_by_name(available, chosen) -> None:
    assert choose_columns(available, None, "'x.csv'") == chosen


def test_a_wanted_column_goes_before_the_known_ones() -> None:
    assert choose_columns(["text", "summary"], "summary", "'x.csv'") == ("summary",)


def test_no_usable_column_lists_what_there_is() -> None:
    with pytest.raises(DataError) as caught:
        choose_columns(["review", "stars", "a" * 100], None, "'x.csv'")
    assert "'x.csv'" in caught.value.given
    assert "review, stars, aaa" in caught.value.given
    assert "a" * 50 not in caught.value.given
    assert "'messages'" in caught.value.expected
    assert caught.value.field == "data.column"


def test_an_absent_wanted_column_suggests_the_nearest() -> None:
    with pytest.raises(DataError, match="'reviw'") as caught:
        choose_columns(["review", "stars"], "reviw", "'x.csv'")
    assert "review, stars" in caught.value.expected
    assert caught.value.suggestion == SetField("data.column", "review", guess=True)


def test_text_rows() -> None:
    assert row(("text",), text="one\r\ntwo") == {"text": "one\ntwo"}
    assert row(("text",), text=None) is None
    assert row(("text",), text=" \n") is None


def test_prompt_and_completion() -> None:
    columns = ("Prompt", "Completion")
    assert row(columns, Prompt="2 + 2?", Completion="4") == {"prompt": "2 + 2?", "completion": "4"}
    assert row(columns, Prompt=None, Completion="4") == {"prompt": "", "completion": "4"}
    assert row(columns, Prompt="2 + 2?", Completion="") is None
    assert row(columns, Prompt=[SYSTEM, USER], Completion=[ANSWER]) == {"messages": [SYSTEM, USER, ANSWER]}


def test_messages_keep_role_and_content_only() -> None:
    assert row(messages=[SYSTEM, {**USER, "name": None, "tool_calls": None}, ANSWER]) == {"messages": [SYSTEM, USER, ANSWER]}


def test_messages_may_stand_in_a_column_of_any_name() -> None:
    assert row(("turns",), turns=[USER, ANSWER]) == {"messages": [USER, ANSWER]}


def test_contents_in_parts_are_joined() -> None:
    parts = [{"type": "text", "text": "H"}, "ello", {"text": ""}]
    assert row(messages=[{"role": "user", "content": parts}, {**ANSWER, "content": [{"type": "text", "text": "Hi."}]}]) == {
        "messages": [USER, ANSWER]}


def test_sharegpt() -> None:
    turns = [{"from": "system", "value": "Be brief."}, {"from": "human", "value": "Hello"}, {"from": "GPT", "value": "Hi.", "weight": 1}]
    assert choose_columns(["id", "conversations"], None, "'x.json'") == ("conversations",)
    assert row(("conversations",), conversations=turns) == {"messages": [SYSTEM, USER, ANSWER]}
    assert row(("Conversations",), Conversations='[{"from": "human", "value": "Hello"}]') == {"messages": [USER]}
    assert row(("conversations",), conversations=[USER, ANSWER]) == {"messages": [USER, ANSWER]}


def test_alpaca() -> None:
    columns = ("Instruction", "input", "output")
    assert choose_columns(["output", "input", "Instruction", "id"], None, "'x.json'") == columns
    assert choose_columns(["instruction", "output"], None, "'x.json'") == ("instruction", "output")
    # A first record without an input leaves no later one unread.
    assert choose_columns(["instruction", "output", "input"], None, "'x.json'", {"input"}) == ("instruction", "input", "output")
    question = {"role": "user", "content": "Say hello.\n\nTo Ada."}
    assert row(columns, Instruction="Say hello.", input="To Ada.", output="Hi.") == {"messages": [question, ANSWER]}
    for absent in ({"input": " "}, {"input": None}, {}):
        assert row(columns, Instruction="Hello", output="Hi.", **absent) == {"messages": [USER, ANSWER]}
    assert row(columns, Instruction="Hello", input="", output="") is None
    with pytest.raises(DataError, match="line 7: 'output' is missing"):
        row(columns, Instruction="Hello", input="")
    with pytest.raises(DataError, match="line 7: 'output' holds a number"):
        row(columns, Instruction="Hello", output=4)


def test_a_record_may_lack_an_optional_column() -> None:
    assert to_row({"id": 1}, ("review",), "line 1", {"review"}) is None
    assert choose_columns(["id", "text"], None, "'x.jsonl'", {"text"}) == ("text",)
    assert choose_columns(["text", "messages"], None, "'x.jsonl'", {"messages"}) == ("text",)


def test_messages_as_json_text() -> None:
    assert row(messages='[{"role": "user", "content": "Hello"}]') == {"messages": [USER]}
    assert row(messages="") is None
    with pytest.raises(DataError, match="line 7: 'messages' holds text that is not JSON"):
        row(messages="Hello")
    with pytest.raises(DataError, match="line 7: 'messages' holds an object"):
        row(messages='{"role": "user"}')


def test_an_empty_conversation_is_no_row() -> None:
    assert row(messages=[]) is None
    assert row(messages=None) is None
    assert row(messages=[{"role": "user", "content": " "}]) is None


@pytest.mark.parametrize(("messages", "problem"), [
    (["Hello"], "message 1 is text"),
    ([USER, {"role": "assistant"}], "message 2 has no 'content' (its keys: role)"),
    ([{"from": "human", "text": "Hello"}], "message 1 has no 'value' (its keys: from, text)"),
    ([{"from": "function_call", "value": "Hello"}], 'message 1 has the role "function_call"'),
    ([{"by": "human", "value": "Hello"}], "message 1 has no 'role' (its keys: by, value)"),
    ([{"role": "bot", "content": "x"}], 'message 1 has the role "bot"'),
    ([{"role": ["user"], "content": "x"}], 'message 1 has the role ["user"]'),
    ([USER, ANSWER, SYSTEM], "message 3 is a system message"),
    ([USER, {"role": "assistant", "content": None}], "message 2: the content is nothing"),
    ([{"role": "user", "content": {"text": "x"}}], "message 1: the content is an object"),
    ([USER, {**ANSWER, "content": ["x", {"type": "image", "url": "y"}]}], 'message 2: part 2 of the content is of the type "image"'),
    ([{"role": "user", "content": [4]}], "message 1: part 1 of the content is a number"),
    ([{"role": "user", "content": [{"type": "text", "text": None}]}], 'message 1: part 1 of the content is of the type "text"'),
])
def test_malformed_messages_name_row_and_message(messages, problem) -> None:
    with pytest.raises(DataError, match=re.escape(problem)) as caught:
        row(messages=messages)
    assert "'chats.jsonl', line 7" in caught.value.given
    assert caught.value.expected
    assert caught.value.fix


@pytest.mark.parametrize(("value", "kind"), [(4, "a number"), (True, "true or false"), (b"x", "bytes"), ({"a": 1}, "an object")])
def test_other_values_are_refused(value, kind) -> None:
    with pytest.raises(DataError, match=f"line 7: 'text' holds {kind}"):
        row(("text",), text=value)


def test_a_missing_column_is_named() -> None:
    with pytest.raises(DataError, match="line 7: 'text' is missing"):
        row(("text",), txt="x")


def test_half_a_character_is_refused() -> None:
    with pytest.raises(DataError, match=r"'\\ud83d', half of a character"):
        row(("text",), text="film \ud83d")


def test_formats_have_names() -> None:
    assert [row_format(one) for one in ({"text": ""}, {"prompt": "", "completion": ""}, {"messages": []})] == [
        "text", "prompt+completion", "messages"]
