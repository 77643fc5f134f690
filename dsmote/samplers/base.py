"""What samplers share: parameters, validation, the pass over the data, the plan, the run."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, make_dataclass, replace
from functools import cache
from numbers import Integral
from operator import attrgetter
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from dsmote.execute import (
    Counted,
    Making,
    PartCount,
    Recipe,
    Table,
    Task,
    check_free,
    read_frame,
    read_pair,
    take,
)
from dsmote.execute.columnar import column_names, is_columnar
from dsmote.execute.partition import incomplete, incomplete_columns, missing_labels
from dsmote.execute.resources import memory_limit
from dsmote.execute.tables import check_container, label_array
from dsmote.neighbors import Choice, Engine
from dsmote.neighbors.engines import BruteIndex, SklearnIndex, TreeIndex
from dsmote.plan import (
    OVER,
    UNDER,
    Needs,
    Plan,
    Profile,
    Schema,
    Subset,
    capped_rows,
    carried_dtype,
    make_plan,
    make_under_plan,
    plain,
    root_seed,
    scaling_of,
    wanted_rows,
)
from dsmote.plan.labels import listed
from dsmote.plan.plan import ALL_ROWS
from dsmote.plan.profile import TARGET, Sampled, unify_categories
from dsmote.plan.schema import advice, column_name, is_nominal_dtype, with_decimals, with_dtypes
from dsmote.plan.strategy import Counts
from dsmote.samplers.parameters import sklearn_constraints

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator
    from sklearn.utils import Tags
else:

    class BaseEstimator:
        """Stands for scikit-learn's until a sampler is made (see :func:`load_scikit_learn`)."""

        def _validate_params(self) -> None:
            """Do nothing: the parameters were validated (see :meth:`Sampler.validated`)."""


_NAMED = {"auto": None, "fast": None, "tree": TreeIndex(), "brute": BruteIndex()}


class _Constraints:
    """The constraints of a class's parameters, made when they are first asked for."""

    def __get__(self, _: Any, sampler: type) -> dict[str, list[Any]]:
        return sklearn_constraints(sampler)


