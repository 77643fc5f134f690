"""Balance a Dask DataFrame lazily: one pass to count the classes, the rest when it is needed.

Run: python examples/dask_dataframe.py [--rows 200000] [--workers 2]
"""

import argparse
import tempfile
from pathlib import Path

import dask.dataframe as dd
import numpy as np
import pandas as pd
from distributed import Client, LocalCluster

from dsmote import SMOTE


def write_readings(folder: Path, rows: int, files: int = 8) -> None:
    """Write Parquet files of sensor readings in which one in fifty announces a failure."""
    folder.mkdir()
    for number in range(files):
        rng = np.random.default_rng([0, number])
        fails = rng.random(rows // files) < 0.02
        sensors = rng.normal(size=(len(fails), 6)) + fails[:, None]
        frame = pd.DataFrame(sensors, columns=[f"sensor_{i}" for i in range(6)])
        frame["fails"] = np.where(fails, "yes", "no")
        frame.to_parquet(folder / f"part-{number:03d}.parquet", index=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()

    with (
        tempfile.TemporaryDirectory() as folder,
        LocalCluster(
            n_workers=args.workers,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address=None,
            security=True,  # else every user of this machine can run code on it
        ) as cluster,
        Client(cluster),
    ):
        source, result = Path(folder, "readings"), Path(folder, "balanced")
        write_readings(source, args.rows)

        frame = dd.read_parquet(source)
        sampler = SMOTE(random_state=0)
        balanced = sampler.resample(frame, target="fails")
        print(f"lazy: {type(balanced).__name__} of {balanced.npartitions} partitions, ", end="")
        print(f"{frame.npartitions} of them the original ones")

        balanced.to_parquet(result, write_index=False)
        written = dd.read_parquet(result).compute()
        print("rows per class before:", sampler.plan_.counts_before)
        print("rows per class after: ", written["fails"].value_counts().to_dict())

        # With the counts given, not even the one pass over the data is needed; and other
        # partitions make no other rows.
        counts = sampler.plan_.counts_before
        fewer = frame.repartition(npartitions=3)
        again = SMOTE(random_state=0).resample(fewer, target="fails", class_counts=counts).compute()
        same = again.reset_index(drop=True).equals(written.reset_index(drop=True))
        print(f"same seed, other partitions, same rows: {same}")


if __name__ == "__main__":
    main()
