"""Rules over rows that no task holds: they are run from the start in each round of questions.

What a rule asked before is answered from what is known by now; at the first question that is not
answered yet it is left, and that question goes to the workers.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from dsmote.execute.clean import Decision, RankedRows, Rule, SomeRows


class Open(Exception):
    """A question is not answered yet."""


@dataclass(frozen=True)
class Replayed(RankedRows):
    """Rows that are told of in rounds. A rule knows the class of each, and nothing else of it."""

    asked: list[Any] = field(default_factory=list)

    def numbered(self, question: Any) -> int:
        """Note a question; return which of the rule's it is."""
        self.asked.append(question)
        return len(self.asked) - 1

    def part(self, rows: np.ndarray) -> SomeRows:
        """Return some rows, given by ascending numbers, as if there were no others."""
        known = {of.name: getattr(self, of.name) for of in fields(RankedRows)}
        return SomeRows(**known | {"ranks": self.ranks[rows]}, of=self, at=rows)


def replayed(rule: Rule, rows: Any) -> Decision | None:
    """Run a rule; return what it decides, or None where its last question is open."""
    try:
        return rule.decide(rows)
    except Open:
        return None
