"""The output folder: written aside, then put in place whole, or not at all, by one run at a time.

Where folders can be renamed, the old table is renamed away and the new one takes its name. All is
on the disk before, so that a power cut leaves no empty files behind a ``_SUCCESS``. Then the report
and the manifest take their names, and the old table is deleted.

On an object store a table is whole when ``_SUCCESS`` is there. That is deleted; the parts are
copied by the store itself, under names that hold a key of how they were made
(``part-00000-1f0c2d3e.parquet``); the manifest is written, which lists them; the old parts are
deleted; and ``_SUCCESS`` is written. So a reader that asks for ``_SUCCESS`` first, then reads the
files that the manifest lists, never sees a mixture.

What an error or the death of a run interrupts is finished or taken back: at once, or by the next
run before anything else. Which files there are is told in :mod:`dsmote.job.place`.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dsmote.job.files import CHANGES, clear_errors, is_local, open_fs
from dsmote.job.logs import masked_logger
from dsmote.job.place import (
    SUCCESS,
    Place,
    check_output,
    lacking,
    new_token,
    own_files,
    parts_of,
    write_json,
)

#: Seconds between two renewals of a lock.
BEAT_SECONDS = 10.0
#: A run that has not renewed its lock for so long is dead.
STALE_SECONDS = 300.0
#: How often a run tries to get a lock when others get in between.
TRIES = 8
#: Files that are copied, and that are looked into, at a time.
COPIES, THREADS = 256, 16

#: What a damaged record, or a damaged part, ends in.
DAMAGES = (LookupError, TypeError, ValueError, AttributeError, OSError, pa.ArrowException)

_LOCK = re.compile(r"lock\.([0-9]+)")

logger = masked_logger(__name__)


class OutputLocked(RuntimeError):
    """Another run is at work on the output."""


class LockLost(RuntimeError):
    """The run was taken for dead, and another one may have taken the output over."""


class Output:
    """An output that only this run may write, while it holds the lock.

    The lock is a file, ``lock.N``, that is made only where it is not there, and renewed every
    `BEAT_SECONDS`. One that was not renewed for `STALE_SECONDS` is a dead run's. Then the next run
    makes ``lock.N+1``, which only one of several can do, and deletes the other: no run deletes a
    file that could be another's by then. A run that was suspended for so long does not find its
    file when it wakes up, and gives up.
    """

    def __init__(self, place: Place) -> None:
        self.place, self.token, self.file = place, new_token(), ""
        self._thread = threading.Thread(target=self._renew, name="dsmote-lock", daemon=True)
        self._wake, self._ended, self._lost = threading.Event(), False, False
        self._state: dict[str, Any] = {
            "status": "running",
            "token": self.token,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "since": _now(),
            "heartbeat": _now(),
            "stage": "starting",
        }

    def acquire(self) -> None:
        """Take the lock, also from a run that is dead, or say who holds it."""
        place = self.place
        for attempt in range(TRIES):
            dead = _dead_locks(place)
            file = place.path(f"lock.{max(dead, default=0) + 1}")
            try:
                place.make_folder(place.aside)
                if place.create(file, self._state):
                    self.file = file
                    break
            except FileNotFoundError:  # another run, which ended, deleted the folder
                if not place.has_folders or attempt == TRIES - 1:
                    raise
        else:
            raise OutputLocked(f"other runs are about to write {place.url}: try again")
        # One may have found no lock where this one found a dead run's. Then neither goes on.
        _dead_locks(place, self.file)
        place.check_owner(self.file)
        for number in dead:
            place.remove(place.path(f"lock.{number}"))

    def held(self) -> bool:
        """Tell whether the lock is still this run's."""
        return bool(self.file) and (self.place.read(self.file) or {}).get("token") == self.token

    def check(self) -> None:
        """Raise `LockLost` when the lock is no longer this run's."""
        if not self.held():
            raise LockLost(
                f"this run has lost the lock on {self.place.url}: it showed no sign of life for "
                f"more than {STALE_SECONDS:.0f} s (was it suspended?) and another run may have "
                "taken its place; nothing was put in place"
            )

    def show(self, **state: Any) -> None:
        """Let others see how far this run is: a new stage at once, and the rest by and by."""
        if self._lost:
            self.check()
        self._state |= state
        if "stage" in state:
            self._wake.set()

    def _renew(self) -> None:
        while not self._ended:
            try:
                self._lost = not self.held()
                if not self._lost:
                    write_json(self.place.fs, self.file, {**self._state, "heartbeat": _now()})
            # Trouble of the storage is for the run to meet; a traceback may hold secrets.
            except Exception as error:
                logger.debug("the lock was not renewed: %s", error)
            self._wake.wait(BEAT_SECONDS)
            self._wake.clear()

    def release(self) -> None:
        """Give the lock up, and delete the folder aside unless something is left in it."""
        self._ended = True
        self._wake.set()
        if self._thread.ident:  # else a last renewal could come when the lock is gone
            self._thread.join(timeout=60)
        if self.held():
            self.place.remove(self.file)
        if self.place.has_folders and not self.place.names():
            with suppress(OSError):  # another run has come, or what is there is not ours
                self.place.fs.rmdir(self.place.aside)

    @contextmanager
    def stage(
        self, if_exists: str = "error", key: Mapping[str, Any] | None = None
    ) -> Iterator[Stage]:
        """Yield a staging folder, which is deleted after the block, unless it is to be kept.

        The folder of a dead run with the same key is gone on with; all others are deleted.
        """
        place = self.place
        with clear_errors("write", place.url):
            found = None if key is None else self._find(dict(key))
            self.clear(found)
            check_output(place.url, if_exists)
            stage = Stage(self, self.token, if_exists)
            if found and place.local:  # should that run wake up, it has no folder
                stage.note(Stage(self, found).run() or {})
                os.rename(place.path(found), stage.path)
                place.remove(place.path(f"{found}.json"))
            elif found:
                stage = Stage(self, found, if_exists)
            stage.keep = found is not None  # what was finished before stays, if this run fails
        try:
            with clear_errors("write", place.url):
                stage.open()
            yield stage
            stage.keep = False
        finally:
            stage.discard()

    def _find(self, key: dict[str, Any]) -> str | None:
        for name in self.place.runs():
            run = Stage(self, name).run() or {}
            if run.get("key") == key and isinstance(run.get("seed"), int):
                return name
        return None

    def clear(self, kept: str | None = None) -> None:
        """Delete what dead runs left, but for one staging folder."""
        names = self.place.names()
        for name in names:
            run, path = name.removesuffix(".json"), self.place.path(name)
            if run == kept or _LOCK.fullmatch(name):
                continue
            if name != run or "." in name:
                self.place.remove(path)
            elif f"{run}.json" in names:
                Stage(self, run).remove()
            else:
                logger.warning("%s is no staging folder, and stays", path)


