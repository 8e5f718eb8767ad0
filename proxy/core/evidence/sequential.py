"""Evidence that stays valid however often it is looked at: e-values.

An e-value has a mean of at most 1 as long as nothing is wrong, whenever one stops to look. So the chance
that it ever reaches x is at most 1 / x (Ville 1939): a threshold replaces the significance level, and
looking after every request costs nothing. Products of e-values of disjoint data and averages of any are
e-values again. Everything is computed as logarithms, since e-values of much data do not fit in a float.

Sources: Grünwald, de Heide and Koolen, Safe testing; ter Schure et al., Safe logrank tests; Howard, Ramdas
et al., Time-uniform confidence sequences; Lindon and Malek, arXiv 2011.03567 (sample ratio).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import exp, inf, lgamma, log, log1p
from typing import Final, NamedTuple

CONFIDENCE: Final = log(20.0)  # of a bound: wrong at any time with a chance of 5 %
PLACES: Final = 100.0  # 1 / the chance that any place of an endpoint is ever reported without a reason
THETAS: Final = (1 / 8, 1 / 4, 1 / 2)  # rates that a bound is sharp for beside 0, as shares of the bound
RATIOS: Final = (1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0)  # of odds that a trial is sharp for
CONCENTRATION: Final = (
    100.0  # of the prior of a sample ratio: how near to the expected one others are looked for
)
MOST: Final = 10**12  # units that a forecast counts up to
FEW: Final = 60  # failures of one event whose terms are all added up: with powers of 100 they fit in a float
_THETAS: Final = tuple((share, log(share)) for share in THETAS)
_NEGLIGIBLE: Final = 1e-16
_SMALLEST: Final = -500.0  # log of the least chance that is computed with as it is
_PRECISE: Final = 1e-7


def log_mean_exp(logs: Sequence[float]) -> float:
    """The logarithm of the mean of numbers that are given as logarithms."""
    largest = max(logs)
    if largest in (-inf, inf):
        return largest
    return largest + log(sum([exp(each - largest) for each in logs]) / len(logs))


# Noisy places: of the pairs in which only one side was odd, in how many was it async?


def one_sided(b: int, c: int) -> float:
    """log of E = 2 * integral over p from 1/2 to 1 of (2p)^b (2-2p)^c: b fell on async, c on legacy.

    With n = b + c + 1 the integral is a beta function times the tail of a fair binomial:
    E = 2^n * b! c! / n! * P(X <= b).
    """
    n = b + c + 1
    return n * log(2.0) + lgamma(b + 1) + lgamma(c + 1) - lgamma(n + 1) + _log_at_most(b, n)


def place_threshold(i: int) -> float:
    """log of the evidence that makes the i-th place (from 1) a fault: wrong anywhere by chance 1 / PLACES."""
    return log(PLACES * i * (i + 1))


def smallest_b(c: int, threshold: float, most: int) -> int | None:
    """The smallest b up to `most` that reaches the threshold beside this c; None if none does."""
    low, high = 0, most + 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if one_sided(middle, c) >= threshold else (middle + 1, high)
    return low if low <= most else None


def _log_at_most(k: int, n: int) -> float:
    """log P(X <= k) of n fair coins, summed from the term that matters most."""
    if k >= n:
        return 0.0
    if 2 * k > n:
        return log1p(-exp(_log_at_most(n - k - 1, n)))
    total = term = 1.0
    for i in range(k, 0, -1):
        term *= i / (n - i + 1)
        total += term
        if term < total * _NEGLIGIBLE:
            break
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1) - n * log(2.0) + log(total)


# Bounds: of n units k were bad. Is the rate below q?


def below(k: int, n: int, q: float) -> float:
    """log of the evidence that the rate is below q, 0 < q < 1: the mean likelihood ratio of 0 and THETAS."""
    rest = log1p(-q)
    logs = [-inf if k else -n * rest]
    for share, log_share in _THETAS:
        logs.append(k * log_share + (n - k) * (log1p(-share * q) - rest))
    return log_mean_exp(logs)


@lru_cache(maxsize=4096)
def upper_bound(k: int, n: int) -> float:
    """With 95 % confidence, at all times together, the rate is below this; 1 if nothing is known.

    Of the users who meet a difference, this is the bound of `likely equal`.
    """
    if n <= 0 or k >= n:
        return 1.0
    low = k / n
    high = min(1.0, low + (10.0 + 4.0 * k**0.5) / n)  # most often above the bound, and much nearer than 1
    if high < 1.0 and below(k, n, high) < CONFIDENCE:
        low, high = high, 1.0
    while high - low > _PRECISE * high:
        middle = (low + high) / 2
        low, high = (low, middle) if below(k, n, middle) >= CONFIDENCE else (middle, high)
    return 1.0 if high >= 1.0 - _PRECISE else high


@lru_cache(maxsize=4096)
def missing_units(k: int, n: int, q: float) -> int:
    """How many more units, all of them clean, bring the bound down to q; 0 if it is there."""
    if n > 0 and below(k, n, q) >= CONFIDENCE:
        return 0
    low, high = 0, 1
    while below(k, n + high, q) < CONFIDENCE and high < MOST:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if below(k, n + middle, q) >= CONFIDENCE else (middle, high)
    return high


# Trials: async's share of the units at risk against its share of those that fail.


class AtRisk(NamedTuple):
    """Units of both sides that are active and have not failed, and those of them that now did."""

    legacy: int
    async_: int
    failed_legacy: int
    failed_async: int

    @property
    def share(self) -> float:
        return self.async_ / (self.legacy + self.async_)


class Trial:
    """Does async fail more often than `margin` times legacy's odds? One epoch. Never changed.

    Each report is one event: given how many units failed in it, the number on async has a (noncentral)
    hypergeometric distribution. `log_e` is the mean over RATIOS above the margin, 0 at the beginning.
    """

    __slots__ = ("log_e", "logs", "margin")

    def __init__(self, margin: float = 1.0, logs: Sequence[float] = ()) -> None:
        """`logs` are those of an earlier one, for each ratio; what does not fit begins afresh."""
        self.margin: Final = margin
        ratios = len(_alternatives(margin))
        self.logs: Final = list(logs) if len(logs) == ratios else [0.0] * ratios
        self.log_e: Final = log_mean_exp(self.logs)

    def after(self, seen: AtRisk) -> Trial:
        """One event later: units of which some failed for the first time."""
        failed = seen.failed_legacy + seen.failed_async
        if not failed or not seen.legacy or not seen.async_:
            return self
        null, x = _log_sum(seen, self.margin), seen.failed_async
        return Trial(
            self.margin,
            [
                each + x * gain + null - _log_sum(seen, ratio)
                for each, (ratio, gain) in zip(self.logs, _alternatives(self.margin), strict=True)
            ],
        )

    def after_requests(self, failed_async: int, failed: int, share: float) -> Trial:
        """Each of the failed is a unit of its own, that was on async with probability `share`."""
        if not failed or not 0 < share < 1:
            return self
        null = failed * log1p(share * (self.margin - 1.0))
        return Trial(
            self.margin,
            [
                each + failed_async * gain + null - failed * log1p(share * (ratio - 1.0))
                for each, (ratio, gain) in zip(self.logs, _alternatives(self.margin), strict=True)
            ],
        )


@lru_cache(maxsize=64)
def _alternatives(margin: float) -> tuple[tuple[float, float], ...]:
    """The ratios above the margin, each with the logarithm of how many times the margin it is."""
    ratios = [ratio for ratio in RATIOS if ratio > margin] or [2.0 * margin]
    return tuple((ratio, log(ratio / margin)) for ratio in ratios)


def no_worse_units(seen: AtRisk, ratio: float) -> float:
    """log of the evidence of one event that async's odds of failing are below `ratio` times legacy's."""
    if not seen.legacy or not seen.async_:
        return 0.0
    return _log_sum(seen, ratio) - seen.failed_async * log(ratio)


def _log_sum(seen: AtRisk, ratio: float) -> float:
    """log of the sum over j of h(j) r^j, h hypergeometric: j of the failed are on async."""
    failed = seen.failed_legacy + seen.failed_async
    if failed == 1:
        return log1p(seen.share * (ratio - 1.0))
    chances = _chances(seen) if failed <= FEW else ()
    if not chances:
        return _log_sum_of_many(seen, log(ratio))
    total = 0.0
    for chance in chances:
        total = total * ratio + chance
    return log(total) + max(0, failed - seen.legacy) * log(ratio)


@lru_cache(maxsize=256)
def _chances(seen: AtRisk) -> tuple[float, ...]:
    """h(j) of one event from the largest j down, which is asked for a dozen ratios one after another.
    Nothing where the smallest of them does not fit in a float."""
    failed = seen.failed_legacy + seen.failed_async
    first, last = max(0, failed - seen.legacy), min(failed, seen.async_)
    log_first = (
        _log_choose(seen.async_, first)
        + _log_choose(seen.legacy, failed - first)
        - _log_choose(seen.legacy + seen.async_, failed)
    )
    if log_first < _SMALLEST:
        return ()
    found = [exp(log_first)]
    for j in range(first, last):
        found.append(found[-1] * _next(seen, failed, 1.0, j))
    return tuple(reversed(found))


def _log_sum_of_many(seen: AtRisk, log_ratio: float) -> float:
    """The terms rise and then fall, so it is summed outwards from about the largest until nothing is gained:
    an event of thousands has to cost no more than a few hundred terms.
    """
    failed = seen.failed_legacy + seen.failed_async
    first, last = max(0, failed - seen.legacy), min(failed, seen.async_)
    ratio = exp(log_ratio)
    largest = _mode(seen, failed, ratio, first, last)
    total = 1.0
    for step in (1, -1):
        j, term = largest, 1.0
        while first <= j + step <= last and term > total * _NEGLIGIBLE:
            term *= _next(seen, failed, ratio, j) if step > 0 else 1 / _next(seen, failed, ratio, j - 1)
            total += term
            j += step
    chance = (
        _log_choose(seen.async_, largest)
        + _log_choose(seen.legacy, failed - largest)
        - _log_choose(seen.legacy + seen.async_, failed)
    )
    return chance + largest * log_ratio + log(total)


def _next(seen: AtRisk, failed: int, ratio: float, j: int) -> float:
    """The term of j + 1 as a multiple of the term of j."""
    return (seen.async_ - j) * (failed - j) / ((j + 1) * (seen.legacy - failed + j + 1)) * ratio


def _mode(seen: AtRisk, failed: int, ratio: float, first: int, last: int) -> int:
    """The last j whose term is not smaller than the one before."""
    low, high = first, last
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if _next(seen, failed, ratio, middle) >= 1.0 else (low, middle)
    return low


def _log_choose(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)


def failing_on_async(failed_async: int, failed: int, share: float, ratio: float) -> float:
    """log of the factor r^x / (1 - p + r p)^failed: each of the failed was on async with probability `share`.

    For requests of a stretch of time, of which only the sums are known: that the failed are drawn from a
    finite number makes the true denominator smaller, so this errs on the safe side.
    """
    return failed_async * log(ratio) - failed * log1p(share * (ratio - 1.0))


def no_worse(failed_async: int, failed: int, share: float, ratio: float) -> float:
    """log of the evidence that async's odds of failing are below `ratio` times legacy's."""
    return -failing_on_async(failed_async, failed, share, ratio)


def above(k: int, n: int, q: float) -> float:
    """log of the evidence that the rate is above q: the mean likelihood ratio over RATIOS of its odds.

    Units that have not failed yet, but may, make it smaller: it can be looked at before they are through.
    """
    if not 0 < q < 1:
        return 0.0
    logs = []
    for ratio in RATIOS:
        theta = ratio * q / (1 + (ratio - 1) * q)
        logs.append(k * log(theta / q) + (n - k) * (log1p(-theta) - log1p(-q)))
    return log_mean_exp(logs)


# Sample ratio: are units dealt as the weight says?


def sample_ratio(async_: int, legacy: int, share: float) -> float:
    """log of the evidence that async's share of the units is another than `share`, 0 < share < 1."""
    a, b = CONCENTRATION * share, CONCENTRATION * (1 - share)
    alternative = _log_beta(a + async_, b + legacy) - _log_beta(a, b)
    return alternative - async_ * log(share) - legacy * log1p(-share)


def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)
