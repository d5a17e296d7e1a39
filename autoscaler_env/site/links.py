"""Links of the site: from places in the repository to pages, and a check of what was built."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath
from posixpath import normpath
from urllib.parse import unquote, urlsplit

from autoscaler_env.address import files_address, repository_address

_CODE = re.compile(r"(```.*?```|`[^`\n]+`)", re.DOTALL)
_MARKDOWN_LINK = re.compile(r"(?<=\]\()([^)\s]+)(?=\))")
_HTML_LINK = re.compile(r"""(?<=\b(?:src)=")([^"]+)(?=")""")

_PATH_AS_TEXT = re.compile(r"\[([\w/]+\.md)\]\(\1")

LOADED = {"script": "src", "img": "src", "source": "srcset", "iframe": "src", "link": "href", "video": "src"}
"""Elements that a browser loads something for without being asked, and the attribute that says what."""


def without_math(markdown: str) -> str:
    r"""Return a document whose dollars are money: none of them begins a formula.

    Example:
        >>> without_math("It saves $1 of $2; `$HOME` is code.")
        'It saves \\$1 of \\$2; `$HOME` is code.'
    """
    parts = _CODE.split(markdown)
    parts[::2] = [re.sub(r"(?<!\\)\$", r"\\$", part) for part in parts[::2]]
    return "".join(parts)


_INTERVAL = re.compile(r"\(\S+ to \S+\)(?= *\|)")


def unbroken(markdown: str) -> str:
    r"""Return a document in whose tables each interval stays on one line.

    Example:
        >>> unbroken("| 1.00 (0.50 to 1.50) |")
        '| 1.00 (0.50\xa0to\xa01.50) |'
    """
    return _INTERVAL.sub(lambda match: match[0].replace(" ", "\N{NO-BREAK SPACE}"), markdown)


def for_site(markdown: str) -> str:
    """Return a document as the site shows it: its dollars are money, and its intervals stay on one line."""
    return unbroken(without_math(markdown))


class Pages:
    """Where the files of the repository are on the site.

    Args:
        root: The checkout.
        places: The place on the site by the place in the repository, as in `{"docs/results.md": "results.md"}`.
    """

    def __init__(self, root: Path, places: Mapping[str, str]) -> None:
        self._root = root
        self._places = dict(places)
        self._address = repository_address(root)

    def rewrite(self, markdown: str, document: str) -> str:
        """Return a document with the links that it has on the site.

        A link to a file that the site has leads to its page, another one to the file in the repository. A link that
        shows the path of a document shows its name. Code and links to other hosts stay as they are.

        Args:
            markdown: The text.
            document: Where it stands in the repository; its links are relative to this place.

        Raises:
            ValueError: A link leads nowhere.
        """

        def on_site(match: re.Match[str]) -> str:
            return self.target(match[1], document)

        parts = _CODE.split(_PATH_AS_TEXT.sub(lambda match: f"[{_words(match[1])}]({match[1]}", markdown))
        parts[::2] = [_HTML_LINK.sub(on_site, _MARKDOWN_LINK.sub(on_site, part)) for part in parts[::2]]
        return "".join(parts)

    def target(self, link: str, document: str) -> str:
        """Return the target of a link on the site; see `rewrite`."""
        path, mark, fragment = link.partition("#")
        here = PurePosixPath(document).parent
        if path.startswith(files := files_address(self._address)):
            path, here = path.removeprefix(files), PurePosixPath()
        if not path or urlsplit(path).scheme:
            return link
        place = normpath((here / path).as_posix())
        if place in self._places:
            return f"/{self._places[place]}{mark}{fragment}"
        if place.startswith("..") or not (self._root / place).exists():
            raise ValueError(f"{document}: the link {link!r} leads nowhere")
        kind = "tree" if (self._root / place).is_dir() else "blob"
        return f"{self._address}/{kind}/main/{place}{mark}{fragment}"


def _words(path: str) -> str:
    """Return the name of a document as a page calls it."""
    return PurePosixPath(path).stem.lower().replace("_", " ")


class _Page(HTMLParser):
    """What a page names and what it leads to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.pictures_without_alt: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what an element names and leads to."""
        values = {name: value or "" for name, value in attrs}
        self.names |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        is_decoration = values.get("alt") == "" and "_static/" in values.get("src", "")
        if tag == "img" and not values.get("alt") and not is_decoration:
            self.pictures_without_alt.append(values.get("src", ""))
        is_loaded = tag != "link" or values.get("rel") in {"stylesheet", "icon", "preload", "modulepreload"}
        if (address := values.get(LOADED.get(tag, ""))) and is_loaded:
            self.loads.append(address)


def faults_of(site: Path) -> Iterator[str]:
    """Yield what is wrong with a built site, a line for each fault.

    A link within the site must lead to a file, and to a name in it where it has a fragment. A page must load nothing
    from another host, and each picture must have a text for readers who cannot see it.

    Args:
        site: The folder of the site.
    """
    pages = {path: _Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    for path, page in pages.items():
        name = path.relative_to(site).as_posix()
        for address in page.loads:
            if urlsplit(address).scheme not in {"", "data"} or address.startswith("//"):
                yield f"{name}: loads {address}"
        for picture in page.pictures_without_alt:
            yield f"{name}: the picture {picture[:80]} has no alt text"
        for link in {*page.links, *page.loads}:
            if urlsplit(link).scheme or link.startswith("//"):
                continue
            target, fragment = urlsplit(link).path, unquote(urlsplit(link).fragment)
            file = Path(normpath(path.parent / unquote(target))) if target else path
            file = file / "index.html" if file.is_dir() else file
            if not file.is_file():
                yield f"{name}: {link} leads nowhere"
            elif fragment and file in pages and fragment not in pages[file].names:
                yield f"{name}: {link}: there is no {fragment} on that page"
