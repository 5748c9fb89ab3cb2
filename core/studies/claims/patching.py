"""The claims about sizes by patching, at a scale of minutes on one core: Boomerang distillation (2510.05064) and what followed it.

`core.studies.claims.small_patching` makes a teacher of 12 blocks and its students, tiny decoders trained on film reviews;
`core.studies.claims.patching_encoder` patches the house encoder back into its DistilBERT student.
"""

from __future__ import annotations

from core.studies.claims.claim import Claim, Figure, Source
from core.studies.claims.distilbert import SETTING as ENCODER_SETTING
from core.studies.claims.patching_encoder import patched_back
from core.studies.claims.patching_protocol import PatchingProtocolConfig
from core.studies.claims.patching_protocols import (
    as_good_as_direct,
    choosing_by_kl,
    interpolates,
    random_does_not,
    wide_spans_break,
)
from core.studies.claims.rules import above, below, every

SYSTEM = "Sizes by patching"
BOOMERANG, KLPATCH = "2510.05064", "2607.08170"
NATS = "nats/token"
SETTING = PatchingProtocolConfig()
BETWEEN = range(7, 12)  # depths between a student of 6 blocks and its teacher of 12
NOT_WORSE = 0.02  # nats per token: about 2% of perplexity; what "on a par" may cost at one size
AREA_NOT_WORSE = 0.005  # nats per token, in the mean over the sizes between
OURS = ("The teacher has 0.7 million parameters. Hidden states are matched by their squared error, the last ones by their cosine too, "
        "where the paper has the cosine alone.")
HEAD = "Embeddings, norm and head stay the student's at every size: the published recipe takes the teacher's with its first and last span."
POWER = "No spread was known beforehand. With a standard deviation of 0.02 nats over seeds, five seeds tell 0.025 from none."

