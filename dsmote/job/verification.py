r"""``dsmote verify``: whether an output is what its manifest says, and its input promises.

::

    manifest ---- files, contents, schema          sizes, checksums and footers
        |    `--- counts                           the target of every row, and nothing else
    input ------- originals                        a hash of every row, on both sides (hashing)
        `-------- places, neighbours, ...          some new rows, made again (truth)

Nothing is held but a few pieces of files, and numbers of what was seen in them.
"""

from __future__ import annotations

import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from numbers import Integral
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dsmote.job.hashing import digest_of, row_hashes
from dsmote.job.labels import plain_label
from dsmote.job.logs import MASK, Secrets
from dsmote.job.outputs import TEST
from dsmote.job.reading import Reading
from dsmote.job.sources import (
    Footer,
    Piece,
    Source,
    as_pandas,
    open_source,
    read_footer,
)
from dsmote.job.storage import SUCCESS
from dsmote.job.truth import of_new_rows
from dsmote.job.written import Table, in_order
from dsmote.plan import format_bytes
from dsmote.plan.labels import listed, visible

__all__ = ["Check", "Verification", "verify"]

#: Stands for the label of rows that have none: those of a split's other side may be without.
MISSING = "(missing)"
#: Hashes of rows whose order is lost that are compared at once; of more, some in each reading.
AT_ONCE = 1 << 24
#: Why most is not checked where values of variables are masked in the manifest.
MASKED = "the manifest does not have names and values that came from variables"


@dataclass(frozen=True)
class Check:
    """One thing that was checked.

    Attributes
    ----------
    name : str
    passed : bool or None
        None where it could not be checked, and `detail` says why.
    detail : str
        What was found.
    """

    name: str
    passed: bool | None
    detail: str

    def __str__(self) -> str:
        said = {True: "ok", False: "FAILED", None: "not checked"}[self.passed]
        return f"{self.name:<11} {said}: {self.detail}"


