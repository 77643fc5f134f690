"""Samplers by name."""

import pytest
from sklearn.base import BaseEstimator

import dsmote
from dsmote import make_sampler
from dsmote.samplers import samplers
from dsmote.samplers.registry import describe_samplers, find_sampler

NAMES = list(samplers())


def test_every_public_sampler_has_one_name() -> None:
    known = samplers()
    assert {"smote", "smotenc", "smoten", "borderline", "svm", "random-under"} <= set(known)
    public = [getattr(dsmote, name) for name in dsmote.__all__]
    classes = {x for x in public if isinstance(x, type) and issubclass(x, BaseEstimator)}
    assert set(known.values()) == classes
    assert len(known) == len(classes)


@pytest.mark.parametrize("name", NAMES)
def test_name_and_class_name_give_the_sampler(name: str) -> None:
    cls = samplers()[name]
    for given in (name, name.upper(), cls.__name__, cls.__name__.lower(), f" {name} "):
        sampler = make_sampler(given, random_state=3)
        assert type(sampler) is cls
        assert sampler.random_state == 3


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("borderlin", r" \(did you mean 'borderline'\?\)"),
        ("BorderlineSMOT", r" \(did you mean 'BorderlineSMOTE'\?\)"),
        ("kmean", r" \(did you mean 'kmeans'\?\)"),
        ("xyzzy", ""),
        (7, ""),
    ],
)
def test_unknown_name_lists_what_there_is(name: object, near: str) -> None:
    message = f"there is no sampler {name!r}{near}; the samplers are: adasyn, smote, smoten, "
    with pytest.raises(ValueError, match=message):
        make_sampler(name)  # type: ignore[arg-type]


def test_what_else_may_be_given_is_listed_too() -> None:
    with pytest.raises(ValueError, match=r"did you mean 'auto'.*; the samplers are: auto, adasyn"):
        find_sampler("autom", also=("auto",))


def test_unknown_parameter_lists_what_there_is() -> None:
    with pytest.raises(ValueError) as error:
        make_sampler("borderline", knd="borderline-1")
    text = str(error.value)
    assert text.startswith("BorderlineSMOTE ('borderline') has no parameter 'knd' (did you mean 'k")
    for name in dsmote.BorderlineSMOTE().get_params():
        assert name in text
    with pytest.raises(ValueError, match="did you mean 'n_neighbors'"):
        make_sampler("adasyn", k_neighbors=5)
    with pytest.raises(ValueError, match=r"'xyzzy'; its parameters are: random_state, replac"):
        make_sampler("random-under", xyzzy=5)


def test_descriptions_say_which_way() -> None:
    kinds = {one["name"]: one["kind"] for one in describe_samplers()}
    assert kinds.pop("random-under") == "under-sampling"
    assert set(kinds.values()) == {"over-sampling"}
