"""Reading teachers that are interchangeable: a model that is loaded, and a chat server; an oracle writes its own text (`oracle`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from core.config import ReadingSpec
from core.config.reading import ORACLE
from core.errors import CompatibilityError, ModelError, NetworkError, about
from core.models import catalog, compatibility, weight_digests
from core.models.pypi import PACKAGES
from core.reading.answer_cache import Answer
from core.signals.chat_client import ChatClient

if TYPE_CHECKING:
    from core.models.entries import LoadedModel

Keep = Callable[[int, Answer], None]  # number of the prompt, its answer


class ReadingTeacher(Protocol):
    """Answers prompts."""

    name: str

    def require_room(self, prompts: Sequence[str]) -> None:
        """Raise CompatibilityError for a prompt that is too long, where that is known beforehand."""

    def start_from(self, prompt_tokens: int, answer_tokens: int) -> None:
        """Count what earlier calls used against the budget."""

    def answer(self, prompts: Sequence[str], keep: Keep, stop: Callable[[], bool]) -> bool:
        """Answer prompts in any order; `keep` gets each answer as it comes, in the thread of the caller. False where `stop` ended it."""


def identity_of(spec: ReadingSpec) -> str:
    """Return what a teacher's answers are kept under: its weights' digest, its package's release, or its name. Needs no torch."""
    if spec.model == ORACLE:
        return ORACLE
    if spec.address is not None:
        return f"server:{spec.address.model or spec.address.url}"
    if spec.model in PACKAGES:  # the same before and after it was fetched
        return f"package:{spec.model}-{PACKAGES[spec.model].version}"
    try:
        entry = catalog.describe(spec.model)
    except (ModelError, NetworkError):
        return f"model:{spec.model}"
    if entry.path is None or entry.kind == "hub":
        return f"model:{spec.model}"
    if entry.path.is_dir():
        return f"model:{weight_digests.weights_hash(entry.path)}"
    stat = entry.path.stat()
    return f"file:{entry.path.name}-{stat.st_size}-{stat.st_mtime_ns}"


def reading_teacher(spec: ReadingSpec, load: Callable[..., LoadedModel], device: str = "auto") -> ReadingTeacher:
    """Return the teacher of a recipe, ready to answer.

    Raises:
        ModelError, CompatibilityError: a model that cannot be loaded, or writes no text.
        TeacherServerError: a server that cannot be reached, refuses, or has no such model.
    """
    if spec.address is not None:
        client = ChatClient(spec.address, spec.server)
        client.choose_model()
        return ChatTeacher(client, spec)
    from core.system.devices import resolve_device

    loaded = load(spec.model, device=resolve_device(device))
    with about("reading.model"):
        compatibility.require_language_model(loaded.entry)
        if loaded.entry.task != "causal":
            raise CompatibilityError(f"'{spec.model}' predicts masked tokens and writes no notes.", "A causal language model was expected.",
                                     "Choose one, as smollm2-135m-instruct.")
    return LocalTeacher(loaded, spec)


class LocalTeacher:
    """A causal language model that continues few-shot prompts greedily, to the end of the line; prompts of like length share a batch."""

    def __init__(self, loaded: LoadedModel, spec: ReadingSpec) -> None:
        self.name, self._loaded, self._spec = loaded.entry.name, loaded, spec

    def require_room(self, prompts: Sequence[str]) -> None:
        """Raise CompatibilityError for a prompt that leaves no room for an answer."""
        self._encoded(prompts)

    def start_from(self, prompt_tokens: int, answer_tokens: int) -> None:
        """Nothing is billed."""

    def answer(self, prompts: Sequence[str], keep: Keep, stop: Callable[[], bool]) -> bool:
        """Answer prompts, a batch at a time."""
        import torch

        from core.generation.batched import Candidates, generate_batch
        from core.models.vocabulary import decode_text

        model, tokenizer, spec = self._loaded.model, self._loaded.tokenizer, self._spec
        encoded, ends = self._encoded(prompts), line_ends(tokenizer)
        for start in range(0, len(prompts), spec.batch_size):  # in order: a reader watches the text from its beginning
            batch = range(start, min(start + spec.batch_size, len(prompts)))
            answers = generate_batch(model, tokenizer, [encoded[number] for number in batch], max_new_tokens=spec.max_new_tokens,
                                     candidates=Candidates(0.0, 1, 1.0), generator=torch.Generator(), stop=stop, end_ids=ends)
            if answers is None:
                return False
            for number, ids in zip(batch, answers, strict=True):
                keep(number, Answer(decode_text(tokenizer, ids, skip_special_tokens=True).strip(), len(ids) < spec.max_new_tokens,
                                    len(encoded[number]), len(ids)))
        return True

    def _encoded(self, prompts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of prompts. Raises CompatibilityError where the longest leaves no room for an answer."""
        from core.data.conversation import context_length
        from core.data.prepare import text_edges

        tokenizer = self._loaded.tokenizer
        begin, _ = text_edges(tokenizer)
        room = context_length(self._loaded.model) - self._spec.max_new_tokens
        encoded = [([] if begin is None else [begin]) + tokenizer(prompt, add_special_tokens=False).input_ids for prompt in prompts]
        longest = max(map(len, encoded))
        if longest > room:
            raise CompatibilityError(f"A prompt with its sentence takes {longest} tokens of '{self.name}'.", f"It reads {room} beside an "
                                     "answer.",
                                     "Shorten the prompts or reading.longest.", field="reading.entity_prompt")
        return encoded


def line_ends(tokenizer: Any) -> set[int]:
    """Return the tokens that hold a line end."""
    return {token for token in range(len(tokenizer)) if "\n" in tokenizer.decode([token])}


class ChatTeacher:
    """A model behind a chat server."""

    def __init__(self, client: ChatClient, spec: ReadingSpec) -> None:
        self.name, self.client, self._spec = client.address.name, client, spec

    def require_room(self, prompts: Sequence[str]) -> None:
        """Leave it to the server, which knows its context."""

    def start_from(self, prompt_tokens: int, answer_tokens: int) -> None:
        """Count what earlier calls used against the budget."""
        self.client.prompt_tokens, self.client.answer_tokens = prompt_tokens, answer_tokens

    def answer(self, prompts: Sequence[str], keep: Keep, stop: Callable[[], bool]) -> bool:
        """Answer prompts, several at once."""
        return self.client.complete(prompts, self._spec.max_new_tokens, lambda number, found: keep(
            number, Answer(found.text, found.whole, found.prompt_tokens, found.answer_tokens)), stop)
