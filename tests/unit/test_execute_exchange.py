"""Rows exchanged through scratch files: order, types, receipts, and what a dead worker leaves."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given, settings
from hypothesis import strategies as st

from dsmote.execute.exchange import Exchange, arrays


@pytest.fixture(params=["local", "memory"])
def exchange(request: pytest.FixtureRequest, tmp_path: Path) -> Exchange:
    if request.param == "local":
        return Exchange(str(tmp_path / "scratch"))
    MemoryFileSystem.store.clear()
    return Exchange("memory://scratch")


@given(
    destinations=st.lists(st.lists(st.integers(0, 4), max_size=60), min_size=1, max_size=20),
    width=st.integers(1, 3),
)
@settings(max_examples=40, deadline=None)
def test_rows_come_in_the_order_of_names_and_rows(
    tmp_path_factory: pytest.TempPathFactory, destinations: list[list[int]], width: int
) -> None:
    exchange = Exchange(str(tmp_path_factory.mktemp("exchange") / "scratch"))
    sent: dict[str, dict[str, np.ndarray]] = {}
    for number, of in enumerate(destinations):
        row = 1000 * number + np.arange(len(of))
        x = np.repeat(row, width).reshape(len(row), width) + 0.5
        sent[f"{number:05d}"] = {"row": row, "x": x}
        exchange.send(f"{number:05d}", sent[f"{number:05d}"], np.array(of, dtype=int), 5)
    for destination in range(5):
        got = arrays(exchange.receive(list(sent), destination))
        chosen = [np.array(of, dtype=int) == destination for of in destinations]
        for name in ("row", "x"):
            columns = [of[name][c] for of, c in zip(sent.values(), chosen, strict=True)]
            expected = np.concatenate(columns)
            np.testing.assert_array_equal(got[name], expected)
            assert (got[name].dtype, got[name].shape) == (expected.dtype, expected.shape)


def test_tables_keep_their_types(exchange: Exchange) -> None:
    def table(*letters: str | None) -> pa.Table:
        codes = pa.array(letters).dictionary_encode()
        when = pa.array(range(len(letters)), pa.timestamp("us", "UTC"))
        return pa.table({"c": codes, "t": pa.array(letters, pa.large_string()), "w": when})

    exchange.send("p", table("a", "b", None, "a"), np.array([2, 1, 2, 1]), 3)
    exchange.send("q", table("z", "b"), np.array([2, 2]), 3)
    empty, one, two = (exchange.receive(["p", "q"], d) for d in range(3))
    assert two.to_pydict()["c"] == two.to_pydict()["t"] == ["a", None, "z", "b"]
    assert one.to_pydict()["c"] == ["b", "a"]
    assert empty.schema == one.schema == two.schema == table("a").schema
    assert empty.num_rows == 0
    # Dictionaries are kept through tables of no rows.
    exchange.send("r", empty, np.empty(0, dtype=int), 1)
    (codes,) = exchange.receive(["r"], 0).column("c").chunks
    assert codes.dictionary.to_pylist() == ["a", "b", "z"]


def test_a_receipt_saves_the_task(exchange: Exchange) -> None:
    runs = []

    def task() -> dict[str, Any]:
        runs.append(1)
        return {"box": np.array([[0.5, np.inf]]), "rows": 3}

    assert exchange.finished() == set()
    for _ in range(2):
        result = exchange.once("p", task)
        assert result["box"].tolist() == [[0.5, np.inf]] and int(result["rows"]) == 3
    assert exchange.once("q", lambda: None) == {}
    assert len(runs) == 1
    assert exchange.finished() == {"p", "q"}


def test_a_task_that_fails_leaves_no_receipt_and_no_file(tmp_path: Path) -> None:
    exchange = Exchange(str(tmp_path / "scratch"))
    exchange.once("q", lambda: None)

    def task() -> None:
        exchange._write("p.arrow", lambda handle: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        exchange.once("p", task)
    assert [path.name for path in (tmp_path / "scratch").iterdir()] == ["q.done"]


def test_receipts_of_others_and_objects_are_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, exchange = tmp_path / "scratch", Exchange(str(tmp_path / "scratch"))
    exchange.once("p", lambda: None)
    (folder / "q.done").symlink_to(folder / "p.done")
    assert exchange.finished() == {"p"}
    np.savez(folder / "r.npz", x=np.array([os.system], dtype=object), allow_pickle=True)
    (folder / "r.npz").rename(folder / "r.done")
    with pytest.raises(ValueError, match="allow_pickle"):
        exchange.once("r", lambda: None)["x"]

    mine = LocalFileSystem.info

    def foreign(self: LocalFileSystem, path: str, **options: Any) -> dict[str, Any]:
        found = mine(self, path, **options)
        return found | {"uid": found["uid"] + 1} if str(path).endswith("scratch") else found

    monkeypatch.setattr(LocalFileSystem, "info", foreign)
    assert exchange.finished() == set()


def test_a_folder_that_workers_do_not_share_is_named(tmp_path: Path) -> None:
    exchange = Exchange(str(tmp_path / "gone" / "scratch"))
    with pytest.raises(OSError, match=r"gone/scratch.* workers on other machines need a storage"):
        exchange.send("p", {"x": np.arange(3)}, np.zeros(3, dtype=int), 1)
    assert not (tmp_path / "gone").exists()
