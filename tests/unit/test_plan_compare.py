"""The route of cleaning methods is chosen by bytes, and what it takes is said."""

import numpy as np
import pytest

from dsmote.plan import CLEAN, Limit, MemoryLimitError, Needs, make_schema, make_under_plan
from dsmote.plan.compare import with_all_rows

MIB = 2**20
SCHEMA = make_schema([f"x{i}" for i in range(10)], [np.dtype("f8")] * 10)


def planned(mib, route="auto", rows=10**7, **more):
    counts = {0: rows - rows // 100, 1: rows // 100}
    plan = make_under_plan("TomekLinks", 0, counts, {0: counts[0]}, CLEAN)
    given = {"cells": True, "told": 1, "few": counts[1], "rounds": 2} | more
    needs = Needs(1, k_name="", passes=("count", "look", "write"), **given)
    limit = Limit(mib * MIB, 1, "a worker's memory limit")
    return with_all_rows(
        plan, counts, needs, SCHEMA, 20 * MIB, 84, limit, process=215 * MIB, route=route
    )


def route_of(plan):
    plan.check()
    return "cells" if plan.all_rows else "gather" if plan.travelling else "broadcast"


def test_the_first_route_that_fits_is_taken():
    assert route_of(planned(16_000)) == "broadcast"
    assert route_of(planned(2_000)) == "gather"
    assert route_of(planned(2_000, rounds=0)) == "cells"
    # Many rows would have to travel.
    assert route_of(planned(2_000, few=5 * 10**6)) == "cells"


def test_a_route_that_is_asked_for_is_taken_or_refused():
    assert route_of(planned(16_000, "gather")) == "gather"
    assert route_of(planned(16_000, "cells")) == "cells"
    for route in ("broadcast", "gather"):
        with pytest.raises(MemoryLimitError, match=r"comparing all 10,000,000 rows .* allowed"):
            planned(400, route).check()


def test_the_plan_says_what_travels_and_how_often():
    plan = planned(2_000)
    (note,) = plan.notes
    assert note.startswith("100,000 rows of the smaller classes, and those that they find, travel")
    assert "because all rows do not fit into one worker; about" in note
    assert "as asked for" in planned(2_000, "gather").notes[0]
    assert plan.passes == ("count", "look", *["comparing few rows with all"] * 2, "write")
    assert plan.to_dict()["travelling"] == 100_000


def test_more_of_anything_needs_more():
    least = planned(4_000, "gather").memory.worker_bytes
    assert planned(4_000, "gather", few=200_000).memory.worker_bytes > least
    assert planned(4_000, "gather", held=100).memory.worker_bytes > least
    assert planned(4_000, "gather", rows=2 * 10**7).memory.worker_bytes > least


def test_a_refusal_names_what_is_held_on_its_route():
    """Rows in cells are not gathered, so that is not what does not fit."""
    (cells,) = planned(400, "cells", held=40).too_large
    assert "the largest term is what one task knows of each row (" in cells
    (gather,) = planned(400, "gather").too_large
    assert "the largest term is what one task knows of each row, and of the rows that" in gather
    (whole,) = planned(400, "broadcast").too_large
    assert "the largest term is all rows in one worker" in whole
    assert "gathering" not in cells + gather + whole
