"""Means, medians and ratios with their confidence intervals.

With x_s the value that seed s gives, n seeds, m their mean, SE its standard error and t(p, k) the p-quantile of Student's
t distribution with k degrees of freedom, the interval of level c (Student 1908, doi:10.2307/2331554) is

    m = 1/n sum_s x_s        SE = sqrt(sum_s (x_s - m)^2 / (n (n - 1)))        m ± t((1 + c) / 2, n - 1) SE

Few seeds make it wide: t is 4.30 for three seeds and 2.78 for five at 95%, where the normal distribution has 1.96. Timings, whose
distribution has a long tail, and ratios of sums take the percentile bootstrap instead (`core.evaluation.bootstrap`).
A share p of n items takes Wilson's score interval (Wilson 1927, doi:10.2307/2276774), which does not shrink to a point at 0 and 1 and
stays between them; with z the normal quantile it is

    (p + z^2 / 2n ± z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n)

Items of equal text get the same answer, so repeating them adds nothing: with c_k items of the k-th distinct text, n is replaced by the
effective size (sum_k c_k)^2 / sum_k c_k^2 (Kish 1965, section 11.7). The difference of two models' shares on the same items takes the
adjusted Wald interval (Bonett and Price 2012, doi:10.3102/1076998611411915), which does not shrink to a point where they never differ.

Another mean over many items takes the normal approximation of its standard error. Both are about the items, not about seeds.
An `Estimate` carries its level, n and method, so that whoever shows it can say them.
"""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

Method = Literal["student_t", "welch", "bootstrap", "normal", "wilson", "paired_wald", "two_standard_errors"]

METHOD_NAMES = {"student_t": "Student's t", "welch": "Welch's t", "bootstrap": "bootstrap", "normal": "normal approximation",
                "wilson": "Wilson", "paired_wald": "adjusted Wald, paired"}
LEVEL = 0.95  # of every confidence interval, unless another is given
MOST_TERMS = 1000  # degrees of freedom up to which the distribution is summed; beyond, its expansion is exact to 1e-12
BISECTIONS = 100


def mean(values: Sequence[float]) -> float:
    """Return the arithmetic mean."""
    return math.fsum(values) / len(values)


def standard_error(values: Sequence[float]) -> float | None:
    """Return the standard error of the mean; None for one value, which shows no spread."""
    if len(values) < 2:
        return None
    middle = mean(values)
    return math.sqrt(math.fsum((value - middle) ** 2 for value in values) / (len(values) * (len(values) - 1)))


def z_critical(level: float = LEVEL) -> float:
    """Return the (1 + level) / 2 quantile of the normal distribution."""
    return statistics.NormalDist().inv_cdf((1 + level) / 2)


@functools.lru_cache(maxsize=256)
def t_critical(n: int, level: float = LEVEL) -> float:
    """Return t((1 + level) / 2, n - 1): the half-width of the interval around the mean of n values, in standard errors.

    Up to `MOST_TERMS` degrees of freedom k the probability between -t and t is summed exactly (Abramowitz and Stegun 1964,
    26.7.3 and 26.7.4, in theta = atan(t / sqrt(k))) and inverted by bisection; beyond, the expansion about the normal quantile is
    taken (26.7.5).

    Raises:
        ValueError: fewer than two values, or a level outside (0, 1).
    """
    if n < 2:
        raise ValueError(f"an interval needs at least 2 values, not {n}")
    if not 0 < level < 1:
        raise ValueError(f"a level lies between 0 and 1, unlike {level}")
    freedom = n - 1
    if freedom > MOST_TERMS:
        return _expanded_quantile(z_critical(level), freedom)
    low, high = 0.0, math.pi / 2
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if _central_probability(middle, freedom) < level:
            low = middle
        else:
            high = middle
    return math.sqrt(freedom) * math.tan((low + high) / 2)


