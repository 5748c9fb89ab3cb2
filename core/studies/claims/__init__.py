"""Claims of the papers, reproduced by protocols with a pass rule that is fixed beforehand, and their outcomes.

    Claim     (claim)      statement, published number, protocol, rule
    CLAIMS    (registry)   all of them by name
    run_claim (running)    protocol over the seeds, then the rule -> Outcome
    Outcome   (outcomes)   verdict and numbers, kept as JSON: shipped with the project, or made here

Naming the claims imports nothing heavy; their protocols import what they need when they run.
"""
