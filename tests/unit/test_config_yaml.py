"""The traps of YAML: what is text, what is refused, and where it stands."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sage_native import ConfigurationError
from sage_native.config.yaml_text import MAX_DEPTH, read_yaml

WORD = "hunter2hunter2"


def value_of(text: str) -> object:
    return read_yaml(f"key: {text}\n", "file")[0]["key"]


@pytest.mark.parametrize(
    "text",
    [
        "no", "NO", "yes", "on", "off", "y", "1:30", "12:30:45", "2026-01-01", "1_000", "+", ".",
        ".inf", ".nan", "1e", "tRUE", "<<", "=", "0.1.2", "10.0.0.1", "1" * 31,
    ],
)  # fmt: skip
def test_what_only_looks_like_something_else_is_text(text: str) -> None:
    assert value_of(text) == text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True), ("False", False), ("null", None), ("~", None), ("", None), ("0", 0),
        ("-17", -17), ("8480", 8480), ("0.9", 0.9), (".5", 0.5), ("1e3", 1000.0), ("'no'", "no"),
        ("'010'", "010"), ('"true"', "true"), ("[1, two, ~]", [1, "two", None]),
        ("{a: 1}", {"a": 1}),
        ("1" * 30, int("1" * 30)), ("[]", []), ("{}", {}), ("''", ""), ("|\n  a\n  b", "a\nb\n"),
    ],
)  # fmt: skip
def test_values(text: str, value: object) -> None:
    found = value_of(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("text", ["010", "0640", "-01", "0o10", "0x1F", "0b11", "00"])
def test_numbers_that_mean_two_things_are_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^file line 1: a number in another base"):
        value_of(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("server:\n  port: 1\n  host: x\n  port: 2\n", " line 4: the key server.port stands twice"),
        ("a: 1\nb: 2\na: 1\n", "file line 3: the key a stands twice"),
        ("{a: 1, a: 2}", "file line 1: the key a stands twice"),
        (f"a: &x {WORD}\n", "file line 1: anchors and aliases"),
        (f"a: *{WORD}\n", "file line 1: anchors and aliases"),
        (f"a: !{WORD} 1\n", "file line 1: tags"),
        ("a: !!python/object/apply:os.system [ls]\n", "file line 1: tags"),
        (f"a: 1\n---\nb: {WORD}\n", "file line 2: a second document"),
        (f"? [a, b]\n: {WORD}\n", "file line 1: a key must be text"),
        (f"- {WORD}\n", "file: holds no keys"),
        (WORD, "file: holds no keys"),
        (f"a: {WORD}: b\n", "file line 1: cannot be read as YAML"),
        (f'a: "{WORD}\n', "file line 2: cannot be read as YAML"),
        (f"a: @{WORD}\n", "file line 1: cannot be read as YAML"),
        (f"a: [{WORD}\n", "cannot be read as YAML"),
        (f"\ta: {WORD}\n", "file line 1: cannot be read as YAML"),
        (f"a: '{WORD}\x00'\n", "file: holds signs that YAML does not allow"),
        ("[" * 100_000, "more than 16 levels"),
        ("a: " + "{a: " * MAX_DEPTH, "more than 16 levels"),
    ],
)  # fmt: skip
def test_traps_are_refused_at_their_line_without_a_quote(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        read_yaml(text, "file")
    assert message in str(refused.value)
    assert WORD not in str(refused.value)
    assert refused.value.__context__ is None or refused.value.__suppress_context__


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "~", "{}"])
def test_an_empty_file_changes_nothing(text: str) -> None:
    assert dict(read_yaml(text, "file")[0]) == {}


def test_every_key_knows_its_line() -> None:
    text = "# a\nserver:\n  host: x\n  tls:\n    key: y\nlist:\n  - {inner: 1}\nlast: 1\n"
    _, lines = read_yaml(text, "file")
    assert lines["server",] == 2
    assert lines["server", "host"] == 3
    assert lines["server", "tls", "key"] == 5
    assert lines["last",] == 8


SCALARS = st.none() | st.booleans() | st.integers(-(10**15), 10**15) | st.text(max_size=8)
DOCUMENTS = st.dictionaries(
    st.text(max_size=6),
    st.recursive(
        SCALARS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
        max_leaves=8,
    ),
    max_size=4,
)


@given(DOCUMENTS)
def test_what_a_writer_of_yaml_writes_is_read_back(document: dict[str, object]) -> None:
    text = yaml.dump(document, Dumper=NoAliases, allow_unicode=False)
    assert read_yaml(text, "file")[0] == document


@given(st.text(alphabet="ab:-[]{}&*!'\"#|>,\n ?~0", max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        read_yaml(text, "file")
    except ConfigurationError as error:
        assert str(error).startswith("file")  # noqa: PT017 - or it is read


class NoAliases(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        del data
        return True
