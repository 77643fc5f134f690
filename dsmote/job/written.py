"""An output of a job as its manifest describes it, and how it is read."""

from __future__ import annotations

import datetime
import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import unquote

import numpy as np
import pyarrow as pa

from dsmote.execute.resources import thread_count
from dsmote.job.files import clear_errors, is_local
from dsmote.job.hashing import VIEWS
from dsmote.job.logs import MASK, Secrets
from dsmote.job.sources import Footer, Piece, Source, pieces_of, read_table, row_width
from dsmote.job.spec import JobSpec, load_job
from dsmote.job.storage import Output
from dsmote.plan.labels import listed
from dsmote.samplers.registry import find_sampler

#: Bytes read at once of a file whose checksum is taken.
CHUNK = 1 << 20
#: Columns that `provenance: full` adds, besides those of passthrough columns.
FULL = ("synthetic", "base_row", "neighbour_row", "gap")

Item = TypeVar("Item")
Result = TypeVar("Result")


class Table:
    """An output, as its manifest describes it."""

    def __init__(self, url: str) -> None:
        self.url, self.hidden = url, Secrets()
        with clear_errors("read", url):
            output = Output(url)
            there, manifest = output.fs.exists(output.target), output.read(output.manifest)
        if not there:
            raise ValueError(f"there is no output {url}: give the folder that a job wrote")
        if manifest is None or "job" not in manifest:
            raise ValueError(
                f"{url} is there, but {output.manifest}, which says how it was made, is not: it is "
                "written beside the output of `dsmote run` and `dsmote resample`, and must be "
                "copied or moved along with it"
            )
        self.manifest, self.parts, self._output = manifest, list(manifest["parts"]), output
        self.job: dict[str, Any] = manifest["job"]
        self.target: str = self.job["target"]
        self.keys: tuple[str, ...] = tuple(self.job.get("partition_by") or ())
        #: The type of each column as recorded, by folder.
        schema: dict[str, list[tuple[str, str]]] = manifest.get("schema") or {}
        self.columns = {folder: dict(columns) for folder, columns in schema.items()}
        names = [name for columns in schema.values() for name, _ in columns]
        told = {key: of for key, of in self.job.items() if key not in ("input", "output")}
        #: Whether names or values are not known, because they came from variables of a job file.
        self.masked = any(MASK in text for text in (*names, str(told)))
        self.footers: dict[str, Footer] = {}

    def sizes(self) -> dict[str, int]:
        """Return the bytes of each file that is there."""
        return self._output.sizes(self._output.target)

    def path(self, part: Mapping[str, Any]) -> str:
        """Return the URL of a file."""
        output = self._output
        path = f"{output.target}/{part['file']}"
        return path if is_local(output.fs) else str(output.fs.unstrip_protocol(path))

    def checksum(self, part: Mapping[str, Any]) -> str:
        """Return the checksum of a file."""
        with self._output.fs.open(f"{self._output.target}/{part['file']}", "rb", CHUNK) as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()

    def folder(self, part: Mapping[str, Any]) -> str:
        """Return `test` of a part that was held back; `.` or `train` of the others."""
        split = bool(self.job.get("split"))
        return str(part["file"]).partition("/")[0] if split else "."

    @property
    def folders(self) -> tuple[str, ...]:
        """The folders, those of a split or the output itself."""
        return tuple(dict.fromkeys(map(self.folder, self.parts)))

    def see(self, footer: Footer, part: Mapping[str, Any]) -> None:
        """Keep the footer of a part, which says how it is read."""
        schema = footer.schema
        for place, field in enumerate(schema):
            schema = schema.set(place, field.with_type(without_views(field.type)))
        self.footers[part["file"]] = footer._replace(schema=schema)

    def names_of(self, part: Mapping[str, Any]) -> list[str]:
        """Return the columns of a part: as recorded, or else as it has them."""
        recorded = self.columns.get(self.folder(part))
        if recorded is not None:
            return [*recorded]
        return [*self.footers[part["file"]].schema.names, *self.keys_of(part)]

    def marks(self, part: Mapping[str, Any]) -> bool:
        """Tell whether the rows of a part say if they are new."""
        # Of two steps that make rows, the last one's provenance takes all before for originals.
        one = self.makers < 2 and "synthetic" in self.added
        return one and "synthetic" in self.names_of(part)

    @property
    def makers(self) -> int:
        """How many steps made new rows."""
        steps = self.manifest.get("steps") or [self.manifest]
        return sum(any(one.get("new") for one in step["classes"]) for step in steps)

    def is_new(self, part: Mapping[str, Any]) -> bool | None:
        """Tell whether the rows of a part are new; None where some may be."""
        synthetic = self.job.get("mode") == "synthetic"
        return True if synthetic else part.get("new")

    @property
    def mixed(self) -> bool:
        """Whether new rows lie among the original ones."""
        return bool(self.job.get("shuffle"))

    @property
    def in_order(self) -> bool:
        """Whether original rows lie in the order of the input."""
        return not (self.keys or self.mixed)

    @cached_property
    def added(self) -> set[str]:
        """Columns that the input does not have: provenance refuses an input that has them."""
        found = set[str]()
        for name, own in self._named_steps():
            if own.get("provenance") == "full":
                carried = own.get("carry") or ()
                found |= {*FULL, *(f"{c}_{of}" for c in carried for of in ("base", "neighbour"))}
            elif own.get("provenance") == "flag":
                kind: Any = find_sampler(name)
                makes = kind._sampling_type == "over-sampling"
                found.add("synthetic" if makes else "removed")
        return found

    def types_of(self, source: Source) -> pa.Schema:
        """Return the columns of an input in the types that they have here, or refuse it."""
        part = self.parts[0]
        known, keys = self.footers[part["file"]].schema, self.keys_of(part)
        absent = [n for n in source.columns if n not in known.names and n not in keys]
        if absent:
            raise ValueError(f"columns of the input are not in the output: {listed(absent)}")
        own = {*source.columns, *self.added}
        more = [n for n in (*known.names, *keys) if n not in own]
        if more:
            raise ValueError(f"columns of the output are not in the input: {listed(more)}")
        fields = []
        for name in source.columns:
            of = self.type_of(part, name) if name in keys else known.field(name).type
            if source.schema is not None and name not in keys:
                given = without_views(source.schema.field(name).type)
                if given != of:
                    raise ValueError(f"column {name!r} is {of}, in the input {given}")
            fields.append(pa.field(name, of))
        return pa.schema(fields)

    def _named_steps(self) -> list[tuple[str, dict[str, Any]]]:
        shown = self.manifest["parameters"]
        steps = shown.get("steps", [{self.manifest["sampler"]: shown}])
        return [pair for step in steps for pair in step.items()]

    def steps(self) -> list[dict[str, Any]]:
        """Return the parameters of each step, as the manifest has them."""
        return [own for _, own in self._named_steps()]

    def spec(self) -> JobSpec:
        """Return the job."""
        return load_job(self.job, needs_output=False)

    def read(self, part: Mapping[str, Any], piece: Piece, names: Sequence[str]) -> pa.Table:
        """Read some columns of a piece of a part, those in the names of its folders too."""
        schema = self.footers[part["file"]].schema
        keys = self.keys_of(part)
        fields = [schema.field(name) for name in names if name not in keys]
        # One is read at least: it says how many rows there are.
        wanted = pa.schema(fields or [schema.field(0)], schema.metadata)
        return self.with_keys(part, read_table([piece], wanted), names)

    def with_keys(self, part: Mapping[str, Any], rows: pa.Table, names: Sequence[str]) -> pa.Table:
        """Return rows of a part with some columns, those in the names of its folders too."""
        for name, text in self.keys_of(part).items():
            if name in names:
                of = self.type_of(part, name)
                time = pa.types.is_time(of)  # of which Arrow reads no text
                value = datetime.time.fromisoformat(text) if time else text
                values = pa.array([value]).cast(of)
                column = pa.chunked_array([values]).take(pa.array(np.zeros(len(rows), np.int64)))
                rows = rows.append_column(name, column)
        return rows.select(list(names))

    def keys_of(self, part: Mapping[str, Any]) -> dict[str, str]:
        """Return the values of columns that are in the names of a part's folders."""
        named = (segment.partition("=") for segment in str(part["file"]).split("/")[:-1])
        return {name: unquote(text) for name, equals, text in named if equals}

    def type_of(self, part: Mapping[str, Any], name: str) -> pa.DataType:
        """Return the type of a column that is in the names of folders."""
        recorded = self.columns.get(self.folder(part), {}).get(name, "string")
        try:
            return without_views(pa.type_for_alias(recorded))
        except ValueError:  # categories
            return pa.string()

    def pieces(self, part: Mapping[str, Any]) -> list[Piece]:
        """Cut a part into pieces that can be held."""
        footer = self.footers[part["file"]]
        return pieces_of(footer, row_width(footer.schema))


def without_views(of: pa.DataType) -> pa.DataType:
    """Return a type that holds the same values, and of which Arrow can take rows."""
    return VIEWS.get(of, of)


def in_order(call: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yield what a function makes of items, in their order; a few are worked on at a time."""
    threads = max(1, min(4, thread_count()))
    waiting: deque[Any] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(call, item))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
