"""The bridge between vocabularies (2605.07783, equation 2): a teacher writes, a proxy learns from what it wrote.

    L = E_{x, y ~ teacher} [ -log P_proxy(y | x) ]

Distributions over different vocabularies cannot be compared position by position, but text can be read by anybody: sequence-
level distillation (SeqKD, 1606.07947). The proxy, "anchor zero", then speaks the chain's vocabulary and teaches the chain below it.

The texts are kept as JSON lines in the cache, one conversation a line, under a name made from everything that they depend on.
Writing resumes where it was interrupted, and is never repeated.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from core.config import BridgeConfig, BridgeSpec
from core.data import movie_reviews, sources
from core.data.conversation import context_length, encode
from core.errors import DataError, ModelNotFoundError
from core.events import BridgeCorpus, Phase, WritingTexts
from core.generation.batched import Candidates, generate_batch
from core.methods.distillation import distill
from core.methods.rehearsal import rehearse_saving
from core.methods.room import require_room, run_bytes
from core.methods.run_folder import RunFolder
from core.methods.steps import Load
from core.models import catalog, compatibility
from core.models.entries import LoadedModel, ModelEntry
from core.models.header import precision_of
from core.models.loading import tokenizer_from_pretrained
from core.models.vocabulary import decode_text
from core.recorder import STUDENT, Recorder, StopRequested, stop_if_requested
from core.reports.run_report import RunReport, StudentSummary
from core.system.devices import resolve_device
from core.system.files import unique_suffix
from core.system.locks import alone
from core.system.paths import cache_dir
from core.training.trackers import require_trackers

SHORTEST = 3  # words; a shorter answer says nothing
REPEATED = 4  # words in a row; an answer of which a third or more repeats such a run is left out
LARGEST_SHARE = 1 / 3
HOUSE_REQUESTS = ("Write a {label} review of a film in one sentence.",
                  "In one sentence, say something {label} about the {subject} of a film.",
                  "Give a {label} opinion of a {genre} film, in one sentence.", "Describe a {genre} film in one sentence.",
                  "Write one {label} sentence about the {subject} of a {genre} film.")
LABELS = ("positive", "negative")
SUBJECTS = ("acting", "plot", "ending", "music", "dialogue", "characters", "direction", "humour", "story", "pace", "photography", "script")
GENRES = ("horror", "comedy", "drama", "romantic", "war", "science fiction", "crime", "family", "action", "documentary", "animated",
          "western")


@dataclass(frozen=True, slots=True)
class SyntheticCorpus:
    """What a teacher wrote.

    Attributes:
        path: JSON lines; a data source of conversations.
        kept: texts that can be learnt from.
        left_out: reason (empty, repetitive, duplicate) -> texts.
    """

    path: Path
    kept: int
    left_out: dict[str, int]


def bridge_distill(config: BridgeConfig, recorder: Recorder, directory: Path, *, load: Load = catalog.load,
                   command: str = "") -> RunReport:
    """Let the teacher write texts, then train ``student.model`` on them; or resume either.

    Args:
        config: with its section ``bridge``; its data are the texts, whatever ``data.source`` says.
        recorder, directory, load, command: as in `core.methods.distillation.distill`, whose report this returns.

    Raises:
        StopRequested: with the report of what is known so far; while texts are written without ``data`` and ``retention``.
        StillhouseError: as `write_texts` and `core.methods.distillation.distill`.
    """
    folder = RunFolder(directory)
    proxy = config.student.model
    assert proxy is not None, "BridgeConfig refuses others"
    entry = _causal_lm(proxy, load)
    require_trackers(config.train.report_to)
    _rehearse(config, folder, entry)
    with folder.stop_reported(lambda: _report(config, folder, command)):
        corpus = write_texts(config.bridge, recorder, cache_dir(), seed=config.train.seed, device=config.train.device, load=load)
    recorder.event(BridgeCorpus(corpus.kept, corpus.left_out))
    data = config.data.model_copy(update={"source": str(corpus.path)})
    return distill(config.model_copy(update={"data": data}), recorder, directory, load=load, command=command)


def _report(config: BridgeConfig, folder: RunFolder, command: str) -> RunReport:
    """Return the report of a run that was stopped while its texts were written."""
    return RunReport(str(folder.path / STUDENT), teacher=None, student=StudentSummary(config.name or STUDENT), metrics={}, data=None,
                     seconds=0.0, tokens=0, tokens_per_second=0.0, stopped=True, command=command)


def _causal_lm(proxy: str, load: Load) -> ModelEntry:
    """Return the proxy's description; one that cannot learn the next token is refused before anything is written for it."""
    try:
        entry = catalog.describe(proxy)
    except ModelNotFoundError:  # a run's model, which only `load` knows
        entry = load(proxy).entry
    return compatibility.require_causal_lm(entry, "bridge")


