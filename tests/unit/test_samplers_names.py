"""The names of the samplers are loaded on first use, and workers load no more than they need."""

import subprocess
import sys

import pytest

import dsmote.samplers

#: What a worker imports that makes rows of SMOTE and writes them.
WORKER = """
import sys
import dsmote.execute.class_graph, dsmote.execute.outputs, dsmote.job.parts
import dsmote.samplers.recipes
print("sklearn" in sys.modules)
import dsmote.samplers.smote
print("sklearn" in sys.modules)
"""


def test_a_worker_of_smote_does_not_load_scikit_learn():
    done = subprocess.run(
        [sys.executable, "-c", WORKER], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "True"]


@pytest.mark.parametrize("name", dsmote.samplers.__all__)
def test_every_name_is_there(name):
    found = getattr(dsmote.samplers, name)
    assert found.__name__ == name
    assert name in dir(dsmote.samplers)


def test_other_names_are_not():
    with pytest.raises(AttributeError, match=r"'dsmote\.samplers' has no attribute 'SMOT'"):
        dsmote.samplers.SMOT  # noqa: B018