def _dead_locks(place: Place, mine: str = "") -> list[int]:
    """Return the numbers of the locks of dead runs; raise where a run is at work."""
    dead = []
    for match in filter(None, map(_LOCK.fullmatch, place.names())):
        path = place.path(match[0])
        age = None if path == mine else place.age(path)
        if age is None:
            continue
        # One from a time to come was written by a clock that was wrong.
        if abs(age) > STALE_SECONDS:
            dead.append(int(match[1]))
            continue
        run = place.read(path) or {}
        raise OutputLocked(
            f"another run is writing {place.url}: process {run.get('pid')} on {run.get('host')}, "
            f"since {run.get('since')}, last heard of {run.get('heartbeat')}; wait for it to end "
            "or choose another output (the lock of a run that died is taken over after "
            f"{STALE_SECONDS:.0f} s without a heartbeat, or at once if you delete {path})"
        )
    return dead


def refuse_if_locked(url: str) -> None:
    """Raise when a run is at work on an output, without taking the lock."""
    with clear_errors("write", url):
        _dead_locks(Place(url))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@contextmanager
def opened(url: str) -> Iterator[Output]:
    """Hold an output for the time of the block, in a state that is whole or not there."""
    place = Place(url)
    output, missing, above = Output(place), [], os.path.dirname(place.aside)
    while place.local and not os.path.isdir(above):
        missing.append(above)
        above = os.path.dirname(above)
    try:
        with clear_errors("write", url):
            output.acquire()
            output._thread.start()
            for name in place.runs():
                Stage(output, name).settle()
        yield output
    finally:
        try:
            output.release()
        except Exception:  # what ended the block is what counts, and a dead run's lock is no lock
            logger.warning("the lock on %s could not be removed", url, exc_info=True)
        for folder in missing:
            with suppress(OSError):  # unless the output is in it
                os.rmdir(folder)


