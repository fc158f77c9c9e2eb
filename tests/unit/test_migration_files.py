"""The files of the migrations: found in the package, and refused when they do not add up."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from sage_native.exceptions import ConfigurationError
from sage_native.storage.migrations import shipped
from sage_native.storage.migrations.files import load
from sage_native.storage.migrations.sqlite import _statements

if TYPE_CHECKING:
    from pathlib import Path


def test_both_backends_go_the_same_way() -> None:
    names = ["000001_initial_schema", "000002_add_indexes", "000003_add_session_overview"]
    assert [str(step) for step in shipped("sqlite")] == names
    assert [str(step) for step in shipped("postgres")] == names


def test_none_of_them_ends_the_transaction_that_it_runs_in() -> None:
    for step in (*shipped("sqlite"), *shipped("postgres")):
        words = {word.strip(";(),").upper() for word in f"{step.up} {step.down}".split()}
        assert not words & {"BEGIN", "COMMIT", "ROLLBACK", "CONCURRENTLY", "VACUUM", "PRAGMA"}


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        (["000001_a.up.sql"], "000001 has no down.sql"),
        (["000001_a.down.sql"], "000001 has no up.sql"),
        (["000001_a.up.sql", "000001_b.down.sql"], "000001 has two names: a and b"),
        (
            ["000001_a.up.sql", "000001_b.up.sql", "000001_a.down.sql"],
            "000001 has two files for up",
        ),
        (["000002_a.up.sql", "000002_a.down.sql"], r"without a gap, not \[2\]"),
        (["1_a.up.sql"], "1_a.up.sql is not named like"),
        (["000001_a.sql"], "000001_a.sql is not named like"),
    ],
)
def test_what_does_not_add_up_is_refused(tmp_path: Path, names: list[str], complaint: str) -> None:
    for name in names:
        (tmp_path / name).write_text("SELECT 1;")
    with pytest.raises(ConfigurationError, match=complaint):
        load(tmp_path)


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("about them")
    assert load(tmp_path) == ()


def test_statements_are_taken_apart_where_sqlite_would() -> None:
    sql = """
    CREATE TABLE a (b TEXT DEFAULT ';'); -- a comment; with a semicolon
    CREATE TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM a; SELECT 1; END;
    INSERT INTO a VALUES ('it''s; fine')
    """
    statements = list(_statements(sql))
    assert len(statements) == 3
    with closing(sqlite3.connect(":memory:")) as file:
        for statement in statements:
            file.execute(statement)
