"""The options of the commands, made from the fields of a job."""

from __future__ import annotations

from collections.abc import Iterator
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import click

if TYPE_CHECKING:
    from dsmote.job import JobSpec

__all__ = ["JobCommand", "argument", "given_job", "job_option"]

_GIVEN = "dsmote.given"


class JobCommand(click.Command):
    """A command with the options of some keys of a job.

    They are made when they are asked for: importing the model takes time, which ``dsmote --help``
    need not cost.
    """

    def __init__(self, *args: Any, keys: tuple[str, ...], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._keys = keys

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the parameters: arguments, options of the job, other options."""
        if self._keys:
            from dsmote.job.spec import JobSpec

            place = sum(isinstance(param, click.Argument) for param in self.params)
            self.params[place:place] = _options(JobSpec, (), self._keys)
            self._keys = ()
        return super().get_params(ctx)


class _KeyOption(click.Option):
    """An option that gives a key of a job."""

    def __init__(self, *args: Any, path: tuple[str, ...], yaml: bool, **kwargs: Any) -> None:
        super().__init__(*args, expose_value=False, callback=_keep, **kwargs)
        self.path, self.yaml = path, yaml


def _keep(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    """Keep what is given for the job."""
    if not (value is None or value is False or value == ()):
        ctx.meta.setdefault(_GIVEN, []).append((param, value))


def job_option(*names: str, **shape: Any) -> Any:
    """Return an option that gives keys of a job."""
    return click.option(*names, expose_value=False, callback=_keep, **shape)


def argument(key: str) -> Any:
    """Return an argument that gives a key of a job."""
    return click.argument(key, metavar=key.upper(), expose_value=False, callback=_keep)


def _options(model: Any, above: tuple[str, ...], keys: tuple[str, ...]) -> Iterator[click.Option]:
    """Yield the options of the fields of a model, and of the models in it."""
    from dsmote.job.spec import Option, Params

    for key, field in model.__pydantic_fields__.items():
        if keys and key not in keys:
            continue
        path, kinds = (*above, key), _kinds(field.annotation)
        section = next((kind for kind in kinds if hasattr(kind, "__pydantic_fields__")), None)
        if key == "params":
            section = Params
            yield click.Option(
                ["--param"],
                multiple=True,
                metavar="KEY=VALUE",
                expose_value=False,
                callback=_keep,
                help="A parameter of the sampler, such as kind=borderline-2; VALUE is YAML. May "
                "be repeated.",
            )
        if section is not None:
            yield from _options(section, path, ())
            continue
        option = next((each for each in field.metadata if isinstance(each, Option)), Option())
        several = any(get_origin(kind) in (list, tuple) for kind in kinds)
        text = f"{field.description} May be repeated." if several else str(field.description)
        # Without the keys that a job needs, the command reads a file, which may say otherwise.
        if isinstance(field.default, str) and (above or "target" in keys):
            text += f"  [default: {field.default}]"
        yaml = _is_yaml(kinds)
        shape: dict[str, Any] = {"is_flag": True}
        if kinds != [bool]:
            shape = {"type": click.STRING if yaml else _type(kinds), "multiple": several}
        yield _KeyOption(
            [option.name or f"--{key.replace('_', '-')}"],
            path=path,
            yaml=yaml,
            required=field.is_required() and not above,
            metavar=option.metavar,
            help=text,
            **shape,
        )


def _kinds(annotation: Any) -> list[Any]:
    """Return the types that a value may have, without their constraints."""
    if hasattr(annotation, "__metadata__"):
        return _kinds(get_args(annotation)[0])
    if get_origin(annotation) in (list, tuple, dict, Literal) or not get_args(annotation):
        return [] if annotation is NoneType else [annotation]
    return [kind for each in get_args(annotation) for kind in _kinds(each)]


def _is_yaml(kinds: list[Any]) -> bool:
    """Whether the text of a value says of which of several types it is."""
    items = [each for kind in kinds for each in get_args(kind) if get_origin(kind) in (list, tuple)]
    return len(kinds) > 1 or len([each for item in items for each in _kinds(item)]) > 2


def _type(kinds: list[Any]) -> Any:
    if len(kinds) != 1:
        return click.STRING
    if get_origin(kinds[0]) is Literal:
        return click.Choice(get_args(kinds[0]))
    return {int: click.INT, float: click.FLOAT}.get(kinds[0], click.STRING)


def given_job(source: Any = None, needs_output: bool = True) -> JobSpec:
    """Return the job of a file, or of keys and values, with what the command line gives over it.

    Errors name options, and lines of the file; without a file they are wrong usage.
    """
    from dsmote.job.jobfile import JobFileError, Setting, set_key
    from dsmote.job.spec import load_job, sections
    from dsmote.plan.labels import first

    settings: list[Setting] = []
    for param, value in click.get_current_context().meta.get(_GIVEN, ()):
        option = param.opts[0]
        if option in ("--set", "--param"):
            try:
                settings += [set_key(text, option) for text in value]
            except ValueError as error:
                raise click.BadParameter(str(error), param_hint=option) from None
        elif option == "--overwrite":
            settings.append(Setting(("if_exists",), "replace", option))
        elif isinstance(param, _KeyOption):
            settings.append(Setting(param.path, value, option, param.yaml))
        else:
            settings.append(Setting((option,), value, option.upper()))
    given: dict[Any, Setting] = {}
    for each in settings:
        other = given.setdefault(each.path, each)
        sets = other.where.startswith("--set") and each.where.startswith("--set")
        if other.value != each.value and not sets:
            text = f"{other.where} and {each.where} give the same key: give one of them"
            raise click.UsageError(text)
    for name in ("address", "scheduler_file"):
        if ("cluster", name) in given:  # in place of any other cluster that the file names
            where, names = given["cluster", name].where, sections()["cluster"]
            others = [each for each in names if each != "security"]
            settings = [*(Setting(("cluster", each), None, where) for each in others), *settings]
    try:
        return load_job({} if source is None else source, settings, needs_output)
    except JobFileError as error:
        if isinstance(source, str):
            raise
        raise click.UsageError("\n".join(first(map(str, error.errors)))) from None
