"""What a job writes: the lazy parts, the rows they must hold, and the manifest."""

from __future__ import annotations

import hashlib
import json
import platform
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
from dask import delayed

from dsmote import __version__
from dsmote.execute import read_frame
from dsmote.execute.resources import memory_limit
from dsmote.job.files import InputFiles, clear_errors, list_files
from dsmote.job.labels import plain_label, plain_value
from dsmote.job.logs import masked_logger
from dsmote.job.parts import (
    Layout,
    Part,
    ToWrite,
    Written,
    as_stored,
    check_folders,
    check_partition_by,
)
from dsmote.job.runner import Threads
from dsmote.job.sources import Source, with_pandas_dtypes
from dsmote.job.spec import JobSpec, sampler_of
from dsmote.job.storage import SUCCESS, Output, OutputLocked, lacking, opened, part_name
from dsmote.plan import MemoryLimitError, format_bytes
from dsmote.plan.labels import listed
from dsmote.plan.memory import reading_bytes, refusal
from dsmote.samplers.registry import parameters_of

if TYPE_CHECKING:
    from dsmote.job.training import Divided

#: The folders of training rows, resampled, and of the other rows, untouched.
TRAIN, TEST = "train", "test"
FORMAT_VERSION = 1
VERSIONS = ("dask", "distributed", "numpy", "pandas", "pyarrow", "scikit-learn", "scipy")
#: Fields that do not change what is written. The input is known by its files.
WITHOUT_EFFECT = ("input", "output", "if_exists", "resume")

logger = masked_logger(__name__)


