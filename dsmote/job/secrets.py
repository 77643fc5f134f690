"""What must not be shown: secrets in URLs, and what came from the environment."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

__all__ = ["MASK", "SECRET_NAME", "Masking", "Secrets", "masked_logger"]

MASK = "***"

#: From this length on a secret is masked wherever it stands; shorter, only where it stands alone.
LONG = 4

#: The password of ``scheme://user:password@host``; it may itself hold an ``@`` or a ``/``.
_USERINFO = re.compile(r"(?P<before>[A-Za-z][A-Za-z0-9+.-]*://[^\s/:@'\"]*:)[^\s'\"]+(?=@)")

#: What is called so holds a secret, whatever it looks like.
SECRET_NAME = re.compile(
    r"KEY|SECRET|TOKEN|PASS|PWD|CREDENTIAL|AUTH|PRIVATE|SIGNATURE", re.IGNORECASE
)
#: A parameter in a URL's query. What it ends with may be a bracket of the message: rather that is
#: masked than the end of a secret shown.
_QUERY = re.compile(r"(?P<before>[?&;](?P<name>[\w.~%-]+)=)[^\s&#'\"]+")
#: Names of secrets that are too short to look for in others (shared access signatures, JWT).
_WHOLE_NAMES = ("sig", "sas", "jwt")


def _masked_parameter(match: re.Match[str]) -> str:
    name = match["name"]
    secret = SECRET_NAME.search(name) or name.lower() in _WHOLE_NAMES
    return f"{match['before']}{MASK}" if secret else match[0]


@dataclass(frozen=True)
class Secrets:
    """Texts to mask wherever they appear.

    Examples
    --------
    >>> Secrets(("hunter2",)).mask("no table at sftp://me:pass@host/hunter2/x")
    'no table at sftp://me:***@host/***/x'
    """

    values: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Secrets({len(self.values)} values)"

    def __or__(self, other: Iterable[str]) -> Secrets:
        # What has no letter and no digit, such as ".", hides nothing and stands everywhere.
        more = (value for value in other if re.search(r"\w", value))
        return Secrets(tuple(dict.fromkeys((*self.values, *more))))

    def mask(self, text: str) -> str:
        """Return a text without the secrets."""
        text = _USERINFO.sub(rf"\g<before>{MASK}", text)
        text = _QUERY.sub(_masked_parameter, text)
        # The longest first: a secret may be part of another.
        for value in sorted(self.values, key=len, reverse=True):
            # Messages quote what they name, with what is special in it escaped, and others'
            # messages are put into one line.
            for written in {value, repr(value)[1:-1], " ".join(value.split())}:
                pattern = re.escape(written)
                if len(value) < LONG:
                    pattern = rf"(?<!\w){pattern}(?!\w)"
                text = re.sub(pattern, MASK, text)
        return text

    def mask_value(self, value: Any) -> Any:
        """Return plain data with the secrets masked in all its texts; keys stay as they are.

        Examples
        --------
        >>> Secrets(("bucket-7",)).mask_value({"input": ["s3://bucket-7/a"], "rows": 7})
        {'input': ['s3://***/a'], 'rows': 7}
        """
        if isinstance(value, str):
            return self.mask(value)
        if isinstance(value, Mapping):
            return {key: self.mask_value(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.mask_value(item) for item in value]
        return value

    def mask_error(self, error: BaseException) -> None:
        """Mask the messages of an error and of those that led to it, in place."""
        seen: set[int] = set()
        waiting: list[BaseException | None] = [error]
        while waiting:
            one = waiting.pop()
            if one is None or id(one) in seen:
                continue
            seen.add(id(one))
            one.args = tuple(self.mask(arg) if isinstance(arg, str) else arg for arg in one.args)
            for name in ("filename", "filename2"):
                if isinstance(getattr(one, name, None), str):
                    setattr(one, name, self.mask(getattr(one, name)))
            waiting += [one.__cause__, one.__context__]

    @contextmanager
    def masked(self) -> Iterator[None]:
        """Mask the secrets in what is logged in the block, by any thread, and in its error."""
        _ACTIVE.append(self)
        try:
            yield
        except Exception as error:  # what is raised is often printed
            self.mask_error(error)
            raise
        finally:
            _ACTIVE.remove(self)


#: Those of the jobs that run in this process.
_ACTIVE: list[Secrets] = []


class Masking(logging.Filter):
    """Masks a record whole, with its traceback."""

    def __init__(self, hidden: Secrets) -> None:
        super().__init__()
        self._hidden = hidden

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask secrets in a record, and let it pass."""
        text = record.getMessage()
        if record.exc_info and not record.exc_text:
            record.exc_text = _FORMATTER.formatException(record.exc_info)
        for secrets in (self._hidden, *_ACTIVE):
            text = secrets.mask(text)
            record.exc_text = record.exc_text and secrets.mask(record.exc_text)
        record.msg, record.args = text, ()
        return True


_FORMATTER = logging.Formatter()
_MASKING = Masking(Secrets())


def masked_logger(name: str) -> logging.Logger:
    """Return the logger of a name, which masks the secrets of the jobs that run.

    Examples
    --------
    >>> masked_logger("dsmote.job.example").name
    'dsmote.job.example'
    """
    logger = logging.getLogger(name)
    logger.addFilter(_MASKING)  # once, however often it is asked for
    return logger
