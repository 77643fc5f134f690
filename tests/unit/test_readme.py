"""What the README shows runs as it stands: its Python, its commands, its options, its links."""

import contextlib
import io
import json
import re
import shlex
import warnings
from importlib.metadata import distribution
from pathlib import Path

import jsonschema
import yaml
from click.testing import CliRunner

from dsmote.cli import main
from dsmote.job import load_job
from dsmote.job.spec import job_schema

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.M | re.S)


def commands():
    return [line for block in blocks("bash") for line in block.splitlines() if line.strip()]


def test_set_up_commands():
    assert "python -m pip install . && dsmote demo" in commands()
    second = 'python -m pip install ".[test]" && python -m pytest -n 2 --dist loadgroup'
    assert second in commands()
    # .ci/run takes this line from the README and runs it.
    assert f"grep -Fx '{second}' README.md" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def call(command):
    """Run a command as a shell would split it, and return what it prints."""
    name, *arguments = shlex.split(command)
    assert name == "dsmote"
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, f"{command}\n{result.output}"
    return result.stdout


def test_python_and_commands(tmp_path, monkeypatch):
    """All Python in order, as one session, then all commands on the files that it left."""
    monkeypatch.chdir(tmp_path)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shown = "\n".join(blocks("python")).replace("20_000", "5_000")  # rows
        exec(shown, {"__name__": "readme"})
    assert "SMOTENC" in printed.getvalue()
    assert (tmp_path / "payments.parquet").is_file()
    assert list((tmp_path / "balanced").glob("*.parquet"))

    (tmp_path / "job.yaml").write_text(blocks("yaml")[0].replace("n_workers: 2", "n_workers: 1"))
    # Those with pip are run by .ci/run. The README says what `--rows` does; a million rows take too
    # long here.
    shown = [command for command in commands() if "pip install" not in command]
    assert {"demo", "plan", "resample", "run"} <= {command.split()[1] for command in shown}
    for command in shown:
        call("dsmote demo --rows 5000" if command == "dsmote demo" else command)
    job = json.loads((tmp_path / ".payments-balanced.dsmote/manifest.json").read_text())["job"]
    assert (job["params"]["k_neighbors"], job["if_exists"]) == (7, "replace")
    for name in ("balanced_once", "balanced_half"):
        assert (tmp_path / name / "_SUCCESS").exists()
        assert (tmp_path / f".{name}.dsmote/manifest.json").exists()


def test_inline_commands_and_options_exist():
    help_texts = [call(f"dsmote {name} --help") for name in ("demo", "plan", "resample", "run")]
    options = set(re.findall(r"(--[a-z][a-z-]+)", " ".join(re.findall(r"`([^`\n]+)`", README))))
    assert "--overwrite" in options
    for option in sorted(options):
        assert any(option in text for text in help_texts), f"no option {option}"
    assert "dsmote demo --rows 20000" in README


def test_job_file_is_one():
    (text,) = blocks("yaml")
    jsonschema.Draft202012Validator(job_schema()).validate(yaml.safe_load(text))
    job = load_job(yaml.safe_load(text))
    assert (job.target, job.split.test_fraction) == ("fraud", 0.2)


def test_links_lead_somewhere():
    targets = re.findall(r"\]\((?!https?://)([^)#]+)\)", README)
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_tested_versions_are_the_installed_ones():
    """The line of tested versions names releases not newer than those that are used here."""
    line = README.partition("## Tested with")[2]
    named = dict(re.findall(r"(pandas|NumPy|scikit-learn|SciPy|pyarrow)\s(\d+(?:\.\d+)?)", line))
    assert set(named) == {"pandas", "NumPy", "scikit-learn", "SciPy", "pyarrow"}
    for name, version in named.items():
        installed = [int(part) for part in distribution(name.lower()).version.split(".")[:2]]
        assert installed >= [int(part) for part in version.split(".")], f"{name} {version}"
