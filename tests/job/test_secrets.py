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
            raise ValueError("cannot read /hunter2/in", 7) from error
    except ValueError as error:
        secrets.mask_error(error)
        found = error
    assert str(found) == "('cannot read /***/in', 7)"
    assert str(found.__cause__) == "[Errno 2] No such file: '/***/in'"


def test_loggers_mask_while_a_job_runs(caplog: pytest.LogCaptureFixture) -> None:
    logger = masked_logger("dsmote.job.tested")
    assert masked_logger("dsmote.job.tested").filters == logger.filters
    with caplog.at_level(logging.INFO, "dsmote"):
        with Secrets(("hunter2",)).masked_in_logs():
            logger.info("%s is made again", "s3://hunter2/out")
        logger.info("%s of s3://me:pass@host", "hunter2")
    assert [record.getMessage() for record in caplog.records] == [
        "s3://***/out is made again",
        "hunter2 of s3://me:***@host",
    ]
