"""Which files must not be written in place."""

from __future__ import annotations

import os
from pathlib import Path

from crypto_lakehouse.core.hard_links import link_fault


def test_only_a_file_with_one_name_may_be_written_in_place(tmp_path: Path) -> None:
    own, other, link, pipe = (tmp_path / name for name in ("own", "other", "link", "pipe"))
    assert link_fault(own) == ""
    assert link_fault("a\0b") == ""
    own.write_text("text")
    assert link_fault(own) == ""
    link.symlink_to(own)
    assert link_fault(link) == ""
    assert link_fault(tmp_path) == ""
    os.link(own, other)
    assert "is a file with 2 names" in link_fault(own)
    assert f"`mv {other}.new {other}`" in link_fault(other)
    os.mkfifo(pipe)
    assert "is not a regular file; move it away" in link_fault(pipe)
