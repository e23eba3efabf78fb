"""A seeded mix of all faults, and the verdict that each archive must get.

`FaultMix` is for soak tests: a share of the archives gets a mishap, drawn from all faults that
sources are known to have, and the mix knows the verdict that the contract requires.

Examples:
    >>> from crypto_lakehouse.testing import ArchiveServer, FaultMix
    >>> key = "data/spot/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2026-05-08.zip"
    >>> server = ArchiveServer()
    >>> mishaps = FaultMix(seed=7, share=1.0).afflict(server, [key])
    >>> mishaps[key].kind, str(mishaps[key].verdict)
    ('no sidecar', 'sidecar_missing')
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable, Sequence

from attrs import define, evolve, field, frozen

from crypto_lakehouse.core.archive import SIDECAR_SUFFIX
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.testing import faults
from crypto_lakehouse.testing.faults.kinds import Fault
from crypto_lakehouse.testing.made_up.zips import SPOILED, good_zip, spoiled_zip
from crypto_lakehouse.testing.server.archive_server import ArchiveServer

__all__ = ["FaultMix", "Mishap"]

_PAGE = b"<html><body>Service busy</body></html>"

_CHUNKED = faults.Headers({"Transfer-Encoding": "chunked"})


@frozen(kw_only=True)
class Mishap:
    """What happens to one archive, and what must result from it.

    Attributes:
        kind: In words.
        verdict: The required verdict, for a run with the retries that the mix was made for.
        zip, sidecar: Faults of their requests, in turn.
        is_endless: Whether the last fault of each repeats without end. It does unless the verdict
            is `verified`, so that no verdict depends on the number of requests: on a busy machine a
            client may time out on a request that was answered in time, and repeat it.
        published: The bytes that the source has instead of the good ones, if any.
        body: The bytes that must be at the final name; None if there must be none.
    """

    kind: str
    verdict: Verdict = Verdict.VERIFIED
    zip: Sequence[Fault] = ()
    sidecar: Sequence[Fault] = ()
    is_endless: bool = False
    published: bytes | None = None
    body: bytes | None = None


@define
class _Victim:
    """An archive that a mishap is made for."""

    key: str
    data: bytes
    rng: random.Random
    asked: str = ""
    """The key that is requested: its own, or its sidecar's."""

    @property
    def name(self) -> str:
        return self.key.rpartition("/")[2]

    def place(self) -> int:
        """Somewhere in the body."""
        return self.rng.randrange(len(self.data))

    def line(self, data: bytes, end: str = "\n", name: str = "") -> bytes:
        return f"{hashlib.sha256(data).hexdigest()}  {name or self.name}{end}".encode()


