"""What the comparisons of samplers that leave rows out share."""

import pytest
from threadpoolctl import threadpool_limits


@pytest.fixture
def one_thread():
    """Many small calls: threads of scikit-learn would wait for each other."""
    with threadpool_limits(1):
        yield
