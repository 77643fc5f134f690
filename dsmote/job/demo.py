"""A generated table on disk, for a demonstration."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from dsmote.job.storage import opened, part_name

__all__ = ["TARGET", "demo_chunk", "write_demo"]

TARGET = "label"

#: Rows generated at a time, and rows of a file.
CHUNK_ROWS = 125_000

#: Share of the rare label.
RARE = 0.01

REGIONS = ("north", "south", "east", "west", "centre", "islands")
CHANNELS = ("web", "app", "shop", "phone")
DEVICES = tuple(f"device-{number:02d}" for number in range(40))


def demo_chunk(number: int, rows: int) -> pd.DataFrame:
    """Generate one chunk of a table of card payments, some of them frauds.

    The same number gives the same rows.

    Examples
    --------
    >>> demo_chunk(0, 1000)["label"].value_counts().to_dict()
    {'genuine': 990, 'fraud': 10}
    """
    rng = np.random.Generator(np.random.Philox(key=[2002, number]))
    fraud = np.zeros(rows, dtype=bool)
    fraud[rng.permutation(rows)[: round(rows * RARE)]] = True
    shift = np.where(fraud, 1.0, 0.0)
    # Three causes behind the numbers, as in real tables, whose columns depend on one another.
    cause = rng.normal(size=(3, rows)) + 0.8 * shift
    hour = rng.normal(14 - 6 * shift, 4.0) % 24
    return pd.DataFrame(
        {
            "id": np.arange(number * CHUNK_ROWS, number * CHUNK_ROWS + rows),
            "amount": np.exp(3 + 0.6 * cause[0] + 0.4 * rng.normal(size=rows)).round(2),
            "balance": (2000 - 600 * cause[0] + 300 * rng.normal(size=rows)).round(2),
            "distance_km": np.abs(8 * cause[1] + 2 * rng.normal(size=rows)).astype("float32"),
            "seconds_since_last": np.exp(7 - cause[2] + 0.5 * rng.normal(size=rows)),
            "hour": hour.astype("int8"),
            "age": np.clip(rng.normal(45 - 4 * cause[1], 10), 18, 95).astype("int64"),
            "items": rng.poisson(np.clip(2 + cause[2], 0.2, None)),
            "region": _choice(rng, REGIONS, rows, skew=1.0 + shift),
            "channel": _choice(rng, CHANNELS, rows, skew=1.5 - 0.7 * shift),
            "device": pd.Categorical(_choice(rng, DEVICES, rows, skew=1.0 + shift), DEVICES),
            "known_address": rng.random(rows) < 0.9 - 0.5 * shift,
            TARGET: np.where(fraud, "fraud", "genuine"),
        }
    )


def _choice(
    rng: np.random.Generator, values: tuple[str, ...], rows: int, skew: np.ndarray
) -> np.ndarray:
    place = (rng.random(rows) ** skew * len(values)).astype(int)
    return np.array(values, dtype=object)[place]


def write_demo(folder: str, rows: int = 1_000_000) -> int:
    """Write the table to a folder of Parquet files, a chunk at a time; return its bytes.

    The folder is replaced if it holds a table.
    """
    with opened(folder) as output, output.stage("replace") as stage:
        parts: list[dict[str, Any]] = []
        for number, start in enumerate(range(0, rows, CHUNK_ROWS)):
            chunk = demo_chunk(number, min(CHUNK_ROWS, rows - start))
            table = pa.Table.from_pandas(chunk, preserve_index=False)
            path = f"{stage.folder}/{part_name(number)}"
            pq.write_table(table, path)
            parts.append({"file": part_name(number), "bytes": os.path.getsize(path)})
        stage.commit({"rows": rows, "parts": parts})
    return sum(part["bytes"] for part in parts)
