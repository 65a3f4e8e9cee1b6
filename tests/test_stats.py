"""Numbers worked by hand, printed in the sources, or computed once by scipy 1.17.1 and statsmodels 0.15.0."""

from __future__ import annotations

import pytest

from curation.comparing.intervals import wilson_interval
from training.stats import (
    area_over_curve,
    bootstrap_mean,
    compare,
    mcnemar,
    paired_interval,
    pass_at_k,
    share_interval,
    steps_to,
)


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


@pytest.mark.parametrize(
    ("correct", "n", "bounds"),
    [
        # statsmodels.stats.proportion.proportion_confint(correct, n, method="wilson");
        # scipy.stats.binomtest(correct, n).proportion_ci(method="wilson") says the same
        (8, 10, (0.49016247153664183, 0.9433178485456247)),
        (37, 120, (0.23272736988916298, 0.39582997723800684)),
        (0, 10, (0.0, 0.27753279986288926)),
        (500, 1319, (0.3532795982803646, 0.40557283420660417)),
    ],
)
def test_wilson_interval_is_that_of_statsmodels(correct, n, bounds):
    assert wilson_interval(correct, n) == pytest.approx(bounds, abs=1e-14)


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
        # statsmodels.stats.contingency_tables.mcnemar([[100, b], [c, 50]], exact=True).pvalue
        (12, 29, 0.011507789735333063),
        (40, 60, 0.05688793364098089),
    ],
)
def test_mcnemar(only_before, only_after, p):
    assert mcnemar(only_before, only_after) == pytest.approx(p, rel=1e-12)


def test_mcnemar_of_thousands_of_problems_neither_overflows_nor_vanishes():
    # Normal approximation with continuity correction: z = (2600 - 2400 - 1) / sqrt(5000) = 2.814, p = .00489
    assert mcnemar(2400, 2600) == pytest.approx(0.00489, abs=2e-5)


def test_bootstrap_mean_is_that_of_scipy():
    # scipy.stats.bootstrap((values,), np.mean, n_resamples=100_000, method="percentile") over three seeds:
    # low .47 each time, high .6375, .64, .64
    values = [0.0] * 30 + [0.25] * 10 + [0.5] * 8 + [0.75] * 12 + [1.0] * 40
    low, high = bootstrap_mean(values)
    assert low == pytest.approx(0.47, abs=0.005)
    assert high == pytest.approx(0.64, abs=0.005)


def test_bootstrap_mean_of_many_different_values_draws_the_problems():
    # mean 1/2, standard error sqrt(1/12) / sqrt(1000) = .00913: 95 % is .4821 .. .5179
    values = [(i + 0.5) / 1000 for i in range(1000)]
    assert bootstrap_mean(values) == pytest.approx((0.4821, 0.5179), abs=0.001)


def test_all_answers_of_a_problem_are_drawn_together():
    """Ten answers to each of 20 problems are not 200 observations where problems are all right or all wrong."""
    # se of the mean of 20 problems: sqrt(.25 / 20) = .112, so a width of .44; 200 answers would give .14
    low, high = bootstrap_mean([0.0] * 10 + [1.0] * 10)
    assert high - low == pytest.approx(0.44, abs=0.06)


@pytest.mark.parametrize("values", [[], [1.0]])
def test_bootstrap_mean_refuses_what_gives_no_interval(values):
    with pytest.raises(ValueError, match="no interval"):
        bootstrap_mean(values, confidence=1.0 if values else 0.95)


@pytest.mark.parametrize(
    ("values", "interval"),
    [
        ([1, 0, 0, 1], (0.15004, 0.84996)),  # Wilson of 2 in 4
        ([0, 0, 0], (0.0, 0.56150)),  # where a bootstrap has no width
        ([], (0.0, 1.0)),
    ],
)
def test_shares_that_are_all_0_or_1_get_wilsons_interval(values, interval):
    assert share_interval(values) == pytest.approx(interval, abs=1e-5)