class Outputs:
    """All that a job writes, lazily, from an input that was looked at as often as that needs."""

    def __init__(self, spec: JobSpec, source: Source, runner: Threads) -> None:
        self.spec, self.source, self.note = spec, source, runner.note
        process = runner.process_bytes()
        _check_reading(source, process)
        self.frame = source.frame()
        check_partition_by(spec.partition_by or (), self.frame._meta.dtypes)
        self.sampler = sampler_of(spec, self.frame._meta)
        self.sampler._process_bytes = process
        self.divided: Divided | None = None  # both sides of a split
        self.lengths: tuple[int, ...] | None = None  # rows of partitions, where they must be known
        # Rows of the largest partition as it is read, where that is known.
        self.largest = source.rows_held
        if source.filters:
            self.sampler._partition_rows = self.largest
        self.passes = self._look_at_folders()
        self.parts: list[ToWrite] = []  # of all folders, numbered through
        #: Rows of each label that a folder must have; the output's own has no name.
        self.counts: dict[str, dict[Any, int]] = {}
        self.drawn: Any = None  # rows that a report shows
        if spec.split is not None:
            from dsmote.job.training import divide

            self.divided = divided = divide(self.frame, spec.target, spec.split)
            self.frame, self.lengths = divided.train, divided.train_rows
            read = map(sum, zip(self.lengths, divided.test_rows, strict=True))
            self.largest = max(source.rows_held, *read)
            self.sampler._partition_rows = self.largest
            if self.sampler._needs_parts:
                self.sampler._counted = read_frame(divided.train_labels, spec.target).counted()
            self.passes += ("telling training rows from others",)
        elif spec.shuffle and spec.mode != "synthetic":
            self.lengths = source.partition_rows
            if self.lengths is None:
                counted = read_frame(self.frame, spec.target).counted()
                self.lengths = tuple(sum(p.counts.values()) + p.missing for p in counted.parts)
                self.passes += ("counting rows by partition",)
            self.largest = max(source.rows_held, *self.lengths)

    def plan(self) -> Any:
        """Return the plan of what would be written."""
        with self._of_training():
            plan = self.sampler.plan(self.frame, target=self.spec.target)
        return self._completed(plan)

    def make(self, folder: str) -> None:
        """Add the parts; what is written on the way goes to the staging folder."""
        spec, source, divided = self.spec, self.source, self.divided
        with warnings.catch_warnings(), self._of_training():
            # The plan has them all, and the manifest takes them from there.
            warnings.simplefilter("ignore", UserWarning)
            self.sampler._staging = folder.rpartition("/")[0]
            balanced = self.sampler.resample(self.frame, target=spec.target)
        self.sampler.plan_ = plan = self._completed(self.sampler.plan_)
        plan.check()  # once more: mixing may need what is not there
        steps = self.sampler._steps_run
        self.reports = [getattr(step, "neighbors_report_", {}) for step in steps]
        self.counts_after = steps[-1]._counts_after  # lazily, where they are not known before
        if spec.report:
            from dsmote.job.report import draw

            self.drawn = draw(self.sampler, self.frame, balanced, spec.target)
        layout = Layout(
            _output_schema(source, balanced._meta),
            spec.target,
            spec.partition_by or (),
            spec.row_group_rows,
            spec.compression,
        )
        synthetic = spec.mode == "synthetic"
        counts = self._wanted(plan)
        partitions = self._partitions(balanced, layout.schema, folder)
        made = None if spec.shuffle else len(plan.blocks)
        self._add(TRAIN if divided else "", partitions, layout, counts, made)
        if divided and not synthetic:
            meta = divided.test._meta
            # The input's own schema: nothing is added here, and no value can have become missing.
            schema = source.output_schema(meta) if source.schema is None else source.schema
            partitions = _filled(divided.test.to_delayed(optimize_graph=False), divided.test_rows)
            counts = {None if label is None else plain_label(label): n for label, n in plan.test}
            self._add(TEST, partitions, replace(layout, schema=schema), counts)

    def _add(
        self,
        name: str,
        partitions: list[Any],
        layout: Layout,
        counts: dict[Any, int],
        made: int | None = 0,
    ) -> None:
        """Add a folder; files are numbered in it. The last `made` are new rows; None: mixed."""
        if not sum(counts.values()):  # no row would make a folder to hold the columns
            layout = replace(layout, partition_by=())
        self.counts[name] = counts
        for place, partition in enumerate(partitions):
            file = "/".join([*filter(None, [name]), part_name(place)])
            new = None if made is None else place >= len(partitions) - made
            self.parts.append(ToWrite(len(self.parts), file, partition, layout, new))

    def _wanted(self, plan: Any) -> dict[Any, int]:
        synthetic = self.spec.mode == "synthetic"
        wanted = {c.label: c.new for c in plan.classes} if synthetic else plan.counts_after
        return {plain_label(label): int(n) for label, n in wanted.items() if n}

    def settle(self, counts_after: Mapping[Any, int]) -> Any:
        """Take the rows of each class that a cleaning method left for those planned."""
        self.sampler.plan_ = plan = self.sampler.plan_.with_counts_after(counts_after)
        self.counts[TRAIN if self.divided else ""] = self._wanted(plan)
        return plan

    @property
    def rows(self) -> int:
        """Rows that are written; of cleaning methods, at most."""
        return sum(sum(counts.values()) for counts in self.counts.values())

    def written(self, parts: Sequence[Part]) -> dict[str, list[Part]]:
        """Return what was written of each folder."""
        found: dict[str, list[Part]] = {name: [] for name in self.counts}
        for part in parts:
            found[self.parts[part.number].file.rpartition("/")[0]].append(part)
        return found

    def layout_of(self, name: str) -> Layout:
        """Return how the files of a folder are written."""
        return next(p.layout for p in self.parts if p.file.rpartition("/")[0] == name)

    def _look_at_folders(self) -> tuple[str, ...]:
        """Refuse values that name no folder; return the passes it took."""
        spec = self.spec
        if not spec.partition_by or spec.mode == "synthetic":  # values of new rows come later
            return ()
        if spec.partition_by == (spec.target,) and spec.split is None:
            return ()  # classes are counted first anyway: they are few, and no label is missing
        few = self.sampler._sampling_type == "over-sampling"
        check_folders(self.frame, spec.partition_by, few)
        return ("looking at the columns of partition_by",)

    @contextmanager
    def _of_training(self) -> Iterator[None]:
        """Say that a message is about the rows for training, where others are there too."""
        try:
            yield
        except ValueError as error:
            if self.divided is None or type(error) is not ValueError:
                raise
            train, test = sum(self.divided.train_rows), sum(self.divided.test_rows)
            raise ValueError(
                f"among the {train:,} rows for training (of {train + test:,}): {error}"
            ) from error

    def _n_written(self, plan: Any) -> int:
        """Return how many rows of the resampled table are written."""
        return int(plan.n_new if self.spec.mode == "synthetic" else plan.n_after)

    def _completed(self, plan: Any) -> Any:
        """Add to a plan what a job does besides: rows held back, rows that are mixed, passes."""
        if self.divided is not None:
            plan = replace(plan, test=self.divided.held_back(plan.counts_before))
        plan = replace(plan, passes=(*self.passes, *plan.passes))
        if self.note:
            plan = replace(plan, notes=(*plan.notes, self.note))
        if not self.spec.shuffle:
            return plan
        from dsmote.job.shuffle import with_mixing

        files = sum(1 for n in self.lengths or () if n) * (self.spec.mode != "synthetic")
        return with_mixing(
            plan,
            self._n_written(plan),
            self.frame._meta,
            self.largest,
            files + len(plan.blocks),
            self.sampler._process_bytes,
        )

    def _partitions(self, balanced: Any, schema: pa.Schema, folder: str) -> list[Any]:
        """Return the partitions to write of the resampled table."""
        plan, spec = self.sampler.plan_, self.spec
        partitions, blocks = balanced.to_delayed(optimize_graph=False), plan.blocks
        n_originals = len(partitions) - len(blocks)
        originals, made = partitions[:n_originals], partitions[n_originals:]
        if spec.mode == "synthetic":
            originals = []
        nothing = [delayed(balanced._meta.iloc[:0])]
        if not spec.shuffle:
            if originals and self.divided:
                originals = _filled(originals, self.divided.train_rows)
            return [*originals, *made] or nothing
        from dsmote.job.shuffle import Numbered, mixed, n_parts

        counted = self.sampler._counted_after()  # of a chain
        lengths = [*(self.lengths or ()), *(block.rows for block in blocks)]
        lengths = counted.lengths if counted else lengths
        numbered, start = [], 0 if originals else plan.n_before
        lengths = lengths[-len(partitions) :] if originals else lengths[len(lengths) - len(made) :]
        for partition, rows in zip([*originals, *made], lengths, strict=True):
            numbered.append(Numbered(partition, start, rows))
            start += rows
        numbered = [one for one in numbered if one.rows]
        parts = n_parts(self._n_written(plan), balanced._meta)
        return mixed(numbered, parts, int(plan.seed), folder, schema) if numbered else nothing