class Sampler(BaseEstimator):
    """Base of all samplers: a scikit-learn estimator that is a dataclass of its parameters."""

    _sampling_type: ClassVar[str]
    _summary: ClassVar[str]
    _parameter_constraints: ClassVar[Any] = _Constraints()
    #: Rows depend on `random_state`.
    _random = True
    _takes_sparse: ClassVar[bool] = False  # of SciPy
    #: Attributes that only a table in memory gives, once it is resampled: what they are.
    _memory_only: ClassVar[dict[str, Any]] = {}
    #: Metadata that may be requested by routing.
    _routable: ClassVar[frozenset[str]] = frozenset()
    #: Of a table, class counts and a column of groups: the plan, and what is to be done. Sets the
    #: attributes of a fitted sampler.
    _prepare: Callable[..., tuple[Plan, Any]]
    #: Does it; what the user gave comes second: the features, the target, companions.
    _made: Callable[..., Any]
    #: Rows of the largest partition as it is read, where what is resampled is a part of it.
    _partition_rows: int | None = None
    #: Bytes of a worker's process, where dsmote's own readers read the partitions: in jobs.
    _process_bytes: int = 0
    #: Folder of a job for scratch files, which it deletes.
    _staging: str | None = None

    #: Columns of every dtype are taken, missing values included, because none is a feature.
    _any_kind: ClassVar[Any] = False
    #: Rows of categorical features are counted in the pass over the data, by level and class.
    _counts_levels = False
    #: The classes by partition are needed to run on Dask.
    _needs_parts: ClassVar[bool] = False
    #: They are given, where whoever calls has counted them already; else a pass that counts them
    #: is to keep them. Those of the last run.
    _counted: Counted | None = None
    _keeps_parts: bool = False
    _parts: Counted | None = None
    #: Rows of each class that a cleaning method left, lazily on Dask.
    _counts_after: Any = None
    #: Only a plan is wanted, of rows that are not there yet: `class_counts` says how many.
    _ahead: bool = False

    # Parameters that not every sampler has.
    missing: str = "error"
    scale: str | None = None
    categorical_features: Any = ()
    provenance: Any = False
    on_small_class: str = "error"
    route: str = "auto"
    scratch: str | None = None
    max_pairs: float = 1e13
    #: Nothing is routed unless requested: groups that a splitter is given are not the sampler's.
    __metadata_request__fit_resample: ClassVar[dict[str, bool]] = dict.fromkeys(
        ("class_counts", "groups", "sample_weight"), False
    )

    def __new__(cls, *_: Any, **__: Any) -> Any:
        """Make a sampler a scikit-learn estimator."""
        load_scikit_learn()
        return super().__new__(cls)

    @classmethod
    def validated(cls, **params: Any) -> Any:
        """Return a sampler of valid parameters, for a job: scikit-learn need not be imported."""
        made = object.__new__(cls)
        made.__init__(**params)  # type: ignore[misc]
        return made

    @property
    def set_fit_resample_request(self) -> Any:
        """Request metadata for ``fit_resample``, where metadata routing is enabled."""
        # scikit-learn makes this for methods that it knows; of this one it knows from
        # imbalanced-learn, which may be imported later.
        from sklearn.utils._metadata_requests import RequestMethod

        names = sorted(Sampler.__metadata_request__fit_resample)
        return RequestMethod("fit_resample", names).__get__(self, type(self))

    def fit(self, X: Any, y: Any) -> Any:
        """Validate the input and decide how many rows each class gets; nothing is made.

        Parameters
        ----------
        X, y
            As for :meth:`fit_resample`.

        Returns
        -------
        self
        """
        self._validate_params()
        self._prepare(self._taken(read_pair(X, y)), None, None)[0].check()
        return self

    def fit_resample(
        self,
        X: Any,
        y: Any,
        *,
        sample_weight: Any = None,
        groups: Any = None,
        class_counts: Counts | None = None,
    ) -> Any:
        """Balance a table whose target is a container of its own.

        Parameters
        ----------
        X : array, list, sparse matrix, DataFrame (pandas, polars, Dask), Arrow table or dask Array
            The features.
        y : ndarray, list, Series, Arrow array, or the same on Dask, shape (n,)
            The target.
        sample_weight : like `y`, optional
            Weights of the rows. A synthetic row's lies between those of its parents, as it does.
        groups : column name, or array like `sample_weight`, optional
            Which rows belong together: neighbours are looked for within the group only, and
            a synthetic row belongs to the group of its parents.
        class_counts : mapping of label to int, optional
            Rows per class. For over-samplers and Dask input this saves the one pass over the data;
            what the pass would have checked is then checked while X_res is computed.

        Returns
        -------
        X_res, y_res
            The same kinds as given. From over-samplers the originals in order, then the synthetic
            rows, class by class in sorted label order; from under-samplers the rows that stay,
            unchanged, in order and with their index. Dask in, lazy Dask out.
        sample_weight_res
            Third, where `sample_weight` is given; whole numbers become float64 where rows are made.
        groups_res
            Last, where `groups` is an array; not from a sampler that requests groups by metadata
            routing (``set_fit_resample_request(groups=True)``), because pipelines take two.

        Raises
        ------
        ValueError, TypeError
            Input that cannot be resampled; the message names the column or class and the remedy.
        MemoryLimitError
            What would not fit, before anything is run.
        """
        self._validate_params()
        companions, column = companions_of(X, sample_weight, groups)
        routed = routed_requests(self, self._routable)
        given = X, y, *companions.values()
        made = self._run(self._taken(read_pair(X, y, companions)), given, class_counts, column)
        return made[:2] if "groups" in routed else made

    def resample(
        self,
        frame: Any,
        *,
        target: Any,
        groups: Any = None,
        class_counts: Counts | None = None,
    ) -> Any:
        """Balance one table: one frame in, one frame out.

        Parameters
        ----------
        frame : DataFrame (pandas, polars, Dask) or Arrow table
            Features and target.
        target : hashable
            Name of the target column.
        groups, class_counts
            As for :meth:`fit_resample`.

        Returns
        -------
        same kind
            The same columns, order and dtypes; and the groups, where they are an array.
        """
        self._validate_params()
        companions, column = companions_of(frame, None, groups)
        table = read_frame(frame, target, companions)
        made = self._run(table, (frame, *companions.values()), class_counts, column)
        return made[0] if isinstance(made, tuple) and len(made) == 1 else made

    def plan(
        self,
        X: Any,
        y: Any = None,
        *,
        target: Any = None,
        groups: Any = None,
        class_counts: Counts | None = None,
    ) -> Plan:
        """Say what would happen: counts, blocks, engine, memory, warnings. Makes nothing.

        Parameters
        ----------
        X, y, target, groups, class_counts
            As for :meth:`fit_resample` (X and y), or as for :meth:`resample` (X and target).

        Returns
        -------
        Plan
            Printable; ``to_dict()`` gives it as JSON-able data.
        """
        self._validate_params()
        if (y is None) == (target is None):
            raise ValueError("plan takes X and y, or a frame and target=")
        companions, column = companions_of(X, None, groups)
        table = read_pair(X, y, companions) if target is None else read_frame(X, target, companions)
        return self._prepare(self._taken(table), class_counts, column)[0]

    def _taken(self, table: Table) -> Table:
        return table if table.width is None or self._takes_sparse else table.searched(None, self)

    def _run(self, table: Table, given: tuple[Any, ...], *more: Any) -> Any:
        plan, work = self._prepare(table, *more)
        plan.check()
        for name in ("provenance_", *self._memory_only):
            self.__dict__.pop(name, None)
        return self._made(table, given, work)

    @property
    def _steps_run(self) -> list[Any]:
        """The samplers that work: more than one in a chain."""
        return [self]

    def _counted_after(self) -> Counted | None:
        """Return the classes of each partition of the output, where they are known without it."""
        return None

    def _labels_ahead(self, table: Table, counts: Counts) -> Any:
        """Return the target of rows that are not there yet, which a callable strategy is given."""
        return None if table.lazy else np.repeat(list(counts), list(counts.values()))

    def _check_rows(self, rows: int, missing_target: int, table: Table) -> None:
        """Refuse a table without rows, or with rows without a label."""
        if not rows:
            raise ValueError(
                "the table has zero rows (0 sample(s)): there is nothing to resample; check how it "
                "was read or filtered"
            )
        if missing_target:
            raise ValueError(missing_labels(missing_target, table.target_name))

    def _remember_columns(self, table: Table) -> None:
        """Set the attributes that tell of the columns; forget those of an earlier input."""
        names = table.names
        if table.has_target:
            names = [name for name in names if name not in [table.target]]
        self.n_features_in_ = len(names) if table.width is None else table.width
        self.__dict__.pop("feature_names_in_", None)
        if table.is_frame and all(isinstance(name, str) for name in names):
            self.feature_names_in_ = np.asarray(names, dtype=object)

    def __sklearn_tags__(self) -> Tags:
        """Return the estimator's tags, for scikit-learn and imbalanced-learn."""
        from sklearn.utils import InputTags, Tags, TargetTags

        # Where all columns are copied, or are categories, text and missing values are welcome.
        anything = self._any_kind or self._counts_levels
        sparse = self._takes_sparse and getattr(self, "shrinkage", None) is None
        return _with_tag(Tags, "sampler_tags")(
            estimator_type="sampler",
            target_tags=TargetTags(required=True),
            input_tags=_with_tag(InputTags, "dataframe")(
                sparse=sparse, string=anything, allow_nan=anything, dataframe=True
            ),
            sampler_tags=SimpleNamespace(sample_indices="sample_indices_" in self._memory_only),
        )


