"""The output folder: staged in a hidden folder beside it, then put in place whole, or not at all.

::

    .OUT.dsmote/                beside OUT
        manifest.json           how the table was made, and which files it has
        report.html             the page about it
                                while a run is at work, or after one was killed, also:
        lock.1                  who runs
        <token>.json            the record of a run, which marks its staging folder: no other folder
                                is ever deleted. While the table is being put in place, it holds
                                the new manifest and the one that is replaced
        <token>/table/          what becomes OUT
        <token>/records/        which of its parts are finished
        <token>/report.html     the page about it
        <token>/old/            the output that it replaces
    OUT/                        Parquet files and an empty _SUCCESS: some readers take every file
                                that is not empty for a part, whatever its name

Where folders can be renamed, the old table is renamed away and the new one takes its name. All is
on the disk before, so that a power cut leaves no empty files behind a ``_SUCCESS``. Then the report
and the manifest take their names, and the old table is deleted.

On an object store a table is whole when ``_SUCCESS`` is there. That is deleted; the parts are
copied by the store itself, under names that hold a key of how they were made
(``part-00000-1f0c2d3e.parquet``); the manifest is written, which lists them; the old parts are
deleted; and ``_SUCCESS`` is written. So a reader that asks for ``_SUCCESS`` first, then reads the
files that the manifest lists, never sees a mixture.

What an error or the death of a run interrupts is finished or taken back: at once, or by the next
run before anything else.
"""

from __future__ import annotations

import glob
import json
import os
import re
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from typing import Any

from dsmote.execute.exchange import write_file
from dsmote.job.files import clear_errors, is_local, open_fs
from dsmote.job.logs import masked_logger
from dsmote.plan.labels import listed

SUCCESS = "_SUCCESS"
#: Where a folder is only the beginning of names. (To s3fs, making one can mean making a bucket.)
OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "oci", "r2"}
#: Seconds between two renewals of a lock.
BEAT_SECONDS = 10.0
#: A run that has not renewed its lock for so long is dead.
STALE_SECONDS = 300.0
#: How often a run tries to get a lock when others get in between.
TRIES = 8
#: Files that are copied at a time.
COPIES = 256

#: What runs leave beside an output, and what of it may be a staging folder.
_OURS = re.compile(r"[0-9a-f]{12}(\.json)?|(lock|probe|tmp)\.\w+")
_TOKEN = re.compile(r"[0-9a-f]{12}")
_LOCK = re.compile(r"lock\.([0-9]+)")

logger = masked_logger(__name__)


class OutputLocked(RuntimeError):
    """Another run is at work on the output."""


class LockLost(RuntimeError):
    """The run was taken for dead, and another one may have taken the output over."""


