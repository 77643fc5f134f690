"""A table appears whole or not at all, on file systems that rename folders and on others."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import fsspec
import pytest

from dsmote.job import storage
from dsmote.job.parts import write_file
from dsmote.job.storage import LockLost, check_output, read_manifest, staged
from dsmote.job.storage import local as local_module
from dsmote.job.storage.local import LocalStage
from dsmote.job.storage.lock import Lock
from dsmote.job.storage.place import Place
from tests.job.conftest import beside
from tests.job.dead import die

PART = "part-00000.parquet"


def put(stage: storage.Stage, content: str = "new", file: str = "part-00000.parquet") -> None:
    path = Path(stage.folder, file)
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(content)


def manifest_of(stage: storage.Stage, *files: str) -> dict:
    parts = [{"file": file, "bytes": Path(stage.folder, file).stat().st_size} for file in files]
    return {"run": stage.lock.token, "parts": parts}


def write_table(folder: Path, content: str, overwrite: bool = False) -> None:
    with staged(str(folder), overwrite) as stage:
        put(stage, content)
        stage.commit(manifest_of(stage, PART))


def left(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def test_folder_appears_whole_with_success_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    order = []
    original = os.rename

    def spy(source: str, target: str) -> None:
        order.append(sorted(os.listdir(source)))
        original(source, target)

    monkeypatch.setattr(os, "rename", spy)
    with staged(str(out)) as stage:
        put(stage)
        Path(stage.report).write_text("what is meant for people")
        put(stage, "named like it", "_report.html")
        put(stage, "of a dead task", ".part-00000.parquet.left-over")
        put(stage, "for --resume", "_records/00000.json")
        assert not out.exists()
        manifest = manifest_of(stage, PART)
        stage.commit(manifest)
    whole = ["_SUCCESS", "part-00000.parquet"]
    assert order == [whole]
    assert left(out) == whole
    assert left(tmp_path) == [".out.dsmote", "out"]
    assert left(tmp_path / ".out.dsmote") == ["manifest.json", "report.html"]
    assert json.loads((tmp_path / ".out.dsmote/manifest.json").read_text()) == manifest
    assert "people" in (tmp_path / ".out.dsmote/report.html").read_text()
    write_table(out, "new", overwrite=True)
    assert left(tmp_path / ".out.dsmote") == ["manifest.json"]  # no page of another table


def test_parts_in_folders(tmp_path: Path) -> None:
    files = ["train/y=1/part-00000.parquet", "train/y=2/part-00001.parquet", "test/p.parquet"]
    for content in ("old", "new"):
        with staged(str(tmp_path / "out"), overwrite=True) as stage:
            for file in [*files, "train/y=3/part-00009.parquet"]:
                put(stage, content, file)
            stage.commit(manifest_of(stage, *files))
    found = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert sorted(str(path.relative_to(tmp_path / "out")) for path in found) == sorted(
        [*files, "_SUCCESS"]
    )
    assert (tmp_path / "out" / files[0]).read_text() == "new"
    assert not (tmp_path / "out" / "train" / "y=3").exists()
    (tmp_path / "out" / "train" / "thesis.txt").write_text("precious")
    with pytest.raises(FileExistsError, match=r"more than a table of dsmote: 'train/thesis.txt'"):
        check_output(str(tmp_path / "out"), "replace")


def test_failure_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), staged(str(tmp_path / "new" / "deep" / "out")) as stage:
        put(stage)
        raise KeyboardInterrupt
    assert left(tmp_path) == []


def test_existing_output_is_refused(tmp_path: Path) -> None:
    write_table(tmp_path / "out", "old")
    with pytest.raises(FileExistsError, match=r"out is there already.*--overwrite"):
        write_table(tmp_path / "out", "new")
    assert (tmp_path / "out" / "part-00000.parquet").read_text() == "old"


def test_output_that_appeared_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError), staged(str(tmp_path / "out")) as stage:
        put(stage)
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "part-00000.parquet").write_text("other")
        stage.commit(manifest_of(stage, PART))
    assert (tmp_path / "out" / "part-00000.parquet").read_text() == "other"
    assert left(tmp_path) == ["out"]


def test_overwrite_keeps_the_old_until_the_new_is_whole(tmp_path: Path) -> None:
    write_table(tmp_path / "out", "old")
    with pytest.raises(RuntimeError), staged(str(tmp_path / "out"), overwrite=True) as stage:
        put(stage)
        assert (tmp_path / "out" / "part-00000.parquet").read_text() == "old"
        raise RuntimeError
    assert (tmp_path / "out" / "part-00000.parquet").read_text() == "old"
    write_table(tmp_path / "out", "new", overwrite=True)
    assert (tmp_path / "out" / "part-00000.parquet").read_text() == "new"
    assert beside(tmp_path) == ["out"]


def test_old_output_is_restored_when_the_swap_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_table(tmp_path / "out", "old")
    original = os.rename
    calls = []

    def fail_second(source: str, target: str) -> None:
        calls.append(target)
        if len(calls) == 2:
            raise OSError(5, "Input/output error")
        original(source, target)

    monkeypatch.setattr(os, "rename", fail_second)
    with pytest.raises(OSError, match=r"cannot write .*out: Input/output error"):
        write_table(tmp_path / "out", "new", overwrite=True)
    assert len(calls) == 3
    assert (tmp_path / "out" / "part-00000.parquet").read_text() == "old"
    assert beside(tmp_path) == ["out"]


def manifest_beside(folder: Path) -> dict:
    return json.loads((folder / ".out.dsmote/manifest.json").read_text())


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("moment", range(4))
def test_run_that_was_killed_between_its_table_and_its_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: bool, moment: int
) -> None:
    """The table is in place, and the manifest of another, or none, has the name."""
    out, place = tmp_path / "out", Place.of(str(tmp_path / "out"))
    if not first:
        with staged(str(out)) as stage:
            put(stage, "old one")
            Path(stage.report).write_text("old page")
            stage.commit(manifest_of(stage, PART))
    lock = Lock(place)
    lock.acquire()
    stage = LocalStage(lock, "replace")
    stage.open()
    put(stage, "new")
    Path(stage.report).write_text("new page")
    manifest = manifest_of(stage, PART)
    moves = []

    def killed(source: str, target: str) -> None:
        if "dsmote/" in target and target.rpartition(".")[2] in ("replaced", "html", "json"):
            moves.append(target)
            if len(moves) > moment:
                raise Killed
        replace(source, target)

    replace = os.replace
    with monkeypatch.context() as patch, suppress(Killed):
        patch.setattr(os, "replace", killed)
        stage.commit(manifest)
    die(lock)
    whole = not moves[moment:]
    assert (out / PART).read_text() == "new"
    # Who looks without the lock finds it, and so does the next run, which settles it.
    assert read_manifest(place) == manifest
    check_output(str(out), "replace")
    with storage.opened(str(out)) as output:
        assert manifest_beside(tmp_path) == manifest
        assert (tmp_path / ".out.dsmote/report.html").read_text() == "new page"
        output.clear()
    assert beside(tmp_path) == ["out"] and (out / PART).read_text() == "new"
    assert whole == (moment >= (2 if first else 3))


def test_manifest_waits_where_it_cannot_get_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run fails, but the table is in place: it must be known which one it is."""
    replace = os.replace

    def fail(source: str, target: str) -> None:
        if source.endswith(".manifest"):
            raise OSError(5, "Input/output error")
        replace(source, target)

    with monkeypatch.context() as patch, pytest.raises(OSError, match="Input/output error"):
        patch.setattr(os, "replace", fail)
        write_table(tmp_path / "out", "new")
    assert read_manifest(Place.of(str(tmp_path / "out")))
    write_table(tmp_path / "out", "newer", overwrite=True)
    assert beside(tmp_path) == ["out"]


