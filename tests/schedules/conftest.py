"""The schedules in examples/schedule run the examples' own job file with the real command."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.schedules.night import Night, left_of


@pytest.fixture
def night(tmp_path: Path) -> Iterator[Night]:
    """A night after which no process is left that it started."""
    yield Night(tmp_path)
    deadline = time.monotonic() + 20
    while left := left_of(tmp_path):
        if time.monotonic() > deadline:
            told = [process.cmdline() for process in left]
            for process in left:
                process.kill()
            pytest.fail(f"still running: {told}")
        time.sleep(0.1)
