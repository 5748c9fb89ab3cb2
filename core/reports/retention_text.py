"""The retention card as people read it: a table, notes on how its numbers were measured, and both as a section of a model card."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from core.evaluation.statistics import LEVEL, Estimate, interval_words
from core.reports.retention_card import KINDS, Card, Row, TaskScores
from core.system import units

TASK_NAMES = {"imdb": "IMDb", "rt": "Rotten Tomatoes", "sst2": "SST-2", "squad": "SQuAD"}
DASH = units.UNKNOWN


def task_name(task: str) -> str:
    """Return a task's name for people."""
    return TASK_NAMES.get(task, task)


def table(card: Card) -> tuple[list[str], list[list[str]]]:
    """Return head and rows of the card as text: one column a model, and the published pair last.

    A percentage in brackets is the share of the teacher's number.
    """
    published = card.published

    def line(label: str, number: Callable[[Row], float | None], words: Callable[[float], str], paper: str = DASH,
             after: Callable[[Row], str] = lambda row: "") -> list[str]:
        cells = []
        for row in card.rows:
            value, teachers = number(row), number(card.teacher)
            share = f" ({value / teachers:.0%})" if value and teachers and row is not card.teacher else ""
            cells.append(DASH if value is None else f"{words(value)}{after(row)}{share}")
        return [label, *cells, paper]

    def shares(label: str, share: Callable[[Row], Estimate | float | None], paper: str = DASH) -> list[str]:
        return [label, *(DASH if row is card.teacher else _share(share(row)) for row in card.rows), paper]

    body = [line("Parameters", lambda row: row.parameters, units.count, _pair(*map(units.count, published.parameters))),
            line("Parameters, no embeddings", lambda row: row.without_embeddings, units.count),
            line("On disk", lambda row: row.size_bytes, units.format_bytes, after=lambda row: f" {row.format}".rstrip())]
    if card.timing is not None:
        length = card.timing.length
        body += [line("Latency", lambda row: None if row.speed is None else row.speed.latency.value, _latency,
                      _pair(*(f"{each:g} s" for each in published.seconds))),
                 line("Sequences/s", _sequences_per_second, lambda value: f"{value:.3g}"),
                 line("Tokens/s", lambda row: None if (each := _sequences_per_second(row)) is None else each * length, units.count)]
    for task in card.tasks:
        metric = next(each.metric for row in card.rows if (each := row.of_task(task)))
        paper = published.tasks.get(task)
        body += [[f"{task_name(task)}, {metric}", *(_score(row.of_task(task)) for row in card.rows),
                  _pair(*(f"{each:.1f}%" for each in paper)) if paper else DASH],
                 shares(f"{task_name(task)}, retained", partial(card.retained, task=task),
                        f"{paper[0] / paper[1]:.1%}" if paper else DASH)]
    body.append(shares("Smaller", card.smaller, f"{published.smaller:.0%}"))
    if card.timing is not None:
        body += [shares("Faster", card.faster, f"{published.faster:.0%}"), shares("Faster, predicted", card.predicted_faster)]
    if card.tasks:
        body.append(shares("Retained, macro", card.macro, f"{published.retained:.0%}, GLUE"))
    return ["", *(row.title for row in card.rows), f"{published.name}, published"], body


def notes(card: Card) -> list[str]:
    """Return what the numbers were measured on, and the level, method and n of every kind of interval."""
    said = [card.stands_for_teacher] if card.stands_for_teacher else []
    if card.timing is not None:
        timing = card.timing
        threads = f"{timing.threads} thread{'s' if timing.threads > 1 else ''}"
        said.append(f"Latency: one sequence of {timing.length} tokens through the whole model, logits included, in float32 on 1 thread; "
                    f"median of {timing.rounds} rounds in which the models took turns. Sequences and tokens a second: {timing.batch} "
                    f"sequences at once on {threads}, {timing.batch_rounds} rounds. Faster: ratio within a round, {_bracketed(card)}"
                    f"the prediction counts the operations of blocks and head. {timing.processor}.")
    if card.tasks:
        items = {task: next(each.items for row in card.rows if (each := row.of_task(task))) for task in card.tasks}
        counts = ", ".join(f"{task_name(task)} {count:,} items" for task, count in items.items())
        tuned = (f"after fine-tuning on up to {card.train_items:,} items for {card.epochs:g} epochs" if card.train_items
                 else "zero-shot by the likelier label, without fine-tuning")
        kind = interval_words("student_t", LEVEL, len(card.seeds), "seeds")
        several = len(card.seeds) > 1
        single = "; one seed, without an interval" if card.train_items else ""
        spread = f"; seeds {', '.join(map(str, card.seeds))}, ± half of the {kind}" if several else single
        margin = f", in brackets the {kind}, paired" if several else ""
        said.append(f"Scores: {counts}, {tuned}{spread}. Retained: mean score over that of {card.compared_with} on the same items{margin}; "
                    "macro: of the mean over the tasks.")
    if card.row("control") is not None:
        said.append(f"{KINDS['control']}: the same student trained on the same tokens without the teacher.")
    said.append(f"{card.published.name}: {card.published.teacher} is its teacher; arXiv {card.published.arxiv}, {card.published.place}.")
    return said


def markdown(card: Card) -> str:
    """Return the card as a section of a model card, without its heading."""
    head, body = table(card)
    lines = [head, ["---", *("---:" for _ in head[1:])], *body]
    rendered = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return "\n\n".join([rendered, *notes(card)])


def _sequences_per_second(row: Row) -> float | None:
    return None if row.speed is None else row.speed.throughput.value


def _pair(student: str, teacher: str) -> str:
    return f"{student} of {teacher}"


def _score(scores: TaskScores | None) -> str:
    if scores is None:
        return DASH
    margin = scores.interval.margin
    return f"{scores.mean:.1%}" + ("" if margin is None else f" ± {margin:.1%}")


def _bracketed(card: Card) -> str:
    """Return what the brackets of *Faster* hold; nothing where there are none."""
    kinds = {found.interval_words for row in card.rows if (found := card.faster(row)) is not None and found.interval_words}
    return f"in brackets the {' or '.join(sorted(kinds))}; " if kinds else ""


def _share(share: Estimate | float | None) -> str:
    """Return a share with its interval, where it has one."""
    if not isinstance(share, Estimate):
        return DASH if share is None else f"{share:.1%}"
    return f"{share.value:.1%}" + ("" if share.low is None or share.high is None else f" [{100 * share.low:.1f}, {100 * share.high:.1f}]")


def _latency(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"
