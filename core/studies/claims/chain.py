"""The claims about chains of anchors and the sizes between them (2605.07783), at a scale of minutes on one core.

Anchors are tiny decoders of one family, trained on film reviews; `core.studies.claims.small_chain` makes them. They are nested:
the units of the largest are sorted once, and every smaller anchor starts as the first units and evenly spread blocks of its
predecessor, and is distilled from it. CE is held-out cross-entropy in nats per token, lower is better; V the vocabulary.
"""

from __future__ import annotations

from core.studies.claims.chain_protocol import ChainProtocolConfig
from core.studies.claims.chain_protocols import (
    BASELINES,
    SHARES,
    against_cloning,
    alpha_after_recovery,
    barrier,
    before_training,
    better_than_expansion,
    denser_chain,
    equal_tokens,
    nearer_anchor,
    step_by_step,
    step_by_step_equal_compute,
)
from core.studies.claims.claim import Claim, Figure, Source
from core.studies.claims.rules import above, below, every, trend

SYSTEM = "Chain of anchors"
PAPER = "2605.07783"
NATS = "nats/token"

SETTING = ChainProtocolConfig()
SAME_CORPUS = ("The anchors have seen the corpus that the random model is trained on, for more steps. The paper's public checkpoints had "
               "seen far more, so that its comparison is not at equal compute either.")
REVERSE_KL_ALONE = ("Anchors were distilled with reverse KL and half a cross-entropy, which was a default left standing: the paper, and "
                    "what was said here, is reverse KL alone.")
BASELINE_WORDS = {"smaller": "the smaller anchor", "expansion": "the smaller anchor expanded",
                  "pruning": "the larger anchor cut to the size"}
SPREAD = "Differences of a seed spread by 0.005 to 0.02 nats in version 1: five seeds tell a mean of 0.006 to 0.025 from none."
ROUGE = "Rouge-L"

