"""The benchmark of samplers that leave rows out runs, on little data."""

from importlib import import_module
from pathlib import Path

import pytest


def test_cleaning(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    benchmark = import_module("cleaning")
    assert {"EditedNearestNeighbours", "TomekLinks"} <= set(benchmark.compared())
    few = ["--data", str(data_dir), "--rows", "500", "--table", "insurance"]
    numbers = benchmark.main([*few, "--sampler", "EditedNearestNeighbours"])
    found = numbers["EditedNearestNeighbours", "insurance"]
    assert found["differ"] == 0
    for side in ("dsmote", "imbalanced-learn"):
        assert found[side]["rows"] == 500
        assert found[side]["seconds"] > 0 and found[side]["cpu"] > 0
    out = capsys.readouterr().out
    assert "imblearn MiB" in out and "yes" in out
    del found["imbalanced-learn"]
    assert benchmark.line("ENN", "insurance", found | {"differ": None}, "cpu")["ratio"] == ""
