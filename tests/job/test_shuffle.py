"""New rows mixed with original ones: a permutation that depends on the seed alone."""

import os
import signal
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import dask
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from dask import delayed
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given, settings
from hypothesis import strategies as st

from dsmote.execute.exchange import Exchange
from dsmote.job import JobSpec, Progress, plan_job, prepare, shuffle, write_job
from dsmote.job.spec import Split
from dsmote.plan.memory import MemoryLimitError
from tests.job.conftest import mixed_frame, write_files

Hashes = Callable[[Path], dict[str, str]]


def job(source, out, **fields):
    fields = {"random_state": 0, "carry": ("id", "note"), "shuffle": True, **fields}
    return JobSpec(str(source), "y", output=str(out), **fields)


def run(source, out, **fields):
    return write_job(prepare(job(source, out, **fields))).manifest


@pytest.fixture
def small_parts(monkeypatch):
    """Parts of 100 rows, so that small tables have several."""
    monkeypatch.setattr(shuffle, "PART_ROWS", 100)


def ordered(frame):
    return frame.sort_values(["x", "f32", "y"], ignore_index=True)


@pytest.mark.usefixtures("small_parts")
def test_the_same_files_however_the_table_is_cut(tmp_path, client, hashes, monkeypatch):
    found = []
    for files in (1, 7):
        source = write_files(mixed_frame(600), tmp_path / f"in{files}", files)
        manifest = write_job(prepare(job(source, tmp_path / f"out{files}")), client).manifest
        assert len(manifest["parts"]) == 11  # of 1,080 rows
        found.append(hashes(tmp_path / f"out{files}"))
    assert found[0] == found[1]
    run(source, tmp_path / "other", random_state=1)
    assert hashes(tmp_path / "other") != found[0]
    monkeypatch.setattr(shuffle, "MOST_SLICES", 20)
    write_job(prepare(job(source, tmp_path / "grouped")), client)
    assert hashes(tmp_path / "grouped") == found[0]
    assert not any(path.is_dir() for path in (tmp_path / "grouped").iterdir())


@pytest.mark.usefixtures("small_parts")
def test_mixed_rows_are_those_of_the_table_that_is_not(tmp_path):
    source = write_files(mixed_frame(600), tmp_path / "in", 3)
    flags = {"params": {"provenance": "full"}}
    manifest = run(source, tmp_path / "mixed", **flags)
    run(source, tmp_path / "plain", shuffle=False, **flags)
    made, plain = pd.read_parquet(tmp_path / "mixed"), pd.read_parquet(tmp_path / "plain")
    pd.testing.assert_frame_equal(ordered(made), ordered(plain))
    assert manifest["rows"] == {"before": 600, "new": 480, "after": 1080}
    # New rows are everywhere: in each part as many as chance allows, and in each tenth of the rows.
    share = 480 / 1080
    for part in manifest["parts"]:
        rows = pd.read_parquet(tmp_path / "mixed" / part["file"])["synthetic"]
        assert abs(rows.mean() - share) < 4.5 * np.sqrt(share * (1 - share) / len(rows))
    # No order is left: where a row was says nothing of where it is.
    places = pd.Series(plain.index, index=plain["x"].to_numpy())[made["x"].to_numpy()]
    assert abs(np.corrcoef(places, np.arange(len(places)))[0, 1]) < 0.15
    assert abs(np.corrcoef(places.to_numpy()[1:], places.to_numpy()[:-1])[0, 1]) < 0.15


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize(
    ("split", "mode", "form"),
    [
        (None, "full", "csv"),
        (Split("flag", (True,)), "full", "parquet"),
        (Split("flag", (True,)), "synthetic", "csv"),
        (Split(test_fraction=0.3, seed=1, stratify=True), "synthetic", "parquet"),
    ],
)
def test_every_split_mode_and_format_can_be_mixed(split, mode, form, tmp_path):
    frame = mixed_frame(600)[["x", "f32", "i16", "flag", "y"]]
    source = write_files(frame, tmp_path / "in", 3)
    if form == "csv":
        source = tmp_path / "in.csv"
        frame.to_csv(source, index=False)
    fields = {"carry": (), "split": split, "mode": mode, "partition_by": ("y",)}
    manifest = run(source, tmp_path / "mixed", **fields)
    run(source, tmp_path / "plain", shuffle=False, **fields)
    inside = "train" if split else "."
    made, plain = (pd.read_parquet(tmp_path / name / inside) for name in ("mixed", "plain"))
    assert not made["x"].equals(plain["x"])
    pd.testing.assert_frame_equal(ordered(made), ordered(plain))
    assert manifest["folders"][inside]["rows"] == len(plain)
    if split and mode == "full":
        # The other rows stay as they are, in their order.
        pd.testing.assert_frame_equal(
            pd.read_parquet(tmp_path / "mixed/test"), pd.read_parquet(tmp_path / "plain/test")
        )


