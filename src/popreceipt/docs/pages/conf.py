"""How Sphinx builds the site. `python -m popreceipt.docs` lays out the pages and runs it."""

from popreceipt import __version__

project = "popreceipt"
author = "the developers of popreceipt"
project_copyright = author
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["conf.py"]
nitpicky = True

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_typehints = "description"
autodoc_member_order = "bysource"
# What the signatures name and other projects document: this site is built without a network.
nitpick_ignore_regex = [
    ("py:.*", r"(collections|datetime|httpx|io|pathlib|random|ssl|typing)\..*"),
    ("py:.*", r"(Any|Callable|Iterator|Mapping|Path|Random|Sequence|datetime|timedelta)"),
]

html_theme = "furo"
html_title = "popreceipt"
html_show_sphinx = False
html_copy_source = False
html_static_path: list[str] = []
pygments_style = "friendly"
pygments_dark_style = "monokai"
