"""Read a job from YAML or from Python's mappings: every error at once, with its line."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode
from ruamel.yaml.reader import ReaderError

from dsmote.job.files import clear_errors
from dsmote.job.secrets import MASK, SECRET_NAME, Secrets
from dsmote.job.spec import (
    AUTO,
    JobSpec,
    check_job,
    closest,
    label_text,
    near,
    params_model,
    sections,
)
from dsmote.plan.labels import first
from dsmote.samplers.registry import samplers

__all__ = ["JobFileError", "LineError", "Setting", "load_job", "set_key"]

Path = tuple[str, ...]

MAX_BYTES = 1_000_000
#: A file that has more keys and values than this, through aliases of aliases, is no job.
MAX_NODES = 10_000
#: More than any job has: what Python gives may hold itself.
MAX_DEPTH = 20
#: Python takes minutes to read some longer numbers, and does not print them.
MAX_DIGITS = 1000
#: Characters of a message that are printed; a key of the file may have any number.
MAX_MESSAGE = 1000
TAG = "tag:yaml.org,2002:"
_VARIABLE = re.compile(
    r"\$\$\{|\$\{(?P<name>[A-Za-z_]\w*)(?::-(?P<default>[^}]*))?\}|(?P<broken>\$\{)", re.ASCII
)
#: A path or URL, which messages must be able to name; a password in it is masked by itself.
_LOCATION = re.compile(r"(~?/|\.{1,2}(/|$)|[A-Za-z][A-Za-z0-9+.-]*://)")


@dataclass(frozen=True)
class LineError:
    """One error, its place (a line of the file, or an option) and its key with those above it.

    Examples
    --------
    >>> str(LineError("job.yaml:3", "report", "must be a valid boolean", 3))
    'job.yaml:3: report: must be a valid boolean'
    """

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
    """A job file, or a mapping of the same keys, with at least one error.

    Parameters
    ----------
    name : str
        The file.
    errors : sequence of LineError

    Attributes
    ----------
    errors : tuple of LineError
        All of them; the message has the first.

    Examples
    --------
    >>> print(JobFileError("job.yaml", [LineError("job.yaml:3", "mode", "must be 'full'", 3)]))
    job.yaml has 1 error:
      job.yaml:3: mode: must be 'full'
    """

    def __init__(self, name: str, errors: Sequence[LineError]) -> None:
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
    path = tuple(part.strip() for part in key.split("."))
    if not equals or not all(path):
        example = "params.k_neighbors=7" if option == "--set" else "k_neighbors=7"
        raise ValueError(f"{text!r} is not KEY=VALUE, such as {example}")
    if option == "--param":
        path = ("params", key.strip().replace("-", "_"))
    return Setting(path, value, f"{option} {key.strip()}", yaml=True)


def load_job(source: Any, settings: Sequence[Setting] = (), needs_output: bool = True) -> JobSpec:
    """Read and check a job: a YAML file, or a mapping of the same keys, and settings over it.

    Raises
    ------
    JobFileError
        It lists every error.
    FileNotFoundError, PermissionError, OSError
        The file cannot be read.

    Examples
    --------
    >>> load_job({"input": "a.parquet", "output": "b", "target": "y"}).sampler
    'auto'
    """
    if isinstance(source, Mapping):
        reader = _Reader("the job", where="")
        data = reader.python(source)
    else:
        reader = _Reader(os.fspath(source))
        data = reader.file()
    for setting in settings:
        reader.set(data, setting)
    spec = _checked(data, reader)
    lacking = needs_output and isinstance(data, dict) and data.get("output") is None
    if lacking and not any(one.key == "output" for one in reader.errors):
        reader.error(("output",), "is required, and not given")
    if reader.errors or spec is None:
        mask = reader.hidden.mask
        errors = dict.fromkeys(
            replace(
                one, message=mask(one.message), where=one.where if one.line else mask(one.where)
            )
            for one in reader.errors
        )
        raise JobFileError(reader.name, sorted(errors, key=lambda one: one.line or 10**9))
    return replace(spec, hidden=reader.hidden)


@dataclass(frozen=True)
class _Place:
    """Where a value was given, as what text, and whether that came from the environment."""

    where: str
    line: int | None = None
    text: str | None = None
    secret: bool = False


class _Reader:
    """Makes plain data of YAML or of Python's values, and keeps the place of every key.

    YAML's nodes are read, not its finished values: only nodes know lines, tags, keys given twice,
    and what stood in quotes. Keys are text, also where a label is a number.
    """

    def __init__(self, name: str, where: str | None = None) -> None:
        self.name, self._where = name, where
        self.places: dict[Path, _Place] = {}
        self.errors: list[LineError] = []
        self._settings: dict[str, Path] = {}
        self.hidden = Secrets()
        self._left, self._open = MAX_NODES, set[int]()

    def error(self, path: Path, message: str, line: int | None = None) -> None:
        """Note an error at a line, or at the place of a key or of the nearest one above it."""
        at = path
        while at not in self.places and at:
            at = at[:-1]
        place = self._at(line) if line else self.places.get(at, _Place(self._where or ""))
        key = ".".join(path)
        if self._settings.get(place.where, path)[: len(path)] != path:  # another key's option
            message = f"{key}: {message}"
        self.errors.append(LineError(place.where, key, message, place.line))

    def _at(self, line: int) -> _Place:
        return _Place(f"{self.name}:{line}", line) if self._where is None else _Place(self._where)

    def file(self) -> Any:
        """Return what the file holds."""
        with clear_errors("read", self.name):
            if os.path.isdir(self.name):
                raise IsADirectoryError(f"{self.name} is a folder: name the job file")
            with open(self.name, "rb") as handle:
                data = handle.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            return self.error((), "larger than 1 MB: this is no job file", 1)
        try:
            value = self.yaml(data.decode("utf-8-sig"))
        except UnicodeDecodeError as error:
            return self.error((), "is not UTF-8 text", data.count(b"\n", 0, error.start) + 1)
        self.places.setdefault((), self._at(1))
        # In an empty file required keys are missing, unless they are set.
        return {} if value is None and not self.errors else value

    def set(self, data: Any, setting: Setting) -> None:
        """Put a value in the place of what a key holds, making the keys above it."""
        path, size, before = setting.path, len(setting.path), len(self.errors)
        self._where = where = setting.where
        self._settings[where] = path
        self.places = {p: at for p, at in self.places.items() if p[:size] != path}
        read, value = (self.yaml if setting.yaml else self.python), setting.value
        if isinstance(value, tuple):  # an option that is given several times
            value = [read(one, (*path, str(n))) for n, one in enumerate(value)]
        else:
            value = read(value, path)
        self.places[path] = replace(self.places.get(path, _Place("")), where=where)
        if not isinstance(data, dict) or len(self.errors) > before:
            return
        target: Any = data
        for depth, name in enumerate(path):
            message, above = "", ".".join(path[:depth])
            if not isinstance(target, dict | list):
                message = f"{above} is one value: it has no key {name!r}"
            elif isinstance(target, list) and not (name.isdigit() and int(name) < len(target)):
                message = f"{above} has items 0 to {len(target) - 1}, but no {name!r}"
            if message:
                return self.errors.append(LineError(where, "", message))
            key: Any = int(name) if isinstance(target, list) else name
            if depth == size - 1:
                target[key] = value
            elif isinstance(target, dict) and target.get(key) is None:
                target[key] = {}
                self.places.setdefault(path[: depth + 1], _Place(where))
            target = target[key]

    def python(self, value: Any, path: Path = ()) -> Any:
        """Return a value of Python's as plain data."""
        self.places[path] = _Place(self._where or "")
        if len(path) > MAX_DEPTH:
            return self.error(path[:2], "nested too deep, or holds itself")
        if isinstance(value, Mapping):
            named = {}
            for key, item in value.items():
                name = self._key(label_text(key), path)
                if name in named:
                    self.error((*path, name), f"given twice, as {key!r} and as another type")
                named[name] = self.python(item, (*path, name))
            return named
        if isinstance(value, list | tuple):
            return [self.python(item, (*path, str(n))) for n, item in enumerate(value)]
        if hasattr(value, "__fspath__"):
            value = str(value)
        if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
            value = value.item()  # a number of NumPy's
        return self._filled(value, path) if isinstance(value, str) else value

    def yaml(self, text: str, path: Path = ()) -> Any:
        """Return a document of YAML as plain data; None where it cannot be read, or is empty."""
        self._yaml = YAML(typ="safe", pure=True)  # a new one: it remembers %YAML
        self._yaml.composer.warn_double_anchors = False  # YAML allows them
        try:
            node = self._yaml.compose(text)
            if self._yaml.resolver.processing_version != (1, 2):
                line = text.count("\n", 0, text.find("%YAML")) + 1
                return self.error((), "job files are YAML 1.2: delete the %YAML directive", line)
            return None if node is None else self._node(node, path, node)
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
        self.error((), f"cannot be read as YAML: {said}", line)
        return None

    def _node(self, node: Node, path: Path, at: Node) -> Any:
        """Return what a node holds; `at` is the node whose line is the place."""
        line = at.start_mark.line + 1
        self._left -= 1
        if self._left < 0:
            problem = f"more than {MAX_NODES:,} keys and values, counting aliases"
            raise MarkedYAMLError(problem=problem, problem_mark=at.start_mark)
        self.places[path] = self._at(line)
        if self._tagged(node, path, line):
            return None
        if isinstance(node, ScalarNode):
            return self._scalar(node, path)
        if id(node) in self._open:
            return self.error(path, "an alias that holds itself")
        self._open.add(id(node))
        try:
            if isinstance(node, MappingNode):
                return self._mapping(node, path)
            items = enumerate(node.value)
            return [self._node(item, (*path, str(number)), item) for number, item in items]
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: MappingNode, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for key, value in sorted(node.value, key=lambda pair: pair[0].tag != f"{TAG}merge"):
            line = key.start_mark.line + 1
            if not isinstance(key, ScalarNode):
                self.error(path, "a key must be text, not a list or a mapping", line)
            elif key.tag == f"{TAG}merge":
                merged = self._node(value, path, key)
                for each in merged if isinstance(merged, list) else [merged]:
                    if not isinstance(each, dict):
                        self.error(path, "<< takes a mapping, or a list of them", line)
                    found |= each if isinstance(each, dict) else {}
            elif key.value in lines:
                message = f"given twice, first in line {lines[key.value]}"
                self.error((*path, key.value), message, line)
            elif not self._tagged(key, path, line):
                lines[key.value] = line
                name = self._key(key.value, path, line)
                found[name] = self._node(value, (*path, name), key)
        return found

    def _implied(self, node: Node, text: Any) -> str:
        """Return the tag of a node that is given none, with a text as its value."""
        if not isinstance(node, ScalarNode):
            return f"{TAG}map" if isinstance(node, MappingNode) else f"{TAG}seq"
        plain = node.style in (None, "")
        return str(self._yaml.resolver.resolve(ScalarNode, text, (plain, not plain)))

    def _tagged(self, node: Node, path: Path, line: int) -> bool:
        if node.tag == self._implied(node, node.value):
            return False
        tag = str(node.tag).replace(TAG, "!!")
        text = "; put a text in quotes" if tag == "!!str" else ""
        self.error(path, f"YAML tags such as {tag} are not allowed{text}", line)
        return True

    def _scalar(self, node: ScalarNode, path: Path) -> Any:
        text = self._filled(node.value, path)
        kind = self._implied(node, text).removeprefix(TAG)
        if kind == "null":
            return None
        self.places[path] = replace(self.places[path], text=text)
        if kind == "bool":
            return text.lower() == "true"
        if kind not in ("int", "float"):
            return text  # also dates: a label or a name is meant
        if len(text) > MAX_DIGITS:
            return self.error(path, f"a number of {len(text):,} digits; put a text in quotes")
        construct = getattr(self._yaml.constructor, f"construct_yaml_{kind}")
        try:
            value = construct(ScalarNode(f"{TAG}{kind}", text))
        except ValueError:  # 0x_ is no number
            return text
        # As text, 01 finds "01" and 1: see `Named`. As the number it would not find "01".
        by_text = path[:2] == ("split", "train") and text[-1].isdigit() and str(value) != text
        return text if by_text else value

    def _key(self, text: str, path: Path, line: int | None = None) -> str:
        if "${" in text.replace("$${", ""):
            message = "variables are filled in values, not in keys; write $${ for a plain ${"
            self.error((*path, text), message, line)
        return text.replace("$${", "${")

    def _filled(self, text: str, path: Path) -> str:
        """Fill ``${NAME}`` and ``${NAME:-default}`` from the environment.

        All values are secrets but for paths and URLs, and these too where the name says so.
        """

        def value(match: re.Match[str]) -> str:
            name, default = match["name"], match["default"]
            if name is None and not match["broken"]:
                return "${"
            found = os.environ.get(name or "")
            if match["broken"]:
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
                self.places[path] = replace(self.places[path], secret=True)
                return found
            self.error(path, problem)
            return match[0]

        return _VARIABLE.sub(value, text)


