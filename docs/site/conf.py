"""How Sphinx builds the site from the sources that `autoscaler_env.site.build` writes."""

import ast
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.pycode.ast import _UnparseVisitor
from sphinx.util import logging
from sphinx.util.nodes import make_refnode

import autoscaler_env
from autoscaler_env.address import repository_address

HERE = Path(__file__).resolve().parent
REPOSITORY = repository_address(HERE.parent.parent)

project = "Smart AutoScaler"
author = "the Smart AutoScaler authors"
version = release = autoscaler_env.__version__
language = "en"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["static/**"]

# Notebooks are shown as they were executed; nothing is executed here, and no script is fetched for widgets.
nb_execution_mode = "off"
nb_ipywidgets_js = {}
nb_merge_streams = True
myst_enable_extensions = ["attrs_inline", "colon_fence", "dollarmath"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]  # a changelog repeats its headings

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"exclude-members": "__new__"}
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_use_rtype = False
python_use_unqualified_type_names = True
add_module_names = False
default_role = "py:obj"

html_theme = "pydata_sphinx_theme"
html_title = project
html_static_path = ["static"]
html_css_files = ["site.css"]
html_js_files = [("site.js", {"defer": "defer"})]
html_favicon = "static/logo.svg"
html_copy_source = False
html_show_sourcelink = False
html_sidebars = {"index": [], "changelog": [], "results": []}
html_context = {"default_mode": "auto"}
html_theme_options = {
    "logo": {"text": project, "image_light": "static/logo.svg", "image_dark": "static/logo.svg", "alt_text": ""},
    "icon_links": [{"name": "Repository", "url": REPOSITORY, "icon": "fa-brands fa-github", "type": "fontawesome"}],
    "header_links_before_dropdown": 6,
    "show_prev_next": True,
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "pygments_light_style": "github-light",
    "pygments_dark_style": "github-dark",
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
    "secondary_sidebar_items": {"**": ["page-toc"], "index": []},
    "back_to_top_button": False,
}
copyright = author

_LOG = logging.getLogger(__name__)

# Sphinx 9.0 reads no module with an f-string in an annotation, as the options of `TrainingConfig` have.
_UnparseVisitor.visit_JoinedStr = lambda self, node: ast.unparse(node)


def math_inline(writer: Any, node: nodes.math) -> None:
    """Write a formula of a line as MathML, which browsers draw and screen readers speak without any script."""
    writer.body.append(_mathml(node, as_block=False))
    raise nodes.SkipNode


def math_block(writer: Any, node: nodes.math_block) -> None:
    """Write a formula of its own as MathML."""
    writer.body.append(
        f'<div class="asr-formula" tabindex="0" role="group" aria-label="formula">{_mathml(node, True)}</div>'
    )
    raise nodes.SkipNode


# What the notebooks write and docutils does not know: larger brackets, which MathML stretches by itself, and dots.
_OTHER_TEX = ((re.compile(r"\\[bB]igg?[lr]?(?![a-zA-Z])"), ""), (re.compile(r"\\dots(?![a-zA-Z])"), r"\\ldots"))


def _mathml(node: nodes.Element, as_block: bool) -> str:
    text = node.astext()
    for pattern, replacement in _OTHER_TEX:
        text = pattern.sub(replacement, text)
    try:
        return tex2mathml(text, as_block=as_block)
    except Exception as error:
        _LOG.warning("formula %r: %s", node.astext(), error, location=node)
        return ""


def equation_as_math(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Turn the section `Equation` of a docstring into formulas, before the other sections are read."""
    if "Equation:" not in lines:
        return
    start = lines.index("Equation:")
    end = next((at for at in range(start + 1, len(lines)) if re.match(r"\S", lines[at])), len(lines))
    lines[start:end] = [".. math::", "", *lines[start + 1 : end], ""]


def markdown_as_rst(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Turn Markdown headings and tables of a docstring, as gymnasium has them, into those of reStructuredText."""
    lines[:] = [part for line in lines if line != "## Arguments" for part in _without_heading(line)]
    start = 0
    while (start := next((at for at in range(start, len(lines)) if lines[at].startswith("|")), -1)) >= 0:
        end = next((at for at in range(start, len(lines)) if not lines[at].startswith("|")), len(lines))
        rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in lines[start:end]]
        table = [".. list-table::", "   :header-rows: 1", ""]
        for row in (row for row in rows if set("".join(row)) - set("-: ")):
            table += [f"   {'* -' if at == 0 else '  -'} {cell}" for at, cell in enumerate(row)]
        lines[start:end] = [*table, ""]
        start += len(table) + 1


def _without_heading(line: str) -> list[str]:
    """Return a line, or the lines of its heading."""
    return [f".. rubric:: {line[3:]}", ""] if line.startswith("## ") else [line]


_ARRAY = re.compile(
    r"~?(?:numpy\.)?ndarray\[~?(?:\w+\.)?tuple\[~?(?:typing\.)?Any, \.\.\.\], ~?(?:numpy\.)?dtype\[([^\]]+)\]\]"
)


def short_arrays(
    app: Sphinx, what: str, name: str, obj: object, options: object, signature: str | None, returned: str | None
) -> tuple[str | None, ...]:
    """Write arrays in signatures as the code does: `NDArray[float64]`."""
    short = [text and _ARRAY.sub(r"NDArray[\1]", text) for text in (signature, returned)]
    return tuple(short)


def link_unqualified(app: Sphinx, env: Any, node: nodes.Element, contnode: nodes.Element) -> nodes.Element | None:
    """Find what a docstring names without its module, such as `Service`, if only one public name ends like that."""
    if node.get("refdomain") != "py":
        return None
    domain, target = env.domains["py"], node["reftarget"]
    known = sorted(name for name in domain.objects if name == target or name.endswith(f".{target.rpartition('.')[2]}"))
    near = [name for name in known if name.endswith(f".{target}")] or known
    if len(near) != 1 or ("." in target and not target.startswith(autoscaler_env.__name__)):
        return None
    entry = domain.objects[near[0]]
    return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, contnode)


def title_of_front_page(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """Name the project once in the title of the front page; other titles end with it."""
    if page == "index":
        context["docstitle"] = ""


def setup(app: Sphinx) -> None:
    """Register what this file adds."""
    app.add_html_math_renderer("mathml", (math_inline, None), (math_block, None))
    app.connect("autodoc-process-docstring", equation_as_math, priority=100)
    app.connect("autodoc-process-docstring", markdown_as_rst, priority=100)
    app.connect("autodoc-process-signature", short_arrays)
    app.connect("missing-reference", link_unqualified)
    app.connect("html-page-context", title_of_front_page)


html_math_renderer = "mathml"
