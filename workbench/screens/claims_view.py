"""Claims of papers: the statement, the published number, ours with its interval and verdict, and a button that checks it again."""

from __future__ import annotations

from itertools import groupby

import streamlit as st

from core.evaluation.statistics import level_words
from core.studies.claims import outcomes, registry
from core.studies.claims.claim import Claim
from core.studies.claims.outcomes import Outcome, Rejudgement
from core.studies.claims.rules import VERDICT_NAMES, VERSION, VERSIONS
from core.system.units import duration
from workbench.screens import claims_table
from workbench.screens.claims_table import expected_minutes, interval
from workbench.screens.shared import fragments, views
from workbench.screens.shared.theme import BadgeColour
from workbench.studies import background
from workbench.studies.jobs import ClaimJob, JobState

POLL_SECONDS = 1.5
VERDICT_LOOKS: dict[str, tuple[BadgeColour, str]] = {
    "pass": ("green", "check_circle"), "fail": ("red", "cancel"), "inconclusive": ("orange", "help"), "measured": ("blue", "straighten")}
HEADLINES = 2  # figures of a claim on its card; all of them stand in the expander below


def claims() -> None:
    """Show a table of all claims, and a card for each, system by system, below a count of the verdicts."""
    _tally()
    claims_table.table()
    busy = background.running_job()
    for system, members in groupby(registry.CLAIMS.values(), key=lambda claim: claim.system):
        st.subheader(system, anchor=False)
        for claim in members:
            _card(claim, busy)