def _rehearse(config: BridgeConfig, folder: RunFolder, proxy: ModelEntry) -> None:
    """Try what comes after the texts, as far as the proxy's files show: writing takes hours."""
    compatibility.require_block_length_fits(config.data, proxy.context)
    compatibility.require_settings_for(config, "causal")
    adapters = config.student.lora is not None
    require_room(folder.path, run_bytes(proxy.parameters, 0 if adapters else proxy.parameters, adapters=adapters, variants=1,
                                        precision=precision_of(config.train.save_precision, proxy.header)), within=folder.path)
    if proxy.path is not None and proxy.path.is_dir():
        compatibility.require_tokenizer_rows(proxy)
        rehearse_saving(folder.path, tokenizer_from_pretrained(proxy.path))


def write_texts(spec: BridgeSpec, recorder: Recorder, cache: Path, *, seed: int, device: str = "auto",
                load: Load = catalog.load) -> SyntheticCorpus:
    """Let the teacher answer its prompts, or resume it.

    Args:
        cache: where the texts are kept.

    Raises:
        StopRequested: what is written is kept.
        CompatibilityError: a teacher that does not write, or has no chat template.
        DataError: a source without prompts, or a teacher that wrote nothing to learn from.
    """
    cache.mkdir(parents=True, exist_ok=True)
    raw = cache / f"bridge-{_key(spec, seed)}.raw.jsonl"
    with alone(raw.with_suffix(".lock"), partial(stop_if_requested, recorder)):  # another run may want the same texts
        if _lines_of(raw) < spec.texts:
            prompts = list(_prompts(spec, seed))
            if _resumed(raw, len(prompts), spec.batch_size) < len(prompts):
                recorder.event(Phase("load bridge teacher"))
                teacher = load(spec.model, device=resolve_device(device))
                compatibility.require_causal_lm(teacher.entry, "bridge")
                if not teacher.tokenizer.chat_template:
                    raise compatibility.no_chat_template_error(spec.model)
                _write(spec, teacher, prompts, raw, recorder, seed)
        return _filtered(raw, raw.with_suffix("").with_suffix(".jsonl"), spec)


@dataclass
class _QualityFilter:
    """Leaves out what teaches nothing: the empty, the repetitive, the same again; answers cut off end at their last sentence."""

    kept: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    seen: set[str] = field(default_factory=set)

    def take(self, line: str) -> None:
        """One line as the teacher left it."""
        row = json.loads(line)
        answer = row["answer"] if row["whole"] else _whole_sentences(row["answer"])
        reason = reason_to_leave_out(answer, self.seen)
        if reason:
            self.left_out[reason] += 1
        else:
            self.seen.add(answer.lower())
            self.kept.append(json.dumps({"messages": movie_reviews.conversation(row["prompt"], answer)}, ensure_ascii=False))


def _write(spec: BridgeSpec, teacher: LoadedModel, prompts: Sequence[str], raw: Path, recorder: Recorder, seed: int) -> None:
    quality_filter = _QualityFilter()
    for line in _lines(raw) if raw.is_file() else ():
        quality_filter.take(line)
    done = sum(quality_filter.left_out.values()) + len(quality_filter.kept)
    _log_progress(recorder, quality_filter, done, len(prompts))
    candidates = Candidates(spec.sampling_temperature, spec.top_k, spec.top_p)
    room = context_length(teacher.model) - spec.max_new_tokens
    with raw.open("a", encoding="utf-8") as file:
        for start in range(done, len(prompts), spec.batch_size):
            batch = prompts[start:start + spec.batch_size]
            ids = [encode(teacher.tokenizer, movie_reviews.conversation(prompt))[-room:] for prompt in batch]
            # A seed of its own for each batch: where writing was interrupted makes no difference.
            generator = torch.Generator().manual_seed(seed * 1_000_003 + start)
            answers = generate_batch(teacher.model, teacher.tokenizer, ids, max_new_tokens=spec.max_new_tokens, candidates=candidates,
                                     generator=generator, stop=recorder.should_stop)
            if answers is None:
                raise StopRequested
            for prompt, answer in zip(batch, answers, strict=True):
                text = decode_text(teacher.tokenizer, answer, skip_special_tokens=True).strip()
                whole = len(answer) < spec.max_new_tokens
                line = json.dumps({"prompt": prompt, "answer": text, "whole": whole}, ensure_ascii=False)
                file.write(f"{line}\n")
                quality_filter.take(line)
            file.flush()
            _log_progress(recorder, quality_filter, start + len(batch), len(prompts))


