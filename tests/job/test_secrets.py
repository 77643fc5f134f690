"""What must not be shown is masked wherever it could be."""

import logging

import pytest

from dsmote.job.logs import JsonLines, Secrets, TextLines, masked_logger


def test_passwords_in_urls():
    mask = Secrets().mask
    assert mask("no table at s3://key:se/cr@et@host/x") == "no table at s3://key:***@host/x"
    assert mask("'sftp://me:pass@host/in'") == "'sftp://me:***@host/in'"
    shown = "tcp://127.0.0.1:8786 and s3://lake/a@b"
    assert mask(shown) == shown


@pytest.mark.parametrize(
    "name",
    [
        *("token", "access_token", "X-Amz-Signature", "X-Amz-Credential", "X-Amz-Security-Token"),
        *("X-Goog-Signature", "AWSAccessKeyId", "Signature", "sig", "SIG", "access_key", "api_key"),
        *("apikey", "key", "password", "pwd", "client_secret", "auth", "jwt", "sas"),
    ],
)
def test_secrets_in_the_query_of_a_url(name):
    for form in ("{}", "'{}'", "cannot read {}: gone", "{}#part", "{}&page=2"):
        for before in ("?", "?page=1&", "?page=1&amp;"):
            url = f"https://host/my table.csv{before}{name}="
            said = form.format(f"{url}a/B+9%3D,=")
            masked = Secrets().mask(said)
            assert f"{url}***" in masked
            assert "B+9" not in masked and "%3D" not in masked
            assert ("page=2" in masked) == ("page=2" in said)


def test_texts_long_and_short_and_inside_one_another():
    secrets = Secrets() | ["abcd", "abcdef", "qz", "", " ", ".", "a\nb'c\"d"]
    assert secrets.mask("xabcdy abcdef. qz qzz aqz") == "x***y ***. *** qzz aqz"
    assert secrets.mask(repr("a\nb'c\"d")) == "'***'"
    assert secrets.mask("put in one line: a b'c\"d") == "put in one line: ***"
    assert "abcd" not in repr(secrets)
    given = {"a": ["abcd", 1, None, ("abcd",)]}
    assert secrets.mask_value(given) == {"a": ["***", 1, None, ["***"]]}


def test_errors_and_log_records(caplog):
    """While a job runs: messages, tracebacks in either format, and the error that ends it."""
    logger = masked_logger("dsmote.job.tested")
    assert masked_logger("dsmote.job.tested").filters == logger.filters
    found = None
    with caplog.at_level(logging.INFO, "dsmote"):
        try:
            with Secrets(("hunter2",)).masked():
                logger.info("%s is made again", "s3://hunter2/out")
                try:
                    raise FileNotFoundError(2, "No such file", "/hunter2/in")
                except OSError as error:
                    logger.exception("no file")
                    raise ValueError("cannot read /hunter2/in", 7) from error
        except ValueError as error:
            found = error
        logger.info("%s of s3://me:pass@host", "hunter2")
    assert str(found) == "('cannot read /***/in', 7)"
    assert str(found.__cause__) == "[Errno 2] No such file: '/***/in'"
    made, failed, after = caplog.records
    assert made.getMessage() == "s3://***/out is made again"
    assert after.getMessage() == "hunter2 of s3://me:***@host"
    for formatter in (logging.Formatter(), TextLines(), JsonLines()):
        text = formatter.format(failed)
        assert "No such file: '/***/in'" in text and "hunter2" not in text
