"""The results of a class, or of one participant, as one self-contained HTML file, and as CSV."""

from __future__ import annotations

import html
import time
from collections.abc import Iterable, Sequence

import pandas as pd

from core.metrics import METRICS
from workbench import lessons
from workbench.classroom.board import QUALITIES, Board, Tally
from workbench.classroom.records import Ballot
from workbench.store import Store

STYLE = """
:root { color-scheme: light dark; --accent: light-dark(#0b7a75, #5cc8bd); --line: light-dark(#8a9699, #7b888c); }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 54rem; margin: 2rem auto; padding: 0 1rem; background: light-dark(#fff, #101517);
       color: light-dark(#1d2527, #e4e9e9); }
table { border-collapse: collapse; width: 100%; margin: 1rem 0; } th, td { text-align: left; padding: .3rem .8rem .3rem 0;
       border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
svg { max-width: 100%; height: auto; }
pre { white-space: pre-wrap; }
.curve { fill: none; stroke: var(--accent); stroke-width: 2; } text { fill: currentColor; font-size: 12px; }
"""


def page(board: Board, store: Store, participant: str | None = None) -> str:
    """Return the results as an HTML file that loads nothing.

    Args:
        participant: one participant's own page, with recipes and curves; None for the class, whose nicknames are left out where the
            board hides them.
    """
    room, names = board.room, {each.id: each.nickname for each in board.people.values()}
    hidden = room.settings().names_hidden and participant is None
    points = board.points()
    if participant is not None:
        points = points[points["nickname"] == names[participant]]
    title = f"{room.name}: {names[participant]}" if participant is not None else room.name
    parts = [f"<h1>{html.escape(title)}</h1>", f"<p>{time.strftime('%d %B %Y')}. {len(names)} participants.</p>"]
    parts += _guesses(board, participant)
    parts += ["<h2>Runs</h2>", _runs(points, hidden)]
    if participant is not None:
        parts += _own_runs(board, store, participant)
    parts += _votes(board, participant)
    texts = [each for each in room.handed_in() if participant in (None, each.participant) and each.participant in names]
    if texts:
        parts.append("<h2>Handed in</h2>")
        for each in texts:
            parts += [f"<h3>{html.escape(names[each.participant])}</h3>" if not hidden else "", f"<pre>{html.escape(each.text)}</pre>"]
    return (f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<meta name="viewport" content="width=device-width">\n'
            f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style>\n" + "\n".join(parts) + "\n</html>\n")


def csv(board: Board) -> str:
    """Return every finished run and every guess of the class, one a line."""
    hidden = board.room.settings().names_hidden
    points = board.points().assign(kind="run")
    guesses = pd.DataFrame([{"kind": "guess", "nickname": board.people[each.participant].nickname, "lesson": each.lesson,
                             "question": each.question, "guess": each.value}
                            for each in board.room.guesses() if each.participant in board.people],
                           columns=["kind", "nickname", "lesson", "question", "guess"])
    table = pd.concat([points, guesses], ignore_index=True)
    if hidden:
        table = table.drop(columns="nickname")
    first = [column for column in ("kind", "nickname", "lesson") if column in table]
    text = table[[*first, *(column for column in table if column not in first)]]
    return text.map(_harmless).to_csv(index=False)


def _harmless(value: object) -> object:
    """Return a cell that no spreadsheet takes for a formula: nicknames and guesses are others' words."""
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" else value


def _guesses(board: Board, participant: str | None) -> list[str]:
    found = []
    used = dict.fromkeys(each.lesson for each in board.room.guesses())
    known = {lesson.slug: lesson for lesson in lessons.listed()[0]}
    for slug in used:
        if slug not in known:
            continue
        found.append(f"<h2>{html.escape(known[slug].title)}</h2>")
        for tally in board.tallies(known[slug]):
            found.append(f"<h3>{html.escape(tally.question.text)}</h3>")
            if participant is not None:
                mine = board.room.guess(participant, slug, tally.question.name)
                found.append(f"<p>My guess: {html.escape(str(mine))}.</p>" if mine is not None else "<p>No guess.</p>")
            found.append(bars(tally) if tally.guesses else _numbers(tally))
            found.append(f"<p>{html.escape(outcome_words(tally))}</p>")
    return found


def bars(tally: Tally) -> str:
    """Return the guesses at a question with options as bars, each with its count in words."""
    most, rows = max([*tally.guesses.values(), 1]), []
    for index, (option, count) in enumerate(tally.guesses.items()):
        y = 28 * index
        mark = " ✓" if option in tally.outcomes else ""
        rows.append(f'<text x="0" y="{y + 11}" fill="currentColor" font-size="12">{html.escape(option)}: {count}{mark}</text>'
                    f'<rect fill="#0f857a" x="0" y="{y + 15}" width="{max(2, 400 * count / most):.0f}" height="7"/>')
    label = "; ".join(f"{option}: {count}" for option, count in tally.guesses.items())
    return (f'<svg viewBox="0 0 420 {28 * len(tally.guesses)}" width="420" role="img" aria-label="{html.escape(label)}">{"".join(rows)}'
            "</svg>")


def outcome_words(tally: Tally) -> str:
    """Return what came out of a question's runs, as a sentence."""
    if tally.outcomes:
        return "Came out: " + ", ".join(f"{option}{f' ({count} times)' if count > 1 else ''}" for option, count in tally.outcomes.items())
    if tally.values:
        mean = sum(tally.values) / len(tally.values)
        return f"Measured: {mean:.4g} {tally.question.unit}".strip() + (f" (mean of {len(tally.values)})" if len(tally.values) > 1 else "")
    return "No outcome yet."


def _numbers(tally: Tally) -> str:
    if not tally.numbers:
        return "<p>No guesses.</p>"
    ordered = sorted(tally.numbers)
    return f"<p>{len(ordered)} guesses from {ordered[0]:.4g} to {ordered[-1]:.4g}, the middle one {ordered[len(ordered) // 2]:.4g}.</p>"


def _runs(points: pd.DataFrame, hidden: bool) -> str:
    if points.empty:
        return "<p>No finished run.</p>"
    shown = [name for name in QUALITIES if points[name].notna().any()]
    head = [*([] if hidden else ["Nickname"]), "Lesson", "Run", "T", "Parameters", "Seconds", *(METRICS[name].label for name in shown)]
    rows = [[*([] if hidden else [row["nickname"]]), row["lesson"], row["run"], _cell(row["temperature"]), _cell(row["parameters"]),
             _cell(row["seconds"]), *(_cell(row[name]) for name in shown)] for row in points.to_dict("records")]
    return _table(head, rows)


def _own_runs(board: Board, store: Store, participant: str) -> list[str]:
    found = []
    for run_id in dict.fromkeys(item.run_id for item in board.items if item.participant == participant and item.run_id):
        run = board.runs.get(run_id)
        if run is None:
            continue
        series = store.metric_series_tail(run.id, "loss", limit=400)
        found += [f"<h3>{html.escape(run.name)}</h3>", curve(series), f"<pre>{html.escape(run.config.to_yaml())}</pre>"]
    return found


def curve(series: Sequence[tuple[int, float]]) -> str:
    """Return a loss curve as SVG with its first and last value in words."""
    finite = [(step, value) for step, value in series if value == value and abs(value) < 1e30]
    if len(finite) < 2:
        return "<p>No curve.</p>"
    low, high = min(value for _, value in finite), max(value for _, value in finite)
    first, last = finite[0][0], finite[-1][0]
    dots = " ".join(f"{400 * (step - first) / max(last - first, 1):.1f},{95 - 85 * (value - low) / ((high - low) or 1):.1f}"
                    for step, value in finite)
    words = f"Loss from {finite[0][1]:.3g} at step {first} to {finite[-1][1]:.3g} at step {last}"
    return (f'<svg viewBox="0 0 400 100" width="400" role="img" aria-label="{words}"><polyline class="curve" points="{dots}"/></svg>'
            f"<p>{words}.</p>")


def _votes(board: Board, participant: str | None) -> list[str]:
    found = []
    for ballot in board.room.ballots():
        if not ballot.revealed:
            continue
        tally = votes_of(board, ballot)
        rows = [[chr(65 + index), ballot.models[index], answer, str(tally[index])] for index, answer in enumerate(ballot.answers)]
        found += ["<h2>Blind vote</h2>", f"<p>{html.escape(ballot.prompt)}</p>", _table(["", "Model", "Answer", "Votes"], rows)]
        mine = board.room.votes(ballot.id).get(participant or "")
        found += [f"<p>My vote: {chr(65 + mine)}.</p>"] if mine is not None else []
    return found


def votes_of(board: Board, ballot: Ballot) -> list[int]:
    """Return the votes for each answer, of those who are still in the class."""
    choices = [choice for who, choice in board.room.votes(ballot.id).items() if who in board.people]
    return [choices.count(index) for index in range(len(ballot.answers))]


def _table(head: Iterable[str], rows: Iterable[Sequence[object]]) -> str:
    top = "".join(f"<th>{html.escape(str(cell))}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{top}</tr>{body}</table>"


def _cell(value: object) -> str:
    if value is None or value != value:
        return "–"
    if not isinstance(value, (int, float)):
        return str(value)
    return f"{value:,.4g}" if isinstance(value, float) and abs(value) < 1000 else f"{value:,.0f}"
