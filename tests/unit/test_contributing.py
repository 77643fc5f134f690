"""What CONTRIBUTING.md says of adding a sampler, done to a copy of the package."""

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

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


def named_broken(text):
    return text.replace("halfway", "broken").replace("Halfway", "Broken")


def test_the_promises_are_tested_of_new_samplers_and_one_that_breaks_them_is_noticed(tmp_path):
    """Two of them: as the section says, and one that draws its own random numbers."""
    for name in ("dsmote", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    broken = MODULE.replace("self.share * draws.gap()", "np.random.random(len(bases))")
    assert broken != MODULE
    package = tmp_path / "dsmote/samplers"
    with (package / "__init__.pyi").open("a", encoding="utf-8") as file:
        file.write(LINE + named_broken(LINE))
    (package / "halfway.py").write_text(MODULE, encoding="utf-8")
    (package / "broken.py").write_text(named_broken(broken), encoding="utf-8")
    chosen = "halfway or broken and companions"
    command = [sys.executable, "-m", "pytest", "-q", "-k", chosen, *PROMISES]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", "--tb=no"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    assert any("broken" in line for line in failed), done.stdout + done.stderr
    assert not any("halfway" in line for line in failed), done.stdout
    assert int(re.findall(r"(\d+) passed", done.stdout)[0]) > 20
