"""Basic Reading Distillation: whose notes on which text a student is trained on, and what it is examined with."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from core.config.addresses import ServedAddress, is_address, parse_address
from core.config.base import MAX_BATCH, MAX_COUNT, MAX_FACTOR, MAX_LISTED, MAX_POSITIONS, Config, InvalidValueError, as_tuple
from core.errors import ConfigError, SetField

ORACLE = "oracle"
SENTENCE = "{sentence}"  # stands for the sentence in a prompt
ORACLE_TASKS = ("answers", "yes_no", "entailment", "typing", "sentiment")
HOUSE_TASK = "house-sentiment"

ENTITY_PROMPT = """List every named entity in the sentence with its type and a short note. Write "none" where there is none.

Sentence: Anna Bell moved from Leeds to Porto in May.
Entities: Anna Bell (person): moved in May; Leeds (place): where she lived; Porto (place): where she moved

Sentence: The soup was cold again.
Entities: none

Sentence: Kestrel Films bought The Glass Orchard for two million.
Entities: Kestrel Films (company): buyer; The Glass Orchard (film): what was bought

Sentence: {sentence}
Entities:"""

QUESTION_PROMPT = """Write one question about the sentence whose answer is in the sentence, then answer it with words from the sentence.

Sentence: Anna Bell moved from Leeds to Porto in May.
Question: Where did Anna Bell move to? Answer: Porto

Sentence: The soup was cold again.
Question: How was the soup? Answer: cold

Sentence: Kestrel Films bought The Glass Orchard for two million.
Question: Who bought The Glass Orchard? Answer: Kestrel Films

