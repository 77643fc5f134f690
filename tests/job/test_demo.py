import pandas as pd

from dsmote.job.demo import demo_chunk, write_demo


def test_demo_table_is_the_same_again_and_has_the_rows_asked_for(tmp_path):
    write_demo(str(tmp_path / "t"), 130_000)
    assert len(list((tmp_path / "t").glob("*.parquet"))) == 2
    frame = pd.read_parquet(tmp_path / "t")
    pd.testing.assert_frame_equal(frame[125_000:].reset_index(drop=True), demo_chunk(1, 5_000))
    assert frame["label"].value_counts().to_dict() == {"genuine": 128_700, "fraud": 1_300}
    kinds = {str(dtype) for dtype in frame.dtypes}
    assert {"float64", "float32", "int64", "int8", "bool", "str", "category"} <= kinds
    assert not frame.isna().any(axis=None)
    assert frame["id"].is_unique
