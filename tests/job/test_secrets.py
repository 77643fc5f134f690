"""What must not be shown is masked wherever it could be."""

import logging

import pytest

from dsmote.job.secrets import Secrets, masked_logger


def test_passwords_in_urls() -> None:
    mask = Secrets().mask
    assert mask("no table at s3://key:se/cr@et@host/x") == "no table at s3://key:***@host/x"
    assert (
        mask("tcp://127.0.0.1:8786 and s3://lake/a@b") == "tcp://127.0.0.1:8786 and s3://lake/a@b"
    )
    assert mask("'sftp://me:pass@host/in'") == "'sftp://me:***@host/in'"


@pytest.mark.parametrize(
    "name",
    [
        *("token", "access_token", "X-Amz-Signature", "X-Amz-Credential", "X-Amz-Security-Token"),
        *("X-Goog-Signature", "AWSAccessKeyId", "Signature", "sig", "SIG", "access_key", "api_key"),
        *("apikey", "key", "password", "pwd", "client_secret", "auth", "jwt", "sas"),
    ],
)
@pytest.mark.parametrize("form", ["{}", "'{}'", "cannot read {}: gone", "{}#part", "{}&page=2"])
@pytest.mark.parametrize("before", ["?", "?page=1&", "?page=1&amp;"])
def test_secrets_in_the_query_of_a_url(name: str, form: str, before: str) -> None:
    url = f"https://host/my table.csv{before}{name}="
    said = form.format(f"{url}a/B+9%3D,=")
    masked = Secrets().mask(said)
    assert f"{url}***" in masked
    assert "B+9" not in masked and "%3D" not in masked
    assert ("page=2" in masked) == ("page=2" in said)


def test_other_parameters_of_a_query_are_shown() -> None:
    said = "https://host/a.parquet?page=1&versionId=abc and 'signature=3' of s3://lake/token=x/a"
    assert Secrets().mask(said) == said


def test_texts_long_and_short_and_inside_one_another() -> None:
    secrets = Secrets() | ["abcd", "abcdef", "qz", "", " ", ".", "a\nb'c\"d"]
    assert secrets.mask("xabcdy abcdef. qz qzz aqz") == "x***y ***. *** qzz aqz"
    assert secrets.mask(repr("a\nb'c\"d")) == "'***'"
    assert secrets.mask("put in one line: a b'c\"d") == "put in one line: ***"
    assert "abcd" not in repr(secrets)
    assert secrets.mask_value({"a": ["abcd", 1, None, ("abcd",)]}) == {
        "a": ["***", 1, None, ["***"]]
    }


def test_errors_and_those_that_led_to_them() -> None:
    secrets = Secrets(("hunter2",))
    try:
        try:
            raise FileNotFoundError(2, "No such file", "/hunter2/in")
        except OSError as error:
            with secrets.masked():
                raise ValueError("cannot read /hunter2/in", 7) from error
    except ValueError as error:
        found = error
    assert str(found) == "('cannot read /***/in', 7)"
    assert str(found.__cause__) == "[Errno 2] No such file: '/***/in'"


def test_loggers_mask_while_a_job_runs(caplog: pytest.LogCaptureFixture) -> None:
    logger = masked_logger("dsmote.job.tested")
    assert masked_logger("dsmote.job.tested").filters == logger.filters
    with caplog.at_level(logging.INFO, "dsmote"):
        with Secrets(("hunter2",)).masked():
            logger.info("%s is made again", "s3://hunter2/out")
        logger.info("%s of s3://me:pass@host", "hunter2")
    assert [record.getMessage() for record in caplog.records] == [
        "s3://***/out is made again",
        "hunter2 of s3://me:***@host",
    ]
