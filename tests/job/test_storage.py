import json
import os
import shutil
from pathlib import Path

import fsspec
import pytest

from dsmote.job import storage
from dsmote.job.storage import check_output, staged

MANIFEST = {"parts": [{"file": "part-00000.parquet"}]}


def put(stage: storage.LocalStage, content: str = "new") -> None:
    Path(stage.folder, "part-00000.parquet").write_text(content)


def write_table(folder: Path, content: str, overwrite: bool = False) -> None:
    with staged(str(folder), overwrite) as stage:
        put(stage, content)
        stage.commit(MANIFEST)


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
        Path(stage.folder, ".part-00000.parquet.left-over").write_text("of a dead task")
        assert not out.exists()
        stage.commit(MANIFEST)
    assert order == [["_SUCCESS", "_manifest.json", "_owner.json", "part-00000.parquet"]]
    assert left(out) == ["_SUCCESS", "_manifest.json", "part-00000.parquet"]
    assert left(tmp_path) == ["out"]
    assert json.loads((out / "_manifest.json").read_text()) == MANIFEST


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
        write_table(tmp_path / "out", "other")
        stage.commit(MANIFEST)
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
    assert left(tmp_path) == ["out"]


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
    assert left(tmp_path) == ["out"]


def test_overwrite_goes_through_a_link(tmp_path: Path) -> None:
    write_table(tmp_path / "real", "old")
    (tmp_path / "link").symlink_to("real")
    write_table(tmp_path / "link", "new", overwrite=True)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "part-00000.parquet").read_text() == "new"


@pytest.mark.parametrize("foreign", ["thesis.txt", "sub/part.parquet", ".ssh/id"])
def test_overwrite_refuses_what_is_not_a_table(tmp_path: Path, foreign: str) -> None:
    write_table(tmp_path / "out", "old")
    (tmp_path / "out" / foreign).parent.mkdir(exist_ok=True)
    (tmp_path / "out" / foreign).write_text("precious")
    with pytest.raises(FileExistsError, match="holds more than a table"):
        write_table(tmp_path / "out", "new", overwrite=True)
    assert (tmp_path / "out" / foreign).read_text() == "precious"


def test_output_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("precious")
    with pytest.raises(FileExistsError, match="is a file"):
        check_output(str(tmp_path / "out"), overwrite=True)


def test_output_below_a_file_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    with (
        pytest.raises(OSError, match=r"cannot write .*file/out"),
        staged(str(tmp_path / "file" / "out")),
    ):
        pass


def test_no_permission_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "mkdir", refuse)
    with (
        pytest.raises(PermissionError, match=r"no permission to write .*out"),
        staged(str(tmp_path / "out")),
    ):
        pass


def crash(folder: Path, pid: int, swapped: bool = False) -> Path:
    """What a run that was killed leaves: its staging folder, and the output set aside."""
    stage = storage.LocalStage(str(folder), None, str(folder), overwrite=True)
    stage.open()
    put(stage)
    owner = {**storage._this_process(), "pid": pid}
    Path(stage.folder, "_owner.json").write_text(json.dumps(owner))
    if swapped:
        os.rename(folder, f"{stage.folder}.old")
    return Path(stage.folder)


DEAD = 2**22 + 1  # above the largest process id there is


def test_left_overs_of_a_killed_run_are_cleared(tmp_path: Path) -> None:
    crash(tmp_path / "out", DEAD)
    write_table(tmp_path / "out", "new")
    assert left(tmp_path) == ["out"]


def test_staging_folder_of_a_living_run_is_left_alone(tmp_path: Path) -> None:
    living = crash(tmp_path / "out", os.getpid())
    write_table(tmp_path / "out", "new")
    assert living.is_dir()
    shutil.rmtree(living)


def test_old_output_is_put_back_after_a_kill_between_the_renames(tmp_path: Path) -> None:
    write_table(tmp_path / "out", "old")
    crash(tmp_path / "out", DEAD, swapped=True)
    assert not (tmp_path / "out").exists()
    with pytest.raises(FileExistsError, match="there already"):
        write_table(tmp_path / "out", "new")
    assert (tmp_path / "out" / "part-00000.parquet").read_text() == "old"
    assert left(tmp_path) == ["out"]


def test_memory_file_system(monkeypatch: pytest.MonkeyPatch) -> None:
    fs = fsspec.filesystem("memory")

    def run(content: bytes, overwrite: bool, fail: bool = False) -> None:
        with staged("memory://store/out", overwrite) as stage:
            fs.pipe_file(f"{stage.folder}/part-00000.parquet", content)
            if fail:
                raise KeyboardInterrupt
            stage.commit(MANIFEST)

    run(b"old", overwrite=False)
    assert fs.cat("/store/out/part-00000.parquet") == b"old"
    with pytest.raises(FileExistsError):
        run(b"new", overwrite=False)
    with pytest.raises(KeyboardInterrupt):
        run(b"new", overwrite=True, fail=True)
    assert fs.cat("/store/out/part-00000.parquet") == b"old"
    run(b"new", overwrite=True)
    assert fs.cat("/store/out/part-00000.parquet") == b"new"
    assert sorted(fs.find("/store")) == [
        "/store/out/_SUCCESS",
        "/store/out/_manifest.json",
        "/store/out/part-00000.parquet",
    ]