def _card(claim: Claim, busy: str | None) -> None:
    found, job = outcomes.latest(claim), ClaimJob.of(claim.name)
    check = job.load_state()
    with st.container(border=True, key=f"claim-{claim.name}"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{claim.name} · {views.plain(claim.title)}**", width="content")
            _verdict(claim, found and found[0], check)
            st.space("stretch")
            _button(claim, found is not None, job, check, busy)
        st.markdown(views.plain(claim.statement))
        _state(job, check)
        _numbers(claim, found)
        _details(claim, found and found[0])


def summary(claim: Claim) -> None:
    """Draw a claim for other pages: the statement, the published number, ours, the verdict."""
    found = outcomes.latest(claim)
    with st.container(border=True, key=f"claim-summary-{claim.name}"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{claim.name} · {views.plain(claim.title)}**", width="content")
            _verdict(claim, found and found[0], None)
        st.markdown(views.plain(claim.statement))
        _numbers(claim, found)


def _numbers(claim: Claim, found: tuple[Outcome, str] | None) -> None:
    """Draw the published number beside ours."""
    paper, ours = st.columns(2, gap="medium")
    with paper:
        st.caption("Paper")
        st.markdown(views.plain(claim.published))
        st.caption(f"[arXiv {claim.source.arxiv}]({claim.source.url}), {views.plain(claim.source.place)}")
    with ours:
        st.caption("Ours")
        _ours(claim, found)
    st.caption(f"Units: {views.plain(claim.units)}.")


def rejudged_words(earlier: Rejudgement) -> str:
    """Return which verdict an outcome had under the rules of its run."""
    return (f"{VERDICT_NAMES[earlier.verdict].capitalize()} by the rules of its run ({VERSIONS[earlier.rules_version]}); judged again from "
            f"the same values ({VERSIONS[VERSION]}).")


def _tally() -> None:
    """Count the verdicts in one line."""
    found = [known[0].verdict for claim in registry.CLAIMS.values() if (known := outcomes.latest(claim)) is not None]
    counts = [f"{found.count(verdict)} {words}" for verdict, words in VERDICT_NAMES.items()]
    st.markdown(f"{len(registry.CLAIMS)} claims: {', '.join(counts)}, {len(registry.CLAIMS) - len(found)} not run as they stand now.")


def _verdict(claim: Claim, outcome: Outcome | None, check: JobState | None) -> None:
    if check is not None and check.state == "running":
        st.badge("running", color="primary", icon=":material/play_circle:")
    elif outcome is None:
        st.badge(outcomes.verdict_words(claim, None), color="gray", icon=":material/schedule:")
    else:
        colour, icon = VERDICT_LOOKS[outcome.verdict]
        st.badge(VERDICT_NAMES[outcome.verdict], color=colour, icon=f":material/{icon}:")
    if claim.sanity_check:
        st.badge("sanity check", color="gray")


def _button(claim: Claim, checked: bool, job: ClaimJob, check: JobState | None, busy: str | None) -> None:
    if check is not None and check.state == "running":
        if st.button("Stop", icon=":material/stop:", key=f"stop.{claim.name}", disabled=job.stop_file.exists(),
                     help="Stops after the current step. Finished seeds are kept."):
            job.stop_file.touch()
            st.rerun()
        return
    label = "Resume" if check is not None and check.state in ("stopped", "lost") else "Check again" if checked else "Check"
    seeds = len(claim.default_seeds)
    takes = (f"About {duration(60 * expected_minutes(claim))} for {seeds} seeds on one idle core, less where another claim has trained its "
             "models. With 5 seeds a 95% interval is half as wide as with 3.")
    if st.button(label, icon=":material/play_arrow:", key=f"check.{claim.name}", disabled=busy is not None,
                 help=f"{busy}, one at a time." if busy else takes):
        with views.errors_shown():
            background.start_claim(claim.name)
            st.rerun()


def _state(job: ClaimJob, check: JobState | None) -> None:
    if check is None or check.state == "finished":
        return
    if check.state == "running":
        fragments.fragment(_progress, run_every=POLL_SECONDS)(job)
        return
    views.study_ended(job, check)


def _progress(job: ClaimJob) -> None:
    check = job.load_state()
    if check is None or check.state != "running":
        st.rerun()  # redraws the card with the outcome
        return
    stopping = "stopping · " if job.stop_file.exists() else ""
    st.progress(check.done / (check.total or 1),
                text=f"{stopping}{check.done} of {check.total or '?'} seeds done · {views.plain(check.text)}")


def _ours(claim: Claim, found: tuple[Outcome, str] | None) -> None:
    if found is None:
        st.markdown(f"No outcome of version {claim.version}; it takes about {duration(60 * expected_minutes(claim))} on one idle core. A "
                    f"check "
                    "runs in the background; the page may be closed meanwhile.")
        return
    outcome, place = found
    for figure in claim.figures[:HEADLINES]:
        st.markdown(f"**{views.plain(interval(outcome.numbers[figure.name], figure.unit))}**  :gray[{views.plain(figure.words)}]")
    kind = next(iter(outcome.numbers.values())).interval.interval_words
    seeds = f"± {kind}" if kind else "1 seed, no interval"
    if outcome.rejudged is not None and outcome.rejudged.verdict != outcome.verdict:
        st.caption(views.plain(rejudged_words(outcome.rejudged)))
    st.caption(f"{seeds} · {outcome.date[:10]} · {'checked here' if place == 'here' else 'shipped with the app'}")


def _details(claim: Claim, outcome: Outcome | None) -> None:
    with st.expander("How it is checked", key=f"details.{claim.name}"):
        st.markdown(views.plain(claim.check))
        st.markdown(f"**Reproduced if** {_readable_rule(claim)}.")
        if claim.power:
            st.markdown(f"**What the seeds can tell.** {views.plain(claim.power)}")
        for pitfall in claim.pitfalls:
            st.markdown(f"- {views.plain(pitfall)}")
        if outcome is not None:
            rows = [[figure.words, interval(outcome.numbers[figure.name], figure.unit)] for figure in claim.figures]
            views.text_table(["Number", f"Mean ± {level_words()} CI"], rows, numbers=True, label=f"Numbers of {claim.name}",
                             first_width="62%")
            if outcome.rejudged is not None:
                st.caption(views.plain(rejudged_words(outcome.rejudged)))
            versions = outcome.environment["versions"]
            st.caption(views.plain(f"{outcome.environment['processor']}, torch {versions.get('torch')}, transformers "
                                   f"{versions.get('transformers')}, {duration(outcome.seconds)} of work"))
        _versions(claim)
        st.code(f"python -m workbench claim {claim.name}", language="bash")


def _versions(claim: Claim) -> None:
    """Say why the protocol was changed, and what came out before: numbers of an earlier version are no outcome of this one."""
    for number, reason in reversed(list(enumerate(claim.reasons, start=2))):
        st.markdown(f"**Version {number}.** {views.plain(reason)}")
    for outcome in outcomes.earlier(claim):
        st.markdown(f"**Outcome under version {outcome.version}:** {VERDICT_NAMES[outcome.verdict]}, {len(outcome.seeds)} seeds, "
                    f"{outcome.date[:10]}, {duration(outcome.seconds)} of work")
        views.text_table(["Number of that version", f"Mean ± {level_words()} CI"],
                         [[name.replace("_", " "), interval(number, "")] for name, number in outcome.numbers.items()], numbers=True,
                         label=f"Numbers of {claim.name}, version {outcome.version}", first_width="62%")


def _readable_rule(claim: Claim) -> str:
    """Return the rule with the figures' descriptions in place of their keys."""
    words = claim.rule.words
    for figure in claim.figures:
        words = words.replace(f"{figure.name} is", f"the {figure.words} is")
    return views.plain(words)
