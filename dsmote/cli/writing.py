"""The options of ``dsmote resample`` about what is written, and the fields of the job they give."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from dsmote.job.split import Split

__all__ = ["WRITE_OPTIONS", "in_options", "written_fields"]

WRITE_OPTIONS = (
    click.option(
        "--split-column",
        metavar="COL",
        help="Column that says what a row is for; only training rows are resampled, to "
        "OUTPUT/train, the others come out untouched in OUTPUT/test.",
    ),
    click.option(
        "--train",
        multiple=True,
        metavar="VALUE",
        help="A value of --split-column that means training; JSON or else text. May be repeated.",
    ),
    click.option(
        "--test-fraction",
        type=click.FLOAT,
        metavar="SHARE",
        help="Instead of a column: hold back that share of the rows, such as 0.2.",
    ),
    click.option(
        "--split-seed",
        type=click.IntRange(min=0),
        metavar="N",
        help="Seed of the choice of these rows.  [default: 0]",
    ),
    click.option("--stratify", is_flag=True, help="Hold the same share of each class back."),
    click.option(
        "--mode",
        type=click.Choice(["full", "synthetic"]),
        default="full",
        show_default=True,
        help="Write original and new rows, or the new ones only.",
    ),
    click.option(
        "--if-exists",
        type=click.Choice(["error", "skip", "replace"]),
        help="What becomes of an OUTPUT that is there; skip leaves it when it was made from the "
        "same files in the same way.  [default: error]",
    ),
    click.option(
        "--overwrite", is_flag=True, help="Short for --if-exists replace: once the new is whole."
    ),
    click.option(
        "--partition-by",
        multiple=True,
        metavar="COL",
        help="Make folders of the values of a column. May be repeated.",
    ),
    click.option(
        "--row-group-rows",
        type=click.IntRange(min=1),
        metavar="N",
        help="Rows of a Parquet row group.",
    ),
    click.option(
        "--compression",
        type=click.Choice(["snappy", "zstd", "gzip", "lz4", "brotli", "none"]),
        default="snappy",
        show_default=True,
        help="Of the Parquet files.",
    ),
    click.option("--shuffle", is_flag=True, help="Mix new rows with original ones, by the seed."),
    click.option("--report", is_flag=True, help="Write a page about the result, too."),
    click.option(
        "--resume", is_flag=True, help="Go on with the finished files of a run that died."
    ),
)

#: Fields of the job that options of the same name give.
_FIELDS = (
    *("random_state", "k_neighbors", "n_components", "row_group_rows", "sampling_strategy"),
    *("partition_by", "if_exists", "shuffle", "mode", "compression", "categorical", "carry"),
)


def written_fields(options: dict[str, Any]) -> dict[str, Any]:
    """Take the options about what is written out of all, and return the fields of the job.

    Parameters
    ----------
    options : dict
        What remains in it is for others.

    Returns
    -------
    dict

    Raises
    ------
    click.UsageError
        Options that do not go together.
    """
    split = _split(options)
    overwrite, if_exists = options.pop("overwrite"), options.pop("if_exists")
    if overwrite and if_exists not in (None, "replace"):
        raise click.UsageError(f"--overwrite is --if-exists replace, not {if_exists}: give one")
    plain = ("mode", "partition_by", "row_group_rows", "compression", "shuffle", "report", "resume")
    return {
        "split": split,
        "if_exists": "replace" if overwrite else if_exists or "error",
        **{name: options.pop(name) for name in plain},
    }


def _split(options: dict[str, Any]) -> Split | None:
    from dsmote.job.split import Split

    column, train = options.pop("split_column"), options.pop("train")
    share, seed = options.pop("test_fraction"), options.pop("split_seed")
    stratify = options.pop("stratify")
    if column is not None and share is not None:
        raise click.UsageError("give either --split-column or --test-fraction, not both")
    if column is not None:
        if not train:
            raise click.UsageError("--split-column lacks the values that mean training: --train")
        if seed is not None or stratify:
            raise click.UsageError("--split-seed and --stratify are for --test-fraction")
        return Split(column, tuple(map(_plain, train)))
    if train:
        raise click.UsageError("--train is for a split by a column: give --split-column")
    if share is None:
        if seed is not None or stratify:
            raise click.UsageError("--split-seed and --stratify are for --test-fraction")
        return None
    if not 0 < share < 1:
        raise click.BadParameter(
            f"{share:g} does not lie between 0 and 1", param_hint="--test-fraction"
        )
    return Split(test_fraction=share, seed=seed or 0, stratify=stratify)


def _plain(text: str) -> Any:
    from dsmote.cli.options import json_or_text

    value = json_or_text(text)
    return value if isinstance(value, str | int | float | bool) else text


def in_options(message: str) -> str:
    """Call fields of the job in a message by the options that give them.

    Examples
    --------
    >>> in_options("partition_by names the column 'a' twice")
    "--partition-by names the column 'a' twice"
    """
    found = re.match(r"(\w+) (must|names|mixes|'\w+' writes)", message)
    if not found or found[1] not in _FIELDS:
        return message
    return f"--{found[1].replace('_', '-')}{message[len(found[1]) :]}"
