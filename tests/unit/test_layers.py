"""The layers hold: who may import whom, print and touch files, and how long a file may be.

Each check is a function from a package folder to a list of violations. It is run on the package
and, so that it cannot pass for nothing, on copies of the package in which the promise is broken.
"""

import ast
import functools
import re
import shutil
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "dsmote"

# What a layer may import besides itself. `root` is dsmote/__init__.py.
ALLOWED = {
    "plan": set(),
    "kernels": {"plan"},
    "neighbors": {"plan"},
    "execute": {"kernels", "neighbors", "plan"},
    "samplers": {"execute", "kernels", "neighbors", "plan"},
    "cluster": {"plan"},
    "job": {"cluster", "samplers", "execute", "kernels", "neighbors", "plan", "root"},
    "cli": {"cluster", "job", "samplers", "execute", "kernels", "neighbors", "plan", "root"},
    "__main__": {"cli"},
    "root": {"cluster", "job", "samplers", "plan"},
}
DASK = {"dask", "distributed"}
MAY_USE_DASK = {"execute", "job", "cluster", "cli"}
TERMINAL = {"click", "rich"}
FILES = {"fsspec", "glob", "pathlib", "shutil", "tempfile"}
MAY_TOUCH_FILES = {"job", "cluster", "cli"}
#: They ask the system how much memory a container has, and write scratch files.
MAY_ALSO = ("execute/resources.py", "execute/exchange.py")
MAX_LINES = 800


@functools.cache
def nodes(text: str) -> list[ast.AST]:
    """Return the syntax tree of a module; all but one file of a broken copy are the package's."""
    return list(ast.walk(ast.parse(text)))


def modules(package: Path) -> Iterator[tuple[str, Path, list[ast.AST]]]:
    """Layer, file and syntax tree of every module."""
    for file in sorted(package.rglob("*.py")):
        first = file.relative_to(package).parts[0].removesuffix(".py")
        layer = "root" if first == "__init__" else first
        yield layer, file, nodes(file.read_text(encoding="utf-8"))


