r"""Some new rows made again, from what provenance says, and where their sampler puts them.

::

    output   a sample of new rows: base_row, neighbour_row, gap, values
                    |
    table    rows by number: bases, neighbours     each new row lies where it must   (places)
             rows of the class, piece by piece     neighbours are among the k nearest (neighbours)
                                                   categories are what most have      (categories)

The table is the one that the sampler was given: the input, or its training rows; else, for the last
sampler of a chain, the original rows of the output. Neighbours are found by comparing the sample
with all rows, not by the engines and the cells that the job chose among. Rows of the class stay in
memory while they take no more than `HELD_BYTES`; else they are read again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import dask
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from dsmote.execute import Recipe, Rows, read_frame
from dsmote.execute.extract import Take, complete_rows
from dsmote.execute.generate import numbers_of
from dsmote.execute.partition import Partition
from dsmote.execute.rows import encode, join, join_frames, numeric_columns, numeric_values
from dsmote.job.files import open_fs
from dsmote.job.outputs import TEST
from dsmote.job.sources import Source, as_pandas, open_source
from dsmote.job.spec import sampler_of
from dsmote.job.written import Table, in_order, without_views
from dsmote.kernels import (
    bandwidth,
    extrapolate,
    extrapolate_exact,
    lengths,
    segment,
    segment_exact,
)
from dsmote.neighbors import BruteSearch, ValueDifferenceSearch
from dsmote.neighbors.exact import scale_power
from dsmote.plan import COPY, plain, scaling_of
from dsmote.plan.labels import listed, visible

#: Row groups that the sample is taken from, at most: others are not read for it.
GROUPS = 32
#: Rows of the classes in the sample that stay in memory.
HELD_BYTES = 512 * 2**20
#: Rows that queries are compared with at once.
BLOCK = 1 << 16
#: Pairs of rows that are compared at most to find the nearest of all rows: a second for each 10^9.
PAIRS = 2e10
#: Squared distances that differ by no more are equal: they may be summed in another order.
CLOSE = 1e-12
#: Noise is normal by the inverse of its distribution, and draws are no nearer to 0 than 2^-53.
MOST_NOISE = 8.3
#: Which share of the rows a check found wrong is told with so many of them.
SHOWN = 3


def of_new_rows(
    table: Table, source: Source | None, rows: int, seed: int
) -> Iterator[tuple[str, bool | None, str]]:
    """Yield name, result and detail of what is checked of new rows."""
    if not table.manifest["rows"].get("new"):
        return
    kinds = [own.get("provenance") for own in table.steps()]
    if "full" not in kinds:
        yield "new rows", None, "without provenance: full nothing says where they come from"
        return
    with dask.config.set({"dataframe.convert-string": False}):
        given = _given(table, source, kinds.index("full"))
        if isinstance(given, str):
            yield "new rows", None, given
            return
        sample, places = sampled(table, rows, seed)
        if not len(sample):
            yield "new rows", None, "the sample holds none"
            return
        yield from Truth(table, *given, sample, places).checks()


# --- What is compared


def _given(table: Table, source: Source | None, place: int) -> tuple[Any, Any] | str:
    """Return the sampler that tells where rows are from, and the table it was given; or why not."""
    spec, last = table.spec(), place == len(table.steps()) - 1
    if table.makers > 1:
        return "several steps made rows, and those of the last one are not kept apart"
    if place == 0 and source is not None and _fits(table, source):
        frame = source.frame()
        if spec.split is not None:
            from dsmote.job.training import divide

            frame = divide(frame, spec.target, spec.split).train
    elif last and table.in_order and spec.mode == "full":
        frame = _originals(table)
    elif place:
        return "they are made from rows that an earlier step left, whose order is lost"
    else:
        lacking = "is not there" if source is None else "has other columns than the output"
        return f"the input {lacking}, and the output does not hold its rows in order"
    sampler = sampler_of(spec, frame._meta)
    ready = getattr(sampler, "_ready", None)
    seed = int(table.manifest["parameters"]["seed"])
    return (ready(seed)[place] if ready else sampler), frame


def _fits(table: Table, source: Source) -> bool:
    """Tell whether an input has the columns of the output; `originals` says what differs."""
    try:
        table.types_of(source)
    except ValueError:
        return False
    return True


def _originals(table: Table) -> Any:
    """Return the original rows of an output as a lazy frame, in order."""
    parts = [p for p in table.parts if table.folder(p) != TEST and p.get("new") is False]
    names = {part["file"].rpartition("/")[2] for part in parts}
    folder = table.path(parts[0]).rpartition("/")[0]
    source = open_source(folder, "parquet")
    pieces = [
        (piece,)
        for together in source.partitions
        for piece in together
        if piece.file.rpartition("/")[2] in names
    ]
    frame = replace(source, partitions=pieces).frame()
    return frame[[name for name in frame.columns if name not in table.added]]


#: In which file of an output a row is, and which one there.
Place = tuple[str, int]


def sampled(table: Table, rows: int, seed: int) -> tuple[pd.DataFrame, list[Place]]:
    """Draw new rows of an output, from some row groups; columns as recorded."""
    rng = np.random.default_rng(seed)
    parts = [p for p in table.parts if table.folder(p) != TEST and table.is_new(p) is not False]
    groups = [
        (part, number, n)
        for part in parts
        for number, (n, _) in enumerate(table.footers[part["file"]].groups)
        if n
    ]
    if len(groups) > GROUPS:
        weights = np.array([n for _, _, n in groups], dtype=float)
        chosen = rng.choice(len(groups), GROUPS, replace=False, p=weights / weights.sum())
        groups = [groups[at] for at in sorted(chosen.tolist())]
    new = [np.flatnonzero(_group(table, part, n, ["synthetic"])) for part, n, _ in groups]
    total = sum(map(len, new))
    drawn = np.sort(rng.choice(total, min(rows, total), replace=False))
    ends = np.cumsum([0, *map(len, new)])
    found, places = [], list[Place]()
    for (part, number, _), start, stop, own in zip(groups, ends, ends[1:], new, strict=False):
        at = drawn[(drawn >= start) & (drawn < stop)] - start
        if len(at):
            found.append(_rows_of(table, part, number, table.names_of(part), own[at]))
            before = sum(n for n, _ in table.footers[part["file"]].groups[:number])
            places += [(part["file"], before + row) for row in own[at].tolist()]
    return join_frames(found) if found else pd.DataFrame(), places


def _group(table: Table, part: Any, number: int, names: Sequence[str]) -> np.ndarray:
    with open_fs(table.path(part))[0].open(open_fs(table.path(part))[1], "rb") as handle:
        group = pq.ParquetFile(handle).read_row_group(number, list(names), use_threads=False)
    return np.asarray(group.column(0).to_numpy())


def _rows_of(
    table: Table, part: Any, number: int, names: Sequence[str], at: np.ndarray
) -> pd.DataFrame:
    """Read some rows of a row group, a few batches at a time."""
    footer, kept, start = table.footers[part["file"]], [], 0
    fs, path = open_fs(table.path(part))
    with fs.open(path, "rb") as handle:
        parquet = pq.ParquetFile(handle)
        for batch in parquet.iter_batches(BLOCK, [number], use_threads=False):
            own = at[(at >= start) & (at < start + len(batch))] - start
            if len(own):
                types = pa.schema([f.with_type(without_views(f.type)) for f in batch.schema])
                kept.append(batch.cast(types).take(pa.array(own)))
            start += len(batch)
    columns = {}
    for name, column in zip(kept[0].schema.names, pa.Table.from_batches(kept).columns, strict=True):
        of = footer.schema.field(name).type
        new = pa.types.is_dictionary(of) and not pa.types.is_dictionary(column.type)
        columns[name] = column.dictionary_encode() if new else column.cast(of)
    rows = pa.table(columns)
    rows = table.with_keys(part, rows, names).replace_schema_metadata(footer.schema.metadata)
    return as_pandas(rows)


# --- The checks


class Truth:
    """A sample of new rows, beside the table that they were made from."""

    def __init__(
        self,
        table: Table,
        sampler: Any,
        frame: Any,
        sample: pd.DataFrame,
        places: Sequence[Place],
    ) -> None:
        self._table, self._sampler, self._frame, self._sample = table, sampler, frame, sample
        self._lie = places
        read = read_frame(frame, table.target)
        self._schema = sampler._schema(read, None)
        self._recipe: Recipe = sampler._recipe()
        self._levels: Any = None
        if sampler.scale or sampler._counts_levels:
            profile = read.profile(self._schema, sampler.scale, sampler._counts_levels)
            self._levels = profile.levels
            if profile.moments:
                self._recipe = self._recipe.scaled_by(scaling_of(profile.moments))
        self._labels = [plain(label) for label in sample[table.target]]
        self._classes = list(dict.fromkeys(self._labels))
        self._of = {label: self._at(label) for label in self._classes}
        numbers = sample[["base_row", "neighbour_row"]].astype("Int64")
        self._bases, self._near = (numbers[n].fillna(-1).to_numpy(np.int64) for n in numbers)
        self._gaps = sample["gap"].to_numpy(dtype=np.float64)
        self._held: dict[Any, list[Rows]] | None = {label: [] for label in self._classes}
        #: All rows, where the nearest of all are looked for, are known by this label.
        self._all = object()
        self._asks_all = bool(self._recipe.values or self._recipe.n_neighbors_all)
        if self._asks_all:
            self._held[self._all] = []
        self._total = 0
        #: The largest value of each numeric feature by class, and of all of them as compared.
        self._most: dict[Any, np.ndarray] = {}
        self._reach: dict[Any, float] = {}

    def _at(self, label: Any) -> np.ndarray:
        return np.array([own == label for own in self._labels])

    def checks(self) -> Iterator[tuple[str, bool | None, str]]:
        """Yield name, result and detail."""
        wanted = np.unique(np.concatenate([self._bases, self._near]))
        found = self._read(wanted[wanted >= 0])
        lost = ~np.isin(self._bases, found.index) | (
            (self._near >= 0) & ~np.isin(self._near, found.index)
        )
        if lost.any():
            yield "places", False, self._told(lost, "come from rows that the table does not have")
            return
        self._base = found.loc[self._bases]
        self._end = found.loc[np.where(self._near >= 0, self._near, self._bases)]
        yield "places", *self._places()
        if (self._near >= 0).any() or self._recipe.lies == "vote":
            yield from self._of_neighbours()
        if self._asks_all:
            yield from self._of_bases()

    def _told(self, wrong: np.ndarray, what: str) -> str:
        """Say how many rows are wrong, where some of them are, and from which bases."""
        some = [
            f"row {row:,} of {visible(file)}, of base_row {self._bases[at]:,}"
            for at in np.flatnonzero(wrong)[:SHOWN].tolist()
            for file, row in [self._lie[at]]
        ]
        of = f"{int(wrong.sum()):,} of {len(wrong):,} new rows"
        return f"{of} {what} (such as {'; '.join(some)}; rows count from 0)"

    # --- Reading

    def _parts(self) -> Iterator[tuple[pd.DataFrame, dict[Any, Rows]]]:
        """Yield each partition and its complete rows by class; numbers count from its first."""

        def load(part: Any) -> tuple[pd.DataFrame, dict[Any, Rows]]:
            (frame,) = dask.compute(part, scheduler="synchronous")
            here, take = Partition.of(frame), Take(self._schema, skip=True)
            codes, names, _ = here.labels(self._schema)
            rows = {}
            for code, name in enumerate(names):
                if name in self._of:
                    at = np.flatnonzero(codes == code)
                    rows[name] = complete_rows(here, at, take, None, None)
            if self._asks_all:
                every = complete_rows(here, None, take, None, None)
                labels = np.array([*names, None], dtype=object)[codes[every.numbers]]
                rows[self._all] = replace(every, more={"label": labels})
            return frame, rows

        return in_order(load, self._frame.to_delayed(optimize_graph=True))

    def _read(self, numbers: np.ndarray) -> pd.DataFrame:
        """Return rows by their numbers, and keep those of classes where they are few enough."""
        kept, start, size = [], 0, 0
        for frame, rows in self._parts():
            own = numbers[(numbers >= start) & (numbers < start + len(frame))]
            kept.append(frame.iloc[own - start])
            for label, of in rows.items():
                self._measure(label, of.numeric)
                size += of.numeric.nbytes + of.codes.nbytes + 8 * len(of.more) * len(of)
                if self._held is not None:
                    self._held[label].append(of.moved(start))
            if size > HELD_BYTES:
                self._held = None
            start += len(frame)
        self._total = start
        return join_frames(kept).set_axis(numbers[: sum(map(len, kept))])

    def _measure(self, label: Any, numeric: np.ndarray) -> None:
        """See how large the values of a class are: squares of large and small ones are none."""
        most = np.abs(numeric).max(axis=0, initial=0.0)
        self._most[label] = np.maximum(self._most.get(label, most), most)
        reach = float(np.abs(self._recipe.scaled(numeric)).max(initial=0.0))
        self._reach[label] = max(self._reach.get(label, 0.0), reach)

    def _scale(self, label: Any) -> float:
        """Return the power of two that rows of a class are multiplied by to compare them."""
        return scale_power(np.array([[self._reach.get(label, 0.0)]]), self._weight(label))

    def _rows(self, label: Any) -> Iterator[Rows]:
        """Yield the rows of a class, as they are held or read once more."""
        if self._held is not None:
            yield from self._held[label]
            return
        start = 0
        for frame, rows in self._parts():
            if label in rows:
                yield rows[label].moved(start)
            start += len(frame)

    # --- Where they lie

    def _places(self) -> tuple[bool | None, str]:
        recipe, schema = self._recipe, self._schema
        has_gap, has_near = ~np.isnan(self._gaps), self._near >= 0
        copied = np.array([self._engine(label) == COPY for label in self._labels])
        copied |= recipe.lies == "copy"
        wrong: dict[str, np.ndarray] = {}
        base = self._base[self._table.target].map(plain).to_numpy(dtype=object)
        end = self._end[self._table.target].map(plain).to_numpy(dtype=object)
        labels = np.array([*self._labels, None], dtype=object)[:-1]
        wrong["have a base row of another class"] = base != labels
        wrong["have another value than their base row in a column that is to be the same"] = ~(
            self._equal([*schema.copied, *schema.numeric, *schema.nominal], copied)
            & self._equal(schema.copied, ~copied)
            & self._carried()
        )
        known = copied | (recipe.lies == "vote")
        if recipe.lies in ("segment", "mean"):
            on = has_gap & (has_near | (recipe.lies == "mean"))
            foreign = end != labels
            known |= on
            told = has_gap & (has_near | ~has_near.any())
            wrong["do not say between which rows they lie, or where"] = ~copied & ~told
            wrong["have a gap that the sampler does not make"] = on & ~recipe.allows(
                self._gaps, foreign
            )
            wrong["do not lie at base + gap (end - base)"] = on & ~self._on_segments(on)
        elif recipe.lies == "noise":
            known |= True
            far, spread = self._noise(~copied)
            wrong["lie further from their base row than noise of that size goes"] = far
            if spread and not far.any():
                return False, spread
        elif recipe.lies in _LIMITS:
            known |= True
            amiss, outside = _LIMITS[recipe.lies]
            wrong[amiss] = ~copied & outside(self)
        said = [self._told(of, what) for what, of in wrong.items() if of.any()]
        if said:
            return False, listed(said, SHOWN)
        if not known.any():
            return None, f"only {type(self._sampler).__name__} itself knows where its rows lie"
        what = {
            "segment": "between their base row and its neighbour, or beyond, as gap says",
            "mean": "between their base row and the mean of the class, as gap says",
            "copy": "where their base row is: they are equal",
            "noise": "around their base row, as far as noise of that size goes",
            "vote": "in the class of their base row",
            "ball": "as far from their base row as gap says",
            "box": "in the box between their base row and its neighbour",
            "range": "in the range of the class in each column",
        }
        where = what[recipe.lies or "copy"]
        return True, f"{int(known.sum()):,} of {len(known):,} new rows lie {where}"

    def _engine(self, label: Any) -> Any:
        """Return what the manifest says of how a class was searched."""
        manifest = self._table.manifest
        for step in manifest.get("steps") or [manifest]:
            for one in step["classes"]:
                if str(one["label"]) == str(label) and one.get("new"):
                    return one.get("engine")
        return None

    def _equal(self, columns: Sequence[int], some: np.ndarray) -> np.ndarray:
        """Tell which rows have the values of their base row in some columns; all others do."""
        equal = np.ones(len(self._sample), dtype=bool)
        for i in columns if some.any() else ():
            name = self._schema.columns[i].name
            equal &= ~some | same(self._sample[name], self._base[name])
        return equal

    def _carried(self) -> np.ndarray:
        """Tell which rows say rightly what their parents have in passthrough columns."""
        equal = np.ones(len(self._sample), dtype=bool)
        for i in self._schema.carried:
            name = self._schema.columns[i].name
            equal &= same(self._sample[f"{name}_base"], self._base[name])
            inside = (self._near >= 0) & (
                self._end[self._table.target].astype(object).to_numpy()
                == self._base[self._table.target].astype(object).to_numpy()
            )
            equal &= ~inside | same(self._sample[f"{name}_neighbour"], self._end[name])
        return equal

    def _on_segments(self, on: np.ndarray) -> np.ndarray:
        """Tell which rows are where their gap says, to the bit."""
        schema, gaps = self._schema, np.where(on, self._gaps, 0.0)
        starts, ends = (numeric_columns(f, schema) for f in (self._base, self._end))
        start, end = (np.column_stack([v for v, _ in of]) for of in (starts, ends))
        exact_ends = [exact for _, exact in ends]
        if self._recipe.lies == "mean":
            for label in self._classes:
                end[self._of[label]] = self._mean(label)
            exact_ends = [None] * len(ends)
        outward = np.signbit(gaps)
        made = np.where(
            outward[:, None],
            extrapolate(start, end, -gaps, schema.rounded),
            segment(start, end, np.where(outward, 0.0, gaps), schema.rounded),
        )
        right = np.ones(len(gaps), dtype=bool)
        for place, i in enumerate(schema.numeric):
            column = schema.columns[i]
            actual, _ = self._values(self._sample, i)
            expected = [made[:, place]]
            exact, exact_end = starts[place][1], exact_ends[place]
            if exact is not None and exact_end is not None:
                inside = segment_exact(exact, exact_end, np.where(outward, 0.0, gaps))
                beyond = extrapolate_exact(exact, exact_end, np.where(outward, -gaps, 0.0))
                expected.append(np.where(outward, beyond, inside))
            fits = np.zeros(len(gaps), dtype=bool)
            for values in expected:
                whole = values if values.dtype.kind in "iu" else None
                again = numbers_of(values.astype(np.float64), whole, column)
                fits |= same(pd.Series(again), actual)
            if column.kind == "decimal" or self._recipe.lies == "mean":
                fits |= self._close(i, made[:, place])
            right &= fits
        return right

    def _numbers(self, frame: pd.DataFrame) -> np.ndarray:
        return np.column_stack([values for values, _ in numeric_columns(frame, self._schema)])

    def _slack(self, size: np.ndarray) -> np.ndarray:
        """Return how far values of a size may be off for rounding: whole numbers by a half."""
        return np.where(self._schema.rounded, 0.5, 0.0) + 1e-9 * size

    def _off_ball(self) -> np.ndarray:
        """Tell which rows are not as far from their base as `gap` says, on the way to the other."""
        base, end, made = (self._numbers(f) for f in (self._base, self._end, self._sample))
        slack = self._slack(np.abs([base, end, made]).max(axis=0))
        start = self._recipe.scaled(base)
        slack = np.abs(self._recipe.scaled(base + slack) - start)
        far, wanted = (lengths(self._recipe.scaled(of) - start)[0] for of in (made, end))
        return np.asarray(~(np.abs(far - self._gaps * wanted) <= lengths(slack)[0]))

    def _outside_box(self) -> np.ndarray:
        """Tell which rows have a value that is not between those of base and neighbour."""
        base, end, made = (self._numbers(f) for f in (self._base, self._end, self._sample))
        slack = self._slack(np.abs(base))
        low, high = np.minimum(base, end) - slack, np.maximum(base, end) + slack
        return np.asarray(((made < low) | (made > high)).any(axis=1))

    def _outside_range(self) -> np.ndarray:
        """Tell which rows have a value that no row of their class reaches."""
        made, outside = self._numbers(self._sample), np.zeros(len(self._sample), dtype=bool)
        for label in self._classes:
            low, high, own = np.inf, -np.inf, self._of[label]
            for rows in self._rows(label):
                if len(rows):
                    low = np.minimum(low, rows.numeric.min(axis=0))
                    high = np.maximum(high, rows.numeric.max(axis=0))
            slack = self._slack(np.abs([low, high]).max(axis=0))
            outside[own] = ((made[own] < low - slack) | (made[own] > high + slack)).any(axis=1)
        return outside

    def _values(self, frame: pd.DataFrame, i: int) -> tuple[pd.Series, str]:
        column = self._schema.columns[i]
        return frame[column.name].reset_index(drop=True), column.kind

    def _close(self, i: int, expected: np.ndarray) -> np.ndarray:
        """Tell which values are as expected but for the last digit, or a whole number."""
        series, kind = self._values(self._sample, i)
        actual, _ = numeric_values(series, kind)
        step = 1.0 if kind != "float" else 0.0
        if kind == "decimal":
            step = 10.0 ** -self._schema.columns[i].dtype.pyarrow_dtype.scale
        base, _ = numeric_values(self._values(self._base, i)[0], kind)
        scale = np.abs([expected, actual, base]).max(axis=0)
        last = self._last_digit(i) if kind == "float" else 0.0
        near: np.ndarray = np.abs(actual - expected) <= step + last * scale
        return near

    def _last_digit(self, i: int) -> float:
        """Return by which share of it a value of a column of floats may differ by rounding."""
        dtype = getattr(self._schema.columns[i].dtype, "numpy_dtype", self._schema.columns[i].dtype)
        half = getattr(dtype, "itemsize", 8) == 2
        return max(1e-6, float(np.finfo(np.float16).eps) if half else 0.0)

    def _mean(self, label: Any) -> np.ndarray:
        return self._moments(label)[1]

    def _moments(self, label: Any) -> tuple[int, np.ndarray, np.ndarray]:
        """Return rows, means and standard deviations of the numeric features of a class."""
        n, mean, squares = 0, np.zeros(len(self._schema.numeric)), 0.0
        # Each column as shares of a power of two: exact, and of a size whose square is a number.
        powers = np.frexp(self._most.get(label, mean))[1]
        for rows in self._rows(label):
            if not len(rows):
                continue
            values = np.ldexp(rows.numeric, -powers)
            own, m = values.mean(axis=0), len(rows)
            step = own - mean
            squares = squares + ((values - own) ** 2).sum(axis=0) + step**2 * (n * m / (n + m))
            mean, n = mean + step * (m / (n + m)), n + m
        return n, np.ldexp(mean, powers), np.ldexp(np.sqrt(squares / max(1, n)), powers)

    def _noise(self, some: np.ndarray) -> tuple[np.ndarray, str | None]:
        """Tell which rows are too far from their base, and whether noise is of the right size."""
        given = self._sampler._shrinkage_of(self._classes)
        (starts, made) = (numeric_columns(f, self._schema) for f in (self._base, self._sample))
        step = np.column_stack([a - b for (a, _), (b, _) in zip(made, starts, strict=True)])
        size = np.abs(np.column_stack([of for both in (starts, made) for of, _ in both]))
        size = np.maximum(*np.split(size, 2, axis=1))
        unit = np.where(self._schema.rounded, 1.0, 0.0)
        last = np.array([self._last_digit(i) for i in self._schema.numeric])
        far, shares = np.zeros(len(some), dtype=bool), []
        for label in self._classes:
            n, _, spread = self._moments(label)
            deviation = given[label] * bandwidth(n, len(spread)) * spread
            own = self._of[label] & some
            limit = MOST_NOISE * deviation + unit + last * size[own]
            far[own] = (np.abs(step[own]) > limit).any(axis=1)
            floats = ~self._schema.rounded & (deviation > last * size.max(axis=0))
            shares.append((step[own][:, floats] / deviation[floats]).ravel())
        ratio = np.concatenate(shares)
        n, mean = len(ratio), float(np.mean(ratio**2)) if len(ratio) else 1.0
        if n >= 100 and not abs(mean - 1.0) <= 6.0 * (2.0 / n) ** 0.5:
            return far, f"noise has {mean:.2f} times the variance that shrinkage says"
        return far, None

    # --- Who their neighbours are

    def _of_neighbours(self) -> Iterator[tuple[str, bool | None, str]]:
        recipe, k = self._recipe, self._recipe.k
        if recipe.surveys:
            why = "neighbours are those in the cluster of the base row, and clusters are not kept"
            yield "neighbours", None, why
            return
        right = np.ones(len(self._bases), dtype=bool)
        asked = np.zeros(len(self._bases), dtype=bool)
        wrong = {"missing": np.zeros(len(right), dtype=bool), "vote": np.zeros(len(right), bool)}
        for label in self._classes:
            if self._engine(label) == COPY:
                continue
            at = np.flatnonzero(self._of[label])
            foreign = np.zeros(len(at), dtype=bool)
            if recipe.others_only and recipe.values:  # those of other classes are asked alone
                ends = self._end[self._table.target].map(plain).to_numpy(dtype=object)[at]
                foreign = np.array([end != label for end in ends])
                if foreign.any():
                    to = at[foreign]
                    squares, numbers, _ = self._nearest(to, self._all, 1, but=label)
                    asked[to] = True
                    tied = self._squares(to, self._all) <= squares[:, 0] * (1.0 + CLOSE)
                    right[to] = (numbers[:, 0] == self._near[to]) | tied
                at = at[~foreign]
            among = self._all if recipe.values and not recipe.others_only else label
            squares, numbers, _ = self._nearest(at, among, k)
            asked[at] = True
            if recipe.lies != "vote":
                listed_ = (numbers[:, :k] == self._near[at, None]).any(axis=1)
                last = squares[:, min(k, squares.shape[1]) - 1]
                tied = self._squares(at, among) <= last * (1.0 + CLOSE)
                right[at] = (listed_ | tied) & (self._near[at] != self._bases[at])
            if self._schema.nominal:
                voters = numbers[:, :k]
                if recipe.lies == "vote":
                    voters = np.column_stack([self._bases[at], voters])
                wrong["missing"][at], wrong["vote"][at] = self._elected(at, label, voters)
        n = int(asked.sum())
        if recipe.lies != "vote":
            good = int((right & asked).sum())
            whose = "all rows" if recipe.values else "the class"
            said = f"{good:,} of {n:,} are among the {k} nearest of {whose}"
            if not recipe.exact:
                yield "neighbours", None, f"the search was not exact: {said}"
            elif good < n:
                what = f"have a neighbour that is not among the {k} nearest of {whose}"
                yield "neighbours", False, self._told(asked & ~right, what)
            else:
                yield "neighbours", True, said
        if self._schema.nominal:
            told = []
            if wrong["missing"].any():
                told.append(self._told(wrong["missing"], "hold a value that the class has not"))
            if wrong["vote"].any() and recipe.exact:
                told.append(self._told(wrong["vote"], "hold a value that fewer voters have"))
            voted = "; each is the most common one among those who vote" * recipe.exact
            q = len(self._schema.nominal)
            good_ = f"values of {q} columns in {n:,} new rows occur in the class{voted}"
            yield "categories", not told, listed(told, SHOWN) or good_

    @cached_property
    def _weights(self) -> dict[Any, float]:
        """The distance of a differing category, by class."""
        return {}

    def _weight(self, label: Any) -> float:
        """Return the distance that a differing category counts for in a class."""
        if not self._recipe.weighs_columns:
            return 0.0
        if label not in self._weights:
            rows, scaled = list(self._rows(label)) if self._held else [], self._recipe.scaled
            if rows:  # to the bit
                columns = np.concatenate([scaled(of.numeric) for of in rows]).T
                self._weights[label] = self._recipe.weight_of(columns)
            else:
                spread = self._moments(label)[2]
                scaling = self._recipe.scaling
                if scaling is not None:
                    spread = spread / np.array(scaling.spread)
                middle = float(np.median(spread))
                self._weights[label] = middle if middle > 0 and np.isfinite(middle) else 1.0
        return self._weights[label]

    def _encoded(self, frame: pd.DataFrame, numbers: np.ndarray) -> Rows:
        return encode(frame.reset_index(drop=True), self._schema, numbers)

    def _squares(self, at: np.ndarray, among: Any) -> np.ndarray:
        """Return the squared distance of each base row and its neighbour."""
        own = self._encoded(self._base.iloc[at], self._bases[at])
        both = join([own, self._encoded(self._end.iloc[at], self._near[at])], self._schema)
        scale = self._scale(among)
        start, end = np.split(self._recipe.scaled(both.numeric) * scale, 2)
        codes = np.split(both.codes, 2)
        squares = ((start - end) ** 2).sum(axis=1)
        weight = self._weight(among) * scale
        return np.asarray(squares + weight**2 * (codes[0] != codes[1]).sum(axis=1))

    def _nearest(
        self, at: np.ndarray, among: Any, k: int, but: Any = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return squares, numbers and labels of the k nearest of each base, by looking at all.

        Those of a class may be left out.
        """
        weight, scale = self._weight(among), self._scale(among)
        asking = self._encoded(self._base.iloc[at], self._bases[at])
        best = np.full((len(at), k), np.inf), np.full((len(at), k), 2**62)
        labels = np.full((len(at), k), None, dtype=object)
        for rows in self._rows(among):
            if but is not None:
                rows = rows.take(np.flatnonzero([one != but for one in rows.more["label"]]))
            for first in range(0, len(rows), BLOCK):
                some = rows.take(np.arange(first, min(len(rows), first + BLOCK)))
                near, ids = self._asked(asking, some, min(k + 1, len(some)), weight, scale)
                near = np.where(some.numbers[ids] == asking.numbers[:, None], np.inf, near)
                own = some.more.get("label", np.full(len(some), None, dtype=object))
                both = np.column_stack([best[0], near])
                who = np.column_stack([best[1], some.numbers[ids]])
                whose = np.column_stack([labels, own[ids]])
                order = np.lexsort((who, both), axis=1)[:, :k]
                squares, numbers, labels = (
                    np.take_along_axis(of, order, axis=1) for of in (both, who, whose)
                )
                best = squares, numbers
        return *best, labels

    def _of_bases(self) -> Iterator[tuple[str, bool | None, str]]:
        """Look at the classes of the rows around base rows, of which the sampler makes its choice.

        Where the table is large, around some of them.
        """
        m, step = self._recipe.counted, max(1, round(len(self._bases) * self._total / PAIRS))
        wrong, asked = np.zeros((2, len(self._bases)), dtype=bool)
        for label in self._classes:
            at = np.flatnonzero(self._of[label])[::step]
            if self._engine(label) == COPY or not len(at):
                continue
            squares, _, labels = self._nearest(at, self._all, m)
            there = np.isfinite(squares)
            others = (there & (labels != label)).sum(axis=1)
            fits = self._recipe.fits(others, there.sum(axis=1), self._gaps[at])
            if fits is not None:
                asked[at], wrong[at] = True, ~fits
        if asked.any():
            name = type(self._sampler).__name__
            what = f"have a base row that {name} does not choose, by the classes around it"
            said = (
                f"the {m} nearest rows of {int(asked.sum()):,} base rows are as {name} wants them"
            )
            yield "bases", not wrong.any(), self._told(wrong, what) if wrong.any() else said

    def _asked(
        self, asking: Rows, some: Rows, k: int, weight: float, scale: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return (scaled) squares and places of the k nearest of some rows."""
        both, n = join([asking, some], self._schema), len(asking)
        if self._recipe.lies == "vote":
            index: Any = ValueDifferenceSearch(
                both.codes[n:], self._recipe.tables(both, self._levels), "brute"
            )
            points: Any = both.codes[:n]
        else:
            matrix = self._recipe.scaled(both.numeric)
            index, points = BruteSearch(matrix[n:], scale=scale), matrix[:n]
            if weight:
                index = BruteSearch(matrix[n:], both.codes[n:], weight, scale)
                points = np.column_stack([points, both.codes[:n]])
        squares, ids = index.nearest(index.scaled(points), k, np.full(n, -1))
        return np.asarray(squares), np.asarray(ids)

    def _elected(
        self, at: np.ndarray, label: Any, voters: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Tell which rows hold a value that the class has not, and one that has fewer votes."""
        names = [self._schema.columns[i].name for i in self._schema.nominal]
        wanted = np.unique(voters)
        known: list[dict[int, Any]] = [{} for _ in names]
        there: list[set[Any]] = [set() for _ in names]
        for rows in self._rows(label):
            places = np.flatnonzero(np.isin(rows.numbers, wanted))
            for j, levels in enumerate(rows.levels):
                keys = [_key(level) for level in levels]
                there[j].update(keys[code] for code in np.unique(rows.codes[:, j]).tolist())
                of = map(keys.__getitem__, rows.codes[places, j].tolist())
                known[j].update(zip(rows.numbers[places].tolist(), of, strict=True))
        missing, outvoted = np.zeros((2, len(at)), dtype=bool)
        for j, name in enumerate(names):
            values = [_key(v) for v in self._sample[name].iloc[at]]
            for row, (value, who) in enumerate(zip(values, voters.tolist(), strict=True)):
                missing[row] |= value not in there[j]
                votes = Counter(known[j].get(number) for number in who)
                outvoted[row] |= votes[value] < max(votes.values())
        return missing, outvoted


#: What is wrong with a row that a sampler does not put there, and which rows that is so of.
_LIMITS = {
    "ball": ("are not as far from their base row as gap says", Truth._off_ball),
    "box": ("do not lie in the box between base row and neighbour", Truth._outside_box),
    "range": ("have a value that no row of their class reaches", Truth._outside_range),
}


def _key(value: Any) -> Any:
    """Return a value of a category that is equal to itself: None where it is missing."""
    return None if value is None or value is pd.NA or value != value else plain(value)


def same(some: pd.Series, others: pd.Series) -> np.ndarray:
    """Tell which values of two columns are equal; missing ones are."""
    ours, theirs = ([_key(v) for v in of.astype(object)] for of in (some, others))
    return np.array([a == b for a, b in zip(ours, theirs, strict=True)], dtype=bool)
