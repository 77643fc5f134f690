"""What under-samplers that keep a number of rows share: validation, counting, plan, run."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from dsmote.execute import (
    Counted,
    Table,
    count_classes,
    filter_lazily,
    kept_in_memory,
    read_frame,
    read_pair,
    take,
)
from dsmote.execute.arrays import label_array
from dsmote.execute.partition import missing_labels
from dsmote.plan import Subset, UnderPlan, kept_rows, make_under_plan, root_seed
from dsmote.samplers.base import Sampler
from dsmote.samplers.preparing import beside_table, check_labels, routed_requests

if TYPE_CHECKING:
    from sklearn.utils import Tags

__all__ = ["UnderSampler"]


@dataclass(kw_only=True, eq=False, repr=False)
class UnderSampler(Sampler):
    """Base of under-samplers; a sampler adds its parameters and says which rows it keeps."""

    sampling_strategy: Any = "auto"
    random_state: Any = None

    _sampling_type = "under-sampling"
    #: The classes by partition, where whoever calls has counted them already.
    _counted: ClassVar[Counted | None] = None

    @abstractmethod
    def _subsets(self, plan: UnderPlan) -> dict[Any, Subset]:
        """Return the rows to keep of each class that does not keep all as they are."""

    def fit(self, X: Any, y: Any) -> UnderSampler:
        """Validate the input and decide how many rows each class keeps; nothing is left out.

        Parameters
        ----------
        X, y
            As for :meth:`fit_resample`.

        Returns
        -------
        self
        """
        self._validate_params()
        self._prepare(read_pair(X, y))
        return self

    def fit_resample(
        self, X: Any, y: Any, *, sample_weight: Any = None, groups: Any = None
    ) -> tuple[Any, ...]:
        """Balance a table whose target is a container of its own.

        Parameters
        ----------
        X : ndarray, list, DataFrame, dask Array or dask DataFrame, shape (n, d)
            The features, of any dtype, missing values included.
        y : ndarray, list, Series, or the same on Dask, shape (n,)
            The target.
        sample_weight : ndarray, list, Series, or the same on Dask, shape (n,), optional
            Weights of the rows; they have no part in the choice.
        groups : column name, or array like `sample_weight`, optional
            Which rows belong together; they have no part in the choice either.

        Returns
        -------
        X_res, y_res
            The same kinds as given: the rows that stay, unchanged, in their order and with their
            index. Dask in, lazy Dask out, after one pass over the target; the partitions stay,
            and the chunks of arrays have known sizes.
        sample_weight_res
            Third, where `sample_weight` is given: those of the rows that stay.
        groups_res
            Last, where `groups` is an array.

        Raises
        ------
        ValueError, TypeError
            Input that cannot be resampled; the message names the class and the remedy.
        """
        self._validate_params()
        routed_requests(self, set())
        beside, _ = beside_table(X, sample_weight, groups)
        rows, lazy = self._run(read_pair(X, y, beside))
        if rows is None:
            return lazy
        arrays = [v if isinstance(v, pd.Series) else np.asarray(v) for v in beside.values()]
        labels = label_array(y) if isinstance(y, tuple) else y
        return tuple(take(of, rows) for of in (X, labels, *arrays))

    def resample(self, frame: Any, *, target: Any) -> Any:
        """Balance one table: one frame in, one frame out.

        Parameters
        ----------
        frame : pandas or dask DataFrame
            Features and target.
        target : hashable
            Name of the target column.

        Returns
        -------
        pandas or dask DataFrame
            The rows that stay; the same columns, order, dtypes and index.
        """
        self._validate_params()
        rows, lazy = self._run(read_frame(frame, target))
        return lazy if rows is None else take(frame, rows)

    def plan(self, X: Any, y: Any = None, *, target: Any = None) -> UnderPlan:
        """Say what would happen: the counts before and after. Leaves nothing out.

        Parameters
        ----------
        X, y, target
            As for :meth:`fit_resample` (X and y), or as for :meth:`resample` (X and target).

        Returns
        -------
        UnderPlan
            Printable; ``to_dict()`` gives it as JSON-able data.
        """
        self._validate_params()
        if (y is None) == (target is None):
            raise ValueError("plan takes X and y, or a frame and target=")
        return self._prepare(read_pair(X, y) if target is None else read_frame(X, target))[0]

    def _run(self, table: Table) -> tuple[np.ndarray | None, Any]:
        """Return the rows to take of a table in memory, or what a table on Dask gives."""
        plan, counted = self._prepare(table)
        subsets = self._subsets(plan)
        if table.lazy:
            return None, filter_lazily(table, counted, subsets)
        self.sample_indices_ = kept_in_memory(table, counted, subsets)
        return self.sample_indices_, None

    def _prepare(self, table: Table) -> tuple[UnderPlan, Counted]:
        counted = self._counted or count_classes(table)
        if not counted.rows:
            raise ValueError(
                "the table has zero rows (0 sample(s)): there is nothing to resample; check how it "
                "was read or filtered"
            )
        if counted.missing:
            raise ValueError(missing_labels(counted.missing, table.target_name))
        check_labels(list(counted.counts))
        keep = kept_rows(self.sampling_strategy, counted.counts, table.meta_labels)
        plan = make_under_plan(
            sampler=type(self).__name__,
            seed=root_seed(self.random_state),
            counts=counted.counts,
            keep=keep,
        )
        self.sampling_strategy_ = keep
        self.plan_ = plan
        self._remember_columns(table)
        self.__dict__.pop("sample_indices_", None)
        return plan, counted

    def __sklearn_tags__(self) -> Tags:
        """Return the tags: columns of any kind are taken, and one can know which rows stay."""
        tags = super().__sklearn_tags__()
        tags.input_tags.string = tags.input_tags.allow_nan = True
        tags.sampler_tags.sample_indices = True
        return tags
