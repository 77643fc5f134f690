"""Read a job file, or a mapping, and what is set over it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from dsmote.job.files import clear_errors
from dsmote.job.jobfile.check import Checked, check
from dsmote.job.jobfile.mistakes import JobFileError, Mistake
from dsmote.job.jobfile.tree import Place, Tree, read_yaml
from dsmote.job.jobfile.values import read_value

__all__ = ["Override", "load_job", "override", "set_key"]

#: A key with those above it, its value as a tree, and the option that gave it.
Override = tuple[tuple[str, ...], Tree, str]

MAX_BYTES = 1_000_000


def set_key(text: str) -> Override:
    """Read ``key=value`` as ``--set`` takes it; the value is YAML.

    Parameters
    ----------
    text : str
        Such as ``"params.k_neighbors=7"``.

    Returns
    -------
    Override

    Raises
    ------
    ValueError
        It is not ``key=value``.

    Examples
    --------
    >>> path, tree, option = set_key("params.carry=[id, day]")
    >>> path, tree.value, option
    (('params', 'carry'), ['id', 'day'], '--set params.carry')
    """
    key, equals, value = text.partition("=")
    path = tuple(part.strip() for part in key.split("."))
    if not equals or not all(path):
        raise ValueError(f"{text!r} is not key=value, such as params.k_neighbors=7")
    option = f"--set {'.'.join(path)}"
    return path, read_yaml(value, option, where=option), option


def override(key: str, value: Any, option: str | None = None) -> Override:
    """Return a value to set, as it is.

    Parameters
    ----------
    key : str
        Such as ``"params.k_neighbors"``.
    value : object
    option : str, optional
        What gave it, for messages.

    Returns
    -------
    Override
    """
    tree = read_value(value)
    return tuple(key.split(".")), tree, f"overrides {key}" if option is None else option


def load_job(source: Any, overrides: Sequence[Override] = ()) -> Checked:
    """Read and check a job.

    Parameters
    ----------
    source : str, path or mapping
        A YAML file, or a mapping of the same keys.
    overrides : sequence of Override
        Set over it in this order.

    Returns
    -------
    Checked

    Raises
    ------
    JobFileError
        It lists every mistake.
    FileNotFoundError, PermissionError, OSError
        The file cannot be read.

    Examples
    --------
    >>> load_job({"input": "a.parquet", "output": "b", "target": "y"}).spec.sampler
    'auto'
    """
    if isinstance(source, Mapping):
        name, tree = "the job", read_value(source)
    else:
        name = os.fspath(source)
        tree = _read_file(name)
        if tree.value is None and not tree.mistakes:
            tree.value = {}  # an empty file: what is required lacks, unless it is set
            tree.places = {(): Place(f"{name}:1", 1)}
    for path, other, option in overrides:
        tree.graft(path, other, Place(option))
    return check(tree, name)


def _read_file(name: str) -> Tree:
    with clear_errors("read", name):
        if os.path.isdir(name):
            raise IsADirectoryError(f"{name} is a folder: name the job file")
        with open(name, "rb") as handle:
            data = handle.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise JobFileError(name, [Mistake(name, "", "larger than 1 MB: this is no job file")])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        where = f"{name}:{line}"
        raise JobFileError(name, [Mistake(where, "", "is not UTF-8 text", line)]) from None
    return read_yaml(text, name)