@cache
def _with_tag(tags: type, name: str) -> Any:
    """Return scikit-learn's tags with one that imbalanced-learn adds."""
    return make_dataclass(tags.__name__, [(name, Any, None)], bases=(tags,))


@cache
def load_scikit_learn() -> None:
    """Turn the samplers into estimators.

    Workers load samplers for their recipes only, and scikit-learn would take 41 MiB of each: a
    fifth of its process.
    """
    from sklearn import base

    Sampler.__bases__ = (base.OneToOneFeatureMixin, base.BaseEstimator)
    # Of which scikit-learn asks the signature each time: 5 % of a small call.
    names: Any = cache(base.BaseEstimator._get_param_names.__func__)
    Sampler._get_param_names = classmethod(names)


def wanted_search(
    k_neighbors: Any, neighbors: Any, *, itself: bool = True
) -> tuple[int, Engine | None]:
    """Return k, and the engine that was asked for (None: to be chosen from the rows).

    In the place of k may stand an object with ``fit``, ``kneighbors`` and ``n_neighbors`` = k + 1,
    as in imbalanced-learn: one more, for the row itself. Without `itself` it is k.
    """
    if isinstance(k_neighbors, Integral):
        engine = _NAMED[neighbors] if isinstance(neighbors, str) else neighbors
        return int(k_neighbors), engine
    if not (isinstance(neighbors, str) and neighbors == "auto"):
        raise ValueError(
            f"k_neighbors is an object that searches ({type(k_neighbors).__name__}), and neighbors "
            f"asks for {neighbors!r} as well; give a number as k_neighbors, or leave neighbors out"
        )
    n = getattr(k_neighbors, "n_neighbors", None)
    if not isinstance(n, Integral) or n < 1 + itself:
        why = " of at least 2: k + 1, because a row finds itself too" if itself else ""
        raise ValueError(
            f"k_neighbors is a {type(k_neighbors).__name__} with n_neighbors={n!r}; it must be a "
            f"whole number{why}"
        )
    return int(n) - itself, SklearnIndex(k_neighbors)


