"""All scenarios that were chosen are played beside each other, since most of their time is waiting."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.chaos.scenarios import SCENARIOS

AT_ONCE = 3
TIMEOUT_S = 300


@pytest.fixture(scope="session")
def running(request, tmp_path_factory):
    """Return the results to come, by the name of the scenario."""
    chosen = {
        name
        for item in request.session.items
        if "outcome" in item.fixturenames and (name := item.callspec.params.get("name")) in SCENARIOS
    }
    folder = tmp_path_factory.mktemp("chaos")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {name: pool.submit(SCENARIOS[name].play, folder) for name in SCENARIOS if name in chosen}


@pytest.fixture
def outcome(running, name):
    """Return what became of the scenario `name`."""
    return running[name].result(TIMEOUT_S)