def _check_reading(source: Source, process: int) -> None:
    """Refuse partitions that workers cannot read and count: nothing else is known before that."""
    limit = memory_limit(on_cluster=True)
    size = source.largest_partition
    if limit is None:
        return
    needed = process + reading_bytes(size, limit.threads, len(source.columns))
    if needed > limit.allowed:
        what = f"reading the input, with {format_bytes(size)} in its largest partition,"
        remedy = (
            "write the files with smaller row groups, leave out columns that are not needed, or "
            "give each worker more memory or fewer threads"
        )
        raise MemoryLimitError(refusal(what, needed, limit, remedy))


def _filled(partitions: list[Any], rows: Sequence[int]) -> list[Any]:
    """Leave out partitions that are known to be empty; a table needs one, to have columns."""
    kept = [part for part, n in zip(partitions, rows, strict=True) if n]
    return kept or partitions[:1]


def _output_schema(source: Source, meta: pd.DataFrame) -> pa.Schema:
    """Return the schema of the parts: the input's columns, and those that the sampler adds."""
    known = [name for name in meta.columns if name in source.columns]
    schema, empty = source.output_schema(meta[known]), meta.iloc[:0]
    if len(known) == len(meta.columns):
        return schema
    added = pa.Schema.from_pandas(empty.drop(columns=known), preserve_index=False)
    types = [
        schema.field(name) if name in known else _field_added(added.field(name), schema)
        for name in meta.columns
    ]
    return with_pandas_dtypes(pa.schema(types), empty)


