"""The verb that reproduces claims of papers."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.errors import ConfigError, StillhouseError
from workbench.terminal.answer import Answer

if TYPE_CHECKING:
    from core.studies.claims.claim import Claim
    from core.studies.claims.outcomes import Outcome


def claim(options: argparse.Namespace) -> Answer:
    """Reproduce claims of papers, all of them, or list them."""
    from core.studies.claims import outcomes, registry
    from workbench.terminal import output

    if options.seeds < 1:
        raise ConfigError(f"--seeds {options.seeds} was given.", "1 or more were expected; fewer than 3 give no verdict.")
    if options.all and options.names:
        raise ConfigError(f"--all and {', '.join(options.names)} were given.", "Names of claims, or all of them, were expected.",
                          "Leave one of the two out.")
    if options.all:
        _check_outstanding(options.seeds)
    elif not options.names:
        known = [(each, outcomes.latest(each)) for each in registry.CLAIMS.values()]
        return Answer([output.claim_document(*each) for each in known], output.claim_table(known))
    else:
        names = [registry.find(name).name for name in options.names]  # a wrong name is an error before the first check begins
        checked = _check(list(dict.fromkeys(names)), options.seeds)
        documents = [output.outcome_document(*each) for each in checked]
        return Answer(documents if len(documents) > 1 else documents[0], "\n\n".join(output.outcome_text(*each) for each in checked))
    checked = [(each, found) for each in registry.CLAIMS.values() if (found := outcomes.made_here(each)) is not None]
    return Answer([output.outcome_document(*each) for each in checked],
                  output.claim_table([(each, (found, "here")) for each, found in checked]))


def _check_outstanding(seeds: int) -> None:
    """Check every claim that was not checked here yet. Raises the first error of a claim after all the others were checked."""
    from core.studies.claims import registry
    from core.studies.claims.running import outstanding
    from core.system.units import duration

    left, failed = outstanding(seeds), None
    takes = duration(sum(each.seconds for each in left) * seeds)
    print(f"{len(left)} of {len(registry.CLAIMS)} claims are still to be checked, about {takes} on one idle core and less where claims "
          f"share models. Ctrl-C stops; the same command resumes.", file=sys.stderr)
    for each in left:
        try:
            _check([each.name], seeds)
        except StillhouseError as error:
            print(f"{each.name} could not be checked: {error}", file=sys.stderr)
            failed = failed or error
    if failed is not None:
        raise failed


def _check(names: Sequence[str], seeds: int) -> list[tuple[Claim, Outcome]]:
    from core.studies.claims import registry
    from core.studies.claims.running import run_claim
    from workbench.runs.progress import ProgressLog

    progress = ProgressLog(sys.stderr)
    try:
        return [(claim, run_claim(claim.name, claim.seeds(seeds), progress)) for claim in map(registry.find, names)]
    except KeyboardInterrupt:
        print("\nFinished seeds are kept: the same command resumes after them.", file=sys.stderr)
        raise
    finally:
        progress.close()
