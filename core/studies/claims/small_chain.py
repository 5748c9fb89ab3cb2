"""What the claims about chains share: tiny anchors of one family, trained on first use and kept in the cache.

    largest      a new decoder trained on film reviews; its units are then sorted by importance (`core.students.importance`)
    anchor k     the first units and evenly spread blocks of anchor k - 1, distilled from it with reverse KL alone
    direct       the last anchor's shape, cut from the largest and distilled from it
    independent  the second anchor's shape trained from nothing, with a seed of its own, and distilled from the largest after that
    recovered    a model of some beginning after a small budget of text

Everything depends on the setting, the seed and the releases of the libraries, and is found again by them.
"""

from __future__ import annotations

import hashlib
import json
import math
import tempfile
from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import AutoTokenizer, PreTrainedModel

from core.chains.interpolation import AnchorPair, Depth, interpolate
from core.chains.sizes import default_alpha, solve, valid_shapes
from core.config import DataSpec, LossSpec, ScratchSpec, TrainSpec
from core.data.packing import Blocks
from core.data.prepare import PreparedData, prepare, rows
from core.data.tokenizers import train_tokenizer
from core.evaluation.language import evaluate_language
from core.events import Phase
from core.models.dimensions import Dimensions, ParameterCounter
from core.recorder import STUDENT, Recorder, StopRequested
from core.signals.source import LocalTeacher
from core.students.from_scratch import student_from_scratch
from core.students.importance import sort_by_importance, unit_importance
from core.students.layer_maps import layer_map
from core.students.resizing import NEW, Weights, resized
from core.studies.claims.chain_protocol import ChainProtocolConfig
from core.studies.claims.trained_models import MODEL_BYTES, LossHistory, Trained, read, write
from core.system.files import atomic_directory
from core.system.paths import cache_dir
from core.system.provenance import versions
from core.training.base_trainer import training_arguments
from core.training.distillation_trainer import HARD_LABELS_ONLY, DistillationSetup, DistillationTrainer

FORMAT = 2  # of what is cached: to be raised when the same setting gives other models
DATA_SEED = 0  # tokenizer and blocks are the same for all seeds; the order of the blocks is the seed's
INDEPENDENT_SEED_OFFSET = 10_000  # added to the seed of a model that shall share nothing with the others
EVALUATIONS = 20  # of a recovery, evenly spread
CPU = torch.device("cpu")

# The published objective of a step: reverse KL by itself, at T = 1. `LossSpec` counts hard labels too where nothing is said of them.
REVERSE_KL = LossSpec(divergence="reverse_kl", temperature=1, w_hard=0)
Part = Literal["selection", "test"]  # alpha is selected on one half of the held-out blocks, results are measured on the other


