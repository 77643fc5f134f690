"""Two folders that change places in one step, so that at no moment one of the names is missing."""

from __future__ import annotations

import ctypes
import os
from functools import cache
from typing import Any

__all__ = ["exchange"]

_HERE = -100  # AT_FDCWD: paths are taken as everywhere else
_EXCHANGE = 2  # RENAME_EXCHANGE, of <linux/fs.h>


@cache
def _renameat2() -> Any:
    """Return the C library's call, or None where it has none."""
    try:
        call = ctypes.CDLL(None).renameat2
    except (OSError, AttributeError, TypeError):
        return None
    call.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    call.restype = ctypes.c_int
    return call


def exchange(one: str, other: str) -> bool:
    """Have two folders, both there, change places in one step.

    Only Linux can, on most of its own file systems; networks' mostly cannot.

    Parameters
    ----------
    one, other : str
        Paths on one file system.

    Returns
    -------
    bool
        Whether they did; if not, for whatever reason, both are as they were.

    Examples
    --------
    >>> exchange("/no/such", "/folder")
    False
    """
    call = _renameat2()
    if call is None:
        return False
    paths = os.fsencode(one), os.fsencode(other)
    return bool(call(_HERE, paths[0], _HERE, paths[1], _EXCHANGE) == 0)