@dataclass(frozen=True)
class Verification:
    """What :func:`dsmote.verify` found; as text, one line a check.

    Attributes
    ----------
    output : str
    checks : tuple of Check
    seconds : float

    Examples
    --------
    >>> found = Verification("out", (Check("files", True, "2 files"), Check("counts", None, "?")))
    >>> found.ok
    True
    >>> print(found)
    files       ok: 2 files
    counts      not checked: ?
    """

    output: str = field(repr=False)
    checks: tuple[Check, ...]
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether no check failed; those that could not be made do not count."""
        return all(check.passed is not False for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        checks = [{"name": c.name, "passed": c.passed, "detail": c.detail} for c in self.checks]
        found: dict[str, Any] = {"output": self.output, "ok": self.ok, "checks": checks}
        return {**found, "seconds": round(self.seconds, 3)}

    def __str__(self) -> str:
        return "\n".join(map(str, self.checks))


def verify(
    output: str | os.PathLike[str],
    *,
    input: str | os.PathLike[str] | None = None,
    rows: int = 1000,
    seed: int = 0,
) -> Verification:
    """Check that the output of a job is what its manifest and its input say: ``dsmote verify``.

    Parameters
    ----------
    output : str or path
        The folder that a job wrote; its manifest lies in the hidden folder beside it.
    input : str or path, optional
        The table that the job read, where it is no longer where the manifest says.
    rows : int, default=1000
        New rows that are made again, where the job wrote ``provenance``.
    seed : int, default=0
        Which ones are drawn.

    Returns
    -------
    Verification
        Its ``ok`` is False if a check failed.

    Raises
    ------
    ValueError
        There is no such output, it has no manifest, or `input` is not there; or `rows` or `seed` is
        none that can be.

    Notes
    -----
    Compared are rows by hashes of 64 bits. Which rows a cleaning method drops is not computed
    again: they are counted, and those that are left must be rows of the input, in their order.

    Examples
    --------
    >>> import dsmote
    >>> found = dsmote.verify("balanced")  # doctest: +SKIP
    >>> found.ok, found.checks[0].detail  # doctest: +SKIP
    (True, '18 files of 24.1 MiB')
    """
    for name, value, least in (("rows", rows, 1), ("seed", seed, 0)):
        if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
            raise ValueError(f"{name} is a whole number from {least} on, not {value!r}")
    with Secrets().masked():  # of URLs, in errors
        return _verified(os.fspath(output), None if input is None else os.fspath(input), rows, seed)


def _verified(output: str, input: str | None, rows: int, seed: int) -> Verification:
    started = time.perf_counter()
    table = Table(output)
    source, why = _open_input(table, input)
    checks: list[Check] = [*_of_files(table)]
    failed = any(check.passed is False for check in checks if check.name != "contents")
    if not failed and not table.masked:
        try:
            for check in _of_rows(table, source, why, rows, seed):
                checks.append(check)
        except ValueError as error:  # of a file whose content is damaged
            checks.append(Check("rows", False, str(error)))
    else:
        why = "files are missing, or are not what was written" if failed else MASKED
        checks += [Check(name, None, why) for name in ("counts", "originals", "new rows")]
    mask = table.hidden.mask
    checks = [Check(c.name, c.passed, mask(c.detail)) for c in checks]
    return Verification(mask(table.url), tuple(checks), time.perf_counter() - started)


# --- Files


def _of_files(table: Table) -> Iterator[Check]:
    sizes = table.sizes()
    recorded = {part["file"]: part["bytes"] for part in table.parts}
    wrong = [f"{visible(name)} is missing" for name in recorded if name not in sizes]
    wrong += [
        f"{visible(name)} has {sizes[name]:,} bytes, not {size:,}"
        for name, size in recorded.items()
        if sizes.get(name, size) != size
    ]
    if SUCCESS not in sizes:
        wrong.append(f"{SUCCESS} is missing: the output is not complete")
    read = (n for n in sizes if not any(p.startswith(("_", ".")) for p in n.split("/")))
    wrong += [f"{visible(name)} is not of this table" for name in read if name not in recorded]
    said = f"{len(recorded):,} files of {format_bytes(sum(recorded.values()))}"
    yield Check("files", not wrong, listed(wrong, 5) or said)
    there = [part for part in table.parts if part["file"] in sizes]
    known = [part for part in there if "sha256" in part]
    if known:
        sums = in_order(table.checksum, known)
        wrong = [
            visible(part["file"])
            for part, found in zip(known, sums, strict=True)
            if found != part["sha256"]
        ]
        said = f"{len(known):,} files have the checksums they were written with"
        told = f"not as written: {listed(wrong, 5)}"
        yield Check("contents", not wrong, told if wrong else said)
    else:
        yield Check("contents", None, "the manifest has no checksums, as of object stores")
    if not table.columns:
        yield Check("schema", None, "the manifest is of an earlier version, and has none")
    yield from _of_schema(table, there)


def _of_schema(table: Table, there: Sequence[Mapping[str, Any]]) -> Iterator[Check]:
    def footer(part: Mapping[str, Any]) -> Footer | str:
        try:
            return read_footer(table.path(part))
        except (ValueError, OSError) as error:
            return str(error)

    wrong = []
    for part, found in zip(there, in_order(footer, there), strict=True):
        if isinstance(found, str):
            wrong.append(found)
            continue
        table.see(found, part)
        rows = sum(n for n, _ in found.groups)
        if rows != part["rows"]:
            wrong.append(f"{visible(part['file'])} has {rows:,} rows, not {part['rows']:,}")
        recorded = None if table.masked else table.columns.get(table.folder(part))
        keys = table.keys_of(part)
        own = {name: _values(of) for name, of in (recorded or {}).items() if name not in keys}
        types = {each.name: _values(str(each.type)) for each in found.schema}
        if recorded is not None and (own != types or [*own] != [*types]):
            differing = [name for name in {**own, **types} if own.get(name) != types.get(name)]
            told = (
                f"{name!r} is {types.get(name)}, not {own.get(name)}"
                if (name := next(iter(differing), None))
                else "columns in another order"
            )
            wrong.append(f"{visible(part['file'])}: {told}")
    if table.masked and not wrong:
        yield Check("schema", None, MASKED)
    elif table.columns or wrong:
        columns = sum(len(own) for own in [*table.columns.values()][:1])
        said = f"{columns:,} columns in {len(there):,} files, as recorded"
        yield Check("schema", not wrong, listed(wrong, 3) or said)


def _values(of: str) -> str:
    """Return the type of what a dictionary holds: that there is one is noted by pandas only."""
    return of.removeprefix("dictionary<values=").partition(",")[0] if "dictionary<" in of else of


# --- Rows


class Seen:
    """Reads the rows of an output, and counts them by class as they pass."""

    def __init__(self, table: Table, names: Sequence[str] = ()) -> None:
        """Original rows are hashed by the columns `names`, if there are some."""
        self._table, self.names = table, list(names)
        #: Rows by class: of all, of those known to be new, and of those held back.
        self.all, self.new, self.test = Counter[str](), Counter[str](), Counter[str]()
        self.unknown = 0  # rows that may be new or not
        self.astray = 0  # rows marked as new in a part of original ones, or not so among new ones

    def hashes(self, folder: str) -> Iterator[np.ndarray]:
        """Yield hashes of the original rows of a folder, in order, piece by piece."""
        parts = [part for part in self._table.parts if self._table.folder(part) == folder]
        work = [(part, piece) for part in parts for piece in self._table.pieces(part)]
        for counts, new, astray, hashes in in_order(self._look, work):
            (self.test if folder == TEST else self.all).update(counts)
            self.new.update(new or {})
            self.unknown += 0 if new is not None else sum(counts.values())
            self.astray += astray
            if hashes is not None:
                yield hashes

    def _look(self, work: tuple[Mapping[str, Any], Piece]) -> tuple[Any, ...]:
        part, piece = work
        table, known = self._table, self._table.is_new(part)
        marked = table.marks(part)
        wanted = self.names if self.names and known is not True else [table.target]
        rows = table.read(part, piece, [*wanted, *(["synthetic"] if marked else [])])
        counts = _labels(rows[table.target])
        if not marked:
            new = {True: counts, False: Counter[str](), None: None}[known]
            given = None if known is None or wanted is not self.names else rows
        else:
            new = _labels(rows[table.target].filter(rows["synthetic"]))
            given = rows.filter(pc.invert(rows["synthetic"])) if new else rows
        marks = sum(new.values()) if new else 0
        astray = {True: len(rows) - marks, False: marks, None: 0}[known]
        if given is None or not self.names or known is True:
            return counts, new, astray, None
        return counts, new, astray, row_hashes(given.select(self.names))


def _labels(column: pa.ChunkedArray) -> Counter[str]:
    # Without those that are missing, among which whole numbers would be read as floats.
    found = pc.value_counts(column.drop_null())
    gone = Counter({MISSING: column.null_count} if column.null_count else {})
    labels = as_pandas(pa.table({"label": found.field("values")}))["label"]
    names = [
        MISSING if nan else str(plain_label(v))
        for v, nan in zip(labels, labels.isna(), strict=True)
    ]
    return gone + Counter(dict(zip(names, found.field("counts").to_pylist(), strict=True)))


def _of_rows(
    table: Table, source: Source | None, why: str, rows: int, seed: int
) -> Iterator[Check]:
    yield Check("input", None, why) if source is None else _of_input(table, source)
    if source is not None:
        originals, seen = _of_originals(table, source)
    else:
        seen = Seen(table)
        for folder in table.folders:
            _exhaust(seen.hashes(folder))
        originals = Check("originals", None, why)
    yield _of_counts(table, seen)
    yield originals
    for name, passed, detail in of_new_rows(table, source, rows, seed):
        yield Check(name, passed, detail)


def _exhaust(items: Iterable[Any]) -> None:
    deque(items, maxlen=0)


def _open_input(table: Table, input: str | None) -> tuple[Source | None, str]:
    """Return the input, or why it is not there."""
    url = input or str(table.job["input"])
    if input is None and MASK in url:
        return None, "its name came from a variable; say where it is (--input)"
    try:
        return open_source(url, table.job.get("format"), reading=Reading.of(table.job)), ""
    except (OSError, ValueError) as error:
        if input is not None:
            raise ValueError(f"the input {input} cannot be compared: {error}") from error
        return None, f"{error}; say where it is now (--input)"


def _of_input(table: Table, source: Source) -> Check:
    read = (table.manifest.get("fingerprint") or {}).get("input") or {}
    files = f"{len(source.inputs.files):,} files of {format_bytes(source.inputs.n_bytes)}"
    if read.get("stamp") == source.inputs.stamp:
        return Check("input", True, f"{files}, the same as when the job read them")
    told = "with other names, sizes or times than those that the job read; compared by their rows"
    return Check("input", None, f"{files} {told}")


def _of_counts(table: Table, seen: Seen) -> Check:
    classes, dropped = table.manifest["classes"], table.manifest["rows"].get("dropped", 0)
    synthetic = table.job.get("mode") == "synthetic"
    test = {each["label"]: each["rows"] for each in table.manifest.get("test") or ()}
    compared = [
        ("", {c["label"]: c["new" if synthetic else "after"] for c in classes}, seen.all),
        (" held back", {} if synthetic else test, seen.test),
    ]
    # Where rows were dropped after, new ones may have been, too.
    if not (dropped or seen.unknown):
        compared.append((" that are new", {c["label"]: c.get("new", 0) for c in classes}, seen.new))
    wrong = []
    for what, promised, found in compared:
        wanted = Counter({MISSING if k is None else str(k): n for k, n in promised.items()})
        for label in sorted({*wanted, *found}):
            if wanted[label] != found[label]:
                told = f"{found[label]:,} rows{what}, not {wanted[label]:,}"
                wrong.append(f"class {visible(label)} has {told}")
    if seen.astray:
        wrong.append(f"{seen.astray:,} rows are marked as new among original ones, or the reverse")
    said = ", ".join(f"{visible(label)}: {n:,}" for label, n in [*seen.all.items()][:10])
    said += f"; {seen.new.total():,} new" if len(compared) > 2 else ""
    said += f"; {seen.test.total():,} held back" if seen.test else ""
    return Check("counts", not wrong, listed(wrong, 5) or said)


# --- Original rows


class Digest:
    """The digest of rows that pass, and how many there are."""

    def __init__(self, ordered: bool) -> None:
        self.rows, self.sum, self._ordered = 0, 0, ordered

    def of(self, chunks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Pass hashes on."""
        for chunk in chunks:
            self.sum += digest_of(chunk, self.rows if self._ordered else None)
            self.sum %= 2**64
            self.rows += len(chunk)
            yield chunk


