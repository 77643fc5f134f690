"""What samplers share that leave rows out: counting, the plan, the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from dsmote.execute import (
    Counted,
    Table,
    count_classes,
    filter_lazily,
    kept_in_memory,
    take,
)
from dsmote.execute.arrays import label_array
from dsmote.plan import CLEAN, UNDER, Plan, Subset, make_under_plan, root_seed, wanted_rows
from dsmote.samplers.base import Sampler, check_labels
from dsmote.samplers.parameters import allow

if TYPE_CHECKING:
    from sklearn.utils import Tags


@dataclass(kw_only=True, eq=False, repr=False)
class UnderSampler(Sampler):
    """Base of under-samplers; a sampler adds its parameters and says which rows it keeps."""

    sampling_strategy: Any = "auto"
    random_state: Any = None

    _sampling_type = UNDER
    _memory_only = ("sample_indices_",)
    #: The classes by partition, where whoever calls has counted them already.
    _counted: ClassVar[Counted | None] = None

    def _subsets(self, plan: Plan) -> dict[Any, Subset]:
        """Return the rows to keep of each class that does not keep all as they are."""
        return {}

    def _masks(self, table: Table, plan: Plan) -> Any:
        """Return the rows that may stay, where the data say so.

        In memory a mask; on Dask a graph, and its keys of a mask for each partition.
        """
        return None

    def _prepare(
        self, table: Table, class_counts: Mapping[Any, int] | None, group: Any
    ) -> tuple[Plan, Counted]:
        if class_counts is not None:
            raise ValueError(
                f"{type(self).__name__} needs to know the classes of each partition, which "
                "class_counts does not say; leave class_counts out"
            )
        counted = self._counted or count_classes(table)
        self._check_rows(counted.rows, counted.missing, table)
        counts = counted.counts
        check_labels(list(counts))
        keep = wanted_rows(self.sampling_strategy, counts, self._sampling_type, table.meta_labels)
        self.sampling_strategy_ = keep
        self.plan_ = make_under_plan(
            sampler=type(self).__name__,
            seed=root_seed(self.random_state),
            counts=counts,
            keep=keep,
            direction=self._sampling_type,
        )
        self._remember_columns(table)
        return self.plan_, counted

    def _made(self, table: Table, given: tuple[Any, ...], work: Counted) -> Any:
        subsets, masks = self._subsets(self.plan_), self._masks(table, self.plan_)
        if table.lazy:
            return filter_lazily(table, work, subsets, masks)
        rows = self.sample_indices_ = kept_in_memory(table, work, subsets, masks)
        features, *others = given
        if others and isinstance(others[0], tuple):
            others[0] = label_array(others[0])
        # What is beside the table comes back as arrays, whatever it is.
        others[1:] = [v if isinstance(v, pd.Series) else np.asarray(v) for v in others[1:]]
        return tuple(take(of, rows) for of in (features, *others))

    def __sklearn_tags__(self) -> Tags:
        """Return the tags: columns of any kind are taken, and one can know which rows stay."""
        tags = super().__sklearn_tags__()
        tags.input_tags.string = tags.input_tags.allow_nan = True
        tags.sampler_tags.sample_indices = True
        return tags


@dataclass(kw_only=True, eq=False, repr=False)
class CleanSampler(UnderSampler):
    """Base of cleaning methods, which say by their rule which rows of the targeted classes stay."""

    sampling_strategy: Any = field(
        default="auto",
        metadata=allow({"auto", "majority", "not minority", "not majority", "all"}, list, callable),
    )

    _sampling_type = CLEAN
