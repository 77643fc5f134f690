"""Pure numpy kernels: arrays in, arrays out, draws passed in, nothing written in place."""

from dsmote.kernels.beyond import beyond, beyond_exact
from dsmote.kernels.noise import bandwidth, normal
from dsmote.kernels.segment import segment, segment_exact
from dsmote.kernels.vote import vote

__all__ = [
    "bandwidth",
    "beyond",
    "beyond_exact",
    "normal",
    "segment",
    "segment_exact",
    "vote",
]
