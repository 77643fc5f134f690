"""YAML, options and Python's values as plain data, with the place of every key and of every error.

What the keys mean is not known here: that is the model's (:mod:`dsmote.job.spec`).
"""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dsmote.job.logs import SECRET_NAME, Secrets
from dsmote.samplers.registry import near

if TYPE_CHECKING:
    from pydantic import ValidationError

__all__ = ["JobFileError", "LineError", "Reader", "Setting", "plain", "set_key"]

Path = tuple[str, ...]

MAX_BYTES = 1_000_000
#: More than any job has. Aliases may hold aliases, and themselves.
MAX_NODES = 10_000
MAX_DEPTH = 20
#: Characters of a message that are printed; a key of the file may have any number.
MAX_MESSAGE = 1000
TAG = "tag:yaml.org,2002:"
_VARIABLE = re.compile(
    r"\$\$\{|\$\{(?:(?P<name>[A-Za-z_]\w*)(?::-(?P<default>[^}]*))?\})?", re.ASCII
)
#: A path or URL, which messages must be able to name; a password in it is masked by itself.
_LOCATION = re.compile(r"(~?/|\.{1,2}(/|$)|[A-Za-z][A-Za-z0-9+.-]*://)")


@dataclass(frozen=True)
class LineError:
    """One error, its place (a line of the file, or an option) and its key with those above it."""

    where: str
    key: str
    message: str
    line: int | None = None

    def __str__(self) -> str:
        # The place of an option is the option, which names the key already.
        key = "" if self.where and self.line is None else self.key
        parts = [part for part in (self.where, key, self.message) if part]
        return ": ".join(
            part if len(part) <= MAX_MESSAGE else f"{part[:MAX_MESSAGE]} ..." for part in parts
        )


class JobFileError(ValueError):
    """A job with at least one error: a file, a mapping of the same keys, or a `JobSpec`.

    Parameters
    ----------
    name : str
        The file.
    errors : sequence of LineError

    Attributes
    ----------
    errors : tuple of LineError
        All of them; the message has the first 20.

    Examples
    --------
    >>> print(JobFileError("job.yaml", [LineError("job.yaml:3", "mode", "must be 'full'", 3)]))
    job.yaml has 1 error:
      job.yaml:3: mode: must be 'full'
    """

    def __init__(self, name: str, errors: Sequence[LineError]) -> None:
        from dsmote.plan.labels import first  # help texts do without pandas

        self.name, self.errors = name, tuple(errors)
        count = len(self.errors)
        lines = [f"{name} has {count} error{'s' if count != 1 else ''}:"]
        super().__init__("\n  ".join([*lines, *first(map(str, self.errors))]))

    def __reduce__(self) -> tuple[type, tuple[str, tuple[LineError, ...]]]:
        return type(self), (self.name, self.errors)


@dataclass(frozen=True)
class Setting:
    """A value to set over those of a file, and what gave it; `yaml`: it is text to read."""

    path: Path
    value: Any
    where: str
    yaml: bool = False


def set_key(text: str, option: str = "--set") -> Setting:
    """Read ``key=value`` as ``--set`` takes it, or ``--param``; the value is YAML."""
    key, equals, value = text.partition("=")
    key, example = key.strip(), "params.k_neighbors=7"
    path: Path = tuple(key.split("."))
    if option == "--param":
        path, example = ("params", key.replace("-", "_")), "k_neighbors=7"
    if not equals or not all(path):
        raise ValueError(f"{text!r} is not KEY=VALUE, such as {example}")
    return Setting(path, value, f"{option} {key}", yaml=True)


@dataclass(frozen=True)
class Place:
    """Where a value was given, in a line or by the option of a key, and its text if it is none."""

    where: str = ""
    line: int | None = None
    option: Path | None = None
    text: str = ""


