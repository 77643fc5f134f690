"""What belongs to an output, by its manifest, and whether the output may be written."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from dsmote.job.files import clear_errors
from dsmote.job.storage.place import Place
from dsmote.plan.labels import listed

__all__ = [
    "SUCCESS",
    "belongs",
    "check_output",
    "file_sizes",
    "lacking",
    "own_files",
    "read_manifest",
    "refuse_split",
]

SUCCESS = "_SUCCESS"


def check_output(url: str, if_exists: str = "error") -> None:
    """Refuse an output that may not be written.

    Raises
    ------
    PermissionError
        When it may be replaced, and not by this user.
    FileExistsError
        When it is there and may not be replaced; when it is not a table's folder, so that
        replacing it would destroy something else; when it cannot be renamed; with ``"skip"``,
        when nothing says how it was made.
    """
    place = Place.of(url)
    with clear_errors("write", url):
        fs, path = place.fs, place.target
        if not place.exists(path):
            return
        if any(kind == ".commit" for _, kind in place.names().values()):
            return  # a run was killed while it put a table there: that is settled under the lock
        if not fs.isdir(path):
            raise FileExistsError(f"{url} is a file: the output is a folder, choose another name")
        if place.local and os.path.ismount(path):
            raise FileExistsError(
                f"{url} is where a file system is mounted, so no new folder can take its name: "
                "choose a folder in it"
            )
        if if_exists == "error":
            raise FileExistsError(
                f"{url} is there already: choose another folder, or --overwrite it "
                "(if_exists: replace in a job file)"
            )
        if place.local and not os.access(path, os.W_OK):  # else it is found out at the renaming
            raise PermissionError(f"no permission to write {url}: it cannot be replaced")
        manifest, sizes = read_manifest(place), file_sizes(place)
        if if_exists == "skip" and manifest is None:
            raise FileExistsError(
                f"{url} is there, but {place.manifest}, which says how it was made, is not, so it "
                "cannot be told whether it is up to date: delete it, or choose another folder"
            )
        foreign = sorted(set(sizes) - own_files(manifest, sizes))
        if foreign:
            raise FileExistsError(
                f"{url} is not overwritten, because it holds more than a table of dsmote: "
                f"{listed(map(repr, foreign), 5)}, not listed in {place.manifest} with that size; "
                "move these files away, or choose another folder"
            )


def file_sizes(place: Place, folder: str | None = None) -> dict[str, int]:
    """Return the bytes of each file in a folder, the output's if none is named, by its path."""
    folder = folder or place.target
    place.fs.invalidate_cache()
    try:
        found = place.fs.find(folder, detail=True)
    except FileNotFoundError:
        return {}
    below = len(folder) + 1
    return {
        str(path)[below:]: int(info["size"] or 0)
        for path, info in found.items()
        if str(path)[below:]
    }


def read_manifest(place: Place) -> dict[str, Any] | None:
    """Return the manifest that lies beside an output; None when there is none.

    A run that put its table in place, and was killed before its manifest got its name, has left
    that under another one: there it is believed if it belongs to the table.
    """
    found = place.names()
    waiting = [place.path(name) for name, (_, kind) in found.items() if kind == ".manifest"]
    sizes = file_sizes(place) if waiting else {}
    for path in waiting:
        if belongs(place, path, sizes):
            return place.read(path)
    return place.read(place.manifest)


def belongs(place: Place, path: str, sizes: Mapping[str, int]) -> bool:
    """Tell whether a manifest that waits for its name is of the table that is in place."""
    manifest = place.read(path)
    if manifest is None or place.exists(path.removesuffix(".manifest")):
        return False  # its own table is still where it was written
    return SUCCESS in sizes and not lacking(manifest, sizes)


def lacking(manifest: Mapping[str, Any], sizes: Mapping[str, int]) -> list[str]:
    """Return the parts that are not there in the size they had."""
    return [file for file, size in _parts(manifest) if sizes.get(file) != size]


def own_files(manifest: Mapping[str, Any] | None, sizes: Mapping[str, int]) -> set[str]:
    """Return the files that dsmote wrote: parts of the size they had, and ``_SUCCESS``."""
    if manifest is None:
        return set()
    own = {file for file, size in _parts(manifest) if sizes.get(file) == size}
    return own | {SUCCESS} if sizes.get(SUCCESS) == 0 else own


def refuse_split(url: str, files: Iterable[str]) -> None:
    """Refuse an input that holds both sides of an output with a split.

    Parameters
    ----------
    url : str
        The input.
    files : iterable of str
        Its files.
    """
    for folder in sorted({file.rpartition("/test/")[0] for file in files if "/test/" in file}):
        try:
            place = Place.of(folder)
            manifest = place.read(place.manifest) or {}
        except (OSError, ValueError):  # not to be read, or a bucket, which has nothing beside it
            continue
        job = manifest.get("job")
        if not (isinstance(job, dict) and job.get("split")):
            continue
        if any(file.startswith("test/") for file in own_files(manifest, file_sizes(place))):
            raise ValueError(
                f"{url} is an output with a split, and its test/ would be mixed into the training "
                f"rows: give {place.target}/train"
            )


def _parts(manifest: Mapping[str, Any]) -> list[tuple[str, Any]]:
    parts = manifest.get("parts")
    parts = [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
    return [(os.path.normpath(str(part.get("file"))), part.get("bytes", -1)) for part in parts]
