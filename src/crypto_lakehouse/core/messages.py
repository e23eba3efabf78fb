"""Parts of messages: the given value, the allowed ones, and the one probably meant."""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Collection, Iterable, Sequence

from crypto_lakehouse.core.redaction import redact
from crypto_lakehouse.core.visible import visible

__all__ = [
    "MOST_NAMED",
    "agreeing",
    "allowed_values",
    "counted_with_folders",
    "did_you_mean",
    "existing_values",
    "nearest",
    "plural",
    "shown",
    "some_of",
    "with_nearest",
]

#: Words for one thing, and for several: `[is|are]`; `[s]` is short for `[|s]`.
_ALTERNATIVES = re.compile(r"\[(?:([a-z ]*)\|)?([a-z ]*)\]")

#: How many characters of a value a message quotes.
SHOWN_CHARACTERS = 80

#: A longer list of existing values is counted instead of quoted, and one of faults is cut.
MOST_NAMED = 20

#: How much of what was given a suggestion must share with it.
_LEAST_SHARED = 0.6

_REPR = reprlib.Repr()
_REPR.maxlevel = 3
_REPR.maxstring = _REPR.maxother = 10_000  # complete texts, so that secrets are recognized


def shown(value: object) -> str:
    """Quote any value in part: short, on one line, without secrets.

    Examples:
        >>> shown("a" * 1000) == "a" * 80 + "…", shown([1, [2]]), shown("https://me:pw@h")
        (True, '[1, [2]]', 'https://***@h')
    """
    is_nested = isinstance(value, Collection) and not isinstance(value, str)
    try:
        text = redact(_REPR.repr(value) if is_nested else str(value))
    except ValueError:
        text = "a number with thousands of digits"
    text = text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"
    return visible(text)


def plural(count: int, noun: str, many: str = "", *, form: str = "") -> str:
    """Return a count with its noun in the singular or the plural.

    Args:
        count: How many.
        noun: The noun in the singular.
        many: The noun in the plural; the singular with an `s` by default.
        form: How the number is formatted; `,` separates thousands.

    Examples:
        >>> plural(1, "archive"), plural(0, "entry", "entries"), plural(1200, "row", form=",")
        ('1 archive', '0 entries', '1,200 rows')
    """
    return f"{count:{form}} {noun if count == 1 else many or f'{noun}s'}"


def counted_with_folders(archives: int, folders: int, *, form: str = "") -> str:
    """Return a number of archives, and of the folders that could not be read beside them.

    Examples:
        >>> counted_with_folders(4, 0), counted_with_folders(1, 2)
        ('4 archives', '1 archive and 2 folders')
    """
    more = f" and {plural(folders, 'folder', form=form)}" if folders else ""
    return plural(archives, "archive", form=form) + more


def agreeing(count: int, text: str) -> str:
    """Return a text about a count with the words that agree with it.

    Args:
        count: How many things the text is about.
        text: It has `[s]` behind a noun, and `[is|are]` for other words: the first for one thing.

    Examples:
        >>> agreeing(1, "1 file[s] [is|are] here"), agreeing(2, "2 file[s] [is|are] here")
        ('1 file is here', '2 files are here')
    """
    return _ALTERNATIVES.sub(lambda found: (found[1] or "") if count == 1 else found[2], text)


def allowed_values(given: object, allowed: Iterable[str]) -> str:
    """Name the allowed values, and the one nearest to what was given.

    Examples:
        >>> allowed_values("kline", ["klines", "trades"])
        'allowed: klines, trades; did you mean `klines`?'
    """
    options = [str(value) for value in allowed]
    return f"allowed: {', '.join(options)}{did_you_mean(given, options)}"


def existing_values(there: Collection[str], noun: str) -> str:
    """Name the values that exist, or count them if they are many.

    Args:
        there: The values, in order.
        noun: What they are, in the plural.

    Examples:
        >>> existing_values(["BTCUSDT", "ETHUSDT"], "symbols")
        'it has BTCUSDT, ETHUSDT'
        >>> existing_values(list("abcdefghijklmnopqrstu"), "symbols")
        'it has 21 symbols'
    """
    names = ", ".join(map(shown, there))
    return f"it has {names if len(there) <= MOST_NAMED else f'{len(there):,} {noun}'}"


def some_of(names: Sequence[str], most: int) -> str:
    """Name the first of some things, and count the others.

    Examples:
        >>> some_of(["a", "b"], 3), some_of(["a", "b", "c"], 1)
        ('`a`, `b`', '`a` and 2 more')
    """
    named = ", ".join(f"`{shown(name)}`" for name in names[:most])
    return f"{named} and {len(names) - most} more" if len(names) > most else named


def did_you_mean(given: object, options: Iterable[str]) -> str:
    """Ask whether the nearest of the options was meant; empty if none is near.

    Examples:
        >>> did_you_mean("btcusdt", ["BTCUSDT", "ETHUSDT"]), did_you_mean("x", ["BTCUSDT"])
        ('; did you mean `BTCUSDT`?', '')
    """
    near = nearest(given, options)
    return f"; did you mean `{near}`?" if near else ""


def with_nearest(given: str, options: Iterable[str]) -> str:
    """Quote a name or a glob, and ask whether the nearest of the options was meant.

    Examples:
        >>> with_nearest("btcusd*", ["BTCUSDT", "ETHUSDT"]), with_nearest("x", ["BTCUSDT"])
        ('`btcusd*` (did you mean `BTCUSDT`?)', '`x`')
    """
    near = nearest(given.strip("*?"), options)
    return f"`{shown(given)}`" + (f" (did you mean `{near}`?)" if near else "")


def nearest(given: object, allowed: Iterable[str]) -> str | None:
    """Return the allowed value nearest to what was given; None if none is near.

    A near value is similar to what was given, and has most of its letters and digits, in order.

    Examples:
        >>> nearest("max_retry", ["markets", "max_retries"]), nearest("x", ["markets"])
        ('max_retries', None)
        >>> nearest("10XB", ["B", "kB"]), nearest("BTCUSTD", ["BTCUSDT"])
        (None, 'BTCUSDT')
    """
    text = shown(given).casefold()
    by_folded = {option.casefold(): option for option in allowed}
    most = max(1, len(by_folded))
    for near in difflib.get_close_matches(text, by_folded, n=most, cutoff=0.6):
        if _shared(text, near) >= _LEAST_SHARED * sum(map(str.isalnum, text)):
            return by_folded[near]
    return None


def _shared(one: str, other: str) -> int:
    """Count the characters that two texts have in common, in their order."""
    blocks = difflib.SequenceMatcher(None, other, one).get_matching_blocks()
    return sum(block.size for block in blocks)
