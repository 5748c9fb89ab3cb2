"""What the preview shows is what training reads."""

import json
from pathlib import Path

import pytest

from core.config import DataSpec
from core.data import prepare, sources
from core.data.preview import preview
from core.errors import DataError
from tests.core.chat_models import chat_tokenizer
from tests.core.masked_models import masked_tokenizer


@pytest.fixture
def tokenizer():
    return chat_tokenizer()


def jsonl(folder: Path, records: list[dict]) -> str:
    path = folder / "a.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


def test_a_block_of_text_decodes_to_its_documents(tmp_path, tokenizer) -> None:
    spec = DataSpec(source=jsonl(tmp_path, [{"text": f"Naïve café 🎬 number {number}."} for number in range(200)]), block_length=64)
    shown = preview(spec, tokenizer, rows=3)
    block = shown["block"]
    assert json.loads(json.dumps(shown)) == shown
    assert (shown["format"], shown["column"], shown["total_rows"], len(shown["rows"])) == ("text", "text", None, 3)
    assert len(block["tokens"]) + block["padding"] == block["length"] == 64
    whole = "".join(token["text"] for token in block["tokens"])
    assert whole == tokenizer.decode([token["id"] for token in block["tokens"]])
    assert "<|begin|>Naïve café 🎬 number" in whole
    assert not block["tokens"][0]["counted"]
    assert block["counted"] == sum(token["counted"] for token in block["tokens"])


def test_the_rows_are_the_first_training_rows(tmp_path, tokenizer) -> None:
    spec = DataSpec(source=jsonl(tmp_path, [{"text": f"Film {number}."} for number in range(50)]), block_length=32)
    expected = [row for row, _ in zip(prepare.rows(spec, "train", 42), range(5), strict=False)]
    assert [row["row"] for row in preview(spec, tokenizer)["rows"]] == expected


def test_only_answers_count_when_prompts_weigh_nothing(tmp_path, tokenizer) -> None:
    records = [{"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": f"Question {number}?"},
                             {"role": "assistant", "content": "It is good."}]} for number in range(9)]
    shown = preview(DataSpec(source=jsonl(tmp_path, records), block_length=128, prompt_weight=0.0), tokenizer, rows=2)
    counted = "".join(token["text"] for token in shown["block"]["tokens"] if token["counted"])
    answers = counted.count("It is good.")
    assert answers >= 1
    assert counted == "It is good.<|end|>" * answers
    first = shown["rows"][0]
    assert first["counted"] == len(tokenizer("It is good.<|end|>", add_special_tokens=False).input_ids)
    assert first["tokens"] > first["counted"]
    whole = preview(DataSpec(source=jsonl(tmp_path, records), block_length=128), tokenizer, rows=2)
    assert 0.1 < shown["counted_share"] < 0.6 < whole["counted_share"] < 1
    assert shown["counted_share"] == pytest.approx(first["counted"] / first["tokens"], abs=0.03)  # all rows are alike


def test_the_first_token_of_a_block_is_never_predicted(tmp_path, tokenizer) -> None:
    records = [{"prompt": "2 + 2?", "completion": "4"}, {"prompt": "3 + 3?", "completion": "6"}]
    spec = DataSpec(source=jsonl(tmp_path, records), block_length=32)
    first, *others = preview(spec, tokenizer)["block"]["tokens"]
    assert (first["weight"], first["counted"]) == (1.0, False)
    assert all(token["counted"] for token in others)


def test_less_text_than_a_block_shows_the_padding(tmp_path, tokenizer) -> None:
    shown = preview(DataSpec(source=jsonl(tmp_path, [{"text": "one"}, {"text": "two"}]), block_length=64), tokenizer)
    tokens = shown["block"]["tokens"]
    assert "".join(token["text"] for token in tokens) in ("<|begin|>one<|end|>", "<|begin|>two<|end|>")
    assert shown["block"]["padding"] == 64 - len(tokens)


def test_a_block_that_ends_within_a_character_shows_so(tmp_path, tokenizer) -> None:
    spec = DataSpec(source=jsonl(tmp_path, [{"text": "🎬" * 50}, {"text": "🎭" * 50}]), block_length=8)
    tokens = preview(spec, tokenizer)["block"]["tokens"]
    assert "".join(token["text"] for token in tokens) == tokenizer.decode([token["id"] for token in tokens])


def test_few_rows_are_read_of_a_long_source(tmp_path, tokenizer) -> None:
    path = jsonl(tmp_path, [{"text": f"Film {number}."} for number in range(sources.FEW + 1)])
    with Path(path).open("a") as file:
        file.write("not JSON\n")
    assert preview(DataSpec(source=path, block_length=16, validation_fraction=0.2), tokenizer, rows=2)["rows"]


def test_the_house_corpus(tokenizer) -> None:
    shown = preview(DataSpec(block_length=64), tokenizer, rows=4)
    assert (shown["format"], len(shown["rows"])) == ("house", 4)
    assert shown["block"]["counted"] > 0


def test_how_a_text_file_is_divided_is_said(tmp_path, tokenizer) -> None:
    path = tmp_path / "a.txt"
    path.write_text("".join(f"Film {number} is good.\n" for number in range(50)))
    assert preview(DataSpec(source=str(path), block_length=32), tokenizer)["note"] == "each of its lines is a text"


def test_errors_of_the_source_arrive(tmp_path, tokenizer) -> None:
    with pytest.raises(DataError, match="review"):
        preview(DataSpec(source=jsonl(tmp_path, [{"review": "one"}])), tokenizer)


def test_masked_models_read_texts_between_their_edges(tmp_path) -> None:
    tokenizer = masked_tokenizer()
    records = [{"messages": [{"role": "user", "content": "the film"}, {"role": "assistant", "content": f"was good {number}"}]}
               for number in range(40)]
    spec = DataSpec(source=jsonl(tmp_path, records), block_length=24)
    shown = preview(spec, tokenizer, objective="masked")
    ids = [token["id"] for token in shown["block"]["tokens"]]
    assert (ids[0], ids[-1]) == (tokenizer.cls_token_id, tokenizer.sep_token_id)
    assert [token["counted"] for token in shown["block"]["tokens"]] == [number not in (tokenizer.cls_token_id, tokenizer.sep_token_id)
                                                                        for number in ids]
    prepared = prepare.prepare(spec, tokenizer, 42, objective="masked").train.input_ids
    assert ids in [[number for number in row if number != tokenizer.pad_token_id] for row in prepared.tolist()]
