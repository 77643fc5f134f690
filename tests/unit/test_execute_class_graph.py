"""The tasks from partitions to indexes."""

import dask
import numpy as np
import pytest

from dsmote import ADASYN, SMOTE, SMOTEN, KMeansSMOTE
from dsmote.execute import Recipe
from dsmote.execute.dask_table import DaskTable
from dsmote.execute.graph import Inputs, add_indexes, together, without_blocks
from dsmote.plan import COPY, ClassPlan
from tests.tables import dask_frame, even, numbers

TABLE = numbers(120, 36)
LABELS = TABLE["y"].to_numpy()


def built(sampler, parts=4, table=TABLE):
    """Return the tasks, and the keys of the indexes."""
    with dask.config.set(scheduler="synchronous"):
        lazy = DaskTable(dask_frame(table, even(120, parts)), target="y")
        _, (task, _) = sampler._prepare(lazy, None, None)
    inputs = lazy._inputs()
    tasks = dict(inputs.graph)
    return tasks, add_indexes(tasks, inputs, "token", task)


def named(tasks, name):
    return [k for k in tasks if (k[0] if isinstance(k, tuple) else k).startswith(name)]


def test_rows_are_arguments_in_order():
    keys = [("x", 0), ("x", 1)]
    assert Inputs({}, [keys, None, None, None]).rows() == [(("x", 0),), (("x", 1),)]
    assert Inputs({}, [keys, None, None, ["g", "h"]]).rows() == [
        (("x", 0), None, None, "g"),
        (("x", 1), None, None, "h"),
    ]
    assert len(Inputs({}, [keys, None])) == 2


def test_repeated_inputs_have_other_keys():
    first = Inputs({("x", 0): (int, 1), ("y", 0): (int, 2)}, [[("x", 0)], [("y", 0)], None])
    second = first.again("more")
    assert second.rows() == [(("x-more", 0), ("y-more", 0))]
    assert dask.get(second.graph, [("x-more", 0), ("y-more", 0)]) == (1, 2)
    assert not set(first.graph) & set(second.graph)


def test_one_reading_where_the_class_is_enough():
    tasks, indexes = built(SMOTE(random_state=0))
    assert list(indexes) == [1]
    assert len(named(tasks, "extract-")) == 4
    assert not named(tasks, "nearest-")
    assert not [k for k in tasks if "again" in str(k)]
    of = dask.get(tasks, indexes[1])
    assert of.rows.numbers.tolist() == np.flatnonzero(LABELS == 1).tolist()
    assert of.around is None


def test_the_nearest_of_all_rows_come_from_a_second_reading():
    tasks, indexes = built(ADASYN(random_state=0))
    assert len(named(tasks, "nearest-0-")) == 4
    of = dask.get(tasks, indexes[1])
    assert of.around.asked.tolist() == list(range(36))
    assert (of.around.numbers >= 0).all()
    np.testing.assert_array_equal(of.around.classes, LABELS[of.around.numbers])
    for key in named(tasks, "nearest-0-"):
        assert "again" in str(tasks[key][2])


def test_batches_of_queries_are_tasks_of_their_own(monkeypatch):
    monkeypatch.setattr("dsmote.execute.graph.BATCH", 10)
    monkeypatch.setattr("dsmote.execute.survey.BATCH", 10)
    tasks, indexes = built(ADASYN(random_state=0))
    assert len(named(tasks, "queries-1-")) == 4
    assert [len(named(tasks, f"nearest-{t}-")) for t in range(5)] == [4, 4, 4, 4, 0]
    assert dask.get(tasks, indexes[1]).around.asked.tolist() == list(range(36))


def a_class(rank, rows, engine="tree"):
    return ClassPlan(f"class {rank}", rank, rows, rows, 5, 3, engine)


