"""A bridge's run, and a chain below the model that crossed it, on tiny models."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from core.chains.folder import open_chain
from core.methods import bridge
from core.recipes import parse_recipe
from tests.core.chat_models import SENTENCES, save_chat_model
from tests.tiny_chains import chain_recipe
from workbench.runs import jobs
from workbench.runs.worker import run_worker
from workbench.screens.chain import chain_view
from workbench.store import Store, chains, references

FOREIGN = ("Other words, other merges.", "Nothing alike here.", "A language of its own.")


@pytest.fixture(autouse=True)
def eloquent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tiny random model writes no sentences: these stand for what it would write."""
    def write(model: object, tokenizer: object, prompts: list[list[int]], *, max_new_tokens: int, generator: torch.Generator,
              **_: object) -> list[list[int]]:
        numbers = torch.randint(0, 1000, (len(prompts),), generator=generator).tolist()
        return [tokenizer(f"{FOREIGN[number % 3]} Word {number}.", add_special_tokens=False).input_ids for number in numbers]

    monkeypatch.setattr(bridge, "generate_batch", write)


def test_a_chain_is_built_below_a_model_that_crossed_a_bridge(tmp_path: Path) -> None:
    store = Store()
    writer = save_chat_model(tmp_path / "writer", sentences=FOREIGN)
    proxy = save_chat_model(tmp_path / "proxy", layers=4, sentences=SENTENCES)
    crossing = parse_recipe({
        "name": "crossed", "teacher": None, "student": {"model": str(proxy)}, "losses": {"w_kd": 0, "w_hard": 1},
        "bridge": {"model": str(writer), "texts": 60, "max_new_tokens": 60, "batch_size": 16},
        "data": {"block_length": 32, "validation_fraction": 0.2},
        "train": {"max_steps": 3, "per_device_train_batch_size": 4, "precision": "fp32", "device": "cpu"},
        "evaluation": {"eval_steps": 50, "blocks": 4, "prompts": []}})
    run = run_worker(jobs.start_here(crossing, store).id, store).run
    assert run.status == "finished", run.message
    payload = store.events(run.id, kind="bridge")[-1].payload
    assert payload["kept"] + sum(payload["left_out"].values()) == 60

    below = chain_recipe(tmp_path / "chain", "below")
    store.rename(run.id, "renamed")
    below = below.model_copy(update={"teacher": below.teacher.model_copy(update={"model": "renamed"})})
    built = run_worker(jobs.start_here(below, store).id, store).run
    assert built.status == "finished", built.message
    assert built.parents == {"renamed": f"{run.id}:student"}
    chain = open_chain(str(built.directory))
    assert [anchor.dimensions.layers for anchor in chain.anchors] == [4, 2, 1]
    assert references.describe("below:0", store).vocabulary == references.describe("renamed", store).vocabulary
    assert chain_view.bridge_of(chains.place("below", store), store) == f"{writer.name} wrote {payload['kept']:,} texts"