def _field_added(field: pa.Field, schema: pa.Schema) -> pa.Field:
    """Return a field with a type, which an empty column of objects does not tell."""
    if not pa.types.is_null(field.type):
        return field
    # Where it holds what the parents of a row had in a passthrough column, it is of that type.
    column = field.name.removesuffix("_base").removesuffix("_neighbour")
    values = schema.field(column).type if column in schema.names else pa.large_string()
    values = values.value_type if pa.types.is_dictionary(values) else values
    text = pa.types.is_string(values) or pa.types.is_null(values)
    return pa.field(field.name, pa.large_string() if text else values)


def different(outputs: Outputs, parts: Sequence[Part]) -> str | None:
    """Say in which classes the rows written are not the rows planned; None where they are."""
    for name, own in outputs.written(parts).items():
        written: Counter[Any] = Counter()
        for part in own:
            written.update(dict(part.counts))
        planned = outputs.counts[name]
        differing = {
            label: (written[label], planned.get(label, 0))
            for label in sorted({*written, *planned}, key=str)
            if written[label] != planned.get(label, 0)
        }
        if differing:
            where = f" in {name}/" if name else ""
            return (
                f"the rows written{where} are not the rows planned (label: written, planned): "
                f"{differing}; the input may have changed while it was read"
            )
    return None


def make_manifest(
    spec: JobSpec,
    outputs: Outputs,
    parts: Sequence[Part],
    reports: Sequence[Mapping[Any, Any]],
    peaks: dict[str, int],
    stages: Mapping[str, float],
) -> dict[str, Any]:
    """Return the manifest as plain data that JSON can hold."""
    sampler, plan = outputs.sampler, outputs.sampler.plan_
    planned = plan.to_dict()
    parameters = [
        _parameters(step, own)
        for step, (_, own) in zip(getattr(sampler, "steps", [sampler]), spec.steps, strict=True)
    ]
    if isinstance(spec.sampler, str):
        (shown,) = parameters
    else:
        names = (name for name, _ in spec.steps)
        shown = {"random_state": sampler.random_state}
        shown["steps"] = [{name: own} for name, own in zip(names, parameters, strict=True)]
    rows = {"before": int(plan.n_before), "new": int(plan.n_new)}
    if plan.direction != "over-sampling":
        rows["dropped"] = int(plan.n_dropped)
    rows["after"] = int(plan.n_after)
    if plan.test is not None:
        rows["test"] = sum(n for _, n in plan.test)
    folders = {
        name or ".": {
            "rows": sum(part.rows for part in own),
            "bytes": sum(part.bytes for part in own),
            "files": sum(len(part.files) for part in own),
        }
        for name, own in outputs.written(parts).items()
    }
    return {
        "format_version": FORMAT_VERSION,
        "job": spec.shown(),
        "sampler": plan.sampler,
        "parameters": {**spec.hidden.mask_value(shown), "seed": int(plan.seed)},
        "versions": versions(),
        "classes": planned["classes"],
        **_by_step(planned),
        "engine": plan.engine,
        "rows": rows,
        "folders": folders,
        **{key: value for key, value in planned.items() if key == "test"},
        "bytes": sum(part.bytes for part in parts),
        "seconds": round(sum(stages.values()), 3),
        "stages": dict(stages),
        "memory": {**(plan.memory.to_dict() if plan.memory else {}), "peak_bytes": peaks},
        "warnings": spec.hidden.mask_value(list(plan.warnings)),
        "schema": {
            name or ".": spec.hidden.mask_value(_columns(outputs.layout_of(name)))
            for name in outputs.counts
        },
        "parts": [
            _described(file, outputs.parts[part.number].new)
            for part in parts
            for file in part.files
        ],
        "neighbors": [
            {"label": plain_label(label), **plain_value(found)}
            for report in reports
            for label, found in report.items()
        ],
    }