def test_small_classes_ask_together_and_no_more_than_a_batch_of_rows(monkeypatch):
    monkeypatch.setattr("dsmote.execute.graph.BATCH", 10)
    classes = [a_class(0, 4), a_class(1, 6), a_class(2, 25), a_class(3, 2, COPY), a_class(5, 7)]
    assert together(classes) == [[(0, 0), (1, 0)], [(2, 0)], [(2, 1)], [(2, 2)], [(5, 0)]]
    assert together([a_class(2, 23), a_class(4, 7), a_class(6, 1)])[2:] == [
        [(2, 2), (4, 0)],
        [(6, 0)],
    ]
    assert together([]) == []


def test_a_partition_is_indexed_once_for_small_classes(monkeypatch):
    indexed = []

    def watched(self, matrix, n_queries):
        indexed.append(len(matrix))
        return surrounding(self, matrix, n_queries)

    surrounding = Recipe.surrounding
    monkeypatch.setattr(Recipe, "surrounding", watched)
    table = TABLE.copy()
    table.loc[:29, "y"], table.loc[30:49, "y"] = 2, 3
    how = ADASYN(random_state=0, sampling_strategy="all")
    tasks, indexes = built(how, table=table)
    many = dask.get(tasks, [indexes[rank] for rank in sorted(indexes)])
    assert len(many) == 3
    assert indexed == [30] * 4
    indexed.clear()
    how.resample(table, target="y")
    assert indexed == [120]
    for of in many:
        labels = table["y"].to_numpy()[of.around.numbers]
        np.testing.assert_array_equal(of.around.classes, labels)
        assert of.around.own_class == of.rank


def test_lists_are_merged_a_few_at_a_time():
    tasks, indexes = built(ADASYN(random_state=0), parts=30)
    merges = [tasks[k] for k in named(tasks, "nearest-of-all-")]
    assert len(merges) == 4 + 1
    assert all(len(task[1]) <= 8 for task in merges)
    assert dask.get(tasks, indexes[1]).around.numbers.shape == (36, 5)


def test_classes_that_are_copied_do_not_ask():
    table = TABLE.copy()
    table.loc[[5, 6], "y"] = 2
    how = ADASYN(random_state=0, on_small_class="copy")
    tasks, indexes = built(how, table=table)
    assert not named(tasks, "queries-2-")
    of = dask.get(tasks, indexes[2])
    assert of.copied
    assert of.rows.numbers.tolist() == [5, 6]


def test_a_survey_is_added_up():
    how = KMeansSMOTE(random_state=0, kmeans_estimator=3, cluster_balance_threshold=0.0)
    tasks, _ = built(how)
    (top,) = named(tasks, "surveyed-")
    counts = dask.get(tasks, top)
    assert counts.sum(axis=1).tolist() == [84, 36]
    (learnt,) = named(tasks, "learn-")
    clusters = dask.get(tasks, learnt).predict(TABLE[["a", "b", "c"]].to_numpy())
    np.testing.assert_array_equal(counts[1], np.bincount(clusters[LABELS == 1], minlength=3))


def test_levels_are_one_task():
    table = TABLE.round().astype(int)
    tasks, indexes = built(SMOTEN(random_state=0), table=table)
    assert len(named(tasks, "levels-")) == 1
    assert dask.get(tasks, indexes[1]).report["exact"]


def test_a_task_has_no_blocks_of_the_plan():
    plan = SMOTE(random_state=0).plan(TABLE, target="y")
    assert plan.blocks
    assert without_blocks(plan).blocks == ()
    assert without_blocks(plan).classes == plan.classes


@pytest.mark.parametrize("sampler", [SMOTE(random_state=0), ADASYN(random_state=0)])
def test_more_partitions_make_the_same_index(sampler):
    one, other = (dask.get(*(t := built(sampler, n))[:1], t[1][1]) for n in (1, 13))
    np.testing.assert_array_equal(one.bases.ends, other.bases.ends)
    np.testing.assert_array_equal(one.rows.numeric, other.rows.numeric)
