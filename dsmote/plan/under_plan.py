"""The plan of an under-sampler: how many rows of each class stay. Pure, frozen, JSON-able."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dsmote.plan.labels import plain, sort_labels, visible
from dsmote.plan.plan import held_back_dict, held_back_line

__all__ = ["ClassKeep", "UnderPlan", "make_under_plan"]


@dataclass(frozen=True)
class ClassKeep:
    """What happens to one class: `after` of its `before` rows stay."""

    label: Any
    rank: int
    before: int
    after: int
    targeted: bool


@dataclass(frozen=True)
class UnderPlan:
    """Everything that is decided before a row is left out.

    Attributes
    ----------
    sampler : str
        Name of the sampler.
    seed : int
        The root seed; the same seed keeps the same rows.
    classes : tuple of ClassKeep
        All classes, in sorted label order.
    test : tuple of (label, rows), or None
        As in :class:`~dsmote.plan.Plan`.
    """

    sampler: str
    seed: int
    classes: tuple[ClassKeep, ...]
    test: tuple[tuple[Any, int], ...] | None = None

    @property
    def n_before(self) -> int:
        """Rows of the input."""
        return sum(c.before for c in self.classes)

    @property
    def n_after(self) -> int:
        """Rows of the output."""
        return sum(c.after for c in self.classes)

    @property
    def n_new(self) -> int:
        """Synthetic rows: none."""
        return 0

    @property
    def n_dropped(self) -> int:
        """Rows that are left out."""
        return self.n_before - self.n_after

    @property
    def engine(self) -> str:
        """The neighbour engine: no neighbours are needed."""
        return "none"

    @property
    def memory(self) -> None:
        """What would be held beside one partition: nothing."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a user should know: nothing can be wrong once there is a plan."""
        return ()

    @property
    def problems(self) -> tuple[str, ...]:
        """Why this cannot run: nothing can stand in the way once there is a plan."""
        return ()

    @property
    def counts_before(self) -> dict[Any, int]:
        """Rows per class in the input."""
        return {c.label: c.before for c in self.classes}

    @property
    def counts_after(self) -> dict[Any, int]:
        """Rows per class in the output."""
        return {c.label: c.after for c in self.classes}

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as a JSON-able mapping."""
        return {
            "format_version": 1,
            "sampler": self.sampler,
            "seed": self.seed,
            "rows_before": self.n_before,
            "rows_dropped": self.n_dropped,
            "rows_after": self.n_after,
            "classes": [
                {
                    "label": _jsonable(c.label),
                    "before": c.before,
                    "dropped": c.before - c.after,
                    "after": c.after,
                    "targeted": c.targeted,
                }
                for c in self.classes
            ],
            **held_back_dict(self.test),
        }

    def __str__(self) -> str:
        """Write the plan as a short report."""
        lines = [f"{self.sampler} (seed {self.seed})", ""]
        width = max(5, *(len(visible(c.label)) for c in self.classes))
        rows = [("class", "before", "dropped", "after")]
        totals = [(visible(c.label), c.before, c.after) for c in self.classes]
        for name, before, after in [*totals, ("total", self.n_before, self.n_after)]:
            rows.append((name, f"{before:,}", f"{before - after:,}", f"{after:,}"))
        lines += [f"{a:<{width}}  {b:>14}  {c:>14}  {d:>14}" for a, b, c, d in rows]
        lines += held_back_line(self.test)
        return "\n".join(lines)


def _jsonable(label: Any) -> Any:
    label = plain(label)
    return label if isinstance(label, str | int | float | bool) or label is None else str(label)


def make_under_plan(
    *, sampler: str, seed: int, counts: Mapping[Any, int], keep: Mapping[Any, int]
) -> UnderPlan:
    """Put together what was decided.

    Parameters
    ----------
    sampler, seed
        The sampler's name and the root seed.
    counts : mapping of label to int
        Rows present in each class.
    keep : mapping of label to int
        Rows to keep of the targeted classes.

    Examples
    --------
    >>> plan = make_under_plan(sampler="S", seed=0, counts={1: 10, 0: 90}, keep={0: 10})
    >>> plan.counts_after, plan.n_before - plan.n_after
    ({0: 10, 1: 10}, 80)
    """
    return UnderPlan(
        sampler,
        seed,
        tuple(
            ClassKeep(label, rank, counts[label], keep.get(label, counts[label]), label in keep)
            for rank, label in enumerate(sort_labels(counts))
        ),
    )