class Reader:
    """Makes plain data, and notes every error.

    YAML's nodes are read, not its finished values: only nodes know lines, tags, keys given twice,
    and what stood in quotes. Keys are text, also where a label is a number.
    """

    def __init__(self, name: str = "the job", fill: bool = True) -> None:
        self.name, self.hidden = name, Secrets()
        self.errors: list[LineError] = []
        self._fill = fill
        self._places: dict[Path, Place] = {}
        self._setting: Place | None = None  # of the option that is read now

    def place(self, path: Path) -> Place:
        """Return the place of a key, or of the nearest one above it."""
        while path and path not in self._places:
            path = path[:-1]
        return self._places.get(path, self._setting or Place())

    def error(self, path: Path, message: str, line: int | None = None) -> None:
        """Note an error at a line, or at the place of a key."""
        key, place = ".".join(path), self._at(line) if line else self.place(path)
        if place.option is not None and place.option[: len(path)] != path:
            message = f"{key}: {message}"  # another key's option
        self.errors.append(LineError(place.where, key, message, place.line))

    def note(self, error: ValidationError, data: Any, unknown: Callable[[Path], str]) -> None:
        """Note what pydantic found in plain data; `unknown` says of a key that there is none such.

        A key that could not be read has its error already.
        """
        found: dict[Path, list[Any]] = {}
        for one in error.errors(include_url=False):
            # Its location also holds names of types.
            path: Path = ()
            value = data
            for name in map(str, one["loc"]):
                if name in _items(value):
                    path, value = (*path, name), _items(value)[name]
            path = (*path, str(one["loc"][-1])) if one["type"] == "missing" else path
            found.setdefault(path, []).append(one | {"input": value})
        # What is wrong with a part says more than what the whole may be.
        inner = {path[:n] for path in found for n in range(1, len(path))}
        inner |= {tuple(one.key.split(".")) for one in self.errors}
        for path, errors in found.items():
            if path in inner:
                continue
            if errors[0]["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
                self.error(path, unknown(path))
            else:
                self.error(path, _message(errors, self.place(path), self.hidden))

    def raise_errors(self) -> None:
        """Raise one error of all that are noted, without secrets and in the order of lines."""
        mask = self.hidden.mask
        masked = dict.fromkeys(replace(one, message=mask(one.message)) for one in self.errors)
        if masked:
            raise JobFileError(self.name, sorted(masked, key=lambda one: one.line or 10**9))

    def file(self) -> Any:
        """Return what the file holds."""
        from dsmote.job.files import clear_errors

        with clear_errors("read", self.name):
            if os.path.isdir(self.name):
                raise IsADirectoryError(f"{self.name} is a folder: name the job file")
            with open(self.name, "rb") as handle:
                data = handle.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            return self.error((), "larger than 1 MB: this is no job file", 1)
        try:
            value = self._yaml(data.decode("utf-8-sig"), ())
        except UnicodeDecodeError as error:
            return self.error((), "is not UTF-8 text", data.count(b"\n", 0, error.start) + 1)
        self._places.setdefault((), self._at(1))
        # In an empty file required keys are missing, unless they are set.
        return {} if value is None and not self.errors else value

    def set(self, data: Any, setting: Setting) -> None:
        """Put a value in the place of what a key holds, making the keys above it."""
        path, before = setting.path, len(self.errors)
        self._places = {p: at for p, at in self._places.items() if p[: len(path)] != path}
        self._setting = Place(setting.where, option=path)
        read, value = (self._yaml if setting.yaml else self.python), setting.value
        if isinstance(value, tuple):  # an option that is given several times
            value = [read(one, (*path, str(n))) for n, one in enumerate(value)]
        else:
            value = read(value, path)
        self._places.setdefault(path, self._setting)
        if not isinstance(data, dict) or len(self.errors) > before:
            return
        for depth, name in enumerate(path[:-1], start=1):
            if data.get(name) is None:
                data[name] = {}
                self._places.setdefault(path[:depth], self._setting)
            data = data[name]
            if not isinstance(data, dict):
                above = ".".join(path[:depth])
                return self.error(path, f"{above} is no mapping: it has no key {path[depth]!r}")
        data[path[-1]] = value

    def python(self, value: Any, path: Path = (), line: int | None = None) -> Any:
        """Return a value of Python's as plain data; what is none stays as it is."""
        if not self._enter(path, line):
            return None
        if isinstance(value, Mapping):
            pairs = [(_label(key), item, None) for key, item in value.items()]
            return self._mapping(pairs, path, self.python)
        if isinstance(value, list | tuple):
            return [self.python(item, (*path, str(n))) for n, item in enumerate(value)]
        value = plain(value)
        return self._filled(value, path) if isinstance(value, str) else value

    def _at(self, line: int | None) -> Place:
        return self._setting or (Place(f"{self.name}:{line}", line) if line else Place())

    def _enter(self, path: Path, line: int | None) -> bool:
        """Note the place of a value, and tell whether to read it."""
        self._places[path] = self._at(line)
        if len(path) > MAX_DEPTH:
            self.error(path[:2], "nested too deep, or holds itself")
        return len(path) <= MAX_DEPTH

    def _mapping(
        self,
        pairs: Iterable[tuple[str, Any, int | None]],
        path: Path,
        read: Callable[..., Any],
    ) -> dict[str, Any]:
        """Return keys and values, which have lines in a file, as plain data."""
        found: dict[str, Any] = {}
        for name, value, line in pairs:
            if self._fill and "${" in name.replace("$${", ""):
                message = "variables are filled in values, not in keys; write $${ for a plain ${"
                self.error((*path, name), message, line)
            name = name.replace("$${", "${") if self._fill else name
            if name in found:
                first = self._places[(*path, name)].line
                text = f"given twice, first in line {first}" if first else "given twice"
                self.error((*path, name), text, line)
            else:
                found[name] = read(value, (*path, name), line)
        return found

    def _yaml(self, text: str, path: Path) -> Any:
        """Return a document of YAML as plain data; None where it cannot be read, or is empty."""
        from ruamel.yaml import YAML  # options that are no YAML do without
        from ruamel.yaml.error import MarkedYAMLError
        from ruamel.yaml.reader import ReaderError

        self._parser = YAML(typ="safe", pure=True)  # a new one: it remembers %YAML
        self._parser.composer.warn_double_anchors = False  # YAML allows them
        try:
            node = self._parser.compose(text)
            if self._parser.resolver.processing_version != (1, 2):  # labels would be others
                line = text.count("\n", 0, text.find("%YAML")) + 1
                return self.error((), "job files are YAML 1.2: delete the %YAML directive", line)
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = mark.line + 1 if mark else 1
            said = " ".join(part for part in (error.context, error.problem) if part)
            written = [*text.split("\n"), ""][line - 1]
            if "${" in written:
                said += "; inside { } and [ ] put ${NAME} in quotes"
            elif "\t" in written:
                said += "; YAML takes no tabs: use spaces"
            elif any(part in said for part in ("undefined alias", "any token", "document start")):
                said += "; put a text that begins with a character such as * or @ in quotes"
        except ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            said = f"a character that YAML does not allow, {error.character!r}"
        except RecursionError:
            line, said = 1, "it is nested too deep"
        except (ValueError, OverflowError):  # of "\UFFFFFFFF"
            line, said = text.count("\n", 0, text.find("\\U")) + 1, "there is no such character"
        else:
            return None if node is None else self._node(node, path, node.start_mark.line + 1)
        return self.error((), f"cannot be read as YAML: {said}", line)

    def _node(self, node: Any, path: Path, line: int) -> Any:
        """Return what a node of YAML holds; the line is that of its key."""
        if len(self._places) > MAX_NODES:
            self.error((), f"more than {MAX_NODES:,} keys and values, counting aliases", line)
            self.raise_errors()
        if not self._enter(path, line) or self._tagged(node, path, line):
            return None
        if node.id == "scalar":
            return self._scalar(node, path)
        if node.id == "sequence":
            return [
                self._node(item, (*path, str(n)), item.start_mark.line + 1)
                for n, item in enumerate(node.value)
            ]
        pairs = []
        for key, item in node.value:
            at = key.start_mark.line + 1
            if key.id != "scalar":
                self.error(path, "a key must be text, not a list or a mapping", at)
            elif not self._tagged(key, path, at):
                pairs.append((key.value, item, at))
        return self._mapping(pairs, path, self._node)

    def _implied(self, node: Any, text: Any) -> str:
        """Return the tag of a node that is given none, with a text as its value."""
        plain = getattr(node, "style", None) in (None, "")
        return str(self._parser.resolver.resolve(type(node), text, (plain, not plain)))

    def _tagged(self, node: Any, path: Path, line: int) -> bool:
        if node.tag == self._implied(node, node.value):
            return False
        tag = str(node.tag).replace(TAG, "!!")
        self.error(path, f"YAML tags such as {tag} are not allowed; put a text in quotes", line)
        return True

    def _scalar(self, node: Any, path: Path) -> Any:
        text = self._filled(node.value, path)
        kind = self._implied(node, text).removeprefix(TAG)
        if kind not in ("null", "bool", "int", "float"):
            return text  # also dates: a label or a name is meant
        construct = getattr(self._parser.constructor, f"construct_yaml_{kind}")
        try:
            value = construct(type(node)(f"{TAG}{kind}", text))
        except ValueError:  # 0x_ is no number, and Python reads none of thousands of digits
            return text
        # As text, 01 finds "01" and 1: see `Named`. As the number it would not find "01".
        if path[:2] == ("split", "train") and kind in ("int", "float") and str(value) != text:
            return text if text[-1].isdigit() else value
        self._places[path] = replace(self._places[path], text=text)
        return value

    def _filled(self, text: str, path: Path) -> str:
        """Fill ``${NAME}`` and ``${NAME:-default}`` from the environment.

        All values are secrets but for paths and URLs, and these too where the name says so.
        """

        def value(match: re.Match[str]) -> str:
            name, default = match["name"], match["default"]
            if match[0] == "$${":
                return "${"
            found = os.environ.get(name or "")
            if name is None:
                problem = "'${' begins a variable such as ${NAME}; write $${ for a plain ${"
            elif default is not None and "${" in default:
                problem = f"the default of ${{{name}:-...}} cannot hold another variable"
            elif default is not None and not found:
                return str(default)
            elif found is None:
                give = f"set it, or give ${{{name}:-default}}"
                problem = f"the environment variable {name} is not set ({give})"
            else:
                if SECRET_NAME.search(name) or not _LOCATION.match(found):
                    self.hidden |= [found]
                return found
            self.error(path, problem)
            return match[0]

        return _VARIABLE.sub(value, text) if self._fill else text


def _items(value: Any) -> dict[str, Any]:
    """Return what a mapping or a list holds, by key or number; nothing of other values."""
    if isinstance(value, list):
        return {str(number): item for number, item in enumerate(value)}
    return value if isinstance(value, dict) else {}


def plain(value: Any) -> Any:
    """Return a number of NumPy's as Python's, and a date or a path as text."""
    if isinstance(value, datetime.date) or hasattr(value, "__fspath__"):
        return str(value)
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", None) == 0 else value


def _label(label: Any) -> str:
    """Return a label of Python's as a job file has it."""
    label = plain(label)
    return str(label).lower() if isinstance(label, bool) else str(label)


#: What pydantic calls otherwise.
_WANTED = {
    "bool_type": "true or false",
    "dataclass_type": "a mapping",
    "dict_type": "a mapping",
    "list_type": "a list",
    "tuple_type": "a list",
    "string_unicode": "a valid string",
}


def _message(errors: list[Any], place: Place, hidden: Secrets) -> str:
    """Return one sentence about a key: what it must be, what it is, and what may be meant."""
    alternatives: dict[str, None] = {}
    choices: list[str] = []
    for error in errors:
        kind, context, said = error["type"], error.get("ctx", {}), error["msg"]
        if kind == "missing":
            return "is required, and not given"
        if kind in ("too_short", "string_pattern_mismatch"):
            return "must not be empty"
        said = str(context["error"]) if kind == "value_error" else said
        if not said.startswith(("Input should be ", "must be ")):
            return str(said)
        wanted = said.partition(" be ")[2]
        if len(errors) > 1 and kind.startswith(("greater", "less")):
            wanted = f"a number {wanted}"
        wanted = {"None": "empty", "False": "false"}.get(wanted, wanted)
        alternatives[_WANTED.get(kind, wanted)] = None
        choices += re.findall(r"'([^']*)'", context.get("expected", ""))
    value = errors[0]["input"]
    shown = _short(hidden.mask(place.text or _shown(value)))
    hint = near(value, choices) if isinstance(value, str) else ""
    if isinstance(value, int | float) and "a valid string" in alternatives:
        hint = f" (put it in quotes: '{shown}')"
    return f"must be {' or '.join(alternatives)}, not {shown}{hint}"


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:56]} ...'"


def _shown(value: Any) -> str:
    """Return a value as a file would have it."""
    if value is None or isinstance(value, bool):
        return "empty" if value is None else str(value).lower()
    if isinstance(value, dict | list):
        kind = "mapping" if isinstance(value, dict) else "list"
        return f"a {kind}" if value else f"an empty {kind}"
    try:
        return repr(value) if isinstance(value, str) else str(value)
    except ValueError:  # which Python does not print
        return "a number of thousands of digits"