def test_run_that_was_killed_before_its_table_was_in_place(tmp_path: Path) -> None:
    """Its manifest is not that of the old table, be the files of both of the same size."""
    write_table(tmp_path / "out", "old")
    old = manifest_beside(tmp_path)
    lock = Lock(Place.of(str(tmp_path / "out")))
    lock.acquire()
    stage = LocalStage(lock, "replace")
    stage.open()
    put(stage, "new")
    lock.place.write(lock.place.path(f"{lock.token}.manifest"), manifest_of(stage, PART))
    die(lock)
    assert read_manifest(lock.place) == old
    with storage.opened(str(tmp_path / "out")) as output:
        output.clear()
    assert manifest_beside(tmp_path) == old
    assert beside(tmp_path) == ["out"]


@pytest.mark.parametrize("if_exists", ["error", "skip", "replace"])
@pytest.mark.parametrize("success", [True, False])
def test_own_folder_of_the_user_with_the_names_of_a_table_is_never_deleted(
    tmp_path: Path, if_exists: str, success: bool
) -> None:
    """He deleted the table and put his files there; the manifest is still beside."""
    out = tmp_path / "out"
    write_table(out, "old")
    shutil.rmtree(out)
    out.mkdir()
    (out / PART).write_text("his only copy")
    (out / "_SUCCESS").write_text("" if success else "his note")
    with (
        pytest.raises(FileExistsError),
        storage.opened(str(out)) as output,
        output.stage(if_exists) as stage,
    ):
        put(stage)
        stage.commit(manifest_of(stage, PART))
    assert (out / PART).read_text() == "his only copy"
    # Not even when it comes there after the last look.
    os.rename(out, tmp_path / "his")
    write_table(out, "old")
    check = local_module.check_output

    def comes(url: str, if_exists: str) -> None:
        check(url, if_exists)
        shutil.rmtree(out)
        shutil.copytree(tmp_path / "his", out)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local_module, "check_output", comes)
        write_table(out, "new", overwrite=True)
    (old,) = (tmp_path / ".out.dsmote").glob("*.old")
    assert (old / PART).read_text() == "his only copy"
    assert (out / PART).read_text() == "new"