def test_other_shares_get_a_bootstrap():
    assert share_interval([0.5, 0.5, 0.5]) == (0.5, 0.5)


def test_paired_interval_is_that_of_scipy():
    # scipy.stats.bootstrap of 12 times -1, 159 times 0, 29 times 1: (.025, .145) for two seeds
    assert paired_interval(12, 29, 200) == pytest.approx((0.025, 0.145), abs=0.0051)


def test_paired_interval_covers_the_difference_and_is_repeatable():
    # 30 gained, 10 lost of 100: difference .2, standard error sqrt(.4 - .04) / 10 = .06
    low, high = paired_interval(10, 30, 100)
    assert (low, high) == pytest.approx((0.2 - 1.96 * 0.06, 0.2 + 1.96 * 0.06), abs=0.015)
    assert paired_interval(10, 30, 100) == (low, high)


def test_paired_interval_of_two_equal_answerers_is_a_point():
    assert paired_interval(0, 0, 50) == (0.0, 0.0)


def test_paired_interval_refuses_counts_that_do_not_fit():
    with pytest.raises(ValueError, match="do not fit into 3"):
        paired_interval(2, 2, 3)


def test_compare_counts_the_pairs_that_differ():
    paired = compare([True, True, False, False, False], [True, False, True, True, False])
    assert (paired.n, paired.only_before, paired.only_after) == (5, 1, 2)
    assert paired.difference == pytest.approx(1 / 5)


def test_compare_refuses_unequal_lengths():
    with pytest.raises(ValueError, match=r"shorter|longer"):
        compare([True], [True, False])


@pytest.mark.parametrize(
    ("samples", "correct", "k", "share"),
    [
        (4, 1, 1, 1 / 4),
        (4, 1, 2, 1 / 2),  # 1 - C(3, 2) / C(4, 2) = 1 - 3/6
        (4, 3, 2, 1.0),  # two of four always hold one of three
        (4, 0, 4, 0.0),
        # 1 - scipy.stats.hypergeom(samples, correct, k).pmf(0)
        (10, 3, 4, 0.8333333333333334),
        (200, 5, 10, 0.22828446073733444),
        (16, 1, 8, 0.5),
    ],
)
def test_pass_at_k(samples, correct, k, share):
    assert pass_at_k(samples, correct, k) == pytest.approx(share, rel=1e-12)


@pytest.mark.parametrize(("samples", "correct", "k"), [(4, 5, 1), (4, -1, 1), (4, 1, 5), (4, 1, 0)])
def test_pass_at_k_refuses_what_does_not_fit(samples, correct, k):
    with pytest.raises(ValueError, match="do not fit"):
        pass_at_k(samples, correct, k)


@pytest.mark.parametrize(("n", "ks"), [(1, [1]), (2, [1, 2]), (5, [1, 2, 4, 5]), (8, [1, 2, 4, 8])])
def test_k_goes_in_powers_of_two_up_to_n(n, ks):
    assert steps_to(n) == ks


@pytest.mark.parametrize(
    ("shares", "values", "area"),
    [
        ([0, 1], [1, 1], 0.0),  # the reasoning changed nothing
        ([0, 0.5, 1], [0, 0, 1], 0.75),  # 1 - (1/2 * 1/2)
        # 1 - scipy.integrate.trapezoid(values, shares)
        ([0, 0.25, 0.6, 1], [0.1, 0.3, 0.4, 1], 0.5475),
    ],
)
def test_area_over_curve(shares, values, area):
    assert area_over_curve(shares, values) == pytest.approx(area)


@pytest.mark.parametrize(("shares", "values"), [([0, 1], [1]), ([0, 0.5], [1, 1]), ([1], [1])])
def test_area_over_curve_wants_a_whole_curve(shares, values):
    with pytest.raises(ValueError, match="no curve"):
        area_over_curve(shares, values)
