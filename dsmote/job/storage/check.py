"""Whether an output may be written."""

from __future__ import annotations

import os

from dsmote.job.files import clear_errors
from dsmote.job.storage.place import Place
from dsmote.plan.labels import listed

__all__ = ["MANIFEST", "REPORT", "SUCCESS", "check_output", "files_below", "own_files"]

MANIFEST, SUCCESS, REPORT = "_manifest.json", "_SUCCESS", "_report.html"


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
        if if_exists == "skip" and place.read(f"{path}/{MANIFEST}") is None:
            raise FileExistsError(
                f"{url} is there, but has no {MANIFEST} that says how it was made, so it cannot be "
                "told whether it is up to date: delete it, or choose another folder"
            )
        foreign = sorted(set(files_below(place)) - own_files(place, path))
        if foreign:
            raise FileExistsError(
                f"{url} is not overwritten, because it holds more than a table of dsmote: "
                f"{listed(map(repr, foreign), 5)}, not listed in its {MANIFEST}; move these files "
                "away, or choose another folder"
            )


def files_below(place: Place) -> list[str]:
    """Return the files in the output's folder, as paths in it."""
    place.fs.invalidate_cache()
    try:
        found = place.fs.find(place.target)
    except FileNotFoundError:
        return []
    below = len(place.target) + 1
    return sorted(str(path)[below:] for path in found if str(path)[below:])


def own_files(place: Place, folder: str) -> set[str]:
    """Return the files that dsmote wrote to a folder: what its manifest lists, and records."""
    manifest = place.read(f"{folder}/{MANIFEST}") or {}
    parts, job = manifest.get("parts"), manifest.get("job")
    if not isinstance(parts, list):
        return set()
    report = {REPORT} if isinstance(job, dict) and job.get("report") else set()
    listed = {str(part.get("file")) for part in parts if isinstance(part, dict)}
    return listed | report | {MANIFEST, SUCCESS}
