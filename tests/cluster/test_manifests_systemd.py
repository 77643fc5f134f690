"""Units, held against systemd itself."""

import re
import shutil
import subprocess
from pathlib import Path

from tests.cluster.manifests import CLUSTER, missing, unit
from tests.cluster.starting import ROOT

UNITS = sorted(
    file for file in (CLUSTER / "systemd").iterdir() if file.suffix in (".service", ".timer")
)


def verified(folder: Path) -> str:
    program = shutil.which("systemd-analyze")
    if program is None:
        missing("no systemd-analyze here")
    names = sorted(file.name.replace("@", "@1") for file in folder.iterdir())
    done = subprocess.run(
        [program, "verify", *(str(folder / name) for name in names)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    mine = [line for line in (done.stdout + done.stderr).splitlines() if "dsmote" in line]
    return "\n".join(mine) + ("" if done.returncode == 0 else f"exit {done.returncode}")


def units_in(folder: Path) -> Path:
    folder.mkdir()
    for file in UNITS:
        # A program that is there, in place of one that is where dsmote is installed.
        text = re.sub(r"/opt/dsmote/bin/\w+", shutil.which("true") or "/bin/true", file.read_text())
        (folder / file.name).write_text(text)
    return folder


def test_units_are_valid(tmp_path: Path) -> None:
    assert [file.name for file in UNITS] == [
        "dsmote-nightly.service",
        "dsmote-nightly.timer",
        "dsmote-scheduler.service",
        "dsmote-worker@.service",
    ]
    folder = units_in(tmp_path / "units")
    assert verified(folder) == ""
    broken = folder / "dsmote-nightly.service"
    broken.write_text(broken.read_text().replace("SuccessExitStatus=3", "SuccesExitStatus=3"))
    assert "SuccesExitStatus" in verified(folder)


def test_nightly_unit_knows_the_exit_codes() -> None:
    service = unit("dsmote-nightly.service")["Service"]
    assert service["SuccessExitStatus"] == "3"
    assert service["Restart"] == "on-failure"
    assert service["RestartPreventExitStatus"].split() == ["2", "4", "5"]
    assert service["ExecStart"] == "/opt/dsmote/bin/dsmote run /etc/dsmote/job.yaml"
    # However long each try takes, they end, and before the next night.
    for file in (CLUSTER / "systemd", ROOT / "examples" / "schedule"):
        text = (file / "dsmote-nightly.service").read_text()
        (tries,) = map(int, re.findall(r"^StartLimitBurst=(\d+)$", text, flags=re.M))
        hours = [
            int(re.findall(rf"^{name}=(\d+)h$", text, flags=re.M)[0])
            for name in ("TimeoutStartSec", "StartLimitIntervalSec")
        ]
        assert tries > 1
        assert tries * (hours[0] + 0.1) < hours[1] < 24
    users = {unit(file.name)["Service"]["User"] for file in UNITS if file.suffix == ".service"}
    assert users == {"dsmote"}
