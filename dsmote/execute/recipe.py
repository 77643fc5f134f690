r"""What makes a sampler itself, and what the executors hand to it.

::

    a recipe says                    an executor does, in memory or on Dask
    ---------------------------      ------------------------------------------------------------
    sample, fit                      takes a seeded sample of all rows, has a model fitted to it
    n_neighbors_all, values          finds the nearest of ALL rows for the rows of a class
    survey                           shows every partition to the recipe, and adds up what it says
    prepare                          keeps what it returns with the class, computed once
    bases                            asks which rows are bases, and how often
    search_space, build_index        indexes the rows of a class (or of each group in it)
    make                             has new rows made, block by block:
      ends                             where the segments from the base rows end
      gaps                             how far along its segment each new row lies

:class:`Recipe` answers all of it as SMOTE does. A new sampler changes what it does otherwise; no
executor knows which.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd

from dsmote.kernels import (
    MOST,
    add_exact,
    extrapolate,
    extrapolate_exact,
    normal,
    on_ellipsoid,
    segment,
    segment_exact,
    vote,
)
from dsmote.neighbors import (
    Axes,
    BruteIndex,
    Choice,
    Engine,
    NeighborIndex,
    ProjectedSearch,
    blocks_of,
    choose_engine,
    few,
    leading_axes,
    project,
)
from dsmote.plan import (
    ClassPlan,
    Needs,
    Plan,
    Scaling,
    Schema,
    Stream,
    copies_by_weight,
    copies_with_replacement,
)
from dsmote.plan.draws import GAP, NEIGHBOUR, NOISE, VOTE, Scattered
from dsmote.plan.profile import LevelCounts


@dataclass(frozen=True)
class Rows:
    """Rows of one class."""

    numeric: np.ndarray  # float64, shape (n, p): the numeric features
    codes: np.ndarray  # int32, shape (n, q): the categorical features, as codes into `levels`
    numbers: np.ndarray  # int64, shape (n,): which rows of the table they are, counted from 0
    # Columns of integers that float64 cannot hold, by place among the numeric ones; (u)int64.
    integers: dict[int, np.ndarray] = field(default_factory=dict)
    levels: tuple[pd.Series, ...] = ()  # the values of each categorical feature that occur
    # Dtypes of the categorical columns met, features or not, by position in the table.
    categories: dict[int, pd.CategoricalDtype] = field(default_factory=dict)
    weights: np.ndarray | None = None  # float64, shape (n,): sample weights
    group: np.ndarray | None = None  # int32, shape (n,): codes into `group_levels`
    group_levels: pd.Series | None = None  # the groups that occur
    passthrough: pd.DataFrame | None = None  # columns that are no features but wanted
    # By what the values of a decimal column in `integers` are multiplied to be integers.
    units: Mapping[int, int] = field(default_factory=dict)
    # What else is known of each row, by name, where rows are cut into cells.
    more: dict[str, np.ndarray] = field(default_factory=dict)
    # The least and the largest of a column in `integers`, where not all rows of the class are here.
    limits: Mapping[int, tuple[Any, Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self, at: np.ndarray) -> Rows:
        """Return some rows."""
        return replace(
            self,
            numeric=self.numeric[at],
            codes=self.codes[at],
            numbers=self.numbers[at],
            integers={place: values[at] for place, values in self.integers.items()},
            weights=None if self.weights is None else self.weights[at],
            group=None if self.group is None else self.group[at],
            passthrough=None if self.passthrough is None else self.passthrough.take(at),
            more={name: values[at] for name, values in self.more.items()},
        )

    def moved(self, by: int) -> Rows:
        """Return the rows as those of a table with so many rows before them."""
        return replace(self, numbers=self.numbers + by) if by else self


class Draws:
    """The random numbers that belong to the new rows ``start .. stop`` of a class.

    Or to rows at any `places` among those of their class, of which these are numbers.
    """

    def __init__(
        self, seed: int, class_rank: int, start: int, stop: int, places: np.ndarray | None = None
    ) -> None:
        self._of = (seed, class_rank)
        self.start, self.stop, self._places = start, stop, places
        self._stream = Stream if places is None else partial(Scattered, places=places)

    @property
    def numbers(self) -> np.ndarray:
        """The numbers of the new rows among those of their class."""
        return np.arange(self.start, self.stop) if self._places is None else self._places

    def rank(self, k: int) -> np.ndarray:
        """Which of the k neighbours, int64 in {0, ..., k - 1}."""
        return self._stream(*self._of, NEIGHBOUR).below(k, self.start, self.stop)

    def normal(self, n: int) -> Iterator[np.ndarray]:
        """Yield n normal draws."""
        return (normal(self.noise(j)) for j in range(n))

    def gap(self) -> np.ndarray:
        """Place on the segment, float64 in [0, 1)."""
        return self._stream(*self._of, GAP).uniform(self.start, self.stop)

    def vote(self, column: int) -> np.ndarray:
        """Which of the tied levels of categorical feature `column`, float64 in [0, 1)."""
        return self._stream(*self._of, VOTE + column).uniform(self.start, self.stop)

    def noise(self, column: int) -> np.ndarray:
        """Return a uniform draw for noise in numeric feature `column`, in (0, 1)."""
        bits = self._stream(*self._of, NOISE + column).bits(self.start, self.stop)
        return ((bits >> np.uint64(12)) + 0.5) * 2.0**-52


_VOTES = 1 << 16  # codes that are counted at once
_SEEN = 512  # rows that the engine for a partition is chosen from


@dataclass(frozen=True)
class Made:
    """New rows as arrays, and where they came from."""

    numeric: np.ndarray  # this, integers and codes: as in Rows
    integers: dict[int, np.ndarray]
    codes: np.ndarray
    bases: np.ndarray  # int64, shape (n,): the base row of each, among the rows of the class
    neighbours: np.ndarray | None = None  # int64, shape (n,): rows of the table
    gaps: np.ndarray | None = None  # float64, shape (n,): new = base + gap (neighbour - base)
    weights: np.ndarray | None = None  # float64, shape (n,): sample weights of the neighbours


@dataclass(frozen=True)
class NearestOfAll:
    """The m nearest of all rows, for n rows of a class."""

    query_rows: np.ndarray  # int64, shape (n,): which rows of the class
    distances: np.ndarray  # float64, shape (n, m): ascending; inf where there are fewer rows
    classes: np.ndarray  # int32, shape (n, m): rank of their class; -1 where there is no row
    numbers: np.ndarray  # int64, shape (n, m): rows of the table; their order where distances tie
    values: np.ndarray  # float64, shape (n, v, p): numeric columns of the first v, and their weight
    own_class: int = -1  # rank of the class that asks
    # float64, shape (n, m): squares of the distances, each over a power of four that its distance
    # says. They order distances that rounding made equal, until partitions are merged.
    finer: np.ndarray | None = None
    # What `other_classes` says of each, where the lists themselves are not all in one place.
    counts: tuple[np.ndarray, np.ndarray] | None = None


class Bases(NamedTuple):
    """Which rows are bases, and how often."""

    ends: np.ndarray  # int64, shape (n,): running total of the copies (dsmote.plan.draws)
    marks: np.ndarray | None = None  # bool, shape (n,): what `gaps` or `make` should know of a row
    report: Mapping[str, Any] = {}  # what the user is told of the class
    groups: np.ndarray | None = None  # int, shape (n,): neighbours are found within these
    before: int = 0  # copies of rows before the first, where only some rows are there

    @property
    def copies(self) -> np.ndarray:
        """How many new rows each row is the base of; int64, shape (n,)."""
        return np.diff(self.ends, prepend=self.before)


@dataclass(frozen=True)
class SearchSpace:
    """The rows of a class as they are searched: scaled and projected."""

    matrix: np.ndarray  # float64, shape (n, p)
    codes: np.ndarray  # int32, shape (n, q): levels of the categorical features
    weight: float = 0.0  # the distance that a differing category counts for, if one does
    axes: tuple[np.ndarray, np.ndarray] | None = None  # centre and axes, if projected to these
    tables: tuple[np.ndarray, ...] = ()  # P(class | level), where rows are compared by it

    def take(self, ids: np.ndarray) -> SearchSpace:
        """Return some of the rows."""
        return SearchSpace(self.matrix[ids], self.codes[ids], self.weight, self.axes, self.tables)


class Ends(NamedTuple):
    """The far ends of the segments from base rows: neighbours, or points of any kind."""

    points: np.ndarray  # float64, shape (n, p)
    numbers: np.ndarray | None = None  # int64, shape (n,): rows of the table, if they are some
    weights: np.ndarray | None = None  # float64, shape (n,): sample weights, where rows have them
    rows: np.ndarray | None = None  # int64, shape (n,): rows of the class, if they are some
    voters: tuple[np.ndarray, np.ndarray] | None = None  # on categories: of ClassIndex.nearest
    classes: np.ndarray | None = None  # int32, shape (n,): ranks, where they may be of several

    def integers(self, column: int, rows: Rows) -> np.ndarray:
        """Return them in a column of integers (or units of decimals) that float64 cannot hold."""
        values = rows.integers[column]
        if self.rows is not None:
            return values[self.rows]
        info = np.iinfo(values.dtype)
        top = np.nextafter(float(info.max), 0.0)
        points = np.rint(self.points[:, column] * rows.units.get(column, 1))
        made = np.clip(points, float(info.min), top).astype(values.dtype)
        # A point of the class itself is rounded to float64, and would pass values that are close.
        limits = rows.limits.get(column) or (values.min(), values.max())
        return made if self.classes is not None else made.clip(*limits)


@dataclass(frozen=True)
class ClassIndex:
    """All that making rows of one class needs: a node of the graph, carried to the workers."""

    rows: Rows
    bases: Bases
    neighbours: NeighborIndex | None  # by row; None where the sampler has none, or copies
    nearest_all: NearestOfAll | None  # the nearest of all rows
    report: dict[str, Any]  # what the user is told
    copied: bool = False  # the class is too small for neighbours, and its rows are copied
    rank: int = -1  # its place in sorted label order
    # Digits before and after the point of numeric columns of Python objects, by position.
    decimals: Mapping[int, Any] = field(default_factory=dict)
    state: Any = None  # what Recipe.prepare returned

    def nearest(self, bases: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the neighbours of each different one of ascending bases, and its place there."""
        assert self.neighbours is not None
        first = np.flatnonzero(np.diff(bases, prepend=-1))  # each is asked for once
        place = np.repeat(np.arange(len(first)), np.diff(first, append=len(bases)))
        return self.neighbours.query(bases[first], k)[1], place

    def around(self, bases: np.ndarray, k: int) -> list[np.ndarray]:
        """Return ascending bases, then the nearest of each, the second nearest, ..."""
        near, place = self.nearest(bases, k)
        return [bases, *near.T.take(place, axis=1)]


