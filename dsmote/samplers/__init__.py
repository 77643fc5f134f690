"""What users construct: one sampler per file, loaded when it is asked for.

The list of samplers is the stub beside this file, ``__init__.pyi``. None of them loads scikit-learn
before a sampler is made: a worker needs the recipes in them, and scikit-learn would take a fifth of
its memory.
"""

import importlib
from typing import Any

from dsmote.samplers.registry import class_names, find_sampler, make_sampler, samplers

__all__ = ["Chain", *class_names().values(), "make_sampler", "samplers"]


def __getattr__(name: str) -> Any:
    if name == "Chain":
        return importlib.import_module("dsmote.samplers.chain").Chain
    if name in class_names().values():
        return find_sampler(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
