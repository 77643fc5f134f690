"""The page: one HTML file that needs nothing but itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from dsmote.job.report.columns import clean
from dsmote.job.report.sample import Sample, Sampling
from dsmote.job.report.sections import balance_of, class_sections, workers_of
from dsmote.job.report.words import Notice, belongs_to, general_notices
from dsmote.job.secrets import Secrets
from dsmote.plan import Plan, format_bytes
from dsmote.plan.labels import listed
from dsmote.plan.plan import RULE_OF_THUMB

__all__ = ["report_html"]

CLASSES = 40


def report_html(
    manifest: Mapping[str, Any],
    plan: Any,
    sampling: Sampling,
    originals: Sample,
    synthetic: Sample,
    made: datetime | None = None,
) -> str:
    """Write the report of a job.

    Parameters
    ----------
    manifest : mapping
        What the job did.
    plan : dsmote.plan.Plan
    sampling : Sampling
        How the samples were drawn.
    originals, synthetic : Sample
        Original and new rows.
    made : datetime, optional
        The time that the page bears; now, where it is not given.

    Returns
    -------
    str
        An HTML document without references to anything outside it.
    """
    sections = class_sections(manifest, plan, sampling, originals, synthetic)
    measured = {section.rank for section in sections if section.distance}
    if all(c.rank in measured for c in plan.classes if getattr(c, "large", False)):
        plan, manifest = _without_guesses(plan, manifest)
    notices = [notice for section in sections for notice in section.notices]
    general = general_notices(manifest)
    found = [n for n in general if not n.standing] + notices
    balance = balance_of(manifest)
    memory = manifest.get("memory", {})
    workers, more_workers = workers_of(memory)
    made = made or datetime.now(UTC)
    return _template().render(
        facts=_facts(manifest, made),
        found=_by_subject(found),
        standing=_by_subject([n for n in general if n.standing]),
        balance=balance[:CLASSES],
        more_balance=balance[CLASSES:],
        sections=sections,
        grown=sum(1 for c in plan.classes if getattr(c, "new", 0)),
        sampled=(len(originals), len(synthetic)),
        workers=workers,
        more_workers=more_workers,
        memory=_memory_facts(memory),
        stages=[(clean(k), f"{v:,.1f} s") for k, v in manifest.get("stages", {}).items()],
        neighbors=_searches(manifest),
        plan_text="\n".join(clean(x, 2_000) if x else "" for x in str(plan).splitlines()),
        details=_details(manifest),
        belongs_to=belongs_to(manifest),
    )


def _without_guesses(plan: Any, manifest: Mapping[str, Any]) -> tuple[Any, Mapping[str, Any]]:
    """Leave out what the plan only guessed: the samples have answered it."""

    def known(warnings: Sequence[str]) -> tuple[str, ...]:
        return tuple(text for text in warnings if not text.startswith(RULE_OF_THUMB))

    if isinstance(plan, Plan):
        plan = replace(plan, warnings=known(plan.warnings))
    return plan, {**manifest, "warnings": known(manifest["warnings"])}


def _by_subject(notices: Sequence[Notice]) -> list[tuple[str, list[str]]]:
    """Put notices of one subject together, in the order of the first of each.

    What is said of several classes in the same words is said once.
    """
    subjects: dict[str, dict[str, list[str]]] = {}
    for notice in notices:
        subjects.setdefault(notice.about, {}).setdefault(notice.text, []).append(notice.of)
    return [
        (about, [_of_classes(classes) + text for text, classes in texts.items()])
        for about, texts in subjects.items()
    ]


def _of_classes(classes: Sequence[str]) -> str:
    if not classes[0]:
        return ""
    return f"In class{'' if len(classes) == 1 else 'es'} {listed(classes)} "


def _template() -> Any:
    # A name is text, whatever it holds: nothing in it is taken for HTML.
    environment = Environment(
        loader=PackageLoader("dsmote.job.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.jinja")


def _facts(manifest: Mapping[str, Any], made: datetime) -> list[tuple[str, str]]:
    job, rows = manifest["job"], manifest["rows"]
    told = [f"{rows['before']:,} before"]
    if rows.get("dropped"):
        told.append(f"{rows['dropped']:,} left out")
    if job.get("mode") == "synthetic":
        told.append(f"{rows['new']:,} new, and only these written")
    else:
        told += [f"{rows['new']:,} new"] if not rows.get("dropped") else []
        told.append(f"{rows['after']:,} written")
    if rows.get("test"):
        # Where only the new rows are written, there is no such folder.
        there = "left in the input" if job.get("mode") == "synthetic" else "held back in test/"
        told.append(f"{rows['test']:,} more {there}")
    return [
        ("Input", clean(_shown(job["input"]), 400)),
        ("Output", clean(_shown(job["output"]), 400)),
        ("Target", clean(job["target"], 200)),
        ("Sampler", clean(manifest["sampler"])),
        ("Rows", ", ".join(told)),
        ("Time", f"{manifest['seconds']:,.1f} seconds"),
        ("Made", f"{made.astimezone(UTC):%Y-%m-%d %H:%M} UTC"),
        ("dsmote", clean(manifest["versions"]["dsmote"])),
    ]


def _shown(value: Any) -> str:
    """Return a value as text, without the password that a URL may hold."""
    return Secrets().mask(str(value))


def _memory_facts(memory: Mapping[str, Any]) -> list[tuple[str, str]]:
    names = (
        ("Projected for one worker", "worker_bytes"),
        ("Projected for the largest task", "task_bytes"),
        ("Allowed for one worker", "allowed_bytes"),
    )
    facts = [(text, format_bytes(memory[key])) for text, key in names if memory.get(key)]
    peaks = (memory.get("peak_bytes") or {}).values()
    return [*facts, ("Highest peak of a worker", format_bytes(max(peaks)))] if peaks else facts


def _searches(manifest: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    rows = []
    for found in manifest.get("neighbors", ()):
        recall = found.get("recall")
        rows.append(
            (
                clean(found.get("label", "")),
                clean(found.get("engine") or "–"),
                {True: "yes", False: "no"}.get(found.get("exact"), "–"),
                f"{recall:.4f}" if isinstance(recall, int | float) else "–",
            )
        )
    return rows


def _details(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    told = {**manifest["job"], **manifest.get("parameters", {})}
    details = [
        (clean(key), clean(_shown(value), 400))
        for key, value in told.items()
        if value not in (None, "", [], {}, ())
    ]
    return details + [
        (f"version of {clean(name)}", clean(version))
        for name, version in manifest.get("versions", {}).items()
    ]
