"""What schedules are tested with: a table that comes late, its job file, a command that counts."""

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.cluster.starting import ROOT, processes_of, wait_until

SCHEDULE = ROOT / "examples" / "schedule"
SECONDS = 240

# Counts its calls. The table is there from call number $ARRIVES on.
COMMAND = """#!/bin/sh
echo "$@" >>"{folder}/calls"
if [ "$(wc -l <"{folder}/calls")" -ge "${{ARRIVES:-1}}" ] && [ -d "{folder}/late" ]; then
    mv "{folder}/late" "{folder}/lake/payments"
fi
PYTHONPATH="{root}" exec "{python}" -m dsmote "$@"
"""

# An error in the job file, too little memory, and a class of too few rows (with another seed, or
# the output would be found up to date), and the code that the job then ends with.
HOPELESS = [
    ({"target:": "taget:"}, 2),
    ({"random_state: 0": "random_state: 1", "memory_limit: 2GiB": "memory_limit: 170MiB"}, 4),
    ({"random_state: 0": "random_state: 1, k_neighbors: 5000"}, 5),
]


def payments(number, rows=2000):
    rng = np.random.default_rng(number)
    fraud = rng.random(rows) < 0.1
    return pd.DataFrame(
        {
            "payment_id": np.arange(rows) + number * rows,
            "amount": rng.lognormal(3 + fraud, 1),
            "hour": rng.integers(0, 24, rows),
            "fold": np.where(np.arange(rows) % 4 == 0, "test", "train"),
            "fraud": fraud.astype("int64"),
        }
    )


def script(file, text):
    file.write_text(text)
    file.chmod(0o755)
    return file


class Night:
    """A lake with one table, a job file, and a command that starts dsmote and is counted."""

    def __init__(self, folder):
        self.folder = folder
        self.out = folder / "lake" / "payments-balanced"
        self.job = folder / "nightly.yaml"
        (folder / "lake").mkdir()
        (folder / "late").mkdir()
        payments(0).to_parquet(folder / "late" / "0.parquet", index=False)
        shutil.copy(SCHEDULE / "nightly.yaml", self.job)
        text = COMMAND.format(folder=folder, root=ROOT, python=sys.executable)
        self.dsmote = script(folder / "dsmote", text)

    def environment(self, **more):
        foreign = ("PYTHON", "PREFECT", "AIRFLOW", "DASK", "DSMOTE")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        path = f"{self.folder}:{kept['PATH']}"
        own = {"DSMOTE": self.dsmote, "LAKE": self.folder / "lake", "TMPDIR": self.folder}
        return kept | {name: str(value) for name, value in {"PATH": path, **own, **more}.items()}

    def calls(self):
        """How often the command was started since this was last asked."""
        file = self.folder / "calls"
        lines = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        assert all(line.startswith("run ") for line in lines), lines
        return len(lines)

    @contextmanager
    def edited(self, changes):
        """Change the job file for a while."""
        text = changed = self.job.read_text()
        for old, new in changes.items():
            assert old in changed
            changed = changed.replace(old, new)
        self.job.write_text(changed)
        yield
        self.job.write_text(text)

    def more_rows(self):
        """Add a file to the table, as a day does."""
        table = self.folder / "lake" / "payments"
        number = len(list(table.iterdir()))
        payments(number).to_parquet(table / f"{number}.parquet", index=False)

    def files(self):
        """What the output holds, and when it was written."""
        files = filter(Path.is_file, self.out.rglob("*"))
        return {file: (file.stat().st_mtime_ns, file.read_bytes()) for file in files}

    def check_output(self):
        """The training rows are balanced, the others as they were."""
        assert (self.out / "_SUCCESS").exists()
        table = pd.read_parquet(self.folder / "lake" / "payments")
        train = pd.read_parquet(self.out / "train")
        expected = (table["fold"] == "train") & (table["fraud"] == 0)
        assert train["fraud"].value_counts().to_dict() == {0: expected.sum(), 1: expected.sum()}
        test = pd.read_parquet(self.out / "test").sort_values("payment_id", ignore_index=True)
        assert test["payment_id"].tolist() == table["payment_id"][table["fold"] == "test"].tolist()

    def left(self):
        """Processes that it started."""
        return processes_of(self.folder)


@pytest.fixture
def night(tmp_path):
    """A night after which no process is left that it started."""
    night = Night(tmp_path)
    yield night
    try:
        wait_until(lambda: not night.left(), f"what runs has ended: {night.left()}", 20)
    finally:
        for process in night.left():
            process.kill()


def run(command, env, cwd):
    """Exit code and all that was said."""
    done = subprocess.run(
        [str(part) for part in command],
        env=env,
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
    )
    return done.returncode, done.stdout