def _log_progress(recorder: Recorder, quality_filter: _QualityFilter, done: int, texts: int) -> None:
    recorder.event(WritingTexts(done=done, texts=texts, kept=len(quality_filter.kept), left_out=dict(quality_filter.left_out)))


def _prompts(spec: BridgeSpec, seed: int) -> Iterator[str]:
    if spec.prompts == movie_reviews.HOUSE:
        rng = random.Random(f"bridge/{seed}")
        for _ in range(spec.texts):
            yield rng.choice(HOUSE_REQUESTS).format(label=rng.choice(LABELS), subject=rng.choice(SUBJECTS), genre=rng.choice(GENRES))
        return
    count = 0
    for row in sources.rows(sources.prompts(spec.prompts), "train"):
        prompt = row.get("prompt") or next((each["content"] for each in row.get("messages", ()) if each["role"] == "user"), None)
        prompt = prompt or row.get("text")
        if prompt and count < spec.texts:
            count += 1
            yield prompt
    if not count:
        raise DataError(f"'{spec.prompts}' holds no prompts.", "Rows with a prompt, messages or text were expected.",
                        "Choose another file.", field="bridge.prompts")


def _filtered(raw: Path, target: Path, spec: BridgeSpec) -> SyntheticCorpus:
    """Everything that was written, without what teaches nothing."""
    quality_filter = _QualityFilter()
    for line in _lines(raw)[:spec.texts]:
        quality_filter.take(line)
    if not quality_filter.kept:
        raise DataError(f"Of {spec.texts} texts of '{spec.model}' none can be learnt from.", f"Left out: {dict(quality_filter.left_out)}.",
                        "Choose another teacher, or a higher bridge.sampling_temperature.", field="bridge.sampling_temperature")
    text = "\n".join(quality_filter.kept) + "\n"
    if not target.is_file() or target.read_text(encoding="utf-8") != text:  # a run may be reading it
        partial_file = target.with_suffix(f".{unique_suffix()}.partial")
        partial_file.write_text(text, encoding="utf-8")
        os.replace(partial_file, target)
    return SyntheticCorpus(target, len(quality_filter.kept), dict(quality_filter.left_out))


def _lines(raw: Path) -> list[str]:
    """One JSON document a line; texts may hold other signs that end lines, which JSON leaves as they are."""
    return raw.read_text(encoding="utf-8").split("\n")[:-1]


def reason_to_leave_out(answer: str, seen: set[str]) -> str | None:
    """``empty``, ``repetitive`` or ``duplicate``; None for an answer to learn from.

    Args:
        seen: lower-case answers that were kept before.
    """
    words = answer.lower().split()
    if len(words) < SHORTEST:
        return "empty"
    runs = [tuple(words[start:start + REPEATED]) for start in range(len(words) - REPEATED + 1)]
    if runs and 1 - len(set(runs)) / len(runs) >= LARGEST_SHARE:
        return "repetitive"
    return "duplicate" if answer.lower() in seen else None


def _whole_sentences(text: str) -> str:
    parts = movie_reviews.sentences(text)
    return " ".join(parts if text.endswith((".", "!", "?")) else parts[:-1])


def _lines_of(raw: Path) -> int:
    """Return how many lines were written to their end."""
    return raw.read_bytes().count(b"\n") if raw.is_file() else 0


def _resumed(raw: Path, texts: int, batch_size: int) -> int:
    """Return how many texts are there; what a killed process left of a batch, which is drawn with one seed, is cut off.

    Args:
        texts: in all.
    """
    done = _lines_of(raw)
    whole = done if done >= texts else done // batch_size * batch_size
    if raw.is_file():
        lines = raw.read_bytes().split(b"\n")[:whole]
        os.truncate(raw, sum(len(line) + 1 for line in lines))
    return whole


def _key(spec: BridgeSpec, seed: int) -> str:
    payload: dict[str, Any] = {"spec": spec.model_dump(mode="json"), "seed": seed, "requests": (HOUSE_REQUESTS, LABELS, SUBJECTS, GENRES)}
    return hashlib.sha256(json.dumps(payload, sort_keys=True).encode()).hexdigest()[:12]
