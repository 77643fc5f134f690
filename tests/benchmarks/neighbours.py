"""The neighbour search alone: building the index and asking for every row, k = 5.

Run: python tests/benchmarks/neighbours.py [--only CASE] [--scale 1.0] [--repeats 3]

Cases:
  iid     normal rows, 50,000 x 30 and 100,000 x 10, against scikit-learn's brute force and `auto`
  rank5   rows of rank 5 with noise, 20 columns: time per query from 100,000 to 1,000,000 rows
  fast    `neighbors="fast"` against brute force on normal rows, 200,000 x 30, and its recall
  mixed   SMOTENC's metric, few and many categorical columns: `auto` beside the tree and brute force

Both sides build their index anew in each run, use all cores, and take turns in one process.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from harness import in_turn, parser, print_times
from sklearn.neighbors import NearestNeighbors

from dsmote.execute.resources import single_threaded
from dsmote.neighbors import BruteIndex, NeighborIndex, TreeIndex, choose_engine
from dsmote.neighbors.choose import measure_recall

K = 5
BLOCK = 8192


def asked(index: NeighborIndex, n: int) -> np.ndarray:
    """Ask for all rows, blocks of them in as many threads as there are cores."""
    with single_threaded(), ThreadPoolExecutor(os.cpu_count()) as pool:
        blocks = pool.map(
            lambda start: index.query(np.arange(start, min(n, start + BLOCK)), K)[0],
            range(0, n, BLOCK),
        )
        return np.concatenate(list(blocks))


def built(X: np.ndarray, engine: Any) -> NeighborIndex:
    """Build an engine, as a sampler does."""
    with single_threaded():
        return engine.build(X)


def dsmote(X: np.ndarray, engine: Any = None) -> np.ndarray:
    """Search with dsmote; the engine is chosen from 512 rows when omitted."""
    return asked(built(X, engine or choose_engine(len(X), X[:512]).engine), len(X))


def sklearn(X: np.ndarray, algorithm: str) -> np.ndarray:
    """Search with scikit-learn, each row itself left out."""
    index = NearestNeighbors(n_neighbors=K + 1, algorithm=algorithm, n_jobs=-1).fit(X)
    return index.kneighbors(X)[0][:, 1:]


def iid(scale: float, repeats: int) -> dict[str, Any]:
    """Normal rows: never slower than 1.1 times scikit-learn."""
    answer = {}
    for n, d in ((50_000, 30), (100_000, 10)):
        n = max(1000, int(n * scale))
        X = np.random.default_rng(0).standard_normal((n, d))
        print(f"\niid: {n:,} x {d}, auto takes {' '.join(choose_engine(n, X[:512])[:2])}")
        sides: dict[str, Callable[[], Any]] = {
            "dsmote auto": lambda X=X: dsmote(X),
            "dsmote brute": lambda X=X: dsmote(X, BruteIndex()),
            "scikit-learn brute": lambda X=X: sklearn(X, "brute"),
            "scikit-learn auto": lambda X=X: sklearn(X, "auto"),
        }
        seconds, found = in_turn(sides, repeats)
        for name in sides:
            np.testing.assert_allclose(found[name], found["dsmote brute"], rtol=1e-6)
        middle = print_times(seconds, 28)
        for name in ("scikit-learn brute", "scikit-learn auto"):
            ratio = middle["dsmote auto"] / middle[name]
            answer[f"{n} x {d}, {name}"] = ratio
            print(f"dsmote auto takes {ratio:.2f} times as long as {name} (asked: at most 1.1)")
    return answer


def rank5(scale: float, repeats: int) -> dict[str, Any]:
    """Few directions: the time per query hardly grows with the rows."""
    rng = np.random.default_rng(0)
    axes = rng.standard_normal((5, 20))
    tables = {}
    for n in (100_000, 1_000_000):
        n = max(1000, int(n * scale))
        X = rng.standard_normal((n, 5)) @ axes + 0.01 * rng.standard_normal((n, 20))
        tables[f"{n:,} rows"] = X
    first = next(iter(tables.values()))
    chosen = choose_engine(len(first), first[:512])
    print(f"\nrank5: 20 columns, auto takes {' '.join(chosen[:2])}")
    seconds, _ = in_turn({name: lambda X=X: dsmote(X) for name, X in tables.items()}, repeats)
    middle = print_times(seconds, 28)
    each = [1e6 * middle[name] / len(X) for name, X in tables.items()]
    growth = each[1] / each[0]
    print(f"{each[0]:.1f} and {each[1]:.1f} microseconds a query: growth {growth:.2f} (asked: < 2)")
    return {"growth": growth, "seconds": middle}


def fast(scale: float, repeats: int) -> dict[str, Any]:
    """The approximate engine for many directions: recall and speed."""
    n = max(4000, int(200_000 * scale))
    X = np.random.default_rng(0).standard_normal((n, 30))
    chosen = choose_engine(n, X[:512], fast=True)
    print(f"\nfast: {n:,} x 30, takes {' '.join(chosen[:2])}")
    seconds, _ = in_turn(
        {
            chosen.name: lambda: dsmote(X, chosen.engine),
            "brute": lambda: dsmote(X, BruteIndex()),
            "scikit-learn brute": lambda: sklearn(X, "brute"),
        },
        repeats,
    )
    middle = print_times(seconds, 28)
    recall = measure_recall(built(X, chosen.engine), X, K, seed=0)["recall"]
    ratio = middle["brute"] / middle[chosen.name]
    theirs = middle["scikit-learn brute"] / middle[chosen.name]
    print(f"recall {recall:.3f} (asked: 0.9); {ratio:.1f} times as fast as brute (asked: 5),")
    print(f"{theirs:.1f} times as fast as scikit-learn's brute force")
    return {"recall": recall, "ratio": ratio, "theirs": theirs}


def mixed(scale: float, repeats: int) -> dict[str, Any]:
    """Numbers and levels together: never slower than 1.5 times the better of tree and brute."""
    n = max(600, int(20_000 * scale))
    answer = {}
    for p, q in ((3, 3), (3, 10), (3, 30), (10, 3)):
        rng = np.random.default_rng(0)
        X, codes = rng.standard_normal((n, p)), rng.integers(0, 4, (n, q)).astype(np.int32)
        chosen = choose_engine(n, X[:512], codes[:512], 1.0)
        print(f"\nmixed: {n:,} x {p} + {q}, auto takes {' '.join(chosen[:2])}")

        def search(engine: Any, X: np.ndarray = X, codes: np.ndarray = codes) -> np.ndarray:
            with single_threaded():
                index = engine.build_mixed(X, codes, 1.0)
            return asked(index, n)

        seconds, found = in_turn(
            {
                "auto": lambda how=chosen.engine, search=search: search(how),
                "tree": lambda search=search: search(TreeIndex()),
                "brute": lambda search=search: search(BruteIndex()),
            },
            repeats,
        )
        np.testing.assert_array_equal(found["tree"], found["brute"])
        middle = print_times(seconds, 28)
        answer[f"{p} + {q}"] = middle["auto"] / min(middle["tree"], middle["brute"])
        print(f"auto takes {answer[f'{p} + {q}']:.2f} times as long as the better (asked: 1.5)")
    return answer


CASES = {"iid": iid, "rank5": rank5, "fast": fast, "mixed": mixed}


def main(arguments: Sequence[str] | None = None) -> dict[str, dict[str, Any]]:
    """Run the cases; return their numbers."""
    options = parser(__doc__, "repeats")
    options.add_argument("--only", choices=CASES, action="append", help="a case; may be repeated")
    options.add_argument("--scale", type=float, default=1.0, help="share of the rows")
    args = options.parse_args(arguments)
    print(f"k = {K}, {os.cpu_count()} cores, building included")
    small = np.random.default_rng(1).standard_normal((3000, 5))
    dsmote(small), dsmote(small, BruteIndex()), sklearn(small, "auto")  # imports, pools
    return {name: CASES[name](args.scale, args.repeats) for name in args.only or CASES}


if __name__ == "__main__":
    main()
