"""Try what a chain does after its training, in small, before the first anchor is trained.

Anchors that share no sizes, a tokenizer that distillation refuses, or a shape that cannot be computed would else come to light when
every anchor is trained. Sizes are solved at their real values; interpolation, substitution, measuring and saving are tried between two
models of the anchors' widths and a few blocks, with new weights.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import torch

from core.chains.anchors import PlannedAnchor, planned_anchors
from core.chains.folder import CALIBRATION, SELECTION, VALIDATION, Anchor, Chain, Target, selection_file
from core.chains.interpolation import interpolate, substitute
from core.chains.on_demand import create, load_anchor_pair, loss_of, new_weights, read_slice, save_model, write_slice
from core.chains.sizes import valid_shapes
from core.config import ChainConfig
from core.errors import about
from core.methods.steps import Load
from core.models import catalog, compatibility
from core.models.architectures import with_blocks
from core.models.dimensions import Dimensions, with_dimensions
from core.models.header import read_model_header
from core.students.layer_maps import span_ends
from core.students.resizing import Weights

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

DEPTHS = (3, 1)  # blocks of the two models of a pair whose anchors differ in depth; a depth lies between them


def rehearse(config: ChainConfig, folder: Path, largest: Anchor, load: Load, *, aligned: bool) -> list[Dimensions]:
    """Try every later stage of a chain.

    Args:
        folder: the chain's, with anchor 0 and the slices.
        load: loads the model of a reference.
        aligned: whether hidden states will be aligned, so that blocks can be swapped.

    Returns:
        The sizes of all anchors, the largest first.

    Raises:
        StillhouseError: whatever the user can fix; with the recipe's key `chain.anchors`.
    """
    with about("chain.anchors"):
        planned, configs = _planned(config, folder, largest, load)
        for number in range(len(planned) - 1):
            _rehearse_pair(folder, [each.dimensions for each in planned[number:number + 2]], configs[number:number + 2], aligned)
    return [each.dimensions for each in planned]


def _planned(config: ChainConfig, folder: Path, largest: Anchor, load: Load) -> tuple[list[PlannedAnchor], list[PreTrainedConfig]]:
    """Return the anchors of a chain, and their configurations; models that anchors begin as are loaded, one after the other."""
    first = catalog.load(str(folder / largest.folder))
    given: dict[str, PreTrainedConfig] = {}

    def describe(reference: str) -> PlannedAnchor:
        loaded = load(reference, device="cpu")
        compatibility.require_causal_lm(loaded.entry, "chain")
        compatibility.require_compatible(first, loaded)
        weights = Weights.of(loaded.model)
        given[reference] = weights.config
        return PlannedAnchor(weights.config.to_dict(), weights.dimensions, frozenset(weights.tensors))

    header = read_model_header(folder / largest.folder)
    planned = planned_anchors(PlannedAnchor.of(header), config.chain.anchors, header.parameter_counter(), describe)
    configs = [Weights.of(first.model).config]
    for spec, anchor in zip(config.chain.anchors, planned[1:], strict=True):
        configs.append(given[spec.model] if spec.model is not None else with_dimensions(configs[-1], anchor.dimensions))
    return planned, configs


def _rehearse_pair(folder: Path, sizes: list[Dimensions], configs: list[PreTrainedConfig], aligned: bool) -> None:
    """Create, measure and save one model between two small neighbours."""
    depths = DEPTHS if sizes[0].layers != sizes[1].layers else (1, 1)
    with TemporaryDirectory(dir=folder, prefix="rehearsal-") as work:
        path, like = Path(work), folder / "anchors" / "0"
        for name, kept in ((VALIDATION, folder / VALIDATION), (SELECTION, selection_file(folder)), (CALIBRATION, folder / CALIBRATION)):
            write_slice(path / name, read_slice(kept).take(1))
        anchors = []
        for number, (config, depth) in enumerate(zip(configs, depths, strict=True)):
            blocks = tuple(min(block, Dimensions.from_config(config).layers - 1) for block in range(depth))
            (path / "anchors" / str(number)).mkdir(parents=True)
            save_model(new_weights(with_blocks(config, blocks)), path / "anchors" / str(number), like=like)
            header = read_model_header(path / "anchors" / str(number))
            ends = (tuple(range(depth)) if number == 0 else tuple(span_ends(depths[0], depth))) if aligned else ()
            anchors.append(Anchor(number, f"anchors/{number}", header.counts.total, header.dimensions, (), ends, (), float("nan")))
        chain = Chain("rehearsal", path, tuple(anchors), (), {})
        pair = load_anchor_pair(chain, 0)
        large, small = pair.large.dimensions, pair.small.dimensions
        between = [shape for shape in valid_shapes(small, large, chain.sizer) if shape not in (small, large)]
        shape = between[len(between) // 2] if between else large
        loss_of(interpolate(pair, shape, 0.5), chain)
        if aligned:
            loss_of(substitute(pair, shape), chain)
        create(chain, Target(shape, chain.sizer(shape), 0), path / "created", measure=False)
    torch.cuda.empty_cache()