class Follower:
    """Rows that must come among others, in the same order.

    With `repeats` a row may stand several times where the others have it once.
    """

    def __init__(self, name: str, chunks: Iterable[np.ndarray], repeats: bool = False) -> None:
        self.name, self._repeats, self.found = name, repeats, 0
        self._left = chain.from_iterable(chunk.tolist() for chunk in chunks)
        self._next: int | None = next(self._left, None)

    def see(self, rows: Iterable[int]) -> None:
        """Look for the next rows among some."""
        others = iter(rows)
        while self._next is not None and self._next in others:
            here = self._next
            while self._next == here:
                self.found += 1
                self._next = next(self._left, None)
                if not self._repeats:
                    break

    def wrong(self) -> str | None:
        """Say which row does not come; let the rest pass."""
        if self._next is None:
            return None
        _exhaust(self._left)
        where = "" if self.name == "." else f" of {self.name}/"
        return (
            f"original row {self.found:,}{where} (counted from 0) is not in the input, or not in "
            "this order"
        )


def _of_originals(table: Table, source: Source) -> tuple[Check, Seen]:
    """Compare original rows with the input: all of them, or those that were not dropped."""
    seen = Seen(table, source.columns)
    try:
        passed, detail = _compared(table, source, seen)
    except ValueError as error:  # of a column that is not there, or a value that does not fit
        seen = Seen(table)  # labels may be readable where other columns are not
        for folder in table.folders:
            _exhaust(seen.hashes(folder))
        passed, detail = False, str(error)
    return Check("originals", passed, detail), seen


