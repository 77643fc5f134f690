"""Every example runs as a program and shows what it promises, on less data where it is long."""

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"


def run(name, *arguments, cwd):
    """Output of an example, run from a folder that is not its own, in which it leaves nothing."""
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
    # Dask keeps an empty folder of its own.
    left = [file for file in cwd.rglob("*") if file.is_file() and "scratch" not in str(file)]
    assert left == []
    return done.stdout


def found(pattern, out):
    """Numbers in the places of a text that a pattern fits."""
    places = re.findall(pattern, out, flags=re.M)
    assert places, out
    return [tuple(float(number.replace(",", "")) for number in each) for each in places]


def test_every_example_is_tested_and_holds_no_absolute_path():
    tested = set(re.findall(r'run\(\s*"(\w+\.py)"', Path(__file__).read_text(encoding="utf-8")))
    assert tested == {file.name for file in EXAMPLES.glob("*.py")}
    for file in EXAMPLES.glob("*.py"):
        assert not re.search(r"""["'](/\w|[A-Z]:\\)""", file.read_text(encoding="utf-8")), file


def test_quickstart(tmp_path):
    out = run("quickstart.py", cwd=tmp_path)
    ((one, other),) = found(r"rows per class \[(\d+), (\d+)\]", out)
    assert one == other
    assert "dtypes kept: True" in out
    assert "are the original ones: True" in out
    assert "SMOTENC" in out.partition("3.")[2]


def test_dask_dataframe(tmp_path):
    out = run("dask_dataframe.py", "--rows", "8000", "--workers", "1", cwd=tmp_path)
    ((one, other),) = found(r"after: +\{'(?:yes|no)': (\d+), '(?:yes|no)': (\d+)\}", out)
    assert one == other
    assert "same seed, other partitions, same rows: True" in out


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_larger_than_memory(tmp_path):
    out = run("larger_than_memory.py", "--rows", "18000000", cwd=tmp_path)
    ((before, written),) = found(r"(?s)table: ([\d,]+) rows.*rows written: ([\d,]+)", out)
    assert written > before
    size = re.search(r", ([\d.]+) GiB in memory", out)
    assert size and float(size[1]) > 2 * 0.8, out  # more than both workers may hold
    workers = found(r"tls://\S+ +([\d.]+) MiB +([\d.]+) MiB +1.00 GiB", out)
    assert len(workers) == 2, out
    for peak, projected in workers:
        assert peak <= projected <= 0.8 * 1024, out


def scores_of(out):
    (f1, precision), (f1_after, precision_after) = found(
        r"(?:as it is|after SMOTE) .*?([\d.]+) +([\d.]+)$", out
    )
    assert f1_after > f1 + 0.1, out
    assert abs(precision_after - precision) < 0.04, out
    return f1, precision, f1_after, precision_after


@pytest.mark.slow
def test_insurance_case_study(data_dir, tmp_path):
    table = str(data_dir / "insurance_crosssell_train.parquet")
    less = ("--rows", "20000", "--trees", "20")
    scores_of(run("insurance_case_study.py", table, *less, cwd=tmp_path))


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.filterwarnings("ignore")
def test_numbers_of_the_insurance_case_study(data_dir, monkeypatch, capsys):
    """Those that the README gives, of SMOTE on the whole table."""
    study = runpy.run_path(str(EXAMPLES / "insurance_case_study.py"))
    monkeypatch.setattr(sys, "argv", ["", str(data_dir / "insurance_crosssell_train.parquet")])
    study["SAMPLERS"][2:] = []
    study["main"]()
    expected = pytest.approx((0.178, 0.327, 0.378, 0.325), abs=0.01)
    assert scores_of(capsys.readouterr().out) == expected