@define(kw_only=True)
class FaultMix:
    """Draws mishaps; the same seed draws the same ones for the same keys.

    The verdicts are those of archives of up to 512 KiB, of which an attempt leaves no part: a
    larger one may be completed by what an earlier attempt left.

    Args:
        seed: The seed of the draw.
        share: The share of archives that get a mishap, 0 to 1.
        max_retries: The `max_retries` of the runs.
        silence: Whether silence is among the mishaps; each takes a run's `timeout_seconds`.
    """

    seed: int
    share: float = 0.02
    max_retries: int = 5
    silence: bool = True
    _passing: tuple[Callable[[_Victim], Fault], ...] = field(init=False)

    def __attrs_post_init__(self) -> None:
        # Silence is the rarest, as it is what takes longest.
        self._passing = (*_PASSING * 4, *(_SILENT if self.silence else ()))

    def afflict(self, server: ArchiveServer, keys: Iterable[str]) -> dict[str, Mishap]:
        """Script mishaps for some of the archives that a server holds; by key.

        Raises:
            KeyError: The server has no such archive.
        """
        mishaps = {}
        for key in keys:
            rng = random.Random(f"{self.seed} {key}")  # noqa: S311 - no secret depends on it
            if rng.random() < self.share:
                mishaps[key] = mishap = self._draw(_Victim(key, server.read(key), rng))
                _script(server, key, mishap)
        return mishaps

    def _draw(self, victim: _Victim) -> Mishap:
        kind = victim.rng.randrange(4)
        if kind == 0:
            return self._lasting(victim)
        mishap = victim.rng.choice(_HARMLESS if kind == 1 else _OUTCOMES)(victim)
        # A try that leaves a beginning behind makes the next one request only the rest, which may
        # not contain the byte that must be wrong.
        passing = self._passing
        if mishap.verdict is not Verdict.VERIFIED:
            passing = tuple(make for make in passing if make is not _begun)
        zip_faults, sidecar_faults = _prefix(self, victim, passing), _prefix(self, victim, passing)
        return Mishap(
            kind=mishap.kind,
            verdict=mishap.verdict,
            zip=[*zip_faults, *mishap.zip],
            sidecar=[*sidecar_faults, *mishap.sidecar],
            is_endless=mishap.is_endless,
            published=mishap.published,
            body=mishap.body,
        )

    def _lasting(self, victim: _Victim) -> Mishap:
        """A permanent failure."""
        is_zip = victim.rng.random() < 0.5
        victim.asked = victim.key if is_zip else victim.key + SIDECAR_SUFFIX
        fault = victim.rng.choice((*self._passing, *_FINAL))(victim)
        return Mishap(
            kind=f"{_name(fault)} for ever, at the {'zip' if is_zip else 'sidecar'}",
            verdict=Verdict.FAILED,
            zip=[fault] if is_zip else [],
            sidecar=[] if is_zip else [fault],
            is_endless=True,
        )


def _name(fault: Fault) -> str:
    return (
        f"{fault.status}" if isinstance(fault, faults.Status) else type(fault).__name__.strip("_")
    )


def _script(server: ArchiveServer, key: str, mishap: Mishap) -> None:
    if mishap.published is not None:
        server.publish(key, mishap.published)
    for name, script in ((key, mishap.zip), (key + SIDECAR_SUFFIX, mishap.sidecar)):
        if script and mishap.is_endless:
            server.inject(name, script[:-1])
            server.inject(name, script[-1], endless=True)
        elif script:
            server.inject(name, script)


def _prefix(
    mix: FaultMix, victim: _Victim, passing: Sequence[Callable[[_Victim], Fault]]
) -> list[Fault]:
    """Some transient failures, as many as retries allow."""
    count = victim.rng.choice([0, 0, 1, victim.rng.randrange(mix.max_retries + 1)])
    return [victim.rng.choice(passing)(victim) for _ in range(count)]


def _begun(_victim: _Victim) -> Fault:
    """A beginning of unknown length, from which the next try resumes."""
    return _CHUNKED & faults.Truncate(at=1)


_PASSING: tuple[Callable[[_Victim], Fault], ...] = (
    lambda victim: faults.Status(victim.rng.choice([403, 408, 429, 500, 502, 503])),
    lambda victim: faults.Status(
        victim.rng.choice([429, 503]), retry_after=victim.rng.choice(["0", "soon", "-1"])
    ),
    lambda _victim: faults.Cut(),
    lambda _victim: faults.Reset(),
    lambda _victim: faults.Reset(at=0),
    lambda _victim: faults.Truncate(at=0),
    lambda victim: faults.Announce(len(victim.data) + 1 + victim.place()),
    _begun,
)

_SILENT: tuple[Callable[[_Victim], Fault], ...] = (
    lambda _victim: faults.Stall(),
    lambda _victim: faults.Stall(at=0),
    lambda _victim: faults.Drip(every_s=0.2),
)

_FINAL: tuple[Callable[[_Victim], Fault], ...] = (
    lambda _victim: faults.Status(401),
    lambda _victim: faults.Redirect("https://example.org/elsewhere.zip"),
    lambda _victim: faults.Redirect("file:///etc/passwd"),
    lambda _victim: faults.Redirect("http://169.254.169.254/latest/meta-data"),
    lambda victim: faults.Redirect(f"/{victim.asked}"),
)


def _good(kind: str, victim: _Victim, **script: Sequence[Fault]) -> Mishap:
    return Mishap(kind=kind, body=victim.data, **script)  # type: ignore[arg-type]


