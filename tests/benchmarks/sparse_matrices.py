"""Sparse matrices: a large table of texts by dsmote, and a smaller one beside imbalanced-learn.

Run: python tests/benchmarks/sparse_matrices.py [--only CASE] [--rows N] [--repeats 3]

CSR, float64, density 0.5 %, samplers as they come; columns are drawn like words, the
j-th in proportion to 1 / (j + 20). Each run is a process of its own:
  texts     SMOTE, 500,000 x 8,000, 1 % minority rows: asked for are at most 4 GiB of resident
            memory and 300 seconds
  smote, adasyn, tomek, enn
            20,000 x 5,000, 10 % minority rows, beside imbalanced-learn: asked for is a fifth of
            its time
"""

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from harness import MIB, SIDES, child, medians, parser, print_table, sampler_of, watched
from scipy import sparse


class Case(NamedTuple):
    """The shape of a table, its share of minority rows, and who resamples it."""

    rows: int
    columns: int
    share: float
    sampler: str = "SMOTE"
    sides: tuple[str, ...] = SIDES


CASES = {
    "texts": Case(500_000, 8_000, 0.01, sides=("dsmote",)),
    "smote": Case(20_000, 5_000, 0.1),
    "adasyn": Case(20_000, 5_000, 0.1, "ADASYN"),
    "tomek": Case(20_000, 5_000, 0.1, "TomekLinks"),
    "enn": Case(20_000, 5_000, 0.1, "EditedNearestNeighbours"),
}
DENSITY = 0.005


def texts(n: int, d: int, share: float) -> tuple[sparse.csr_array, np.ndarray]:
    """Draw rows of words: how often each is there, weighted by how rare it is."""
    rng = np.random.default_rng(0)
    often = np.cumsum(1.0 / (np.arange(d) + 20.0))
    words = round(n * d * DENSITY * 1.15)  # some come twice in a row
    columns = np.searchsorted(often, rng.random(words) * often[-1]).astype(np.int32)
    ends = np.linspace(0, words, n + 1).astype(np.int32)
    X = sparse.csr_array((np.ones(words), columns, ends), shape=(n, d))
    X.sum_duplicates()
    X.data *= (np.log(often[-1] * (np.arange(d) + 20.0)))[X.indices]
    return X, (rng.random(n) < share).astype(int)


def one_side(name: str, side: str, rows: int | None) -> dict[str, float]:
    """Measure one side of a case."""
    case = CASES[name]
    random = {"random_state": 0} if case.sampler in ("SMOTE", "ADASYN") else {}
    sampler = sampler_of(side, case.sampler, **random)
    sampler.fit_resample(*texts(500, 50, 0.2))  # imports
    X, y = texts(rows or case.rows, case.columns, case.share)
    with open("/proc/self/status") as status:
        before = next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) * 1024
    seconds, peak, (X_res, y_res) = watched(lambda: sampler.fit_resample(X, y))
    assert X_res.format == "csr"
    density = X.nnz / X.shape[0] / X.shape[1]
    return {
        "seconds": seconds,
        "bytes": before + peak,
        "given": X.shape[0],
        "rows": len(y_res),
        "density": density,
    }


def measured(name: str, rows: int | None, repeats: int) -> dict[str, Any]:
    """Measure the sides of a case in turn, print them, return the numbers."""
    case = CASES[name]
    runs: dict[str, list[dict[str, float]]] = {side: [] for side in case.sides}
    for _ in range(repeats):
        for side, results in runs.items():
            results.append(child(one_side, name, side, rows))
    found: dict[str, Any] = {side: medians(results) for side, results in runs.items()}
    print(f"\n{name}: {case.sampler}, {case.columns:,} columns, medians of {repeats}")
    print_table(
        [
            {
                "side": side,
                "rows": f"{of['given']:,.0f}",
                "density": f"{of['density']:.2%}",
                "more": f"{of['rows'] - of['given']:+,.0f}",
                "seconds": f"{of['seconds']:.2f}",
                "MiB of the process": f"{of['bytes'] / MIB:,.0f}",
            }
            for side, of in found.items()
        ]
    )
    if len(found) == 2:
        ours, theirs = found.values()
        if name in ("smote", "tomek"):  # equal in number, whatever is drawn
            assert ours["rows"] == theirs["rows"]
        found["ratio"] = theirs["seconds"] / ours["seconds"]
        print(f"dsmote is {found['ratio']:.1f} times as fast (asked: 5)", flush=True)
    return found


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the cases; return their numbers."""
    options = parser(__doc__, "rows", "repeats")
    options.add_argument("--only", choices=CASES, action="append", help="a case; may be repeated")
    args = options.parse_args(arguments)
    print(f"k = 5, {os.cpu_count()} cores")
    return {name: measured(name, args.rows, args.repeats) for name in args.only or CASES}


if __name__ == "__main__":
    main()
