"""Advice depends on the error alone, not on the operation that met it."""

from __future__ import annotations

import errno
import os

from crypto_lakehouse.core.os_error_hints import exit_code_of, hint_for


def test_an_error_that_a_user_can_mend_has_advice() -> None:
    hint = hint_for(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert hint is not None
    assert hint.startswith("free some space and run again")


def test_another_place_is_advised_if_there_may_be_one() -> None:
    error = OSError(errno.EROFS, os.strerror(errno.EROFS))
    assert hint_for(error) == "make it writable, or choose another output directory"
    assert hint_for(error, "use `--lake`") == "make it writable, or use `--lake`"
    assert hint_for(error, "") == "make it writable"


def test_an_error_of_another_kind_or_without_a_code_has_none() -> None:
    assert hint_for(OSError(errno.EIO, os.strerror(errno.EIO))) is None
    assert hint_for(OSError("no code")) is None


def test_a_place_that_this_user_may_not_use_is_to_be_corrected() -> None:
    assert exit_code_of(OSError(errno.EACCES, os.strerror(errno.EACCES))) == 2
    assert exit_code_of(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))) == 1
    assert exit_code_of(ValueError()) == 1