def _sidecar(kind: str, victim: _Victim, body: bytes) -> Mishap:
    return _good(kind, victim, sidecar=[faults.Body(body)])


_HARMLESS: tuple[Callable[[_Victim], Mishap], ...] = (
    lambda v: _good("failures that pass", v),
    lambda v: _good("chunks", v, zip=[_CHUNKED], sidecar=[_CHUNKED]),
    lambda v: _good("no length", v, zip=[faults.Unannounced()], sidecar=[faults.Unannounced()]),
    lambda v: _good("surplus", v, zip=[faults.Surplus()], sidecar=[faults.Surplus()]),
    lambda v: _good("hung up", v, zip=[faults.HangUp()], sidecar=[faults.HangUp()]),
    lambda v: _sidecar("sidecar with CRLF", v, v.line(v.data, end="\r\n")),
    lambda v: _sidecar("sidecar for another name", v, v.line(v.data, name="OTHER.zip")),
    lambda v: _sidecar("sidecar in upper case", v, v.line(v.data).upper()),
    lambda v: _good("a page in place of the zip", v, zip=[faults.Body(_PAGE)]),
    lambda v: _sidecar("a page in place of the sidecar", v, _PAGE),
    lambda v: _good("a flipped byte", v, zip=[faults.Flip(v.place())]),
    lambda v: _good("compressed", v, zip=[faults.Gzip()]),
    lambda v: _good("announced too short", v, zip=[faults.Announce(v.place())]),
    lambda v: _sidecar("sidecar of other bytes", v, v.line(b"other")),
)


def _always(kind: str, verdict: Verdict, fault: Fault, *, at_zip: bool = True) -> Mishap:
    """What each request for the zip, or for the sidecar, gets; the other one is good."""
    return Mishap(
        kind=kind,
        verdict=verdict,
        zip=[fault if at_zip else Fault()],
        sidecar=[Fault() if at_zip else fault],
        is_endless=True,
    )


def _spoiled(victim: _Victim) -> Mishap:
    kind = victim.rng.choice([kind for kind in SPOILED if kind != "bomb"])
    published = spoiled_zip(kind, victim.key, b"1,2,3\n" * 20)
    return Mishap(kind=f"a {kind} in the zip", verdict=Verdict.CORRUPT, published=published)


def _republished(victim: _Victim) -> Mishap:
    """Between the zip's request and the sidecar's."""
    new = good_zip(victim.key, b"new,%d\n" % victim.place())
    return Mishap(
        kind="re-published meanwhile",
        zip=[Fault(), faults.Replace(new)],
        sidecar=[faults.Replace(victim.line(new))],
        body=new,
    )


def _without_sidecar(victim: _Victim) -> Mishap:
    missing = _always("no sidecar", Verdict.SIDECAR_MISSING, faults.NotFound(), at_zip=False)
    return evolve(missing, body=victim.data)


def _garbage(victim: _Victim) -> Mishap:
    body = victim.rng.choice([b"", b"\xff\xfe\x00", b"x" * 10_000_000, _PAGE, b"00\n00\n"])
    kind = "garbage in the sidecar, always"
    return _always(kind, Verdict.CORRUPT, faults.Body(body), at_zip=False)


_OUTCOMES: tuple[Callable[[_Victim], Mishap], ...] = (
    lambda v: _always("a flipped byte, always", Verdict.CORRUPT, faults.Flip(v.place())),
    lambda _: _always("a page in place of the zip, always", Verdict.CORRUPT, faults.Body(_PAGE)),
    lambda _: _always("compressed, always", Verdict.CORRUPT, faults.Gzip()),
    lambda v: _always(
        "sidecar of other bytes, always",
        Verdict.UPSTREAM_MISMATCH,
        faults.Body(v.line(b"other")),
        at_zip=False,
    ),
    lambda _: _always("gone", Verdict.MISSING, faults.NotFound()),
    _garbage,
    _without_sidecar,
    _republished,
    _spoiled,
)