def tidy(url: str) -> None:
    """Delete what dead runs left beside an output that stands, unless a run is at work there."""
    if Place(url).names():
        # What cannot be deleted now is left to the next run.
        with suppress(OutputLocked, OSError), opened(url) as output:
            output.clear()


@contextmanager
def staged(url: str, overwrite: bool = False) -> Iterator[Stage]:
    """Yield a staging folder under the lock, which is gone after the block unless committed."""
    if_exists = "replace" if overwrite else "error"
    check_output(url, if_exists)
    with opened(url) as output, output.stage(if_exists) as stage:
        yield stage


class Stage:
    """The staging folder of a run.

    Attributes
    ----------
    folder, report : str
        Where parts and the report are written, as workers see it.
    keep : bool
        Whether what is finished stays for a later run, should this one fail.
    """

    def __init__(self, output: Output, name: str, if_exists: str = "error") -> None:
        self.output, self.place, self.if_exists = output, output.place, if_exists
        self.path, self._run = self.place.path(name), self.place.path(f"{name}.json")
        self._table, self._old, self._replaced, self._commit, self._report = (
            f"{self.path}/{name}"
            for name in ("table", "old", "old.json", "commit.json", "report.html")
        )
        protocol = "" if self.place.local else self.place.fs.unstrip_protocol("")
        self.folder, self.report = f"{protocol}{self._table}", f"{protocol}{self._report}"
        self.keep = False

    def open(self) -> None:
        """Make the folder, where it is not there."""
        self.note(self.run() or {})
        self.place.make_folder(self._table)

    def restart(self) -> None:
        """Empty the folder: what is in it cannot be gone on with."""
        self.place.remove_folder(self.path)
        self.open()

    def remove(self) -> None:
        """Delete the folder, and the table that was replaced, if that holds nothing else."""
        if self.place.local and os.path.isdir(self._old):
            own = own_files(self.place.read(self._replaced), self.place.sizes(self._old))
            with suppress(OSError):  # such as of a file that a reader holds open
                _delete(self._old, own.__contains__)
        if self.place.local and os.path.isdir(self._old):
            logger.warning("what was replaced could not be deleted, and stays: %s", self._old)
            return
        self.place.remove_folder(self.path)
        self.place.remove(self._run)

    def discard(self) -> None:
        """Delete the folder, unless it is kept, a later run's, or what the next run settles."""
        if not self.keep and self.output.held() and not self.place.exists(self._commit):
            self.remove()

    def run(self) -> dict[str, Any] | None:
        """Return what run began the folder; None where it is new."""
        return self.place.read(self._run) or None

    def note(self, run: Mapping[str, Any]) -> None:
        """Note what run the folder belongs to, before the first part is written."""
        write_json(self.place.fs, self._run, run)

    def finished(self, expected: Mapping[int, tuple[str, pa.Schema]]) -> dict[int, dict[str, Any]]:
        """Return the records of the parts that are finished, by number.

        A record is believed when its files are those of a part of this run (whose file and schema
        are given), belong to the owner of the folder, have the content that was written and the
        schema of the table.
        """
        records, there = f"{self.path}/records", self.place.sizes(f"{self.path}/records")

        def believed(number: int) -> tuple[int, dict[str, Any]] | None:
            record = self.place.read(f"{records}/{number:05d}.json") or {}
            try:
                dict(record["counts"])
                whole = record["number"] == number and all(
                    _is_whole(self.place.fs, self._table, each, *expected[number])
                    for each in record["files"]
                )
            except DAMAGES:
                return None
            return (number, record) if whole else None

        numbers = [number for number in expected if f"{number:05d}.json" in there]
        with ThreadPoolExecutor(THREADS) as pool:
            return dict(filter(None, pool.map(believed, numbers)))

    def commit(self, manifest: dict[str, Any], key: str | None = None) -> dict[str, Any]:
        """Put the table in place, then its report and its manifest; return that as written.

        Its ``parts`` say which files are the table's; others are left-overs of dead tasks. On an
        object store their names get the key, which is equal only where the bytes are.
        """
        place = self.place
        with clear_errors("write", place.url):
            self.output.check()
            names = {part["file"]: part["file"] for part in manifest["parts"]}
            if place.local:
                expected = set(map(os.path.normpath, names))
                _delete(self._table, lambda file: file not in expected)
            else:
                names = {file: _keyed(file, key or self.output.token) for file in names}
            parts = [{**part, "file": names[part["file"]]} for part in manifest["parts"]]
            manifest = {**manifest, "parts": parts}
            check_output(place.url, self.if_exists)
            write_json(place.fs, self._replaced, place.read(place.manifest) or {})
            write_json(place.fs, self._commit, manifest)
            done = False
            try:
                if place.local:
                    self._swap()
                else:
                    self._copy(names)
                self.output.check()
            finally:
                # Who took the lock over has settled this, and what is there now may be its own.
                if self.output.held():
                    try:
                        done = self.settle()
                    except OSError:  # if it fails again, the next run does it
                        done = self.settle()
            self.keep = False
            if not done:
                raise OSError(f"cannot write {place.url}: parts that were copied are not there")
        return manifest

    def _swap(self) -> None:
        success, target = f"{self._table}/{SUCCESS}", self.place.target
        self.place.fs.pipe_file(success, b"")
        folders = [path for path, _, _ in os.walk(self.path)]
        for path in (success, self._replaced, self._commit, *folders, self.place.aside):
            sync(path)
        self.output.check()
        if os.path.isdir(target):
            os.rename(target, self._old)
        os.rename(self._table, target)
        sync(os.path.dirname(target))

    def _copy(self, names: Mapping[str, str]) -> None:
        pairs = [(f"{self._table}/{a}", f"{self.place.target}/{b}") for a, b in names.items()]
        self.place.remove(f"{self.place.target}/{SUCCESS}")
        for folder in sorted({new.rpartition("/")[0] for _, new in pairs}):
            self.place.make_folder(folder)
        for start in range(0, len(pairs), COPIES):
            self.output.check()
            self.place.fs.copy(*map(list, zip(*pairs[start : start + COPIES], strict=True)))

    def settle(self) -> bool:
        """Finish what was being put in place (True), or take it back; only under the lock."""
        place, manifest = self.place, self.place.read(self._commit)
        if manifest is None:
            return False
        before = place.read(self._replaced) or {}
        if place.local:
            done = not os.path.exists(self._table)
        else:
            done = not lacking(manifest, place.sizes(place.target))
        if done:
            place.remove(place.report)
            if place.exists(self._report):
                place.fs.cp_file(self._report, place.report)
            write_json(place.fs, place.manifest, manifest)
        if place.local:
            self._settle_local(done, before)
        else:
            self._settle_remote(done, before, set(parts_of(manifest)))
        place.remove(self._commit)
        return done

    def _settle_local(self, done: bool, before: dict[str, Any]) -> None:
        place, old = self.place, self._old
        if done:
            for path in filter(os.path.exists, (place.report, place.manifest, place.aside)):
                sync(path)
        elif os.path.isdir(old) and not os.path.exists(place.target):
            if not own_files(before, place.sizes(old)):
                raise FileExistsError(
                    f"{old} holds no file that {self._replaced} lists, so it is no output that a "
                    "run replaced: move it away"
                )
            logger.warning("a run was killed while it replaced %s: the old is back", place.url)
            os.rename(old, place.target)

    def _settle_remote(self, done: bool, before: dict[str, Any], new: set[str]) -> None:
        place, sizes = self.place, self.place.sizes(self.place.target)
        old = own_files(before, sizes)
        gone = (old - new if done else new - old) - {SUCCESS}
        for name in sorted(gone):
            place.remove(f"{place.target}/{name}")
        if done or (before and not lacking(before, sizes)):
            place.fs.pipe_file(f"{place.target}/{SUCCESS}", b"")
        if place.has_folders:
            emptied = {f"{place.target}/{name}".rpartition("/")[0] for name in gone}
            for folder in sorted(emptied | {place.target}, reverse=True):
                with suppress(OSError):  # unless something is in it
                    place.fs.rmdir(folder)