def test_overwrite_goes_through_a_link(tmp_path: Path) -> None:
    write_table(tmp_path / "real", "old")
    (tmp_path / "link").symlink_to("real")
    write_table(tmp_path / "link", "new", overwrite=True)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "part-00000.parquet").read_text() == "new"
    assert beside(tmp_path) == ["link", "real"]


FOREIGN = (
    *("thesis.txt", "sub/part.parquet", ".ssh/id", "_private.key", "mine.parquet"),
    *(
        "_SUCCESS",
        "_records/a.json",
        "_report.html",
        "part-00000.parquet.crc",
        "y=1/part-00000.parquet",
    ),
)


@pytest.mark.parametrize("foreign", FOREIGN)
def test_overwrite_refuses_what_is_not_a_table(tmp_path: Path, foreign: str) -> None:
    write_table(tmp_path / "out", "old")
    (tmp_path / "out" / foreign).parent.mkdir(exist_ok=True)
    (tmp_path / "out" / foreign).write_text("precious")
    with pytest.raises(FileExistsError, match="holds more than a table"):
        write_table(tmp_path / "out", "new", overwrite=True)
    assert (tmp_path / "out" / foreign).read_text() == "precious"


@pytest.mark.parametrize("foreign", FOREIGN)
def test_what_comes_into_the_output_during_a_run_is_not_deleted(
    tmp_path: Path, foreign: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Between the last look and the renaming: it stays in the old folder, and the log says so."""
    write_table(tmp_path / "out", "old")
    place = Place.of(str(tmp_path / "out"))
    lock = Lock(place)
    lock.acquire()
    old = Path(place.path(f"{lock.token}.old"))
    shutil.copytree(tmp_path / "out", old)
    (old / foreign).parent.mkdir(exist_ok=True)
    (old / foreign).write_text("precious")
    die(lock)
    write_table(tmp_path / "out", "new", overwrite=True)
    assert (old / foreign).read_text() == "precious"
    assert not (old / "part-00000.parquet").exists()
    assert "could not be deleted" in caplog.text


@pytest.mark.parametrize("inside", [None, "0123456789ab", "0123456789ab.old"])
def test_links_beside_the_output_are_not_followed(tmp_path: Path, inside: str | None) -> None:
    other = tmp_path / "elsewhere" / "0123456789ab"
    other.mkdir(parents=True)
    (other / "data.txt").write_text("precious")
    if inside is None:
        (tmp_path / ".out.dsmote").symlink_to("elsewhere")
    else:
        (tmp_path / ".out.dsmote").mkdir()
        (tmp_path / ".out.dsmote" / inside).symlink_to("../elsewhere/0123456789ab")
    with pytest.raises(FileExistsError, match="is a link, which dsmote does not follow there"):
        write_table(tmp_path / "out", "new")
    assert (other / "data.txt").read_text() == "precious"
    assert not (tmp_path / "out").exists()


def test_planted_folders_are_neither_deleted_nor_put_in_place(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    aside = tmp_path / ".out.dsmote"
    for name in ("0123456789ab", "0123456789ac.old"):
        (aside / name).mkdir(parents=True)
        (aside / name / "data.txt").write_text("precious")
    with pytest.raises(FileExistsError, match=r"ac.old holds no file that .* move it away"):
        write_table(tmp_path / "out", "new")
    shutil.rmtree(aside / "0123456789ac.old")
    write_table(tmp_path / "out", "new")
    assert (aside / "0123456789ab" / "data.txt").read_text() == "precious"
    assert "0123456789ab is no staging folder, and stays" in caplog.text


@pytest.mark.parametrize("name", ["", "0123456789ab", "0123456789ab.old"])
def test_folders_of_another_user_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    theirs = tmp_path / ".out.dsmote" / name
    theirs.mkdir(parents=True)
    (theirs / "data.txt").write_text("precious")
    lstat = os.lstat

    def as_theirs(path: str) -> os.stat_result:
        found = lstat(path)
        if Path(path) == theirs:
            found = os.stat_result([*found[:4], found.st_uid + 1, *found[5:]])
        return found

    monkeypatch.setattr(os, "lstat", as_theirs)
    with pytest.raises(PermissionError, match=r"belongs to another user \(uid \d+\): have it del"):
        write_table(tmp_path / "out", "new")
    assert theirs.exists()
    assert left(tmp_path) == [".out.dsmote"]


def test_skip_refuses_what_does_not_say_how_it_was_made(tmp_path: Path) -> None:
    write_table(tmp_path / "out", "old")
    check_output(str(tmp_path / "out"), "skip")
    (tmp_path / ".out.dsmote" / "manifest.json").unlink()
    with pytest.raises(FileExistsError, match=r"manifest.json, which says .* delete it, or choose"):
        check_output(str(tmp_path / "out"), "skip")
    with pytest.raises(FileExistsError, match="holds more than a table of dsmote"):
        check_output(str(tmp_path / "out"), "replace")


def test_output_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("precious")
    with pytest.raises(FileExistsError, match="is a file"):
        check_output(str(tmp_path / "out"), "replace")


def test_output_below_a_file_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    with (
        pytest.raises(OSError, match=r"cannot write .*file/out"),
        staged(str(tmp_path / "file" / "out")),
    ):
        pass


def test_mounted_file_system_is_refused_before_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A volume of a container: no folder can take its name, and that would be found out last."""
    (tmp_path / "out").mkdir()
    monkeypatch.setattr(os.path, "ismount", lambda path: path == str(tmp_path / "out"))
    for if_exists in ("error", "skip", "replace"):
        with pytest.raises(FileExistsError, match=r"out is where a file system is mounted"):
            check_output(str(tmp_path / "out"), if_exists)
    check_output(str(tmp_path / "out" / "table"), "error")


def test_table_of_another_user_is_refused_before_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_table(tmp_path / "out", "old")
    monkeypatch.setattr(os, "access", lambda path, mode: path != str(tmp_path / "out"))
    for if_exists in ("skip", "replace"):
        with pytest.raises(PermissionError, match=r"no permission to write .*out: it cannot be re"):
            check_output(str(tmp_path / "out"), if_exists)


def test_old_table_that_cannot_be_deleted_does_not_fail_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The new one is in place: a failure would say that it is not."""
    write_table(tmp_path / "out", "old")

    def refuse(folder: str, files: set[str]) -> None:
        raise OSError(39, "Directory not empty", folder)

    with monkeypatch.context() as patch:
        patch.setattr(local_module, "remove_table", refuse)
        write_table(tmp_path / "out", "new", overwrite=True)
        assert "could not be deleted" in caplog.text and ".old" in caplog.text
        write_table(tmp_path / "out", "newer", overwrite=True)
    assert (tmp_path / "out" / "part-00000.parquet").read_text() == "newer"
    assert len(list((tmp_path / ".out.dsmote").glob("*.old"))) == 2
    write_table(tmp_path / "out", "newest", overwrite=True)
    assert beside(tmp_path) == ["out"]


def test_all_is_on_the_disk_before_it_appears(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a power cut could leave empty files behind a _SUCCESS."""
    synced: set[int] = set()
    missing: list[str] = []
    sync, rename, replace = os.fsync, os.rename, os.replace

    def note(handle: int) -> None:
        sync(handle)
        synced.add(os.fstat(handle).st_ino)

    def look(source: str, target: str) -> None:
        paths = [Path(source), *Path(source).rglob("*")]
        missing.extend(str(path) for path in paths if path.stat().st_ino not in synced)
        rename(source, target)

    monkeypatch.setattr(os, "fsync", note)

    def look_again(source: str, target: str) -> None:
        if source.endswith((".manifest", ".report")):
            missing.extend([source] * (Path(source).stat().st_ino not in synced))
        replace(source, target)

    monkeypatch.setattr(os, "rename", look)
    monkeypatch.setattr(os, "replace", look_again)
    with staged(str(tmp_path / "out")) as stage:
        Path(stage.report).write_text("drawn")
        for file in ("part-00000.parquet", "y=1/part-00001.parquet"):
            write_file(stage.folder, file, lambda handle: handle.write(b"rows"))
        stage.commit(manifest_of(stage, PART, "y=1/part-00001.parquet"))
    assert missing == []
    assert len(synced) >= 7
    assert tmp_path.stat().st_ino in synced


def test_no_permission_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, *args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "makedirs", refuse)
    with (
        pytest.raises(PermissionError, match=r"no permission to write .*out"),
        staged(str(tmp_path / "out")),
    ):
        pass