def _compared(table: Table, source: Source, seen: Seen) -> tuple[bool | None, str]:
    why = _incomparable(table)
    if why:
        for folder in table.folders:
            _exhaust(seen.hashes(folder))
        return None, why
    loaders = source.tables(table.types_of(source))
    dropped, split = table.manifest["rows"].get("dropped", 0), table.folders != (".",)
    repeats = any(own.get("replacement") for own in table.steps())
    dropped = dropped or repeats  # as many rows may stay, and not be those of the input

    def read() -> Iterator[np.ndarray]:
        return in_order(lambda load: row_hashes(load()), loaders)

    def followed(seen: Seen, ours: Digest, theirs: Digest) -> list[str]:
        streams = [(name, ours.of(seen.hashes(name))) for name in table.folders]
        followers = [Follower(name, chunks, repeats) for name, chunks in streams]
        for chunk in theirs.of(read()):
            rows = chunk.tolist()
            for follower in followers:
                follower.see(rows)
        return [told for follower in followers if (told := follower.wrong())]

    ordered = table.in_order and not split
    ours, theirs, wrong = Digest(ordered), Digest(ordered), list[str]()
    if table.in_order and (dropped or split):
        wrong = followed(seen, ours, theirs)
    elif dropped:
        wrong = _contained(table, seen, ours, theirs, read, repeats)
    else:
        for name in table.folders:
            _exhaust(ours.of(seen.hashes(name)))
        _exhaust(theirs.of(read()))
    before = table.manifest["rows"]["before"] + table.manifest["rows"].get("test", 0)
    if theirs.rows != before:
        wrong.insert(0, f"the input has {theirs.rows:,} rows; {before:,} were read by the job")
    if not dropped and ours.sum != theirs.sum and not wrong:
        wrong = followed(Seen(table, source.columns), Digest(True), Digest(True)) if ordered else []
        if not wrong:
            wrong = [f"{ours.rows:,} original rows are not the {theirs.rows:,} of the input"]
    if wrong:
        return False, listed(wrong, 3)
    order = "in its order" if table.in_order else "whatever their order"
    which = "are rows of the input" if dropped else "are those of the input"
    return True, f"{ours.rows:,} original rows {which}, {order}"