def imports(package: Path) -> Iterator[tuple[str, Path, str, str]]:
    """Layer, file, place and absolute dotted name of everything imported anywhere."""
    for layer, file, tree in modules(package):
        inside = ("dsmote", *file.relative_to(package).with_suffix("").parts)
        for node in tree:
            names = []
            if isinstance(node, ast.Import):
                names = [name.name for name in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = list(inside[: len(inside) - node.level]) if node.level else []
                base += node.module.split(".") if node.module else []
                names = [".".join([*base, name.name]) for name in node.names]
            for name in names:
                yield layer, file, f"{file}:{node.lineno}", name


def target_layer(name: str) -> str:
    """Layer that an imported dotted name of dsmote belongs to."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in ALLOWED else "root"


def unknown_layers(package: Path) -> list[str]:
    return [f"{file}: no such layer" for layer, file, _ in modules(package) if layer not in ALLOWED]


def wrong_direction(package: Path) -> list[str]:
    return [
        f"{place}: {layer} imports {name}"
        for layer, _, place, name in imports(package)
        if name.split(".")[0] == "dsmote"
        and target_layer(name) not in {layer} | ALLOWED.get(layer, set())
    ]


def file_imports(package: Path) -> dict[str, dict[str, str]]:
    """Place of each import of a file of dsmote in another, by the dotted names of both."""

    def dotted(file: Path) -> str:
        parts = ("dsmote", *file.relative_to(package).with_suffix("").parts)
        return ".".join(parts).removesuffix(".__init__")

    files = {dotted(file) for _, file, _ in modules(package)}
    found: dict[str, dict[str, str]] = {name: {} for name in files}
    for _, file, place, target in imports(package):
        name = dotted(file)
        while target not in files and "." in target:
            target = target.rpartition(".")[0]
        if target in files and name not in (target, "dsmote"):  # which names what it loads late
            found[name].setdefault(target, place)
    return found


def cycles(package: Path) -> list[str]:
    """Return the imports between files that lie on a cycle, late ones and those of types too."""
    graph = file_imports(package)
    reached: dict[str, set[str]] = {}
    for name in graph:
        seen, waiting = set(), [*graph[name]]
        while waiting:
            one = waiting.pop()
            if one not in seen:
                seen.add(one)
                waiting += graph.get(one, ())
        reached[name] = seen
    return [
        f"{place}: {name} imports {target}, which imports it"
        for name, targets in graph.items()
        for target, place in targets.items()
        if name in reached.get(target, ())
    ]


def upward_files(package: Path) -> list[str]:
    """Return the files that import from a package above them, which may import them."""
    return [
        f"{place}: {name} imports {target}, which is above it"
        for name, targets in file_imports(package).items()
        for target, place in targets.items()
        if name.startswith(f"{target}.") and target != "dsmote"
    ]


def dask_outside(package: Path) -> list[str]:
    return [
        f"{place}: {layer} imports {name}"
        for layer, _, place, name in imports(package)
        if layer not in MAY_USE_DASK and name.split(".")[0] in DASK
    ]


def uses(package: Path, allowed: set[str], wrong: Callable[[ast.AST], bool]) -> list[str]:
    """Return the places outside some layers where something stands."""
    return [
        f"{file}:{node.lineno}: {layer}"
        for layer, file, tree in modules(package)
        if layer not in allowed
        for node in tree
        if wrong(node)
    ]


def talks_outside_cli(package: Path) -> list[str]:
    def talks(node: ast.AST) -> bool:
        if isinstance(node, ast.Attribute):
            return ast.unparse(node) in {"sys.stdout", "sys.stderr"}
        return isinstance(node, ast.Name) and node.id == "print"

    return uses(package, {"cli", "__main__"}, talks) + [
        f"{place}: {layer} imports {name}"
        for layer, _, place, name in imports(package)
        if layer not in {"cli", "__main__"} and name.split(".")[0] in TERMINAL
    ]


def files_outside_job(package: Path) -> list[str]:
    def opens(node: ast.AST) -> bool:
        return isinstance(node, ast.Name) and node.id == "open"

    found = uses(package, MAY_TOUCH_FILES, opens) + [
        f"{place}: {layer} imports {name}"
        for layer, _, place, name in imports(package)
        if layer not in MAY_TOUCH_FILES
        and (name.split(".")[0] in FILES or name.startswith("pyarrow.parquet"))
    ]
    also = tuple(f"{package / file}:" for file in MAY_ALSO)
    return [place for place in found if not place.startswith(also)]


def declared() -> set[str]:
    """Top-level modules of the dependencies, and extras for users, that pyproject.toml names."""
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"]
    entries = [*project["project"]["dependencies"], *extras["faiss"], *extras["report"]]
    names = (re.split(r"[\[<>=]", entry)[0] for entry in entries)
    modules = {"scikit-learn": "sklearn", "faiss-cpu": "faiss", "ruamel.yaml": "ruamel"}
    modules["python-json-logger"] = "pythonjsonlogger"
    return {modules.get(name, name) for name in names}


def undeclared(package: Path) -> list[str]:
    known = declared() | {"dsmote", "pydantic_core"} | sys.stdlib_module_names
    return [
        f"{place}: {name} is no dependency"
        for _, _, place, name in imports(package)
        if name.split(".")[0] not in known
    ]


def too_long(package: Path) -> list[str]:
    lengths = (
        (file, len(file.read_text(encoding="utf-8").splitlines()))
        for file in sorted(package.rglob("*.py"))
    )
    return [f"{file}: {n} lines, at most {MAX_LINES}" for file, n in lengths if n > MAX_LINES]


CHECKS = [
    unknown_layers,
    wrong_direction,
    cycles,
    upward_files,
    dask_outside,
    talks_outside_cli,
    files_outside_job,
    undeclared,
    too_long,
]

# Check, module, a line added to it that breaks the promise.
BROKEN = [
    (unknown_layers, "helpers.py", "x = 1"),
    (wrong_direction, "plan/__init__.py", "import dsmote.kernels"),
    (wrong_direction, "kernels.py", "from dsmote import neighbors"),
    (wrong_direction, "kernels.py", "from dsmote.execute.graph import anything"),
    (wrong_direction, "neighbors/__init__.py", "from dsmote import SMOTE"),
    (wrong_direction, "execute/__init__.py", "def late():\n    from .. import samplers"),
    (wrong_direction, "samplers/__init__.py", "from dsmote.job import anything"),
    (wrong_direction, "job/__init__.py", "from dsmote.cli import main"),
    (wrong_direction, "cluster.py", "from dsmote import SMOTE"),
    (cycles, "plan/labels.py", "from dsmote.plan.profile import anything"),
    (cycles, "job/logs.py", "def late():\n    from dsmote.job.jobfile import anything"),
    (cycles, "plan/labels.py", "if TYPE_CHECKING:\n    from dsmote.plan import anything"),
    (upward_files, "job/new.py", "from dsmote.job import anything"),
    (upward_files, "plan/new.py", "from dsmote.plan import Plan"),
    (dask_outside, "plan/__init__.py", "import dask.dataframe as dd"),
    (dask_outside, "neighbors/new.py", "def late():\n    from distributed import get_client"),
    (dask_outside, "samplers/__init__.py", "import dask"),
    (talks_outside_cli, "execute/__init__.py", "print('hello')"),
    (talks_outside_cli, "job/__init__.py", "import rich.console"),
    (talks_outside_cli, "job/__init__.py", "from click import echo"),
    (talks_outside_cli, "plan/__init__.py", "import sys\nsys.stderr.write('hello')"),
    (files_outside_job, "samplers/__init__.py", "from pathlib import Path"),
    (files_outside_job, "execute/__init__.py", "def late(path):\n    return open(path)"),
    (undeclared, "execute/__init__.py", "def late():\n    import requests"),
    (too_long, "plan/new.py", "\n" * MAX_LINES + "x = 1"),
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_package_keeps_its_layers(check: Callable[[Path], list[str]]) -> None:
    assert check(PACKAGE) == []


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the package, which each test leaves as it was."""
    folder = tmp_path_factory.mktemp("layers") / "dsmote"
    shutil.copytree(PACKAGE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.mark.parametrize(
    ("check", "module", "line"),
    BROKEN,
    ids=[f"{c.__name__}-{m}-{i}" for i, (c, m, _) in enumerate(BROKEN)],
)
def test_broken_layer_is_noticed(
    check: Callable[[Path], list[str]], module: str, line: str, copy: Path
) -> None:
    file = copy / module
    text = file.read_text(encoding="utf-8") if file.exists() else None
    try:
        file.write_text(f"{text or ''}\n{line}\n", encoding="utf-8")
        assert check(copy)
    finally:
        if text is None:
            file.unlink()
        else:
            file.write_text(text, encoding="utf-8")


def test_every_dependency_is_used() -> None:
    used = {name.split(".")[0] for _, _, _, name in imports(PACKAGE)}
    # Dask imports it, to make the certificates of local clusters.
    assert declared() - used == {"cryptography"}