def test_a_whole_bucket_is_no_output() -> None:
    with pytest.raises(ValueError, match="whole store or bucket: name a folder in it"):
        Place.of("memory://")


def crash(folder: Path, swapped: bool = False) -> None:
    """Leave what a run that was killed leaves: its lock, its files, and the output set aside."""
    lock = Lock(Place.of(str(folder)))
    lock.acquire()
    stage = LocalStage(lock, "replace")
    stage.open()
    put(stage)
    if swapped:
        os.rename(folder, lock.place.path(f"{lock.token}.old"))
    die(lock)


def test_left_overs_of_a_killed_run_are_cleared(tmp_path: Path) -> None:
    crash(tmp_path / "out")
    write_table(tmp_path / "out", "new")
    assert beside(tmp_path) == ["out"]


def test_left_overs_of_an_output_of_a_similar_name_are_left_alone(tmp_path: Path) -> None:
    crash(tmp_path / "out.dsmote")
    before = left(tmp_path / ".out.dsmote.dsmote")
    write_table(tmp_path / "out", "new")
    assert left(tmp_path) == [".out.dsmote", ".out.dsmote.dsmote", "out"]
    assert left(tmp_path / ".out.dsmote.dsmote") == before


def test_old_output_is_put_back_after_a_kill_between_the_renames(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_table(tmp_path / "out", "old")
    crash(tmp_path / "out", swapped=True)
    assert not (tmp_path / "out").exists()
    with pytest.raises(FileExistsError, match="there already"):
        write_table(tmp_path / "out", "new")
    assert (tmp_path / "out" / "part-00000.parquet").read_text() == "old"
    assert f"killed while it replaced {tmp_path / 'out'}: the old is back" in caplog.text
    assert beside(tmp_path) == ["out"]


def test_what_was_set_aside_is_deleted_after_a_kill_behind_the_renames(tmp_path: Path) -> None:
    write_table(tmp_path / "out", "old")
    crash(tmp_path / "out", swapped=True)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "part-00000.parquet").write_text("new")
    with (
        pytest.raises(FileExistsError, match="there already"),
        storage.opened(str(tmp_path / "out")) as output,
        output.stage(),
    ):
        pass
    assert (tmp_path / "out" / "part-00000.parquet").read_text() == "new"


