"""A job that is given as Python's mappings, lists and values, read as a file would be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dsmote.job.jobfile.tree import Path, Place, Tree
from dsmote.job.jobfile.variables import fill, in_key

__all__ = ["read_value"]


def read_value(value: Any) -> Tree:
    """Read a value of Python's, as a file would be; there are no lines.

    Parameters
    ----------
    value : object
        Mappings, lists, tuples, texts and numbers.

    Returns
    -------
    Tree

    Examples
    --------
    >>> read_value({"split": {"train": ("a",)}}).value
    {'split': {'train': ['a']}}
    """
    tree = Tree()
    tree.value = _plain(value, (), tree)
    return tree


def _plain(value: Any, path: Path, tree: Tree) -> Any:
    tree.places[path] = Place()
    if isinstance(value, Mapping):
        named = {_plain_key(key, path, tree): item for key, item in value.items()}
        return {key: _plain(item, (*path, str(key)), tree) for key, item in named.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, (*path, str(n)), tree) for n, item in enumerate(value)]
    if hasattr(value, "__fspath__"):
        value = str(value)
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()  # a number of NumPy's
    if isinstance(value, str):
        filled = fill(value)
        for problem in filled.problems:
            tree.mistake(path, problem)
        tree.secrets += filled.values
        tree.places[path] = Place(secret=bool(filled.values))
        return filled.text
    return value


def _plain_key(key: Any, path: Path, tree: Tree) -> Any:
    if not isinstance(key, str):
        return key
    name, problem = in_key(key)
    if problem:
        tree.mistake((*path, key), problem)
    return name
