r"""Rows as numbers of 64 bits, by which tables are compared that are larger than memory.

::

    column a     column b     ...
    bits --.     bits --.
            mix          mix  ...   --->  one hash a row  --->  sum over rows: the digest

Equal rows have equal hashes, whatever file, row group or dictionary they come from: a missing value
is one, as NaN or as null; text is hashed by its bytes. The digest is a sum of hashes, so it can be
taken piece by piece. That of rows in order mixes each hash with the number of its row.

A row that is changed by accident goes unseen once in 2^64 times. This is no signature.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

#: Rows hashed at once: what is computed on the way stays in the processor's cache.
STEP = 1 << 15
#: Bytes of text hashed at once.
TEXT_BYTES = 1 << 20

_ODD = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xD6E8FEB86659FD93)
_HALF = np.uint64(32)
_MISSING = np.uint64(0x5851F42D4C957F2D)
#: Text and bytes of any length, however Arrow keeps them.
_TEXTS = (
    *(pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view),
    *(pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view),
)
#: Views, of which Arrow neither makes a dictionary nor takes rows, and what they are read as.
VIEWS = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}
_UNSIGNED = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}


def row_hashes(table: pa.Table) -> np.ndarray:
    """Return a hash of each row; uint64.

    >>> one, other = pa.table({"a": [1, None], "b": ["x", "y"]}), pa.table({"a": [1], "b": ["x"]})
    >>> row_hashes(one)[0] == row_hashes(other)[0], row_hashes(one)[0] == row_hashes(one)[1]
    (np.True_, np.False_)
    """
    found = [_of_batch(batch) for batch in table.to_batches(max_chunksize=STEP)]
    return np.concatenate(found) if found else np.zeros(0, dtype=np.uint64)


def _of_batch(batch: pa.RecordBatch) -> np.ndarray:
    hashes = np.zeros(len(batch), dtype=np.uint64)
    for column in batch.columns:
        for bits in _bits(column):
            hashes ^= bits
            hashes *= _ODD
            hashes ^= hashes >> _HALF
    return hashes


def _bits(column: pa.Array) -> Iterator[np.ndarray]:
    """Yield what tells the values of a column apart; uint64, once or more."""
    of = column.type
    if pa.types.is_dictionary(of):
        (levels,) = _bits(column.dictionary) if len(column.dictionary) else ([],)
        levels = np.append(np.asarray(levels, dtype=np.uint64), _MISSING)
        yield levels[column.indices.fill_null(len(levels) - 1).to_numpy(zero_copy_only=False)]
        return
    if pa.types.is_null(of):
        yield np.full(len(column), _MISSING)
        return
    if any(holds(of) for holds in _TEXTS):
        # Many values are few different ones, and these are found quickly.
        coded = column.cast(VIEWS.get(of, of)).dictionary_encode()
        levels = np.append(_of_texts(coded.dictionary.cast(pa.large_binary())), _MISSING)
        yield levels[coded.indices.fill_null(len(levels) - 1).to_numpy(zero_copy_only=False)]
        return
    missing = None if not column.null_count else ~_plain(column.is_valid())
    for bits in _fixed(column):
        if missing is not None:
            bits = np.where(missing, _MISSING, bits)
        yield bits


def _plain(column: pa.Array) -> np.ndarray:
    return np.asarray(column.to_numpy(zero_copy_only=False))


def _fixed(column: pa.Array) -> Iterator[np.ndarray]:
    """Yield the bits of values of a fixed width, whatever those that are missing hold."""
    of = column.type
    if pa.types.is_boolean(of):
        yield _plain(column.fill_null(False)).astype(np.uint64)
        return
    width = of.bit_width // 8 if not pa.types.is_fixed_size_binary(of) else of.byte_width
    if width not in _UNSIGNED and (width % 8 or not width):  # bytes of a fixed number
        yield _of_texts(column.cast(pa.binary()).cast(pa.large_binary()))
        return
    unit = _UNSIGNED.get(width, np.uint64)
    values = np.frombuffer(column.buffers()[1], dtype=unit)
    each = width // np.dtype(unit).itemsize
    values = values[column.offset * each : (column.offset + len(column)) * each]
    if pa.types.is_floating(of):
        bits = values.astype(np.uint64)
        nan = np.isnan(values.view(f"f{width}"))
        if nan.any():
            bits[nan] = _MISSING
        yield bits
        return
    for part in values.reshape(-1, each).T:
        yield part.astype(np.uint64)


def _of_texts(texts: pa.Array) -> np.ndarray:
    """Return a hash of each of some large binaries: bytes times a number for each place."""
    offsets = np.frombuffer(texts.buffers()[1], dtype=np.int64)
    offsets = offsets[texts.offset : texts.offset + len(texts) + 1]
    hashes = np.diff(offsets).astype(np.uint64) * _MIX
    if len(texts) and offsets[-1] > offsets[0]:
        data = np.frombuffer(texts.buffers()[2], dtype=np.uint8)
        longest = int(np.diff(offsets).max())
        places = _mixed(np.arange(1, longest + 1, dtype=np.uint64)) | np.uint64(1)
        first = 0
        while first < len(texts):
            most = offsets[first] + TEXT_BYTES
            last = max(first + 1, int(np.searchsorted(offsets, most, side="right")) - 1)
            own = offsets[first : last + 1]
            at = np.arange(own[0], own[-1]) - np.repeat(own[:-1], np.diff(own))
            terms = (data[own[0] : own[-1]].astype(np.uint64) + np.uint64(1)) * places[at]
            sums = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(terms)])
            hashes[first:last] += np.diff(sums[own - own[0]])
            first = last
    return _mixed(hashes)


def _mixed(values: np.ndarray) -> np.ndarray:
    """Return numbers of which each bit depends on all bits of the one given."""
    values = (values ^ (values >> _HALF)) * _MIX
    values = (values ^ (values >> _HALF)) * _ODD
    return values ^ (values >> _HALF)


def digest_of(hashes: np.ndarray, first: int | None = None) -> int:
    """Return the digest of rows: those of pieces are added up, modulo 2^64.

    With the number of the `first` row it is that of rows in this order.

    >>> hashes = row_hashes(pa.table({"a": [1, 2, 3]}))
    >>> digest_of(hashes) == digest_of(hashes[::-1]), digest_of(hashes, 0) == digest_of(
    ...     hashes[::-1], 0)
    (True, False)
    >>> (digest_of(hashes[:2], 0) + digest_of(hashes[2:], 2)) % 2**64 == digest_of(hashes, 0)
    True
    """
    if first is not None:
        hashes = hashes + np.arange(first, first + len(hashes), dtype=np.uint64) * _MIX
    return int(_mixed(hashes).sum(dtype=np.uint64))
