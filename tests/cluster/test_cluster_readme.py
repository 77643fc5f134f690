"""What cluster/README.md names exists."""

import re
import shlex

from click.testing import CliRunner

from dsmote.cli import main
from tests.cluster.manifests import CLUSTER

README = (CLUSTER / "README.md").read_text(encoding="utf-8")


def commands() -> list[list[str]]:
    blocks = re.findall(r"^```\n(.*?)^```$", README, flags=re.M | re.S)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.strip()]


def test_links_and_files_exist() -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)\)", README)
    assert len(links) > 8
    assert [link for link in links if not (CLUSTER / link).exists()] == []
    named = {word for command in commands() for word in command if word.startswith("cluster/")}
    assert {"cluster/processes/run.sh", "cluster/docker/compose.yml"} <= named
    assert [name for name in named if not (CLUSTER.parent / name).exists()] == []
    folders = {file.name for file in CLUSTER.iterdir() if file.is_dir()}
    assert set(re.findall(r"^## (\w+)/$", README, flags=re.M)) == folders


def test_units_and_options_exist() -> None:
    units = {
        word.replace("@1", "@").replace("@2", "@")
        for command in commands()
        for word in command
        if word.startswith("dsmote-") and command[0] == "systemctl"
    }
    assert len(units) == 3
    for unit in units:
        name = unit if unit.endswith(".timer") else f"{unit}.service"
        assert (CLUSTER / "systemd" / name).is_file()
    shown = CliRunner().invoke(main, ["resample", "--help"]).output
    used = [command for command in commands() if command[0] == "dsmote"]
    assert len(used) >= 2
    for command in used:
        for option in (word for word in command if word.startswith("--")):
            assert option in shown, option


def test_variables_are_read_where_the_readme_says() -> None:
    files = [
        *(CLUSTER / "processes").glob("*.sh"),
        CLUSTER / "docker" / "compose.yml",
    ]
    text = "".join(file.read_text(encoding="utf-8") for file in files)
    used = {
        word.partition("=")[0]
        for command in commands()
        for word in command
        if re.match(r"^[A-Z_]+=", word)
    }
    assert {"TLS", "MEMORY_LIMIT", "DATA", "JOB", "WORKERS"} <= used
    for name in used | {"HOST", "PORT", "SCHEDULER", "DAYS", "KEEP_CA_KEY"}:
        assert f"${{{name}:-" in text, name
