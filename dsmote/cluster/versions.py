"""Whether the same versions are installed here, on the scheduler and on every worker.

What is sent to the other side is in the standard library or in Dask itself, because a worker that
is sent a task it cannot import ends, one worker after the other, and the job waits for ever.
"""

from __future__ import annotations

from pkgutil import resolve_name
from typing import Any

from distributed import Client

from dsmote.plan.labels import listed

__all__ = ["VersionsDiffer", "check_versions", "differences"]

_NAME = __name__.partition(".")[0]
_VERSION = f"{_NAME}:__version__"

#: The same everywhere, to the last number. Parquet files say which pyarrow wrote them, so that a
#: part that is written again by another worker would have other bytes.
EXACT = (_NAME, "dask", "distributed", "pyarrow")

#: The first two numbers are the same everywhere: frames, arrays and code travel as pickles.
TWO_NUMBERS = ("python", "pandas", "numpy")

#: Workers named in a message; of the others it says how many they are.
_NAMED = 3

HERE = "here"


class VersionsDiffer(RuntimeError):
    """The client, the scheduler and the workers do not have the same versions installed."""


def check_versions(client: Client) -> None:
    """Refuse a cluster on which what is installed differs from what is installed here.

    This package, dask, distributed and pyarrow must have the same version everywhere; Python,
    pandas and numpy may differ from the third number on. Dask itself warns about other packages
    that it needs. A worker that joins later is not looked at.

    Parameters
    ----------
    client : distributed.Client

    Raises
    ------
    VersionsDiffer
        It says what differs, and who has which version.

    Examples
    --------
    >>> check_versions(client)  # doctest: +SKIP
    """
    found = differences(_installed(client))
    if found:
        raise VersionsDiffer(found)


def _installed(client: Client) -> dict[str, dict[str, str | None]]:
    """Return version by package by who has it."""
    told: Any = client.get_versions(packages=["pyarrow"])
    # Dask's answer comes from the metadata of what pip or conda installed. This package may also
    # lie in a folder on the path, where there are none, so it is asked itself.
    own = {address: _own(answer) for address, answer in _run(client).items()}
    scheduler: Any = client.scheduler
    found = {
        HERE: _packages(told["client"], resolve_name(_VERSION)),
        f"the scheduler {scheduler.address}": _packages(told["scheduler"], _on_scheduler(client)),
    }
    for address, one in sorted(told["workers"].items()):
        # A worker that was lost in between is not there to be compared.
        if address in own and isinstance(one, dict):
            found[f"worker {address}"] = _packages(one, own[address])
    return found


def _run(client: Client) -> dict[str, Any]:
    answers = client.run(resolve_name, _VERSION, on_error="return")
    return {who: answer for who, answer in answers.items() if not isinstance(answer, OSError)}


def _own(answer: Any) -> str | None:
    return answer if isinstance(answer, str) else None


def _on_scheduler(client: Client) -> str | None:
    try:
        return _own(client.run_on_scheduler(resolve_name, _VERSION))
    except (ImportError, AttributeError):
        return None


def _packages(told: dict[str, Any], own: str | None) -> dict[str, str | None]:
    packages = told["packages"]
    found = {name: packages.get(name) for name in (*EXACT, *TWO_NUMBERS)}
    python = packages.get("python")
    return found | {_NAME: own, "python": python and ".".join(str(python).split(".")[:3])}


def differences(installed: dict[str, dict[str, str | None]]) -> str:
    """Say in words which versions differ, or nothing.

    Parameters
    ----------
    installed : dict
        Version by package by who has it; what is here under ``"here"``. Who agrees with it is not
        in the answer.

    Returns
    -------
    str

    Examples
    --------
    >>> same = dict.fromkeys(("dsmote", "dask", "distributed", "pyarrow", "pandas", "numpy"), "1.0")
    >>> here, there = same | {"python": "3.11.2"}, same | {"python": "3.13.1"}
    >>> print(differences({"here": here, "worker tcp://10.0.0.1:4000": there}))
    the versions differ: python is 3.11.2 here, 3.13.1 on worker tcp://10.0.0.1:4000; install ...
    """
    said, wanted = [], []
    for name in (*EXACT, *TWO_NUMBERS):
        here = installed[HERE].get(name)
        others: dict[str, list[str]] = {}
        for who, packages in installed.items():
            if not _agree(name, packages.get(name), here):
                others.setdefault(_shown(packages.get(name)), []).append(who)
        if others:
            groups = [f"{version} on {_who(names)}" for version, names in others.items()]
            said.append(f"{name} is {_shown(here)} here, {_listed(groups)}")
            wanted.append(_pin(name, here))
    if not said:
        return ""
    return (
        f"the versions differ: {'; '.join(said)}; install there what is here "
        f"({', '.join(wanted)}), or work from an environment like the cluster's"
    )


def _agree(name: str, one: str | None, other: str | None) -> bool:
    if one is None or other is None or name in EXACT:
        return one == other
    return _two(one) == _two(other)


def _shown(version: str | None) -> str:
    return "not installed" if version is None else version


def _two(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _pin(name: str, version: str | None) -> str:
    if name == "python":
        return f"Python {_two(str(version))}"
    return f"no {name}" if version is None else f"{name}=={version}"


def _who(names: list[str]) -> str:
    return listed(names, _NAMED) if len(names) > _NAMED else _listed(names)


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
