"""The figures of studies, against numbers worked out by hand or by statsmodels 0.15 and SciPy 1.17."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from curation.comparing.intervals import wilson_interval
from training.study.distributions import f_tail, incomplete_beta, t_quantile, t_tail
from training.study.levels import curve, spearman
from training.study.twoway import difference, mean_interval
from training.study.variance import REST, decompose


@pytest.mark.parametrize(
    ("found", "scipy"),
    [
        (t_tail(2.5, 7), 0.0409922185857528),
        (f_tail(3.2, 3, 20), 0.04546722991624888),
        (t_quantile(0.975, 2.5), 3.5746548420036817),
        (incomplete_beta(2, 3, 0.4), 0.5248),  # a polynomial: 6 x^2 - 8 x^3 + 3 x^4
        (incomplete_beta(0.5, 50, 1.0), 1.0),
    ],
)
def test_tails(found, scipy):
    assert found == pytest.approx(scipy, rel=1e-7)


def table(**columns: list) -> pl.DataFrame:
    return pl.DataFrame(columns)


BALANCED = table(
    granularity=[1, 1, 2, 2, 3, 3] * 2,
    student=["small"] * 6 + ["large"] * 6,
    accuracy=[0.20, 0.24, 0.30, 0.28, 0.22, 0.26, 0.40, 0.44, 0.52, 0.55, 0.60, 0.58],
)


def test_a_balanced_study_is_decomposed_completely():
    parts = {part.term: part for part in decompose(BALANCED)}
    assert sum(part.share for part in parts.values()) == pytest.approx(1)
    # Means of students: 0.25 and 0.515, so 12 * 0.1325^2.
    assert parts["student"].squares == pytest.approx(12 * 0.1325**2)
    assert [parts[name].freedom for name in ("student", "granularity", "granularity x student", REST)] == [1, 2, 2, 6]


@pytest.mark.parametrize(
    ("rows", "lines"),
    [
        (
            BALANCED,
            {
                "student": (0.210675, 388.938462, 1.102e-06),
                "granularity": (0.02345, 21.646154, 0.001803501),
                "granularity x student": (0.01185, 10.938462, 0.009970553),
            },
        ),
        (
            BALANCED[[0, 2, 3, 4, 5, 6, 7, 9, 11]],
            {
                "student": (0.149422222, 249.037037, 0.000553136),
                "granularity": (0.022377222, 18.647685, 0.020314173),
                "granularity x student": (0.004977778, 4.148148, 0.136860389),
            },
        ),
    ],
    ids=["balanced", "unbalanced"],
)
def test_parts_are_those_of_statsmodels(rows, lines):
    """anova_lm(ols("accuracy ~ C(granularity) * C(student)").fit(), typ=2)."""
    found = {part.term: (part.squares, part.f, part.p) for part in decompose(rows)}
    for term, numbers in lines.items():
        assert found[term] == pytest.approx(numbers, rel=1e-3)


def test_pairs_without_repetition_are_left_to_the_rest():
    one_seed = BALANCED[::2]
    assert [part.term for part in decompose(one_seed)] == ["student", "granularity", REST]


def test_a_factor_that_does_not_vary_has_no_line():
    assert "format" not in {part.term for part in decompose(BALANCED.with_columns(format=pl.lit("original")))}


def test_equal_accuracies_have_no_variance_to_share():
    assert decompose(BALANCED.with_columns(accuracy=pl.lit(0.5))) == []


def test_one_seed_counts_problems_alone():
    # Mean 0.5 of 4, standard error sqrt(1/3 / 4), t with 3 degrees of freedom 3.1824
    right = np.array([[1.0, 0, 1, 0] * 25])
    low, high = mean_interval(right)
    assert high - low == pytest.approx(2 * t_quantile(0.975, 99) * np.sqrt(25 / 99 / 100))


def test_seeds_that_disagree_widen_the_interval():
    alike = np.tile([1.0, 0, 1, 0] * 25, (3, 1))
    apart = np.array([[1.0] * 60 + [0.0] * 40, [1.0] * 50 + [0.0] * 50, [1.0] * 40 + [0.0] * 60])
    widths = [high - low for low, high in map(mean_interval, (alike, apart))]
    assert widths[0] < widths[1]


def test_without_any_difference_the_interval_is_wilsons():
    assert mean_interval(np.ones((3, 50))) == wilson_interval(50, 50)


def test_a_difference_is_paired_by_problem():
    first = np.array([[1.0, 0] * 50, [1.0, 0] * 50])
    second = first.copy()
    second[:, :20] = 1  # ten problems more
    mean, low, high = difference(first, second)
    assert mean == pytest.approx(0.10)
    assert 0.03 < low < 0.10 < high < 0.17  # unpaired it would reach below 0


def levels(*shares: float, seeds: int = 3, problems: int = 200) -> dict[int, np.ndarray]:
    dice = np.random.default_rng(1)
    return {i + 1: (dice.random((seeds, problems)) < share).astype(float) for i, share in enumerate(shares)}


def test_a_clear_peak_is_found_and_is_sure():
    made = curve(levels(0.2, 0.3, 0.8, 0.4, 0.3))
    assert (made.best, made.how_often[3]) == (3, 1.0)
    assert made.over_finest[1] > 0.3


def test_levels_that_are_alike_are_not_sure():
    made = curve(levels(0.5, 0.5, 0.5, 0.5))
    assert max(made.how_often.values()) < 0.9
    assert sum(made.how_often.values()) == pytest.approx(1)


def test_a_rising_curve_has_a_trend_with_an_exact_p():
    made = curve(levels(0.1, 0.3, 0.5, 0.7, 0.9))
    assert made.trend > 0.95
    assert made.trend_p == pytest.approx(2 / 120)  # of 5! orders, this one and its reverse


@pytest.mark.parametrize(
    ("first", "second", "rank"),
    [([1, 2, 3, 4], [1, 3, 2, 4], 0.8), ([1, 2, 3], [5, 5, 5], None), ([1, 2], [1, 2], None)],
)
def test_rank_correlation(first, second, rank):
    found = spearman(np.array(first, float), np.array(second, float))
    assert found == (rank if rank is None else pytest.approx(rank))


def test_intervals_hold_what_they_promise():
    """Of 300 studies with 3 seeds and 200 problems, made by a model whose mean is 0.5, 95 % cover it."""
    dice = np.random.default_rng(0)

    def covers() -> bool:
        logits = dice.normal(0, 0.1, (3, 1)) + dice.normal(0, 2, (1, 200))
        low, high = mean_interval((dice.random((3, 200)) < 1 / (1 + np.exp(-logits))).astype(float))
        return low <= 0.5 <= high

    assert 0.92 <= np.mean([covers() for _ in range(300)]) <= 0.98
