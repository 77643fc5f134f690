"""scikit-learn's estimator tags, with the two that imbalanced-learn adds for samplers."""

from __future__ import annotations

from dataclasses import dataclass, field

from sklearn.utils import InputTags, Tags


@dataclass
class SamplersOwnTags:
    """What imbalanced-learn asks of a sampler."""

    sample_indices: bool = False


@dataclass
class SamplerInputTags(InputTags):
    """Input tags, with whether data frames are taken."""

    dataframe: bool = True


@dataclass
class SamplerTags(Tags):
    """Estimator tags, with those of samplers."""

    sampler_tags: SamplersOwnTags = field(default_factory=SamplersOwnTags)