@dataclass(frozen=True)
class Recipe:
    """What makes a sampler itself. As it stands it is SMOTE's: all rows are bases, equally."""

    name: str  # the sampler's
    k: int = 0  # neighbours of each base row in its class; 0 for none
    neighbors: Engine | None = None  # how they are found; None to choose from the rows
    fast: bool = False  # they may be approximate
    n_components: Any = None  # principal components to find them in
    scaling: Scaling | None = None  # distances are those of scaled columns
    on_small_group: str = "error"  # what to do with groups of fewer than k + 1 rows

    # Constants of a kind of recipe. Some kinds compute one from their fields: a property there.

    #: The sampler's parameter that says k.
    k_name = "k_neighbors"
    #: What is reported of a class is known only when its index is built.
    lazy_report = False
    #: Rows are copied as they are, all columns; none is a feature.
    copies_rows = False
    #: A new row is made of its base row and of what `prepare` returns; `bases` asks only how many
    #: rows there are, `prepare` also for `ctx.columns`, groups and weights.
    by_row = False
    #: Every partition is shown to :meth:`survey`.
    surveys = False
    #: A differing category counts as far as the numeric columns spread: see :meth:`weight_of`.
    weighs_columns = False
    #: Nearest of all rows that are looked for.
    n_neighbors_all: ClassVar[Any] = 0
    #: They are looked for among the rows of other classes.
    others_only: ClassVar[bool] = False
    #: Those of them whose values are wanted.
    values: ClassVar[Any] = 0
    #: Arrays as large as a step of new rows that making these takes.
    temporaries: ClassVar[int] = 3
    #: All that :meth:`bases` and :meth:`prepare` read is how many rows there are, and what
    #: :func:`other_classes` says of the nearest of all rows; what `prepare` returns is an array,
    #: with a value for each row. With `values`, new rows are made of these and their base rows.
    counts_others: ClassVar[bool] = False
    #: All that :meth:`prepare` reads is `ctx.blocks`; it returns an array, as above.
    reads_blocks: ClassVar[bool] = False
    #: Rows that a model is fitted to, at most; 0 where none is.
    sample: ClassVar[Any] = 0

    @property
    def lies(self) -> str | None:
        """Where new rows lie, for `dsmote verify`: None where only `make` knows.

        ``"segment"``: at `gap` between base row and neighbour; ``"mean"``: between base row and the
        mean of the class; ``"copy"``: where the base row lies; ``"noise"``: around it; ``"vote"``:
        at the categories that base row and neighbours vote for; ``"ball"``: as far from the base
        row as `gap` of the way to the neighbour; ``"box"``: in each column between these two;
        ``"range"``: among the values of the class. It does not look into ``"middle"``: between base
        row and the mean of its neighbours; ``"gaussian"``: around that; ``"ellipsoid"``: around the
        mean of the class.
        """
        return "segment" if type(self).make is Recipe.make else None

    def allows(self, gaps: np.ndarray, foreign: np.ndarray) -> np.ndarray:
        """Tell which gaps `gaps` may return, toward rows that may be of another class."""
        return (gaps >= 0.0) & (gaps <= 1.0) & ~foreign

    def fits(self, others: np.ndarray, present: np.ndarray, gaps: np.ndarray) -> Any:
        """Tell which rows may be bases, of new rows with these gaps; None where all may.

        Of the `counted` nearest of all rows, so many are `present` and of `others`, classes.
        """
        return None

    @property
    def exact(self) -> bool:
        """Whether the true neighbours are found."""
        engine = self.neighbors is None or self.neighbors.exact
        return engine and not (self.fast or self.n_components)

    @property
    def engine_all(self) -> Engine | None:
        """How the nearest of all rows are found: exactly, unless an object of the user's is to."""
        return self.neighbors if self.neighbors is not None and self.neighbors.exact else None

    def needs(self) -> Needs:
        """Say what the plan has to reckon with."""
        return Needs(
            k=self.k,
            k_name=self.k_name,
            n_neighbors_all=self.n_neighbors_all,
            values=self.values,
            sample=self.sample,
            looks=self.surveys or self.n_neighbors_all > 0,
            copied=bool(self.scaling) + bool(self.n_components),
            estimators=self.sample > 0,
            in_order=bool(self.n_components) or self.reads_blocks,
            temporaries=self.temporaries,
        )

    def scaled_by(self, scaling: Scaling | None) -> Recipe:
        """Return a recipe that finds neighbours among scaled rows."""
        return replace(self, scaling=scaling)

    def scaled(self, numeric: np.ndarray) -> np.ndarray:
        """Return the numbers that distances are taken of: scaled, if asked for."""
        return numeric if self.scaling is None else self.scaling.scaled(numeric)

    @property
    def units(self) -> np.ndarray | float:
        """What scaled columns are multiples of."""
        return 1.0 if self.scaling is None else np.array(self.scaling.spread)

    def engine(self, n_rows: int, sample: np.ndarray, codes: np.ndarray) -> Choice:
        """Take what was asked for, or choose by the directions that the rows spread in."""
        if self.neighbors is not None:
            return Choice(self.neighbors.name, "as asked for", self.neighbors)
        return choose_engine(n_rows, self.projected(self.scaled(sample)), fast=self.fast)

    def projected(self, sample: np.ndarray) -> np.ndarray:
        """Return some (scaled) rows along the axes in which they spread, if asked for."""
        if not self.n_components or not len(sample):
            return sample
        return project(sample, *self.axes_of(partial(blocks_of, sample)))

    def axes_of(self, blocks: Callable[[], Iterable[np.ndarray]]) -> Axes:
        """Return the centre and the axes that (scaled) rows are projected to."""
        return leading_axes(blocks, self.n_components)

    def index_all(self, matrix: np.ndarray, n_queries: int) -> NeighborIndex:
        """Index (scaled) rows of any class, to be asked for the nearest of all rows."""
        how = self.engine_all
        if how is None and few(n_queries, len(matrix)):
            how = BruteIndex()
        elif how is None:
            some = matrix[:: max(1, len(matrix) // _SEEN)]
            how = choose_engine(len(matrix), some).engine
        assert how is not None
        return how.build(matrix)

    def search_space(self, rows: Rows, model: Any = None) -> SearchSpace | None:
        """Return the rows of a class as they are searched; None where they are not."""
        if not self.k:
            return None
        matrix = self.scaled(rows.numeric)
        if not self.n_components:
            return SearchSpace(matrix, rows.codes)
        axes = self.axes_of(partial(blocks_of, matrix))
        return SearchSpace(project(matrix, *axes), rows.codes, axes=axes)

    def build_index(self, space: SearchSpace, engine: Any, seed: int) -> NeighborIndex:
        """Build the index over the rows of a class, or of one group of it."""
        if space.weight:
            index = engine.build(space.matrix, space.codes, space.weight, seed=seed)
        else:
            index = engine.build(space.matrix, seed=seed)
        return ProjectedSearch(index, *space.axes) if space.axes else index

    def weight_of(self, columns: Iterable[np.ndarray]) -> float:
        """Return the distance that a differing category counts for, from the (scaled) columns."""
        return 0.0

    def tables(self, rows: Rows, model: Any) -> tuple[np.ndarray, ...]:
        """Return P(class | level) of each categorical feature, where rows are compared by it."""
        return ()

    @property
    def in_cells(self) -> bool:
        """Whether no worker need hold a class: of its other rows is asked only which are near."""
        if self.by_row:
            return True
        asks = (Recipe.bases, Recipe.prepare)
        own = (type(self).bases, type(self).prepare)
        if self.n_neighbors_all:
            engine = self.engine_all
            known = self.counts_others and (engine is None or engine.exact)
        else:
            known = (own == asks or self.reads_blocks) and not self.sample
        # Of rows projected to some axes the true neighbours are found.
        exact = replace(self, n_components=None).exact
        return exact and self.k > 0 and known and not (self.surveys or self.copies_rows)

    @property
    def counted(self) -> int:
        """How many of the nearest of all rows `bases` and `prepare` count others among."""
        return int(self.n_neighbors_all)

    def fit(self, matrix: np.ndarray, ranks: np.ndarray, numbers: np.ndarray, seed: int) -> Any:
        """Fit a model to sampled (scaled) rows and their class numbers, in the table's order."""
        return None

    def query_rows(self, rows: Rows, model: Any) -> np.ndarray:
        """Return which rows of a class ask for the nearest of all rows."""
        return np.arange(len(rows))

    def survey(self, matrix: np.ndarray, ranks: np.ndarray, n_classes: int, model: Any) -> Any:
        """Look at the (scaled) rows of a partition; what is returned is added up."""
        return 0

    def prepare(self, ctx: ClassContext) -> Any:
        """Compute what :meth:`bases`, :meth:`ends` and :meth:`gaps` want to know of a class."""
        return None

    def bases(self, ctx: ClassContext) -> Bases:
        """Draw bases uniformly, with replacement."""
        return ctx.drawn(ctx.eligible)

    def make(self, index: ClassIndex, bases: np.ndarray, draws: Draws, rounded: np.ndarray) -> Made:
        """Make new rows from base rows, shape (n,); `rounded` marks integer features."""
        ends = self.ends(index, bases, draws)
        return on_segments(
            index.rows, bases, ends, self.gaps(index, bases, ends, draws), rounded, draws
        )

    def ends(self, index: ClassIndex, bases: np.ndarray, draws: Draws) -> Ends:
        """End the segments at rows drawn among the k nearest of each base row."""
        near, place = index.nearest(bases, self.k)
        at, rows = near[place, draws.rank(self.k)], index.rows
        # take() gathers rows five times as fast as an index does.
        points = rows.numeric.take(at, axis=0)
        weights = None if rows.weights is None else rows.weights[at]
        return Ends(points, rows.numbers[at], weights, at, (near, place))

    def gaps(self, index: ClassIndex, bases: np.ndarray, ends: Ends, draws: Draws) -> np.ndarray:
        """Return the place of each new row on its segment; negative ones extrapolate."""
        return draws.gap()


def on_segments(
    rows: Rows, bases: np.ndarray, ends: Ends, gaps: np.ndarray, rounded: np.ndarray, draws: Draws
) -> Made:
    """Make new rows on segments from base rows; on categorical features the neighbours vote."""
    start, outward = rows.numeric.take(bases, axis=0), np.signbit(gaps)
    away = np.flatnonzero(outward)
    between = np.where(outward, 0.0, gaps) if len(away) else gaps
    numeric = segment(start, ends.points, between, rounded)
    integers = {}
    for j, values in rows.integers.items():
        near = ends.integers(j, rows)
        integers[j] = segment_exact(values[bases], near, between)
        if len(away):
            integers[j][away] = extrapolate_exact(values[bases[away]], near[away], -gaps[away])
    if len(away):
        numeric[away] = extrapolate(start[away], ends.points[away], -gaps[away], rounded)
    codes = rows.codes[bases]
    if ends.voters is not None and codes.shape[1]:
        near, place = ends.voters
        codes = vote_on(rows, near[place], draws)
    return Made(numeric, integers, codes, bases, ends.numbers, gaps, ends.weights)


def displaced(
    rows: Rows, bases: np.ndarray, steps: np.ndarray, rounded: np.ndarray, **more: Any
) -> Made:
    """Make new rows at steps from base rows, shape (n, d), which it changes.

    `more` is what else is Made of them.
    """
    np.clip(steps, -MOST, MOST, out=steps)
    if rounded.any():
        steps[:, rounded] = np.rint(steps[:, rounded])
    numeric = rows.numeric.take(bases, axis=0)
    with np.errstate(over="ignore"):
        numeric += steps
    np.clip(numeric, -MOST, MOST, out=numeric)
    integers = {}
    for j, values in rows.integers.items():
        unit = rows.units.get(j)  # steps in units of the last digit of a decimal
        by = steps[:, j] if unit is None else np.rint(steps[:, j] * unit)
        integers[j] = add_exact(values[bases], by)
    return Made(numeric, integers, **({"codes": rows.codes[bases], "bases": bases} | more))


def toward_others(
    index: ClassIndex, bases: np.ndarray, ends: Ends, far: Callable[[np.ndarray], np.ndarray] | None
) -> Ends:
    """End at the nearest of all rows instead; where `far` is given, if it says that it is nearer.

    Distances are computed here: what an engine says of one may differ in its last bit.
    """
    found, d = index.nearest_all, index.rows.numeric.shape[1]
    assert found is not None
    assert ends.numbers is not None
    at = np.searchsorted(found.query_rows, bases)
    values, numbers = found.values[at, 0], found.numbers[at, 0]
    taken = numbers >= 0  # a group may have no such row
    if far is not None:
        taken &= far(values[:, :d]) < far(ends.points)
    weights = ends.weights
    if weights is not None:
        weights = np.where(taken, values[:, -1], weights)
    points = np.where(taken[:, None], values[:, :d], ends.points)
    return Ends(points, np.where(taken, numbers, ends.numbers), weights)


class Spread(NamedTuple):
    """The mean of some rows, their principal axes and the variances along these."""

    centre: np.ndarray
    axes: np.ndarray
    variances: np.ndarray

    @classmethod
    def of(cls, blocks: Callable[[], Iterable[np.ndarray]], columns: int) -> Spread:
        """Find them, as :func:`leading_axes` does."""
        centre, axes = leading_axes(blocks, columns)
        n, squares = 0, np.zeros(axes.shape[1])
        for block in blocks():
            n, squares = n + len(block), squares + (project(block, centre, axes) ** 2).sum(axis=0)
        return cls(centre, axes, squares / max(1, n))

    def turned(self, rows: np.ndarray, normals: Sequence[np.ndarray]) -> np.ndarray:
        """Return steps from rows to others of the same Mahalanobis distance from the mean."""
        along = project(rows, self.centre, self.axes)
        away = on_ellipsoid(along, self.variances, normals) - along
        return project(away, np.zeros(away.shape[1]), self.axes.T)


def vote_on(rows: Rows, voters: np.ndarray, draws: Draws) -> np.ndarray:
    """Let rows of the class, shape (n, k), vote on its categorical features."""
    (n, k), q = voters.shape, rows.codes.shape[1]
    made = np.empty((n, q), dtype=np.int32)
    step = max(1, _VOTES // max(1, n * k))  # columns at a time: each call takes a while
    for j in range(0, q, step):
        codes = rows.codes[:, j : j + step][voters].transpose(2, 0, 1).reshape(-1, k)
        drawn = [draws.vote(i) for i in range(j, min(j + step, q))]
        made[:, j : j + step] = vote(codes, np.concatenate(drawn)).reshape(-1, n).T
    return made


def other_classes(nearest_all: Any, m: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Count rows of other classes, and all rows, among the (m) nearest of all rows."""
    if nearest_all.counts is not None:
        return nearest_all.counts
    classes = nearest_all.classes[:, :m]
    there = classes >= 0
    return (there & (classes != nearest_all.own_class)).sum(axis=1), there.sum(axis=1)


@dataclass
class ClassContext:
    """What is known of a class when its bases are chosen."""

    rows: Rows
    cls: ClassPlan
    seed: int  # the root seed
    eligible: np.ndarray | None = None  # rows that may be bases; None for all
    nearest_all: NearestOfAll | None = None  # the nearest of all rows
    model: Any = None  # the fitted model
    survey: Any = None  # what Recipe.survey said of all partitions
    total: int = 0  # new rows of all classes together
    state: Any = None  # what Recipe.prepare returned
    columns: Iterable[np.ndarray] = ()  # the numeric features, one by one: they may be read once
    #: Gives the (scaled) rows in order, in blocks: the same wherever they lie.
    blocks: Callable[[], Iterable[np.ndarray]] = tuple

    def drawn(self, among: np.ndarray | None, new: int | None = None, first: int = 0) -> Bases:
        """Draw bases for new rows (all of them by default) uniformly among some rows."""
        new = self.cls.new if new is None else new
        n = len(self.rows)
        return Bases(copies_with_replacement(n, new, self.seed, self.cls.rank, among, first))

    def weighed(
        self, weigh: Callable[[np.ndarray, np.ndarray], np.ndarray], name: str, what: str
    ) -> Bases:
        """Give rows copies by weights: of others, and all, among the nearest of all rows.

        How many have some is reported by the name; `what` says what is missing where none has.
        """
        assert self.nearest_all is not None
        every = np.zeros(len(self.rows))
        every[self.nearest_all.query_rows] = weigh(*other_classes(self.nearest_all))
        if self.eligible is not None:
            every *= np.isin(np.arange(len(every)), self.eligible)
        if not every.any():
            raise ValueError(f"class {self.cls.label!r} has no row with {what}")
        report = {name: int((every > 0).sum())}
        return Bases(copies_by_weight(every, self.cls.new), None, report)

    def chosen(self, among: np.ndarray) -> np.ndarray:
        """Return those of some rows that may be bases."""
        return among if self.eligible is None else np.intersect1d(among, self.eligible)


@dataclass(frozen=True)
class Making:
    """What making rows needs of a task: little, because every block of rows has it."""

    recipe: Recipe
    schema: Schema  # of the output
    seed: int
    first: int = 0  # where the index of new rows begins; in memory rows are numbered anew
    provenance: str | None = None  # "flag", "full" or None


@dataclass(frozen=True)
class Task:
    """All that an executor is told."""

    how: Making
    schema: Schema  # of the input
    plan: Plan
    skip: bool  # leave rows with missing values out, where otherwise they are an error
    changes: dict[int, Any]  # dtypes that cannot stay: carried integers, categories that differ
    known: dict[int, Any]  # the changes, and categories that the input's metadata did not know
    levels: tuple[LevelCounts, ...] = ()  # rows of each level of each categorical feature, by class
    scratch: str | None = None  # folder for the rows of classes that are cut into cells
    staged: bool = False  # it is a job's, which deletes it