class SmallChain:
    """The models of one seed.

    Args:
        recorder: gets phases and steps; a stop ends in `StopRequested`, and what was trained to its end is kept.
    """

    def __init__(self, setting: ChainProtocolConfig, seed: int, recorder: Recorder) -> None:
        self.setting, self.seed, self.recorder = setting, seed, recorder
        self._found: dict[str, Trained] = {}

    # ------------------------------------------------------------------------------------------ anchors

    @cached_property
    def largest(self) -> Weights:
        """The first anchor, its units in order of importance on training text."""
        trained = self._trained("largest", lambda: self._fresh(self._dimensions(0), self.seed), self.setting.anchor_steps)
        calibration = torch.from_numpy(self.data.train.input_ids[:self.setting.calibration_blocks]).long()
        return sort_by_importance(trained.weights, unit_importance(trained.weights.model(), calibration.split(self.setting.batch)))

    def anchor(self, number: int) -> Trained:
        """Return anchor `number`, 0 the largest, each distilled from the one before."""
        if number == 0:
            return Trained(self.largest, (), {})
        return self._distilled(f"anchor {number}", lambda: self.anchor(number - 1).weights, number, self.setting.chain_steps)

    def direct(self, steps: int) -> Trained:
        """Return the smallest anchor's shape, distilled from the largest."""
        return self._distilled(f"direct {steps}", lambda: self.largest, len(self.setting.sizes) - 1, steps)

    def pair(self, large: int, small: int) -> AnchorPair:
        """Return two anchors of the chain."""
        return AnchorPair(self.anchor(small).weights, self.anchor(large).weights)

    def sparse_pair(self, steps: int) -> AnchorPair:
        """Return the largest and the smallest alone, that one distilled straight from the largest."""
        return AnchorPair(self.direct(steps).weights, self.largest)

    def independent(self, *, distilled: bool) -> AnchorPair:
        """Return the two largest shapes, trained apart; the smaller one then distilled from the larger, as public checkpoints are."""
        seed = self.seed + INDEPENDENT_SEED_OFFSET
        made = self._trained("independent", lambda: self._fresh(self._dimensions(1), seed), self.setting.anchor_steps, seed=seed)
        if distilled:
            apart = made.weights
            made = self._trained("independent distilled", lambda: apart, self.setting.chain_steps, teacher=lambda: self.largest)
        # Its blocks come from no block of the largest, though they are numbered alike.
        return AnchorPair(Weights(made.weights.config, made.weights.tensors, (NEW,) * made.weights.dimensions.layers), self.largest)

    def equal_compute_steps(self) -> int:
        """Return how many steps straight from the largest to the smallest anchor cost what the whole chain costs.

        A step costs 2 P_teacher + 6 P_student operations a token: one forward pass of the teacher, three of the student's worth.
        """
        sizes = [self.sizer(self._dimensions(number)) for number in range(len(self.setting.sizes))]
        chain = sum(2 * teacher + 6 * student for teacher, student in pairwise(sizes))
        return round(self.setting.chain_steps * chain / (2 * sizes[0] + 6 * sizes[-1]))

    # ------------------------------------------------------------------------------------------ between anchors

    def target(self, large: int = 1) -> Dimensions:
        """Return the shape in the middle between an anchor and the next one, by default the second and the third."""
        return self._middle(self._dimensions(large + 1), self._dimensions(large))

    def middle(self, pair: AnchorPair) -> Dimensions:
        """Return the shape in the middle of a pair."""
        return self._middle(pair.small.dimensions, pair.large.dimensions)

    def shapes_between(self, pair: AnchorPair) -> list[Dimensions]:
        """Return all shapes strictly between two anchors, ascending in parameters."""
        return self._between(pair.small.dimensions, pair.large.dimensions)

    def alpha(self) -> float:
        """Return the default alpha of the target, by relative distance in parameters."""
        return default_alpha(*(self.sizer(each) for each in (self._dimensions(2), self.target(), self._dimensions(1))))

    def between(self, pair: AnchorPair, shape: Dimensions, alpha: float, depth: Depth = "identity") -> Weights:
        """Return equation 3, with identity blocks where the small anchor has none, unless its blocks are to be replicated there."""
        self._raise_if_stopped()
        return interpolate(pair, shape, alpha, depth=depth)

    def sweep(self, pair: AnchorPair, shape: Dimensions, part: Part, alphas: Sequence[float] | None = None) -> dict[float, float]:
        """Return the cross-entropy of the interpolated model for each alpha."""
        self._phase(f"Sweep alpha at {_words(shape)}")
        return {alpha: self.cross_entropy(self.between(pair, shape, alpha), part) for alpha in alphas or self.setting.alphas}

    def best_alpha(self, pair: AnchorPair, shape: Dimensions, alphas: Sequence[float]) -> float:
        """Return the alpha of lowest CE on the selection half."""
        curve = self.sweep(pair, shape, "selection", alphas)
        return min(curve, key=curve.__getitem__)

    def at_alpha(self, alpha: float) -> Weights:
        """Return the target between the second and the third anchor."""
        return self.between(self.pair(1, 2), self.target(), alpha)

    def random(self, shape: Dimensions) -> Weights:
        """Return new weights."""
        return self._fresh(shape, self.seed + 1)

    def recovered(self, name: str, begin: Callable[[], Weights]) -> Trained:
        """Return a model after the token budget on text alone, from one of several beginnings.

        Args:
            name: of the beginning; it is cached under it.
        """
        return self._trained(f"recovered {name}", begin, self.setting.recovery_steps, followed=True)

    # ------------------------------------------------------------------------------------------ measuring

    def cross_entropy(self, weights: Weights, part: Part = "test") -> float:
        """Return held-out cross-entropy in nats per token."""
        self._raise_if_stopped()
        return self._cross_entropy(weights.model(), part)

    def uniform_cross_entropy(self) -> float:
        """Return ln V, the cross-entropy of a uniform prediction."""
        return math.log(len(self.tokenizer))

    def _cross_entropy(self, model: PreTrainedModel, part: Part) -> float:
        measured = evaluate_language(model, self._held_out(part), tokenizer=self.tokenizer, batch_size=self.setting.batch, device=CPU)
        return measured["cross_entropy"]

    def _held_out(self, part: Part) -> Blocks:
        count = self.setting.evaluation_blocks
        half = slice(0, count) if part == "selection" else slice(count, 2 * count)
        whole = self.data.validation
        return Blocks(whole.input_ids[half], whole.weights[half], whole.documents, whole.tokens)

    @cached_property
    def sizer(self) -> ParameterCounter:
        """Parameters of any shape of the family."""
        largest = self._fresh(self._dimensions(0), self.seed)
        return ParameterCounter({name: tuple(tensor.shape) for name, tensor in largest.tensors.items()}, largest.config.to_dict())

    # ------------------------------------------------------------------------------------------ data

    @cached_property
    def tokenizer(self) -> Any:
        """Byte-level BPE of the reviews."""
        folder = self._cache("tokenizer", self.setting.vocabulary, self.setting.rows, self.setting.block_length)
        if not folder.is_dir():
            self._phase("Make the vocabulary")
            with atomic_directory(folder, MODEL_BYTES) as partial:
                train_tokenizer(rows(self._data_spec, "train", DATA_SEED), self.setting.vocabulary,
                                self.setting.block_length).save_pretrained(partial)
        return AutoTokenizer.from_pretrained(folder)

    @cached_property
    def data(self) -> PreparedData:
        """Packed film reviews."""
        return prepare(self._data_spec, self.tokenizer, DATA_SEED, cache_dir())

    @property
    def _data_spec(self) -> DataSpec:
        return DataSpec(max_rows=self.setting.rows, block_length=self.setting.block_length)

    # ------------------------------------------------------------------------------------------ training

    def _distilled(self, name: str, teacher: Callable[[], Weights], number: int, steps: int) -> Trained:
        shape = self._dimensions(number)

        def begin() -> Weights:
            large = teacher()
            return resized(large, shape, layer_map("uniform", large.dimensions.layers, shape.layers))

        return self._trained(name, begin, steps, teacher=teacher)

    def _trained(self, name: str, begin: Callable[[], Weights], steps: int, *, teacher: Callable[[], Weights] | None = None,
                 seed: int | None = None, followed: bool = False, losses: LossSpec = REVERSE_KL, ends: tuple[int, ...] | None = None,
                 ) -> Trained:
        """Return the model of that name: from the cache, or trained now, on the text alone where it has no teacher.

        Args:
            followed: measure it on held-out text along the way.
            losses: under a teacher.
            ends: the teacher's block that each block is matched with, where `losses` matches hidden states.
        """
        if name not in self._found:
            folder = self._cache("model", self.setting.to_dict(), self.seed, name)
            if not folder.is_dir():
                signal = HARD_LABELS_ONLY if teacher is None else DistillationSetup(losses, LocalTeacher(teacher().model()), ends)
                self._train(folder, name, begin(), signal, steps, self.seed if seed is None else seed, followed)
            self._found[name] = read(folder)
        return self._found[name]

    def _train(self, folder: Path, name: str, begin: Weights, setup: DistillationSetup, steps: int, seed: int, followed: bool) -> None:
        model, watch = begin.model(), LossHistory(self.recorder)
        spec = TrainSpec(max_steps=steps, per_device_train_batch_size=self.setting.batch, device="cpu", precision="fp32", seed=seed,
                         learning_rate=self.setting.text_rate if setup.teacher is None else self.setting.distil_rate)
        held_out = {0: self._cross_entropy(model, "test")} if followed else {}

        def measure(step: int) -> dict[str, float]:
            held_out[step] = self._cross_entropy(model, "test")
            return {"eval/cross_entropy": held_out[step]}

        self._phase(f"Train {name} ({_words(begin.dimensions)}, seed {self.seed})", steps)
        with tempfile.TemporaryDirectory() as checkpoints:
            arguments = training_arguments(spec, Path(checkpoints), CPU, eval_steps=max(1, steps // EVALUATIONS) if followed else steps + 1)
            arguments.set_save(strategy="no")  # what is kept is kept at the end
            trainer = DistillationTrainer(model, setup, self.data.train, arguments, variant=STUDENT, recorder=watch, dtype=torch.float32,
                                          evaluate=measure)
            trainer.train_from(None)
        if trainer.state.global_step < steps:
            raise StopRequested
        if followed and steps not in held_out:
            measure(steps)
        write(folder, Trained(Weights.of(model, begin.origin), tuple(watch.losses), held_out))

    def _fresh(self, shape: Dimensions, seed: int) -> Weights:
        spec = ScratchSpec(layers=shape.layers, hidden=shape.hidden, heads=shape.heads, key_value_heads=shape.key_value_heads,
                         intermediate_size=shape.intermediate_size, vocabulary=self.setting.vocabulary, positions=self.setting.block_length)
        return Weights.of(student_from_scratch(spec, self.tokenizer, seed))

    def _dimensions(self, number: int) -> Dimensions:
        (layers, hidden), heads = self.setting.sizes[0], self.setting.sizes[0][1] // self.setting.head_size
        first = Dimensions(layers, hidden, heads, heads, self.setting.head_size, self.setting.feed_forward)
        layers, hidden = self.setting.sizes[number]
        return first.with_width(hidden, layers=layers)

    def _between(self, small: Dimensions, large: Dimensions) -> list[Dimensions]:
        return sorted((shape for shape in valid_shapes(small, large, self.sizer) if shape not in (small, large)), key=self.sizer)

    def _middle(self, small: Dimensions, large: Dimensions) -> Dimensions:
        # Shapes of models as small as these are few: the middle is the size that exists and is nearest to it.
        middle = (self.sizer(small) + self.sizer(large)) / 2
        nearest = min(map(self.sizer, self._between(small, large)), key=lambda count: abs(count - middle))
        return solve(nearest, small, large, self.sizer)

    # ------------------------------------------------------------------------------------------ small things

    def _cache(self, kind: str, *inputs: Any) -> Path:
        key = hashlib.sha256(json.dumps([FORMAT, versions(), *inputs], sort_keys=True).encode()).hexdigest()[:12]
        return cache_dir() / "claims" / f"chain-{kind}-{key}"

    def _phase(self, name: str, steps: int | None = None) -> None:
        self._raise_if_stopped()
        self.recorder.event(Phase(name, STUDENT, total_steps=steps))

    def _raise_if_stopped(self) -> None:
        if self.recorder.should_stop():
            raise StopRequested


def _words(shape: Dimensions) -> str:
    return f"{shape.layers} blocks of {shape.hidden} channels"
