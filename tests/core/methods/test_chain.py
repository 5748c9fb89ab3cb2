"""Building a chain: its slices, stops, modes and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from core.chains.folder import open_chain
from core.config import TeacherSpec
from core.data.packing import Blocks
from core.errors import CompatibilityError, ConfigError, ModelNotFoundError
from core.methods.chain import _halves, build_chain
from core.recorder import ListRecorder, StopRequested
from tests.core.masked_models import masked_model, save
from tests.tiny_chains import chain_recipe


def test_few_held_out_blocks_are_halved() -> None:
    def held_out(count: int) -> Blocks:
        return Blocks(np.arange(2 * count, dtype=np.int32).reshape(count, 2), np.ones((count, 2), np.float32), 1, 2 * count)

    for there, wanted, shown, chosen in ((9, 4, [0, 2, 4, 6], [8, 10, 12, 14]), (5, 4, [0, 2], [4, 6]), (1, 4, [0], [0])):
        slices = _halves(held_out(there), wanted)
        assert [blocks.input_ids[:, 0].tolist() for blocks in slices] == [shown, chosen]


def test_a_stopped_chain_resumes_and_ends_the_same(tmp_path: Path, tiny_chain: Path) -> None:
    config, recorder = chain_recipe(tiny_chain.parent), ListRecorder(stop_after=4)
    with pytest.raises(StopRequested) as stop:
        build_chain(config, recorder, tmp_path / "run")
    assert stop.value.report.stopped and [row.layers for row in stop.value.report.anchors] == [4, 2]
    assert (tmp_path / "run" / "anchors" / "1").is_dir() and not (tmp_path / "run" / "anchors" / "2").exists()
    with pytest.raises(ModelNotFoundError, match=r"not complete.*Resume"):
        open_chain(str(tmp_path / "run"))
    recorder.stop_after = None
    report = build_chain(config, recorder, tmp_path / "run")
    assert not report.stopped and [row.layers for row in report.anchors] == [4, 2, 1]
    assert list(recorder.series("student", "loss")) == [1, 2, 3, 4, 5, 6]  # one training after the other
    for number in range(3):
        ours, theirs = (AutoModelForCausalLM.from_pretrained(folder / "anchors" / str(number)).state_dict()
                        for folder in (tmp_path / "run", tiny_chain))
        assert all(torch.equal(ours[key], value) for key, value in theirs.items())


def test_anchors_that_are_trained_for_epochs_are_recorded_one_after_the_other(tmp_path: Path, tiny_chain: Path) -> None:
    recorder, train = ListRecorder(), chain_recipe(tiny_chain.parent).to_dict()["train"]
    build_chain(chain_recipe(tiny_chain.parent, train={**train, "max_steps": None, "num_train_epochs": 0.1},
                             chain={"anchors": [{"layers": 2}, {"layers": 1}], "curve_points": 0}), recorder, tmp_path / "run")
    logged = [step for _, step, name, _ in recorder.rows if name == "loss"]
    assert logged == list(range(1, len(logged) + 1)) and len(logged) % 2 == 0 and logged, "no step of one anchor replaces another's"


def test_anchors_must_descend(tmp_path: Path, tiny_chain: Path) -> None:
    config = chain_recipe(tiny_chain.parent, chain={"anchors": [{"layers": 4}]})
    with pytest.raises(ConfigError, match="descending size"):
        build_chain(config, ListRecorder(), tmp_path / "run")


def test_independent_anchors_have_no_origin(tmp_path: Path, tiny_chain: Path) -> None:
    config = chain_recipe(tiny_chain.parent, chain={"anchors": [{"layers": 2}], "mode": "independent", "curve_points": 1})
    build_chain(config, ListRecorder(), tmp_path / "run")
    chain = open_chain(str(tmp_path / "run"))
    assert chain.anchors[1].origin == ()
    assert torch.equal(AutoModelForCausalLM.from_pretrained(chain.folder(0)).get_input_embeddings().weight,
                       AutoModelForCausalLM.from_pretrained(tiny_chain.parent / "teacher").get_input_embeddings().weight)


def test_an_encoder_begins_no_chain(tmp_path: Path) -> None:
    config = chain_recipe(tmp_path).model_copy(update={"teacher": TeacherSpec(model=str(save(masked_model(), tmp_path / "encoder")))})
    with pytest.raises(CompatibilityError, match="A chain is made of models that predict the next token"):
        build_chain(config, ListRecorder(), tmp_path / "run")
    assert not (tmp_path / "run" / "anchors").exists()
