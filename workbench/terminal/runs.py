"""The verbs that list and change runs."""

from __future__ import annotations

import argparse

from core.errors import ConfigError
from workbench.terminal.answer import Answer, about_run


def runs(options: argparse.Namespace) -> Answer:
    """List runs, newest first."""
    from workbench.runs import jobs
    from workbench.store import Store
    from workbench.terminal import output

    if options.limit < 1:
        raise ConfigError(f"--limit {options.limit} was given.", "1 or more were expected.")
    store = Store()
    jobs.reconcile(store)
    found = store.runs(include_deleted=options.deleted, limit=options.limit)
    return Answer([output.run_document(run) for run in found], output.run_table(found))


def show(options: argparse.Namespace) -> Answer:
    """Show a run in full, or a chain."""
    from workbench.runs import jobs
    from workbench.store import Store
    from workbench.store.chains import place
    from workbench.terminal import chains, output

    if chains.is_chain(options.run):
        found = place(options.run, Store()).open()
        return Answer(chains.chain_document(found), chains.chain_text(found))
    store = Store()
    jobs.reconcile(store)
    run = store.run(options.run)
    return Answer(output.run_details(run, store), output.run_text(run, store))


def stop(options: argparse.Namespace) -> Answer:
    """Stop a run."""
    from workbench.runs import jobs
    from workbench.store import Store

    store = Store()
    jobs.reconcile(store)
    return about_run(jobs.force_stop(options.run, store) if options.force else store.request_stop(options.run))


def resume(options: argparse.Namespace) -> Answer:
    """Resume a run from its last checkpoint, in the background."""
    from workbench.runs import jobs
    from workbench.store import Store

    return about_run(jobs.resume(options.run, Store()))


def delete(options: argparse.Namespace) -> Answer:
    """Move a run to the bin, or delete it permanently."""
    from workbench.errors import WrongStatusError
    from workbench.runs import jobs
    from workbench.store import Store
    from workbench.terminal import output

    store = Store()
    jobs.reconcile(store)
    run = store.run(options.run)
    if run.deleted is not None and not options.purge:
        raise WrongStatusError(f"The run '{run.name}' is in the bin already.", "A run that is not in it was expected.",
                               f"To delete it permanently: python -m workbench delete {run.name} --purge")
    run = store.delete(run.id)
    document = output.run_document(run)
    if options.purge:
        store.purge(run.id)
        return Answer({**document, "purged": True}, f"{run.name} was deleted permanently.")
    return Answer(document, f"{run.name} is in the bin. Undo: python -m workbench restore {run.name}")


def restore(options: argparse.Namespace) -> Answer:
    """Restore a run from the bin."""
    from workbench.errors import WrongStatusError
    from workbench.store import Store

    store = Store()
    run = store.run(options.run)
    if run.deleted is None:
        raise WrongStatusError(f"The run '{run.name}' is not in the bin.", "A run that was deleted was expected.",
                               "See: python -m workbench runs --deleted")
    return about_run(store.restore(run.id))
