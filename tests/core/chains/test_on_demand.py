"""Models of any size from a chain of tiny models: created, measured, and refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from core.chains.folder import open_chain
from core.chains.on_demand import create, loss_of
from core.errors import ConfigError
from core.methods.chain import build_chain
from core.recorder import ListRecorder
from tests.tiny_chains import chain_recipe


def test_any_size_is_an_ordinary_model_folder(tiny_chain: Path, tmp_path: Path) -> None:
    chain = open_chain(str(tiny_chain))
    target = chain.target(layers=3)
    created = create(chain, target, tmp_path / "created")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "created")
    assert model.num_parameters() == target.parameters == created.target.parameters
    assert created.method == "substitution" and created.alpha is None and len(created.swapped) == 1
    assert loss_of(model, chain) == pytest.approx(created.losses["this"], abs=1e-3)
    assert json.loads((tmp_path / "created" / "stillhouse.json").read_text())["made_from"]["swapped"] == list(created.swapped)
    card = (tmp_path / "created" / "README.md").read_text(encoding="utf-8")
    assert "Boomerang distillation" in card and "2510.05064" in card and f"| this | {created.losses['this']:.4g} |" in card
    with pytest.raises(ConfigError, match="is there already"):
        create(chain, target, tmp_path / "created")
    assert create(chain, target, tmp_path / "mixed", alpha=0.5).method == "interpolation"
    assert "2605.07783" in (tmp_path / "mixed" / "README.md").read_text(encoding="utf-8")


def test_an_anchors_size_is_the_anchor(tiny_chain: Path, tmp_path: Path) -> None:
    chain = open_chain(str(tiny_chain))
    create(chain, chain.target(parameters=chain.anchors[1].parameters), tmp_path / "same")
    created, anchor = (AutoModelForCausalLM.from_pretrained(folder).state_dict() for folder in (tmp_path / "same", chain.folder(1)))
    assert all(torch.equal(created[key], value) for key, value in anchor.items())


def test_without_alignment_only_interpolation_is_left(tmp_path: Path, tiny_chain: Path) -> None:
    chain = {"anchors": [{"layers": 2}], "curve_points": 1, "order": "direct"}
    config = chain_recipe(tiny_chain.parent, losses={"w_kd": 1, "w_hard": 0.1}, chain=chain)
    build_chain(config, ListRecorder(), tmp_path / "run")
    chain = open_chain(str(tmp_path / "run"))
    assert not chain.aligned and chain.curve[0].losses["substitution"] is None
    target = chain.target(layers=3)
    assert create(chain, target, tmp_path / "mixed", measure=False).method == "interpolation"
    with pytest.raises(ConfigError, match="not aligned"):
        create(chain, target, tmp_path / "swapped", method="substitution")