def _checked(data: Any, reader: _Reader) -> JobSpec | None:
    """Return the job, or note all that is wrong with it.

    Rules across keys can only be checked where the keys themselves are right. So keys that are
    wrong are left out, and what remains is checked again.
    """
    if not isinstance(data, dict):
        if not reader.errors:
            reader.error((), "a job is keys and values, such as `input: table.parquet`")
        return None
    wrong = {tuple(one.key.split(".")) for one in reader.errors if one.key}
    for name in data if "sampler" not in data else ():
        if name not in sections()[""] and _meant(name) == "sampler":  # the params are that one's
            reader.error((name,), _unknown((name,)))
            wrong.add((name,))
    data = {key: dict(value) if isinstance(value, dict) else value for key, value in data.items()}
    for path in sorted(wrong):
        _leave_out(data, path)
    for _ in range(5):
        try:
            return check_job(data)
        except ValidationError as error:
            found: dict[tuple[Path, bool], list[Any]] = {}
            for one in error.errors(include_url=False):
                missing = one["type"] == "missing"
                path, value = _found(data, tuple(map(str, one["loc"])))
                path = (*path, str(one["loc"][-1])) if missing else path
                found.setdefault((path, missing), []).append(one | {"input": value})
        inner = {path[:n] for path, _ in found for n in range(1, len(path))}
        for (path, missing), errors in found.items():
            # What is wrong with a part says more than what the whole may be.
            if (missing or path not in inner) and not any(path[:n] in wrong for n in range(1, 4)):
                reader.error(path, _message(path, errors, reader.places.get(path, _Place(""))))
        for path, missing in found:
            wrong.add(path)
            _leave_out(data, path, missing)
    return None


