"""docs/howto/embedding.md: its applications are served, and agents talk to them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.docs.walks import walk_of

if TYPE_CHECKING:
    from pathlib import Path


def test_the_applications_know_who_talks(tmp_path: Path) -> None:
    walk = walk_of("docs/howto/embedding.md")
    assert list(walk.files) == ["fast.py", "talk.py", "star.py", "plain.py", "say.py"]

    status, output = walk.run(tmp_path)

    assert status == 0, output
    did = r"did:key:z6Mk\w+"
    # A new key each time, which each application names as the client does.
    for line in (
        rf'200 \{{"did":"({did})","session":"[0-9a-f-]{{36}}"\}} I am \1$',
        rf"200 ({did}) I am \1$",
        rf"you are {did} and say hello$",
    ):
        assert re.search(line, output, re.MULTILINE), (line, output)
