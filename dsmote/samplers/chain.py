"""Chain: samplers one after another, and what SMOTEENN and SMOTETomek share with it."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from numbers import Integral
from typing import Any, ClassVar

from dsmote.execute import Counted, Table, read_frame, read_pair
from dsmote.execute.resources import memory_limit
from dsmote.plan import (
    COMBINED,
    MemoryLimitError,
    Plan,
    make_chain_plan,
    root_seed,
    seed_of_step,
)
from dsmote.plan.strategy import Counts
from dsmote.samplers.base import OverSampler, Sampler
from dsmote.samplers.cleaning import RuleSampler
from dsmote.samplers.parameters import allow
from dsmote.samplers.smote import SMOTE

#: What a job tells a sampler, and so all steps of a chain.
_TOLD = ("_process_bytes", "_partition_rows", "_staging", "_inherited")


class Combination(Sampler):
    """Base of samplers that have others work one after another, each on what the last one left."""

    _sampling_type = COMBINED
    _routable = frozenset({"groups"})
    #: Columns of which new rows have their base row's value, as in over-samplers.
    _inherited: ClassVar[tuple[Any, ...]] = ()
    carry: Any = None

    def _chosen(self) -> Sequence[Any]:
        """Return the samplers, as they were given."""
        raise NotImplementedError

    @property
    def _steps_run(self) -> list[Any]:
        return list(self.steps_)

    @property
    def _needs_parts(self) -> bool:  # type: ignore[override]
        return any(step._needs_parts for step in self._ready(0))

    def _ready(self, seed: int) -> list[Any]:
        """Return the samplers that work: copies, with seeds where they have none."""
        found: list[Any] = []
        for place, step in enumerate(self._chosen()):
            mine = copied(step)
            for name in _TOLD:
                if name in vars(self) and hasattr(mine, name):
                    setattr(mine, name, vars(self)[name])
            # What no step is to take for a feature: new rows have the split's column of their base.
            own = () if hasattr(mine, "_inherited") else self._inherited
            if hasattr(mine, "carry") and (self.carry or own):
                mine.carry = [*dict.fromkeys([*(mine.carry or ()), *(self.carry or ()), *own])]
            if "random_state" in type(mine).__dataclass_fields__ and mine.random_state is None:
                mine.random_state = seed_of_step(seed, place)
            if isinstance(mine, Combination):
                found += mine._ready(root_seed(mine.random_state))
            else:
                found.append(mine)
        for step in found:
            step._validate_params()
        return found

    def _prepare(self, table: Table, class_counts: Counts | None, group: Any) -> tuple[Plan, Any]:
        """Prepare the first step; plan the others by the rows that those before them leave."""
        seed = root_seed(getattr(self, "random_state", None))
        steps = self._ready(seed)
        check_provenance(steps, table)
        self._remember_columns(table)
        first = steps[0]
        first._counted = self._counted
        if table.lazy and len(steps) > 1:
            needed = any(step._needs_parts for step in steps[1:]) and not first._needs_parts
            if self._counted is None and needed and class_counts is not None:
                first._counted = table.counted()
            first._keeps_parts = first._counted is None
        with _named(steps, 0):
            plan, work = first._prepare(table, class_counts, group)
        plans, unknown = [plan], list[str]()
        for place, step in enumerate(steps[1:], start=1):
            ahead = copied(step)
            ahead._ahead, before = True, plans[-1]
            try:
                with _named(steps, place):
                    ahead._prepare(table, before.counts_after, group)
            except ValueError as error:
                if not before.at_most:
                    raise
                # It may be otherwise with the rows that will be there.
                unknown.append(f"with all rows that may be left, {error}")
                break
            passes, at_most = ahead.plan_.passes, ahead.plan_.at_most or before.at_most
            if table.lazy and (before.at_most or ahead.scale or ahead._counts_levels):
                passes = ("all steps before it, to count classes", *passes)
            plans.append(replace(ahead.plan_, passes=passes, at_most=at_most))
        self.steps_ = steps
        self.plan_ = self._planned(seed, plans, table, unknown)
        return self.plan_, (work, group)

    def _planned(
        self, seed: int, plans: Sequence[Plan], table: Table, warnings: Sequence[str] = ()
    ) -> Plan:
        limit = memory_limit(on_cluster=table.lazy)
        return make_chain_plan(type(self).__name__, seed, plans, limit, warnings)

    def _made(self, table: Table, given: tuple[Any, ...], work: Any) -> Any:
        """Have the steps work: on Dask lazily, where the counts are known without another pass."""
        steps, (first, group) = self.steps_, work
        held: list[Any] = []
        made = steps[0]._made(table, given, first)
        profiled = isinstance(steps[0], OverSampler)
        for place, (last, step) in enumerate(pairwise(steps), start=1):
            given = made if isinstance(made, tuple) else (made,)
            held += given
            before, table = table, _read(table, given)
            # What is a number stays one: it need not be looked at again.
            table.is_number = before.is_number  # type: ignore[method-assign]
            counts = None
            if table.lazy:
                counted = last._counted_after()
                step._counted = counted
                step._keeps_parts = counted is None and step is not steps[-1]
                known = profiled or not (_has_categories(table) or _index_unknown(table))
                counts = _counts(step, last) if known else None
            profiled |= isinstance(step, OverSampler)
            with _named(steps, place):
                made = step._run(table, given, counts, group)
        self._finished(table)
        if table.lazy:  # scratch files go with the collections that were made on the way
            final = made[0] if isinstance(made, tuple) else made
            weakref.finalize(final, held.clear).atexit = False
        return made

    def _finished(self, table: Table) -> None:
        """Note what was planned of all steps, and what is known of them by now."""
        plans = [step.plan_ for step in self.steps_]
        for place, (one, after) in enumerate(pairwise(plans)):
            if one.at_most:
                plans[place] = one.with_counts_after(after.counts_before)
        if isinstance(self.steps_[-1]._counts_after, dict):
            plans[-1] = plans[-1].with_counts_after(self.steps_[-1]._counts_after)
        self.plan_ = self._planned(self.plan_.seed, plans, table)
        self._counts_after = self.steps_[-1]._counts_after
        for step in self.steps_:
            if hasattr(step, "provenance_"):
                self.provenance_ = step.provenance_

    def _counted_after(self) -> Counted | None:
        found: Counted | None = self.steps_[-1]._counted_after()
        return found


@dataclass(kw_only=True, eq=False, repr=False)
class SmoteThenClean(Combination):
    """Base of SMOTE followed by a cleaning method, which sees the new rows too."""

    sampling_strategy: Any = "auto"
    random_state: Any = None
    carry: Any = None
    smote: Any = field(default=None, metadata=allow(OverSampler, None))
    n_jobs: int | None = field(default=None, metadata=allow(Integral, None))

    #: The cleaning method, and the parameter that gives another in its place.
    _cleaner: ClassVar[Any]
    _cleaner_name: ClassVar[str]

    def _chosen(self) -> Sequence[Any]:
        given = {"sampling_strategy": self.sampling_strategy, "random_state": self.random_state}
        smote = SMOTE.validated(**given) if self.smote is None else self.smote
        cleaner = getattr(self, self._cleaner_name)
        if cleaner is None:
            cleaner = self._cleaner.validated(sampling_strategy="all", n_jobs=self.n_jobs)
        return smote, cleaner

    def _prepare(self, table: Table, class_counts: Counts | None, group: Any) -> tuple[Plan, Any]:
        found = super()._prepare(table, class_counts, group)
        self.smote_, cleaner = self.steps_
        setattr(self, f"{self._cleaner_name}_", cleaner)
        self.sampling_strategy_ = self.smote_.sampling_strategy_
        return found


def copied(step: Any) -> Any:
    """Return a sampler of the same parameters, and with what a job told it."""
    made = type(step).validated(**{of.name: getattr(step, of.name) for of in fields(step)})
    for name in _TOLD:
        if name in vars(step):
            setattr(made, name, vars(step)[name])
    return made


def _has_categories(table: Table) -> bool:
    target = getattr(table._y, "dtype", None)
    return any(str(dtype) == "category" for dtype in (*table.dtypes, target))


def _index_unknown(table: Table) -> bool:
    """Tell whether a count of the target, an array beside a frame, says nothing of the index."""
    return table.is_frame and not (table.has_target or hasattr(table._y, "index"))


def _counts(step: Any, last: Any) -> Any:
    """Return the class counts that save a step on Dask its pass; None where it needs one."""
    if isinstance(last, RuleSampler) or step._needs_parts:
        return None
    if step.scale or step._counts_levels:
        return None
    return last.plan_.counts_after


def _read(table: Table, made: tuple[Any, ...]) -> Table:
    """Take in what a step made."""
    n = 1 if table.has_target else 2
    companions = dict(zip(table.companions, made[n:], strict=True))
    if table.has_target:
        return read_frame(made[0], table.target, companions)
    return read_pair(made[0], made[1], companions)


@contextmanager
def _named(steps: Sequence[Any], place: int) -> Iterator[None]:
    """Say of which step an error is."""
    try:
        yield
    except (ValueError, TypeError, MemoryLimitError) as error:
        if type(error) not in (ValueError, TypeError, MemoryLimitError):
            raise
        name = f"step {place + 1} of {len(steps)}, {type(steps[place]).__name__}"
        raise type(error)(f"{name}: {error}") from error


def check_provenance(steps: Sequence[Any], table: Table) -> None:
    """Refuse columns of provenance that a later step would take for features, or lose."""
    for place, step in enumerate(steps):
        later = steps[place + 1 :]
        if not getattr(step, "provenance", False) or not later:
            continue
        # Those that only count rows pass the columns of a frame on.
        if (
            table.is_frame
            and isinstance(step, OverSampler)
            and all(of._needs_parts for of in later)
        ):
            continue
        raise ValueError(
            f"provenance={step.provenance!r} of {type(step).__name__}, step {place + 1} of "
            f"{len(steps)}: the steps after it would take the columns for features, or not bring "
            "them along; give provenance to the last step"
        )


@dataclass(kw_only=True, eq=False, repr=False)
class Chain(Combination):
    """Samplers one after another: each resamples what the one before it left.

    ::

        input -->  SMOTE(0.1)  --------------->  RandomUnderSampler(0.5)  ------>  output
                   the rare class grows to       the other is cut to twice
                   a tenth of the other          the rows of the rare one

    Parameters
    ----------
    steps : list of samplers
        Over-samplers, under-samplers, cleaning methods and other chains, in the order in which they
        work. They are copied; those that worked are in ``steps_``.
    random_state : None, int, RandomState or Generator, default=None
        The seed of all steps that are given none: the first has it as it is, later ones have seeds
        derived from it.

    Attributes
    ----------
    steps_ : list of samplers
        The samplers that worked, with their attributes.
    n_features_in_, feature_names_in_
        As in :class:`~dsmote.SMOTE`.
    plan_ : Plan
        The plan of the last run: of all steps together, and step by step.
    provenance_ : DataFrame
        Of the step that was asked for it.

    Notes
    -----
    On Dask the whole chain is lazy. A step is told the class counts that the one before it leaves,
    so it needs no pass over the data to count them: one pass, that of the first step, is made in
    all. After a cleaning method the counts are known only once its rows are: a step that
    comes after one computes all before it once more. So does a step with ``scale``, and
    :class:`~dsmote.SMOTEN`.

    Parameters of the steps are set by the names of their classes, as in scikit-learn's
    ``make_pipeline``: ``set_params(smote__k_neighbors=3)``.

    Examples
    --------
    >>> import numpy as np
    >>> from dsmote import Chain, RandomUnderSampler, SMOTE
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.normal(size=(1000, 2)), np.repeat([0, 1], [980, 20])
    >>> chain = Chain([SMOTE(sampling_strategy=0.1), RandomUnderSampler(sampling_strategy=0.5)])
    >>> X_res, y_res = chain.set_params(random_state=0).fit_resample(X, y)
    >>> np.bincount(y_res)
    array([196,  98])
    """

    steps: Any = field(kw_only=False, metadata=allow(list, tuple))
    random_state: Any = None

    def _chosen(self) -> Sequence[Any]:
        if not self.steps:
            raise ValueError("a chain needs at least one sampler, but steps is empty")
        for place, step in enumerate(self.steps, start=1):
            if not isinstance(step, Sampler):
                raise TypeError(
                    f"step {place} of {len(self.steps)} of a chain must be a sampler of dsmote, "
                    f"such as SMOTE(), but is {step!r}"
                )
        return list(self.steps)

    def _sk_visual_block_(self) -> Any:
        """Show the steps one below the other in scikit-learn's diagram."""
        from sklearn.pipeline import Pipeline

        return Pipeline(
            [(n, self.steps[at]) for n, at in self._by_name().items()]
        )._sk_visual_block_()

    def _by_name(self) -> dict[str, int]:
        """Return the places of the steps by name, as scikit-learn's ``make_pipeline`` has them."""
        names = [type(step).__name__.lower() for step in self.steps]
        found = {}
        for place, name in enumerate(names):
            number = names[: place + 1].count(name)
            found[f"{name}-{number}" if names.count(name) > 1 else name] = place
        return found

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters; `deep`: those of the steps, too."""
        found = {"random_state": self.random_state, "steps": self.steps}
        if deep and isinstance(self.steps, list | tuple):
            for name, place in self._by_name().items():
                found[name] = step = self.steps[place]
                own = step.get_params() if hasattr(step, "get_params") else {}
                found |= {f"{name}__{key}": value for key, value in own.items()}
        return found

    def set_params(self, **params: Any) -> Chain:
        """Set parameters, those of steps by ``name__parameter``; or a step by its name."""
        for key in ("steps", "random_state"):
            if key in params:
                setattr(self, key, params.pop(key))
        places = self._by_name()
        for key in sorted(params, key=lambda key: "__" in key):  # steps first, then what is theirs
            name, _, own = key.partition("__")
            if name not in places:
                known = ", ".join([*places, "steps", "random_state"])
                raise ValueError(f"Chain has no parameter {key!r}; it has {known}")
            if own:
                self.steps[places[name]].set_params(**{own: params[key]})
            else:
                steps = list(self.steps)
                steps[places[name]] = params[key]
                self.steps = steps
        return self