@dataclass(kw_only=True, eq=False, repr=False)
class OverSampler(Sampler):
    """Base of the over-samplers; a sampler adds its parameters and its recipe."""

    sampling_strategy: Any = "auto"
    random_state: Any = None
    carry: Any = None
    provenance: Any = False
    max_increase: float | None = None

    _sampling_type = OVER
    _routable = frozenset({"groups"})
    #: What makes the sampler itself. Fields named like parameters have their values.
    _recipe_type: ClassVar[type[Recipe]] = Recipe
    #: Columns of which new rows have their base row's value: a job names the one it splits by.
    _inherited: ClassVar[tuple[Any, ...]] = ()
    #: Numeric features of the last table: k, where None is asked for.
    _n_numeric = 1

    def _recipe(self, **more: Any) -> Recipe:
        """Return what makes this sampler itself: its parameters as far as workers need them."""
        kind, known = self._recipe_type, type(self).__dataclass_fields__
        given = {}
        for name in kind.__dataclass_fields__:
            if name in known:
                given[name] = getattr(self, name)
        if kind.k_name in known:
            how = getattr(self, "neighbors", "auto")
            asked = getattr(self, kind.k_name)
            asked = self._n_numeric if asked is None else asked
            given["k"], given["neighbors"] = wanted_search(asked, how)
            given["fast"] = how == "fast"
        return kind(type(self).__name__, **(given | more))

    def _nominal(self, table: Table, excluded: Sequence[Any]) -> list[int]:
        """Return the positions of the categorical features, which `excluded` columns are not."""
        return []

    def _informed(self, recipe: Any, profile: Profile, new: Counts) -> tuple[Recipe, list[str]]:
        """Return a recipe that knows which classes grow, and what the plan and a warning say."""
        return recipe, []

    def _notes(self, schema: Schema, recipe: Recipe, profile: Profile) -> list[str]:
        """Return how columns and search are taken, and how many rows a model is fitted to."""
        notes = []
        if schema.nominal and not self._counts_levels:  # where all are, who takes it knows
            names = listed(repr(schema.columns[i].name) for i in schema.nominal)
            notes.append(
                f"{len(schema.nominal)} categorical feature(s), which are not interpolated: {names}"
            )
        if self.scale:
            notes.append(f"neighbours are found among {self.scale}-scaled columns")
        n = getattr(self, "n_components", None)
        if n:
            notes.append(
                "neighbours are found in leading principal components only (n_components="
                f"{n}); recall is measured where a worker holds the class"
            )
        total = sum(profile.usable.values())
        if 0 < recipe.sample < total:
            notes.append(
                f"{recipe.name} fits its model to a sample of about {recipe.sample:,} of {total:,} "
                "rows, in which each class has its share (max_fit_rows)"
            )
        return notes

    def _made(self, table: Table, given: tuple[Any, ...], work: tuple[Task, list[str]]) -> Any:
        task, alarms = work
        for alarm in alarms:
            warnings.warn(alarm, UserWarning, stacklevel=4)
        made = table.run(task)
        self.neighbors_report_ = table.report
        if table.provenance is not None:
            self.provenance_ = table.provenance
        for name, of in self._memory_only.items():
            if not table.lazy and (value := of(table)) is not None:
                setattr(self, name, value)
        return made

    def _schema(self, table: Table, group: Any) -> Schema:
        """Give the columns their roles, and refuse what this sampler is not for."""
        carried = [] if self.carry is None else [column_name(name) for name in self.carry]
        excluded = [*carried, *([] if group is None else [group]), *self._inherited]
        schema = table.schema(
            carry=carried,
            nominal=self._nominal(table, excluded),
            group=group,
            inherited=self._inherited,
            any_kind=self._any_kind,
            sampler=type(self).__name__,
        )
        if table.is_frame:
            # Categories can be many, and travel with the rows instead.
            categorical = (i for i, kind in enumerate(table.dtypes) if kind == "category")
            schema = with_dtypes(schema, dict.fromkeys(categorical, _UNKNOWN))
        if table.array is not None and schema.carried and table.array.kind in "iub":
            raise ValueError(
                f"column {carried[0]!r} cannot be carried in an array of {table.array}, which "
                "cannot hold a missing value; pass a DataFrame, or an array of floats"
            )
        if self.provenance and table.is_frame:
            check_free(table.names, self.provenance, schema)
        self._n_numeric = max(1, len(schema.numeric))
        return schema

    def _profiled(self, table: Table, schema: Schema, class_counts: Counts | None) -> Profile:
        """Look at the data once, or take the user's word."""
        n = getattr(self, "n_components", None)
        if isinstance(n, Integral) and int(n) > len(schema.numeric):
            raise ValueError(
                f"n_components={n}, but there are {len(schema.numeric)} numeric features; "
                f"give at most {len(schema.numeric)}, or a share of the variance between 0 and 1"
            )
        if class_counts is not None:
            if (self.scale or self._counts_levels) and not self._ahead:
                which = f"scale={self.scale!r}" if self.scale else type(self).__name__
                remedy = ", or scale the columns before" if self.scale else ""
                raise ValueError(
                    f"{which} needs to look at all rows once, and class_counts says not to; leave "
                    f"class_counts out{remedy}"
                )
            return assumed_profile(class_counts, schema.row_bytes())
        profile = table.profile(schema, self.scale, self._counts_levels, self._keeps_parts)
        self._check_rows(profile.rows, profile.missing_target, table)
        if self.missing == "error" and (profile.missing or profile.infinite):
            raise ValueError(incomplete(profile.missing, profile.infinite, schema))
        return profile

    def _prepare(self, table: Table, class_counts: Counts | None, group: Any) -> tuple[Plan, Any]:
        schema = self._schema(table, group)
        recipe = table.searched(self._recipe(), self)
        profile = self._profiled(table, schema, class_counts)
        if profile.decimals:
            schema = with_decimals(schema, profile.decimals)
        if profile.moments:
            recipe = recipe.scaled_by(scaling_of(profile.moments))
        changes, known = changed_dtypes(table, schema, profile)
        if float in map(type, profile.counts):
            check_labels(profile.counts)
        labels = self._labels_ahead(table, profile.counts) if self._ahead else table.meta_labels
        wanted, cut = wanted_rows(self.sampling_strategy, profile.counts, OVER, labels), list[str]()
        if self.max_increase is not None:
            wanted, cut = capped_rows(wanted, profile.counts, self.max_increase)
        new = dict(wanted)
        for label in new:
            new[label] -= profile.counts[label]
        recipe, alarms = self._informed(recipe, profile, new)
        alarms = [*alarms, *cut]
        out = with_dtypes(schema, changes) if changes else schema
        growing = list(filter(new.get, new))
        advised = advice(schema, profile, growing, self.scale is not None) if recipe.k else []
        lacking = profile.missing, profile.infinite  # of the same columns
        row_bytes = max(out.row_bytes(), profile.bytes // max(1, profile.rows))
        route, name = self.route, type(self).__name__
        if route in ("gather", "cells"):  # most plans need not know what else may be asked for
            from dsmote.samplers.routes import over_sampler_route

            route = over_sampler_route(route, recipe, table, name)
        plan = make_plan(
            sampler=name,
            seed=root_seed(self.random_state),
            schema=out,
            profile=profile,
            new=new,
            needs=needs_of(recipe, out, table, profile, row_bytes, self.provenance),
            on_small=self.on_small_class,
            engines=engines_of(recipe, profile, schema, growing),
            partition_bytes=(
                partition_bytes(table, profile, self._partition_rows) if table.lazy else 0
            ),
            row_bytes=row_bytes,
            limit=memory_limit(on_cluster=table.lazy),
            in_memory=not table.lazy,
            process=self._process_bytes,
            notes=self._notes(schema, recipe, profile),
            warnings=[*advised, *alarms],
            route=route,
            incomplete=incomplete_columns(*lacking, schema) if profile.missing else "",
        )
        if table.lazy and any(c.cells for c in plan.growing):
            from dsmote.execute.cells import with_cells

            plan = with_cells(plan, recipe, out, profile, self.max_pairs)
        self.sampling_strategy_ = new
        self._remember_columns(table)
        self.plan_ = plan
        counted = self._counted
        if profile.parts:
            parts = [PartCount(dict(of.counts), 0, of.index_end) for of in profile.parts]
            counted = Counted(tuple(parts))
        end = max(profile.index_end, counted.index_end if counted else 0)
        first = max(plan.n_before, end) if table.lazy else 0
        how = Making(recipe, out, plan.seed, first, self.provenance or None)
        skip = self.missing == "skip"
        task = Task(how, schema, plan, skip, changes, known, profile.levels, self.scratch)
        if self.scratch is None and self._staging:
            task = replace(task, scratch=self._staging, staged=True)
        self._parts = counted
        if counted is not None:
            made = [PartCount({b.label: b.rows}, 0, first + b.offset + b.rows) for b in plan.blocks]
            self._parts = Counted((*counted.parts, *made))
        return plan, (task, alarms)

    def _counted_after(self) -> Counted | None:
        return self._parts


@dataclass(kw_only=True, eq=False, repr=False)
class UnderSampler(Sampler):
    """Base of under-samplers; a sampler adds its parameters and says which rows it keeps."""

    sampling_strategy: Any = "auto"

    _sampling_type = UNDER
    _memory_only: ClassVar[dict[str, Any]] = {"sample_indices_": None}  # where rows are taken
    _any_kind = True
    _needs_parts = True

    def _subsets(self, plan: Plan) -> dict[Any, Subset]:
        """Return the rows to keep of each class that does not keep all as they are."""
        return {}

    def _prepare(self, table: Table, class_counts: Counts | None, group: Any) -> tuple[Plan, Any]:
        counted = self._counted
        if class_counts is not None and self._ahead:
            counted = Counted((PartCount(dict(class_counts), 0),))
        elif class_counts is not None:
            raise ValueError(
                f"{type(self).__name__} needs to know the classes of each partition, which "
                "class_counts does not say; leave class_counts out"
            )
        counted = counted or table.counted()
        self._check_rows(counted.rows, counted.missing, table)
        self._parts = counted
        counts = counted.counts
        check_labels(counts)
        labels = self._labels_ahead(table, counts) if self._ahead else table.meta_labels
        keep = wanted_rows(self.sampling_strategy, counts, self._sampling_type, labels)
        self.sampling_strategy_ = keep
        seed = root_seed(self.random_state)
        self.plan_ = make_under_plan(type(self).__name__, seed, counts, keep, self._sampling_type)
        self._remember_columns(table)
        return self.plan_, counted

    def _counted_after(self) -> Counted | None:
        return None if self._parts is None else self._parts.after(self._subsets(self.plan_))

    def _made(self, table: Table, given: tuple[Any, ...], work: Any) -> Any:
        kept = table.kept(work, self._subsets(self.plan_))
        if table.lazy:
            return kept
        self.sample_indices_ = kept
        return rows_of(given, kept)


def rows_of(given: tuple[Any, ...], rows: np.ndarray) -> tuple[Any, ...]:
    """Return some rows of what the user gave, in memory: features, the target, companions."""
    features, *others = given
    if others and isinstance(others[0], tuple):
        others[0] = label_array(others[0])
    # Companions come back as arrays, whatever they are.
    others[1:] = [
        v if isinstance(v, pd.Series) or is_columnar(v) else np.asarray(v) for v in others[1:]
    ]
    return tuple(take(of, rows) for of in (features, *others))


UNIFY_BYTES = 50_000  # categories that may be embedded in the graph
_UNKNOWN = pd.CategoricalDtype()  # "category", its categories travelling with the rows


def partition_bytes(table: Table, profile: Profile, as_read: int | None = None) -> int:
    """Return the bytes of the largest partition.

    `as_read` is the rows of the largest partition that the table's are parts of: it is held, and
    so are both its parts, one of which is passed on as a partition of the table.
    """
    largest = profile.largest_bytes or -(-profile.bytes // table.npartitions)
    whole = 0 if as_read is None else as_read * profile.bytes // max(1, profile.rows)
    share = 8 * len(table.companions) * profile.rows / max(1, profile.bytes)
    return int(max(largest, 4 * whole // 3) * (1 + share))


def check_labels(labels: Collection[Any]) -> None:
    """Refuse measurements in the place of class labels."""
    continuous = [x for x in labels if isinstance(x, float) and not x.is_integer()]
    if continuous:
        raise ValueError(
            f"Unknown label type: continuous. The target holds {len(labels):,} different values, "
            f"among them {continuous[0]!r}; class labels must be text or whole numbers"
        )


def assumed_profile(class_counts: Counts, row_bytes: int) -> Profile:
    """Take the user's word for the counts; they are checked while computing."""
    counts: dict[Any, int] = {}
    for label, n in class_counts.items():
        if not isinstance(n, Integral) or n < 0:
            raise ValueError(f"class_counts says {n!r} rows of class {label!r}; give whole numbers")
        if n:
            counts[plain(label)] = int(n)
    rows = sum(counts.values())
    return Profile(rows=rows, bytes=rows * row_bytes, counts=counts, usable=counts, assumed=True)


def needs_of(
    recipe: Recipe, schema: Schema, table: Table, profile: Profile, row_bytes: int, provenance: Any
) -> Needs:
    """Say what the plan has to reckon with: the recipe's needs, passes, columns that are copied.

    The schema is the output's; `row_bytes` are those of one of its rows, as measured.
    """
    held = [*schema.copied, *(schema.carried if provenance == "full" else [])]
    passthrough = Schema(tuple(schema.columns[i] for i in held)).row_bytes() if held else 0
    if held and any(is_nominal_dtype(dtype) for dtype in {schema.columns[i].dtype for i in held}):
        passthrough += max(0, row_bytes - schema.row_bytes())  # text is as long as it is
    if recipe.copies_rows:
        passthrough = row_bytes
    # A weight is a number. A group is a code; its rows are put in order, and searched apart.
    passthrough += 8 * ("sample_weight" in table.companions)
    grouped = "groups" in table.companions or schema.group is not None
    passthrough += 24 * grouped
    passes = [*table.passes, *(["counting classes"] if not profile.assumed else [])]
    passes.append("collecting minority rows and writing the output")
    if recipe.n_neighbors_all:
        passes.append(ALL_ROWS)
    elif recipe.surveys:
        passes.append("applying the fitted model to all rows")
    return replace(
        recipe.needs(),
        passes=tuple(passes),
        levels=sum(map(attrgetter("bytes"), profile.levels)),
        passthrough=passthrough,
        grouped=grouped,
        cells=table.lazy and recipe.in_cells,
    )


def companions_of(X: Any, weight: Any, groups: Any) -> tuple[dict[str, Any], Any]:
    """Tell weights and groups that are containers of their own from a column of groups."""
    companions = {} if weight is None else {"sample_weight": weight}
    if np.isscalar(groups):
        check_container(X, "X")
        if groups not in (names := column_names(X) or []):
            shown = listed(map(repr, names)) or "no names (X is an array)"
            raise ValueError(f"there is no column {groups!r} of groups; the columns are {shown}")
        return companions, groups
    if groups is not None:
        companions["groups"] = groups
    return companions, None


def routed_requests(sampler: Any, supported: Collection[str]) -> set[str]:
    """Return what a sampler requests by metadata routing; refuse what no pipeline can serve."""
    from sklearn import get_config

    if not get_config()["enable_metadata_routing"]:
        return set()
    # Without imbalanced-learn there is no pipeline, and no such request.
    request = getattr(sampler.get_metadata_routing(), "fit_resample", None)
    aliases = {} if request is None else request.requests
    routed = {name for name, alias in aliases.items() if alias not in (None, False)}
    for name in sorted(routed - set(supported)):
        raise ValueError(
            f"{type(sampler).__name__} cannot take {name} by metadata routing: a pipeline takes "
            f"back X and y only; leave out set_fit_resample_request({name}=...), or call "
            f"fit_resample(X, y, {name}=...) outside the pipeline"
        )
    return routed


def engines_of(
    recipe: Recipe, profile: Profile, schema: Schema, growing: list[Any]
) -> dict[Any, Choice]:
    """Choose each class's engine; without a profile, it is chosen when the rows are there."""
    if not recipe.k:
        return dict.fromkeys(growing, Choice("none", "no neighbours are needed"))
    nothing = Sampled(np.empty(0), np.empty((0, 0)), np.empty((0, 0)))
    found = {}
    for label in growing:
        if label in profile.sample or not schema.numeric:
            sample = profile.sample.get(label, nothing)
            found[label] = recipe.engine(profile.usable[label], *sample[1:])
    return found


def changed_dtypes(
    table: Table, schema: Schema, profile: Profile
) -> tuple[dict[int, Any], dict[int, Any]]:
    """Return the dtypes that change on the way, and those that the metadata did not know."""
    changes, known = {}, {}
    for i in schema.carried if table.is_frame else ():
        dtype = carried_dtype(schema.columns[i].dtype)
        if dtype != schema.columns[i].dtype:
            changes[i] = dtype
    for i, dtypes in profile.categories.items():
        name = "y" if i == TARGET else schema.columns[i].name
        known[i] = unify_categories(name, dtypes)
        if len(dtypes) == 1:
            continue
        size = sum(len(str(level)) + 50 for level in known[i].categories)
        if size > UNIFY_BYTES:
            raise ValueError(
                f"the categories of column {name!r} differ between partitions, and together there "
                f"are {len(known[i].categories):,} ({size:,} bytes, {UNIFY_BYTES:,} allowed); call "
                f"frame.categorize([{name!r}]) first, or cast the column to text"
            )
        changes[i] = known[i]
    return changes, known | changes
