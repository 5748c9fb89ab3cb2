"""The claim about the bridge between vocabularies (2605.07783): what a proxy read of a teacher's texts shows in it and below it.

SmolLM2-135M-Instruct (Llama, 49,152 tokens) writes about films; the house chat model, whose vocabulary is another, is trained on
its texts and measured on texts that were held out. Two controls start from the same model: as it is, and after as much *other text*,
the same questions with excerpts of film reviews in place of the answers, and as long. Each of the three heads a chain of two anchors,
and the size between them is measured too.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.recorder import Recorder, stop_if_requested
from core.studies.claims.claim import Claim, Figure, Numbers, ProtocolConfig, Source
from core.studies.claims.rules import above, every
from core.system.paths import ASSETS, cache_dir

if TYPE_CHECKING:
    from core.config import DistillConfig

BRIDGE, CHAIN = ASSETS / "recipes" / "house-bridge.yaml", ASSETS / "recipes" / "quickstart.yaml"
HEADS = ("bridged", "other", "before")


@dataclass(frozen=True)
class BridgeProtocolConfig(ProtocolConfig):
    """Sizes of the claim.

    Attributes:
        proxy: the model of another vocabulary that reads.
        texts: that the teacher writes, once for all seeds.
        steps: optimiser steps of the proxy.
        chain_steps, small_layers: of the anchor below each head.
        blocks: held-out blocks of the teacher's texts.
        answers: held-out prompts that the proxy answers for Rouge-L.
        answer_tokens: longest answer, in the proxy's vocabulary.
    """

    proxy: str = "house-chat"
    texts: int = 3000
    steps: int = 150
    chain_steps: int = 150
    small_layers: int = 4
    blocks: int = 32
    answers: int = 64
    answer_tokens: int = 64


def across_vocabularies(seed: int, setting: BridgeProtocolConfig, recorder: Recorder) -> Numbers:
    """Measure C8: CE on the teacher's held-out texts and Rouge-L against its answers, of each head and of the size made below it."""
    texts, kept = _written(setting, recorder)
    numbers: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, head in (("before", setting.proxy), *((name, _reads(name, texts if name == "bridged" else _other(texts), seed, setting,
                                                                      recorder, Path(folder) / name)) for name in ("bridged", "other"))):
            stop_if_requested(recorder)
            numbers |= {name: _cross_entropy(head, texts, setting), f"rouge_{name}": _rouge(head, texts, setting),
                        f"made_{name}": _made(head, texts, seed, setting, recorder, Path(folder) / f"{name}-chain")}
    return {"gain": numbers["other"] - numbers["bridged"], "rouge_gain": numbers["rouge_bridged"] - numbers["rouge_other"],
            "made_gain": numbers["made_other"] - numbers["made_bridged"], "gain_over_before": numbers["before"] - numbers["bridged"],
            "made_gain_over_before": numbers["made_before"] - numbers["made_bridged"], **numbers, "texts": kept}


def _bridge(setting: BridgeProtocolConfig, texts: Path | None = None, seed: int | None = None) -> Any:
    from core.recipes import read_recipe

    recipe = read_recipe(BRIDGE, [
        f"bridge.texts={setting.texts}", f"student.model={setting.proxy}", f"train.max_steps={setting.steps}",
         "evaluation.sentiment_items=0",
        "evaluation.prompts=[]", f"evaluation.eval_steps={setting.steps}", "evaluation.min_evaluations=1"])
    data = recipe.data if texts is None else recipe.data.model_copy(update={"source": str(texts)})
    train = recipe.train if seed is None else recipe.train.model_copy(update={"seed": seed})
    return recipe.model_copy(update={"data": data, "train": train})


def _written(setting: BridgeProtocolConfig, recorder: Recorder) -> tuple[Path, int]:
    """Return the file of the teacher's texts and how many they are; the same for every seed: the seed is that of the training."""
    from core.methods.bridge import write_texts

    recipe = _bridge(setting)
    corpus = write_texts(recipe.bridge, recorder, cache_dir(), seed=recipe.train.seed)
    return corpus.path, corpus.kept


