import time
from typing import Any

import pytest
from distributed import Client, Event

from dsmote.job.watch import CANCELLED_AT_ONCE, Stuck, _all_paused, cancel, unless_stuck


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


def work(name: str) -> bool:
    """Take until the event is set; not cancelled, because threads cannot be."""
    return Event(name).wait(timeout=30)


def test_job_is_given_up_when_all_workers_have_stopped(client: Client) -> None:
    end = Event(client=client)
    others = client.submit(work, end.name, pure=False)
    with (
        pytest.raises(Stuck, match="all workers are out of memory"),
        unless_stuck(Paused(client), patience=0.5),
    ):
        client.submit(work, end.name, pure=False, priority=-1).result(timeout=25)
    assert others.status != "cancelled"
    end.set()
    assert others.result(timeout=25)


def test_cancelling_many_futures_does_not_keep_the_scheduler_busy(client: Client) -> None:
    class Counting(Paused):
        sizes: list[int] = []  # noqa: RUF012

        def cancel(self, futures: list[Any], force: bool) -> None:
            self.sizes.append(len(futures))
            self._client.cancel(futures, force=force)

    end = Event(client=client)
    futures = client.map(work, [end.name] * 450, pure=False)
    counting = Counting(client)
    cancel(counting, futures)
    end.set()
    assert sum(counting.sizes) == 450 and max(counting.sizes) <= CANCELLED_AT_ONCE
    assert {future.status for future in futures} == {"cancelled"}


def test_workers_that_work_are_not_stuck(client: Client) -> None:
    assert not _all_paused(client)
    assert not _all_paused(Paused(client, executing=1))
    assert _all_paused(Paused(client, ready=1))
    with unless_stuck(Paused(client, executing=1), patience=0.1):
        client.submit(time.sleep, 0.5, pure=False).result()


def test_other_errors_stay_what_they_are(client: Client) -> None:
    with pytest.raises(ZeroDivisionError), unless_stuck(client):
        client.submit(lambda: 1 / 0, pure=False).result()
