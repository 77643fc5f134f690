"""The layers hold: who may import whom, print and touch files, and how long a file may be.

Each check is a function from the texts of the package to a list of violations. It is run on the
package and, so that it cannot pass for nothing, on texts in which the promise is broken.
"""

import ast
import functools
import graphlib
import re
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "dsmote"
Files = dict[str, str]
Check = Callable[[Files], list[str]]
FILES = {
    file.relative_to(PACKAGE).as_posix(): file.read_text(encoding="utf-8")
    for file in sorted(PACKAGE.rglob("*.py"))
}

# What a layer may import besides itself. `root` is dsmote/__init__.py.
ALLOWED = {
    "plan": set(),
    "kernels": {"plan"},
    "neighbors": {"plan"},
    "execute": {"kernels", "neighbors", "plan"},
    "samplers": {"execute", "kernels", "neighbors", "plan"},
    "advice": {"samplers", "execute", "kernels", "neighbors", "plan"},
    "cluster": {"plan"},
    "job": {"advice", "cluster", "samplers", "execute", "kernels", "neighbors", "plan", "root"},
    "terminal": {"job", "plan"},
    "cli": {
        "advice",
        "cluster",
        "job",
        "samplers",
        "execute",
        "kernels",
        "neighbors",
        "plan",
        "root",
        "terminal",
    },
    "__main__": {"cli"},
    "root": {"advice", "cluster", "job", "samplers", "plan"},
}
MAY_USE_DASK = {"execute", "job", "cluster", "cli"}
MAY_TALK = {"cli", "terminal", "__main__"}
MAY_TOUCH_FILES = {"job", "cluster", "cli"}
#: They ask the system how much memory a container has, and write scratch files.
MAY_ALSO = ("execute/resources.py", "execute/exchange.py")
FILE_MODULES = {"fsspec", "glob", "pathlib", "shutil", "tempfile"}
MAX_LINES = 800


@functools.cache
def nodes(text):
    """Return the syntax tree of a module; all but one file of a broken package are the same."""
    return list(ast.walk(ast.parse(text)))


def layer_of(file):
    first = file.split("/")[0].removesuffix(".py")
    return "root" if first == "__init__" else first