def _found(data: Any, loc: Path) -> tuple[Path, Any]:
    """Return the keys in an error's location, which also holds names of types, and the value."""
    path: Path = ()
    for name in loc:
        if isinstance(data, dict) and name in data:
            path, data = (*path, name), data[name]
        elif isinstance(data, list) and name.isdigit() and int(name) < len(data):
            path, data = (*path, name), data[int(name)]
    return path, data


def _meant(name: str) -> str | None:
    return closest(name, sections()[""])


def _leave_out(data: dict[str, Any], path: Path, missing: bool = False) -> None:
    """Leave a key out, or with half of a section all of it; a misspelt sampler is guessed."""
    top = path[0] if path else ""
    if top in ("input", "target") and missing:
        data[top] = "\0"  # a name that no column has
    elif top == "params" and len(path) > 1 and isinstance(data.get("params"), dict):
        data["params"].pop(path[1], None)
    elif top == "sampler" or (len(path) == 1 and _meant(top) == "sampler"):
        meant = closest(str(data.pop(top, "")), [AUTO, *samplers()])
        data.pop("params", None) if meant is None else data.update(sampler=meant)
    else:
        data.pop(top, None)


#: What pydantic calls otherwise.
_WANTED = {
    "bool_type": "true or false",
    "dataclass_type": "a mapping",
    "dict_type": "a mapping",
    "list_type": "a list",
    "tuple_type": "a list",
    "string_unicode": "a valid string",
}


