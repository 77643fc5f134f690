"""Whether an output may be written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from dsmote.job.files import PARQUET_ENDINGS, clear_errors
from dsmote.job.storage.place import Place

__all__ = ["MANIFEST", "SUCCESS", "check_output"]

MANIFEST, SUCCESS = "_manifest.json", "_SUCCESS"


def check_output(url: str, if_exists: str = "error") -> None:
    """Refuse an output that may not be written.

    Parameters
    ----------
    url : str
    if_exists : {"error", "skip", "replace"}

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
        foreign = sorted(_foreign(place, fs.ls(path, detail=True)))
        if foreign:
            raise FileExistsError(
                f"{url} is not overwritten, because it holds more than a table: {foreign[:5]}"
            )
        if if_exists == "skip" and place.read(f"{path}/{MANIFEST}") is None:
            raise FileExistsError(
                f"{url} is there, but has no {MANIFEST} that says how it was made, so it cannot be "
                "told whether it is up to date: delete it, or replace it (if_exists: replace)"
            )


def _foreign(place: Place, entries: list[dict[str, Any]]) -> Iterator[str]:
    """Name what is not of a table: in folders, every file that the manifest does not list."""
    listed: set[str] | None = None
    for entry in entries:
        path = str(entry["name"]).rstrip("/")
        name = path.rpartition("/")[2]
        if not name:  # some stores keep an empty object for the folder itself
            continue
        if entry["type"] == "directory":
            listed = _listed(place) if listed is None else listed
            below = [str(file) for file in place.fs.find(path)]
            within = [file[len(place.target) + 1 :] for file in below]
            if not within or any(file not in listed for file in within if not _is_crc(file)):
                yield name
        elif not (name.startswith("_") or name.lower().endswith(PARQUET_ENDINGS) or _is_crc(name)):
            yield name


def _is_crc(name: str) -> bool:
    return name.lower().endswith(".crc")


def _listed(place: Place) -> set[str]:
    manifest = place.read(f"{place.target}/{MANIFEST}") or {}
    parts = manifest.get("parts")
    return {str(part.get("file")) for part in parts if isinstance(part, dict)} if parts else set()