def imports(files):
    """File and absolute dotted name of everything imported anywhere."""
    for file, text in files.items():
        inside = ["dsmote", *file.removesuffix(".py").split("/")]
        for node in nodes(text):
            if isinstance(node, ast.Import):
                yield from ((file, name.name) for name in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = inside[: len(inside) - node.level] if node.level else []
                base += node.module.split(".") if node.module else []
                yield from ((file, ".".join([*base, name.name])) for name in node.names)


def importing(wrong):
    """Make the check that lists imports, of which the file and the dotted name are wrong."""
    return lambda files: [f"{f} imports {name}" for f, name in imports(files) if wrong(f, name)]


def using(wrong):
    """Make the check that lists the places where something stands that must not be there."""
    return lambda files: [
        f"{file}:{node.lineno}"
        for file, text in files.items()
        for node in nodes(text)
        if wrong(file, node)
    ]


def against_direction(file, name):
    top, *rest = name.split(".")
    target = rest[0] if rest and rest[0] in ALLOWED else "root"
    return top == "dsmote" and target not in {layer_of(file)} | ALLOWED.get(layer_of(file), set())


def between_files(files):
    """Return the dotted names of the files that each file imports, late and for types too."""
    names = {
        file: ".".join(["dsmote", *file.removesuffix(".py").split("/")]).removesuffix(".__init__")
        for file in files
    }
    found = {name: set() for name in names.values()}
    for file, target in imports(files):
        while target not in found and "." in target:
            target = target.rpartition(".")[0]
        if target in found and names[file] not in (target, "dsmote"):  # which loads names late
            found[names[file]].add(target)
    return found


def cycles(files):
    try:
        graphlib.TopologicalSorter(between_files(files)).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def upward_files(files):
    """Return the files that import from a package above them, which may import them."""
    return [
        f"{name} imports {target}, which is above it"
        for name, targets in between_files(files).items()
        for target in targets
        if name.startswith(f"{target}.") and target != "dsmote"
    ]


def talks(file, node):
    if layer_of(file) in MAY_TALK:
        return False
    if isinstance(node, ast.Attribute):
        return ast.unparse(node) in {"sys.stdout", "sys.stderr"}
    return isinstance(node, ast.Name) and node.id == "print"


def may_touch_files(file):
    return layer_of(file) in MAY_TOUCH_FILES or file in MAY_ALSO


def top_of(name):
    return name.split(".")[0]


def declared():
    """Top-level modules of the dependencies, and extras for users, that pyproject.toml names."""
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"]
    entries = [*project["project"]["dependencies"], *extras["faiss"], *extras["report"]]
    names = (re.split(r"[\[<>=]", entry)[0] for entry in entries)
    modules = {"scikit-learn": "sklearn", "faiss-cpu": "faiss", "ruamel.yaml": "ruamel"}
    modules["python-json-logger"] = "pythonjsonlogger"
    return {modules.get(name, name) for name in names}


KNOWN = declared() | {"dsmote", "pydantic_core"} | sys.stdlib_module_names
CHECKS = {
    "layers": lambda files: [file for file in files if layer_of(file) not in ALLOWED],
    "direction": importing(against_direction),
    "cycles": cycles,
    "upward": upward_files,
    "dask": importing(
        lambda file, name: (
            layer_of(file) not in MAY_USE_DASK and top_of(name) in {"dask", "distributed"}
        )
    ),
    "prints": using(talks),
    "terminal": importing(
        lambda file, name: layer_of(file) not in MAY_TALK and top_of(name) in {"click", "rich"}
    ),
    "opens": using(
        lambda file, node: (
            isinstance(node, ast.Name) and node.id == "open" and not may_touch_files(file)
        )
    ),
    "files": importing(
        lambda file, name: (
            (top_of(name) in FILE_MODULES or name.startswith("pyarrow.parquet"))
            and not may_touch_files(file)
        )
    ),
    "declared": importing(lambda _, name: top_of(name) not in KNOWN),
    "length": lambda files: [f for f, text in files.items() if text.count("\n") > MAX_LINES],
}

# Check, module, a line added to it that breaks the promise.
BROKEN = [
    ("layers", "helpers.py", "x = 1"),
    ("direction", "plan/__init__.py", "import dsmote.kernels"),
    ("direction", "kernels.py", "from dsmote.execute.graph import anything"),
    ("cycles", "job/logs.py", "def late():\n    from dsmote.job.jobfile import anything"),
    ("cycles", "plan/labels.py", "if TYPE_CHECKING:\n    from dsmote.plan import anything"),
    ("upward", "plan/new.py", "from dsmote.plan import Plan"),
    ("dask", "neighbors/new.py", "def late():\n    from distributed import get_client"),
    ("prints", "plan/__init__.py", "import sys\nsys.stderr.write('hello')"),
    ("terminal", "job/__init__.py", "from click import echo"),
    ("files", "samplers/__init__.py", "from pathlib import Path"),
    ("opens", "execute/__init__.py", "def late(path):\n    return open(path)"),
    ("declared", "execute/__init__.py", "def late():\n    import requests"),
    ("length", "plan/new.py", "\n" * MAX_LINES + "x = 1"),
]


@pytest.mark.parametrize("check", CHECKS)
def test_package_keeps_its_layers(check):
    assert CHECKS[check](FILES) == []


@pytest.mark.parametrize(("check", "module", "line"), BROKEN)
def test_broken_layer_is_noticed(check, module, line):
    assert CHECKS[check](FILES | {module: f"{FILES.get(module, '')}\n{line}\n"})


def test_every_dependency_is_used():
    # Dask imports it, to make the certificates of local clusters.
    assert declared() - {top_of(name) for _, name in imports(FILES)} == {"cryptography"}