def _keyed(file: str, key: str) -> str:
    stem, dot, ending = file.rpartition(".")
    return f"{stem}-{key[:8]}{dot}{ending}"


def _delete(folder: str, which: Callable[[str], bool]) -> None:
    """Delete some files of a local folder, and folders in which nothing is left; follow no link."""
    for path, _, names in os.walk(folder, topdown=False):
        for name in names:
            file = os.path.join(path, name)
            if which(os.path.relpath(file, folder)):
                os.remove(file)
        with suppress(OSError):  # something is left
            os.rmdir(path)


def sync(path: str) -> None:
    """Wait until a local file, or the names in a folder, are on the disk."""
    # Not all file systems do that for folders, and some folders may be written and not read.
    with suppress(OSError) if os.path.isdir(path) else nullcontext():
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def part_name(number: int) -> str:
    """Return the name of a part file, such as ``part-00007.parquet``."""
    return f"part-{number:05d}.parquet"


def write_record(folder: str, number: int, part: Mapping[str, Any]) -> None:
    """Note what a task reports of a part whose files are finished, as plain data."""
    fs, path = open_fs(folder)
    records = f"{path.rpartition('/')[0]}/records"
    if is_local(fs):  # on other storage there is nothing to make
        with suppress(FileExistsError):
            os.mkdir(records)  # and not those above: a cancelled run's are not brought back
    write_json(fs, f"{records}/{number:05d}.json", part)


