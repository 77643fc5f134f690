"""What several of the tests need: certificates, and a cluster that can be held at any stage."""

import pytest

from tests.cluster.starting import SCRIPTS, Stages, run, scheduler_in, workers_of


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    """The certificates of a cluster."""
    folder = tmp_path_factory.mktemp("tls") / "own"
    made = run(SCRIPTS / "make-certificates.sh", folder)
    assert made.returncode == 0, made.stderr
    return folder


@pytest.fixture(scope="session")
def stages(tmp_path_factory):
    """Two workers with a nanny each, which are held at a stage: tests leave both at work."""
    stages = Stages(tmp_path_factory.mktemp("stages"))
    cluster = stages.folder / "cluster"
    with (
        scheduler_in(cluster) as stages.scheduler,
        workers_of(stages.scheduler, cluster / "log", *stages.preload, n=2, env=stages.env),
    ):
        yield stages
