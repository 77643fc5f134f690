"""From the tree of a job file to a job, or to all of its mistakes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel, ValidationError

from dsmote.job.jobfile.mistakes import JobFileError, Mistake, did_you_mean
from dsmote.job.jobfile.model import ClusterSection, JobFile, SplitSection
from dsmote.job.jobfile.params import params_model, sampler_class, sampler_meant
from dsmote.job.jobfile.tree import TRAPPED, Path, Tree, trap_of
from dsmote.job.jobfile.words import words_for
from dsmote.job.secrets import Secrets
from dsmote.job.spec import AUTO, JobSpec
from dsmote.job.split import Split
from dsmote.samplers.registry import samplers

__all__ = ["Checked", "check"]

#: Keys of `params` that are fields of a job; `n_neighbors` is one by another name.
FIELDS = (
    *("sampling_strategy", "k_neighbors", "categorical", "carry", "missing", "neighbors"),
    *("scale", "n_components", "random_state"),
)
SECTIONS: dict[str, type[BaseModel]] = {"split": SplitSection, "cluster": ClusterSection}
#: Whose keys have names, unlike the labels that keys of parameters may be.
SECTION_PATHS: tuple[Path, ...] = ((), ("params",), *((name,) for name in SECTIONS))
SECTION_PATHS += (("cluster", "security"),)
JOB_NEEDS = tuple(name for name, field in JobFile.model_fields.items() if field.is_required())
_DROPPED = object()


@dataclass(frozen=True)
class Checked:
    """A job file without mistakes.

    Parameters
    ----------
    spec : JobSpec
    cluster : ClusterSection
    """

    spec: JobSpec
    cluster: ClusterSection


def check(tree: Tree, name: str) -> Checked:
    """Check a tree against the model, the sampler's parameters and the rules across keys.

    Parameters
    ----------
    tree : Tree
    name : str
        Of the file.

    Returns
    -------
    Checked

    Raises
    ------
    JobFileError
        It lists every mistake.

    Examples
    --------
    >>> from dsmote.job.jobfile.tree import read_yaml
    >>> tree = read_yaml("{input: a.parquet, output: b, target: y}", "job.yaml")
    >>> check(tree, "job.yaml").spec.target
    'y'
    """
    checker = _Checker(tree)
    checked = None
    if isinstance(tree.value, dict):
        checked = checker.run()
    elif not tree.mistakes:
        tree.mistake((), "a job is keys and values, such as `input: table.parquet`")
    if tree.mistakes or checked is None:
        secrets = Secrets() | tree.secrets
        unique = dict.fromkeys(
            replace(one, message=secrets.mask(one.message), where=secrets.mask(one.where))
            for one in tree.mistakes
        )
        raise JobFileError(name, sorted(unique, key=lambda one: one.line or 10**9))
    return checked


class _Checker:
    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.wrong: set[Path] = {_path_of(m) for m in tree.mistakes}
        self.misspelled: Any = None  # what is given under a key that is nearly `sampler`

    def run(self) -> Checked | None:
        data = self._named(self.tree.value, ())
        params = data.get("params")
        model = self._validated(JobFile, data, ())
        sampler = self._sampler(data)
        if isinstance(params, dict) and sampler is not None:
            self._validated(params_model(sampler), params, ("params",))
        self._labels()
        spec = self._spec(data)
        self._cluster(data.get("cluster"))
        if model is None or spec is None or self.tree.mistakes:
            return None
        return Checked(spec, model.cluster or ClusterSection())

    def _sampler(self, data: Mapping[str, Any]) -> type | None:
        """Return the sampler whose parameters are given, also where key or name is misspelled."""
        if ("sampler",) not in self.wrong:
            return sampler_class(data.get("sampler", AUTO))
        return sampler_meant(data.get("sampler", self.misspelled))

    def _named(self, value: Any, path: Path) -> Any:
        """Return keys and values without keys that are no words, such as numbers; note those."""
        if not isinstance(value, dict) or path not in SECTION_PATHS:
            return value
        kept = {}
        for key, item in value.items():
            if isinstance(key, str):
                kept[key] = self._named(item, (*path, key))
            else:
                self._note((*path, str(key)), "there is no such key: keys are words here")
        return kept

    def _note(self, path: Path, message: str) -> None:
        self.tree.mistake(path, message)
        self.wrong.add(path)

    def _validated(self, model: type[BaseModel], data: Any, above: Path) -> Any:
        """Validate, and note what is wrong; several words about one key become one mistake."""
        try:
            return model.model_validate(data)
        except ValidationError as error:
            found: dict[tuple[Path, str], list[Any]] = {}
            for one in error.errors(include_url=False, include_context=True):
                path = self._known((*above, *map(str, one["loc"])), one["type"] == "missing")
                kind = one["type"] if one["type"] in ("missing", "extra_forbidden") else ""
                found.setdefault((path, kind), []).append(one)
            above_others = {path[:size] for path, _ in found for size in range(len(path))}
            for (path, kind), errors in found.items():
                if path in above_others and not kind:
                    continue  # what is wrong with a part says more than what the whole may be
                if (kind != "missing" and path in self.wrong) or self._unread(path):
                    continue
                self._note(path, self._message(path, kind, errors, model, above))
            return None

    def _unread(self, path: Path) -> bool:
        """Tell whether a key above could not be read, so that what lacks in it says nothing."""
        return any(path[:size] in self.wrong for size in range(1, len(path)))

    def _known(self, loc: Path, missing: bool) -> Path:
        """Return the path of an error, whose place holds names of types as well as keys."""
        if missing:
            return loc
        path: Path = ()
        for name in loc:
            if (*path, name) in self.tree.places:
                path = (*path, name)
        return path

    def _message(
        self, path: Path, kind: str, errors: list[Any], model: type[BaseModel], above: Path
    ) -> str:
        if kind == "missing":
            return "is required, and not given"
        if kind == "extra_forbidden":
            return self._unknown(path, model, above)
        place = self.tree.place(path)
        value = _value_at(self.tree.value, path)
        return words_for(errors, value, place)

    def _unknown(self, path: Path, model: type[BaseModel], above: Path) -> str:
        """Say that a key is unknown, what it may have been, and where it belongs."""
        key = path[-1]
        section: Any = model
        for name in path[len(above) : -1]:
            section = SECTIONS.get(name) or _section_of(section, name) or section
        names = list(section.model_fields)
        home = _home_of(key) if not above else ""
        near = home or did_you_mean(key, names)
        if "'sampler'" in near:
            self.wrong.add(("sampler",))
            self.misspelled = _value_at(self.tree.value, path)
        if above == ("params",):
            sampler = section.__name__.removesuffix("Params")
            others = "" if near else _samplers_with(key)
            return (
                f"{sampler} has no such parameter{near}{others}; it has {', '.join(sorted(names))}"
            )
        return f"there is no such key{near}" + ("" if near else f"; there are {', '.join(names)}")

    def _labels(self) -> None:
        """Refuse words that YAML made booleans or numbers of where labels are meant."""
        for path, place in self.tree.places.items():
            if path[:2] == ("split", "train") and path not in self.wrong:
                trap = trap_of(_value_at(self.tree.value, path), place.raw, strict=True)
                if trap:
                    self._note(path, TRAPPED if place.secret else trap)

    def _cluster(self, cluster: Any) -> None:
        if not isinstance(cluster, dict) or ("cluster",) in self.wrong:
            return
        given = [name for name in ("address", "scheduler_file") if cluster.get(name) is not None]
        sizes = [
            name
            for name in ("n_workers", "threads_per_worker", "memory_limit")
            if cluster.get(name) is not None
        ]
        if len(given) == 2:
            self._note(
                ("cluster", "scheduler_file"), "give either the address or the scheduler_file"
            )
        for name in sizes if given else ():
            self._note(
                ("cluster", name),
                f"is for workers that are started here, but {given[0]} names a cluster",
            )

    def _spec(self, data: dict[Any, Any]) -> JobSpec | None:
        """Build the job from what is right so far, key by key guilty, until it can be built."""
        usable = {key: self._usable(value, (str(key),)) for key, value in data.items()}
        usable = {key: value for key, value in usable.items() if value is not _DROPPED}
        if ("sampler",) in self.wrong:
            usable.pop("params", None)  # they are another sampler's
        if any(path[0] == "split" for path in self.wrong if path):
            usable.pop("split", None)  # half of one would be another mistake
        for _ in range(50):
            try:
                return self._built(usable)
            except _Refused as refused:
                path = self._guilty(usable, refused)
                if path is None:
                    return None
                if path not in self.wrong:
                    self._note(path, str(refused))
                # Half of a split would be another mistake.
                if not _drop(usable, path[:1] if path[0] == "split" else path):
                    return None
        return None

    def _usable(self, value: Any, path: Path) -> Any:
        """Return a value without what is known to be wrong in it."""
        if path in self.wrong:
            return _DROPPED
        if isinstance(value, dict):
            kept = {key: self._usable(item, (*path, str(key))) for key, item in value.items()}
            return {key: item for key, item in kept.items() if item is not _DROPPED}
        if isinstance(value, list) and any(each[: len(path)] == path for each in self.wrong):
            return _DROPPED
        return value

    def _built(self, data: Mapping[str, Any]) -> JobSpec:
        params = dict(data.get("params") or {})
        fields: dict[str, Any] = {name: params.pop(name) for name in FIELDS if name in params}
        if "n_neighbors" in params and "k_neighbors" not in fields:
            fields["k_neighbors"] = params.pop("n_neighbors")
        for name in ("carry", "categorical"):
            if name in fields:
                fields[name] = tuple(_listed(fields[name]))
        strategy = fields.get("sampling_strategy")
        if isinstance(strategy, dict):
            fields["sampling_strategy"] = {_label(label): rows for label, rows in strategy.items()}
        plain = ("format", "sampler", "mode", "if_exists", "row_group_rows", "compression")
        flags = ("shuffle", "report", "resume")
        given = {name: data[name] for name in (*plain, *flags) if data.get(name) is not None}
        split = None if data.get("split") is None else _split(data["split"])
        try:
            return JobSpec(
                # What lacks has been noted; the other rules can be checked all the same.
                input=data.get("input", "?"),
                target=data.get("target", "\0"),
                output=data.get("output"),
                split=split,
                partition_by=tuple(_listed(data.get("partition_by"))),
                params=params,
                hidden=Secrets() | self.tree.secrets,
                **fields,
                **given,
            )
        except (ValueError, TypeError) as error:
            raise _Refused(str(error), ()) from error

    def _guilty(self, data: Mapping[str, Any], refused: _Refused) -> Path | None:
        """Find the key that a message is about: the first one given that it names."""
        above = refused.above
        under = [path for path in _leaves(data) if path[: len(above)] == above]
        candidates = [path for path in under if path != above]
        words = str(refused).replace("'", " ").replace(",", " ").replace(":", " ").split()
        named = [path for word in words for path in candidates if _is_called(path, word)]
        # What had to be given is hardly the guilty one of two keys that do not go together.
        named.sort(key=lambda path: path[0] in JOB_NEEDS)
        if named:
            return named[0]
        for path in (above, ("params",), ("sampler",)):
            if path and _value_at(data, path) is not None:
                return path
        self._note((), str(refused))
        return None


class _Refused(Exception):
    """What the job itself refuses, and the section that it is about."""

    def __init__(self, message: str, above: Path) -> None:
        super().__init__(message)
        self.above = above


def _split(section: Mapping[str, Any]) -> Split:
    given = {key: value for key, value in section.items() if value is not None}
    if "train" in given:
        given["train"] = tuple(_listed(given["train"]))
    try:
        return Split(**given)
    except ValueError as error:
        raise _Refused(str(error), ("split",)) from error


def _listed(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]


def _label(label: Any) -> str:
    return str(label).lower() if isinstance(label, bool) else str(label)


def _path_of(mistake: Mistake) -> Path:
    return tuple(mistake.key.split(".")) if mistake.key else ()


def _value_at(value: Any, path: Path) -> Any:
    for name in path:
        if isinstance(value, list):
            value = value[int(name)] if name.isdigit() and int(name) < len(value) else None
        elif isinstance(value, Mapping):
            found = (item for key, item in value.items() if str(key) == name)
            value = value[name] if name in value else next(found, None)
        else:
            return None
    return value


def _is_called(path: Path, word: str) -> bool:
    return path[-1] == word or (path[-1], word) == ("n_neighbors", "k_neighbors")


def _leaves(data: Mapping[Any, Any], above: Path = ()) -> Iterator[Path]:
    """Yield the keys of sections first, then those of the job."""
    for key, value in data.items():
        if isinstance(value, Mapping) and not above:
            yield from _leaves(value, (str(key),))
    for key in data:
        yield (*above, str(key))


def _drop(data: dict[str, Any], path: Path) -> bool:
    target: Any = data
    for name in path[:-1]:
        target = target.get(name)
        if not isinstance(target, dict):
            return False
    return target.pop(path[-1], _DROPPED) is not _DROPPED


def _section_of(model: type[BaseModel], name: str) -> type[BaseModel] | None:
    field = model.model_fields.get(name)
    found = getattr(field.annotation, "__args__", ()) if field else ()
    models = (each for each in found if isinstance(each, type) and issubclass(each, BaseModel))
    return next(models, None)


def _samplers_with(key: str) -> str:
    """Say which samplers have a parameter."""
    them = [name for name, cls in samplers().items() if key in params_model(cls).model_fields]
    return f" ({', '.join(them)} {'has' if len(them) == 1 else 'have'} it)" if them else ""


def _home_of(key: str) -> str:
    """Say in which section a key belongs that stands at the top."""
    for name, section in SECTIONS.items():
        if key in section.model_fields:
            return f"; it belongs under {name}"
    if any(key in params_model(each).model_fields for each in samplers().values()):
        return "; it belongs under params"
    return ""
