"""A newcomer's path: the steps of the README, copied out of it and run as they stand there."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from tests.docs.walks import walk_of

if TYPE_CHECKING:
    from pathlib import Path


def test_the_readme_leads_from_nothing_to_a_message_and_back(tmp_path: Path) -> None:
    walk = walk_of("README.md")
    assert len(walk.steps) == 6
    assert list(walk.files) == ["talk.py"]
    # "A few lines" each.
    assert all(len(step.splitlines()) <= 5 for step in walk.steps)

    status, output = walk.run(tmp_path)

    assert status == 0, output
    assert "200 hello from behind" in output
    listed, left = re.findall(r'\{"sessions":.*?"next":null\}', output)
    (session,) = json.loads(listed)["sessions"]
    assert f"\n{session['client_did']}\n" in output  # as `did add` printed it
    assert json.loads(left)["sessions"] == []