class Killed(BaseException):
    """Ends a commit where a kill would, with nothing done after it."""


RECORD_NAMES = ("/manifest.json", "/report.html")
RECORDS = [f"/store/.out.dsmote{name}" for name in RECORD_NAMES]


class TestObjectStore:
    """Without renaming: on fsspec's memory, whose every step can be watched and cut off."""

    OUT = "memory://store/out"

    @pytest.fixture(autouse=True)
    def fs(self) -> Iterator[fsspec.AbstractFileSystem]:
        fs = fsspec.filesystem("memory")
        yield fs
        if fs.exists("/store"):
            fs.rm("/store", recursive=True)

    def run(
        self, content: bytes, overwrite: bool = True, parts: int = 2, report: bool = True
    ) -> dict:
        fs = fsspec.filesystem("memory")
        files = [f"train/part-{number:05d}.parquet" for number in range(parts)]
        with staged(self.OUT, overwrite) as stage:
            for file in files:
                fs.pipe_file(f"{stage.folder}/{file}", content)
            fs.pipe_file(f"{stage.folder}/_records/00000.json", b"{}")
            if report:
                fs.pipe_file(fs._strip_protocol(stage.report), b"page of " + content)
            manifest = {"parts": [{"file": file, "bytes": len(content)} for file in files]}
            return stage.commit(manifest, key=content.hex() * 4)

    def read(self, success: bool = True) -> list[bytes]:
        """Read as the rules for readers say."""
        fs = fsspec.filesystem("memory")
        if success:
            assert fs.exists("/store/out/_SUCCESS")
        manifest = json.loads(fs.cat("/store/.out.dsmote/manifest.json"))
        return [fs.cat(f"/store/out/{part['file']}") for part in manifest["parts"]]

    def test_a_table_and_the_next(self, fs: fsspec.AbstractFileSystem) -> None:
        self.run(b"old", parts=3)
        assert self.read() == [b"old"] * 3
        with pytest.raises(FileExistsError):
            self.run(b"new", overwrite=False)
        assert self.read() == [b"old"] * 3
        manifest = self.run(b"new")
        assert self.read() == [b"new"] * 2
        assert [part["file"] for part in manifest["parts"]] == [
            "train/part-00000-6e65776e.parquet",
            "train/part-00001-6e65776e.parquet",
        ]
        assert sorted(fs.find("/store")) == [
            *RECORDS,
            "/store/out/_SUCCESS",
            "/store/out/train/part-00000-6e65776e.parquet",
            "/store/out/train/part-00001-6e65776e.parquet",
        ]

    def test_a_table_without_a_report_has_none_of_another(
        self, fs: fsspec.AbstractFileSystem
    ) -> None:
        self.run(b"old")
        self.run(b"new", report=False)
        assert fs.find("/store/.out.dsmote") == RECORDS[:1]

    def test_a_failure_keeps_the_old(self, fs: fsspec.AbstractFileSystem) -> None:
        self.run(b"old")
        with pytest.raises(KeyboardInterrupt), staged(self.OUT, overwrite=True) as stage:
            fs.pipe_file(f"{stage.folder}/part-00000.parquet", b"new")
            raise KeyboardInterrupt
        assert self.read() == [b"old"] * 2
        assert fs.find("/store/.out.dsmote") == RECORDS

    @pytest.mark.parametrize("name", ["out*", "out[1]", "o t ü#"])
    def test_name_that_looks_like_a_pattern(
        self, fs: fsspec.AbstractFileSystem, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        fs.pipe_file("/store/.outer.dsmote/0123456789ab/part", b"another run's")
        monkeypatch.setattr(TestObjectStore, "OUT", f"memory://store/{name}")
        for content in (b"old", b"new"):
            self.run(content, parts=1)
        assert sorted(fs.find("/store")) == sorted(
            [
                "/store/.outer.dsmote/0123456789ab/part",
                f"/store/{name}/_SUCCESS",
                f"/store/.{name}.dsmote/manifest.json",
                f"/store/.{name}.dsmote/report.html",
                f"/store/{name}/train/part-00000-6e65776e.parquet",
            ]
        )

    def test_run_that_lost_its_lock_touches_nothing(self, fs: fsspec.AbstractFileSystem) -> None:
        self.run(b"old")
        with pytest.raises(LockLost), staged(self.OUT, overwrite=True) as stage:
            fs.pipe_file(f"{stage.folder}/part-00000.parquet", b"new")
            fs.rm_file(stage.lock.file)
            stage.commit({"parts": [{"file": PART, "bytes": 3}]})
        assert self.read() == [b"old"] * 2
        with storage.opened(self.OUT) as output, output.stage("replace"):
            pass
        assert fs.find("/store/.out.dsmote") == RECORDS

    def steps(self, monkeypatch: pytest.MonkeyPatch, stop: int, kill: bool) -> list[str]:
        """Cut the commit off before a step: by a death, after which nothing more happens, or not.

        Returns the list that the steps that are taken are added to.
        """
        taken: list[str] = []
        dead: list[bool] = []
        kind = type(fsspec.filesystem("memory"))

        def watch(name: str) -> None:
            original = getattr(kind, name)

            def step(fs: object, path: str, *args: object, **kwargs: object) -> object:
                target = str(args[0]) if name == "cp_file" else str(path)
                if "store/out/" in target or target.endswith(RECORD_NAMES):
                    if dead or len(taken) == stop:
                        dead.extend([True] * kill)
                        stop_once = len(taken) == stop
                        taken.append("cut")
                        if kill or stop_once:
                            raise Killed if kill else OSError(5, "Input/output error")
                    taken.append(f"{name} {target.rpartition('/')[2]}")
                return original(fs, path, *args, **kwargs)

            monkeypatch.setattr(kind, name, step)

        for name in ("cp_file", "pipe_file", "rm_file"):
            watch(name)
        return taken

    def count(self, monkeypatch: pytest.MonkeyPatch) -> int:
        with monkeypatch.context() as patch:
            taken = self.steps(patch, stop=-1, kill=False)
            self.run(b"new")
        return len(taken)

    def test_no_reader_ever_sees_a_mixture(
        self, fs: fsspec.AbstractFileSystem, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whoever finds _SUCCESS reads one table, at every step of the way."""
        self.run(b"old", parts=3)
        seen = set()
        kind = type(fs)
        for name in ("cp_file", "pipe_file", "rm_file"):
            original = getattr(kind, name)

            def step(fs: object, *args: object, original=original, **kwargs: object) -> object:
                found = original(fs, *args, **kwargs)
                whole = fs.exists("/store/out/_SUCCESS")
                seen.add((whole, tuple(self.read(success=False)) if whole else ()))
                return found

            monkeypatch.setattr(kind, name, step)
        self.run(b"new")
        assert seen == {(True, (b"old",) * 3), (False, ()), (True, (b"new",) * 2)}

    @pytest.mark.parametrize("kill", [True, False], ids=["killed", "error"])
    def test_cut_off_at_any_step_it_is_the_old_or_the_new(
        self, fs: fsspec.AbstractFileSystem, monkeypatch: pytest.MonkeyPatch, kill: bool
    ) -> None:
        self.run(b"old", parts=3)
        total = self.count(monkeypatch)
        assert total >= 8
        outcomes = []
        for stop in range(total):
            self.run(b"old", parts=3)
            with monkeypatch.context() as patch:
                taken = self.steps(patch, stop, kill)
                # One error while old parts are deleted is got over: the new table is there.
                with suppress(OSError) if not kill else pytest.raises(Killed):
                    self.run(b"new")
                assert "cut" in taken
            if not kill:
                assert fs.find("/store/.out.dsmote") == RECORDS
            check_output(self.OUT, "replace")
            # What the next run finds, before it does anything of its own.
            with storage.opened(self.OUT):
                found = self.read()
            assert found in ([b"old"] * 3, [b"new"] * 2)
            assert fs.cat("/store/.out.dsmote/report.html") == b"page of " + found[0]
            outcomes.append(found[0])
            names = [name for name in fs.find("/store/out") if name.endswith(".parquet")]
            assert len(names) == len(found)
        assert set(outcomes) == {b"old", b"new"}

    @pytest.mark.parametrize("if_exists", ["error", "skip", "replace"])
    def test_first_table_that_was_cut_off_by_a_death_is_made_again(
        self, fs: fsspec.AbstractFileSystem, monkeypatch: pytest.MonkeyPatch, if_exists: str
    ) -> None:
        total = self.count(monkeypatch)
        fs.rm("/store", recursive=True)
        for stop in range(total - 1):  # the last is _SUCCESS, with all else in place
            with monkeypatch.context() as patch, pytest.raises(Killed):
                self.steps(patch, stop, kill=True)
                self.run(b"new")
            check_output(self.OUT, if_exists)
            with storage.opened(self.OUT):
                assert not fs.exists("/store/out") or self.read() == [b"new"] * 2
            self.run(b"new", overwrite=True)
            fs.rm("/store", recursive=True)

    @pytest.mark.parametrize("moment", range(4))
    def test_run_that_wakes_up_in_the_middle_leaves_the_next_run_alone(
        self, fs: fsspec.AbstractFileSystem, monkeypatch: pytest.MonkeyPatch, moment: int
    ) -> None:
        """Suspended while it put its table in place, taken over by the same job, and woken up."""
        self.run(b"old", parts=3)
        kind, asleep = type(fs), [moment]
        original = kind.cp_file

        def copy(fs: fsspec.AbstractFileSystem, source: str, target: str, **kwargs: object) -> None:
            if "store/out/" in target and asleep:
                if asleep[0] == 0:
                    asleep.clear()
                    fs.rm_file(next(path for path in fs.find("/store") if path.endswith(".lock")))
                    self.run(b"new", parts=4)
                else:
                    asleep[0] -= 1
            # What was being copied when it fell asleep is there when it wakes up.
            with suppress(FileNotFoundError):
                original(fs, source, target, **kwargs)

        monkeypatch.setattr(kind, "cp_file", copy)
        with pytest.raises(LockLost):
            self.run(b"new", parts=4)
        assert self.read() == [b"new"] * 4
        with storage.opened(self.OUT) as output, output.stage("replace"):
            assert self.read() == [b"new"] * 4
        assert fs.find("/store/.out.dsmote") == RECORDS