Sentence: {sentence}
Question:"""


class ChatServerSpec(Config):
    """How a reading teacher at an address is queried. Its key is in the environment (STILLHOUSE_TEACHER_KEY), never in a recipe."""

    concurrency: int = Field(8, ge=1, le=256, description="requests; that are open at once")
    timeout: float = Field(120.0, gt=0, le=MAX_FACTOR, description="seconds; that an answer may take before it is requested again")
    patience: float = Field(600.0, ge=0, le=MAX_FACTOR, description=(
        "seconds; that a run waits for a server that does not answer, or is busy, before it ends; it can be resumed then"))
    requests_per_minute: float | None = Field(None, gt=0, le=MAX_FACTOR, description=(
        "requests; most that are sent in a minute (default: any)"))
    budget: int | None = Field(None, ge=1, le=MAX_COUNT, description=(
        "tokens; of prompts and answers together, most that an annotation may use in all, over all its calls (default: any)"))
    budget_money: float | None = Field(None, gt=0, le=MAX_FACTOR, description=(
        "money; most that an annotation may cost in all, in the currency of the prices (default: any)"))
    price_prompt: float = Field(0.0, ge=0, le=MAX_FACTOR, description="money; price of a million tokens of prompts")
    price_answer: float = Field(0.0, ge=0, le=MAX_FACTOR, description="money; price of a million tokens of answers")

    @model_validator(mode="after")
    def _priced(self) -> ChatServerSpec:
        if self.budget_money is not None and not self.price_prompt + self.price_answer:
            raise InvalidValueError("a budget of money needs prices: set price_prompt and price_answer to those of a million tokens",
                                    "reading.server.price_prompt")
        return self


class ReadingSpec(Config):
    """Notes of a reading teacher on plain text, and the streams that they become (Basic Reading Distillation).

    What no published text says of the method is an option here: mixing ratio, separator, where the loss counts, packing.
    """

    model: str = Field(ORACLE, min_length=1, description=(
        "reading teacher; 'oracle' (exact notes on templated text that it also writes, in place of data.source), a model reference with a "
        "chat template or none, or the address of a chat server, http://host:port or http://host:port#model"))
    paragraphs: int = Field(1000, ge=2, le=MAX_COUNT, description="paragraphs; of the text that are annotated, from its beginning")
    shortest: int = Field(3, ge=1, le=1000, description="words; shorter sentences are read without notes")
    longest: int = Field(40, ge=1, le=1000, description="words; longer sentences are read without notes")
    entity_prompt: str = Field(ENTITY_PROMPT, min_length=1, description="prompt; few-shot, for named entities, with {sentence} in it")
    question_prompt: str = Field(QUESTION_PROMPT, min_length=1, description=(
        "prompt; few-shot, for a question and its answer, with {sentence} in it"))
    max_new_tokens: int = Field(64, ge=1, le=MAX_POSITIONS, description="tokens; longest answer of the teacher to a prompt")
    batch_size: int = Field(16, ge=1, le=MAX_BATCH, description="sentences; answered in one pass of a local teacher")
    server: ChatServerSpec = Field(ChatServerSpec(), description="server; how a teacher at an address is queried")
    original: float = Field(1.0, ge=0, le=1000, description="number; how often each paragraph is read as it stands, against forgetting")
    entities: float = Field(1.0, ge=0, le=1000, description="number; how often each paragraph is read with its entities")
    questions: float = Field(1.0, ge=0, le=1000, description="number; how often each paragraph is read with its questions")
    notes: Literal["own", "shuffled", "none"] = Field("own", description=(
        "rule; own: behind each sentence stand its own notes; shuffled: those of another sentence, a control for the format; none: no "
        "notes, a control for further training on the same text"))
    unit: Literal["paragraph", "sentence"] = Field("paragraph", description=(
        "rule; paragraph: the sentences of a paragraph follow each other, each with its notes; sentence: each stands by itself"))
    separator: str = Field("\n", min_length=1, max_length=100, description="text; between a sentence and its notes, and behind them")
    loss_on: Literal["all", "notes"] = Field("all", description=(
        "rule; all: every token counts; notes: of paragraphs with notes, the notes alone"))
    tasks: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = Field(("auto",), max_length=MAX_LISTED, description=(
        "names; tasks that are scored and never trained on: the oracle's answers, yes_no, entailment, typing and sentiment; "
        "house-sentiment; a .jsonl or .csv file; or a hub id as google/boolq or nyu-mll/glue:rte. auto: all of the oracle's for an oracle, "
        "else house-sentiment"))
    task_items: int = Field(0, ge=0, le=MAX_COUNT, description=(
        "items; of each of the oracle's tasks, other ones than are scored, that are read with their answers: task distillation, after "
        "which the tasks are no longer unseen (0: none)"))
    items: int = Field(200, ge=1, le=MAX_COUNT, description="items; of each task that is scored")
    ngram: int = Field(8, ge=0, le=1000, description=(
        "words; an evaluated item that shares so many in a row with what is trained on is left out (0: none is)"))

    @model_validator(mode="after")
    def _usable(self) -> ReadingSpec:
        for name in ("entity_prompt", "question_prompt"):
            if SENTENCE not in getattr(self, name):
                raise InvalidValueError(f"a prompt shows the teacher the sentence: put {SENTENCE} into it", f"reading.{name}")
        if self.shortest > self.longest:
            raise InvalidValueError(f"the shortest sentence ({self.shortest} words) is longer than the longest ({self.longest})",
                                    suggestion=SetField("reading.shortest", min(3, self.longest)))
        if not self.original + self.entities + self.questions:
            raise InvalidValueError("nothing would be read: set original, entities or questions above 0",
                                    suggestion=SetField("reading.original", 1.0))
        if self.task_items and (self.model != ORACLE or not set(self.exam) <= set(ORACLE_TASKS)):
            raise InvalidValueError("only an oracle answers items of its tasks: set task_items to 0",
                                    suggestion=SetField("reading.task_items", 0))
        if self.notes == "none" and not self.original:
            raise InvalidValueError("without notes the text is read as it stands: set original above 0",
                                    suggestion=SetField("reading.original", 1.0))
        if is_address(self.model):
            try:
                parse_address(self.model)
            except ConfigError as error:
                raise ConfigError(error.given, error.expected, error.fix, field="reading.model") from None
        return self

    @property
    def address(self) -> ServedAddress | None:
        """Return where the teacher answers; None for the oracle and for a model that is loaded."""
        return parse_address(self.model) if is_address(self.model) else None

    @property
    def is_loaded(self) -> bool:
        """Return whether the teacher is a model whose weights are here: no oracle, and none at an address."""
        return self.model != ORACLE and self.address is None

    @property
    def exam(self) -> tuple[str, ...]:
        """Return the names of the tasks that are scored."""
        if self.tasks == ("auto",):
            return ORACLE_TASKS if self.model == ORACLE else (HOUSE_TASK,)
        return self.tasks