def _message(path: Path, errors: list[Any], place: _Place) -> str:
    """Return one sentence about a key: what it must be, what it is, and what may be meant."""
    alternatives: dict[str, None] = {}
    choices: list[str] = []
    for error in errors:
        kind, context, said = error["type"], error.get("ctx", {}), error["msg"]
        if kind == "missing":
            return "is required, and not given"
        if kind == "unexpected_keyword_argument":
            return _unknown(path)
        if kind == "too_short":
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
    shown = MASK if place.secret else _shown(value)
    hint = near(value, choices) if isinstance(value, str) and not place.secret else ""
    if isinstance(value, int | float) and "a valid string" in alternatives:
        text = place.text or shown
        quoted = "" if place.secret or len(text) > 20 else f": '{text}'"
        hint = f" (put it in quotes{quoted})"
    return f"must be {' or '.join(alternatives)}, not {shown}{hint}"


def _shown(value: Any) -> str:
    """Return a value as a file would have it."""
    if value is None or isinstance(value, bool):
        return "empty" if value is None else str(value).lower()
    if isinstance(value, dict | list):
        kind = "mapping" if isinstance(value, dict) else "list"
        return f"a {kind}" if value else f"an empty {kind}"
    if isinstance(value, int) and value.bit_length() > MAX_DIGITS:  # which Python may not print
        return "a number of hundreds of digits"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else f"{text[:56]} ...'"


def _unknown(path: Path) -> str:
    """Say that a key is unknown, what may be meant, and where it belongs."""
    key, homes = path[-1], _homes()
    names = homes[".".join(path[:-1])]
    for above, keys in homes.items():
        if key in keys:
            return f"there is no such key; it belongs {f'under {above}' if above else 'at the top'}"
    return f"there is no such key{near(key, names) or '; there are ' + ', '.join(names)}"


@cache
def _homes() -> dict[str, list[str]]:
    """Return the keys of each section, and those of all samplers under params."""
    params = [name for kind in samplers().values() for name in params_model(kind).model_fields]
    return {**sections(), "params": params}
