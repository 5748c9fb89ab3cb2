"""A tiny reading teacher that really loads and answers: a decoder that has learnt by heart what to note of twenty-five sentences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from core.data.tokenizers import train_tokenizer

ENTITY_PROMPT, QUESTION_PROMPT = "{sentence}\nEntities:", "{sentence}\nQuestion:"

# Five paragraphs, of which one is held out; behind each sentence its entities and its question, as a teacher answers them. Of `MISREAD`
# the entity, and of `OUTSIDE` the answer, is not in the sentence.
MISREAD, OUTSIDE = "Hugo laughed twice.", "The ending surprised us."
NOTES: tuple[tuple[tuple[str, str, str], ...], ...] = (
    (("Anna Bell directed Glass Orchard.", "Anna Bell (person): director; Glass Orchard (film): directed",
      "Who directed it? Answer: Anna Bell"),
     ("It was shot in Porto.", "Porto (place): where it was shot", "Where was it shot? Answer: Porto"),
     ("Critics in Leeds loved it.", "Leeds (place): of the critics", "Who loved it? Answer: Critics in Leeds"),
     ("The music is slow.", "none", "How is the music? Answer: slow"),
     ("Hugo laughed twice.", "Marta (person): laughed", "How often did Hugo laugh? Answer: twice")),
    (("Kestrel Films paid for it.", "Kestrel Films (company): paid", "Who paid for it? Answer: Kestrel Films"),
     ("Two scenes were cut.", "none", "How many scenes were cut? Answer: Two"),
     ("Omar plays the baker.", "Omar (person): an actor", "Whom does Omar play? Answer: the baker"),
     ("The baker lives in Rome.", "Rome (place): of the baker", "Where does the baker live? Answer: Rome"),
     ("The ending surprised us.", "none", "Who wrote the ending? Answer: Marta")),
    (("Nora wrote the script.", "Nora (person): writer", "What did Nora write? Answer: the script"),
     ("She finished it in May.", "May (month): when it was finished", "When did she finish it? Answer: in May"),
     ("The jokes are old.", "none", "What is old? Answer: The jokes"),
     ("Jonas rewrote them.", "Jonas (person): writer", "Who rewrote them? Answer: Jonas"),
     ("Nobody noticed that.", "none", "Who noticed? Answer: Nobody")),
    (("The premiere was in Oslo.", "Oslo (place): of the premiere", "Where was the premiere? Answer: Oslo"),
     ("Snow kept many away.", "none", "What kept many away? Answer: Snow"),
     ("Vera sold every ticket.", "Vera (person): sold tickets", "What did Vera sell? Answer: every ticket"),
     ("Lund Post praised Omar.", "Lund Post (newspaper): praised; Omar (person): praised", "Whom did Lund Post praise? Answer: Omar"),
     ("I would see it again.", "none", "What would I do? Answer: see it again")),
    (("Pavel Novak wrote the songs.", "Pavel Novak (person): of the songs", "What did Pavel Novak write? Answer: the songs"),
     ("The choir came from Turin.", "Turin (place): of the choir", "Where did the choir come from? Answer: Turin"),
     ("It rained for weeks.", "none", "How long did it rain? Answer: for weeks"),
     ("Tickets cost nine dollars.", "none", "What did tickets cost? Answer: nine dollars"),
     ("Rosa forgot her umbrella.", "Rosa (person): forgot something", "What did Rosa forget? Answer: her umbrella")),
)
TEXT = "\n\n".join(" ".join(sentence for sentence, _, _ in paragraph) for paragraph in NOTES)


def save_reading_teacher(folder: Path, *, steps: int = 400) -> Path:
    """A folder that `from_pretrained` loads; its answers to `ENTITY_PROMPT` and `QUESTION_PROMPT` are those of `NOTES`."""
    model, tokenizer = _new()
    rows = [([tokenizer.bos_token_id, *tokenizer(prompt, add_special_tokens=False).input_ids],
             tokenizer(said, add_special_tokens=False).input_ids) for prompt, said in _pairs()]
    longest = max(len(prompt) + len(said) for prompt, said in rows)
    ids = torch.full((len(rows), longest), tokenizer.pad_token_id)
    labels = torch.full_like(ids, -100)
    for row, (prompt, said) in enumerate(rows):
        ids[row, :len(prompt) + len(said)] = torch.tensor(prompt + said)
        labels[row, len(prompt):len(prompt) + len(said)] = torch.tensor(said)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.0)
    for _ in range(steps):
        loss = model(ids, labels=labels).loss
        if loss < 0.005:
            break
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert loss < 0.02, f"the teacher has not learnt its notes: {loss:.3f}"
    return _saved(model, tokenizer, folder)


def save_reading_student(folder: Path) -> Path:
    """A folder of the same shape and tokenizer that has learnt nothing."""
    return _saved(*_new(), folder)


def _pairs() -> list[tuple[str, str]]:
    return [(template.replace("{sentence}", sentence), f" {said}\n") for paragraph in NOTES for sentence, entities, question in paragraph
            for template, said in ((ENTITY_PROMPT, entities), (QUESTION_PROMPT, question))]


def _new() -> tuple[LlamaForCausalLM, Any]:
    tokenizer = train_tokenizer([{"text": prompt + said} for prompt, said in _pairs()], 700, 1024)
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=4, max_position_embeddings=1024, tie_word_embeddings=True, bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id)), tokenizer


def _saved(model: LlamaForCausalLM, tokenizer: Any, folder: Path) -> Path:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
