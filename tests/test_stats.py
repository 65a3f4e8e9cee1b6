"""Numbers worked by hand, or printed in the sources."""

from __future__ import annotations

import pytest

from curation.intervals import wilson_interval
from training.stats import compare, mcnemar, paired_interval


@pytest.mark.parametrize(
    ("correct", "n", "low", "high"),
    [
        # z = 1.959964, z2 = 3.841459: centre (.8 + z2/20) / (1 + z2/10) = .71674, half .22658
        (8, 10, 0.49016, 0.94332),
        (0, 10, 0.0, 0.27753),  # upper bound at 0 of n is z2 / (n + z2) = 3.841459 / 13.841459
        (10, 10, 0.72247, 1.0),  # the mirror image
        (0, 0, 0.0, 1.0),  # nothing asked, nothing known
    ],
)
def test_wilson_interval(correct, n, low, high):
    assert wilson_interval(correct, n) == pytest.approx((low, high), abs=1e-5)


def test_wilson_interval_solves_its_own_equation():
    """The bounds are the shares from which the observed one lies exactly z standard errors away."""
    for bound in wilson_interval(37, 120):
        assert abs(37 / 120 - bound) / (bound * (1 - bound) / 120) ** 0.5 == pytest.approx(1.959964, abs=1e-6)


@pytest.mark.parametrize(("correct", "n", "confidence"), [(-1, 3, 0.95), (4, 3, 0.95), (1, 3, 1.0)])
def test_wilson_interval_refuses_impossible_counts(correct, n, confidence):
    with pytest.raises(ValueError, match="outside"):
        wilson_interval(correct, n, confidence)


@pytest.mark.parametrize(
    ("only_before", "only_after", "p"),
    [
        (1, 5, 14 / 64),  # 2 * (C(6,0) + C(6,1)) / 2**6
        (5, 1, 14 / 64),  # two-sided: the same
        (0, 6, 2 / 64),
        (3, 3, 1.0),  # 2 * (1 + 6 + 15 + 20) / 64 > 1
        (0, 0, 1.0),  # they never differ
    ],
)
def test_mcnemar(only_before, only_after, p):
    assert mcnemar(only_before, only_after) == pytest.approx(p)


def test_mcnemar_of_thousands_of_problems_neither_overflows_nor_vanishes():
    # Normal approximation with continuity correction: z = (2600 - 2400 - 1) / sqrt(5000) = 2.814, p = .00489
    assert mcnemar(2400, 2600) == pytest.approx(0.00489, abs=2e-5)


def test_paired_interval_covers_the_difference_and_is_repeatable():
    # 30 gained, 10 lost of 100: difference .2, standard error sqrt(.4 - .04) / 10 = .06
    low, high = paired_interval(10, 30, 100)
    assert (low, high) == pytest.approx((0.2 - 1.96 * 0.06, 0.2 + 1.96 * 0.06), abs=0.015)
    assert paired_interval(10, 30, 100) == (low, high)


def test_paired_interval_of_two_equal_answerers_is_a_point():
    assert paired_interval(0, 0, 50) == (0.0, 0.0)


def test_compare_counts_the_pairs_that_differ():
    paired = compare([True, True, False, False, False], [True, False, True, True, False])
    assert (paired.n, paired.only_before, paired.only_after) == (5, 1, 2)
    assert paired.difference == pytest.approx(1 / 5)


def test_compare_refuses_unequal_lengths():
    with pytest.raises(ValueError, match=r"shorter|longer"):
        compare([True], [True, False])
