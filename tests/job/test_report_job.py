"""Jobs that write a report beside the table."""

import errno
import json
import logging
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from distributed import Client
from fsspec.implementations.local import LocalFileSystem

from dsmote.cli import main
from dsmote.job import JobSpec, prepare, run, run_spec, write_job
from dsmote.job import report as module
from dsmote.job.spec import Split


def job(source: Path, out: Path, **fields: Any) -> JobSpec:
    return JobSpec(
        str(source), "y", output=str(out), **{"random_state": 0, "report": True, **fields}
    )


def report_of(source: Path, out: Path, client: Client, **fields: Any) -> tuple[str, dict[str, Any]]:
    manifest = write_job(prepare(job(source, out, **fields)), client).manifest
    return (out.parent / f".{out.name}.dsmote/report.html").read_text(encoding="utf-8"), manifest


def looked_at(html: str) -> list[int]:
    (found,) = re.findall(r"It shows samples: ([\d,]+) original and ([\d,]+) new rows", html)
    return [int(n.replace(",", "")) for n in found]


def test_report_appears_with_the_table(
    mixed: Path, tmp_path: Path, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
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
def test_report_of_every_way_to_write(
    numeric: Path, tmp_path: Path, client: Client, fields: dict[str, Any], rows: Any, words: str
) -> None:
    html, manifest = report_of(numeric, tmp_path / "out", client, **fields)
    found = looked_at(html)
    assert found[1] == manifest["rows"]["new"]
    assert found[0] == pytest.approx(rows[0], abs=3)
    assert words in html


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What reports are made from: how rows were drawn, and which."""
    found: list[Any] = []

    def note(manifest: Any, plan: Any, sampling: Any, rows: Any, hidden: Any) -> str:
        found.append((sampling, rows))
        return "page"

    monkeypatch.setattr(module, "report_html", note)
    return found


def test_rows_of_the_sample_are_rows_of_the_table(
    numeric: Path, tmp_path: Path, client: Client, seen: list[Any]
) -> None:
    assert report_of(numeric, tmp_path / "out", client)[0] == "page"
    made = pd.read_parquet(tmp_path / "out")
    ((sampling, rows),) = seen
    names = [*sampling.columns]
    np.testing.assert_array_equal(rows[[0, 1, 2]], made[names].to_numpy(float))
    assert rows["new"].tolist() == [False] * 200 + [True] * 150
    assert rows["rank"].tolist() == [sampling.classes[label][0] for label in made["y"]]


def test_a_run_that_goes_on_looks_at_the_same_rows(
    numeric: Path, tmp_path: Path, client: Client, monkeypatch: pytest.MonkeyPatch, seen: list[Any]
) -> None:
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
    numeric: Path,
    tmp_path: Path,
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    failing: str,
) -> None:
    """It is told why; where the store fails in the middle of the page, nothing of it is left."""

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise ZeroDivisionError("no ink")

    whole = LocalFileSystem.pipe_file

    def half(self: Any, path: str, value: bytes, **kwargs: Any) -> None:
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


def test_without_matplotlib_no_work_is_begun(
    numeric: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message with the remedy, and exit code 5; no cluster is started, and nothing written."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    command = ["resample", str(numeric), str(tmp_path / "out"), "--target", "y", "--report"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 5
    assert 'needs matplotlib, which is not installed: pip install "dsmote[report]"' in result.output
    assert "starting workers" not in result.output
    assert not any("out" in name for name in os.listdir(tmp_path))


RENDERED = """<!doctype html><body style="margin:0"><iframe src="{page}"
style="width:{width}px;height:3000px;border:0"></iframe><pre id="told"></pre><script>
document.querySelector("iframe").addEventListener("load", event => {{
  const page = event.target.contentDocument, wide = page.documentElement.scrollWidth;
  page.querySelectorAll("details").forEach(one => one.open = true);
  const out = [...page.querySelectorAll("body *:not(svg *)")].filter(one => {{
    const scrolls = one.closest(".wide, pre");
    return one.getBoundingClientRect().right > {width} + 1 && !(scrolls && scrolls !== one);
  }}).map(one => one.tagName + "." + one.className);
  const cut = [...page.querySelectorAll("svg")].flatMap(figure => {{
    const box = figure.getBoundingClientRect(), texts = [...figure.querySelectorAll("text")];
    return texts.filter(text => {{
      const own = text.getBoundingClientRect();
      const met = texts.map(other => other.getBoundingClientRect()).some(other =>
        own.left < other.left && own.right > other.left &&
        own.top < other.bottom - 2 && own.bottom > other.top + 2);
      return met || own.left < box.left - 1 || own.right > box.right + 1 || own.height < 9;
    }}).map(text => text.textContent);
  }});
  document.getElementById("told").textContent = JSON.stringify(
    {{wide, open: page.documentElement.scrollWidth, out, cut, figures:
      page.querySelectorAll("svg, .bar").length}});
}});
</script></body>"""


def hard_frame() -> pd.DataFrame:
    """Names and labels without a place to break, numbers of any length, many classes."""
    rng, rows = np.random.default_rng(0), 3_000
    sizes = [1_500, 800, *[700 // 20] * 20]
    frame = pd.DataFrame(
        {
            "n" * 200: rng.normal(size=rows) * 1e12,
            "small": 1e6 + rng.random(rows) / 100,
            "heavy": rng.standard_cauchy(rows) ** 5,
            "edges": rng.integers(0, 6, rows) * 1_000_000,
            "flag": rng.random(rows) < 0.5,
            "days": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 999, rows), "h"),
            "when": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 99, rows), "s"),
            "long": pd.to_timedelta(rng.integers(0, 10**8, rows), "s"),
            "level": rng.choice(["W" * 150, "a", "i" * 30, "x" * 90, "Ab3_" * 30], rows),
        }
    )
    labels = [f"{'M' * 60}{i}" for i in range(len(sizes))]
    return frame.assign(y=np.repeat(labels, sizes))


@pytest.mark.slow
@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_is_cut_on_a_phone_or_a_desk(width: int, tmp_path: Path, client: Client) -> None:
    """In a headless browser: the page is no wider than the screen, and labels are whole."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        if os.environ.get("DSMOTE_REQUIRE_DATA") == "1":
            pytest.fail("there is no chromium to look at the report with")
        pytest.skip("there is no chromium to look at the report with")
    hard_frame().to_parquet(tmp_path / "hard.parquet", index=False)
    report_of(tmp_path / "hard.parquet", tmp_path / "out", client)
    frame = tmp_path / "frame.html"
    page = (tmp_path / ".out.dsmote/report.html").as_uri()
    frame.write_text(RENDERED.format(page=page, width=width), encoding="utf-8")
    done = subprocess.run(
        [
            browser,
            *("--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files"),
            *(f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={max(width, 600)},3000"),
            *("--virtual-time-budget=5000", "--dump-dom", frame.as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    told = re.search(r'<pre id="told">(.*?)</pre>', done.stdout)
    assert told is not None, done.stderr[-2000:]
    found = json.loads(told.group(1).replace("&gt;", ">").replace("&lt;", "<"))
    assert found["figures"] > 10
    assert max(found["wide"], found["open"]) <= width
    assert found["out"] == found["cut"] == []
    assert done.returncode == 0