def _incomparable(table: Table) -> str | None:
    """Say why original rows cannot be told, or are not to be those of the input."""
    if table.job.get("mode") == "synthetic":
        return "mode: synthetic writes the new rows only"
    if any("new" not in part and not table.marks(part) for part in table.parts):
        if table.mixed:
            return "rows were mixed, and without provenance new ones are not marked"
        return "the manifest is of an earlier version, and does not say which parts are new"
    if any(own.get("voting") not in (None, "hard") for own in table.steps()):
        return "ClusterCentroids gives rows the values of centres, but with voting: hard"
    return None


def _contained(
    table: Table,
    seen: Seen,
    ours: Digest,
    theirs: Digest,
    read: Callable[[], Iterator[np.ndarray]],
    repeats: bool,
) -> list[str]:
    """Tell whether each row is one of the input, as often as there: their order is lost.

    Hashes are compared that leave a remainder; all are read again for the next one.
    """
    rows = table.manifest["rows"]
    times = max(1, -(-(rows["after"] + rows.get("test", 0)) // AT_ONCE))
    lacking = 0
    for place in range(times):
        of = seen if not place else Seen(table, seen.names)
        chunks: Iterator[np.ndarray] = chain.from_iterable(map(of.hashes, table.folders))
        given = read()
        if not place:
            chunks, given = ours.of(chunks), theirs.of(given)
        kept = [chunk[chunk % np.uint64(times) == place] for chunk in chunks]
        values, wanted = np.unique(np.concatenate(kept), return_counts=True)
        found = np.zeros(len(values), dtype=np.int64)
        for chunk in given:
            at = np.searchsorted(values, chunk)
            at = at[np.append(values, 0)[at] == chunk]
            found += np.bincount(at, minlength=len(values))[: len(values)]
        lacking += int((found < (1 if repeats else wanted)).sum())
    return [f"{lacking:,} different original rows are not in the input"] if lacking else []
