"""The claim about the bridge between vocabularies (2605.07783): a proxy that read what a teacher wrote writes more like it.

SmolLM2-135M-Instruct (Llama, 49,152 tokens) writes about films; the house chat model, whose vocabulary is another, is trained on
its texts and measured on texts that were held out.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.recorder import Recorder
from core.studies.claims.claim import Claim, Figure, Numbers, ProtocolConfig, Source
from core.studies.claims.rules import above, every
from core.system.paths import ASSETS

if TYPE_CHECKING:
    from core.config import ExperimentConfig

RECIPE = ASSETS / "recipes" / "house-bridge.yaml"


@dataclass(frozen=True)
class BridgeProtocolConfig(ProtocolConfig):
    """Sizes of the claim.

    Attributes:
        texts: that the teacher writes, once for all seeds.
        steps: optimiser steps of the proxy.
        answers: held-out prompts that the proxy answers for Rouge-L.
        answer_tokens: longest answer, in the proxy's vocabulary.
    """

    texts: int = 3000
    steps: int = 150
    answers: int = 64
    answer_tokens: int = 64


def across_vocabularies(seed: int, setting: BridgeProtocolConfig, recorder: Recorder) -> Numbers:
    """Measure C8: CE on the teacher's held-out texts and Rouge-L of greedy answers against the teacher's, before and after."""
    from core.config import BridgeConfig
    from core.methods.bridge import write_texts
    from core.methods.distillation import distill
    from core.recipes import read_recipe
    from core.system.paths import cache_dir

    recipe = read_recipe(RECIPE, [f"bridge.texts={setting.texts}", f"train.max_steps={setting.steps}", "evaluation.sentiment_items=0",
                                  "evaluation.prompts=[]", f"evaluation.eval_steps={setting.steps}", "evaluation.min_evaluations=1"])
    assert isinstance(recipe, BridgeConfig) and recipe.student.model is not None, f"{RECIPE} is a recipe of the bridge"
    # The same texts for every seed: the seed is that of the training.
    corpus = write_texts(recipe.bridge, recorder, cache_dir(), seed=recipe.train.seed)
    config = recipe.model_copy(update={
        "data": recipe.data.model_copy(update={"source": str(corpus.path)}),
        "train": recipe.train.model_copy(update={"seed": seed})})
    with tempfile.TemporaryDirectory() as folder:
        report = distill(config, recorder, Path(folder))
        before, after = (measured["cross_entropy"] for measured in (report.student_before, report.student_after))
        rouge = {who: _rouge(reference, config, setting) for who, reference in (
            ("before", recipe.student.model), ("after", str(Path(folder) / "student")))}
    return {"gain": before - after, "rouge_gain": rouge["after"] - rouge["before"], "before": before, "after": after,
            "rouge_before": rouge["before"], "rouge_after": rouge["after"], "texts": corpus.kept}


def _rouge(reference: str, config: ExperimentConfig, setting: BridgeProtocolConfig) -> float:
    """Return the mean Rouge-L of a model's greedy answers to held-out prompts, against the teacher's own answers."""
    import torch

    from core.data.conversation import encode
    from core.data.prepare import rows
    from core.generation.batched import Candidates, generate_batch
    from core.models import catalog
    from core.models.vocabulary import decode_text

    loaded = catalog.load(reference, dtype=torch.float32)
    pairs = [(row["messages"][0]["content"], row["messages"][1]["content"])
             for row, _ in zip(rows(config.data, "validation", 0), range(setting.answers), strict=False)]
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


CLAIMS = (
    Claim(
        "C8", "A bridge between vocabularies", "Chain of anchors",
        "A proxy that is fine-tuned on a teacher's answers carries that teacher into a chain of another vocabulary.",
        "138M, mean of generation tasks: 14.11 and 14.32 through the bridge (Llama3-8B, Qwen3-4B), 12.97 without (Rouge-L)",
        Source("2605.07783", "bridge distillation, equation 2"),
        "CE of the proxy on held-out texts of the teacher, and Rouge-L of its greedy answers against the teacher's, before and after "
        "reading the others. The teacher is SmolLM2-135M-Instruct, the proxy the house chat model.",
        (Figure("gain", "CE before - CE after", "nats/token"), Figure("rouge_gain", "Rouge-L after - before"),
         Figure("before", "CE before", "nats/token"), Figure("after", "CE after", "nats/token"),
         Figure("rouge_before", "Rouge-L before"), Figure("rouge_after", "Rouge-L after"), Figure("texts", "texts kept of the teacher")),
        every(above("gain"), above("rouge_gain")), BridgeProtocolConfig(), 300, across_vocabularies,
        ("Prompts are drawn from one set of templates: held-out texts answer like questions, and duplicates are left out.",
         "The teacher's texts are the same for every seed; seeds differ in the order in which the proxy reads them."),
        published_unit="Rouge-L"),
)
