"""HyperCloning: the wider model computes what the narrow one did, whatever noise tells its copies apart."""

from __future__ import annotations

import pytest
import torch

from core.errors import ConfigError, UnsupportedModelError
from core.models.dimensions import Dimensions
from core.students.hypercloning import hypercloned
from core.students.resizing import Weights
from core.studies.claims.expansion import ExpansionProtocolConfig, _random_model
from tests.core.families import family_model

SETTING = ExpansionProtocolConfig(spread=0.1)
IDS = torch.randint(2, SETTING.vocabulary, (2, 12), generator=torch.Generator().manual_seed(0))


def weights(name: str, tied: bool) -> Weights:
    return Weights.of(_random_model(name, 2, 32, tied, SETTING, 0))


def logits(made: Weights) -> torch.Tensor:
    with torch.no_grad():
        return made.model()(input_ids=IDS, use_cache=False).logits


@pytest.mark.parametrize("noise", [0.0, 0.3])
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("name", ["gpt2", "llama", "qwen3", "gpt_neox"])  # learned positions, grouped heads, head norms, fused projections
def test_nothing_changes(name: str, tied: bool, noise: float) -> None:
    narrow = weights(name, tied)
    wide = hypercloned(narrow, 2, noise)
    old, new = narrow.dimensions, wide.dimensions
    assert (new.hidden, new.heads, new.key_value_heads, new.intermediate_size) == tuple(
        2 * size for size in (old.hidden, old.heads, old.key_value_heads, old.intermediate_size))
    torch.testing.assert_close(logits(wide), logits(narrow), atol=1e-4, rtol=1e-4)


def test_noise_tells_copies_apart() -> None:
    """Exact copies would stay copies under any gradient: the columns of a reader are what differs."""
    narrow = weights("llama", True)
    width = narrow.dimensions.hidden
    for noise, apart in ((0.0, False), (0.3, True)):
        matrix = hypercloned(narrow, 2, noise).tensors["model.layers.0.mlp.up_proj.weight"]
        assert torch.equal(matrix[:, :width], matrix[:, width:]) != apart


def test_three_times_the_width() -> None:
    narrow = weights("gpt2", True)
    wide = hypercloned(narrow, 3)
    assert Dimensions.from_config(wide.config).hidden == 96
    torch.testing.assert_close(logits(wide), logits(narrow), atol=1e-4, rtol=1e-4)


def test_refusals() -> None:
    narrow = weights("llama", True)
    for factor, noise in ((1, 0.0), (3, 0.1)):
        with pytest.raises(ConfigError, match="factor"):
            hypercloned(narrow, factor, noise)


def test_families_whose_norms_know_their_width_are_refused() -> None:
    with pytest.raises(UnsupportedModelError, match="width"):
        hypercloned(Weights.of(family_model("gemma2")), 2)
