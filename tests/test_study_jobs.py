"""Which part of the machine each job of a study gets; what jobs do is in test_study."""

from __future__ import annotations

import pytest

from training.study.jobs import _shares


@pytest.mark.parametrize(
    ("cores", "count", "shares"),
    [([0, 1], 2, [[0], [1]]), ([0, 1, 2], 2, [[0], [1, 2]]), ([4, 5], 3, [[4], [4], [5]])],
)
def test_jobs_share_the_cores(monkeypatch, cores, count, shares):
    monkeypatch.setattr("builders.machine.gpus", list)
    monkeypatch.setattr("builders.machine.cores", lambda: cores)
    assert [sorted(share) for share in _shares(count)] == shares


@pytest.mark.parametrize(("said", "ids"), [(None, ["0", "1", "0"]), ("2,5", ["2", "5", "2"])])
def test_jobs_take_turns_at_the_gpus(monkeypatch, said, ids):
    monkeypatch.setattr("builders.machine.gpus", lambda: ["one", "two"])
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if said:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", said)
    assert _shares(3) == ids
