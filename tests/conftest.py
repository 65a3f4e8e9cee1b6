"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from tests.models import make_tiny_llama

# Nothing in the tests may reach the network, and nothing may touch the user's own caches.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"

# A property has no time limit of its own: on a busy machine that would fail what is right.
settings.register_profile("cotmill", deadline=None)
settings.load_profile("cotmill")


@pytest.fixture(autouse=True)
def _own_caches(tmp_path_factory, monkeypatch):
    """`datasets` keeps what it once read: every test gets a cache of its own."""
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path_factory.mktemp("hf_datasets")))


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory) -> Path:
    """Directory of a random Llama of some 60,000 parameters with a chat template."""
    return make_tiny_llama(tmp_path_factory.mktemp("models") / "tiny-llama")


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory) -> Path:
    """The same without a chat template: a base model."""
    return make_tiny_llama(tmp_path_factory.mktemp("models") / "tiny-base", chat_template=None)