def content_mark(fs: Any, path: str) -> str:
    """Return what tells the content of a file: its checksum, or what the store says of it."""
    if is_local(fs):
        with open(path, "rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    info = fs.info(path)
    return str(next(filter(None, map(info.get, CHANGES)), ""))


def _is_whole(fs: Any, root: str, each: Any, file: str, schema: pa.Schema) -> bool:
    """Tell whether a file is of this run, and what its record says."""
    inside, _, name = file.rpartition("/")
    *folders, last = each["file"].split("/")
    path = f"{root}/{each['file']}"
    if last != name or ".." in folders or not each["file"].startswith(f"{inside}/" * bool(inside)):
        return False
    if is_local(fs):
        linked = os.path.realpath(path) != os.path.join(os.path.realpath(root), each["file"])
        if linked or os.lstat(path).st_uid != os.lstat(root).st_uid:
            return False
    if fs.size(path) != each["bytes"] or content_mark(fs, path) != each["mark"]:
        return False
    with fs.open(path, "rb") as handle:
        parquet = pq.ParquetFile(handle)
        same = parquet.schema_arrow.equals(_as_stored(schema))
        return bool(same and parquet.metadata.num_rows == each["rows"])


@lru_cache(maxsize=16)
def _as_stored(schema: pa.Schema) -> pa.Schema:
    """Return the schema that Parquet gives back."""
    empty = io.BytesIO()
    pq.write_table(schema.empty_table(), empty)
    return pq.ParquetFile(empty).schema_arrow
