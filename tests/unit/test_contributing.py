"""What CONTRIBUTING.md says of adding a sampler, done to a copy of the package."""

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SECTION = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## Add a sampler")[1]
MODULE, LINE = (
    textwrap.dedent(block) for block in re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)
)
PROMISES = (
    "tests/dask/test_lazy.py",
    "tests/property/test_same_rows.py",
    "tests/unit/test_samplers_companions.py",
)


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("copy")
    for name in ("dsmote", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    with (folder / "dsmote/samplers/__init__.pyi").open("a", encoding="utf-8") as file:
        file.write(LINE)
    return folder


def tried(copy, module, *tests):
    """Run the tests of the new sampler; return what pytest says in the end."""
    (copy / "dsmote/samplers/halfway.py").write_text(module, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-k", "halfway", "-p", "no:cacheprovider", *tests],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.stdout.splitlines()[-1] if done.stdout else done.stderr


def test_the_promises_are_tested_of_a_new_sampler(copy):
    said = tried(copy, MODULE, *PROMISES)
    assert "failed" not in said, said
    assert "error" not in said, said
    assert int(re.findall(r"(\d+) passed", said)[0]) > 20


def test_a_new_sampler_that_breaks_one_is_noticed(copy):
    broken = MODULE.replace("self.share * draws.gap()", "np.random.random(len(bases))")
    assert broken != MODULE
    assert " failed" in tried(copy, broken, "-x", "tests/unit/test_samplers_companions.py")
