"""What README and site show runs as it stands: their Python, commands, options, links, numbers."""

import contextlib
import io
import json
import re
import shlex
import warnings
from collections import Counter
from importlib.metadata import distribution
from pathlib import Path

import jsonschema
import pytest
import yaml
from click.testing import CliRunner

import dsmote
from dsmote.cli import main
from dsmote.job import load_job
from dsmote.job.spec import job_schema
from dsmote.samplers.registry import class_names

ROOT = Path(__file__).resolve().parents[2]
#: The README has examples of its own; the pages of the site go on from the first one.
README, START = "README.md", "docs/start.md"
PAGES = {
    file.relative_to(ROOT).as_posix(): file.read_text(encoding="utf-8")
    for file in [ROOT / README, *sorted((ROOT / "docs").rglob("*.md"))]
    if "_build" not in file.parts
}
BLOCK = re.compile(r"^```(python|bash|yaml)\n(.*?)^```$", flags=re.M | re.S)
SITE = 'python -m pip install ".[docs]" && python -m sphinx -W docs docs/_build'


def commands(page):
    found = [text for language, text in BLOCK.findall(PAGES[page]) if language == "bash"]
    return [line for text in found for line in text.splitlines() if line.strip()]


def test_set_up_commands():
    assert "python -m pip install . && dsmote demo" in commands(README)
    second = 'python -m pip install ".[test]" && python -m pytest -n 2 --dist loadgroup'
    assert second in commands(README)
    # .ci/run takes this line from the README and runs it, and that of the site from CONTRIBUTING.
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert f"grep -Fx '{second}' README.md" in ci
    assert f"grep -Fx '{SITE}' CONTRIBUTING.md" in ci
    assert f"\n{SITE}\n" in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_the_readme_is_short():
    assert len(PAGES[README].splitlines()) <= 150


def call(command):
    """Run a command as a shell would split it, and return what it prints."""
    name, *arguments = shlex.split(command)
    assert name == "dsmote"
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, f"{command}\n{result.output}"
    return result.stdout


def follow(page, names):
    """Do what a page shows, in order, in the folder that is there; return what its Python prints.

    Those with pip are run by .ci/run. A million rows, which the pages say how to change, and
    workers as processes, which tests/job starts, take too long here.
    """
    printed = io.StringIO()
    for language, text in BLOCK.findall(PAGES[page]):
        if language == "yaml":
            Path("job.yaml").write_text(re.sub(r"^cluster:.*\n", "", text, flags=re.M))
        elif language == "bash":
            for line in filter(None, text.splitlines()):
                command = line.partition(" && ")[2] if "pip install" in line else line
                if command.startswith("dsmote "):
                    command = "dsmote demo --rows 20000" if command == "dsmote demo" else command
                    printed.write(call(command))
        else:
            with contextlib.redirect_stdout(printed), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                exec(compile(text, page, "exec"), names)
    return printed.getvalue()


@pytest.fixture(scope="module")
def followed(tmp_path_factory):
    """Return the folder in which the first page of the site was followed, and its Python's names.

    Its other pages go on from there.
    """
    folder, names = tmp_path_factory.mktemp("pages"), {"__name__": "start"}
    with contextlib.chdir(folder):
        assert "SMOTENC" in follow(START, names)
    return folder, names


def test_readme(tmp_path):
    with contextlib.chdir(tmp_path):
        assert "SMOTENC" in follow(README, {"__name__": "readme"})
    assert (tmp_path / "balanced/_SUCCESS").exists()


SHOWING = sorted(page for page in PAGES if BLOCK.search(PAGES[page]) and page != README)


@pytest.mark.parametrize("page", [page for page in SHOWING if page != START])
def test_page(page, followed):
    folder, names = followed
    with contextlib.chdir(folder):
        follow(page, {**names, "__name__": page})
    if page == "docs/guide/jobs.md":
        job = json.loads((folder / ".payments-balanced.dsmote/manifest.json").read_text())["job"]
        assert (job["params"]["k_neighbors"], job["if_exists"]) == (7, "replace")


def test_pages_that_show_something():
    """None is lost by another way to write a block."""
    assert {START, "docs/guide/arrays.md", "docs/guide/dask.md", "docs/guide/jobs.md"} < {*SHOWING}
    fences = [text.count("\n```") for text in PAGES.values()]
    assert all(count % 2 == 0 for count in fences)
    # What is shown without being run has no language of a program.
    for page, text in PAGES.items():
        known = ("python", "bash", "yaml", "text")
        languages = re.findall(r"^```(\S+)(?=[^`]*^```$)", text, flags=re.M)
        odd = [each for each in languages if each not in known and each[0] != "{"]
        assert odd == [], page


