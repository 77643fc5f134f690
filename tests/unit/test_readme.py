"""What the README shows runs as it stands: its Python, its commands, its options, its links."""

import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import jsonschema
import pytest
import yaml

from dsmote.job import load_job
from dsmote.job.spec import job_schema

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHIM = '#!{python}\nfrom dsmote.cli import main\n\nif __name__ == "__main__":\n    main()\n'


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.M | re.S)


def commands() -> list[str]:
    return [line for block in blocks("bash") for line in block.splitlines() if line.strip()]


def environment(folder: Path) -> dict[str, str]:
    """Environment in which `dsmote` is the command of this interpreter, installed or not."""
    scripts = folder / "bin"
    scripts.mkdir()
    if not (Path(sys.executable).parent / "dsmote").exists():
        (scripts / "dsmote").write_text(SHIM.format(python=sys.executable))
        (scripts / "dsmote").chmod(0o755)
    path = [str(scripts), str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    code = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    return os.environ | {
        "PATH": os.pathsep.join(path),
        "PYTHONPATH": os.pathsep.join(filter(None, code)),
        "TMPDIR": str(folder),
    }


def run(command: str | list[str], folder: Path, env: dict[str, str]) -> str:
    done = subprocess.run(
        command,
        shell=isinstance(command, str),
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def run_all(lines: list[str], folder: Path, env: dict[str, str]) -> None:
    for line in lines:
        run(line, folder, env)


def test_set_up_commands() -> None:
    assert "python -m pip install . && dsmote demo" in commands()
    second = 'python -m pip install ".[test]" && python -m pytest -n 2 --dist loadgroup'
    assert second in commands()
    # .ci/run takes this line from the README and runs it.
    assert f"grep -Fx '{second}' README.md" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


@pytest.mark.skipif(sys.platform == "win32", reason="the commands are written for a POSIX shell")
def test_python_and_commands(tmp_path: Path) -> None:
    """All Python in order, as one session, then all commands on the files that it left."""
    env = environment(tmp_path)
    out = run([sys.executable, "-c", "\n".join(blocks("python"))], tmp_path, env)
    assert "SMOTENC" in out
    assert (tmp_path / "payments.parquet").is_file()
    assert list((tmp_path / "balanced").glob("*.parquet"))

    (tmp_path / "job.yaml").write_text(blocks("yaml")[0])
    # Those with pip are run by .ci/run. The README says what `--rows` does; a million rows take too
    # long here.
    small = [
        "dsmote demo --rows 20000" if command == "dsmote demo" else command
        for command in commands()
        if "pip install" not in command
    ]
    assert {"demo", "plan", "resample", "run"} <= {command.split()[1] for command in small}
    # Those of the job file need each other, and no others do: two at a time.
    of_file = [command for command in small if "job.yaml" in command]
    others = [command for command in small if command not in of_file]
    with ThreadPoolExecutor(2) as pool:
        ended = [pool.submit(run_all, part, tmp_path, env) for part in (of_file, others)]
        for future in ended:
            future.result()
    job = json.loads((tmp_path / "payments-balanced" / "_manifest.json").read_text())["job"]
    assert (job["params"]["k_neighbors"], job["if_exists"]) == (7, "replace")
    for name in ("balanced_once", "balanced_half"):
        assert (tmp_path / name / "_SUCCESS").exists()
        assert (tmp_path / name / "_manifest.json").exists()


def test_inline_commands_and_options_exist(tmp_path: Path) -> None:
    env = environment(tmp_path)
    help_texts = {
        name: run(f"dsmote {name} --help", tmp_path, env)
        for name in ("demo", "plan", "resample", "run")
    }
    options = set(re.findall(r"(--[a-z][a-z-]+)", " ".join(re.findall(r"`([^`\n]+)`", README))))
    assert "--overwrite" in options
    for option in sorted(options):
        assert any(option in text for text in help_texts.values()), f"no option {option}"
    assert "dsmote demo --rows 20000" in README


def test_job_file_is_one() -> None:
    (text,) = blocks("yaml")
    jsonschema.Draft202012Validator(job_schema()).validate(yaml.safe_load(text))
    job = load_job(yaml.safe_load(text))
    assert (job.target, job.split.test_fraction) == ("fraud", 0.2)


def test_dask_sub_command(tmp_path: Path) -> None:
    try:
        names = {point.name for point in distribution("dsmote").entry_points}
    except PackageNotFoundError:
        pytest.skip("dsmote is not installed: the dask command finds it by its entry point")
    assert names == {"dsmote"}
    dask = shutil.which("dask", path=str(Path(sys.executable).parent))
    assert dask, "no dask command beside this interpreter"
    assert "resample" in run([dask, "dsmote", "--help"], tmp_path, environment(tmp_path))


def test_links_lead_somewhere() -> None:
    targets = re.findall(r"\]\((?!https?://)([^)#]+)\)", README)
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_tested_versions_are_the_installed_ones() -> None:
    """The line of tested versions names releases not newer than those that are used here."""
    line = README.partition("## Tested with")[2]
    named = dict(re.findall(r"(pandas|NumPy|scikit-learn|SciPy|pyarrow)\s(\d+(?:\.\d+)?)", line))
    assert set(named) == {"pandas", "NumPy", "scikit-learn", "SciPy", "pyarrow"}
    for name, version in named.items():
        installed = [int(part) for part in distribution(name.lower()).version.split(".")[:2]]
        assert installed >= [int(part) for part in version.split(".")], f"{name} {version}"
