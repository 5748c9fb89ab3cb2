"""What is kept, sent and exported of a chat."""

from dataclasses import replace

from workbench.chat import turns
from workbench.chat.turns import Turn
from workbench.inference.wire import Answer, ModelCard

CARD = ModelCard(parameters=4_300_000, layers=8, context=1024, weights="0123456789ab", device="cpu")
ANSWER = Answer(text="It is.", tokens=3, prompt_tokens=7, left_out=0, seconds_to_first_token=0.25, tokens_per_second=80.0, finish="length")
SAID = Turn("Is it good?", "It is.", card=CARD, answer=ANSWER, sampling={"seed": 3, "top_p": 0.95})
FAILED = Turn("And now?", error="There is no model 'x'.")


def test_turns_survive_their_text() -> None:
    assert turns.loads(turns.dumps([SAID, FAILED])) == (SAID, FAILED)
    assert turns.loads("") == ()


def test_a_model_reads_only_what_was_answered() -> None:
    assert turns.conversation([SAID, FAILED], "Why?") == [
        {"role": "user", "content": "Is it good?"}, {"role": "assistant", "content": "It is."}, {"role": "user", "content": "Why?"}]


def test_an_error_stands_in_the_place_of_the_answer() -> None:
    question, error = turns.display([FAILED])
    assert (question["role"], error["role"]) == ("user", "assistant")
    assert error["content"][0]["text"] == FAILED.error
    assert error["metadata"]["title"] == "No answer"
    broken = turns.display([replace(SAID, error="It died.")])
    assert [part["content"][0]["text"] for part in broken] == ["Is it good?", "It is.", "It died."]
    assert broken[-1]["metadata"]["title"] == "The answer broke off"


def test_a_question_without_an_answer_yet_shows_that_one_is_coming() -> None:
    assert turns.display([Turn("Why?")])[-1]["content"][0]["text"] == "…"
    assert turns.display([Turn("Why?", answer=replace(ANSWER, text=""))])[-1]["content"][0]["text"] == "(empty answer)"


def test_the_transcript_says_who_answered_and_how_to_repeat_it() -> None:
    text = turns.transcript({"house-chat": (SAID,), "my-run": (replace(SAID, text="```\nNo.\n```"), FAILED)})
    assert "- **house-chat**: 4,300,000 parameters, 8 layers, weights `0123456789ab`" in text
    assert "Sampling: seed 3, top_p 0.95" in text
    assert "> Is it good?" in text
    assert "3 tokens, first after 0.25 s, 80.0 tokens/s, cut at the limit" in text
    assert "````text\n```\nNo.\n```\n````" in text  # a fence that the answer cannot close
    assert "_There is no model 'x'._" in text
    assert text.index("## 1") < text.index("### house-chat") < text.index("### my-run") < text.index("## 2")