def test_inline_commands_and_options_exist():
    help_texts = [call(f"dsmote {name} --help") for name in main.commands]
    inline = [" ".join(re.findall(r"`([^`\n]+)`", text)) for text in PAGES.values()]
    options = set(re.findall(r"(?<![\w-])(--[a-z][a-z-]+)", " ".join(inline)))
    assert "--overwrite" in options
    for option in sorted(options):
        assert any(option in text for text in help_texts), f"no option {option}"
    shown = set(re.findall(r"`dsmote ([a-z]+)", " ".join(PAGES.values())))
    assert shown <= set(main.commands)
    assert "dsmote demo --rows 20000" in PAGES[README]


def test_job_files_are_ones():
    texts = [
        text for page in PAGES.values() for kind, text in BLOCK.findall(page) if kind == "yaml"
    ]
    jobs = []
    for text in texts:
        jsonschema.Draft202012Validator(job_schema()).validate(yaml.safe_load(text))
        jobs.append(load_job(yaml.safe_load(text)))
    assert ("fraud", 0.2) in [(job.target, job.split and job.split.test_fraction) for job in jobs]


def test_links_lead_somewhere():
    """Sphinx looks at those of the site."""
    readme = PAGES[README]
    targets = re.findall(r"\]\((?!https?://)([^)#]+)\)", readme)
    targets += re.findall(r"""src(?:set)?="([^"]+)\"""", readme)
    assert len(targets) > 5
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_nothing_is_said_twice():
    """No paragraph, row of a table or line of a program stands in two places."""
    said = Counter()
    for text in PAGES.values():
        for part in re.split(r"\n\n|(?<=\|)\n", re.sub(r"<[^>]+>", "", text)):
            said[" ".join(part.split())] += 1
    assert [part for part, times in said.items() if times > 1 and len(part) > 90] == []


def test_every_sampler_is_in_the_table_of_samplers():
    table = PAGES["docs/which_sampler.md"].partition("## All of them")[2]
    named = set(re.findall(r"^\| (`.*?`) \|", table, flags=re.M))
    assert {*re.findall(r"`(\w+)`", " ".join(named))} == {*class_names().values()}


def test_reference_gallery_and_papers_have_every_name(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    import shown

    listed = set(re.findall(r"^   (\w+)$", shown.reference(), flags=re.M))
    assert listed == {*dsmote.__all__} - {"__version__"}
    assert [name for name in listed if not getattr(dsmote, name).__doc__] == []
    examples = [text for name, text in shown.examples().items() if name.endswith(".py")]
    assert len(examples) == len(class_names())
    for text, kind in zip(examples, class_names().values(), strict=True):
        compile(text, kind, "exec")
        assert f"sampler = {kind}(" in text
    papers = shown.papers()
    lacking = [kind for kind in class_names().values() if f"dsmote.{kind}`" not in papers]
    assert lacking == ["ClusterCentroids"]  # nobody wrote one


def test_pages_say_something_in_the_repository_too(monkeypatch):
    """Below a comment that the site fills is a link to what it is filled with."""
    monkeypatch.syspath_prepend(ROOT / "docs")
    import shown

    filled = set()
    for page, text in PAGES.items():
        for name in re.findall(r"<!-- shown here: (.+) -->", text):
            below = re.search(f"<!-- shown here: {re.escape(name)} -->\n((?:.+\n)+)", text)
            assert below, f"{page} says nothing in the place of {name}"
            links = re.findall(r"\]\((?!http)([^)#]+)", below[1])
            assert links, f"{page} does not lead to {name}"
            assert all((ROOT / page).parent.joinpath(link).exists() for link in links), page
            site = shown.filled(text)
            assert shown.SHOWN[name]().strip() in site and below[1] not in site
            assert "<!-- shown" not in site and len(site.splitlines()) > len(text.splitlines()) - 3
            filled.add(name)
    assert filled == {*shown.SHOWN}


def test_the_first_screen_has_the_numbers_of_the_benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    import first_figure

    bars = [bar for group in first_figure.numbers().values() for bar in group]
    for theme in first_figure.THEMES:
        svg = (ROOT / f"docs/figures/first-{theme}.svg").read_text(encoding="utf-8")
        assert len(svg) < 200_000
        for name, seconds, memory in bars:
            assert f">{name}<" in svg
            assert f"{seconds:.1f} s, {memory}<" in svg
    table = PAGES["docs/benchmarks.md"]
    assert re.search(r"^ +10 +10\.00 +83,235,800 .* 119\.8 .* 512 ", table, flags=re.M)
    first = " ".join(PAGES[README].split("<picture>")[0].split())
    assert "83 million rows (10 GiB) resampled in two minutes by two workers of 512 MiB" in first


def test_tested_versions_are_the_installed_ones():
    """The line of tested versions names releases not newer than those that are used here."""
    line = PAGES[README].partition("Tested with")[2]
    named = dict(re.findall(r"(pandas|NumPy|scikit-learn|SciPy|pyarrow)\s(\d+(?:\.\d+)?)", line))
    assert set(named) == {"pandas", "NumPy", "scikit-learn", "SciPy", "pyarrow"}
    for name, version in named.items():
        installed = [int(part) for part in distribution(name.lower()).version.split(".")[:2]]
        assert installed >= [int(part) for part in version.split(".")], f"{name} {version}"
