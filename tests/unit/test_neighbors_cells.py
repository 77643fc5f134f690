"""Neighbours found in cells are those of one index over all rows, to the bit."""

import dataclasses
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsmote.execute.partition import row_hashes, smallest_hashes
from dsmote.neighbors import (
    BruteIndex,
    BruteSearch,
    MixedSearch,
    TreeSearch,
    ValueDifferenceSearch,
    cells,
    level_probabilities,
)
from dsmote.neighbors.cells import (
    Cell,
    GroupedCell,
    cut,
    estimate_forwards,
    level_places,
    meets,
    merge,
    representatives,
)
from dsmote.neighbors.exact import no_codes, scale_power
from dsmote.plan.profile import few_equal
from tests.tables import naive_neighbours, peak_of

BUILDS = {
    "tree": lambda matrix, codes, weight: TreeSearch(matrix),
    "brute": lambda matrix, codes, weight: BruteSearch(matrix),
    "direct": lambda matrix, codes, weight: BruteIndex().build(matrix),
}
MIXED = {"tree": MixedSearch, "direct": BruteIndex().build}


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def all_nearest(rows, k, depth, bounds, build):
    """Find the k nearest rows of all rows as tasks would: partitions, cells, home, answers."""
    unit = scale_power(rows.matrix, rows.weight)
    matrix, weight, n = rows.matrix * unit, rows.weight * unit, len(rows.matrix)
    points, slack = (matrix, 0.0) if rows.points is None else rows.points
    queries = np.concatenate([matrix, rows.codes], axis=1) if matrix.shape[1] else rows.codes
    cutting = cut(points[:: max(1, n // 100)], depth)
    parts = [slice(*ends) for ends in pairwise(bounds)]
    spread = [cutting.spread(points[part]) for part in parts]
    cell = np.concatenate([of for of, _, _ in spread])
    low = np.min([ends for _, ends, _ in spread], axis=0)
    high = np.max([ends for _, _, ends in spread], axis=0)
    first = np.concatenate(
        [representatives(matrix[part], rows.codes[part], k) + part.start for part in parts]
    )
    travelling = first == np.arange(n)
    members = [np.flatnonzero(travelling & (cell == c)) for c in range(cutting.n_cells)]
    there = [Cell(matrix[some], rows.codes[some], weight, build) for some in members]
    squares, ids = np.full((n, k), np.inf), np.full((n, k), -1)
    answers = [(np.empty(0, int), np.empty(0, int), np.empty(0))]
    for c, (here, some) in enumerate(zip(there, members, strict=True)):
        squares[some], found = here.home(np.arange(len(some)), k)
        ids[some] = np.where(found < 0, -1, np.append(some, -1)[found])
        asking, others = some[here.order], low.copy()
        others[c] = np.inf
        query, to = meets(cutting, points[asking], squares[asking, -1], others, high, slack)
        for other in np.unique(to):
            asked = asking[query[to == other]]
            q, place, exact = there[other].inside(queries[asked], squares[asked, -1], k)
            answers.append((asked[q], members[other][place], exact))
    squares, ids = merge(
        squares, ids, *(np.concatenate(part) for part in zip(*answers, strict=True))
    )
    return np.sqrt(squares[first]) / unit, ids[first]


@dataclasses.dataclass(frozen=True)
class Given:
    """Rows of a class, and the points that are cut where they are not its numbers."""

    matrix: np.ndarray
    codes: np.ndarray
    weight: float = 0.0
    points: tuple[np.ndarray, float] | None = None


def drawn(kind, n, seed):
    rng = np.random.default_rng(seed)
    normal = rng.normal(size=(n, 3))
    near_zero = np.where(np.arange(n)[:, None] % 2, 1.0, 1e-158) * normal
    return {
        "normal": lambda: normal,
        "rank two": lambda: normal[:, :2] @ rng.normal(size=(2, 5)),
        "clumps": lambda: rng.choice([-1.0, 1.0], size=(n, 1)) + 1e-6 * normal,
        "five times": lambda: rng.permutation(np.repeat(normal[: -(-n // 5)], 5, axis=0)[:n]),
        "grid": lambda: rng.integers(0, 4, size=(n, 3)).astype(float),
        "mostly zero": lambda: normal * (rng.random((n, 3)) < 0.2),
        "one column": lambda: normal[:, :1],
        "constant column": lambda: normal * [1.0, 0.0, 1.0] + [0.0, 7.0, 0.0],
        "all equal": lambda: np.ones((n, 2)),
        "offset": lambda: 1e6 + normal,
        "offset grid": lambda: 1e9 + rng.integers(0, 4, size=(n, 3)) * 0.01,
        "tiny": lambda: 1e-200 * normal,
        "huge": lambda: 1e200 * normal,
        "half next to zero": lambda: near_zero,
        "next to zero beside huge": lambda: np.where(near_zero < 1e-100, near_zero, 1e200),
        # Squares that differ by one bit, and have equal roots: (1, 2^-26) and (-1, 0).
        "equal roots": lambda: rng.choice([-1.0, 0.0, 1.0], size=(n, 2)) * [1.0, 2.0**-26],
    }[kind]()


KINDS = [
    *("normal", "rank two", "clumps", "five times", "grid", "mostly zero", "one column"),
    *("constant column", "all equal", "offset", "offset grid", "tiny", "huge"),
    *("half next to zero", "next to zero beside huge", "equal roots"),
]


@st.composite
def cases(draw, kinds=KINDS):
    """A kind of rows, their number, a seed, k, the depth of the cuts, and ends of partitions."""
    n = draw(st.integers(2, 200))
    k = draw(st.integers(1, min(7, n - 1)))
    inner = draw(st.lists(st.integers(0, n), max_size=15))
    # Down to about 20 rows a cell, and now and then more cells than rows.
    depth = draw(st.sampled_from([0, 1, 2, 3, (n // 20).bit_length(), 6]))
    return (
        draw(st.sampled_from(kinds)),
        n,
        draw(st.integers(0, 99)),
        k,
        depth,
        [0, *sorted(inner), n],
    )


@pytest.mark.parametrize("build", BUILDS)
@settings(deadline=None, max_examples=5)
@given(case=cases())
def test_numeric_rows_get_the_neighbours_of_one_index(build, case):
    kind, n, seed, k, depth, bounds = case
    matrix = drawn(kind, n, seed)
    found = all_nearest(Given(matrix, no_codes(matrix)), k, depth, bounds, BUILDS[build])
    assert_same(found, BruteSearch(matrix).query(np.arange(n), k))
    if np.abs(matrix).min() > 1e-150 and np.abs(matrix).max() < 1e150:
        assert_same(found, naive_neighbours(matrix, k))


@pytest.mark.parametrize("build", MIXED)
@settings(deadline=None, max_examples=3)
@given(
    weight=st.sampled_from([0.7, 1e-140, 1e100]),
    case=cases(["normal", "five times", "grid", "tiny", "huge", "half next to zero"]),
)
def test_mixed_rows_get_the_neighbours_of_one_index(build, weight, case):
    kind, n, seed, k, depth, bounds = case
    rng = np.random.default_rng(seed)
    matrix = drawn(kind, n, seed)
    # A level for every other row: most are rare, and in no other cell.
    codes = np.stack([rng.integers(0, 3, size=n), rng.integers(0, n // 2 + 1, size=n)], axis=1)
    codes = codes.astype(np.int32)
    found = all_nearest(Given(matrix, codes, weight), k, depth, bounds, MIXED[build])
    assert_same(found, BruteSearch(matrix, codes, weight).query(np.arange(n), k))


@pytest.mark.parametrize("engine", ["tree", "brute"])
@pytest.mark.parametrize("n_classes", [2, 4])
@settings(deadline=None, max_examples=5)
@given(case=cases(["levels"]))
def test_categories_get_the_neighbours_of_one_index(engine, n_classes, case):
    _, n, seed, k, depth, bounds = case
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, [3, 12, 5], size=(n, 3)).astype(np.int32)
    tables = [level_probabilities(rng.integers(1, 9, size=(m, n_classes))) for m in (3, 12, 5)]

    def build(matrix, codes, weight):
        return ValueDifferenceSearch(codes, tables, engine)

    levels = level_places(tables, codes)
    given_rows = Given(np.empty((n, 0)), codes, points=(levels.points(codes), levels.slack))
    found = all_nearest(given_rows, k, depth, bounds, build)
    assert_same(found, ValueDifferenceSearch(codes, tables, "brute").query(np.arange(n), k))


@pytest.mark.parametrize(("q", "n_classes"), [(2, 2), (3, 4), (9, 7), (40, 2)])
def test_points_of_levels_are_no_further_than_the_levels(q, n_classes):
    """For two classes they are as far, where no direction is left out."""
    rng = np.random.default_rng(q)
    tables = [level_probabilities(rng.integers(0, 9, size=(6, n_classes)) + 1) for _ in range(q)]
    if n_classes > 2:
        tables[0][5] = 0.0  # a level that no class has
    codes = rng.integers(0, 6, size=(300, q)).astype(np.int32)
    levels = level_places(tables, codes)
    points = levels.points(codes)
    assert points.shape[1] == min(16, q * n_classes)
    exceeded = 0
    for one, other in pairwise(range(300)):
        own, its = ([t[c] for t, c in zip(tables, codes[i], strict=True)] for i in (one, other))
        square = sum(np.abs(a - b).sum() ** 2 for a, b in zip(own, its, strict=True))
        apart = np.linalg.norm(points[one] - points[other])
        assert apart <= np.sqrt(square) + levels.slack
        exceeded += apart > np.sqrt(square) + 1e-9
        if (n_classes, q) == (2, 2):
            assert abs(apart - np.sqrt(square)) < 1e-9
    assert exceeded == 0 or n_classes > 2


def test_levels_of_the_same_classes_are_one():
    tables = [level_probabilities(np.array([[1, 2], [3, 1], [2, 4], [0, 5], [6, 2]]))]
    codes = np.arange(5, dtype=np.int32)[:, None]
    assert level_places(tables, codes).named(codes).tolist() == [[0], [1], [0], [3], [1]]


# ---- cutting


def test_cells_hold_about_equal_numbers():
    rows = np.random.default_rng(0).normal(size=(20_000, 4)) @ np.diag([5.0, 3.0, 1.0, 0.1])
    cell, low, high = cut(rows[::10], 4).spread(1e3 + rows - 1e3)
    counts = np.bincount(cell, minlength=16)
    assert counts.min() > 0.8 * 1250 and counts.max() < 1.2 * 1250
    assert (low <= high).all()


def test_a_value_that_most_rows_have_gets_a_cell_of_its_own():
    rng = np.random.default_rng(0)
    column = np.where(rng.random(8000) < 0.7, 0.0, rng.exponential(size=8000))[:, None]
    counts = np.bincount(cut(column, 3).assign(column), minlength=8)
    assert np.sort(counts)[-2] < 0.2 * 8000


def test_few_sampled_rows_and_none():
    rows = np.random.default_rng(0).normal(size=(50, 3))
    for sample in (rows[:0], rows[:1], rows[:2], np.repeat(rows[:1], 9, axis=0)):
        cell, low, high = cut(sample, 4).spread(rows)
        assert cell.min() >= 0 and cell.max() < 16
        empty = ~np.isin(np.arange(16), cell)
        assert np.isposinf(low[empty]).all() and np.isneginf(high[empty]).all()


# ---- balls and boxes


@pytest.mark.parametrize("rounding_allowed_for", [True, False])
def test_no_box_is_missed_far_from_the_centre(rounding_allowed_for, monkeypatch):
    """Each other row lies on the surface of the ball; without the error bound some are missed."""
    if not rounding_allowed_for:
        monkeypatch.setattr(cells, "_error", lambda width: 0.0)
        monkeypatch.setattr(cells, "_TINY", 0.0)
    rng = np.random.default_rng(0)
    missed = 0
    for centre, step in ((1e9, 1.0), (1e6, 1e-3), (0.0, 1e-3), (1e-140, 1e-145)):
        sample = rng.normal(size=(60, 5))  # its axes have nothing to do with the rows
        rows = centre + step * rng.integers(-9, 9, size=(400, 5))
        cutting = cut(sample, 0)
        for row, query in zip(rows[::2], rows[1::2], strict=True):
            _, low, high = cutting.spread(row[None])
            square = np.zeros(1)
            for one, other in zip(row, query, strict=True):
                square += (one - other) ** 2
            missed += len(meets(cutting, query[None], square, low, high)[0]) == 0
    assert (missed == 0) == rounding_allowed_for


def test_boxes_far_away_are_not_met():
    rng = np.random.default_rng(0)
    rows = 1e6 + rng.normal(size=(5000, 2)) * [4.0, 1.0]
    cutting = cut(rows[::5], 3)
    _, low, high = cutting.spread(rows)
    query, cell = meets(cutting, rows, np.full(5000, 1e-6), low, high)
    assert_same((np.unique(query), len(query) < 5100), (np.arange(5000), True))
    assert_same((cell[np.flatnonzero(np.diff(query, prepend=-1))] >= 0,), (np.ones(5000, bool),))


# ---- equal rows


def test_only_the_first_of_equal_rows_travel():
    matrix = np.array([[1.0], [2.0], [1.0], [1.0], [1.0], [2.0], [1.0]])
    assert representatives(matrix, no_codes(matrix), 2).tolist() == [0, 1, 2, 3, 3, 5, 3]


# ---- groups


@pytest.mark.parametrize("few", [1, 6, 512])
@pytest.mark.parametrize("build", BUILDS)
def test_neighbours_of_groups_are_those_of_a_cell_of_each(few, build, monkeypatch):
    monkeypatch.setattr(cells, "_FEW", few)
    rng = np.random.default_rng(0)
    matrix, groups = rng.normal(size=(60, 3)), rng.choice([3, 1, 7], 60, p=[0.6, 0.3, 0.1])

    def cell(at):
        return Cell(matrix[at], no_codes(matrix[at]), 0.0, BUILDS[build])

    grouped = GroupedCell(groups, cell)
    assert sorted(grouped.order) == list(range(60))
    asking = rng.permutation(60)
    squares, found = grouped.home(asking, 8)
    queries, of = rng.normal(size=(30, 3)), rng.choice([1, 3, 4], 30)
    pairs = np.array(grouped.inside(queries, np.full(30, 4.0), 5, of)).T
    for group in (1, 3, 7):
        own = np.flatnonzero(groups == group)
        at = np.isin(asking, own)
        near, places = cell(own).home(np.searchsorted(own, asking[at]), 8)
        assert_same((squares[at], found[at]), (near, np.where(places < 0, -1, own[places])))
        some = np.flatnonzero(of == group)
        query, place, exact = cell(own).inside(queries[some], np.full(len(some), 4.0), 5)
        expected = np.array([some[query], own[place], exact]).T
        np.testing.assert_array_equal(pairs[np.isin(pairs[:, 0], some)], expected)
    assert not np.isin(pairs[:, 0], np.flatnonzero(of == 4)).any()
    assert len(GroupedCell(groups[:0], cell).order) == 0


# ---- ties


def test_squares_decide_where_their_roots_are_equal():
    home, answer = (np.array([[1.0 + 2.0**-52]]), np.array([[0]])), np.array([1.0])
    assert np.sqrt(home[0]) == np.sqrt(answer)
    squares, ids = merge(*home, np.array([0]), np.array([7]), answer)
    assert squares.tolist() == [[1.0]] and ids.tolist() == [[7]]


def test_of_rows_equally_near_the_first_are_found_in_the_ball():
    rows = np.eye(90)[np.random.default_rng(0).permutation(90)]
    cell = Cell(rows, no_codes(rows), 0.0, BUILDS["tree"])
    query, place, square = cell.inside(np.zeros((1, 90)), np.ones(1), 3)
    assert set(query) == {0} and set(square) == {1.0} and {0, 1, 2} <= set(place)


# ---- the estimate


def forwards_of(rows, cutting, k):
    """Count to how many other cells the query of each row goes on; return their mean."""
    cell, low, high = cutting.spread(rows)
    total = 0
    for c in range(cutting.n_cells):
        here, others = rows[cell == c], low.copy()
        others[c] = np.inf
        searched = Cell(here, no_codes(here), 0.0, BUILDS["tree"])
        squares = searched.home(np.arange(len(here)), k)[0][:, -1]
        total += len(meets(cutting, here, squares, others, high)[0])
    return total / len(rows)


def hashed(rows, n):
    """Return different rows with the smallest hashes, with their equal ones, and their share."""
    keys, order = smallest_hashes(row_hashes(rows.T), len(rows))
    order = order[few_equal(keys)][:n]
    last = row_hashes(rows[order].T)[-1]
    if n >= len(rows):
        return rows[order], 1.0
    return rows[order[row_hashes(rows[order].T) < last]], float(last) / 2.0**64


def clusters(rng, n):
    centres = 5.0 * rng.normal(size=(40, 5))
    of = rng.integers(0, 40, size=n)
    return centres[of] + rng.lognormal(size=40)[of, None] * rng.normal(size=(n, 5))


SHAPES = {
    "normal": lambda rng, n: rng.normal(size=(n, 6)),
    "uniform": lambda rng, n: rng.random((n, 4)),
    "rank 5 and noise": lambda rng, n: (
        rng.normal(size=(n, 5)) @ rng.normal(size=(5, 16)) + 0.1 * rng.normal(size=(n, 16))
    ),
    "clusters": clusters,
    "grid": lambda rng, n: rng.integers(0, 40, size=(n, 3)).astype(float),
    "mostly equal": lambda rng, n: rng.normal(size=(n, 4)) * (rng.random((n, 1)) < 0.3),
    "independent": lambda rng, n: rng.normal(size=(min(n, 8_000), 16)),
}


@pytest.mark.parametrize(
    ("kind", "n", "depth", "within"),
    [
        *((kind, 3_000, 3, 0.2) for kind in SHAPES),
        *((kind, 30_000, 8, 0.3) for kind in ("rank 5 and noise", "mostly equal")),
    ],
)
def test_forwards_are_estimated_from_a_sample(kind, n, depth, within):
    """Of a 7th of the rows, in few cells and in more than it fills; and of all of them."""
    rows = SHAPES[kind](np.random.default_rng(0), n)
    sample, share = hashed(rows, 4_000)
    cutting = cut(np.unique(sample, axis=0), depth)
    found = estimate_forwards(sample, cutting, len(rows), 5, share)
    true = forwards_of(rows, cutting, 5)
    assert found == estimate_forwards(sample[::-1], cutting, len(rows), 5, share)
    assert abs(found.best / true - 1.0) < within
    assert found.least <= found.best <= found.most


def test_the_estimate_of_too_small_a_sample_is_every_cell():
    rows = np.random.default_rng(0).normal(size=(8, 2))
    assert estimate_forwards(rows, cut(rows, 3), 100, 5, 0.1).best == 7.0
    equal = np.ones((50, 2))
    assert estimate_forwards(equal, cut(equal, 0), 100, 5, 1.0).best == 0.0


NEXT_TO_NOTHING = {
    "equal": lambda rng, x: np.ones_like(x),
    "equal but one": lambda rng, x: (np.arange(len(x)) == 0)[:, None] * x,
    "small": lambda rng, x: 1e-170 * x,
    "smallest": lambda rng, x: 5e-324 * np.rint(4 * x),
    "large": lambda rng, x: 1e150 * x,
    "largest": lambda rng, x: 1e307 * np.clip(x, -9.0, 9.0),
    "one small": lambda rng, x: x * [1.0, 1e-170],
    "grid and small": lambda rng, x: np.rint(x) * [1.0, 0.0] + x * [0.0, 1e-170],
    "grid and smallest": lambda rng, x: np.rint(x) + 1e-300 * x * [1.0, 0.0],
    "small among large": lambda rng, x: x * rng.choice([1e-170, 1e150], (len(x), 1)),
    "of all sizes": lambda rng, x: x * 10.0 ** rng.integers(-300, 300, (len(x), 1)),
    "pairs": lambda rng, x: np.nextafter(np.repeat(x[::2], 2, axis=0), [9.0, -9.0] * x),
}


@pytest.mark.parametrize("kind", NEXT_TO_NOTHING)
@pytest.mark.parametrize(
    ("k", "depth", "share"),
    [(1, 1, 1.0), (20, 5, 1.0), (1, 2, 1e-6), (20, 5, 0.01), (1, 12, 1e-6)],
)
def test_the_estimate_of_any_finite_rows_is_a_number(kind, k, depth, share):
    """Distances may be 0 or infinite where rows differ by next to nothing, or by very much."""
    rng = np.random.default_rng(0)
    rows = NEXT_TO_NOTHING[kind](rng, rng.normal(size=(200, 2)))
    rows = rows * scale_power(rows)
    cutting = cut(np.unique(rows, axis=0), depth)
    found = estimate_forwards(rows, cutting, 200 / share, k, share)
    assert 0.0 <= found.least <= found.best <= found.most <= cutting.n_cells - 1
    assert 0.0 < found.dimension <= 1000.0


# ---- memory


def test_boxes_are_tested_in_bounded_memory():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(60_000, 3))
    cutting = cut(rows, 6)
    _, low, high = cutting.spread(rows)
    ordered = rows[np.argsort(cutting.assign(rows), kind="stable")]
    squares = np.full(len(rows), 1e-6)
    assert peak_of(lambda: meets(cutting, ordered, squares, low, high)) < 30e6


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("k", [1, 3, 40])
def test_bounds_hold_k_others(k, kind):
    rows = drawn(kind, 150, 0)
    rows = rows * scale_power(rows)
    squares = cells.bounds(rows, k)
    everyone = np.arange(len(rows))
    for i, square in enumerate(squares):
        there = cells.squared_pairs(rows, np.delete(everyone, i), rows[[i]], np.zeros(149, int))
        assert (there <= square).sum() >= k
    assert np.isfinite(squares).all()
    assert np.isinf(cells.bounds(rows[: max(64, 2 * k + 2) - 1], k)).all()


@pytest.mark.parametrize("build", BUILDS)
def test_rows_that_others_reach_are_not_alone(build):
    rng = np.random.default_rng(0)
    rows, queries = rng.normal(size=(400, 3)), rng.normal(size=(3000, 3))
    squares = rng.random(3000) ** 3
    exact = ((queries[:, None] - rows) ** 2).sum(axis=2).min(axis=1)
    # A row as far as the ball reaches is in it.
    squares[:9] = [
        cells.squared_pairs(rows, np.arange(400), queries[[i]], np.zeros(400, int)).min()
        for i in range(9)
    ]
    cell = Cell(rows, no_codes(rows), 0.0, BUILDS[build])
    alone = cell.alone(queries, squares)
    assert not (alone & (exact <= squares))[9:].any() and not alone[:9].any()
    assert alone[9:].sum() > 0.99 * (exact > squares)[9:].sum()
    assert Cell(rows[:0], no_codes(rows[:0]), 0.0, BUILDS[build]).alone(queries, squares).all()
    group = np.arange(400) % 2
    grouped = GroupedCell(group, lambda at: Cell(rows[at], no_codes(rows[at]), 0.0, BUILDS[build]))
    of = np.arange(3000) % 3
    for g in range(3):
        own = Cell(rows[group == g], no_codes(rows[group == g]), 0.0, BUILDS[build])
        np.testing.assert_array_equal(
            grouped.alone(queries, squares, of)[of == g],
            own.alone(queries[of == g], squares[of == g]),
        )


def test_what_may_reach_a_cell():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(500, 3))
    out = np.repeat(rows[np.argsort((rows**2).sum(axis=1))[-20:]], 50, axis=0)
    others = np.concatenate([out + 0.1 * rng.normal(size=out.shape), 4.0 * out])
    nearest = ((others[:, None] - rows) ** 2).sum(axis=2).min(axis=1)
    cell = Cell(rows, no_codes(rows), 0.0, BUILDS["tree"])
    may = cell.may_reach(others, 0.04)
    assert may[nearest <= 0.04].all()
    assert not may[np.abs(others).max(axis=1) > 8.0].any()
    assert cell.may_reach(others, np.inf).all()
