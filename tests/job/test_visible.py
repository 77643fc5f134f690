"""Names from the data reach a terminal as text: no command, no line of their own."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from dsmote import SMOTE, RandomUnderSampler
from dsmote.cli import main

#: Clears the screen, sets the title, begins a line, reverses what follows, ends a line.
EVIL = {"escape": "\x1b[2J", "title": "\x1b]0;t\x07", "line": "\nERROR forged", "bidi": "\u202e"}
EVIL |= {"separator": "\u2028ERROR forged", "return": "\rERROR forged", "c1": "\x9b2J"}

COMMANDS = {
    "plan": "plan t.parquet --target {target}",
    "log": "resample t.parquet out --target {target} --log-format text",
    "under": "resample t.parquet out --target {target} --sampler random-under",
    "no such column": "resample t.parquet out --target nothing",
    "job": "run job.yaml",
}


@pytest.mark.parametrize("command", COMMANDS)
def test_names_are_printed_visibly(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    evil = "".join(EVIL.values())
    target = f"y{evil}"
    rng = np.random.default_rng(0)
    columns = {f"x{evil}": rng.normal(size=300), f"c{evil}": rng.choice(["a", evil], 300)}
    labels = np.where(np.arange(300) % 9 == 0, f"rare{evil}", f"common{evil}")
    pd.DataFrame(columns | {target: labels}).to_parquet("t.parquet", index=False)
    escaped = target.encode("unicode_escape").decode()
    Path("job.yaml").write_text(f'input: t.parquet\noutput: out\ntarget: "{escaped}"\n')
    words = [target if word == "{target}" else word for word in COMMANDS[command].split()]
    result = CliRunner().invoke(main, words)
    printed = result.stdout + result.stderr
    assert printed
    assert all(line.isprintable() for line in printed.split("\n")), printed
    assert not any(line.startswith("ERROR") for line in printed.split("\n")), printed
    if command == "plan":
        assert r"rare\x1b[2J\x1b]0;t\x07\nERROR forged" in printed.replace("\n", "")


@pytest.mark.parametrize("sampler", [SMOTE(), RandomUnderSampler()])
@pytest.mark.parametrize("evil", EVIL.values(), ids=EVIL)
def test_a_plan_has_one_row_for_each_class(sampler, evil):
    table = pd.DataFrame({"x": np.arange(40.0), "y": [f"b{evil}", "a", "a", "a"] * 10})
    printed = str(sampler.plan(table, target="y"))
    assert all(line.isprintable() for line in printed.split("\n"))
    assert len([line for line in printed.split("\n") if line.startswith(("a ", "b\\"))]) == 2
