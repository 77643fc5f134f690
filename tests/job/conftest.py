"""A small local cluster that the job tests share, and small tables on disk."""

import hashlib
import os
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
from distributed import Client, LocalCluster


@contextmanager
def local_workers(n_workers, threads):
    # Not the default client, which tests elsewhere must not find.
    with (
        LocalCluster(
            n_workers=n_workers,
            threads_per_worker=threads,
            memory_limit="1GiB",
            host="127.0.0.1",
            dashboard_address=None,
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


@pytest.fixture(scope="session")
def shared_client():
    with local_workers(2, 1) as client:
        yield client


@pytest.fixture
def client(shared_client):
    """The shared client, active: what a command line in this process runs on."""
    with shared_client.as_current():
        yield shared_client


def mixed_frame(rows=300, seed=0):
    """Every kind of column that a table may have; a tenth of the rows are rare."""
    rng = np.random.default_rng(seed)
    rare = np.arange(rows) % 10 == 3
    return pd.DataFrame(
        {
            "id": np.arange(rows) + 2**53,
            "x": rng.normal(size=rows) + rare,
            "f32": rng.normal(size=rows).astype("float32"),
            "i16": rng.integers(0, 1000, rows).astype("int16"),
            "big": pd.array(rng.integers(0, 9, rows), dtype="Int64"),
            "when": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 999, rows), "h"),
            "flag": rng.random(rows) < 0.5,
            "text": rng.choice(["red", "green", "blue"], rows),
            "cat": pd.Categorical(rng.choice(["a", "b", "c"], rows), ["a", "b", "c", "never"]),
            "note": pd.array(np.where(np.arange(rows) < rows // 2, None, "n"), dtype="str"),
            "y": np.where(rare, 1, 0),
        }
    )


def numeric_frame(rows=200, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "a": rng.normal(size=rows),
            "b": rng.normal(size=rows),
            "n": rng.integers(0, 50, rows),
            "y": np.where(np.arange(rows) % 8 == 0, "rare", "usual"),
        }
    )


def write_files(frame, folder, files):
    folder.mkdir(parents=True)
    for number in range(files):
        rows = slice(len(frame) * number // files, len(frame) * (number + 1) // files)
        frame.iloc[rows].to_parquet(folder / f"{number}.parquet", index=False)
    return folder


@pytest.fixture
def mixed(tmp_path):
    """A folder of three files of 300 rows together, 30 of them rare."""
    return write_files(mixed_frame(), tmp_path / "mixed", 3)


@pytest.fixture
def numeric(tmp_path):
    """A folder of two files of 200 rows together, 25 of them rare."""
    return write_files(numeric_frame(), tmp_path / "numeric", 2)


@pytest.fixture
def hashes():
    def of(folder):
        return {
            file.name: hashlib.sha256(file.read_bytes()).hexdigest()
            for file in sorted(folder.glob("*.parquet"))
        }

    return of


def beside(folder):
    """The names in a folder; what lies beside an output, which may only be its records, is none."""
    names = sorted(os.listdir(folder))
    hidden = {name for name in names if name.startswith(".") and name.endswith(".dsmote")}
    for name in hidden:
        assert set(os.listdir(folder / name)) <= {"manifest.json", "report.html"}, name
    return [name for name in names if name not in hidden]
