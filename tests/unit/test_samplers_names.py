"""Samplers are listed once, and workers load no more than the recipes in their modules."""

import pickle
import pydoc
import subprocess
import sys

import pytest
from sklearn.base import BaseEstimator

import dsmote
from dsmote.samplers import samplers

#: What a worker imports that makes rows and writes them, and what it is sent.
WORKER = """
import pickle, sys
import dsmote.execute.graph, dsmote.execute.dask_table, dsmote.job.parts
recipes = pickle.load(sys.stdin.buffer)
print(len(recipes), "sklearn" in sys.modules)
dsmote.samplers.SMOTE()
print("sklearn" in sys.modules)
"""


def test_a_worker_loads_scikit_learn_only_for_a_model():
    recipes = [kind()._recipe() for kind in samplers().values() if hasattr(kind, "_recipe")]
    done = subprocess.run(
        [sys.executable, "-c", WORKER], input=pickle.dumps(recipes), capture_output=True, check=True
    )
    assert done.stdout.decode().split() == [str(len(samplers()) - 1), "False", "True"]


@pytest.mark.parametrize("kind", samplers().values())
def test_samplers_are_public_and_estimators(kind):
    assert getattr(dsmote, kind.__name__) is getattr(dsmote.samplers, kind.__name__) is kind
    assert kind.__name__ in dir(dsmote)
    assert issubclass(kind, BaseEstimator)


@pytest.mark.parametrize("kind", samplers().values())
def test_help_shows_the_class_with_its_parameters(kind):
    shown = pydoc.render_doc(kind, renderer=pydoc.plaintext)
    assert kind.__doc__.splitlines()[0] in shown
    assert all(f"{name}: " in shown for name in kind().get_params())
    assert kind.__name__ in kind()._repr_html_()


def test_a_layer_is_imported_without_those_above_it():
    code = "import sys; from dsmote import plan; print({'dask', 'sklearn'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_other_names_are_not():
    with pytest.raises(AttributeError, match=r"'dsmote' has no attribute 'SMOT'"):
        dsmote.SMOT  # noqa: B018
