"""Listings that are empty although archives are known to exist: a fault of the source."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import aclosing

from attrs import define, field

from crypto_lakehouse.core.errors import ListingError
from crypto_lakehouse.core.protocols import Listing

__all__ = ["EmptiedFolders", "no_symbols"]

_ADVICE = "check `listing_url` and `source_url`, or run again later"


@define
class EmptiedFolders:
    """Finds folders of data types that are listed as empty, although archives of them are stored.

    One symbol may be removed by the publisher, but not all symbols of a type at once.

    Args:
        listing: The source's listing.
        is_stored: Returns whether the ledger has a verified archive below a prefix.
    """

    listing: Listing
    is_stored: Callable[[str], Awaitable[bool]]
    _known: dict[str, bool] = field(init=False, factory=dict)

    async def refuse(self, prefix: str) -> None:
        """Check the folder of a data type, once something below it was listed as empty.

        It costs one request for each folder with stored archives, whatever the number of symbols.

        Raises:
            ListingError: The source lists nothing below the prefix, and archives of it are stored;
                or it cannot be listed.
        """
        if prefix not in self._known:
            self._known[prefix] = await self.is_stored(prefix) and await self._is_empty(prefix)
        if self._known[prefix]:
            reason = "the source lists nothing there, although verified archives of it are stored"
            raise ListingError(prefix, f"{reason}; {_ADVICE}")

    async def _is_empty(self, prefix: str) -> bool:
        async with aclosing(self.listing.pages(prefix, page_keys=1)) as pages:
            page = await anext(pages, None)
        return page is None or not page.objects


def no_symbols() -> ListingError:
    """Make the error for a source that names no symbol in anything that was listed."""
    reason = "the source names no symbol in any of the selected markets and data types"
    return ListingError("data/", f"{reason}; {_ADVICE}")