def _central_probability(theta: float, freedom: int) -> float:
    """Return P(|t| < sqrt(freedom) tan theta)."""
    sine, squared = math.sin(theta), math.cos(theta) ** 2
    odd = freedom % 2
    term, total = (math.cos(theta) if odd else 1.0), 0.0
    for index in range(freedom // 2):  # of the sum in powers of cos: each term from the one before
        total += term
        term *= squared * ((2 * index + 2) / (2 * index + 3) if odd else (2 * index + 1) / (2 * index + 2))
    return 2 / math.pi * (theta + sine * total) if odd else sine * total


def _expanded_quantile(z: float, freedom: int) -> float:
    square = z * z
    return z + z * ((square + 1) / 4 / freedom
                    + ((5 * square + 16) * square + 3) / 96 / freedom**2
                    + (((3 * square + 19) * square + 17) * square - 15) / 384 / freedom**3
                    + ((((79 * square + 776) * square + 1482) * square - 1920) * square - 945) / 92160 / freedom**4)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its confidence interval.

    Attributes:
        low, high: ends of the interval; None where there is a single value and no interval.
        level: confidence level from 0 to 1; None where there is no interval, or where it was not chosen by its level.
        n: values that the interval was computed from; None where it is not known.
        method: ``student_t``, ``welch``, ``bootstrap``, ``normal``, ``wilson``, ``paired_wald``, or ``two_standard_errors``, which
            releases up to 0.1.0 took for intervals over seeds (82% at three seeds); empty without an interval.
        over: what the n values are: seeds, rounds of a timing, items.
    """

    value: float
    low: float | None = None
    high: float | None = None
    level: float | None = None
    n: int | None = None
    method: Method | Literal[""] = ""
    over: str = ""

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Estimate:
        """Return the estimate of the plain data that `dataclasses.asdict` gives.

        What releases up to 0.1.0 stored names no method: an interval over seeds was two standard errors wide to either side.
        """
        if "method" not in plain and plain.get("low") is not None:
            plain = {"method": "two_standard_errors", "over": "seeds", **plain}
        return cls(**plain)

    @property
    def margin(self) -> float | None:
        """Half the width of the interval; None without one."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2

    @property
    def interval_words(self) -> str:
        """What kind of interval it is, for a caption: "95% CI, Student's t over 3 seeds"; empty without one."""
        return interval_words(self.method, self.level, self.n, self.over) if self.method else ""

    def map(self, function: Callable[[float], float]) -> Estimate:
        """Return the estimate of a monotonic function of the number."""
        if self.low is None or self.high is None:
            return replace(self, value=function(self.value))
        low, high = sorted((function(self.low), function(self.high)))
        return replace(self, value=function(self.value), low=low, high=high)


def interval_words(method: Method, level: float | None = LEVEL, n: int | None = None, over: str = "seeds") -> str:
    """Return how an interval is described wherever one is shown: its level, its method and the values that it was computed from."""
    count = "" if n is None else f"{n:,} "
    kind = "± 2 standard errors" if method == "two_standard_errors" else f"{level_words(level or LEVEL)} CI, {METHOD_NAMES[method]}"
    return f"{kind} over {count}{over}" if over else kind


def level_words(level: float = LEVEL) -> str:
    """Return a level as a percentage: 95%."""
    return f"{100 * level:.4g}%"


def mean_interval(values: Sequence[float], level: float = LEVEL, over: str = "seeds") -> Estimate:
    """Return the mean with its Student's t interval."""
    return _student_t(mean(values), standard_error(values), len(values), level, over)


def ratio_of_means(above: Sequence[float], below: Sequence[float], level: float = LEVEL, over: str = "seeds") -> Estimate:
    """Return mean(above) / mean(below) with its Student's t interval; the values are paired, seed by seed.

    The standard error is that of the linearised ratio r (delta method): of the mean of (y_s - r x_s) / mean(x).

    Raises:
        ValueError: the two differ in length.
    """
    if len(above) != len(below):
        raise ValueError(f"paired values are expected, not {len(above)} and {len(below)}")
    scale = mean(below)
    ratio = mean(above) / scale
    error = standard_error([(y - ratio * x) / scale for y, x in zip(above, below, strict=True)])
    return _student_t(ratio, error, len(above), level, over)


def normal_interval(value: float, error: float, n: int | None = None, level: float = LEVEL, over: str = "items") -> Estimate:
    """Return value ± z((1 + level) / 2) error, for a number whose standard error follows from many items alone.

    Args:
        error: standard error, as sqrt(a (1 - a) / n) of a share a.
        n: items, where they are known.
    """
    margin = z_critical(level) * error
    return Estimate(value, value - margin, value + margin, level, n, "normal", over)


def wilson_interval(share: float, n: int, level: float = LEVEL, over: str = "items", effective: float | None = None) -> Estimate:
    """Return a share of n items with its score interval (Wilson 1927, doi:10.2307/2276774).

    Args:
        effective: items that it is worth, where some are equal (`core.tasks.metrics.effective_size`); `n` is what the estimate says.

    Raises:
        ValueError: no items, or a share outside [0, 1].
    """
    if n < 1 or not 0 <= share <= 1:
        raise ValueError(f"a share from 0 to 1 of at least 1 item is expected, not {share} of {n}")
    z, size = z_critical(level), effective or n
    shrunk = 1 + z * z / size
    middle = (share + z * z / (2 * size)) / shrunk
    margin = z * math.sqrt(share * (1 - share) / size + z * z / (4 * size * size)) / shrunk
    # Rounding must not put the value outside of its own interval at 0 and 1.
    return Estimate(share, max(0.0, min(middle - margin, share)), min(1.0, max(middle + margin, share)), level, n, "wilson", over)


def paired_difference(first: Sequence[bool], second: Sequence[bool], level: float = LEVEL, over: str = "items",
                      effective: float | None = None) -> Estimate:
    """Return the share of `first` minus that of `second`, of the same items, with its adjusted Wald interval (Bonett and Price 2012).

    With f the items that only the first has and g those that only the second has, a = (f + 1) / (n + 2) and b = (g + 1) / (n + 2), it is
    a - b ± z sqrt((a + b - (a - b)^2) / (n + 2)).

    Args:
        effective: items that they are worth, where some are equal (`core.tasks.metrics.effective_size`).

    Raises:
        ValueError: no items, or not the same number.
    """
    if not len(first) or len(first) != len(second):
        raise ValueError(f"the same items are expected, at least one, not {len(first)} and {len(second)}")
    n = effective or len(first)
    gained, lost = (sum(bool(mine) > bool(theirs) for mine, theirs in zip(*pair, strict=True)) / len(first)
                    for pair in ((first, second), (second, first)))
    a, b = (gained * n + 1) / (n + 2), (lost * n + 1) / (n + 2)
    margin = z_critical(level) * math.sqrt((a + b - (a - b) ** 2) / (n + 2))
    value = gained - lost
    return Estimate(value, max(-1.0, min(a - b - margin, value)), min(1.0, max(a - b + margin, value)), level, len(first), "paired_wald",
                    over)


def welch_difference(first: Sequence[float], second: Sequence[float], level: float = LEVEL, over: str = "seeds") -> Estimate:
    """Return mean(first) - mean(second) of two independent samples, with Welch's interval (1947, doi:10.2307/2332510).

    The degrees of freedom are those of Satterthwaite, rounded down, which widens the interval; none with fewer than two values on a side.
    """
    difference, errors = mean(first) - mean(second), (standard_error(first), standard_error(second))
    if errors[0] is None or errors[1] is None:
        return Estimate(difference)
    squares = [error**2 for error in errors if error is not None]
    spread = math.fsum(squares)
    below = math.fsum(square**2 / (len(values) - 1) for square, values in zip(squares, (first, second), strict=True))
    freedom = max(1, math.floor(spread**2 / below)) if below else len(first) + len(second) - 2
    margin = t_critical(freedom + 1, level) * math.sqrt(spread)
    return Estimate(difference, difference - margin, difference + margin, level, len(first) + len(second), "welch", over)


PAIRED_SEEDS = 2  # common seeds from which on two samples are compared seed by seed


def difference_over_seeds(first: Mapping[int, float], second: Mapping[int, float], level: float = LEVEL) -> tuple[Estimate, str] | None:
    """Return the mean of the first sample minus that of the second, and how it was taken; None where one of them is empty.

    Seed by seed where both have at least `PAIRED_SEEDS` seeds in common, else as independent samples (Welch).

    Args:
        first, second: seed -> value.
    """
    if not first or not second:
        return None
    common = sorted(first.keys() & second.keys())
    if len(common) >= PAIRED_SEEDS:
        paired = mean_interval([first[seed] - second[seed] for seed in common], level)
        return paired, f"paired, {len(common)} common seeds"
    return (welch_difference(list(first.values()), list(second.values()), level),
            f"independent, {len(first)} and {len(second)} seeds")


# A metric that is a share of items that are right or wrong -> the metric that counts the items.
SHARES_OF_ITEMS = {"accuracy": "items", "exact_match": "items", "sentiment_accuracy": "sentiment_items"}


def item_interval(name: str, metrics: Mapping[str, float]) -> Estimate | None:
    """Return a metric over items or blocks with its interval; None where it has no interval.

    A share of items takes Wilson's, over the distinct texts where the metrics count them (``distinct``, ``effective``); what was
    bootstrapped when it was measured has it beside it, as ``perplexity_low`` and ``perplexity_high``; another mean takes the normal one.

    Args:
        name: of one of `metrics`, as they are recorded of a model.
    """
    if f"{name}_low" in metrics and f"{name}_high" in metrics:
        blocks = metrics.get("blocks")
        return Estimate(metrics[name], metrics[f"{name}_low"], metrics[f"{name}_high"], LEVEL, None if blocks is None else int(blocks),
                        "bootstrap", "blocks of text")
    counted = SHARES_OF_ITEMS.get(name)
    if counted is not None and counted in metrics:
        if "distinct" in metrics and metrics["distinct"] < metrics[counted]:
            return wilson_interval(metrics[name], int(metrics["distinct"]), over="distinct texts", effective=metrics["effective"])
        return wilson_interval(metrics[name], int(metrics[counted]), over="reviews" if counted == "sentiment_items" else "items")
    if name in (*SHARES_OF_ITEMS, "answer_f1") and "stderr" in metrics:
        return normal_interval(metrics[name], metrics["stderr"])
    return None


def _student_t(value: float, error: float | None, n: int, level: float, over: str) -> Estimate:
    if error is None or not math.isfinite(error):
        return Estimate(value)
    margin = t_critical(n, level) * error
    return Estimate(value, value - margin, value + margin, level, n, "student_t", over)
