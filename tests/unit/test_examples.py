"""Every example runs as a program and shows what it promises, on less data where it is long."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"


def run(name: str, *arguments: str, cwd: Path) -> str:
    """Output of an example, run from a folder that is not its own."""
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": paths, "TMPDIR": str(cwd)},
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def left_behind(folder: Path) -> list[Path]:
    """Files that an example left in its temporary folder; Dask keeps an empty one of its own."""
    return [file for file in folder.rglob("*") if file.is_file() and "scratch" not in str(file)]


def test_every_example_is_tested() -> None:
    tested = set(re.findall(r'run\(\s*"(\w+\.py)"', Path(__file__).read_text(encoding="utf-8")))
    assert tested == {file.name for file in EXAMPLES.glob("*.py")}


def test_examples_hold_no_absolute_path() -> None:
    for file in EXAMPLES.glob("*.py"):
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"""["'](/\w|[A-Z]:\\)""", text), file


def test_quickstart(tmp_path: Path) -> None:
    out = run("quickstart.py", cwd=tmp_path)
    counts = re.search(r"rows per class \[(\d+), (\d+)\]", out)
    assert counts and counts[1] == counts[2], out
    assert "dtypes kept: True" in out
    assert "are the original ones: True" in out
    assert "SMOTENC" in out.partition("3.")[2]


def test_dask_dataframe(tmp_path: Path) -> None:
    out = run("dask_dataframe.py", "--rows", "8000", cwd=tmp_path)
    after = re.search(r"after: +\{'(?:yes|no)': (\d+), '(?:yes|no)': (\d+)\}", out)
    assert after and after[1] == after[2], out
    assert "same seed, other partitions, same rows: True" in out
    assert left_behind(tmp_path) == []


def test_larger_than_memory(tmp_path: Path) -> None:
    out = run("larger_than_memory.py", "--rows", "60000", "--memory", "1GiB", cwd=tmp_path)
    rows = re.search(r"rows written: ([\d,]+)", out)
    assert rows and int(rows[1].replace(",", "")) > 60_000, out
    workers = re.findall(r"tls://\S+ +[\d.]+ MiB +[\d.]+ MiB +1.00 GiB", out)
    assert len(workers) == 2, out
    assert left_behind(tmp_path) == []


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_larger_than_memory_in_full(tmp_path: Path) -> None:
    out = run("larger_than_memory.py", cwd=tmp_path)
    table = re.search(r"table: .*, ([\d.]+) GiB in memory", out)
    assert table and float(table[1]) >= 3.99, out
    workers = re.findall(r"tls://\S+ +([\d.]+) MiB +([\d.]+) MiB +1.00 GiB", out)
    assert len(workers) == 2, out
    for peak, projected in workers:
        assert float(peak) <= float(projected) <= 0.8 * 1024, out


def test_insurance_case_study(data_dir: Path, tmp_path: Path) -> None:
    table = str(data_dir / "insurance_crosssell_train.parquet")
    out = run("insurance_case_study.py", table, "--rows", "20000", "--trees", "20", cwd=tmp_path)
    scores = re.findall(r"(?:as it is|after SMOTE).*?([\d.]+) +([\d.]+)$", out, flags=re.M)
    (f1, precision), (f1_after, precision_after) = [(float(a), float(b)) for a, b in scores]
    assert f1_after > f1 + 0.1, out
    assert abs(precision_after - precision) < 0.04, out


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_insurance_case_study_in_full(data_dir: Path, tmp_path: Path) -> None:
    out = run(
        "insurance_case_study.py", str(data_dir / "insurance_crosssell_train.parquet"), cwd=tmp_path
    )
    scores = re.findall(r"(?:as it is|after SMOTE).*?([\d.]+) +([\d.]+)$", out, flags=re.M)
    (f1, precision), (f1_after, precision_after) = [(float(a), float(b)) for a, b in scores]
    assert f1 == pytest.approx(0.178, abs=0.01)
    assert f1_after == pytest.approx(0.378, abs=0.01)
    assert precision == pytest.approx(0.327, abs=0.01)
    assert precision_after == pytest.approx(0.325, abs=0.01)
