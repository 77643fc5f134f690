"""The job files that the manifests carry are accepted by what will read them."""

from pathlib import Path

import pytest

from dsmote.job.jobfile import JobFileError
from dsmote.job.spec import load_job
from tests.cluster.manifests import CLUSTER, of_kind


def job_files() -> dict[str, str]:
    return {
        "docker": (CLUSTER / "docker" / "job.yaml").read_text(encoding="utf-8"),
        "kubernetes": of_kind("ConfigMap")["dsmote-job"]["data"]["job.yaml"],
    }


@pytest.mark.parametrize("name", job_files())
def test_job_files_are_valid(name: str, tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(job_files()[name], encoding="utf-8")
    job = load_job(str(file))
    # A night without new data costs seconds; where it runs is for the environment to say.
    assert job.if_exists == "skip"
    assert job.cluster is None or job.cluster.address is None
    file.write_text(job_files()[name].replace("target:", "tagret:"), encoding="utf-8")
    with pytest.raises(JobFileError, match="tagret"):
        load_job(str(file))
