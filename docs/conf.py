"""How Sphinx makes the site of the docs and the notebooks; ``make site`` lays out what it reads."""

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

from photoz_assets import __version__

project = "photoz_assets"
author = "The photoz_assets developers"
version = release = __version__
root_doc = "docs/index"
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
# Forms for GitHub's own pages.
exclude_patterns = ["README.md"]

html_theme = "sphinx_book_theme"
html_title = f"photoz_assets {version}"
html_extra_path = ["site"]

# As GitHub names the anchors of headings.
myst_heading_anchors = 4
myst_enable_extensions = ["dollarmath"]

# Notebooks keep no output in git: each build runs them, in folders of their own, and fails with them.
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 300
# What simulated runs log is for the terminal.
nb_output_stderr = "remove"

autodoc_typehints = "description"
autodoc_member_order = "bysource"
napoleon_google_docstring = False


def setup(app: Sphinx) -> None:
    """Show diagrams as their source, which GitHub draws: what draws Mermaid is a script from elsewhere."""
    app.add_lexer("mermaid", TextLexer)
