"""Pure numpy kernels: arrays in, arrays out, draws passed in, nothing written in place."""

from dsmote.kernels.segment import segment, segment_exact
from dsmote.kernels.vote import vote

__all__ = ["segment", "segment_exact", "vote"]