def _other(texts: Path) -> Path:
    """Return a file of the same questions with as many words of film reviews in place of each answer."""
    path = cache_dir() / "claims" / f"other-{hashlib.sha256(texts.read_bytes()).hexdigest()[:12]}.jsonl"
    if not path.is_file():
        words = _review_words()
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = []
        for line in texts.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            question, answer = row["messages"][0], row["messages"][1]
            excerpt = " ".join(next(words) for _ in answer["content"].split())
            lines.append(json.dumps({**row, "messages": [question, {**answer, "content": excerpt}]}, ensure_ascii=False) + "\n")
        partial = path.with_suffix(".part")
        partial.write_text("".join(lines), encoding="utf-8")
        partial.replace(path)
    return path


def _review_words() -> Iterator[str]:
    from core.data import movie_reviews

    while True:
        for row in movie_reviews.texts("train", seed=0, limit=None):
            yield from row["text"].split()


def _reads(name: str, texts: Path, seed: int, setting: BridgeProtocolConfig, recorder: Recorder, folder: Path) -> str:
    """Return the proxy after it read a file, as a folder."""
    from core.methods.distillation import distill

    distill(_bridge(setting, texts, seed), recorder, folder)
    return str(folder / "student")


def _below(head: str, texts: Path, seed: int, setting: BridgeProtocolConfig) -> DistillConfig:
    """Return the recipe of the anchor below a head: some of its blocks, reverse KL alone, on the teacher's questions and answers."""
    from core.config import DistillConfig
    from core.recipes import read_recipe

    steps = setting.chain_steps
    recipe = read_recipe(CHAIN, [
        f"teacher.model={head}", f"student.layers={setting.small_layers}", "losses.w_hard=0", "losses.divergence=reverse_kl",
        "losses.temperature=1", f"data.source={texts}", "data.max_rows=null", "data.label_weight=1", f"train.max_steps={steps}",
        f"train.seed={seed}", f"evaluation.eval_steps={steps}", "evaluation.min_evaluations=1", "evaluation.sentiment_items=0",
        "evaluation.prompts=[]", "control=false"])
    assert isinstance(recipe, DistillConfig), f"{CHAIN} distils"
    return recipe


