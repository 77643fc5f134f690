"""Samplers without neighbours in jobs: their class rows in scratch files, the output the same."""

import pytest

from dsmote.job import JobSpec, plan_job, prepare, write_job
from dsmote.job.spec import Split
from tests.job.conftest import mixed_frame, write_files

FEATURES = ["x", "f32", "y"]
JOBS = {
    "copies": (["x", "text", "when", "cat", "note", "id", "y"], {"sampler": "random"}),
    "carried": (
        [*FEATURES, "id"],
        {"sampler": "polynom-fit", "carry": ("id",), "provenance": "full"},
    ),
    "folders": ([*FEATURES, "cat"], {"sampler": "random", "partition_by": ("cat",)}),
    "split": (
        [*FEATURES, "flag"],
        {"sampler": "random", "params": {"shrinkage": 0.5}, "split": Split("flag", (True,))},
    ),
}


@pytest.mark.parametrize("name", JOBS)
def test_files_are_those_of_one_worker(name, tmp_path):
    columns, given = JOBS[name]
    source = write_files(mixed_frame()[columns], tmp_path / "in", 3)
    made = []
    (tmp_path / "lake").mkdir()
    for route in ("broadcast", "cells"):
        out = tmp_path / "lake" / route
        fields = {**given, "params": {**given.get("params", {}), "route": route}}
        spec = JobSpec(str(source), "y", output=str(out), random_state=0, **fields)
        plan = plan_job(prepare(spec))
        assert all(c.stored == (route == "cells") for c in plan.growing)
        write_job(prepare(spec))
        files = sorted(out.rglob("*.parquet"))
        made.append({str(file.relative_to(out)): file.read_bytes() for file in files})
    assert made[0] == made[1]
    assert not list((tmp_path / "lake").rglob("*.arrow"))
