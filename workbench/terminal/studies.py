"""The verb that reproduces claims of papers."""

from __future__ import annotations

import argparse
import sys

from core.errors import ConfigError
from workbench.terminal.answer import Answer


def claim(options: argparse.Namespace) -> Answer:
    """Reproduce claims of papers, or list them."""
    from core.studies.claims import outcomes, registry
    from core.studies.claims.running import run_claim
    from core.studies.seeds import seeds_of
    from workbench.runs.progress import ProgressLog
    from workbench.terminal import output

    if options.seeds < 1:
        raise ConfigError(f"--seeds {options.seeds} was given.", "1 or more were expected; fewer than 3 give no verdict.")
    if not options.names:
        known = [(each, outcomes.latest(each)) for each in registry.CLAIMS.values()]
        return Answer([output.claim_document(*each) for each in known], output.claim_table(known))
    claims = list(dict.fromkeys(map(registry.find, options.names)))  # a wrong name is an error before the first check begins
    progress, checked = ProgressLog(sys.stderr), []
    try:
        for each in claims:
            checked.append((each, run_claim(each.name, seeds_of(options.seeds), progress)))
    except KeyboardInterrupt:
        print("\nFinished seeds are kept: the same command resumes after them.", file=sys.stderr)
        raise
    finally:
        progress.close()
    documents = [output.outcome_document(*each) for each in checked]
    return Answer(documents if len(documents) > 1 else documents[0], "\n\n".join(output.outcome_text(*each) for each in checked))
