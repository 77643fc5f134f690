"""Advice on files: they are read as jobs read them; a job that does what is named is written."""

from __future__ import annotations

import io
import posixpath
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dask

from dsmote.advice.result import Advice, check_figure
from dsmote.advice.run import ROWS, advise_on, draw, find_learner, named_learners
from dsmote.advice.screen import WEIGHTS, Drawn
from dsmote.job.files import COMPRESSIONS, ENDINGS, clear_errors, open_fs
from dsmote.job.runner import Threads
from dsmote.job.sources import check_columns, open_source
from dsmote.job.spec import JobSpec

FIGURES = (".png", ".svg", ".pdf")


def advise_files(
    spec: JobSpec,
    given: Mapping[str, str],
    *,
    learners: Sequence[str] = (),
    rows: int = ROWS,
    n_jobs: int | None = None,
    figure: str | None = None,
    job: str | None = None,
    stage: Callable[[str], None] = lambda text: None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Advice, str | None]:
    """Return advice on the input of a job, and the text of a job where a sampler is named.

    The figure and the job are written where that is asked for. `given` are keys of the job as the
    user wrote them, before variables of the environment were put in, which may be secrets.
    """
    with spec.hidden.masked():
        if figure is not None:
            check_figure()
            if not figure.endswith(FIGURES):
                raise ValueError(f"{figure} ends in none of {', '.join(FIGURES)}: give it one")
        for path in (figure, job):
            _check_free(path)
        models = named_learners({name: find_learner(name) for name in learners} or None)
        stage("drawing a sample")
        drawn = _drawn(spec, rows)
        stage("comparing")
        advice = advise_on(drawn, models, n_jobs, progress)
        if figure is not None:
            held = io.BytesIO()
            advice.figure().savefig(held, format=figure.rpartition(".")[2])
            _write(figure, held.getvalue())
        text = _job_text(advice, spec, given)
        if job is not None and text is not None:
            _write(job, text.encode())
    return advice, text


def _drawn(spec: JobSpec, rows: int) -> Drawn:
    try:
        source = open_source(spec.input, spec.format, reading=spec.reading)
    except FileNotFoundError as error:  # of a job it may be there at the next try
        raise ValueError(str(error)) from error
    roles = {"target": [spec.target], "carry": spec.carry, "categorical": spec.categorical}
    check_columns(source, roles)
    # An index says which row it is, as in jobs.
    named = {spec.target, *spec.carry, *spec.categorical}
    carry = [*spec.carry, *(name for name in source.index_columns if name not in named)]
    seed = spec.params.get("random_state")
    # Dask would turn text into a dtype of its own, which the input did not have.
    with dask.config.set({"dataframe.convert-string": False}), Threads().guarded():
        return draw(
            source.frame(),
            target=spec.target,
            rows=rows,
            seed=0 if seed is None else seed,
            carry=carry,
            categorical_features=list(spec.categorical) or "auto",
        )


def _job_text(advice: Advice, spec: JobSpec, given: Mapping[str, str]) -> str | None:
    """Return a job file that resamples as named, with the threshold; None where nothing does."""
    from ruamel.yaml import YAML

    job = advice.job(spec.input, _output_of(given.get("input", "")))
    if job is None:
        return None
    if spec.format is not None:
        job["format"] = spec.format
    job["params"] = _escaped(job["params"], spec.hidden.mask)
    text = io.StringIO()
    YAML().dump({**job, **given}, text)
    best = advice.named[advice.named["method"] != WEIGHTS].iloc[0]
    gain = f"{best['difference']:+.4f} +- {best['standard_error']:.4f}"
    return (
        f"# {best['learner']}, {best['metric']}: {gain} over nothing, with the threshold "
        f"{best['threshold']:.4g}\n{text.getvalue()}"
    )


def _escaped(value: Any, mask: Callable[[str], str]) -> Any:
    """Return names and labels as a job file has them: in its texts, ${ begins a variable."""
    if isinstance(value, Mapping):
        return {_escaped(key, mask): _escaped(one, mask) for key, one in value.items()}
    if isinstance(value, list):
        return [_escaped(one, mask) for one in value]
    return mask(value).replace("${", "$${") if isinstance(value, str) else value


def _output_of(input: str) -> str:
    """Return a name for the output: that of the input, without its endings."""
    name = posixpath.basename(input.rstrip("/"))
    for ending in (*COMPRESSIONS, *(each for of in ENDINGS.values() for each in of)):
        name = name.removesuffix(ending)
    plain = "".join(c for c in name if c.isalnum() or c in "-_.")
    return f"{plain.strip('.-') or 'table'}-resampled"


def _check_free(path: str | None) -> None:
    if path is None:
        return
    fs, inside = open_fs(path)
    with clear_errors("write", path):
        if fs.exists(inside):
            raise FileExistsError(f"{path} exists: remove it, or give another name")


def _write(path: str, content: bytes) -> None:
    fs, inside = open_fs(path)
    with clear_errors("write", path):
        fs.pipe_file(inside, content)
