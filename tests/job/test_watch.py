import time
from typing import Any

import pytest
from distributed import Client

from dsmote.job.watch import Stuck, _all_paused, unless_stuck


class Paused:
    """A cluster whose workers have all stopped, as its scheduler describes it."""

    def __init__(self, client: Client, **counts: int) -> None:
        self._client = client
        self.counts = counts

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def scheduler_info(self, n_workers: int) -> dict[str, Any]:
        worker = {"status": "paused", "metrics": {"task_counts": self.counts}}
        return {"workers": {"tcp://a": worker, "tcp://b": worker}}


def test_job_is_given_up_when_all_workers_have_stopped(client: Client) -> None:
    started = time.monotonic()
    others = client.submit(time.sleep, 4, pure=False)
    with (
        pytest.raises(Stuck, match="all workers are out of memory"),
        unless_stuck(Paused(client), patience=0.5),
    ):
        client.submit(time.sleep, 9, pure=False, priority=-1).result()
    assert time.monotonic() - started < 8
    assert others.status != "cancelled"


def test_workers_that_work_are_not_stuck(client: Client) -> None:
    assert not _all_paused(client)
    assert not _all_paused(Paused(client, executing=1))
    assert _all_paused(Paused(client, ready=1))
    with unless_stuck(Paused(client, executing=1), patience=0.1):
        client.submit(time.sleep, 0.5, pure=False).result()


def test_other_errors_stay_what_they_are(client: Client) -> None:
    with pytest.raises(ZeroDivisionError), unless_stuck(client):
        client.submit(lambda: 1 / 0, pure=False).result()
