import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from dask import delayed
from distributed import Client, Event, as_completed

from dsmote.job.runner import JobFailed, Threads
from dsmote.job.workers import CANCELLED_AT_ONCE, Workers, _all_paused, cancel


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
        pytest.raises(JobFailed, match="all workers are out of memory"),
        Workers(Paused(client)).guarded(patience=0.5),  # type: ignore[arg-type]
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
    with Workers(Paused(client, executing=1)).guarded(patience=0.1):  # type: ignore[arg-type]
        client.submit(time.sleep, 0.5, pure=False).result()


def test_other_errors_stay_what_they_are(client: Client) -> None:
    with pytest.raises(ZeroDivisionError), Workers(client).guarded():
        client.submit(lambda: 1 / 0, pure=False).result()


class TestSignals:
    """A signal that arrives while Dask holds one of its locks is noted, and raised later."""

    @pytest.fixture(autouse=True)
    def _handled(self) -> Iterator[None]:
        # Ignored where the tests themselves run in the background of a shell.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        yield
        signal.signal(signal.SIGINT, before)

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_one_that_comes_under_a_lock_of_dask_leaves_nothing_held(
        self, number: int, monkeypatch: pytest.MonkeyPatch, client: Client
    ) -> None:
        class Racy(threading.Condition):
            entered = 0

            def __enter__(self) -> bool:
                got = super().__enter__()
                if threading.current_thread() is threading.main_thread():
                    Racy.entered += 1
                    if Racy.entered == 3:
                        signal.raise_signal(number)
                return got

        begin = as_completed.__init__

        def begun(self: as_completed, *args: object, **options: object) -> None:
            begin(self, *args, **options)
            self.thread_condition = Racy()

        monkeypatch.setattr(as_completed, "__init__", begun)
        before = signal.signal(number, signal.default_int_handler)
        try:
            with pytest.raises(KeyboardInterrupt), Workers(client).guarded() as check:
                for _ in as_completed(client.map(time.sleep, [0.02] * 40, pure=False)):
                    check()
        finally:
            signal.signal(number, before)
        assert Racy.entered >= 3
        assert client.submit(sum, [1, 2], pure=False).result(timeout=30) == 3

    def test_tasks_are_cancelled_and_the_wait_ends(self, client: Client) -> None:
        end = Event(client=client)
        timer = threading.Timer(0.3, signal.pthread_kill, [threading.get_ident(), signal.SIGINT])
        timer.start()
        with pytest.raises(KeyboardInterrupt), Workers(client).guarded():
            client.submit(work, end.name, pure=False).result(timeout=25)
        end.set()

    def test_a_third_one_ends_the_process(self) -> None:
        program = (
            "import signal\n"
            "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
            "from dsmote.job.runner import Threads\n"
            "with Threads().guarded():\n"
            "    for _ in range(3): signal.raise_signal(signal.SIGINT)\n"
            "    print('went on')\n"
        )
        ended = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60)
        assert (ended.returncode, ended.stdout) == (130, b"")

    def test_one_that_comes_when_the_block_is_done_is_too_late(self, client: Client) -> None:
        with Workers(client).guarded():
            signal.raise_signal(signal.SIGINT)

    def test_threads_end_their_tasks_and_begin_no_other(self) -> None:
        begun: list[int] = []
        ended: list[int] = []

        def task(number: int) -> None:
            begun.append(number)
            if len(begun) == 1:
                signal.pthread_kill(main, signal.SIGINT)
            time.sleep(0.2)
            ended.append(number)

        main, threads = threading.get_ident(), Threads()
        tasks = [delayed(task)(number) for number in range(100)]
        with pytest.raises(KeyboardInterrupt), threads.guarded():
            threads.compute(tasks, [], lambda result: None)
        before = list(ended)
        time.sleep(0.5)
        assert ended == before and sorted(begun) == sorted(ended) and len(ended) < 20
