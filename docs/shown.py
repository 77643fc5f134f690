"""What the pages of the site show and do not say themselves: it stands elsewhere, once.

The gallery and the list of papers are made from the registry of samplers, the reference from
`dsmote.__all__`; what lies beside the code (README.md, cluster/README.md, examples/README.md) is
put where a comment `<!-- shown here: NAME -->` names it. In the repository the paragraph below that
comment says where to find it; the site has the text in its place.
"""

import inspect
import os
import re
from pathlib import Path

import dsmote
from dsmote.advice.result import MEASURED
from dsmote.samplers.registry import samplers

ROOT = Path(__file__).resolve().parents[1]

# --- The gallery: an example for each sampler

GROUPS = {
    "over-sampling": ("Over-samplers", "They add rows to the smaller classes."),
    "under-sampling": ("Under-samplers", "They keep a number of rows of the larger classes."),
    "clean-sampling": ("Cleaning methods", "They drop rows by who is near whom."),
    "combination": ("Combinations", "They add rows, then drop rows."),
}
HEADER = """All samplers in a plane
=======================

One picture for each sampler, made from the list of samplers. The table is that of the comparison
of over-samplers in imbalanced-learn's documentation: 5,000 rows of three classes, of which two are
rare. Where a sampler takes categorical features, a column is cut into levels.
"""
#: What a sampler needs to be told on these data.
GIVEN = {"kmeans": ["kmeans_estimator=20", "cluster_balance_threshold=0.02"]}
LEVELS = {"smotenc": "levels=[1]", "smoten": "levels=[0, 1]"}
EXAMPLE = '''r"""
{title}
{line}

{text}

.. seealso:: :class:`dsmote.{title}` in the reference.
"""

from plane import draw, table

from dsmote import {title}

X, y = table({levels})
sampler = {title}({given})
X_res, y_res = sampler.fit_resample(X, y)
draw(X, y, X_res, y_res, "{title}")
'''


def about(kind):
    """Return what a docstring says before its parameters: what a sampler does, and a drawing."""
    return inspect.getdoc(kind).partition("\nParameters\n")[0].strip()


def examples():
    """Return the files of the gallery: an example for each sampler, by what it does."""
    files = {"GALLERY_HEADER.rst": HEADER}
    for name, kind in samplers().items():
        group, title = kind._sampling_type, kind.__name__
        above, text = GROUPS[group]
        files[f"{group}/GALLERY_HEADER.rst"] = f"{above}\n{'-' * len(above)}\n\n{text}\n"
        given = list(GIVEN.get(name, []))
        if "random_state" in kind.__dataclass_fields__:
            given.append("random_state=0")
        example = EXAMPLE.format(
            title=title,
            line="=" * len(title),
            text=about(kind),
            levels=LEVELS.get(name, ""),
            given=", ".join(given),
        )
        files[f"{group}/plot_{name.replace('-', '_')}.py"] = example
    return files


# --- Text of other files


def of_repository(file, after="", before=""):
    """Return a part of a page of the repository; what it links to there are names of files."""
    text = (ROOT / file).read_text(encoding="utf-8")
    text = text.split(after, 1)[1] if after else text.split("\n", 1)[1]
    text = text.split(before, 1)[0] if before else text
    folder = Path(file).parent

    def named(link):
        label, target = link[1].strip("`"), link[2]
        if target.startswith(("http", "#")):
            return link[0]
        path = os.path.normpath(folder / target)
        same = label.strip("/") in (path, Path(path).name)
        return f"`{path}`" if same else f"{label} (`{path}`)"

    return re.sub(r"\[([^\]]+)\]\(([^)\s]+)\)", named, text)


def papers():
    """Return the papers that the docstrings of the samplers refer to."""
    lines = []
    for kind in samplers().values():
        for text in re.findall(
            r"\nReferences\n-+\n(.*?)(?=\n\w+\n---|\Z)", inspect.getdoc(kind), re.S
        ):
            for paper in text.strip().split("\n\n"):
                lines.append(f"- {{py:class}}`~dsmote.{kind.__name__}`: {' '.join(paper.split())}")
    return "\n".join(lines)


#: Names that are no samplers, and the title of all others.
NAMES = {
    "Whether to resample": ["advise", "Advice"],
    "Samplers one after another, and by name": ["Chain", "make_sampler"],
}
OTHERS = "Jobs, plans, clusters"


def reference():
    """Return the tables of all public names."""
    public = [name for name in dsmote.__all__ if name != "__version__"]
    kinds = {}
    for kind in samplers().values():
        kinds.setdefault(kind._sampling_type, []).append(kind.__name__)
    tables = {title: kinds[group] for group, (title, _) in GROUPS.items()} | NAMES
    listed = {name for names in tables.values() for name in names}
    tables[OTHERS] = [name for name in public if name not in listed]
    return "\n".join(
        f"## {title}\n\n```{{eval-rst}}\n.. currentmodule:: dsmote\n\n.. autosummary::\n"
        f"   :toctree: generated\n   :nosignatures:\n\n   " + "\n   ".join(names) + "\n```\n"
        for title, names in tables.items()
    )


SHOWN = {
    "papers of the samplers": papers,
    "the reference": reference,
    "the set-up command": lambda: of_repository("README.md", "generated table:\n", "\nTo test"),
    "what was measured of advice": lambda: MEASURED,
    "the promises": lambda: of_repository("README.md", "## What it promises\n", "\n## "),
    "cluster/README.md": lambda: of_repository("cluster/README.md"),
    "a job every night": lambda: of_repository(
        "examples/README.md", "## A job every night\n", "The tests that run"
    ),
}


def filled(page):
    """Return a page with the text that its comments name, in the place of what says where it is."""
    return re.sub(
        r"^<!-- shown here: (.+) -->\n(?:.+(?:\n|\Z))*",
        lambda of: f"{SHOWN[of[1]]()}\n",
        page,
        flags=re.M,
    )