def _made(head: str, texts: Path, seed: int, setting: BridgeProtocolConfig, recorder: Recorder, folder: Path) -> float:
    """Return the CE of the size in the middle between a head and the anchor below it, by equation 3 at the default alpha."""
    import torch

    from core.chains.interpolation import AnchorPair, interpolate
    from core.methods.distillation import distill
    from core.models import catalog
    from core.students.layer_maps import student_map
    from core.students.resizing import Weights

    recipe = _below(head, texts, seed, setting)
    distill(recipe, recorder, folder)
    large = Weights.of(catalog.load(head, dtype=torch.float32).model)
    origin = student_map(recipe.student, large.dimensions.layers)
    small = Weights.of(catalog.load(str(folder / "student"), dtype=torch.float32).model, origin)
    middle = replace(large.dimensions, layers=(large.dimensions.layers + small.dimensions.layers) // 2)
    return _loss(interpolate(AnchorPair(small, large), middle, 0.5).model(), catalog.load(head).tokenizer, texts, setting)


def _cross_entropy(reference: str, texts: Path, setting: BridgeProtocolConfig) -> float:
    import torch

    from core.models import catalog

    loaded = catalog.load(reference, dtype=torch.float32)
    return _loss(loaded.model, loaded.tokenizer, texts, setting)


def _loss(model: Any, tokenizer: Any, texts: Path, setting: BridgeProtocolConfig) -> float:
    """Return the CE of the answers among the held-out texts, nats per token."""
    from core.data.prepare import held_out_blocks
    from core.evaluation.language import evaluate_language

    blocks = held_out_blocks(_bridge(setting, texts).data, tokenizer).take(setting.blocks)
    return evaluate_language(model, blocks, tokenizer=tokenizer, batch_size=8, device="cpu")["cross_entropy"]


def _rouge(reference: str, texts: Path, setting: BridgeProtocolConfig) -> float:
    """Return the mean Rouge-L of a model's greedy answers to held-out prompts, against the teacher's own answers."""
    import torch

    from core.data.conversation import encode
    from core.data.prepare import rows
    from core.generation.batched import Candidates, generate_batch
    from core.models import catalog
    from core.models.vocabulary import decode_text

    loaded = catalog.load(reference, dtype=torch.float32)
    pairs = [(row["messages"][0]["content"], row["messages"][1]["content"])
             for row, _ in zip(rows(_bridge(setting, texts).data, "validation", 0), range(setting.answers), strict=False)]
    prompts = [encode(loaded.tokenizer, [{"role": "user", "content": question}]) for question, _ in pairs]
    answers = generate_batch(loaded.model, loaded.tokenizer, prompts, max_new_tokens=setting.answer_tokens,
                             candidates=Candidates(0.0, 1, 1.0), generator=torch.Generator())
    assert answers is not None, "nothing stops the batch"
    written = [decode_text(loaded.tokenizer, answer, skip_special_tokens=True) for answer in answers]
    return sum(rouge_l(mine, theirs) for mine, (_, theirs) in zip(written, pairs, strict=True)) / len(pairs)


def rouge_l(candidate: str, reference: str) -> float:
    """Return the F-measure of the longest common subsequence of words, 0 to 1 (Lin 2004, Rouge-L; precision and recall weigh the same).

        P = LCS / words of the candidate        R = LCS / words of the reference        F = 2 P R / (P + R)
    """
    mine, theirs = candidate.lower().split(), reference.lower().split()
    row = [0] * (len(theirs) + 1)
    for word in mine:
        diagonal = 0
        for place, other in enumerate(theirs, 1):
            diagonal, row[place] = row[place], diagonal + 1 if word == other else max(row[place], row[place - 1])
    common: Any = row[-1]
    return 2 * common / (len(mine) + len(theirs)) if common else 0.0


NATS = "nats/token"
HEAD_WORDS = {"bridged": "after the teacher's texts", "other": "after other text", "before": "before"}

CLAIMS = (
    Claim(
        "C8", "A bridge between vocabularies", "Chain of anchors",
        "A proxy that is fine-tuned on a teacher's answers carries that teacher into a chain of another vocabulary.",
        "138M, mean of generation tasks: 14.11 and 14.32 through the bridge (Llama3-8B, Qwen3-4B), 12.97 without (Rouge-L)",
        Source("2605.07783", "bridge distillation, equation 2"),
        "On held-out texts of the teacher, after as many steps: CE of the proxy that read other text - CE of the one that read the "
        "teacher's, "
        "Rouge-L of their greedy answers against the teacher's the other way round, and CE of the size in the middle of a chain of two "
        "that "
        "each heads. The teacher is SmolLM2-135M-Instruct, the proxy the house chat model.",
        (Figure("gain", "CE after other text - CE after the teacher's", NATS),
         Figure("rouge_gain", "Rouge-L after the teacher's texts - after other text"),
         Figure("made_gain", "CE of the made size, chain of other text - of the teacher's", NATS),
         Figure("gain_over_before", "CE before - CE after the teacher's texts", NATS),
         Figure("made_gain_over_before", "CE of the made size, chain of the proxy before - of the teacher's texts", NATS),
         *(Figure(head, f"CE, {HEAD_WORDS[head]}", NATS) for head in HEADS),
         *(Figure(f"rouge_{head}", f"Rouge-L, {HEAD_WORDS[head]}") for head in HEADS),
         *(Figure(f"made_{head}", f"CE of the made size, {HEAD_WORDS[head]}", NATS) for head in HEADS),
         Figure("texts", "texts kept of the teacher")),
        every(above("gain"), above("rouge_gain"), above("made_gain")), BridgeProtocolConfig(), 300, across_vocabularies,
        ("Prompts are drawn from one set of templates: held-out texts answer like questions, and duplicates are left out.",
         "The teacher's texts are the same for every seed; seeds differ in the order in which the proxy reads them.",
         "The chain below each head learns on the teacher's questions and answers, from the head's distribution alone."), version=2,
        reasons=("There was no control that reads as much other text, and no chain was headed.",), published_unit="Rouge-L",
        power="Gains spread by 0.002 nats and 0.006 of Rouge-L in version 1: three seeds tell 0.005 and 0.015."),
)
