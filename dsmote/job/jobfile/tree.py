"""A job file as plain data in which every key knows its line.

YAML's tree of nodes is read, not its finished values: only the nodes know lines, keys that are
given twice, and what was written where YAML made a boolean of a word.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.constructor import ConstructorError, SafeConstructor

from dsmote.job.jobfile.mistakes import Mistake
from dsmote.job.jobfile.variables import fill, in_key
from dsmote.job.secrets import MASK

__all__ = ["TRAPPED", "Path", "Place", "Tree", "read_yaml", "trap_of"]

Path = tuple[str, ...]

#: A file that has more keys and values than this, through aliases of aliases, is no job.
MAX_NODES = 10_000
#: Said where a value that must not be shown is not what it looks like.
TRAPPED = f"what the environment gives ({MASK}) is no text for YAML: put the ${{NAME}} in quotes"
TAG = "tag:yaml.org,2002:"
#: Longer ones are no numbers that a job can mean, and Python takes minutes for some of them.
MAX_DIGITS = 1000
_SCALARS = ("str", "int", "float", "bool", "null", "timestamp", "binary")
_LEADING_ZERO = re.compile(r"[-+]?0[0-7_]+")


@dataclass(frozen=True)
class Place:
    """Where a value was given, and how it was written.

    Parameters
    ----------
    where : str
    line : int, optional
    raw : str, optional
        The text of a value without quotes, which YAML may have made something else of.
    secret : bool
        The value came from the environment.
    """

    where: str = ""
    line: int | None = None
    raw: str | None = None
    secret: bool = False


@dataclass
class Tree:
    """Plain data with the place of every key.

    Parameters
    ----------
    value : object
    places : dict of Path to Place
        The path of the whole is empty; positions in a list are written as text.
    mistakes : list of Mistake
    secrets : list of str
        What came from the environment.
    """

    value: Any = None
    places: dict[Path, Place] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)

    def place(self, path: Path) -> Place:
        """Return the place of a key, or of the nearest above it that was given."""
        while path not in self.places and path:
            path = path[:-1]
        return self.places.get(path, Place())

    def mistake(self, path: Path, message: str, key: str | None = None) -> None:
        """Note a mistake at a key."""
        place = self.place(path)
        shown = ".".join(path) if key is None else key
        self.mistakes.append(Mistake(place.where, shown, message, place.line))

    def graft(self, path: Path, other: Tree, place: Place) -> None:
        """Put another tree in the place of what a key holds, making the keys above it.

        Parameters
        ----------
        path : Path
        other : Tree
        place : Place
            Of everything in it.
        """
        self.secrets += other.secrets
        self.mistakes += other.mistakes
        if not isinstance(self.value, dict):
            return  # which is a mistake that has been noted
        target: Any = self.value
        for depth, name in enumerate(path[:-1], 1):
            target = _child(target, name)
            if not isinstance(target, dict | list):
                what = "there is no list item" if target is None else "is neither keys nor a list"
                message = f"{'.'.join(path[:depth])} {what}, so {path[depth]!r} cannot be set in it"
                self.mistakes.append(Mistake(place.where, "", message))
                return
            self.places.setdefault(path[:depth], place)
        if isinstance(target, list):
            if not (path[-1].isdigit() and int(path[-1]) < len(target)):
                message = f"{'.'.join(path[:-1])} is a list of {len(target)}: no item {path[-1]!r}"
                self.mistakes.append(Mistake(place.where, "", message))
                return
            target[int(path[-1])] = other.value
        else:
            target[_same_key(target, path[-1])] = other.value
        size = len(path)
        self.places = {p: at for p, at in self.places.items() if p[:size] != path}
        for inner, at in other.places.items():
            moved = Place(place.where, place.line, at.raw, at.secret)
            self.places[(*path, *inner)] = moved


def _child(target: Any, name: str) -> Any:
    if isinstance(target, list):
        known = name.isdigit() and int(name) < len(target)
        return target[int(name)] if known else None
    key = _same_key(target, name)
    if target.get(key) is None:
        target[key] = {}
    return target[key]


def _same_key(target: dict[Any, Any], name: str) -> Any:
    """Return the key of that text: the labels of a mapping may be numbers."""
    return next((key for key in target if str(key) == name), name)


def read_yaml(text: str, name: str, where: str | None = None) -> Tree:
    r"""Read YAML; what is wrong with it is noted in the tree.

    Parameters
    ----------
    text : str
    name : str
        Of the file, for the places.
    where : str, optional
        The place of everything, instead of lines.

    Returns
    -------
    Tree

    Examples
    --------
    >>> tree = read_yaml("mode: full\nreport: true\n", "job.yaml")
    >>> tree.value, tree.place(("report",)).where
    ({'mode': 'full', 'report': True}, 'job.yaml:2')
    """
    reader = _Reader(name, where)
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is not None:
            reader.tree.value = reader.read(node, (), node)
        elif where is not None:  # nothing is given for a key, which has its place all the same
            reader.tree.places[()] = Place(where)
    except yaml.MarkedYAMLError as error:
        reader.unreadable(error, text)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        reader.note(line, f"a character that YAML does not allow: {error.character!r}")
    except RecursionError:
        reader.note(1, "what is written here nests too deep, or holds itself")
    except (
        ValueError,
        OverflowError,
    ):  # of YAML's own scanner, such as for a character of 8 hex digits
        reader.note(loader.line + 1, "cannot be read as YAML: a number in it is too large")
    return reader.tree


class _Reader:
    def __init__(self, name: str, where: str | None) -> None:
        self.name, self.where, self.tree = name, where, Tree()
        self._constructor = SafeConstructor()
        self._resolver = yaml.resolver.Resolver()
        self._left, self._open = MAX_NODES, set[int]()

    def _place(self, line: int) -> Place:
        if self.where is not None:
            return Place(self.where)
        return Place(f"{self.name}:{line}", line)

    def note(self, line: int, message: str, path: Path = ()) -> None:
        place = self._place(line)
        self.tree.mistakes.append(Mistake(place.where, ".".join(path), message, place.line))

    def unreadable(self, error: yaml.MarkedYAMLError, text: str) -> None:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        said = " ".join(part for part in (error.context, error.problem) if part)
        lines = text.splitlines()
        near = lines[line - 1] if line <= len(lines) else ""
        hint = ""
        if "${" in near:
            hint = "; inside { } and [ ] put ${NAME} in quotes"
        elif "\\t" in repr(near):
            hint = "; YAML takes no tabs: use spaces"
        elif "alias" in said or "start any token" in said:
            hint = "; put a text that begins with a character such as * or @ in quotes"
        self.note(line, f"cannot be read as YAML: {said}{hint}")

    def read(self, node: yaml.Node, path: Path, at: yaml.Node) -> Any:
        """Return what a node holds; `at` is the node whose line is the place."""
        line = at.start_mark.line + 1
        self._left -= 1
        if self._left == 0:
            self.note(line, f"more than {MAX_NODES:,} keys and values, counting aliases")
        if self._left <= 0:
            return None
        self.tree.places[path] = self._place(line)
        if id(node) in self._open:
            self.note(line, "an alias that holds itself", path)
            return None
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path, line)
        if node.tag not in (f"{TAG}map", f"{TAG}seq"):
            self._refuse_tag(node.tag, path, line)
            return None
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, path)
            items = enumerate(node.value)
            return [self.read(item, (*path, str(number)), item) for number, item in items]
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[Any, Any]:
        self._refuse_twice(node, path)
        try:
            self._constructor.flatten_mapping(node)
        except ConstructorError as error:
            mark = error.problem_mark or node.start_mark
            self.note(mark.line + 1, f"a merge (<<) that cannot be: {error.problem}")
        found: dict[Any, Any] = {}
        texts: dict[Any, str] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node, path)
            if key is not None:
                written = texts.setdefault(key, key_node.value)
                if written != key_node.value:  # such as 1 and true, which are equal
                    line, name = key_node.start_mark.line + 1, key_node.value
                    self.note(line, f"the keys {written} and {name} are the same", path)
                found[key] = self.read(value_node, (*path, str(key)), key_node)
        return found

    def _refuse_twice(self, node: yaml.MappingNode, path: Path) -> None:
        lines: dict[str, int] = {}
        for key_node, _ in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == f"{TAG}merge":
                continue
            if key_node.value in lines:
                first = lines[key_node.value]
                also = "" if self.where else f", first in line {first}"
                self.note(line, f"given twice{also}", (*path, key_node.value))
            lines.setdefault(key_node.value, line)

    def _key(self, node: yaml.Node, path: Path) -> Any:
        line = node.start_mark.line + 1
        if not isinstance(node, yaml.ScalarNode):
            self.note(line, "a key must be a word, not a list or a mapping", path)
            return None
        if self._refuse_long(node.value, node.tag, path, line):
            return None
        value = self._constructed(node, node.tag)
        if value is NotImplemented:
            self._refuse_tag(node.tag, path, line)
            return None
        if value is None or isinstance(value, datetime.date | bytes):
            made = "empty" if value is None else "a date" if value else "binary"
            self.note(line, f"the key {node.value!r} is {made} in YAML; put it in quotes", path)
            return None
        trap = trap_of(value, None if node.style else node.value, strict=True)
        if trap:
            self.note(line, trap, path)
            return None
        if isinstance(value, str):
            value, problem = in_key(value)
            if problem:
                self.note(line, problem, (*path, value))
                return None
        return value

    def _scalar(self, node: yaml.ScalarNode, path: Path, line: int) -> Any:
        filled, tag, plain = fill(node.value), node.tag, node.style is None
        for problem in filled.problems:
            self.note(line, problem, path)
        if filled.text != node.value and plain and tag == f"{TAG}str":
            tag = self._resolver.resolve(yaml.ScalarNode, filled.text, (True, False))
        if self._refuse_long(filled.text, tag, path, line):
            return None
        value = self._constructed(yaml.ScalarNode(tag, filled.text, node.start_mark), tag)
        if isinstance(value, bytes) or value is NotImplemented:
            self._refuse_tag(tag, path, line)
            return None
        place, secret = self._place(line), bool(filled.values)
        raw = filled.text if plain else None
        self.tree.places[path] = Place(place.where, place.line, raw, secret)
        trap = trap_of(value, raw, strict=False)
        if trap:
            self.note(line, TRAPPED if secret else trap, path)
        if isinstance(value, str):
            self.tree.secrets += filled.values
        return value

    def _refuse_long(self, text: str, tag: str, path: Path, line: int) -> bool:
        if tag not in (f"{TAG}int", f"{TAG}float") or len(text) <= MAX_DIGITS:
            return False
        self.note(line, f"a number of {len(text):,} digits; put a text in quotes", path)
        return True

    def _refuse_tag(self, tag: str, path: Path, line: int) -> None:
        name = tag.removeprefix(TAG)
        wrong = f"the YAML tag {tag.replace(TAG, '!!')} is not for job files"
        if tag != name and name in _SCALARS and name != "binary":
            wrong = f"is tagged !!{name}, and what is written is none"
        self.note(line, wrong, path)

    def _constructed(self, node: yaml.ScalarNode, tag: str) -> Any:
        if tag not in {TAG + name for name in _SCALARS}:
            return NotImplemented
        node.tag = tag
        try:
            return self._constructor.construct_object(node)
        except Exception:  # YAML's constructors raise what they stumble over
            # A date such as 2024-13-45, which the pattern of dates matches: text, then. What a tag
            # was written for is refused.
            meant = self._resolver.resolve(yaml.ScalarNode, node.value, (True, False))
            return node.value if meant == tag else NotImplemented


def trap_of(value: Any, raw: str | None, *, strict: bool) -> str | None:
    """Say what YAML 1.1 made of a word or number without quotes, where nobody would expect it.

    Parameters
    ----------
    value : object
    raw : str or None
        As it was written, without quotes.
    strict : bool
        It stands where a label or a name is meant, so that ``yes`` is a surprise too.

    Returns
    -------
    str or None

    Examples
    --------
    >>> trap_of(False, "no", strict=True)
    "no without quotes is the boolean false in YAML; write 'no' for the text, or false"
    >>> trap_of(8, "010", strict=False)
    "010 without quotes is the number 8 in YAML; write '010' for the text, or 8"
    """
    if raw is None:
        return None
    became = None
    if isinstance(value, bool):
        if strict and raw.lower() not in ("true", "false"):
            became = f"the boolean {str(value).lower()}"
    elif isinstance(value, int | float):
        surprising = ":" in raw or (isinstance(value, int) and _LEADING_ZERO.fullmatch(raw))
        if surprising or (strict and "_" in raw):
            became = f"the number {value}"
    elif strict and isinstance(value, datetime.date):
        became = "a date"
    if became is None:
        return None
    instead = "" if became == "a date" else f", or {became.rpartition(' ')[2]}"
    return f"{raw} without quotes is {became} in YAML; write {raw!r} for the text{instead}"