class Killer(Progress):
    """Kills a worker when the first part is written."""

    def __init__(self, pid):
        self.pid = pid

    def advance(self, partitions, rows):
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            self.pid = 0


@pytest.mark.usefixtures("small_parts")
def test_killed_worker_while_parts_are_written(tmp_path, client, hashes):
    source = write_files(mixed_frame(1500), tmp_path / "in", 6)
    run(source, tmp_path / "undisturbed")
    killer = Killer(next(iter(client.run(os.getpid).values())))
    manifest = write_job(prepare(job(source, tmp_path / "out")), client, killer).manifest
    assert killer.pid == 0
    assert len(manifest["parts"]) == 27
    assert hashes(tmp_path / "out") == hashes(tmp_path / "undisturbed")
    client.wait_for_workers(2, timeout=60)  # those that come after find both


def test_mixing_that_does_not_fit_is_refused_before_work(mixed, tmp_path, monkeypatch):
    # What the tests' own process holds differs from one moment to the next.
    monkeypatch.setattr("dsmote.job.runner.Threads.process_bytes", lambda _: 2**28)
    plain = plan_job(prepare(job(mixed, tmp_path / "out", shuffle=False)))
    plan = plan_job(prepare(job(mixed, tmp_path / "out")))
    assert plan.memory.worker_bytes > plain.memory.worker_bytes
    often = "the rows {} more, from scratch files, to mix them"
    assert plan.passes == (*plain.passes, often.format("once"))
    monkeypatch.setattr(shuffle, "PART_ROWS", 100)
    monkeypatch.setattr(shuffle, "MOST_SLICES", 1)
    grouped = plan_job(prepare(job(mixed, tmp_path / "out")))
    assert grouped.passes[-1] == often.format("twice")
    monkeypatch.setattr(shuffle, "COPIES", 10**9)
    with pytest.raises(MemoryLimitError, match="mixing the rows does not fit into the memory of"):
        run(mixed, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def mix(lengths, parts, seed, folder=None, told=0):
    """The parts of a table of so many rows in each partition, mixed in this process."""
    folder = folder or f"memory://mixed/{uuid.uuid4().hex}"  # no disk to wait for
    frame = pd.DataFrame({"x": np.arange(sum(lengths))})
    frame["c"] = pd.Categorical(frame["x"].astype(str).str[-1])
    frame["t"] = frame["x"].astype(str)
    schema = pa.Schema.from_pandas(frame, preserve_index=False)
    numbered = [
        shuffle.Numbered(delayed(frame.iloc[end - n : end], pure=False), end - n, n + told)
        for n, end in zip(lengths, np.cumsum(lengths).tolist(), strict=True)
        if n
    ]
    lazy = shuffle.mixed(numbered, parts, seed, str(folder), schema)
    found = list(dask.compute(*lazy, scheduler="synchronous", optimize_graph=False))
    assert all((part["t"] == part["x"].astype(str)).all() for part in found)
    return found


def test_input_that_changed_is_noticed():
    with pytest.raises(ValueError, match="2 rows, in which 3 were counted"):
        mix([2], 1, 0, told=1)


@given(
    lengths=st.lists(st.integers(0, 40), min_size=1, max_size=8).filter(any),
    parts=st.integers(1, 12),
    seed=st.integers(0, 2**32),
    most=st.sampled_from([10**6, 0]),
)
@settings(max_examples=10)
def test_neither_cuts_nor_a_step_between_make_a_difference(lengths, parts, seed, most):
    rows = sum(lengths)
    whole = mix([rows], parts, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shuffle, "MOST_SLICES", most)
        found = mix(lengths, parts, seed)
    assert sorted(x for part in found for x in part["x"]) == list(range(rows))
    for one, other in zip(found, whole, strict=True):
        pd.testing.assert_frame_equal(one.astype({"c": str}), other.astype({"c": str}))


@pytest.mark.parametrize(
    ("most", "scratch", "sent"),
    [
        (10**6, "00001", ["00001"]),
        (5, "00001-00000", ["00001-00000"]),
        (5, "00001", []),  # its rows were gathered
    ],
)
def test_a_resumed_run_sends_what_is_not_finished(most, scratch, sent, tmp_path, monkeypatch):
    monkeypatch.setattr(shuffle, "MOST_SLICES", most)
    undisturbed = mix([50, 50, 50], 3, 7, tmp_path)
    (folder,) = tmp_path.iterdir()
    file = folder / f"{scratch}.arrow"
    file.write_bytes(file.read_bytes()[:-1])
    send, seen = Exchange.send, []
    monkeypatch.setattr(Exchange, "send", lambda self, *a: seen.append(a[0]) or send(self, *a))
    for one, other in zip(mix([50, 50, 50], 3, 7, tmp_path), undisturbed, strict=True):
        pd.testing.assert_frame_equal(one, other)
    assert seen == sent
    seen.clear()
    # Of another cut they are of no use.
    for one, other in zip(mix([100, 50], 3, 7, tmp_path), undisturbed, strict=True):
        pd.testing.assert_frame_equal(one, other)
    assert {"00000", "00001"} <= set(seen)


def test_every_order_is_as_likely():
    """All 24 orders of 4 rows, by 240 seeds: chi-square of 23 degrees of freedom."""
    schema = pa.schema([("x", pa.int64())])
    frame = pd.DataFrame({"x": np.arange(4)})
    found = Counter()
    for seed in range(240):
        mixing = shuffle.Mixing(Exchange(f"memory://orders/{seed}"), 2, 1, seed, schema)
        mixing.spread(frame.iloc[:1], place=0, start=0, rows=1)
        mixing.spread(frame.iloc[1:], place=1, start=1, rows=3)
        parts = [mixing.collect(0, files=range(2), part=part)["x"] for part in range(2)]
        found[tuple(pd.concat(parts))] += 1
    assert len(found) == 24
    assert sum((n - 10) ** 2 / 10 for n in found.values()) < 49.7  # one in a thousand is above


@pytest.fixture(params=["local", "memory"])
def exchange(request, tmp_path):
    if request.param == "local":
        return Exchange(str(tmp_path / "scratch"))
    MemoryFileSystem.store.clear()
    return Exchange("memory://job/scratch")


def test_exchanged_tables_keep_types_and_order(exchange):
    def table(*letters):
        codes = pa.array(letters).dictionary_encode()
        when = pa.array(range(len(letters)), pa.timestamp("us", "UTC"))
        return pa.table({"c": codes, "t": pa.array(letters, pa.large_string()), "w": when})

    assert exchange.finished() == set()
    exchange.send("p", table("a", "b", None, "a"), np.array([2, 1, 2, 1]), 3)
    exchange.send("q", table("z", "b"), np.array([2, 2]), 3)
    assert exchange.finished() == {"p", "q"}
    empty, one, two = (exchange.receive(["p", "q"], d) for d in range(3))
    assert two.to_pydict()["c"] == two.to_pydict()["t"] == ["a", None, "z", "b"]
    assert one.to_pydict()["c"] == ["b", "a"]
    assert empty.schema == one.schema == two.schema == table("a").schema
    assert empty.num_rows == 0
    rows = np.arange(1000)
    exchange.send("s", pa.table({"x": rows}), rows * 7 % 10 // 4, 3)
    assert (
        exchange.receive(["s"], 1)["x"].to_numpy().tolist()
        == rows[rows * 7 % 10 // 4 == 1].tolist()
    )
    # Dictionaries are kept through tables of no rows.
    exchange.send("r", empty, np.empty(0, dtype=int), 1)
    (codes,) = exchange.receive(["r"], 0).column("c").chunks
    assert codes.dictionary.to_pylist() == ["a", "b", "z"]


def test_only_own_whole_files_are_finished(tmp_path, monkeypatch):
    folder, exchange = tmp_path / "scratch", Exchange(str(tmp_path / "scratch"))
    rows, destination = pa.table({"x": [1, 2]}), np.zeros(2, dtype=int)
    exchange.send("p", rows, destination, 1)
    (folder / "link.arrow").symlink_to(folder / "p.arrow")
    (folder / "empty.arrow").touch()
    (folder / "half.arrow").write_bytes((folder / "p.arrow").read_bytes()[:-1])
    assert exchange.finished() == {"p"}
    there = set(os.listdir(folder))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            exchange.send("q", rows, destination, 1)
    assert set(os.listdir(folder)) == there

    mine = LocalFileSystem.info

    def foreign(self, path, **options):
        found = mine(self, path, **options)
        return found | {"uid": found["uid"] + 1} if str(path).endswith("scratch") else found

    monkeypatch.setattr(LocalFileSystem, "info", foreign)
    assert exchange.finished() == set()


def test_a_folder_that_workers_do_not_share_is_named(tmp_path):
    exchange = Exchange(str(tmp_path / "gone" / "scratch"))
    with pytest.raises(OSError, match=r"gone/scratch.* workers on other machines need a storage"):
        exchange.send("p", pa.table({"x": [1]}), np.zeros(1, dtype=int), 1)
    assert not (tmp_path / "gone").exists()
