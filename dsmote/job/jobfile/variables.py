"""``${NAME}`` in the values of a job file."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from dsmote.job.secrets import SECRET_NAME

__all__ = ["Filled", "fill", "in_key"]

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_FOUND = re.compile(
    rf"\$\$\{{|\$\{{(?P<name>{_NAME})(?::-(?P<default>[^}}]*))?\}}|(?P<broken>\$\{{)"
)

#: A place, which messages must be able to name; a password in it is masked by itself.
_PLACE = re.compile(r"(~?/|\.{1,2}(/|$)|[A-Za-z][A-Za-z0-9+.-]*://)")


@dataclass(frozen=True)
class Filled:
    """A text with its variables filled in.

    Parameters
    ----------
    text : str
    values : tuple of str
        What came from the environment and must not be shown: all but paths and URLs, and these too
        where the variable's name says that it holds a secret.
    problems : tuple of str
        What could not be filled in, in words.
    """

    text: str
    values: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def fill(text: str) -> Filled:
    """Fill ``${NAME}`` and ``${NAME:-default}`` from the environment; ``$${`` stands for ``${``.

    Parameters
    ----------
    text : str

    Returns
    -------
    Filled

    Examples
    --------
    >>> fill("s3://${NO_SUCH_BUCKET:-lake}/$${x}").text
    's3://lake/${x}'
    >>> fill("${NO_SUCH}").problems
    ('the environment variable NO_SUCH is not set (set it, or give ${NO_SUCH:-default})',)
    """
    values: list[str] = []
    problems: list[str] = []

    def replacement(match: re.Match[str]) -> str:
        name, default = match["name"], match["default"]
        if match["broken"]:
            problems.append(
                "'${' begins a variable such as ${NAME} or ${NAME:-default}; write $${ where "
                "the characters themselves are meant"
            )
            return match[0]
        if name is None:
            return "${"
        if default is not None and "${" in default:
            problems.append(
                f"the default of ${{{name}:-...}} holds another variable, which cannot be: write "
                "it out"
            )
            return match[0]
        found = os.environ.get(name)
        if default is not None and not found:
            return str(default)
        if found is None:
            problems.append(
                f"the environment variable {name} is not set (set it, or give ${{{name}:-default}})"
            )
            return match[0]
        if SECRET_NAME.search(name) or not _PLACE.match(found):
            values.append(found)
        return found

    filled = _FOUND.sub(replacement, text)
    return Filled(filled, tuple(values), tuple(problems))


def in_key(key: str) -> tuple[str, str | None]:
    """Return a key, in which ``$${`` stands for ``${``, and what is wrong with it.

    Parameters
    ----------
    key : str

    Returns
    -------
    str
    str or None

    Examples
    --------
    >>> in_key("$${x}")
    ('${x}', None)
    >>> in_key("${NAME}")[1]
    'variables are filled in values, not in keys; write $${ for the characters themselves'
    """
    if "${" in key.replace("$${", ""):
        return key, (
            "variables are filled in values, not in keys; write $${ for the characters themselves"
        )
    return key.replace("$${", "${"), None
