"""Certificates, which several of the tests need."""

import pytest

from tests.cluster.starting import SCRIPTS, run


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    """The certificates of a cluster."""
    folder = tmp_path_factory.mktemp("tls") / "own"
    made = run(SCRIPTS / "make-certificates.sh", folder)
    assert made.returncode == 0, made.stderr
    return folder
