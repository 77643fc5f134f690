"""What a job writes: the lazy parts, their folders, and the rows they must hold."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import pyarrow as pa
from dask import delayed

from dsmote.execute import count_classes, read_frame
from dsmote.execute.resources import memory_limit
from dsmote.job.labels import plain_label
from dsmote.job.layout import Layout, check_folders, check_partition_by
from dsmote.job.parts import Part, ToWrite
from dsmote.job.runner import Threads
from dsmote.job.shuffle import Numbered, mixed, n_parts, with_mixing
from dsmote.job.sources import Source, with_pandas_dtypes
from dsmote.job.spec import JobSpec, sampler_of
from dsmote.job.storage import part_name
from dsmote.job.training import Divided, divide
from dsmote.plan import MemoryLimitError, format_bytes
from dsmote.plan.memory import reading_bytes, refusal

__all__ = ["TEST", "TRAIN", "Outputs", "different", "make_outputs", "plan_outputs"]

#: The folders of training rows, resampled, and of the other rows, untouched.
TRAIN, TEST = "train", "test"


@dataclass(frozen=True)
class Outputs:
    """All that a job writes, as the sampler planned it.

    The parts are those of all folders, numbered through; `counts` are the rows of each label that a
    folder must have. The name of a folder is empty where parts lie in the output's own. With them
    goes what is known of the search for neighbours, lazily where it is measured, and the rows that
    a report shows.
    """

    sampler: Any
    parts: list[ToWrite]
    counts: dict[str, dict[Any, int]]
    report: Any
    drawn: Any = None

    @property
    def rows(self) -> int:
        """Rows that are written."""
        return sum(sum(counts.values()) for counts in self.counts.values())

    def add(self, name: str, partitions: list[Any], layout: Layout, counts: dict[Any, int]) -> None:
        """Add a folder; files are numbered in it."""
        if not sum(counts.values()):  # no row would make a folder to hold the columns
            layout = replace(layout, partition_by=())
        self.counts[name] = counts
        for place, partition in enumerate(partitions):
            file = "/".join([*filter(None, [name]), part_name(place)])
            self.parts.append(ToWrite(len(self.parts), file, partition, layout))

    def written(self, parts: Sequence[Part]) -> dict[str, list[Part]]:
        """Return what was written of each folder."""
        found: dict[str, list[Part]] = {name: [] for name in self.counts}
        for part in parts:
            found[self.parts[part.number].file.rpartition("/")[0]].append(part)
        return found

    def described(self, parts: Sequence[Part]) -> dict[str, Any]:
        """Return what a manifest says of the rows: of each side, and of each folder."""
        plan = self.sampler.plan_
        changed = {} if plan.direction == "over-sampling" else {"dropped": int(plan.n_dropped)}
        rows = {"before": int(plan.n_before), "new": int(plan.n_new), **changed}
        rows |= {"after": int(plan.n_after)}
        if plan.test is not None:
            rows["test"] = sum(n for _, n in plan.test)
        folders = {
            name or ".": {
                "rows": sum(part.rows for part in own),
                "bytes": sum(part.bytes for part in own),
                "files": sum(len(part.files) for part in own),
            }
            for name, own in self.written(parts).items()
        }
        test = {key: value for key, value in plan.to_dict().items() if key == "test"}
        return {"rows": rows, "folders": folders, **test}


@dataclass(frozen=True)
class Opened:
    """An input that was looked at as far as the split and the mixing of rows need it.

    `lengths` are the rows of each partition of the frame that is resampled, where they must be
    known, `largest` those of the largest partition as it is read, and `passes` what the data were
    read for.
    """

    frame: Any
    sampler: Any
    divided: Divided | None = None
    lengths: tuple[int, ...] | None = None
    largest: int = 0
    passes: tuple[str, ...] = ()
    note: str | None = None


def make_outputs(spec: JobSpec, source: Source, runner: Threads, folder: str) -> Outputs:
    """Look at the input as often as the plan needs; return what is to be written, lazily.

    What is written on the way goes to the staging folder.
    """
    opened = _opened(spec, source, runner)
    sampler, divided = opened.sampler, opened.divided
    with warnings.catch_warnings(), _of_training(divided):
        # The plan has them all, and the manifest takes them from there.
        warnings.simplefilter("ignore", UserWarning)
        balanced = sampler.resample(opened.frame, target=spec.target)
    sampler.plan_ = plan = _completed(sampler.plan_, spec, opened)
    plan.check()  # once more: mixing may need what is not there
    layout = Layout(
        _output_schema(source, balanced._meta),
        spec.target,
        spec.partition_by,
        spec.row_group_rows,
        spec.compression,
    )
    wanted = plan.counts_after
    if spec.mode == "synthetic":
        wanted = {c.label: c.new for c in plan.classes}
    drawn = None
    if spec.report:
        from dsmote.job.report import draw

        drawn = draw(sampler, opened.frame, balanced, spec.target)
    outputs = Outputs(sampler, [], {}, getattr(sampler, "neighbors_report_", {}), drawn)
    partitions = _partitions(spec, opened, balanced, layout.schema, folder)
    counts = {plain_label(label): int(n) for label, n in wanted.items() if n}
    outputs.add(TRAIN if divided else "", partitions, layout, counts)
    if divided and spec.mode != "synthetic":
        meta = divided.test._meta
        # The input's own schema: nothing is added here, and no value can have become missing.
        schema = source.output_schema(meta) if source.schema is None else source.schema
        partitions = _filled(divided.test.to_delayed(optimize_graph=False), divided.test_rows)
        counts = {None if label is None else plain_label(label): n for label, n in plan.test}
        outputs.add(TEST, partitions, replace(layout, schema=schema), counts)
    return outputs


def _partitions(
    spec: JobSpec, opened: Opened, balanced: Any, schema: pa.Schema, folder: str
) -> list[Any]:
    """Return the partitions to write of the resampled table."""
    plan = opened.sampler.plan_
    partitions = balanced.to_delayed(optimize_graph=False)
    blocks = plan.blocks
    n_originals = len(partitions) - len(blocks)
    originals, made = partitions[:n_originals], partitions[n_originals:]
    if spec.mode == "synthetic":
        originals = []
    nothing = [delayed(balanced._meta.iloc[:0])]
    if not spec.shuffle:
        if originals and opened.divided:
            originals = _filled(originals, opened.divided.train_rows)
        return [*originals, *made] or nothing
    numbered, start = [], 0
    for partition, rows in zip(originals, opened.lengths or (), strict=bool(originals)):
        numbered.append(Numbered(partition, start, rows))
        start += rows
    for partition, block in zip(made, blocks, strict=True):
        numbered.append(Numbered(partition, plan.n_before + block.offset, block.rows))
    numbered = [one for one in numbered if one.rows]
    parts = n_parts(_n_written(spec, plan), balanced._meta)
    return mixed(numbered, parts, int(plan.seed), folder, schema) if numbered else nothing


def _n_written(spec: JobSpec, plan: Any) -> int:
    return int(plan.n_new if spec.mode == "synthetic" else plan.n_after)


def plan_outputs(spec: JobSpec, source: Source, runner: Threads) -> Any:
    """Return the plan of what would be written."""
    opened = _opened(spec, source, runner)
    with _of_training(opened.divided):
        plan = opened.sampler.plan(opened.frame, target=spec.target)
    return _completed(plan, spec, opened)


@contextmanager
def _of_training(divided: Divided | None) -> Iterator[None]:
    """Say that a message is about the rows for training, where others are there too."""
    try:
        yield
    except ValueError as error:
        if divided is None or type(error) is not ValueError:
            raise
        train, test = sum(divided.train_rows), sum(divided.test_rows)
        raise ValueError(
            f"among the {train:,} rows for training (of {train + test:,}): {error}"
        ) from error


def _opened(spec: JobSpec, source: Source, runner: Threads) -> Opened:
    """Open the input lazily; rows are counted by partition only where that must be known."""
    process = runner.process_bytes()
    _check_reading(source, process)
    frame = source.frame()
    check_partition_by(spec.partition_by, frame._meta.dtypes)
    sampler = sampler_of(spec, frame._meta)
    sampler._process_bytes = process
    told = _look_at_folders(spec, frame, sampler._sampling_type == "over-sampling")
    divided = lengths = None
    largest = 0
    if spec.split is not None:
        divided = divide(frame, spec.target, spec.split)
        frame, lengths = divided.train, divided.train_rows
        largest = max(map(sum, zip(lengths, divided.test_rows, strict=True)))
        sampler._partition_rows = largest
        if hasattr(sampler, "_counted"):
            labels = read_frame(divided.train_labels, spec.target)
            sampler._counted = count_classes(labels)
        told = (*told, "telling training rows from others")
    elif spec.shuffle and spec.mode != "synthetic":
        lengths = source.partition_rows
        if lengths is None:
            counted = count_classes(read_frame(frame, spec.target))
            lengths = tuple(sum(p.counts.values()) + p.missing for p in counted.parts)
            told = (*told, "counting rows by partition")
        largest = max(lengths)
    return Opened(frame, sampler, divided, lengths, largest, told, runner.note)


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


def _look_at_folders(spec: JobSpec, frame: Any, few: bool) -> tuple[str, ...]:
    """Refuse values that name no folder; return the passes it took."""
    if not spec.partition_by or spec.mode == "synthetic":  # the values of new rows come later
        return ()
    if spec.partition_by == (spec.target,) and spec.split is None:
        return ()  # the classes are counted first anyway: they are few, and no label is missing
    check_folders(frame, spec.partition_by, few)
    return ("looking at the columns of partition_by",)


def _completed(plan: Any, spec: JobSpec, opened: Opened) -> Any:
    """Add to a plan what a job does besides: rows that are left, rows that are mixed, passes."""
    if opened.divided is not None:
        plan = replace(plan, test=opened.divided.held_back(plan.counts_before))
    plan = replace(plan, passes=(*opened.passes, *plan.passes))
    if opened.note:
        plan = replace(plan, notes=(*plan.notes, opened.note))
    if not spec.shuffle:
        return plan
    files = sum(1 for n in opened.lengths or () if n) * (spec.mode != "synthetic")
    return with_mixing(
        plan,
        _n_written(spec, plan),
        opened.frame._meta,
        opened.largest,
        files + len(plan.blocks),
        opened.sampler._process_bytes,
    )


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
    """Return a field with a type, which an empty column of objects does not tell.

    Where it holds what the parents of a row had in a passthrough column, it is of that type.
    """
    if not pa.types.is_null(field.type):
        return field
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
        if dict(written) != planned:
            differing = {
                label: (written.get(label, 0), planned.get(label, 0))
                for label in sorted({*written, *planned}, key=str)
                if written.get(label, 0) != planned.get(label, 0)
            }
            where = f" in {name}/" if name else ""
            return (
                f"the rows written{where} are not the rows planned (label: written, planned): "
                f"{differing}; the input may have changed while it was read"
            )
    return None
