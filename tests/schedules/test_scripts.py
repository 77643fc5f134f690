"""The scripts that run a job: with retries, by cron, and in a container."""

import re
import signal
import subprocess

import pytest

from tests.cluster.starting import CLUSTER
from tests.schedules.conftest import HOPELESS, SCHEDULE, run, script

RETRY, IN_CONTAINER = SCHEDULE / "retry.sh", CLUSTER / "docker" / "run-job.sh"


def stand_in(folder, *codes):
    """A command that ends with these codes, one after another, and says so."""
    numbered = " ".join(map(str, codes))
    return script(
        folder / "dsmote",
        f'#!/bin/sh\necho "$@" >>"{folder}/calls"\n'
        f'set -- {numbered}\nshift $(($(wc -l <"{folder}/calls") - 1))\n'
        'echo "ends with $1"\nexit "$1"\n',
    )


@pytest.mark.parametrize(
    ("program", "codes", "expected"),
    [
        (RETRY, (0,), 0),
        (RETRY, (3,), 0),
        *((RETRY, (code,), code) for code in (2, 4, 5)),
        (RETRY, (1, 137, 0), 0),
        (RETRY, (1, 4), 4),
        (RETRY, (1, 1, 1, 1), 1),
        (IN_CONTAINER, (3,), 0),
        *((IN_CONTAINER, (code,), code) for code in (0, 1, 2, 4, 5, 130)),
    ],
)
def test_exit_codes(program, codes, expected, night, tmp_path):
    env = night.environment(DSMOTE=stand_in(tmp_path, *codes), WAIT=0)
    code, said = run([program, night.job, "--set", "a=b c"], env, tmp_path)
    assert code == expected, said
    called = (tmp_path / "calls").read_text().splitlines()
    assert called == [f"run {night.job} --set a=b c"] * len(codes)
    assert said.count("retry.sh: try ") == len(codes) - 1


@pytest.mark.parametrize("program", [RETRY, IN_CONTAINER], ids=lambda file: file.name)
def test_a_signal_is_passed_on_and_the_job_waited_for(program, night, tmp_path):
    """The job clears up before the container may end.

    The script has no `$(...)`: bash may lose a signal that comes while it reads one.
    """
    command = script(
        tmp_path / "dsmote",
        "#!/bin/bash\ntrap 'trap \"\" TERM; sleep 0.5; echo cleared; exit 130' TERM\n"
        "{ echo ready; for _ in {1..300}; do sleep 0.1; done; }\n",
    )
    process = subprocess.Popen(
        [program, night.job],
        env=night.environment(DSMOTE=command),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.terminate()
    out, _ = process.communicate(timeout=20)
    assert (process.returncode, out) == (130, "cleared\n")


def test_a_signal_while_the_next_try_is_waited_for(night, tmp_path):
    """Nothing is left: the fixture looks."""
    env = night.environment(DSMOTE=stand_in(tmp_path, 1), WAIT=60)
    with subprocess.Popen(
        [RETRY, night.job], env=env, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert "the next in 60 s" in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 130


@pytest.mark.parametrize(("program", "at"), [(RETRY, 1), (RETRY, 2), (IN_CONTAINER, 1)])
def test_a_signal_while_the_job_starts(program, at, night, tmp_path):
    """It may come before the script has learnt the job's number, at the first try or the second."""
    command = script(
        tmp_path / "dsmote",
        f'#!/bin/bash\necho >>"{tmp_path}/calls"\n'
        f'[ "$(wc -l <"{tmp_path}/calls")" -ge {at} ] || exit 1\n'
        "trap 'trap \"\" TERM; echo cleared; exit 130' TERM\n"
        "{ kill -TERM $PPID; for _ in {1..50}; do sleep 0.1; done; }\n",
    )
    env = night.environment(DSMOTE=command, WAIT=0)
    for _ in range(4):
        (tmp_path / "calls").unlink(missing_ok=True)
        code, said = run([program, night.job], env, tmp_path)
        assert (code, said.splitlines()[-1]) == (130, "cleared")


def cron_line(night):
    """The command of the cron file, with this night's paths."""
    text = (SCHEDULE / "dsmote.cron").read_text()
    assert set(re.findall(r"^(\w+)=", text, flags=re.M)) == {"MAILTO", "DSMOTE", "LAKE"}
    (line,) = [row for row in text.splitlines() if re.match(r"[\d*]", row)]
    *times, user, command = line.split(maxsplit=6)
    assert len(times) == 5
    assert all(re.fullmatch(r"[\d*/,-]+", time) for time in times)
    assert user == "dsmote"
    assert "%" not in command, "cron takes it for the end of the line"
    for path, own in (
        ("/opt/dsmote/retry.sh", RETRY),
        ("/etc/dsmote/nightly.yaml", night.job),
        ("/var/log/dsmote", night.folder),
    ):
        assert path in command
        command = command.replace(path, str(own))
    return ["/bin/sh", "-c", command]


@pytest.mark.parametrize(("codes", "mailed"), [((1, 3), False), ((2,), True)])
def test_cron_line(night, tmp_path, codes, mailed):
    """It runs the job file with retries, says nothing when all went well, and mails a failure."""
    env = night.environment(DSMOTE=stand_in(tmp_path, *codes), WAIT=0)
    code, mail = run(cron_line(night), env, tmp_path)
    assert (code, "ends with 2" in mail, night.calls()) == (0, mailed, len(codes)), mail
    assert mailed or mail == ""


@pytest.mark.slow  # with a stand-in for the command above
def test_cron(night, tmp_path):
    """Done at the second try, skipped the next night, and a mistake is mailed after one try."""
    env = night.environment(ARRIVES=2, WAIT=0)
    assert run(cron_line(night), env, tmp_path) == (0, "")
    assert night.calls() == 2
    night.check_output()
    before = night.files()
    assert run(cron_line(night), env, tmp_path) == (0, "")
    assert night.calls() == 1
    with night.edited(HOPELESS[0][0]):
        code, mail = run(cron_line(night), env, tmp_path)
    assert (code, night.calls()) == (0, 1)
    assert "taget" in mail
    assert night.files() == before
