"""One negative case: what is fed, where, and the answer that the protocol wants."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tests.reference.errors import ProtocolError
from tests.reference.feed import Item, feed
from tests.reference.setups import Setup, Situation


@dataclass(frozen=True)
class Case:
    """A case of ``negative.json``.

    Attributes:
        setup: Name of the situation, one of `SETUPS`.
        error: The code that the message must get; None where it must be accepted.
        also: Other codes that the text allows for the same input.
        before: Items fed first, each of which must be accepted, unless `before_refused`.

    """

    name: str
    setup: str
    item: Item
    error: str | None
    comment: str = ""
    also: tuple[str, ...] = ()
    before: tuple[Item, ...] = ()
    before_refused: bool = False

    def to_json(self) -> dict[str, object]:
        """Return the case as it stands in the file."""
        return {
            "name": self.name,
            "comment": self.comment,
            "setup": self.setup,
            "before": [_item_fields(item) for item in self.before],
            "before_refused": self.before_refused,
            **_item_fields(self.item),
            "error": self.error,
            "also": list(self.also),
        }


def _item_fields(item: Item) -> dict[str, object]:
    part = "record" if item.feed == "record" else "message"
    fields: dict[str, object] = {"feed": item.feed, part: item.message.hex(), "at_ms": item.at_ms}
    if item.feed == "record":
        fields["aad"] = item.aad.hex()
    return fields


def item_from_json(fields: dict[str, object]) -> Item:
    """Invert the fields of one item."""
    kind, at_ms = fields["feed"], fields["at_ms"]
    assert isinstance(kind, str)
    assert isinstance(at_ms, int)
    message = fields["record" if kind == "record" else "message"]
    return Item(kind, bytes.fromhex(str(message)), at_ms, bytes.fromhex(str(fields.get("aad", ""))))


def answer_of(setup: Setup, before: list[Item], item: Item, *, before_refused: bool) -> str | None:
    """Run a case; returns the code of the last item, None when it was accepted."""
    situation = Situation(setup)
    for earlier in before:
        refused = _code(situation, earlier) is not None
        if refused != before_refused:
            raise AssertionError("an earlier item went the wrong way")
    return _code(situation, item)


def _code(situation: Situation, item: Item) -> str | None:
    try:
        feed(situation, item)
    except ProtocolError as error:
        return error.code
    return None


def later(item: Item, delay_ms: int) -> Item:
    """Return the same message arriving later."""
    return replace(item, at_ms=item.at_ms + delay_ms)
