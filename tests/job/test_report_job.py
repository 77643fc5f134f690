"""Jobs that write a report beside the table."""

import errno
import json
import logging
import os
import re
import sys
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner
from fsspec.implementations.local import LocalFileSystem

from dsmote.cli import main
from dsmote.job import JobSpec, prepare, run, run_spec, write_job
from dsmote.job import report as module
from dsmote.job.spec import Split


def job(source, out, **fields):
    return JobSpec(
        str(source), "y", output=str(out), **{"random_state": 0, "report": True, **fields}
    )


def report_of(source, out, client, **fields):
    manifest = write_job(prepare(job(source, out, **fields)), client).manifest
    return (out.parent / f".{out.name}.dsmote/report.html").read_text(encoding="utf-8"), manifest


def looked_at(html):
    (found,) = re.findall(r"It shows samples: ([\d,]+) original and ([\d,]+) new rows", html)
    return [int(n.replace(",", "")) for n in found]


def test_report_appears_with_the_table(mixed, tmp_path, client, caplog):
    """With the seconds of the log and of the manifest; the parts are those of a job without."""
    spec = job(mixed, tmp_path / "out", carry=("id", "note"))
    with caplog.at_level("INFO", logger="dsmote"):
        manifest = run_spec(spec, client=client).manifest
    assert manifest is not None
    records = tmp_path / ".out.dsmote"
    assert sorted(os.listdir(records)) == ["manifest.json", "report.html"]
    assert json.loads((records / "manifest.json").read_text())["job"]["report"] is True
    html = (records / "report.html").read_text(encoding="utf-8")
    assert looked_at(html) == [300, 240]
    assert "300 before, 240 new, 540 written" in html
    assert len(re.findall('<h4 title="', html)) == 8
    for worker in client.nthreads():
        assert worker in html
    assert pd.read_parquet(tmp_path / "out")["y"].value_counts().to_dict() == {0: 270, 1: 270}
    logged = {record.stage: record for record in caplog.records if hasattr(record, "stage")}
    assert list(manifest["stages"]) == ["opening the output", "counting classes", "writing"]
    for stage, seconds in manifest["stages"].items():
        assert logged[stage].fields["seconds"] == seconds
        assert logged[stage].getMessage().endswith(f" {seconds:.1f} s")
        assert f'>{stage}</th><td class="number">{seconds:,.1f} s</td>' in html
    seconds = manifest["seconds"]
    assert seconds == round(sum(manifest["stages"].values()), 3)
    assert logged["done"].fields["seconds"] == seconds
    assert logged["done"].getMessage().startswith(f"done in {seconds:.1f} s, ")
    assert f"<dd>{seconds:,.1f} seconds</dd>" in html
    plain = job(mixed, tmp_path / "b", carry=("id", "note"), report=False)
    assert write_job(prepare(plain), client).manifest["parts"] == manifest["parts"]
    assert os.listdir(tmp_path / ".b.dsmote") == ["manifest.json"]


@pytest.mark.parametrize(
    ("fields", "rows", "words"),
    [
        ({"mode": "synthetic"}, (200, 150), "150 new, and only these written"),
        ({"split": Split(test_fraction=0.3, stratify=True)}, (140, 106), "more held back in test/"),
        ({"partition_by": ("y",)}, (200, 150), "350 written"),
        ({"shuffle": True}, (200, 150), "350 written"),
        ({"sampler": "random-under"}, (50, 0), "150 dropped, 50 written"),
        ({"sampler": "random"}, (200, 150), "all new rows are copies of originals, as intended"),
    ],
    ids=["synthetic", "split", "folders", "shuffle", "under", "over"],
)
def test_report_of_every_way_to_write(numeric, tmp_path, client, fields, rows, words):
    html, manifest = report_of(numeric, tmp_path / "out", client, **fields)
    found = looked_at(html)
    assert found[1] == manifest["rows"]["new"]
    assert found[0] == pytest.approx(rows[0], abs=3)
    assert words in html


@pytest.fixture
def seen(monkeypatch):
    """What reports are made from: how rows were drawn, and which."""
    found = []

    def note(manifest, plan, sampling, rows, hidden):
        found.append((sampling, rows))
        return "page"

    monkeypatch.setattr(module, "report_html", note)
    return found


def test_a_run_that_goes_on_looks_at_the_same_rows(numeric, tmp_path, client, monkeypatch, seen):
    report_of(numeric, tmp_path / "undisturbed", client)
    with monkeypatch.context() as patched, pytest.raises(ZeroDivisionError):
        patched.setattr(run, "_note", lambda progress, peaks, part: 1 / (part.number != 1))
        report_of(numeric, tmp_path / "out", client, resume=True)
    assert list((tmp_path / ".out.dsmote").glob("*/records/*.json"))
    report_of(numeric, tmp_path / "out", client, resume=True)
    (_, rows), (_, again) = seen
    pd.testing.assert_frame_equal(rows, again)


@pytest.mark.parametrize("failing", ["task", "page", "store"])
def test_a_report_that_fails_costs_no_table(
    numeric, tmp_path, client, monkeypatch, caplog, failing
):
    """It is told why; where the store fails in the middle of the page, nothing of it is left."""

    def fail(*args, **kwargs):
        raise ZeroDivisionError("no ink")

    whole = LocalFileSystem.pipe_file

    def half(self, path, value, **kwargs):
        if not (value and path.endswith("report.html")):
            return whole(self, path, value, **kwargs)
        Path(path).write_bytes(value[:100])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    told = r"could not be made.*ZeroDivisionError: no ink"
    if failing == "task":
        monkeypatch.setattr(module, "as_numbers", fail)
    elif failing == "page":
        monkeypatch.setattr(module, "report_html", fail)
    else:
        monkeypatch.setattr(LocalFileSystem, "pipe_file", half)
        told = r"could not be made: cannot write .*report\.html: No space left"
    in_process = None if failing == "task" else client
    with caplog.at_level(logging.ERROR):
        write_job(prepare(job(numeric, tmp_path / "out")), in_process)
    assert re.search(told, caplog.text, re.S)
    assert ("Traceback" in caplog.text) == (failing != "store")
    assert len(pd.read_parquet(tmp_path / "out")) == 350
    assert os.listdir(tmp_path / ".out.dsmote") == ["manifest.json"]


def test_without_matplotlib_no_work_is_begun(numeric, tmp_path, monkeypatch):
    """A message with the remedy, and exit code 5; no cluster is started, and nothing written."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    command = ["resample", str(numeric), str(tmp_path / "out"), "--target", "y", "--report"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 5
    assert 'needs matplotlib, which is not installed: pip install "dsmote[report]"' in result.output
    assert "starting workers" not in result.output
    assert not any("out" in name for name in os.listdir(tmp_path))
