"""A generated table on disk, for a demonstration."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import pandas as pd

from dsmote.job.storage import opened, part_name

TARGET = "label"
CHUNK_ROWS = 125_000  # generated at a time, and rows of a file
RARE = 0.01  # share of the rare label


def demo_chunk(number: int, rows: int) -> pd.DataFrame:
    """Generate one chunk of a table of card payments; the same number gives the same rows.

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

    def choice(values: Sequence[str], skew: np.ndarray) -> np.ndarray:
        return np.array(values, dtype=object)[(rng.random(rows) ** skew * len(values)).astype(int)]

    devices = [f"device-{n:02d}" for n in range(40)]
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
            "region": choice(["north", "south", "east", "west", "centre", "islands"], 1.0 + shift),
            "channel": choice(["web", "app", "shop", "phone"], 1.5 - 0.7 * shift),
            "device": pd.Categorical(choice(devices, 1.0 + shift), devices),
            "known_address": rng.random(rows) < 0.9 - 0.5 * shift,
            TARGET: np.where(fraud, "fraud", "genuine"),
        }
    )


def write_demo(folder: str, rows: int) -> None:
    """Write the table to a folder of Parquet files, a chunk at a time.

    The folder is replaced if it holds a table.
    """
    parts = []
    with opened(folder) as output, output.stage("replace") as stage:
        for number, start in enumerate(range(0, rows, CHUNK_ROWS)):
            path = f"{stage.folder}/{part_name(number)}"
            demo_chunk(number, min(CHUNK_ROWS, rows - start)).to_parquet(path, index=False)
            parts.append({"file": part_name(number), "bytes": os.path.getsize(path)})
        stage.commit({"rows": rows, "parts": parts})
