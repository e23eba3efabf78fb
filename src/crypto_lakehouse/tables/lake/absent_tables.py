"""Says that a lake has no table of some name, which ones it has, and which was probably meant."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from crypto_lakehouse.core.messages import existing_values, nearest, shown

__all__ = ["absent_table", "absent_tables"]

#: What DuckDB says if it has no such table, or no schema in which it could be.
_NO_TABLE = re.compile(r'\bTable with name "?([^"\s]+)"? does not exist')


def absent_tables(names: Iterable[str], there: Sequence[str]) -> str:
    """The reason why tables of these names cannot be read.

    Args:
        names: The names as they were given.
        there: The names of the lake's tables, in order.

    Examples:
        >>> absent_tables(["spot.kline"], ["spot.klines", "spot.trades"])
        'no table `spot.kline` (did you mean `spot.klines`?); it has spot.klines, spot.trades'
        >>> absent_tables(["spot.trades"], ["spot.klines"])
        'no table `spot.trades`; it has spot.klines'
    """
    words = []
    for name in names:
        near = _nearest_table(name, there)
        words.append(f"`{shown(name)}`" + (f" (did you mean `{near}`?)" if near else ""))
    has = existing_values(there, "tables") if there else "the lake has no table yet"
    return f"no table {', '.join(words)}; {has}"


def absent_table(reason: str, query: str) -> str | None:
    """The table that a query failed for, as the query names it; None if it failed otherwise.

    Args:
        reason: DuckDB's message, which may name the table without its schema.
        query: The SQL.
    """
    found = _NO_TABLE.search(reason)
    if found is None or "." in found[1]:
        return None if found is None else found[1]
    whole = re.search(rf'(\w+)"?\."?{re.escape(found[1])}\b', query, re.IGNORECASE)
    return f"{whole[1]}.{found[1]}" if whole else found[1]


def _nearest_table(name: str, there: Sequence[str]) -> str | None:
    """The table probably meant: of another market, or of a similar type in the same market.

    That two tables are of the same market does not make their names similar.
    """
    market, _, plain = name.casefold().rpartition(".")
    same = [each for each in there if _folded(each) == _folded(plain)]
    if same:
        return nearest(name, same) or same[0]
    beside = {each.partition(".")[2]: each for each in there if each.startswith(f"{market}.")}
    if beside or not market:
        beside = beside or {each.partition(".")[2]: each for each in there}
        near = nearest(plain, beside)
        return None if near is None else beside[near]
    return nearest(name, there)


def _folded(name: str) -> str:
    return name.rpartition(".")[2].replace("_", "").casefold()
