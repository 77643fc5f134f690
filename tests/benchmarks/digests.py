"""The bits that every sampler makes: sha256 per sampler, table and container.

Run: python tests/benchmarks/digests.py [--write] [--sampler NAME] [--table NAME] [--container NAME]

Without ``--write`` it compares with ``digests.json`` beside this file and says what differs. A
digest changes only with the rows that a sampler makes: a commit that writes the file anew says why.
Samplers come from the registry; one that has no digest yet is not compared.

What a sampler refuses, such as names where it takes numbers, counts by the kind of its error.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
from distributed import Client, LocalCluster

import dsmote
from dsmote.samplers.registry import make_sampler, parameters_of, samplers

FILE = Path(__file__).with_suffix(".json")
TABLES = ("plain", "mixed", "weights and groups", "provenance")
IN_MEMORY = ("numpy", "pandas")
ON_DASK = ("dask frame", "dask array")
JOB = "job"
CONTAINERS = (*IN_MEMORY, *ON_DASK, JOB)
ROWS, PARTS = 600, 4
# The smallest table that clustering finds something in; nothing else depends on these.
OPTIONS = {
    "kmeans": {"kmeans_estimator": 3, "cluster_balance_threshold": 0.0},
    "mdo": {"min_neighbors": 1},
}


def table(name: str) -> pd.DataFrame:
    """Make a table of three classes; ``y`` is the target, ``w`` the weight, ``g`` the group."""
    rng = np.random.default_rng(5)
    label = rng.choice(3, ROWS, p=[0.7, 0.2, 0.1])
    frame = pd.DataFrame(rng.normal(size=(ROWS, 4)) + label[:, None] / 2, columns=list("abcd"))
    frame["s"] = rng.integers(0, 4, ROWS).astype(float)
    if name == "mixed":
        frame["b"] = frame["b"].astype("float32")
        frame["c"] = (frame["c"] * 100).astype("int64")
        frame["d"] = (frame["d"] * 10).astype("int16")
        frame["color"] = pd.Categorical(rng.choice(["red", "green", "blue"], ROWS))
        frame["shop"] = rng.choice(["north", "south", "east", "west"], ROWS)
        frame["open"] = rng.random(ROWS) < 0.5
    if name == "weights and groups":
        frame["w"] = rng.random(ROWS)
        frame["g"] = rng.integers(0, 2, ROWS)
    frame["y"] = label
    return frame


def sampler(name: str, table_name: str, frame: pd.DataFrame) -> Any:
    """Make a sampler that carries what it does not measure."""
    known = parameters_of(samplers()[name])
    params: dict[str, Any] = {"random_state": 7, **OPTIONS.get(name, {})}
    if table_name == "mixed" and "categorical_features" not in known and "carry" in known:
        names = [c for c in ("color", "shop", "open") if name != "smoten" and c in frame]
        params["carry"] = names or None
    if table_name != "mixed" and "categorical_features" in known:
        params["categorical_features"] = [list(frame).index("s")]
    if table_name == "provenance" and "provenance" in known:
        params["provenance"] = "full"
    return make_sampler(name, **params)


def in_container(container: str, frame: pd.DataFrame) -> Any:
    """Put a frame or series into a container."""
    if container == "pandas":
        return frame
    if container == "numpy":
        return frame.to_numpy()
    if container == "dask frame":
        return dd.from_pandas(frame, npartitions=PARTS)
    values = frame.to_numpy()
    return da.from_array(values, chunks=(ROWS // PARTS, *values.shape[1:]))


def digest(results: Any) -> str:
    """Hash what a call gave: dtypes, values to the bit, and order; not the index."""
    sha = hashlib.sha256()
    for result in results:
        if isinstance(result, pd.DataFrame):
            columns = [(str(n), result.iloc[:, i]) for i, n in enumerate(result.columns)]
        else:
            columns = [("", result)]
        for name, column in columns:
            values = column.to_numpy() if isinstance(column, pd.Series) else np.asarray(column)
            sha.update(f"{name} {column.dtype} {values.shape}".encode())
            if values.dtype == object:
                missing = pd.isna(values)
                sha.update(missing.tobytes())
                sha.update(repr(values[~missing].tolist()).encode())
            else:
                sha.update(np.ascontiguousarray(values).tobytes())
    return sha.hexdigest()[:16]


def resampled(name: str, table_name: str, container: str) -> Any:
    """Resample a table in a container in this process."""
    frame = table(table_name)
    kwargs = {}
    if table_name == "weights and groups":
        kwargs["sample_weight"] = in_container(container, frame.pop("w"))
        kwargs["groups"] = in_container(container, frame.pop("g"))
    y = frame.pop("y")
    made = sampler(name, table_name, frame)
    if container not in ("pandas", "dask frame") and hasattr(made, "carry") and made.carry:
        made.set_params(carry=[list(frame).index(c) for c in made.carry])
    results = made.fit_resample(
        in_container(container, frame), in_container(container, y), **kwargs
    )
    return dask.compute(*results) if container in ON_DASK else results


def written(name: str, table_name: str, client: Client, folder: Path) -> Any:
    """Run a job from Parquet to Parquet, and read what it wrote."""
    frame = table(table_name)
    source, target = folder / "in", folder / "out"
    source.mkdir(parents=True)
    for i, rows in enumerate(np.array_split(np.arange(ROWS), PARTS)):
        frame.iloc[rows].to_parquet(source / f"{i}.parquet", index=False)
    made = sampler(name, table_name, frame).get_params(deep=False)
    given = ("random_state", "carry", "categorical_features", "provenance", *OPTIONS.get(name, {}))
    params = {key: made[key] for key in given if not (made.get(key) is None or made[key] is False)}
    job = {"input": str(source), "output": str(target), "target": "y"}
    job |= {"sampler": name, "params": params}
    dsmote.run_job(job, client=client)
    return (pd.concat([pd.read_parquet(f) for f in sorted(target.glob("part-*.parquet"))]),)


def outcome(call: Callable[[], Any]) -> str:
    """Return the digest of what a call gives, or the kind of error it ends with."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return digest(call())
        except (ValueError, TypeError, NotImplementedError) as error:
            return f"{type(error).__name__}"


def digests(
    names: Sequence[str], tables: Sequence[str], containers: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """Yield the name of each case and what it came to; jobs know no weights and groups."""
    with (
        dask.config.set(scheduler="synchronous"),
        LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
        tempfile.TemporaryDirectory() as folder,
    ):
        for name, which, container in itertools.product(names, tables, containers):
            key = f"{name} / {which} / {container}"
            if container != JOB:
                yield key, outcome(partial(resampled, name, which, container))
            elif which != "weights and groups":
                place = Path(folder) / key.replace("/", "-")
                yield key, outcome(partial(written, name, which, client, place))


def main(arguments: list[str] | None = None) -> list[str]:
    """Write the digests, or return the cases whose digest is another than the one in the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true")
    axes = {"sampler": list(samplers()), "table": TABLES, "container": CONTAINERS}
    for axis, choices in axes.items():
        parser.add_argument(f"--{axis}", action="append", choices=choices)
    options = parser.parse_args(arguments)
    found = dict(digests(*(getattr(options, axis) or axes[axis] for axis in axes)))
    known = json.loads(FILE.read_text()) if FILE.exists() else {}
    if options.write:
        FILE.write_text(json.dumps(known | found, indent=1) + "\n")
        return []
    differing = [key for key, value in found.items() if known.get(key, value) != value]
    print("\n".join(differing) or f"all {len(found)} as they were")
    return differing


if __name__ == "__main__":
    sys.exit(bool(main()))
