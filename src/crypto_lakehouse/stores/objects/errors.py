"""Turn errors of the object store's client into `StoreError`, with advice and without secrets.

The client's own texts contain whole URLs, which may be signed, and dumps of its structures. Only
the status, the code and the message of the server's answer are shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from crypto_lakehouse.core.errors import StoreError
from crypto_lakehouse.core.redaction import redact_environment
from crypto_lakehouse.core.visible import visible

__all__ = [
    "NO_ETAG",
    "NO_STORE",
    "ConditionFailed",
    "NotAStore",
    "ObjectReplaced",
    "RangesIgnored",
    "UnusableKey",
    "as_store_errors",
    "no_listing",
    "store_error",
]

#: The longest message of a server that is shown.
_MOST_TEXT = 300

_STATUS = re.compile(r"Server returned non-2xx status code: (\d{3})([^:\n]*)")
#: An error that the server found after it had begun to answer with 200.
_LATE = "Server returned error response"
_CODE = re.compile(r"<Code>([^<]{1,80})</Code>")
_MESSAGE = re.compile(r"<Message>([^<]*)</Message>")
_BAD_LISTING = re.compile(r"Got invalid list response: (.*)")
_BAD_KEY = re.compile(r'\bPath "(.*?)"(?: contained|: Encountered|$)', re.DOTALL)
_URL = re.compile(r"\b[a-z][a-z0-9+.-]*://\S+")
_PLACE = re.compile(
    r"^(?:Generic \S+ error: )?(?:Error performing list request: )?"
    r"(?:Error performing \S+ \S+ in [^\n]*? - )?"
)

_CREDENTIALS = "renew the credentials that the environment or the platform provides, and run again"
_RIGHTS = "give these credentials the right to list, read, write and delete there, and run again"
_REGION = "set `storage: {region: ...}` to the region of the bucket"
_LATER = "run again later; what is stored already stays"
_SLOWER = "lower `max_parallel_downloads`, and run again"
_NO_BUCKET = "create it, or correct its name in the URL, and `storage`"
_ACCESS = f"{_CREDENTIALS}; or {_RIGHTS}"
_CLOCK = "correct the clock of this machine, and run again"

#: What the user can do, by the code of an answer; each of these concerns every object.
_BY_CODE = {
    "NoSuchBucket": _NO_BUCKET,
    "ContainerNotFound": _NO_BUCKET,
    "AccessDenied": _RIGHTS,
    "AuthorizationFailure": _RIGHTS,
    "AuthorizationPermissionMismatch": _RIGHTS,
    "ExpiredToken": _CREDENTIALS,
    "ExpiredTokenException": _CREDENTIALS,
    "TokenRefreshRequired": _CREDENTIALS,
    "InvalidToken": _CREDENTIALS,
    "InvalidAccessKeyId": _CREDENTIALS,
    "SignatureDoesNotMatch": _CREDENTIALS,
    "AuthenticationFailed": _CREDENTIALS,
    "RequestTimeTooSkewed": _CLOCK,
    "SlowDown": _SLOWER,
    "ServerBusy": _SLOWER,
    "PermanentRedirect": _REGION,
    "AuthorizationHeaderMalformed": _REGION,
    "QuotaExceeded": "free some space, and run again",
}

#: What the user must correct before any run can succeed.
_TO_CORRECT = frozenset({_NO_BUCKET, _RIGHTS, _CREDENTIALS, _ACCESS, _REGION, _CLOCK})

#: What may go by itself: the store is not available, or asks for fewer requests.
_FOR_A_TIME = frozenset({_LATER, _SLOWER})

_NO_BUCKET_CODES = ("NoSuchBucket", "ContainerNotFound")

#: The same by the status alone, as answers to HEAD have no code.
_BY_STATUS = {
    "401": _CREDENTIALS,
    "403": _ACCESS,
    "301": _REGION,
    "429": _SLOWER,
    "507": "free some space, and run again",
}

_CHECK = (
    "check `storage: {endpoint: ...}`, and what is between it and this machine, such as a proxy or "
    "the login page of a network"
)

#: Without ETags, the versions of an object cannot be distinguished.
NO_ETAG = (
    "the store sends no ETag, by which versions are distinguished; use a store that does, or, if "
    f"the answer is of something else, {_CHECK}"
)

#: What answers is something else than an object store.
NO_STORE = f"the answer is not that of an object store; {_CHECK}"

_UNUSABLE = (
    "the key `{}` has an empty part, `.`, `..` or a control character, so that objects beside it "
    "cannot be listed; remove or rename that object"
)

_UNREACHABLE = "it cannot be reached, or does not answer; " + _LATER

#: What the client says if no answer came, or if it has no credentials to ask with.
_SILENT = ("error sending request", "error decoding response", "operation timed out", "HTTP error:")
_LACKS_CREDENTIALS = ("credential", "169.254.169.254", "instance metadata", "No account")


class ConditionFailed(StoreError):
    """An object is there already, or is another version than the one that was named."""


class ObjectReplaced(StoreError):
    """An object was replaced or removed while it was read."""


class NotAStore(StoreError):
    """What answers is not an object store."""


class UnusableKey(StoreError):
    """A folder has an object whose key the client refuses."""


class RangesIgnored(StoreError):
    """A store answers a request for a range in a form that the client takes for a whole object."""


def store_error(error: BaseException, place: str) -> StoreError:
    """Return the error of a store for an error of its client.

    Args:
        error: What the client raised.
        place: The URL of the object or prefix, without secrets.
    """
    text = str(error).partition("\n\nDebug source:")[0]
    status, code = _STATUS.search(text), _CODE.search(text)
    if status is None and (code is None or _LATE not in text):
        return _without_answer(text, place)
    number, words = (status[1], status[2].strip()) if status else ("500", "")
    name = code[1] if code else words
    shown = f"{number} {name}"
    if (said := _MESSAGE.search(text)) and said[1].strip():
        # In brackets: `ExpiredToken: The ...` would look like a token and its value.
        shown += f" ({_plain(said[1].strip())})"
    advice = _BY_CODE.get(name) or _BY_STATUS.get(number)
    if advice is None and number.startswith("5"):
        advice = _LATER
    if advice is None:
        return StoreError(place, _plain(shown))
    return _stopping(place, _plain(f"{shown}; {advice}"), advice)


def no_listing(place: str, found: str) -> NotAStore:
    """Return the error of an answer that is no listing.

    Args:
        place: As in `store_error`.
        found: What is wrong with it.
    """
    reason = f"the answer to a listing is not that of an object store ({found}); {_CHECK}"
    return NotAStore(place, reason, stops_run=True, exit_code=5)


def _stopping(place: str, reason: str, advice: str) -> StoreError:
    """Return an error that ends the run, with the exit code that fits the advice."""
    code = 2 if advice in _TO_CORRECT else 5 if advice in _FOR_A_TIME else 1
    return StoreError(place, reason, stops_run=True, exit_code=code)


def _without_answer(text: str, place: str) -> StoreError:
    if any(words in text for words in _LACKS_CREDENTIALS):
        return _stopping(place, f"no credentials are found; {_CREDENTIALS}", _CREDENTIALS)
    if (bad := _BAD_KEY.search(text)) and "invalid path" in text:
        return UnusableKey(place, _UNUSABLE.format(_plain(bad[1])))
    if bad := _BAD_LISTING.search(text):
        return no_listing(place, _plain(bad[1]))
    if "Last-Modified Header missing" in text:
        return NotAStore(place, NO_STORE, stops_run=True, exit_code=5)
    if "ETag Header missing" in text:
        return StoreError(place, NO_ETAG, stops_run=True)
    if "non-partial response" in text:
        return RangesIgnored(place, "the store ignores ranges")
    if "redirect without LOCATION" in text:
        return _stopping(place, f"the bucket is in another region; {_REGION}", _REGION)
    if any(words in text for words in _SILENT):
        return StoreError(place, _UNREACHABLE, stops_run=True, exit_code=5)
    return StoreError(place, _plain(text.partition("\n")[0]))


def _plain(text: str) -> str:
    """Return a text without URLs and secrets, of a bounded length."""
    return visible(redact_environment(_URL.sub("the store", _PLACE.sub("", text))))[:_MOST_TEXT]


@contextmanager
def as_store_errors(
    place: str, *, may_be_absent: bool = False, has_condition: bool = False
) -> Iterator[None]:
    """Raise StoreError for errors of the client.

    Args:
        place: As in `store_error`.
        may_be_absent: Whether FileNotFoundError passes if there is no such object.
        has_condition: Whether the request has a condition; ConditionFailed is raised if it fails.
    """
    from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

    try:
        yield
    except FileNotFoundError as error:
        if may_be_absent and not any(code in str(error) for code in _NO_BUCKET_CODES):
            raise
        raise store_error(error, place) from None
    except (AlreadyExistsError, PreconditionError) as error:
        if not has_condition:
            raise store_error(error, place) from None
        raise ConditionFailed(place, "there is another version of it") from None
    except (BaseError, ValueError, OSError) as error:
        raise store_error(error, place) from None
