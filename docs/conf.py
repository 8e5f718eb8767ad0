"""How `make docs` makes the site of these pages. Neither the build nor the site fetches anything."""

from __future__ import annotations

from pygments.lexers.special import TextLexer
from sphinx.highlighting import lexers

from proxy import __version__

project = "Strangler"
copyright = "the authors of Strangler, Apache-2.0"
release = __version__

extensions = ["myst_parser"]  # the pages are CommonMark, as code hosts show them
myst_heading_anchors = 4  # `page.md#a-heading` works here as it does there, and is checked
exclude_patterns = ["conf.py"]

nitpicky = True  # and `make docs` says -W: what is not found is an error

html_theme = "furo"  # fonts of the system, scripts of its own
html_title = f"Strangler {release}"
html_copy_source = False
html_show_sourcelink = False

lexers["mermaid"] = TextLexer()  # code hosts draw these charts; here they stand as text, beside their tables