def _columns(layout: Layout) -> list[list[str]]:
    """Return name and type of each column as Parquet gives it back."""
    return [[field.name, str(field.type)] for field in as_stored(layout.schema)]


def _described(file: Written, new: bool | None) -> dict[str, Any]:
    """Return what `dsmote verify` compares a file with."""
    told: dict[str, Any] = {"file": file.file, "rows": file.rows, "bytes": file.bytes}
    told |= {} if new is None else {"new": new}
    # What object stores say of a file is a size and a tag, and its copy has another tag.
    return told | ({} if " " in file.mark else {"sha256": file.mark})


def _parameters(sampler: Any, own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a sampler as plain data."""
    known = {name: getattr(sampler, name) for name in parameters_of(type(sampler))}
    # The strategy as it was given, where the sampler holds a callable made from it.
    if "sampling_strategy" in known:
        known["sampling_strategy"] = own.get("sampling_strategy", "auto")
    return dict(plain_value(known))


def _by_step(planned: Mapping[str, Any]) -> dict[str, Any]:
    """Return what each step of a chain did to the classes."""
    names = ("sampler", "seed", "rows_before", "rows_after", "classes")
    steps = [{name: step[name] for name in names} for step in planned.get("steps", ())]
    return {"steps": steps} if steps else {}


def versions() -> dict[str, str]:
    """Return the versions of Python, dsmote and the libraries that make the table."""
    own = {"python": platform.python_version(), "dsmote": __version__}
    return own | {name: version(name) for name in VERSIONS}


def digest(document: Any) -> str:
    """Return a short text that is equal for equal plain data."""
    text = json.dumps(document, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def fingerprint(spec: JobSpec, inputs: InputFiles) -> dict[str, Any]:
    """Return what decides about the table that a job makes, as plain data."""
    job = {name: value for name, value in spec.to_dict().items() if name not in WITHOUT_EFFECT}
    files = {"files": len(inputs.files), "bytes": inputs.n_bytes, "stamp": inputs.stamp}
    made = {"format_version": FORMAT_VERSION, "dsmote": __version__, "input": files}
    return {"digest": digest({**made, "job": job}), **made}


def run_key(found: dict[str, Any]) -> dict[str, Any]:
    """Return what must be the same for a run to resume with the part files of another."""
    # Other versions of the libraries may write other bytes.
    return {"fingerprint": found["digest"], "versions": versions()}


def unchanged(spec: JobSpec) -> dict[str, Any] | None:
    """Return the manifest of an output that need not be made again, and tidy up beside it."""
    standing = up_to_date(spec)
    if standing and spec.output and Output(spec.output).names():
        # What cannot be deleted now is left to the next run.
        with suppress(OutputLocked, OSError), opened(spec.output) as output:
            output.clear()
    return standing


def up_to_date(spec: JobSpec, found: dict[str, Any] | None = None) -> dict[str, Any] | None:
    """Return the manifest of an output that need not be made again; None when there is work to do.

    Nothing is read but the listings and the manifest.
    """
    if spec.if_exists != "skip" or spec.output is None:
        return None
    output = Output(spec.output)
    with clear_errors("read", spec.output):
        manifest, sizes = output.read(output.manifest), output.sizes(output.target)
    if manifest is None or SUCCESS not in sizes:
        return None
    found = found or fingerprint(spec, list_files(spec.input, spec.format, reading=spec.reading))
    if (manifest.get("fingerprint") or {}).get("digest") != found["digest"]:
        changed = "the input, the parameters or the version changed: %s is made again"
        logger.info(changed, spec.output)
        return None
    gone = lacking(manifest, sizes)
    if gone:
        logger.warning("%s lacks %s: it is made again", spec.output, listed(gone, 5))
        return None
    return manifest
