from pathlib import Path

import pandas as pd

from dsmote.job.demo import demo_chunk, write_demo


def test_same_chunk_same_rows_and_others_differ() -> None:
    pd.testing.assert_frame_equal(demo_chunk(3, 500), demo_chunk(3, 500))
    assert not demo_chunk(3, 500)["amount"].equals(demo_chunk(4, 500)["amount"])
    assert demo_chunk(4, 500)["id"].min() > demo_chunk(3, 500)["id"].max()


def test_table_has_the_rows_asked_for_in_several_files(tmp_path: Path) -> None:
    size = write_demo(str(tmp_path / "t"), 130_000)
    files = sorted((tmp_path / "t").glob("*.parquet"))
    assert len(files) == 2
    assert size == sum(file.stat().st_size for file in files)
    frame = pd.read_parquet(tmp_path / "t")
    assert len(frame) == 130_000
    assert frame["label"].value_counts().to_dict() == {"genuine": 128_700, "fraud": 1_300}
    kinds = {str(dtype) for dtype in frame.dtypes}
    assert {"float64", "float32", "int64", "int8", "bool", "str", "category"} <= kinds
    assert not frame.isna().any(axis=None)
    assert frame["id"].is_unique
