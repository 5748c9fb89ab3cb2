"""The engine process: streams, stops, dies, comes back, and ends with its application."""

import os
import shutil
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import psutil
import pytest

from core.config import DataSpec
from core.errors import CompatibilityError, ConfigError, DataError, ModelNotFoundError
from core.recipes import parse_recipe
from core.system import reach
from tests.core.chat_models import save_chat_model
from tests.core.export.encoders import save_encoder
from tests.waiting import wait_until
from workbench.inference.client import Engine, Generation
from workbench.inference.engine_process import EngineLostError
from workbench.inference.wire import Answer, Loaded, Piece

QUESTION = [{"role": "user", "content": "Is it good?"}]
ENDLESS = {"max_new_tokens": 10**6, "sampling_temperature": 1.0, "seed": 3}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("models")
    return {"teacher": str(save_chat_model(root / "teacher", layers=3, positions=4096, endless=True)),
            "student": str(save_chat_model(root / "student", seed=1, positions=4096, endless=True)),
            "foreign": str(save_chat_model(root / "foreign", sentences=("Other words, other merges.", "Nothing alike here.")))}


@pytest.fixture(scope="module")
def engine():
    engine = Engine(lambda reference: reference)
    yield engine
    engine.close()


def ask(engine: Engine, model: str, **sampling) -> list:
    return list(engine.generate(model, QUESTION, **{"max_new_tokens": 20, **sampling}))


def test_the_first_requests_of_a_new_engine_may_come_all_at_once(engine, folders, tmp_path) -> None:
    assert engine.pid is None, "it is new: no test has used it"
    encoder, text = str(save_encoder(tmp_path / "encoder", "bert", layers=1)), tmp_path / "text.txt"
    text.write_text("\n\n".join(f"Film number {number} has a quiet script and good jokes." for number in range(100)))
    recipe = parse_recipe({"teacher": {"model": folders["teacher"]}, "student": {"layers": 1},
                           "data": {"source": str(text), "block_length": 32}, "train": {"max_steps": 2, "device": "cpu"}})
    requests = [partial(engine.info, folders["teacher"]), partial(engine.plan, recipe, measure=False),
                partial(engine.export, encoder, "onnx", tmp_path / "export"), partial(engine.preview, recipe.data, folders["student"]),
                partial(engine.info, folders["foreign"]), partial(engine.info, encoder)]
    with ThreadPoolExecutor(len(requests)) as threads:
        for answer in [threads.submit(request) for request in requests]:
            assert answer.result()


def test_an_answer_comes_in_pieces_that_join_to_the_whole(engine, folders) -> None:
    loaded, *pieces, answer = ask(engine, folders["teacher"], max_new_tokens=200)
    assert isinstance(loaded, Loaded)
    assert isinstance(answer, Answer)
    assert all(isinstance(piece, Piece) for piece in pieces)
    assert (loaded.card.layers, loaded.card.device) == (3, "cpu")
    assert answer.text.startswith("".join(piece.text for piece in pieces))
    assert len(pieces) > 1
    assert 0 < answer.tokens <= 200
    assert answer.tokens_per_second > 0


def test_the_first_token_does_not_wait_for_the_others(engine, folders) -> None:
    generation = iter(engine.generate(folders["teacher"], QUESTION, **ENDLESS))
    next(generation)
    assert next(generation).tokens < 1000


def test_the_card_is_that_of_the_loaded_weights(engine, folders) -> None:
    from core.models.weight_digests import weights_hash

    assert engine.info(folders["teacher"]).weights == weights_hash(Path(folders["teacher"])) != engine.info(folders["student"]).weights


def test_a_model_that_was_saved_again_is_reloaded(engine, tmp_path) -> None:
    folder = save_chat_model(tmp_path / "model", seed=5)
    before = engine.info(str(folder))
    save_chat_model(folder, seed=6)
    os.utime(folder / "model.safetensors")
    assert engine.info(str(folder)).weights != before.weights


