"""Evaluations that two processes share out: to the last digit those of one, also where items are fewer than processes."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch

from core.data.movie_reviews import Review
from core.data.packing import Blocks, pack
from core.data.tokenisation import Document, Span
from core.evaluation import sentiment as sentiment_module
from core.evaluation.language import evaluate_language
from core.evaluation.masked import evaluate_masked
from core.evaluation.sentiment import evaluate_sentiment
from core.recorder import StopRequested, unwatched
from core.system import ranks
from core.tasks import fine_tuning
from core.tasks.encoding import by_length, encode
from core.tasks.fine_tuning import answers, evaluate_task
from core.tasks.heads import with_head
from core.training.passes import ALONE, Passes
from tests.core.evaluation.conftest import SENTENCES, make_gpt2, make_llama, make_tokenizer
from tests.core.evaluation.test_masked import blocks as masked_blocks
from tests.core.masked_models import masked_model, masked_tokenizer
from tests.core.tasks.encoders import encoder, questions, sentiment
from tests.ranks import run_ranks

Found = dict[str, Any]


def text(tokenizer: Any, blocks: int) -> Blocks:
    documents = [Document(line, 0.0, (Span(0, len(line), 1.0),)) for line in SENTENCES * 4]
    return pack(documents, tokenizer, 48).take(blocks)


def counted(model: torch.nn.Module, found: list[int]) -> torch.nn.Module:
    """The model, which counts its forward passes."""
    model.register_forward_hook(lambda *_: found.append(1))
    return model


def of_language(passes: Passes) -> Found:
    tokenizer, runs = make_tokenizer(), list[int]()
    student, teacher, states = make_llama(seed=1), make_gpt2(seed=2), dict[int, torch.Tensor]()
    counted(student.model, runs)
    options: dict[str, Any] = {"tokenizer": tokenizer, "batch_size": 2, "device": "cpu", "passes": passes}
    five = [evaluate_language(student, text(tokenizer, 5), teacher, **options, states=states) for _ in range(2)]
    return {"five": five, "passes": len(runs) // 2, "states": sorted(states),
            "itself": evaluate_language(teacher, text(tokenizer, 5), teacher, **options),
            "one": evaluate_language(student, text(tokenizer, 1), teacher, **options)}


def of_masked(passes: Passes) -> Found:
    options: dict[str, Any] = {"tokenizer": masked_tokenizer(), "device": "cpu", "passes": passes}
    models = masked_model(2), masked_model(4, seed=1)
    return {str(size): evaluate_masked(models[0], masked_blocks(), models[1], batch_size=size, **options) for size in (2, 6)}


def of_reviews(passes: Passes) -> Found:
    sentiment_module.BATCH_TOKENS = 300  # several batches, with padding inside them
    reviews = [Review(" ".join([line] * (1 + number % 2)), number % 3 == 0, "imdb" if number % 4 else "rt", "test")
               for number, line in enumerate(SENTENCES * 2)]
    tokenizer = make_tokenizer()
    model = make_llama(len(tokenizer))
    model.config.max_position_embeddings = 1024
    return {str(size): evaluate_sentiment(model, tokenizer, reviews[:size], "cpu", passes=passes) for size in (len(reviews), 1)}


def of_tasks(folder: Path, passes: Passes) -> Found:
    fine_tuning.by_length = partial(by_length, tokens=32)
    found, start = Found(), encoder(folder)
    for task in (sentiment(held_out=7), questions(held_out=5), sentiment(held_out=1)):
        made = replace(start, model=with_head(start, task, 3).eval(), entry=replace(start.entry, task=task.kind))
        features = encode(task.validation, task, start.tokenizer, 48)
        logits = answers(made.model, features, start.tokenizer, torch.float32, passes=passes)
        found[f"{task.name} {len(task.validation)}"] = {
            "logits": [each.tolist() for each in logits], "batches": len(list(fine_tuning.by_length(features))),
            "metrics": evaluate_task(made, task, passes=passes)}
    return found


def of_texts(passes: Passes) -> Found:
    written: list[int] = []

    def write(number: int) -> str:
        written.append(number)
        return f"text {number}"

    return {str(size): list(passes.texts(size, write, unwatched)) for size in (3, 1, 0)} | {"written": written}


def stopped(passes: Passes, at: int) -> Found:
    """A stop that rank 0 alone hears of, before its second pass."""
    calls, made = count(), list[int]()

    def advance(done: int, total: int) -> None:
        if ranks.rank() == 0 and next(calls) == at:
            raise StopRequested

    with pytest.raises(StopRequested):
        made.extend(start for start, _ in passes.own(range(0, 14, 2), 14, advance))
    return {"made": made}


def measure(folder: Path, encoder_folder: Path) -> None:
    """In each of two processes: everything alone, and shared out."""
    ranks.join("cpu")
    measures: dict[str, Callable[[Passes], Found]] = {
        "language": of_language, "masked": of_masked, "reviews": of_reviews, "tasks": partial(of_tasks, encoder_folder), "texts": of_texts,
        "stopped": partial(stopped, at=1)}
    found = {name: [each(ALONE) if name != "stopped" else {}, each(Passes.of_run())] for name, each in measures.items()}
    (folder / f"{ranks.rank()}.json").write_text(json.dumps(found))


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, list[Found]]]:
    """What each process found, alone and together."""
    folder = tmp_path_factory.mktemp("shared")
    encoder(folder / "encoder")
    codes = run_ranks(2, measure, folder, folder / "encoder", log=folder / "log")
    assert codes == [0, 0], [Path(f"{folder / 'log'}.{rank}").read_text()[-3000:] for rank in (0, 1)]
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1)]


def without(found: Found, *names: str) -> Found:
    return {name: value for name, value in found.items() if name not in names}


@pytest.mark.parametrize("name", ["language", "masked", "reviews", "tasks", "texts"])
def test_two_processes_measure_what_one_does(both: Sequence[dict[str, list[Found]]], name: str) -> None:
    for alone, together in (process[name] for process in both):
        assert without(together, "passes", "states", "written") == without(alone, "passes", "states", "written")


def test_passes_are_shared_out(both: Sequence[dict[str, list[Found]]]) -> None:
    """Three passes on five blocks, three texts: of each the first process makes two; kept states are those of its own passes."""
    (alone, first), (_, second) = (process["language"] for process in both)
    assert [each["passes"] for each in (alone, first, second)] == [3, 2, 1]
    assert (first["states"], second["states"]) == ([0, 4], [2])
    assert [process["texts"][1]["written"] for process in both] == [[0, 2, 0], [1]]
    assert all(each["batches"] > 2 or name.endswith(" 1") for name, each in both[0]["tasks"][0].items())


def test_a_stop_ends_an_evaluation_in_every_process(both: Sequence[dict[str, list[Found]]]) -> None:
    assert [process["stopped"][1]["made"] for process in both] == [[0], [2]]
