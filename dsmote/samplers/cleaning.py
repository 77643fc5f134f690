"""What samplers share that leave rows out by who is near whom among all rows.

A sampler is a rule (:class:`dsmote.execute.Rule`), which says which rows stay, and the class that
users construct, whose parameters are the fields of a dataclass. A field of the rule that is named
like a parameter has its value.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from dsmote.execute import Table
from dsmote.execute.clean import Cleaning, Rule, check_removed, with_moved
from dsmote.execute.dask_table import DaskTable
from dsmote.execute.partition import incomplete
from dsmote.execute.resources import memory_limit
from dsmote.plan import (
    CLEAN,
    Needs,
    Plan,
    Profile,
    Schema,
    make_under_plan,
    root_seed,
    scaling_of,
    wanted_rows,
)
from dsmote.plan.compare import with_all_rows
from dsmote.plan.labels import listed
from dsmote.plan.schema import advice, column_name
from dsmote.plan.strategy import Counts
from dsmote.samplers.base import (
    UnderSampler,
    assumed_profile,
    check_labels,
    partition_bytes,
    rows_of,
    wanted_search,
)
from dsmote.samplers.columns import nominal_features
from dsmote.samplers.parameters import allow
from dsmote.samplers.routes import rule_routes


@dataclass(kw_only=True, eq=False, repr=False)
class RuleSampler(UnderSampler):
    """Base of samplers with a rule that says which rows stay."""

    carry: Any = None
    missing: str = "error"
    scale: str | None = None

    _random = False
    _any_kind = False
    _needs_parts = False
    _routable = frozenset({"groups"})
    _rule_type: ClassVar[type[Rule]]
    #: An object given as n_neighbors has one more, for the row itself.
    _finds_itself: ClassVar[bool] = True

    def _rule(self, **more: Any) -> Rule:
        """Return what makes this sampler itself: its parameters as far as workers need them."""
        kind, known = self._rule_type, type(self).__dataclass_fields__
        given = {name: getattr(self, name) for name in kind.__dataclass_fields__ if name in known}
        if "n_neighbors" in known and "k" not in more:
            given["k"], given["neighbors"] = wanted_search(
                self.n_neighbors, "auto", itself=self._finds_itself
            )
        given.pop("n_neighbors", None)
        return kind(type(self).__name__, **(given | more))

    def _table_schema(self, table: Table, group: Any) -> Schema:
        carried = [] if self.carry is None else [column_name(name) for name in self.carry]
        excluded = [*carried, *([] if group is None else [group])]
        schema = table.schema(
            carry=carried,
            nominal=nominal_features(table, self.categorical_features, excluded),
            group=group,
            any_kind=False,
            sampler=type(self).__name__,
        )
        if self.provenance and table.is_frame:
            check_removed(table.names)
        return schema

    def _profiled(self, table: Table, schema: Schema, class_counts: Counts | None) -> Profile:
        """Look at the data once, or take the user's word."""
        if class_counts is not None:
            if self.scale and not self._ahead:
                raise ValueError(
                    f"scale={self.scale!r} needs to look at all rows once, and class_counts says "
                    "not to; leave class_counts out, or scale the columns before"
                )
            return assumed_profile(class_counts, schema.row_bytes())
        profile = table.profile(schema, self.scale)
        self._check_rows(profile.rows, profile.missing_target, table)
        if self.missing == "error" and (profile.missing or profile.infinite):
            raise ValueError(incomplete(profile.missing, profile.infinite, schema))
        return profile

    def _prepare(self, table: Table, class_counts: Counts | None, group: Any) -> tuple[Plan, Any]:
        schema = self._table_schema(table, group)
        profile = self._profiled(table, schema, class_counts)
        check_labels(profile.counts)
        labels = self._labels_ahead(table, profile.counts) if self._ahead else table.meta_labels
        keep = wanted_rows(self.sampling_strategy, profile.counts, self._sampling_type, labels)
        rule = table.searched(self._rule(), self)
        if profile.moments:
            rule = rule.scaled_by(scaling_of(profile.moments))
        row_bytes = max(schema.row_bytes(), profile.bytes // max(1, profile.rows))
        notes = self._notes(schema)
        passes = [*table.passes, *(["counting classes"] if not profile.assumed else [])]
        passes += ["collecting the features of all rows", "writing the rows that stay"]
        plan = make_under_plan(
            type(self).__name__,
            root_seed(getattr(self, "random_state", 0)),
            profile.counts,
            keep,
            self._sampling_type,
            notes,
            advice(schema, profile, [], self.scale is not None),
        )
        may_be_cut, travelling = rule_routes(self.route, rule, table, schema, plan)
        plan = with_all_rows(
            plan,
            profile.usable,
            Needs(
                rule.k,
                k_name=self._k_name,
                passes=tuple(passes),
                cells=may_be_cut,
                told=rule.told,
                **travelling,
            ),
            schema,
            partition_bytes(table, profile, self._partition_rows) if table.lazy else 0,
            row_bytes,
            memory_limit(on_cluster=table.lazy),
            in_memory=not table.lazy,
            process=self._process_bytes,
            route=self.route,
        )
        lacking = (*self._incomplete(plan, profile), *self._lacking(plan, profile))
        at_most = plan.at_most or self._at_most
        plan = replace(plan, too_small=plan.too_small + lacking, at_most=at_most)
        self.sampling_strategy_ = keep
        self._remember_columns(table)
        self.plan_ = plan
        task = Cleaning(rule, schema, plan, self.missing == "skip", self.provenance or None)
        if self.scratch is None and self._staging:
            return plan, replace(task, scratch=self._staging, staged=True)
        return plan, replace(task, scratch=self.scratch)

    @property
    def _at_most(self) -> bool:
        """Whether fewer rows than are asked for may stay."""
        return False

    @staticmethod
    def _incomplete(plan: Plan, profile: Profile) -> list[str]:
        """Say of which classes more rows have missing values, and so stay, than are to stay."""
        found = []
        for c in plan.classes:
            missing = c.before - profile.usable.get(c.label, 0)
            if c.dropped and missing > c.after:
                found.append(
                    f"class {c.label!r} is to keep {c.after:,} of its {c.before:,} rows, but "
                    f"{missing:,} have missing or infinite values and stay (missing='skip'); fill "
                    "them, or keep more"
                )
        return found

    def _lacking(self, plan: Plan, profile: Profile) -> tuple[str, ...]:
        """Say which classes have too few rows for the parameters."""
        return ()

    #: The parameter that says how many neighbours.
    _k_name: ClassVar[str] = "n_neighbors"

    def _notes(self, schema: Schema) -> list[str]:
        notes = []
        if schema.nominal and schema.numeric:
            names = listed(repr(schema.columns[i].name) for i in schema.nominal)
            notes.append(f"{len(schema.nominal)} categorical feature(s), as SMOTENC's: {names}")
        elif schema.nominal:
            notes.append("all features are categorical: rows are compared as SMOTEN's")
        if self.scale:
            notes.append(f"neighbours are found among {self.scale}-scaled columns")
        return notes

    def _counted_after(self) -> None:
        """Return nothing: which rows stay is known once the data are read."""

    def _made(self, table: Table, given: tuple[Any, ...], work: Cleaning) -> Any:
        if isinstance(table, DaskTable):
            made = table.cleaned(work)
            self.report_ = table.report
            self._counts_after = work.plan.counts_before if self.provenance else table.counts_after
            if table.provenance is not None:
                self.provenance_ = table.provenance
            return made
        kept = table.cleaned(work)
        self.sample_indices_ = np.flatnonzero(kept.stays)
        self._counts_after = work.plan.counts_before if self.provenance else kept.counts
        for name, value in kept.found.items():
            setattr(self, name, value)
        if not self.provenance:
            X_res, *others = rows_of(given, self.sample_indices_)
            if len(kept.moved.rows):
                moved = kept.moved.among(kept.stays, 0)
                X_res = with_moved(X_res, moved, work.schema)
            return (X_res, *others)
        marked = table.marked(kept.stays)
        if table.provenance is not None:
            self.provenance_ = table.provenance
        return (marked, *given[1:])


@dataclass(kw_only=True, eq=False, repr=False)
class CleanSampler(RuleSampler):
    """Base of cleaning methods, which say by their rule which rows of the targeted classes stay."""

    categorical_features: Any = field(default="auto", metadata=allow("array-like", str))
    provenance: Any = field(default=False, metadata=allow({"flag"}, False))
    route: str = "auto"
    scratch: str | None = None
    sampling_strategy: Any = field(
        default="auto",
        metadata=allow({"auto", "majority", "not minority", "not majority", "all"}, list, callable),
    )

    _sampling_type = CLEAN
