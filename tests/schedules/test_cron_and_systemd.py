"""Cron's line and the retries that it lacks; systemd's units."""

import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.schedules.night import HOPELESS, SCHEDULE, Night, run, wait_until


def stand_in(folder: Path, *codes: int) -> Path:
    """A command that ends with these codes, one after another."""
    file = folder / "stand-in"
    numbered = " ".join(map(str, codes))
    file.write_text(
        f'#!/bin/sh\necho "$@" >>"{folder}/calls"\n'
        f'set -- {numbered}\nshift $(($(wc -l <"{folder}/calls") - 1))\nexit "$1"\n'
    )
    file.chmod(0o755)
    return file


@pytest.mark.parametrize(
    ("codes", "expected", "tries"),
    [
        ((0,), 0, 1),
        ((3,), 0, 1),
        ((2,), 2, 1),
        ((4,), 4, 1),
        ((5,), 5, 1),
        ((1, 137, 0), 0, 3),
        ((1, 4), 4, 2),
        ((1, 1, 1, 1), 1, 4),
    ],
)
def test_retry_script(
    codes: tuple[int, ...], expected: int, tries: int, night: Night, tmp_path: Path
) -> None:
    env = night.environment(DSMOTE=str(stand_in(tmp_path, *codes)), WAIT="0")
    code, said = run([SCHEDULE / "retry.sh", night.job, "--set", "report=false"], env, tmp_path)
    assert code == expected, said
    assert (tmp_path / "calls").read_text().splitlines() == [
        f"run {night.job} --set report=false"
    ] * tries
    assert said.count("retry.sh: try ") == tries - 1


def test_retry_script_passes_a_signal_on(night: Night, tmp_path: Path) -> None:
    """Whether the job runs or the next try is waited for: nothing is left (the fixture looks)."""
    command = tmp_path / "asleep"
    command.write_text(
        f'#!/bin/sh\ntouch "{tmp_path}/started"\n[ -n "$FAST" ] || exec sleep 60\nexit 1\n'
    )
    command.chmod(0o755)
    for env in ({}, {"FAST": "1"}):
        process = subprocess.Popen(
            [str(SCHEDULE / "retry.sh"), str(night.job)],
            env=night.environment(DSMOTE=str(command), WAIT="60", **env),
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_until(lambda: (tmp_path / "started").exists(), "the command runs")
        if env:
            assert "the next in 60 s" in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 130
        process.stderr.close()
        (tmp_path / "started").unlink()


def test_retry_script_passes_on_a_signal_that_comes_while_the_job_starts(
    night: Night, tmp_path: Path
) -> None:
    """It may come before the script has learnt the job's number, at the first try or the second."""
    command = tmp_path / "impatient"
    command.write_text(
        f'#!/bin/bash\necho >>"{tmp_path}/calls"\n'
        f'[ "$(wc -l <"{tmp_path}/calls")" -ge "$AT" ] || exit 1\n'
        "trap 'trap \"\" TERM; echo cleared; exit 130' TERM\n"
        "{ kill -TERM $PPID; for _ in {1..50}; do sleep 0.1; done; }\n"
    )
    command.chmod(0o755)
    for at in (1, 2) * 2:
        (tmp_path / "calls").unlink(missing_ok=True)
        env = night.environment(DSMOTE=str(command), WAIT="0", AT=str(at))
        code, said = run([SCHEDULE / "retry.sh", night.job], env, tmp_path)
        assert (code, said.splitlines()[-1]) == (130, "cleared")


def cron_line(night: Night) -> tuple[str, dict[str, str]]:
    """The command of the cron file, with this night's paths, and the variables set in it."""
    text = (SCHEDULE / "dsmote.cron").read_text()
    variables = dict(re.findall(r"^(\w+)=(.*)$", text, flags=re.M))
    (line,) = [row for row in text.splitlines() if re.match(r"[\d*]", row)]
    *times, user, command = line.split(maxsplit=6)
    assert len(times) == 5
    assert all(re.fullmatch(r"[\d*/,-]+", time) for time in times)
    assert user == "dsmote"
    assert "%" not in command, "cron takes it for the end of the line"
    for path, own in (
        ("/opt/dsmote/retry.sh", SCHEDULE / "retry.sh"),
        ("/etc/dsmote/nightly.yaml", night.job),
        ("/var/log/dsmote", night.folder),
    ):
        assert path in command
        command = command.replace(path, str(own))
    assert set(variables) == {"MAILTO", "DSMOTE", "LAKE"}
    return command, variables


def test_cron_line(night: Night, tmp_path: Path) -> None:
    """It runs the job file with retries, says nothing when all went well, and mails a failure."""
    command, _ = cron_line(night)
    for codes, tries in (((1, 3), 2), ((2,), 1)):
        env = night.environment(DSMOTE=str(stand_in(tmp_path, *codes)), WAIT="0")
        code, mail = run(["/bin/sh", "-c", command], env, tmp_path)
        assert code == 0
        assert (mail == "") == (codes[-1] == 3), mail
        assert night.calls() == tries


@pytest.mark.slow  # with a stand-in for the command above
def test_cron(night: Night, tmp_path: Path) -> None:
    """Done at the second try, skipped the next night, and a mistake is mailed after one try."""
    command, _ = cron_line(night)
    env = night.environment(ARRIVES="2", WAIT="0")
    assert run(["/bin/sh", "-c", command], env, tmp_path) == (0, "")
    assert night.calls() == 2
    night.check_output()

    before = night.files()
    assert run(["/bin/sh", "-c", command], env, tmp_path) == (0, "")
    assert night.calls() == 1
    assert night.files() == before

    changes, _ = HOPELESS[0]
    with night.edited(changes):
        code, mail = run(["/bin/sh", "-c", command], env, tmp_path)
    assert (code, night.calls()) == (0, 1)
    assert "taget" in mail
    assert night.files() == before


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze")
def test_systemd_units(night: Night, tmp_path: Path) -> None:
    """Systemd reads every line of them, and the codes are those that the job ends with."""
    names = ("dsmote-nightly.service", "dsmote-nightly.timer")
    for name in names:
        text = (SCHEDULE / name).read_text().replace("/opt/dsmote/bin/dsmote", str(night.dsmote))
        (tmp_path / name).write_text(text.replace("User=dsmote", "User=root"))
    verify = ["systemd-analyze", "verify", "--man=no", *(tmp_path / name for name in names)]
    code, said = run(verify, night.environment(), tmp_path)
    about = [line for line in said.splitlines() if "dsmote-nightly" in line]
    assert (code, about) == (0, []), said

    unit = (SCHEDULE / names[0]).read_text()
    settings = dict(re.findall(r"^(\w+)=(.*)$", unit, flags=re.M))
    assert settings["SuccessExitStatus"] == "3"
    assert settings["RestartPreventExitStatus"] == "2 4 5"
    assert settings["Restart"] == "on-failure"
    assert int(settings["StartLimitBurst"]) == 4
