"""Many small files: several share a task and a part, and the rows are those of one file."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from distributed import Client

from dsmote.job import JobSpec, prepare, write_job
from dsmote.job.sources import FEWEST, Source, _shared, open_source
from dsmote.job.spec import Split
from tests.job.conftest import mixed_frame

FILES = 50
COLUMNS = ["id", "x", "f32", "i16", "flag", "text", "cat", "note", "y"]
JOBS: dict[str, dict[str, Any]] = {
    "plain": {},
    "split": {"split": Split(test_fraction=0.3, stratify=True)},
    "split by column, shuffled": {
        "split": Split(column="text", train=("red", "green")),
        "shuffle": True,
    },
    "nearest of all": {"sampler": "borderline", "carry": ("id", "flag", "text", "cat", "note")},
}


def write(frame: pd.DataFrame, folder: Path, files: int, ending: str) -> Path:
    """Write a table; of many files, the first and one in the middle have no rows."""
    folder.mkdir()
    empty = {0, files // 2} if files > 2 else set()
    full = [number for number in range(files) if number not in empty]
    for number in empty:
        save(frame.iloc[:0], folder / f"{number}{ending}")
    for place, number in enumerate(full):
        rows = slice(len(frame) * place // len(full), len(frame) * (place + 1) // len(full))
        save(frame.iloc[rows], folder / f"{number}{ending}")
    return folder


def save(frame: pd.DataFrame, file: Path) -> None:
    if file.suffix == ".parquet":
        frame.to_parquet(file, index=False)
    else:
        frame.to_csv(file, index=False)


def table(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder).astype({"cat": "str"})


@pytest.mark.parametrize(
    ("name", "ending"),
    [*((name, ".parquet") for name in JOBS), ("split", ".csv"), ("plain", ".csv.gz")],
)
def test_rows_are_those_of_one_file(name: str, ending: str, tmp_path: Path, client: Client) -> None:
    frame, found = mixed_frame(400)[COLUMNS], {}
    for files in (1, FILES):
        source = write(frame, tmp_path / f"in-{files}", files, ending)
        out = tmp_path / f"out-{files}"
        fields = {"carry": ("id", "note"), **JOBS[name], "output": str(out), "random_state": 0}
        found[files] = out, write_job(prepare(JobSpec(str(source), "y", **fields)), client).manifest
    (one, said), (many, manifest) = found.values()
    assert manifest["rows"] == said["rows"]
    assert manifest["classes"] == said["classes"]
    for folder, of in manifest["folders"].items():
        assert of["files"] <= FEWEST + 2
        pd.testing.assert_frame_equal(table(many / folder), table(one / folder))


def shares(source: Source) -> list[int]:
    """Rows of each partition."""
    parts = source.frame().to_delayed(optimize_graph=False)
    return [len(part.compute(scheduler="synchronous")) for part in parts]


def test_rows_of_each_partition_are_those_the_footers_say(tmp_path: Path) -> None:
    source = open_source(str(write(mixed_frame(400), tmp_path / "in", FILES, ".parquet")))
    assert source.partition_rows == tuple(shares(source))
    assert len(shares(source)) == FEWEST + 1


def test_a_file_of_several_pieces_shares_with_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dsmote.job.sources.FEWEST", 1)
    frame = mixed_frame(90)
    for number, rows in enumerate([5, 5, 90, 5, 5]):
        file = tmp_path / f"{number}.parquet"
        frame.iloc[:rows].to_parquet(file, index=False, row_group_size=20)
    assert shares(open_source(str(tmp_path))) == [110]
    monkeypatch.setattr("dsmote.job.sources.PIECE_ROWS", 50)
    assert shares(open_source(str(tmp_path))) == [10, 40, 50, 10]


@pytest.mark.parametrize(
    ("sizes", "shared"),
    [
        ([], []),
        ([7], [1]),
        ([100] * 20, [1] * 20),  # none to spare
        ([1] * 320, [20] * 16),  # at least 16
        ([1] * 10_000, [100] * 100),  # as many as fit
        ([60] * 100, [1] * 100),
        ([1] * 99 + [1_000, 1, 1] + [300], [88, 11, 1, 2, 1]),  # what is larger stays what it was
        ([0] * 50, [50]),
    ],
)
def test_small_files_share_a_partition(sizes: list[int], shared: list[int]) -> None:
    found = _shared(range(len(sizes)), sizes, 100)  # type: ignore[type-var]
    assert [len(pieces) for pieces in found] == shared
    assert [piece for pieces in found for piece in pieces] == list(range(len(sizes)))


def test_ordered_categories_stay_in_the_order_of_their_file(tmp_path: Path) -> None:
    """Joined in the order in which they are met, they would be in another: low, high, middle."""
    for number in range(FILES):
        levels = ["low", "high"] if number % 2 else ["low", "middle", "high"]
        values = pd.Categorical(["low", "high"], levels, ordered=True)
        pd.DataFrame({"c": values}).to_parquet(tmp_path / f"{number}.parquet", index=False)
    frame = open_source(str(tmp_path)).frame()
    assert frame.npartitions == FILES
    part = frame.get_partition(0).compute(scheduler="synchronous")
    assert list(part["c"].cat.categories) == ["low", "middle", "high"]
