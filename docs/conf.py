"""The site: `python -m pip install ".[docs]" && python -m sphinx -W docs docs/_build`.

Nothing is fetched from a network. What is not said in the pages themselves is made by shown.py.
"""

import inspect
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path[:0] = [str(HERE), str(ROOT)]

from shown import GROUPS, SHOWN, examples, filled  # noqa: E402

import dsmote  # noqa: E402

project = "dsmote"
author = "dsmote developers"
version = release = dsmote.__version__
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_parser",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "_reference.rst", "_samplers", "parameters", "benchmarks"]
templates_path = ["_templates"]
myst_heading_anchors = 3
# A page may begin with a heading of its own when text of another file is shown below it.
suppress_warnings = ["myst.header"]
autosummary_generate = ["_reference.rst", "api.md"]
autodoc_typehints = "none"
highlight_language = "none"  # blocks that say nothing else are drawings
numpydoc_show_class_members = False
copybutton_exclude = ".linenos, .gp, .go"

html_theme = "pydata_sphinx_theme"
html_title = "dsmote"
html_static_path = ["_static", "figures"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_toc_level": 2,
}
#: Pages that have none below them.
ALONE = ("index", "start", "which_sampler", "pitfalls", "benchmarks", "how_it_works", "papers")
html_sidebars = {page: [] for page in ALONE}
copyright = author

# --- What is written before pages are read

# Pages of names are made for those that autosummary finds in files.
(HERE / "_reference.rst").write_text(SHOWN["the reference"](), encoding="utf-8")
shutil.rmtree(HERE / "_samplers", ignore_errors=True)
for name, text in examples().items():
    file = HERE / "_samplers" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")

sphinx_gallery_conf = {
    "examples_dirs": [str(HERE / "_samplers"), str(HERE / "parameters")],
    "gallery_dirs": ["gallery/samplers", "gallery/parameters"],
    "subsection_order": [f"_samplers/{group}" for group in GROUPS],
    "within_subsection_order": "FileNameSortKey",
    "download_all_examples": False,
    "thumbnail_size": (480, 270),
    "show_signature": False,
    "min_reported_time": 1e9,
    "write_computation_times": False,
    "abort_on_example_error": False,
    "backreferences_dir": None,
    "matplotlib_animations": False,
    "reset_modules": (),
}


# --- The pages


def show(app, docname, content):
    """Put text that stands elsewhere in the place of a comment that names it."""
    content[0] = filled(content[0])


def parameters(app, what, name, obj, options, signature, note):
    """Show the parameters of a sampler: it is made by a ``__new__`` that takes anything."""
    if what == "class" and hasattr(obj, "_sampling_type"):
        listed = list(inspect.signature(obj.__init__).parameters.values())[1:]
        listed = [p.replace(annotation=inspect.Parameter.empty) for p in listed]
        return str(inspect.Signature(listed)), note
    return None


def complete(app, error):
    """Fail where a public name has no page, or a sampler no picture."""
    if error is None and app.builder.format == "html":
        pages = [f"generated/dsmote.{name}.html" for name in dsmote.__all__ if name[0] != "_"]
        pages += [f"gallery/samplers/{name[:-3]}.html" for name in examples() if name[-3:] == ".py"]
        lacking = [page for page in pages if not (Path(app.outdir) / page).is_file()]
        if lacking:
            raise RuntimeError(f"the site lacks {', '.join(lacking)}")


def setup(app):
    """Connect both; Sphinx calls it."""
    app.connect("source-read", show)
    app.connect("autodoc-process-signature", parameters)
    app.connect("build-finished", complete)