def test_streams_run_side_by_side_and_agree_with_streams_alone(engine, folders) -> None:
    alone = {name: ask(engine, folders[name], seed=7, max_new_tokens=60)[-1].text for name in ("teacher", "student")}
    together: dict[int, str] = {}

    def run(i: int, name: str) -> None:
        together[i] = ask(engine, folders[name], seed=7, max_new_tokens=60)[-1].text

    threads = [threading.Thread(target=run, args=(i, name)) for i, name in enumerate(("teacher", "student") * 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[i] for i in range(6)] == [alone["teacher"], alone["student"]] * 3


def test_letting_go_starts_nothing_and_the_next_question_loads_again(engine, folders) -> None:
    idle = Engine(str)
    idle.release()
    assert idle.pid is None
    before = engine.info(folders["teacher"])
    pid = engine.pid
    engine.release()
    assert engine.info(folders["teacher"]) == before
    assert engine.pid == pid


def test_stop_gives_the_answer_so_far(engine, folders) -> None:
    generation = engine.generate(folders["teacher"], QUESTION, **ENDLESS)
    seen = []
    for part in generation:
        seen.append(part)
        if isinstance(part, Piece) and part.tokens > 5:
            generation.stop()
    assert seen[-1].finish == "stopped"
    assert seen[-1].tokens < 4000


def test_leaving_an_iteration_ends_the_generation(engine, folders) -> None:
    messages = iter(engine.generate(folders["teacher"], QUESTION, **ENDLESS))
    next(messages)
    server = psutil.Process(engine.pid)
    busy = server.num_threads()
    del messages
    assert wait_until(lambda: server.num_threads() < busy)


def test_errors_keep_their_class_and_their_words(engine, folders) -> None:
    with pytest.raises(ModelNotFoundError) as not_found:
        ask(engine, "house-chta")
    assert "house-chta" in not_found.value.given
    assert not_found.value.expected
    with pytest.raises(ConfigError, match="top_p"):
        ask(engine, folders["teacher"], top_p=7)
    with pytest.raises(ConfigError, match="question has"):
        list(engine.generate(folders["teacher"], [{"role": "user", "content": "good " * 5000}]))


def test_the_lens_compares_and_refuses_other_vocabularies(engine, folders) -> None:
    positions = engine.lens(folders["teacher"], folders["student"], QUESTION, "It is good.")
    assert "".join(position["token"] for position in positions) == "It is good."
    assert all(position["kl"] > 0 and len(position["student_top5"]) == 5 for position in positions)
    with pytest.raises(CompatibilityError, match="tokenizers differ"):
        engine.lens(folders["teacher"], folders["foreign"], QUESTION, "It is good.")


def test_next_token_logits(engine, folders) -> None:
    result = engine.next_token_logits(folders["teacher"], "Is it good?", count=3)
    assert len(result["tokens"]) == 3
    assert len(result["logits"]) == 300


def test_one_process_whoever_asks_first_and_close_frees_whoever_waits(folders) -> None:
    engine, pids, lost = Engine(lambda reference: reference), set(), []

    def run() -> None:
        try:  # a question after the close is refused at once
            generation = engine.generate(folders["teacher"], QUESTION, **ENDLESS)
            pids.add(engine.pid)
            list(generation)
        except EngineLostError as error:
            lost.append(error)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    wait_until(lambda: pids)
    engine.close()
    for thread in threads:
        thread.join()
    assert (len(pids), len(lost)) == (1, 3)
    assert not psutil.pid_exists(next(iter(pids)))
    with pytest.raises(EngineLostError):
        engine.info(folders["student"])


def stopped_once_loaded(generation: Generation) -> list:
    """Press Stop as soon as the model is there, and read on."""
    parts = []
    for part in generation:
        parts.append(part)
        generation.stop()
    return parts


def test_a_template_without_end_is_stopped_and_the_engine_stays(engine, folders, tmp_path: Path) -> None:
    """Twice: whoever presses Stop is not kept waiting, and whoever does not gets a message."""
    shutil.copytree(folders["student"], tmp_path / "hostile")
    (tmp_path / "hostile" / "chat_template.jinja").write_text(
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}")
    engine.info(folders["student"])
    pid = engine.pid
    generation = engine.generate(str(tmp_path / "hostile"), QUESTION, max_new_tokens=5)
    with pytest.raises(DataError, match="until it was stopped"):
        stopped_once_loaded(generation)
    with pytest.raises(DataError, match="seconds of processor time"):
        ask(engine, str(tmp_path / "hostile"))
    assert ask(engine, folders["student"])[-1].tokens > 0
    assert engine.pid == pid


def test_killed_in_mid_answer_says_so_and_the_next_question_works_within_the_limits_of_a_limited_server(
        engine, folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last of these tests: its second process reads what visitors name, and has their limits."""
    generation = iter(engine.generate(folders["teacher"], QUESTION, **ENDLESS))
    next(generation)
    for name, value in reach.limited_to([Path(folders["student"])]).items():
        monkeypatch.setenv(name, value)
    os.kill(engine.pid, signal.SIGKILL)
    with pytest.raises(EngineLostError, match=r"SIGKILL.*out of memory.*new process") as lost:
        list(generation)
    assert "Traceback" not in str(lost.value)
    assert ask(engine, folders["student"])[-1].tokens > 0

    (tmp_path / "data.txt").write_text("One text.\n\nAnother text.\n")
    with pytest.raises(ModelNotFoundError, match="not in a folder that visitors"):
        engine.info(folders["teacher"])
    with pytest.raises(DataError, match="not in a folder that visitors"):
        engine.scan_dataset(DataSpec(source=str(tmp_path / "data.txt")), None, 0)
    with pytest.raises(DataError, match="not in a folder that visitors"):
        engine.preview(DataSpec(source=str(tmp_path / "data.txt")), folders["student"])