CLAIMS = (
    Claim(
        "E1", "Patching interpolates, pruning does not", SYSTEM,
        "A student whose blocks are exchanged for the teacher's that they stand for gives every size between, smoothly and without "
        "training; pruning the teacher to the same sizes does not.",
        "sizes between are on a par with models distilled one by one; pruning falls apart (figures)", Source(BOOMERANG, "its main results"),
        "At every depth between: CE of the teacher's evenly spread blocks - CE of the patched student, spans from last to first; and CE of "
        "the student - mean CE of the sizes between.",
        (Figure("least_over_pruning", "CE, pruned - CE, patched, at the size where it is least", NATS),
         Figure("over_student", "CE, student - mean CE, patched", NATS),
         Figure("area_over_pruning", "mean CE, pruned - mean CE, patched", NATS), Figure("student", "CE, student of 6 blocks", NATS),
         Figure("teacher", "CE, teacher of 12 blocks", NATS), *(Figure(f"patched_{depth}", f"CE, patched, {depth} blocks",
          NATS) for depth in BETWEEN),
         *(Figure(f"pruned_{depth}", f"CE, pruned, {depth} blocks", NATS) for depth in BETWEEN)),
        every(above("least_over_pruning"), above("over_student")), SETTING, 110, interpolates,
        (OURS, HEAD, "The student as it is would beat pruning too: the sizes between must also be better than it."), power=POWER),
    Claim(
        "E2", "From random weights nothing interpolates", SYSTEM,
        "A student that begins with random weights in place of its teacher's blocks does not give the sizes between, though it is trained "
        "alike.",
        "no interpolation from random weights (figure)", Source(BOOMERANG, "its ablation of the initialisation"),
        "Mean CE of the sizes between - CE of the student: above 0 from random weights, below 0 from the teacher's blocks.",
        (Figure("random_loss", "what patching costs the student of random weights", NATS),
         Figure("copied_gain", "what patching wins for the copied student", NATS),
         *(Figure(f"{name}_{part}", f"{words}, {name}", NATS) for name in ("copied", "random") for part, words in (
             ("student", "CE, student"), ("between", "mean CE between"), ("worst", "largest CE between")))),
        every(above("random_loss"), above("copied_gain")), SETTING, 70, random_does_not, (OURS, HEAD), power=POWER),
    Claim(
        "E3", "As good as distilling every size", SYSTEM,
        "Sizes by patching are no worse than models that were distilled directly at that size for as many tokens.",
        "on a par, better at large sizes; 14.5 to 19.2 times fewer operations than distilling each size",
        Source(BOOMERANG, "its comparison with distillation"),
        f"CE of a model distilled at 7, 9 and 11 blocks - CE of the patched one: above -{NOT_WORSE} nats at each.",
        (*(Figure(f"margin_{depth}", f"CE, direct - CE, patched, {depth} blocks", NATS) for depth in SETTING.direct_sizes),
         *(Figure(f"{name}_{depth}", f"CE, {name}, {depth} blocks", NATS) for name in ("direct",
          "patched") for depth in SETTING.direct_sizes),
         Figure("student", "CE, student", NATS), Figure("teacher", "CE, teacher", NATS)),
        every(*(above(f"margin_{depth}", -NOT_WORSE) for depth in SETTING.direct_sizes)), SETTING, 150, as_good_as_direct,
        (OURS, HEAD, "Directly distilled models begin as evenly spread blocks of the teacher and have the same losses."), power=POWER,
         published_unit="operations"),
    Claim(
        "E4", "Spans that are too wide break it", SYSTEM,
        "With every second or third block kept the sizes between are smooth; with every fourth or fifth they are not.",
        "no number: every second and third block works, every fourth or fifth does not (figure)", Source(BOOMERANG, "its ablation of the "
         "spans"),
        "Roughness = largest change from one size to the next / difference of student and teacher * number of spans, 1 for a straight "
        "line: that of spans of 4 - that of spans of 2.",
        (Figure("rougher", "roughness, spans of 4 - spans of 2"),
         *(Figure(f"{part}_{span}", f"{words}, spans of {span}", unit) for span in SETTING.spans for part, words, unit in (
             ("roughness", "roughness", ""), ("jump", "largest change", NATS), ("range", "student - teacher", NATS),
             ("worst", "worst size - student", NATS)))),
        above("rougher"), SETTING, 110, wide_spans_break,
        (OURS, HEAD, "Wider spans leave fewer sizes between; the number of spans is divided out."), power=POWER.replace("0.02 nats", "0.2")
        .replace("0.025", "0.25")),
    Claim(
        "E5", "Which spans first", SYSTEM,
        "At each size the span is patched whose model is nearest to the teacher; that is at least as good as from last to first.",
        "548 to 1,722 times cheaper than exhaustive search, and as good or better than a fixed order", Source(KLPATCH, "its main results"),
        f"Mean CE of the sizes between: last to first - by least KL above -{AREA_NOT_WORSE} nats; at random - last to first above 0.",
        (Figure("kl_over_last_first", "mean CE, last to first - by KL", NATS),
         Figure("last_first_over_random", "mean CE, at random - last to first", NATS), Figure("area_kl", "mean CE between, by KL", NATS),
         Figure("area_last_first", "mean CE between, last to first", NATS), Figure("area_random", "mean CE between, at random", NATS)),
        every(above("kl_over_last_first", -AREA_NOT_WORSE), above("last_first_over_random")), SETTING, 90, choosing_by_kl,
        (OURS, HEAD, "KL is measured on 32 held-out blocks that are not those of the result; random is the mean of three orders."),
         power=POWER, published_unit="cost of the search"),
    Claim(
        "E6", "BERT patched back into DistilBERT", SYSTEM,
        "Blocks of BERT, patched back into DistilBERT from last to first, make it better step by step, although it was not trained for it.",
        "no number: smooth between the public DistilBERT and BERT, spans of [0, 2, 4, 7, 9, 11] (figure)", Source(BOOMERANG, "its "
         "zero-shot BERT "
         "results"),
        "House encoder of 6 blocks, its DistilBERT student of 3: largest rise of the masked CE from one size to the next, below 0; and at "
        "the sizes between, CE of the teacher's blocks alone - CE of the patched student, above 0.",
        (Figure("largest_rise", "largest rise of the masked CE", NATS),
         Figure("least_over_pruning", "CE, undistilled copy patched - CE, student patched, where it is least", NATS),
         *(Figure(f"patched_{count}", f"masked CE, {count} of 3 spans patched back", NATS) for count in range(4)),
         *(Figure(f"pruned_{count}", f"masked CE, undistilled copy, {count} of 3 spans", NATS) for count in range(4))),
        every(below("largest_rise"), above("least_over_pruning")), ENCODER_SETTING, 40, patched_back,
        ("The student saw 300,000 tokens; the public one saw billions. Public weights are not measured here.",
         "With the last span come the teacher's head's own layers, with the first its embeddings.",
         "An undistilled copy is monotone too, since every span repairs it: the student must be better than it at every size."),
        power="No spread was known beforehand; students of version 1 of A3 lay within 0.007 nats of each other."),
)
