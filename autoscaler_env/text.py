"""Say things: one printable line, paths, dollars, shares, counts and lists, as people read them."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

LONGEST_TEXT = 300
"""Characters of a text from an untrusted file that are shown."""


def printable(text: object, most: int = LONGEST_TEXT) -> str:
    r"""Return a text on one line, without anything that a terminal would obey.

    Control characters, line breaks, marks that turn the direction of writing, and invalid characters are written as
    escapes. A long text loses its middle.

    Args:
        text: Anything; it is turned into a string.
        most: Characters of the result, at most.

    Example:
        >>> printable("model\n\x1b[31m.zip")
        'model\\n\\x1b[31m.zip'
    """
    shown = "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in str(text))
    half = (most - 3) // 2
    return shown if len(shown) <= most else f"{shown[:half]}...{shown[-half:]}"


def one_line(text: object) -> str:
    r"""Return a text with each run of spaces and line breaks as one space.

    Example:
        >>> one_line("no such\n  file")
        'no such file'
    """
    return " ".join(str(text).split())


def shown(path: Path, root: Path | None = None) -> str:
    """Return a path as a person reads it: relative to a folder where it lies below that folder.

    Args:
        path: The path.
        root: The folder; the working directory by default.
    """
    base = root or Path.cwd()
    return str(path.relative_to(base) if path.is_relative_to(base) else path)


def dollars(value: float, digits: int = 2, *, sign: bool = False) -> str:
    """Return dollars with a minus sign in front where there is one.

    Args:
        value: Dollars.
        digits: Digits after the point.
        sign: Whether a plus sign is written too.

    Example:
        >>> dollars(-1234.5), dollars(0.001), dollars(8600.4, 0), dollars(0.5, sign=True)
        ('-$1,234.50', '$0.00', '$8,600', '+$0.50')
    """
    rounded = value if math.isinf(value) else round(value, digits)
    mark = "-" if rounded < 0 else "+" if sign else ""
    return f"{mark}infinity" if math.isinf(value) else f"{mark}${abs(rounded):,.{digits}f}"


def small_dollars(price: float) -> str:
    """Return a price with two significant digits.

    Example:
        >>> small_dollars(0.005555), small_dollars(0.003), small_dollars(2.5)
        ('$0.0056', '$0.003', '$2.5')
    """
    return f"${float(f'{price:.2g}'):.10f}".rstrip("0").rstrip(".")


def percent(share: float, digits: int = 1) -> str:
    """Return a share in percent, without zeros at the end.

    Example:
        >>> percent(0.85), percent(0.9751)
        ('85 %', '97.5 %')
    """
    return f"{round(100 * share, digits):g} %"


def capital(text: str) -> str:
    """Return a text that begins with a capital letter.

    Example:
        >>> capital("target tracking costs $1")
        'Target tracking costs $1'
    """
    return text[:1].upper() + text[1:]


def counted(count: int, noun: str) -> str:
    """Return a count with its noun, in the plural where the count is not 1.

    Example:
        >>> counted(1, "day"), counted(1200, "day")
        ('1 day', '1,200 days')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    """Return a length of time in the unit that suits it.

    Example:
        >>> duration(90), duration(300), duration(10_800)
        ('90 s', '5 min', '3 h')
    """
    divisor, unit = (1, "s") if seconds < 120 else (60, "min") if seconds < 7200 else (3600, "h")
    return f"{seconds / divisor:.4g} {unit}"


def listed(names: Sequence[str], last: str = "and") -> str:
    """Return names as a list in words.

    Example:
        >>> listed(["a", "b", "c"]), listed(["a", "b"], "or"), listed([])
        ('a, b and c', 'a or b', '')
    """
    *others, final = names or [""]
    return f"{', '.join(others)} {last} {final}" if others else final


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return the rest of a message about an unknown word: the known word that is most like it, if one is.

    Capital letters do not matter. A word that begins a known one, up to a hyphen or underscore, stands for that.

    Example:
        >>> suggestion("tarin", ["train", "evaluate"]), suggestion("nothing", ["train"])
        (', did you mean train?', '')
        >>> suggestion("hpa", ["kpa", "hpa-cpu"])
        ', did you mean hpa-cpu?'
    """
    plain = {name.lower(): name for name in known}
    longer = [name for name in plain if word and name.startswith((f"{word.lower()}-", f"{word.lower()}_"))]
    similar = longer or difflib.get_close_matches(word.lower(), plain, n=1)
    return f", did you mean {plain[similar[0]]}?" if similar else ""


def not_a_choice(name: str, value: object, choices: Iterable[str]) -> str:
    """Return the message about a value that is none of the choices.

    Args:
        name: What has the value.
        value: The value.
        choices: What it may be, in the order in which people read it.

    Example:
        >>> not_a_choice("unit", "persecond", ["count", "per-second"])
        "unit = 'persecond': must be one of count, per-second, did you mean per-second?"
    """
    known = list(choices)
    return f"{name} = {value!r}: must be one of {', '.join(known)}{suggestion(str(value), known)}"


def check_names(names: Mapping[str, object], known: Iterable[str], what: str, where: str = "") -> None:
    """Refuse a name that there is not, such as a misspelt key of a file.

    Args:
        names: The names that somebody gave, with their values.
        known: The names that there are, in the order in which people read them.
        what: What they name.
        where: What stands before a name in messages, such as the name of its table.

    Raises:
        ValueError: The first of the names that is not known.

    Example:
        >>> check_names({"targt": 0.7}, ["target", "reserve"], "setting", "today.")
        Traceback (most recent call last):
        ValueError: today.targt = 0.7: no such setting, did you mean target? There are target, reserve
    """
    known = list(known)
    for name, value in names.items():
        if name not in known:
            given = "" if isinstance(value, Mapping | list) else f" = {value!r}"  # tables have many values
            meant = suggestion(str(name), known) or "."
            raise ValueError(f"{where}{name}{given}: no such {what}{meant} There are {', '.join(known)}")
