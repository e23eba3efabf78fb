"""List the objects of a store, and believe only what is certainly a listing.

The client takes any XML document for the listing of S3 or Google Cloud Storage, and finds nothing
in that of another kind: the login page of a network would be an empty store, or the end of a
listing. So, an answer counts only if it has something in it that is there:

- A listing without a key is believed if the listing of a folder above has keys, and not this one;
  if it has this one, too, the folder is listed again. At the root a listing must agree with the
  objects that every output has.
- A listing with keys is asked for again behind its last key but one, until an answer has the last
  key, and none behind it: a page may have fewer keys than it could, and hide that the next one is
  missing.
- A listing with a key that is not below the prefix asked for is none: files are deleted by what is
  listed.

Of Azure, an answer that is no listing is an error of the client, so that none is asked for again;
its listings need not be in the order of keys either.

An answer without an end is an error, and a run that is stopped does not wait for one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from contextlib import suppress
from heapq import nlargest
from threading import Thread, main_thread
from typing import TYPE_CHECKING, Any, TypeVar

from anyio import from_thread
from attrs import field, frozen

from crypto_lakehouse.core.errors import StoreError
from crypto_lakehouse.core.visible import visible
from crypto_lakehouse.stores.objects.errors import (
    NO_STORE,
    NotAStore,
    UnusableKey,
    as_store_errors,
    no_listing,
)
from crypto_lakehouse.stores.objects.object_info import ObjectInfo, object_info

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Client

__all__ = ["LONGEST_PAGE_S", "WITNESS_KEY", "Listings"]

#: How many keys are taken from a listing at once; a page of S3 has as many, or fewer.
_PAGE_KEYS = 1000

#: How long the client may take for a page by default, in seconds.
LONGEST_PAGE_S = 660.0

#: How often it is found out whether the run was stopped, in seconds.
_LOOKS_EVERY_S = 0.25

#: How much of a key is shown.
_MOST_KEY = 200

#: An empty object, which the first run makes, so that the root of an output is never empty.
WITNESS_KEY = ".lakehouse/listed"

#: Objects of which one is in every output or lake that was ever written to by this version.
_KNOWN_KEYS = (
    WITNESS_KEY,
    ".lakehouse/lease.json",
    ".lakehouse/ledger.sqlite.gz",
    ".lakehouse/tables/lakehouse.archives.json",
)

_REPEATED = (
    "the store lists the same objects again and again, and does not end the listing; correct the "
    "server, or what is between it and this machine"
)

_EMPTY = "it has no objects, although there are some"

#: How many answers may lack a key that is there before the listing is given up.
_MOST_LACKING = 2

#: How many folders are looked at for an object, if a listing has none.
_MOST_FOLDERS = 20

#: How often the same is listed if the last key of each listing is not there any more.
_MOST_LISTED = 5

_STALE = (
    "its listings end with objects that are not there any more; if a cache is between it and this "
    "machine, let it not keep listings; or run again when no other program removes objects"
)

#: The two last keys of a listing without keys.
_NO_KEYS = ("", "")

_T = TypeVar("_T")


@frozen
class Listings:
    """Lists the objects below one prefix. Every method blocks, and raises StoreError on failure.

    Args:
        client: The client; it has the bucket and the prefix.
        url: The URL of the prefix, without secrets; for messages.
        longest_page_s: How long the client may take for a page.
    """

    client: Client = field(repr=False)
    url: str
    longest_page_s: float = LONGEST_PAGE_S

    def pages(self, prefix: str, after: str = "") -> Iterator[list[ObjectInfo]]:
        """Yield the objects below a prefix, as the store sends them; in order, for most stores.

        Args:
            prefix: A prefix that ends with a slash, or is empty.
            after: Only keys after this folder, which ends with a slash.

        Raises:
            StoreError: The store fails, or its answer is no listing, or has no end.
        """
        listed = self._pages if self._proves_itself else self._complete
        # Consoles of stores create `folder/` as an object, which the client calls `folder`.
        folder = prefix.rstrip("/")
        for page in listed(prefix, after):
            yield [info for info in page if info.key != folder]

    @property
    def _proves_itself(self) -> bool:
        """Whether the client finds out if an answer is no listing."""
        from obstore.store import AzureStore

        return isinstance(self.client, AzureStore)

    def _complete(self, prefix: str, after: str, number: int = 1) -> Iterator[list[ObjectInfo]]:
        """List until there certainly is no more; an object named as the folder is in it.

        Args:
            prefix: The prefix.
            after: Only keys after this one.
            number: How often the same is listed with this time, because the last key was removed.
        """
        last = _NO_KEYS
        for page in self._pages(prefix, after):
            last = _two_last(last, page)
            yield page
        if last == _NO_KEYS and self._may_have(prefix, after):
            for page in self._again(prefix, after):
                last = _two_last(last, page)
                yield page
        if last != _NO_KEYS:
            yield from self._rest(prefix, after, last, number)

    def _again(self, prefix: str, after: str) -> Iterator[list[ObjectInfo]]:
        """List a folder that is named, though nothing was listed of it.

        Still nothing is there if the server has directories, of which some are empty; but not if a
        listing of a folder below has an object.
        """
        is_empty = True
        for page in self._pages(prefix, after):
            is_empty = False
            yield page
        if is_empty and self._has_object(prefix, after):
            for page in self._pages(prefix, after):  # it may have been written a moment ago
                is_empty = False
                yield page
            if is_empty:
                raise no_listing(self._place(prefix), _EMPTY)

    def _has_object(self, prefix: str, after: str) -> bool:
        """Whether one of the first folders below a prefix has an object, listed by folders."""
        waiting = [prefix]
        for _ in range(_MOST_FOLDERS):
            if not waiting:
                break
            objects, folders = self._directly_below(waiting.pop())
            if any(key > after and f"{key}/" != prefix for key in objects):
                return True
            behind = sorted((f"{each}/" for each in folders), reverse=True)
            waiting += [each for each in behind if each >= after or after.startswith(each)]
        return False

    def _pages(self, prefix: str, after: str) -> Iterator[list[ObjectInfo]]:
        """List once, without a doubt about the end."""
        import obstore

        place = self._place(prefix)
        with as_store_errors(place):
            stream = obstore.list(
                self.client, prefix or None, offset=after or None, chunk_size=_PAGE_KEYS
            )
            number, compared = 0, ""
            while (page := self._within(lambda: next(stream, None), place)) is not None:
                number += 1
                infos = [object_info(meta, self.url) for meta in page]
                self._check_below(prefix, (info.key for info in infos))
                if any(info.key == compared for info in infos):
                    raise StoreError(place, _REPEATED, stops_run=True)
                # Not every store lists in the order of keys. A key is compared for twice as many
                # pages each time, so that a repetition of any length is found in bounded memory.
                if number & (number - 1) == 0 and infos:
                    compared = infos[-1].key
                yield infos

    def _rest(
        self, prefix: str, after: str, last: tuple[str, str], number: int
    ) -> Iterator[list[ObjectInfo]]:
        """List on until an answer has the last key, and none behind it.

        One answer that lacks this key is passed over, and so are all if it was removed.
        """
        lacks = 0
        while True:
            known, before = last
            has_known = False
            for page in self._pages(prefix, before or after):
                has_known |= any(info.key == known for info in page)
                last = _two_last(last, page)
                yield [info for info in page if info.key > known]
            if last[0] == known:
                if has_known:
                    return
                if not self._is_there(known):
                    break
                lacks += 1
                if lacks == _MOST_LACKING:
                    raise no_listing(self._place(prefix), _EMPTY)
        if number == _MOST_LISTED:
            raise StoreError(self._place(prefix), _STALE, stops_run=True)
        for page in self._complete(prefix, after, number + 1):
            yield [info for info in page if info.key > known]

    def _may_have(self, prefix: str, after: str) -> bool:
        """Whether there may be anything below a prefix, of which the store has listed nothing.

        It may have been written a moment ago, or the answer was no listing.
        """
        try:
            return self._is_named(prefix, after)
        except UnusableKey:  # it is listed, so that these answers are listings
            return True

    def _is_named(self, prefix: str, after: str) -> bool:
        """Whether there is anything below a prefix, as an answer says that has keys."""
        names = self.names(prefix) if after else set()
        if names:
            return any(f"{name}/" >= after for name in names)
        below = prefix
        while below:
            above = below[: below.rstrip("/").rfind("/") + 1]
            if names := self.names(above):
                return below.rstrip("/") in names
            below = above
        if not any(map(self._is_there, _KNOWN_KEYS)):
            return False
        if not self.names(""):  # nor a moment later, if they have just been written
            raise no_listing(self._place(prefix), _EMPTY)
        return True

    def names(self, prefix: str) -> set[str]:
        """Return the objects and folders directly below a prefix, without slashes at their ends.

        Raises:
            StoreError: The store fails. If its answer is no listing, there may be no names instead.
        """
        objects, folders = self._directly_below(prefix)
        return objects | folders

    def folders(self, prefix: str) -> tuple[list[str], bool]:
        """Return the folders directly below a prefix, and whether there are objects, too.

        Args:
            prefix: A prefix that ends with a slash, and has something below it.

        Returns:
            The folders, each with a slash at its end, in the order of their text.

        Raises:
            UnusableKey: An object or a folder there has a key that the client refuses. One in a
                folder below does not matter.
            StoreError: As `pages`, or nothing is listed.
        """
        objects, folders = self._directly_below(prefix)
        if not objects | folders:
            raise no_listing(self._place(prefix), _EMPTY)
        # As in `pages`, `folder/` may be an object.
        return sorted(f"{folder}/" for folder in folders), bool(objects - {prefix.rstrip("/")})

    def _directly_below(self, prefix: str) -> tuple[set[str], set[str]]:
        import obstore

        place = self._place(prefix)
        with as_store_errors(place):
            found = self._within(
                lambda: obstore.list_with_delimiter(self.client, prefix or None), place
            )
        objects, folders = {meta["path"] for meta in found["objects"]}, {*found["common_prefixes"]}
        self._check_below(prefix, objects | folders)
        return objects, folders

    def _check_below(self, prefix: str, keys: Iterable[str]) -> None:
        """Check that keys are below a prefix, or that of the folder itself."""
        for key in keys:
            if not f"{key}/".startswith(prefix):
                found = f"it names `{visible(key[:_MOST_KEY])}`, which is not below this folder"
                raise no_listing(self._place(prefix), found)

    def _is_there(self, key: str) -> bool:
        import obstore

        try:
            with as_store_errors(self._place(key), may_be_absent=True):
                meta: Any = obstore.head(self.client, key)
        except FileNotFoundError:
            return False
        if not meta["e_tag"]:
            raise NotAStore(self._place(key), NO_STORE, stops_run=True, exit_code=5)
        return True

    def _within(self, call: Callable[[], _T], place: str) -> _T:
        """Call the client, which asks for page after page until one has keys.

        The thread of a call that does not end is left behind.
        """
        answer: Future[_T] = Future()

        def ask() -> None:
            try:
                answer.set_result(call())
            except BaseException as error:  # noqa: BLE001 - raised by the caller
                answer.set_exception(error)

        _check_stopped(place)
        Thread(target=ask, name="object-listing", daemon=True).start()
        ends_at = time.monotonic() + self.longest_page_s
        while not wait([answer], _LOOKS_EVERY_S).done:
            _check_stopped(place)
            if time.monotonic() > ends_at:
                reason = (
                    f"the store has listed no object for {self.longest_page_s:.0f} s, and does not "
                    "end the listing; correct the server, or what is between it and this machine"
                )
                raise StoreError(place, reason, stops_run=True)
        return answer.result()

    def _place(self, key: str) -> str:
        return f"{self.url}/{key}" if key else self.url


def _check_stopped(place: str) -> None:
    """End a listing of a run that was stopped, or of a command that waits for its threads to end.

    Raises:
        StoreError: The command has ended; the error reaches no one.
    """
    if not main_thread().is_alive():
        raise StoreError(place, "the command has ended", stops_run=True)
    with suppress(RuntimeError):  # it is no thread of a run
        from_thread.check_cancelled()


def _two_last(last: tuple[str, str], page: list[ObjectInfo]) -> tuple[str, str]:
    """Return the two last keys in the order of keys, the last one first."""
    keys = nlargest(2, {*last, *(info.key for info in page)})
    return (keys[0], keys[1]) if len(keys) == 2 else _NO_KEYS