CLAIMS = (
    Claim(
        "C1", "Good before any training", SYSTEM,
        "A model interpolated between two anchors works before it has seen a single token.",
        "HellaSwag, 138M: 30.6 with no token, 23.7 for random weights after 78M tokens (Rouge-L)",
        Source(PAPER, "table 9"),
        "CE of what needs only one of the two anchors - CE of the interpolated model at step 0, alpha by relative distance: of the smaller "
        "anchor as it is, of the smaller one expanded by replicated blocks, and of the larger one cut to the size. Random weights after "
        "their token budget, with which the paper compares, stand beside them.",
        (*(Figure(f"over_{name}", f"CE of {BASELINE_WORDS[name]} - CE of the interpolated model", NATS) for name in BASELINES),
         Figure("interpolated", "CE, interpolated, step 0", NATS),
         *(Figure(name, f"CE, {BASELINE_WORDS[name]}", NATS) for name in BASELINES),
         Figure("alpha", "alpha by relative distance"), Figure("random_after", "CE, random, after the budget", NATS),
         Figure("random_before", "CE, random, step 0", NATS), Figure("uniform", "ln V", NATS)),
        every(*(above(f"over_{name}") for name in BASELINES)), SETTING, 60, before_training,
        (SAME_CORPUS, "alpha follows its rule and is not tuned.", "The paper shows none of the three baselines."), version=2,
        reasons=(f"Any trained weights passed against random ones, also the smaller anchor as it is. {REVERSE_KL_ALONE}",),
        published_unit=ROUGE, power=SPREAD),
    Claim(
        "C2", "Better after the same tokens", SYSTEM,
        "Started from an interpolated model, training on the same tokens ends better and gets there sooner than from random weights.",
        "Mean over five tasks, 138M, 78M tokens: 46.33 against 39.67 (Rouge-L); 500M tokens are said to be 217.86 times faster than random",
        Source(PAPER, "main results, source GPT2-XL"),
        "CE after one token budget from the beginnings of C1 - CE from the interpolated model. Random weights, the paper's comparison, "
        "with the time-to-target ratio = steps of random / steps of interpolated until the CE where random ends, stand beside them.",
        (*(Figure(f"over_{name}", f"CE of {BASELINE_WORDS[name]}, trained on - CE of interpolated", NATS) for name in BASELINES),
         Figure("over_random", "CE of random - CE of interpolated, whole budget", NATS), Figure("time_ratio", "time-to-target ratio"),
         *(Figure(f"{start}_{share}", f"CE, {start}, {share}% of the budget", NATS)
           for start in ("interpolated", *BASELINES, "random") for share in SHARES)),
        every(*(above(f"over_{name}") for name in BASELINES)), SETTING, 60, equal_tokens,
        (SAME_CORPUS, "All take the learning rate that suits random weights.", "The smaller anchor keeps its own, smaller shape.",
         "Where interpolated is past the target at step 0, the ratio counts one step: it is then the step budget, and a lower bound."),
        version=2, reasons=("The time ratio was the step budget, and the nearest anchor trained on was better with every seed while the "
                            f"claim passed against random weights. {REVERSE_KL_ALONE}",), published_unit=ROUGE, power=SPREAD),
    Claim(
        "C3", "alpha* moves to the nearer anchor", SYSTEM,
        "The best share of the smaller anchor follows how near the target is to it.",
        "alpha swept from .1 to .9: .9 is best for 138M, between 117M and 345M; no rule is given",
        Source(PAPER, "equation 3 and its sweep"),
        "Spearman correlation of alpha* with the parameters of the target, over all shapes between the two largest anchors, at step 0.",
        (Figure("spearman", "Spearman correlation of alpha* and size"),
         Figure("boundary_alpha_fraction", "fraction of targets whose alpha* is 0 or 1"),
         *(Figure(f"alpha_{place}", f"alpha* of target {place}, ascending in size") for place in range(1, 5)),
         *(Figure(f"gain_over_small_{place}", f"CE(1) - CE(alpha*) of target {place}", NATS) for place in range(1, 5)),
         *(Figure(f"parameters_{place}", f"parameters of target {place}") for place in range(1, 5))),
        trend("spearman", lambda value: value <= -0.8, "is at most -0.8"), SETTING, 50, nearer_anchor,
        ("Where the pruned large anchor is poor, alpha* is at the boundary for every size: the fraction is shown.",
         "alpha* near 1 is no evidence by itself, since exact expansion makes alpha = 1 as good as the smaller anchor."),
        version=2, reasons=(REVERSE_KL_ALONE,), published_unit="alpha at one size"),
    Claim(
        "C4", "Two anchors beat one", SYSTEM,
        "A mixture of two anchors is better than the smaller one expanded.",
        "277M from GPT2-XL: 36.47 for the chain, 34.71 from a single anchor (Rouge-L)",
        Source(PAPER, "comparison with single expansion"),
        "CE(alpha = 1) - CE(alpha*), where alpha* strictly between 0 and 1 is chosen on other held-out text.",
        (Figure("gain", "CE(1) - CE(alpha*), step 0", NATS), Figure("alpha", "alpha*"),
         Figure("mixed", "CE(alpha*), step 0", NATS), Figure("alone", "CE(1), step 0", NATS),
         Figure("gain_after_budget", "CE(1) - CE(alpha*), after the same tokens", NATS),
         Figure("mixed_after", "CE(alpha*), after the budget", NATS), Figure("alone_after", "CE(1), after the budget", NATS)),
        above("gain"), SETTING, 30, better_than_expansion,
        ("alpha = 1 is the smaller anchor exactly, identity blocks and padded channels included; the paper shows no such baseline.",),
        version=2, reasons=(REVERSE_KL_ALONE,), published_unit=ROUGE, power=SPREAD),
    Claim(
        "C5", "A denser chain is better", SYSTEM,
        "More anchors, and so smaller gaps, give a better model of the same size.",
        "Pythia, 113.63M: 47.58 with four anchors, 46.24 with two (Rouge-L)",
        Source(PAPER, "chain density"),
        "CE of one target between the smallest and the largest of four anchors - its CE between the smallest and the next one: the "
        "smallest anchor is the same model, and alpha, strictly between 0 and 1, is chosen for each on other text.",
        (Figure("gain", "CE, wide gap - CE, narrow gap", NATS),
         Figure("gain_same_compute", "the same, the small anchor of two distilled straight from the largest at equal compute", NATS),
         Figure("over_smaller", "CE of the smallest anchor as it is - CE, narrow gap", NATS),
         Figure("dense", "CE, narrow gap", NATS), Figure("sparse", "CE, wide gap", NATS),
         Figure("sparse_same_compute", "CE, two anchors, equal compute", NATS), Figure("smaller", "CE, smallest anchor", NATS),
         Figure("alpha_dense", "alpha*, narrow gap"), Figure("alpha_sparse", "alpha*, wide gap"),
         Figure("alpha_sparse_same_compute", "alpha*, two anchors, equal compute")),
        above("gain"), SETTING, 60, denser_chain,
        ("A better mixture may still be worse than the smallest anchor as it is: that difference is shown.",
         "A chain of four also gives its smallest anchor smaller steps: C6 and C10 measure that."), version=2,
        reasons=("alpha* was 1 in every case, so that a larger anchor was compared with a smaller one: the numbers were those of C4 and "
                 "C6. "
                 f"{REVERSE_KL_ALONE}",), published_unit=ROUGE, power=SPREAD),
    Claim(
        "C6", "Stepwise beats direct distillation, at equal updates", SYSTEM,
        "The smallest anchor is better when distilled through the chain than directly from the largest.",
        "Dolly, GPT-2 XL to B: 26.02 step by step, 23.30 direct (Rouge-L)",
        Source(PAPER, "stepwise and direct distillation"),
        "CE of the smallest anchor distilled from the largest - CE of the same shape distilled through the chain, at equal updates of "
        "its own. C10 is the same at equal compute.",
        (Figure("gain", "CE, direct - CE, step by step", NATS), Figure("stepwise", "CE, step by step", NATS),
         Figure("direct", "CE, direct", NATS),
         Figure("stepwise_loss_step_std", "standard deviation of the loss from step to step, step by step", NATS),
         Figure("direct_loss_step_std", "the same, direct", NATS)),
        above("gain"), SETTING, 40, step_by_step,
        ("At equal updates of the student the chain has had about three times the training in all.",
         "Reverse KL is taken on the corpus, not on the student's own samples as in the paper."), version=2,
        reasons=("Equal updates and equal compute were one claim, judged at equal updates alone as a trend; they are two now, C6 and C10. "
                 f"{REVERSE_KL_ALONE}",), published_unit=ROUGE, power=SPREAD),
    Claim(
        "C7", "Only nested anchors can be averaged", SYSTEM,
        "Anchors of one chain lie in a region where averages of weights work; models trained apart are separated by a barrier "
        "(2209.04836).",
        "no number: the paper averages public checkpoints, distilled one from another, and shows no such control",
        Source(PAPER, "equation 3"),
        "Barrier = CE(alpha = 1/2) - max(CE(0), CE(1)) at one shape: above 0 between models trained apart, the smaller one then distilled "
        "from the larger as in the paper; below 0 between nested anchors.",
        (Figure("barrier_independent", "barrier, trained apart, then distilled", NATS), Figure("barrier_nested", "barrier, nested", NATS),
         Figure("barrier_undistilled", "barrier, trained apart alone", NATS),
         *(Figure(f"{kind}_{end}", f"CE, {words}, {where}", NATS)
           for kind, words in (("independent", "trained apart, then distilled"), ("nested", "nested"),
                               ("undistilled", "trained apart alone"))
           for end, where in (("large", "alpha = 0"), ("half", "alpha = 1/2"), ("small", "alpha = 1")))),
        every(above("barrier_independent"), below("barrier_nested")), SETTING, 110, barrier,
        ("The models trained apart differ in seed and size alone: same corpus, tokenizer and family.",
         "Both smaller anchors had as many steps under the larger one."), version=2,
        reasons=("The models trained apart were never distilled down the chain, which the paper's public checkpoints are. "
                 f"{REVERSE_KL_ALONE}",), power="Barriers spread by 0.006 to 0.1 nats in version 1: five seeds tell 0.008 to 0.13 from "
                                                "none."),
    Claim(
        "C10", "Stepwise beats direct distillation, at equal compute", SYSTEM,
        "The smallest anchor is better when distilled through the chain than directly from the largest.",
        "Dolly, GPT-2 XL to B: 26.02 step by step, 23.30 direct (Rouge-L); both with 5,000 updates of the smallest",
        Source(PAPER, "stepwise and direct distillation"),
        "CE of the smallest anchor distilled from the largest - CE of the same shape distilled through the chain; direct takes as many "
        "steps as cost what the whole chain costs, at 2 P of the teacher and 6 P of the student a token.",
        (Figure("gain", "CE, direct - CE, step by step", NATS), Figure("stepwise", "CE, step by step", NATS),
         Figure("direct", "CE, direct", NATS), Figure("direct_steps", "steps, direct", "steps"),
         Figure("stepwise_loss_step_std", "standard deviation of the loss from step to step, step by step", NATS),
         Figure("direct_loss_step_std", "the same, direct", NATS)),
        above("gain"), SETTING, 60, step_by_step_equal_compute,
        ("A chain leaves usable anchors on the way; their worth is not counted.",
         "Reverse KL is taken on the corpus, not on the student's own samples as in the paper."), published_unit=ROUGE, power=SPREAD),
    Claim(
        "C11", "Two anchors beat one cloned", SYSTEM,
        "A mixture of two anchors is better than the smaller one expanded; HyperCloning (2409.12903) expands exactly by repeating units.",
        "277M from GPT2-XL: 36.47 for the chain, 34.71 from a single anchor (Rouge-L); HyperCloning: 2 to 4 times faster than random "
        "weights",
        Source(PAPER, "comparison with single expansion"),
        "At twice the width of the smallest anchor: CE of it cloned - CE of the best mixture with the largest anchor, alpha strictly "
        "between 0 and 1, after the same tokens.",
        (Figure("over_cloned", "CE, cloned - CE, mixed, after the budget", NATS),
         Figure("over_expansion", "CE, expanded by zeros - CE, mixed, after the budget", NATS),
         Figure("over_pruning", "CE, largest cut - CE, mixed, after the budget", NATS), Figure("alpha", "alpha*"),
         *(Figure(f"{name}_{when}", f"CE, {words}, {later}", NATS) for name, words in (
             ("mixed", "mixed"), ("cloned", "cloned"), ("expansion", "expanded by zeros"), ("pruning", "largest cut"))
           for when, later in (("before", "step 0"), ("after", "after the budget"))),
         Figure("clone_changes", "difference of the two exact expansions, step 0", NATS)),
        above("over_cloned"), SETTING, 60, against_cloning,
        ("Both expansions compute at step 0 what the smallest anchor computes; they differ in what training makes of them.",
         "Clones get noise that cancels at step 0; without it they stay copies."), published_unit=ROUGE, power=SPREAD),
    Claim(
        "C12", "The best alpha is still inside after training", SYSTEM,
        "alpha is swept, and the best one lies between the anchors.",
        "138M after training: .9 is best of .1 to .9; 0 and 1 are not shown", Source(PAPER, "its sweep of alpha"),
        "The target trained on for the token budget from seven alphas: CE of the better of alpha = 0 and 1 - CE of the best alpha inside, "
        "which is chosen on other text.",
        (Figure("over_ends", "CE, better end - CE, best alpha inside, after the budget", NATS), Figure("alpha", "best alpha inside"),
         *(Figure(f"alpha_{round(100 * alpha)}", f"CE, alpha = {alpha:g}, after the budget", NATS) for alpha in SETTING.recovery_alphas)),
        above("over_ends"), SETTING, 60, alpha_after_recovery,
        ("alpha = 1 is the smaller anchor exactly, in the target's shape: all seven have the same parameters and tokens.",),
        published_unit=ROUGE, power=SPREAD),
)
