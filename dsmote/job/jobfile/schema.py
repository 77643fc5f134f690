"""The JSON schema of the job file, for editors and for programs that write job files."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from dsmote.job.jobfile.model import JobFile
from dsmote.job.jobfile.params import params_model
from dsmote.job.spec import AUTO
from dsmote.samplers.registry import find_sampler, samplers

__all__ = ["job_schema"]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
EXAMPLE = {
    "input": "s3://lake/train/*.parquet",
    "output": "s3://lake/train-balanced/",
    "target": "label",
    "sampler": "smotenc",
    "params": {"k_neighbors": 5, "random_state": 0, "carry": ["id"]},
    "split": {"column": "fold", "train": ["train"]},
    "mode": "full",
    "if_exists": "skip",
    "cluster": {"address": "tls://scheduler:8786"},
    "report": True,
}


class _Plain(GenerateJsonSchema):
    """Without titles: they are the keys again."""

    schema_dialect = DIALECT

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def job_schema() -> dict[str, Any]:
    """Return the JSON schema (2020-12) of the job file.

    Returns
    -------
    dict

    Examples
    --------
    >>> job_schema()["required"]
    ['input', 'output', 'target']
    """
    schema = JobFile.model_json_schema(schema_generator=_Plain)
    definitions = schema.pop("$defs")
    rules = []
    for name, kind in samplers().items():
        model = params_model(kind)
        made = model.model_json_schema(schema_generator=_Plain)
        definitions |= made.pop("$defs", {})
        definitions[model.__name__] = made
        rules.append(_rule([name, kind.__name__], model.__name__))
    auto = params_model(find_sampler("smotenc")).__name__
    rules.append(_rule([AUTO], auto))
    return {
        "$schema": DIALECT,
        **schema,
        "title": "dsmote job",
        "allOf": rules,
        "examples": [EXAMPLE],
        "$defs": definitions,
    }


def _rule(names: list[str], definition: str) -> dict[str, Any]:
    """Say which parameters go with which sampler; one that is not given is ``auto``."""
    condition: dict[str, Any] = {"properties": {"sampler": {"enum": names}}}
    if AUTO not in names:
        condition["required"] = ["sampler"]
    return {
        "if": condition,
        "then": {"properties": {"params": {"$ref": f"#/$defs/{definition}"}}},
    }