class Output:
    """An output, the hidden folder beside it, and the lock without which a run writes neither.

    The lock is a file, ``lock.N``, that is made only where it is not there, and renewed every
    `BEAT_SECONDS`. One that was not renewed for `STALE_SECONDS` is a dead run's. Then the next run
    makes ``lock.N+1``, which only one of several can do, and deletes the other: no run deletes a
    file that could be another's by then. A run that was suspended for so long does not find its
    file when it wakes up, and gives up.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._fs, path = open_fs(url)
        self.local = is_local(self._fs)
        # Links are followed: a new folder takes the place of the folder, not of the link.
        self.target: str = os.path.realpath(path) if self.local else path.rstrip("/")
        parent, slash, name = self.target.rpartition("/")
        if not (slash and name):
            raise ValueError(f"the output {url} is a whole store or bucket: name a folder in it")
        self.aside = f"{parent}/.{name}.dsmote"
        self.manifest, self.report = self.path("manifest.json"), self.path("report.html")
        protocol = self._fs.protocol
        protocols = [protocol] if isinstance(protocol, str) else protocol
        self.has_folders = OBJECT_STORES.isdisjoint(protocols)
        self.token, self.lock = new_token(), ""
        self._ended, self._lost = threading.Event(), False
        self._state: dict[str, Any] = {
            "status": "running",
            "token": self.token,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "since": _now(),
            "heartbeat": _now(),
            "stage": "starting",
        }

    @property
    def fs(self) -> Any:
        """The file system, which forgets what it has listed before."""
        self._fs.invalidate_cache()
        return self._fs

    def path(self, name: str) -> str:
        """Return the path of something in the hidden folder."""
        return f"{self.aside}/{name}"

    def names(self) -> list[str]:
        """Return what runs left there. Links are refused: another folder could be behind them."""
        try:
            entries = self.fs.ls(self.aside, detail=False)
        except (FileNotFoundError, NotADirectoryError):
            entries = []
        names = [str(entry).rstrip("/").rpartition("/")[2] for entry in entries]
        found = sorted(filter(_OURS.fullmatch, names))
        inside = [f"{name}{each}" for name in found for each in ("", "/table", "/records", "/old")]
        for path in [self.aside, *map(self.path, inside)] if self.local else ():
            if os.path.islink(path):
                raise FileExistsError(
                    f"{path} is a link, which dsmote does not follow there: delete it, or choose "
                    "another output"
                )
        return found

    def stages(self) -> list[Stage]:
        """Return what may be staging folders."""
        return [Stage(self, name) for name in filter(_TOKEN.fullmatch, self.names())]

    def read(self, path: str) -> dict[str, Any] | None:
        """Return a JSON file's content; None when it is not there or not such a file."""
        try:
            found = json.loads(self.fs.cat_file(path))
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def sizes(self, folder: str) -> dict[str, int]:
        """Return the bytes of each file in a folder, by its path there."""
        try:
            found = self.fs.find(folder, detail=True).items()
        except FileNotFoundError:
            return {}
        start = len(folder) + 1
        return {p[start:]: int(info["size"] or 0) for p, info in found if p[start:]}

    def make_folder(self, path: str) -> None:
        """Make a folder and those above it, where there are folders."""
        if self.has_folders:
            self.fs.makedirs(path, exist_ok=True)

    def remove(self, path: str) -> None:
        """Delete a file, which may be gone already."""
        with suppress(FileNotFoundError):
            self.fs.rm_file(path)

    def remove_folder(self, path: str) -> None:
        """Delete a folder, which may be gone already."""
        for left in reversed(range(20)):
            try:
                # Escaped: what looks like a pattern would be taken for one.
                return self.fs.rm(path if self.local else glob.escape(path), recursive=True)
            except OSError:
                if not self.fs.exists(path):
                    return
                if not left:
                    raise
                time.sleep(0.1)  # a task that was cancelled may still be writing in it

    def acquire(self) -> None:
        """Take the lock, also from a run that is dead, or say who holds it."""
        for left in reversed(range(TRIES)):
            dead = self.dead_locks()
            lock = self.path(f"lock.{max(dead, default=0) + 1}")
            try:
                self.make_folder(self.aside)
                self._create(lock, json.dumps(self._state).encode())
                self.lock = lock
                break
            except FileNotFoundError:  # another run, which ended, deleted the folder
                if not (left and self.has_folders):  # stores say so of a bucket
                    raise
            except FileExistsError:
                pass
            except OSError:  # stores have errors of their own for a file that is there
                if not self.fs.exists(lock):
                    raise
        else:
            raise OutputLocked(f"other runs are about to write {self.url}: try again")
        self.dead_locks()  # One may have found none where this one found some: neither goes on.
        self._check_owner()
        for number in dead:
            self.remove(self.path(f"lock.{number}"))

    def _create(self, path: str, content: bytes) -> None:
        """Make a file that is not there: of many that try, one does."""
        if not self.local:
            self.fs.pipe_file(path, content, mode="create")  # by a conditional write
            return
        with open(path, "xb") as handle:  # fsspec looks first whether there is one
            handle.write(content)

    def dead_locks(self) -> list[int]:
        """Return the numbers of the locks of dead runs; raise where another run is at work."""
        dead = []
        for match in filter(None, map(_LOCK.fullmatch, self.names())):
            path = self.path(match[0])
            age = None if path == self.lock else self.age(path)
            if age is None:
                continue
            # One from a time to come was written by a clock that was wrong.
            if abs(age) > STALE_SECONDS:
                dead.append(int(match[1]))
                continue
            run = self.read(path) or {}
            raise OutputLocked(
                f"another run is writing {self.url}: process {run.get('pid')} on "
                f"{run.get('host')}, since {run.get('since')}, last heard of "
                f"{run.get('heartbeat')}; wait for it to end or choose another output (the lock of "
                f"a run that died is taken over after {STALE_SECONDS:.0f} s without a heartbeat, "
                f"or at once if you delete {path})"
            )
        return dead

    def age(self, path: str) -> float | None:
        """Return the seconds since a file was written; None when it is gone."""
        # Both times are the storage's: the clocks of two machines may differ by more than a beat.
        probe = self.path(f"probe.{new_token()}")
        self.fs.pipe_file(probe, b"")
        try:
            return float((self.fs.modified(probe) - self.fs.modified(path)).total_seconds())
        except FileNotFoundError:
            return 0.0 if self.fs.exists(path) else None  # a run at work has deleted the probe
        finally:
            self.remove(probe)

    def _check_owner(self) -> None:
        """Refuse what is there where its owner is not that of the lock, which this run has made."""
        if not self.local:
            return
        mine = os.lstat(self.lock).st_uid
        for path in (self.aside, self.manifest, *map(self.path, self.names())):
            with suppress(FileNotFoundError):  # another run has just ended
                if (owner := os.lstat(path).st_uid) != mine:
                    raise PermissionError(
                        f"{path} belongs to another user (uid {owner}): have it deleted, or choose "
                        "another output"
                    )

    def held(self) -> bool:
        """Tell whether the lock is still this run's."""
        return bool(self.lock) and (self.read(self.lock) or {}).get("token") == self.token

    def check(self) -> None:
        """Raise `LockLost` when the lock is no longer this run's."""
        if not self.held():
            raise LockLost(
                f"this run has lost the lock on {self.url}: it showed no sign of life for "
                f"more than {STALE_SECONDS:.0f} s (was it suspended?) and another run may have "
                "taken its place; nothing was put in place"
            )

    def show(self, **state: Any) -> None:
        """Let others see how far this run is, at its next heartbeat."""
        if self._lost:
            self.check()
        self._state |= state

    def _renew(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            try:
                self._lost = not self.held()
                if not self._lost:
                    write_json(self._fs, self.lock, {**self._state, "heartbeat": _now()})
            # Trouble of the storage is for the run to meet; a traceback may hold secrets.
            except Exception as error:
                logger.debug("the lock was not renewed: %s", error)

    def release(self) -> None:
        """Give the lock up, and delete the hidden folder unless something is left in it."""
        if self.held():
            self.remove(self.lock)
        if self.has_folders and not self.names():
            with suppress(OSError):  # another run has come, or what is there is not ours
                self.fs.rmdir(self.aside)

    @contextmanager
    def stage(
        self, if_exists: str = "error", key: Mapping[str, Any] | None = None
    ) -> Iterator[Stage]:
        """Yield a staging folder: with a key, that of a dead run with the same, resumed."""
        stage = Stage(self, self.token, if_exists)
        with clear_errors("write", self.url):
            found = None if key is None else self._find(dict(key))
            self.clear(found)
            check_output(self.url, if_exists)
            if found and self.local:  # should that run wake up, it has no folder
                stage.note(found.run() or {})
                os.rename(found.path, stage.path)
                self.remove(found.record)
            elif found:
                stage = Stage(self, found.name, if_exists)
            stage.keep = found is not None  # what was finished before stays, if this run fails
        try:
            with clear_errors("write", self.url):
                stage.open()
            yield stage
            stage.keep = False
        finally:
            stage.discard()

    def _find(self, key: dict[str, Any]) -> Stage | None:
        for stage in self.stages():
            run = stage.run() or {}
            if run.get("key") == key and isinstance(run.get("seed"), int):
                return stage
        return None

    def clear(self, kept: Stage | None = None) -> None:
        """Delete what dead runs left, but for one staging folder."""
        names = self.names()
        for name in names:
            run, path = name.removesuffix(".json"), self.path(name)
            if _LOCK.fullmatch(name) or (kept and run == kept.name):
                continue
            if not _TOKEN.fullmatch(run) or run not in names:
                self.remove(path)
            elif f"{run}.json" not in names:
                logger.warning("%s is no staging folder, and stays", path)
            elif name == run:
                Stage(self, run).remove()


def new_token() -> str:
    """Return a name for a run that no other has."""
    return uuid.uuid4().hex[:12]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def refuse_if_locked(url: str) -> None:
    """Raise when a run is at work on an output, without taking the lock."""
    with clear_errors("write", url):
        Output(url).dead_locks()


@contextmanager
def opened(url: str) -> Iterator[Output]:
    """Hold an output for the time of the block, in a state that is whole or not there."""
    output = Output(url)
    missing, above = [], os.path.dirname(output.aside)
    while output.local and not os.path.isdir(above):
        missing.append(above)
        above = os.path.dirname(above)
    heart = threading.Thread(target=output._renew, name="dsmote-lock", daemon=True)
    try:
        with clear_errors("write", url):
            output.acquire()
            heart.start()
            for stage in output.stages():
                stage.settle()
        yield output
    finally:
        output._ended.set()
        try:
            if heart.ident:  # else a last renewal could come when the lock is gone
                heart.join(timeout=60)
            output.release()
        except Exception:  # what ended the block is what counts, and a dead run's lock is no lock
            logger.warning("the lock on %s could not be removed", url, exc_info=True)
        for folder in missing:
            with suppress(OSError):  # unless the output is in it
                os.rmdir(folder)


class Stage:
    """The staging folder of a run."""

    def __init__(self, output: Output, name: str, if_exists: str = "error") -> None:
        self.output, self.name, self.if_exists = output, name, if_exists
        self.keep = False  # whether what is finished stays for a later run, should this one fail
        self.path, self.record = output.path(name), output.path(f"{name}.json")
        self._table, self._old = f"{self.path}/table", f"{self.path}/old"
        self._report = f"{self.path}/report.html"
        # Where parts and the report are written, as workers see it.
        protocol = "" if output.local else output.fs.unstrip_protocol("")
        self.folder, self.report = f"{protocol}{self._table}", f"{protocol}{self._report}"

    def run(self) -> dict[str, Any] | None:
        """Return what run began the folder; None where it is new."""
        return self.output.read(self.record) or None

    def note(self, run: Mapping[str, Any]) -> None:
        """Note what run the folder belongs to, before the first part is written."""
        write_json(self.output.fs, self.record, run)

    def open(self) -> None:
        """Make the folder, where it is not there."""
        self.note(self.run() or {})
        self.output.make_folder(self._table)

    def restart(self) -> None:
        """Empty the folder: what is in it cannot be resumed."""
        self.output.remove_folder(self.path)
        self.open()

    def discard(self) -> None:
        """Delete the folder, unless it is kept, a later run's, or what the next run settles."""
        if not self.keep and self.output.held() and "commit" not in (self.run() or {}):
            self.remove()

    def remove(self) -> None:
        """Delete the folder, and the table that was replaced, if that holds nothing else."""
        if self.output.local and os.path.isdir(self._old):
            own = own_files((self.run() or {}).get("before"), self.output.sizes(self._old))
            with suppress(OSError):  # such as of a file that a reader holds open
                _delete(self._old, own.__contains__)
            if os.path.isdir(self._old):
                logger.warning("what was replaced could not be deleted, and stays: %s", self._old)
                return
        self.output.remove_folder(self.path)
        self.output.remove(self.record)

    def commit(self, manifest: dict[str, Any], key: str | None = None) -> dict[str, Any]:
        """Put the table in place, then its report and its manifest; return that as written.

        Its ``parts`` say which files are the table's; others are left-overs of dead tasks. On an
        object store their names get the key, which is equal only where the bytes are.
        """
        output = self.output
        with clear_errors("write", output.url):
            output.check()
            names = {part["file"]: part["file"] for part in manifest["parts"]}
            if output.local:
                expected = set(map(os.path.normpath, names))
                _delete(self._table, lambda file: file not in expected)
            else:
                for file in names:
                    stem, ending = os.path.splitext(file)
                    names[file] = f"{stem}-{(key or output.token)[:8]}{ending}"
            parts = [{**part, "file": names[part["file"]]} for part in manifest["parts"]]
            manifest = {**manifest, "parts": parts}
            check_output(output.url, self.if_exists)
            before = output.read(output.manifest)
            self.note({**(self.run() or {}), "commit": manifest, "before": before})
            done = False
            try:
                if output.local:
                    self._swap()
                else:
                    self._copy(names)
                output.check()
            finally:
                # Who took the lock over has settled this, and what is there now may be its own.
                if output.held():
                    try:
                        done = self.settle()
                    except OSError:  # if it fails again, the next run does it
                        done = self.settle()
            self.keep = False
            if not done:
                raise OSError(f"cannot write {output.url}: parts that were copied are not there")
        return manifest

    def _swap(self) -> None:
        success, target = f"{self._table}/{SUCCESS}", self.output.target
        self.output.fs.pipe_file(success, b"")
        folders = [path for path, _, _ in os.walk(self.path)]
        for path in (success, self.record, *folders, self.output.aside):
            sync(path)
        self.output.check()
        if os.path.isdir(target):
            os.rename(target, self._old)
        os.rename(self._table, target)
        sync(os.path.dirname(target))

    def _copy(self, names: Mapping[str, str]) -> None:
        output = self.output
        pairs = [(f"{self._table}/{a}", f"{output.target}/{b}") for a, b in names.items()]
        output.remove(f"{output.target}/{SUCCESS}")
        for folder in sorted({new.rpartition("/")[0] for _, new in pairs}):
            output.make_folder(folder)
        for start in range(0, len(pairs), COPIES):
            output.check()
            output.fs.copy(*map(list, zip(*pairs[start : start + COPIES], strict=True)))

    def settle(self) -> bool:
        """Finish what was being put in place (True), or take it back; only under the lock."""
        output, run = self.output, self.run() or {}
        manifest, before = run.pop("commit", None), run.pop("before", None)
        if not isinstance(manifest, dict):
            return False
        if output.local:
            done = not os.path.exists(self._table)
        else:
            done = not lacking(manifest, output.sizes(output.target))
        if done:
            output.remove(output.report)
            if output.fs.exists(self._report):
                output.fs.cp_file(self._report, output.report)
            write_json(output.fs, output.manifest, manifest)
            run = {"before": before}
        if not output.local:
            self._tidy_store(done, before, set(parts_of(manifest)))
        elif done:
            for path in filter(os.path.exists, (output.report, output.manifest, output.aside)):
                sync(path)
        elif os.path.isdir(self._old) and not os.path.exists(output.target):
            if not own_files(before, output.sizes(self._old)):
                raise FileExistsError(
                    f"{self._old} holds no file that {self.record} lists, so it is no output that "
                    "a run replaced: move it away"
                )
            logger.warning("a run was killed while it replaced %s: the old is back", output.url)
            os.rename(self._old, output.target)
        self.note(run)
        return done

    def _tidy_store(self, done: bool, before: dict[str, Any] | None, new: set[str]) -> None:
        """Delete the parts that are not of the table, and tell that it is whole."""
        output, sizes = self.output, self.output.sizes(self.output.target)
        old = own_files(before, sizes)
        gone = (old - new if done else new - old) - {SUCCESS}
        for name in sorted(gone):
            output.remove(f"{output.target}/{name}")
        if done or (before and not lacking(before, sizes)):
            output.fs.pipe_file(f"{output.target}/{SUCCESS}", b"")
        if output.has_folders:
            emptied = {f"{output.target}/{name}".rpartition("/")[0] for name in gone}
            for folder in sorted(emptied | {output.target}, reverse=True):
                with suppress(OSError):  # unless something is in it
                    output.fs.rmdir(folder)


def check_output(url: str, if_exists: str = "error") -> None:
    """Refuse an output that may not be written."""
    output = Output(url)
    with clear_errors("write", url):
        if not output.fs.exists(output.target):
            return
        if any("commit" in (stage.run() or {}) for stage in output.stages()):
            return  # a run was killed while it put a table there: that is settled under the lock
        if not output.fs.isdir(output.target):
            raise FileExistsError(f"{url} is a file: the output is a folder, choose another name")
        if output.local and os.path.ismount(output.target):
            raise FileExistsError(
                f"{url} is where a file system is mounted, so no new folder can take its name: "
                "choose a folder in it"
            )
        if if_exists == "error":
            raise FileExistsError(
                f"{url} is there already: choose another folder, or --overwrite it "
                "(if_exists: replace in a job file)"
            )
        if output.local and not os.access(output.target, os.W_OK):  # else found out at the renaming
            raise PermissionError(f"no permission to write {url}: it cannot be replaced")
        manifest, sizes = output.read(output.manifest), output.sizes(output.target)
        if if_exists == "skip" and manifest is None:
            raise FileExistsError(
                f"{url} is there, but {output.manifest}, which says how it was made, is not, so it "
                "cannot be told whether it is up to date: delete it, or choose another folder"
            )
        foreign = sorted(set(sizes) - own_files(manifest, sizes))
        if foreign:
            raise FileExistsError(
                f"{url} is not overwritten, because it holds more than a table of dsmote: "
                f"{listed(map(repr, foreign), 5)}, not listed in {output.manifest} with that size; "
                "move these files away, or choose another folder"
            )


def refuse_split(url: str, files: Iterable[str]) -> None:
    """Refuse an input, given by its files, that holds both sides of an output with a split."""
    for folder in sorted({file.rpartition("/test/")[0] for file in files if "/test/" in file}):
        try:
            output = Output(folder)
            manifest = output.read(output.manifest) or {}
        except (OSError, ValueError):  # not to be read, or a bucket, which has nothing beside it
            continue
        job = manifest.get("job")
        own = own_files(manifest, output.sizes(output.target))
        if isinstance(job, dict) and job.get("split") and any(f.startswith("test/") for f in own):
            raise ValueError(
                f"{url} is an output with a split, and its test/ would be mixed into the training "
                f"rows: give {output.target}/train"
            )


def lacking(manifest: Mapping[str, Any], sizes: Mapping[str, int]) -> list[str]:
    """Return the parts that are not there in the size they had."""
    return [file for file, size in parts_of(manifest).items() if sizes.get(file) != size]


def own_files(manifest: Mapping[str, Any] | None, sizes: Mapping[str, int]) -> set[str]:
    """Return the files that dsmote wrote: parts of the size they had, and ``_SUCCESS``."""
    written = {} if manifest is None else {**parts_of(manifest), SUCCESS: 0}
    return {file for file, size in written.items() if sizes.get(file) == size}


def parts_of(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the bytes of each part, by its file."""
    parts = manifest.get("parts")
    parts = [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
    return {os.path.normpath(str(part.get("file"))): part.get("bytes", -1) for part in parts}


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


def write_json(fs: Any, path: str, document: Mapping[str, Any]) -> None:
    """Write a small JSON file, which appears whole or not at all."""
    data = (json.dumps(document, indent=2) + "\n").encode()
    with clear_errors("write", path):
        if is_local(fs):
            folder, name = os.path.split(path)
            write_file(folder, name, lambda handle: handle.write(data), durable=False)
        else:
            fs.pipe_file(path, data)


def part_name(number: int) -> str:
    """Return the name of a part file, such as ``part-00007.parquet``."""
    return f"part-{number:05d}.parquet"
