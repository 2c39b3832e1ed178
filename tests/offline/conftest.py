"""A small archive, written once; one thread, because threads that wait for each other cost more than they bring."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.offline.ssvep_layout import write_archive


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three people, one session each, eight trials of 4 s."""
    return write_archive(tmp_path_factory.mktemp("ssvep"))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Run torch with one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what is unpacked or computed once in a folder of the test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
