"""Markdown: tables, and the generated parts of a document, which stand between marks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def markdown_table(table: pd.DataFrame) -> str:
    """Return a table as Markdown, without its index; texts stay as they are.

    Example:
        >>> import pandas as pd
        >>> print(markdown_table(pd.DataFrame({"policy": ["ppo"], "cost": ["146.43"]})))
        | policy   | cost   |
        |:---------|:-------|
        | ppo      | 146.43 |
    """
    return str(table.to_markdown(index=False, disable_numparse=True))


def read_block(text: str, mark: str) -> str:
    """Return what stands between the marks `<!-- MARK: begin -->` and `<!-- MARK: end -->`.

    Raises:
        ValueError: The marks are not there, once each and in this order.
    """
    blocks = re.findall(_pattern(mark), text, flags=re.DOTALL)
    if len(blocks) != 1 or text.count(f"<!-- {mark}: ") != 2:
        raise ValueError(f"{mark}: the marks begin and end of the block must be there, once each")
    return str(blocks[0])


def replace_block(text: str, mark: str, content: str) -> str:
    r"""Return the text with other content between the marks of a block.

    Example:
        >>> replace_block("<!-- cost: begin -->\nold\n<!-- cost: end -->", "cost", "new").splitlines()[1]
        'new'

    Raises:
        ValueError: As `read_block`.
    """
    read_block(text, mark)
    return re.sub(
        _pattern(mark), lambda _: f"<!-- {mark}: begin -->\n{content}\n<!-- {mark}: end -->", text, flags=re.DOTALL
    )


def _pattern(mark: str) -> str:
    return rf"<!-- {mark}: begin -->\n(?:(.*?)\n)?<!-- {mark}: end -->"
