"""What several of the unit tests use."""

import dask
import numpy as np
import pytest


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def objects_stay_objects():
    """Let Dask, in one thread, make no text of objects."""
    with dask.config.set({"scheduler": "synchronous", "dataframe.convert-string": False}):
        yield
