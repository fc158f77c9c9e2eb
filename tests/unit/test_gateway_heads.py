"""Heads that were seen before, held against those that are seen for the first time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sage_native.gateway.heads import MAX_LEN, AnswerHeads, RequestHeads

if TYPE_CHECKING:
    from sage_native.gateway.heads import Header

HEAD = b"POST /a?b HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\n"
LENGTH = (b"content-length", b"3")


def scope(*headers: tuple[bytes, bytes], method: str = "POST") -> dict[str, Any]:
    return {
        "method": method,
        "path": "/a",
        "raw_path": b"/a",
        "query_string": b"b",
        "headers": [(b"host", b"x"), *headers],
    }


def kept(data: bytes, asked: dict[str, Any]) -> RequestHeads:
    heads = RequestHeads()
    heads.keep(data, asked)
    return heads


class TestRequests:
    def test_the_same_bytes_are_known_and_bring_another_body(self) -> None:
        found = kept(HEAD + b"abc", scope(LENGTH)).find(HEAD + b"xyz")
        assert found is not None
        head, body = found
        assert (head.path, head.raw_path, head.query_string) == ("/a", b"/a", b"b")
        assert head.headers == ((b"host", b"x"), LENGTH)
        assert (head.method, head.content_type, body) == ("POST", b"", b"xyz")

    def test_the_type_of_a_body_is_known_without_its_parameters(self) -> None:
        typed = scope(LENGTH, (b"content-type", b"Text/Plain; charset=utf-8"))
        found = kept(HEAD + b"abc", typed).find(HEAD + b"xyz")
        assert found is not None
        assert found[0].content_type == b"text/plain"

    @pytest.mark.parametrize(
        "data",
        [
            HEAD + b"xy",
            HEAD + b"xyzw",
            HEAD,
            HEAD[:-1],
            b"",
            b"\r\n" + HEAD + b"xyz",
            HEAD.replace(b"host", b"Host") + b"xyz",
            HEAD + b"xyz" + HEAD + b"xyz",
        ],
    )
    def test_what_is_not_exactly_one_whole_request_is_not_known(self, data: bytes) -> None:
        assert kept(HEAD + b"abc", scope(LENGTH)).find(data) is None

    @pytest.mark.parametrize(
        "name",
        [
            b"authorization",
            b"cookie",
            b"proxy-authorization",
            b"connection",
            b"content-encoding",
            b"expect",
            b"transfer-encoding",
            b"upgrade",
        ],
    )
    def test_credentials_and_what_bears_on_the_body_are_not_kept(self, name: bytes) -> None:
        assert len(kept(HEAD + b"abc", scope(LENGTH, (name, b"x")))) == 0

    @pytest.mark.parametrize(
        ("data", "asked"),
        [
            (HEAD + b"abc", scope()),
            (HEAD + b"abc", scope(LENGTH, LENGTH)),
            (HEAD + b"abc", scope(LENGTH, (b"content-type", b"a/b"), (b"content-type", b"a/c"))),
            (HEAD + b"abc", scope((b"content-length", b"+3"))),
            (HEAD + b"abc", scope((b"content-length", b"0000000003"))),
            (HEAD + b"abcd", scope(LENGTH)),
            (HEAD + b"abc", scope(LENGTH, method="GET")),
            (HEAD.replace(b"\r\n", b"\n") + b"abc", scope(LENGTH)),
            (HEAD.replace(b"host: x", b"host: " + b"x" * MAX_LEN) + b"abc", scope(LENGTH)),
        ],
    )
    def test_what_does_not_say_where_it_ends_is_not_kept(
        self, data: bytes, asked: dict[str, Any]
    ) -> None:
        assert len(kept(data, asked)) == 0

    def test_the_oldest_goes_first(self) -> None:
        heads = RequestHeads(2)
        paths = (b"/1", b"/2", b"/3")
        for path in paths:
            heads.keep(HEAD.replace(b"/a", path) + b"abc", scope(LENGTH))
        known = [heads.find(HEAD.replace(b"/a", path) + b"abc") is not None for path in paths]
        assert known == [False, True, True]


class TestAnswers:
    def test_lines_are_as_http_wants_them_and_names_in_lower_case(self) -> None:
        head = AnswerHeads().of(200, ((b"X-A", b"1"), (b"content-length", b"5")))
        assert head.lines == b"HTTP/1.1 200 OK\r\nx-a: 1\r\ncontent-length: 5\r\n"
        assert (head.body_len, head.is_chunked, head.is_open_ended, head.closes) == (
            *(5, False, False),
            False,
        )

    def test_a_tuple_is_kept_and_a_list_is_not(self) -> None:
        heads = AnswerHeads()
        assert heads.of(200, ((b"a", b"1"),)) is heads.of(200, ((b"a", b"1"),))
        assert heads.of(200, ((b"a", b"1"),)) != heads.of(404, ((b"a", b"1"),))
        assert len(heads) == 2
        lines = [heads.of(200, headers).lines for headers in ([(b"a", b"2")], ([b"a", b"3"],))]
        assert lines == [b"HTTP/1.1 200 OK\r\na: 2\r\n", b"HTTP/1.1 200 OK\r\na: 3\r\n"]
        assert len(heads) == 2

    def test_the_oldest_goes_first_and_long_ones_are_not_kept(self) -> None:
        heads = AnswerHeads(1)
        first = heads.of(200, ())
        heads.of(200, ((b"a", b"x" * MAX_LEN),))
        assert heads.of(200, ()) is first
        heads.of(204, ())
        assert heads.of(200, ()) is not first
        assert len(heads) == 1

    @pytest.mark.parametrize(
        ("status", "headers", "says"),
        [
            (200, (), (None, False, True, False)),
            (204, (), (None, False, False, False)),
            (304, (), (None, False, False, False)),
            (200, ((b"Transfer-Encoding", b"Chunked"),), (None, True, False, False)),
            (200, ((b"connection", b"x, Close"),), (None, False, True, True)),
            (200, ((b"connection", b"closed"),), (None, False, True, False)),
        ],
    )
    def test_what_a_head_says_of_its_body(
        self, status: int, headers: tuple[Header, ...], says: tuple[object, ...]
    ) -> None:
        head = AnswerHeads().of(status, headers)
        assert (head.body_len, head.is_chunked, head.is_open_ended, head.closes) == says

    @pytest.mark.parametrize(
        "header", [(b"a b", b""), (b"", b""), (b"a:", b""), (b"a", b"b\r\nc: d"), (b"a", b"\0")]
    )
    def test_what_http_does_not_allow_is_refused(self, header: tuple[bytes, bytes]) -> None:
        heads = AnswerHeads()
        with pytest.raises(ValueError, match="header"):
            heads.of(200, (header,))
        assert len(heads) == 0

    def test_a_status_without_a_name_has_a_line(self) -> None:
        assert AnswerHeads().of(299, ()).lines == b"HTTP/1.1 299 \r\n"

    def test_what_all_answers_say_follows_its_list(self) -> None:
        heads = AnswerHeads()
        first, second = [(b"date", b"1")], [(b"date", b"2"), (b"x", b"y")]
        assert heads.joined(first) == heads.joined(first) == b"date: 1\r\n"
        assert heads.joined(second) == b"date: 2\r\nx: y\r\n"

    @pytest.mark.parametrize(
        ("status", "headers", "body_len", "opening"),
        [
            (
                200,
                ((b"A", b"1"),),
                5,
                b"HTTP/1.1 200 OK\r\na: 1\r\ncontent-length: 5\r\nd: 1\r\n\r\n",
            ),
            (200, (), 0, b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nd: 1\r\n\r\n"),
            (204, (), 0, b"HTTP/1.1 204 No Content\r\nd: 1\r\n\r\n"),
            (204, (), 1, b""),
            (200, ((b"connection", b"close"),), 5, b""),
            (200, ((b"transfer-encoding", b"chunked"),), 5, b""),
            (200, ((b"content-length", b"6"),), 5, b""),
            (204, ((b"content-length", b"0"),), 0, b""),
        ],
    )
    def test_what_stands_before_a_whole_body(
        self, status: int, headers: tuple[Header, ...], body_len: int, opening: bytes
    ) -> None:
        heads, always = AnswerHeads(), [(b"d", b"1")]
        for _ in range(2):
            assert heads.opening(status, headers, body_len, always) == opening

    def test_what_stands_before_a_body_follows_its_length_and_what_all_answers_say(self) -> None:
        heads, always = AnswerHeads(1), [(b"d", b"1")]
        for length in (1, 2, 1):
            opening = heads.opening(200, (), length, always)
            assert opening == b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nd: 1\r\n\r\n" % length
            assert heads.opening(200, (), length, always) is opening
        opening = heads.opening(200, (), 1, [(b"d", b"2")])
        assert opening == b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\nd: 2\r\n\r\n"

    def test_what_http_does_not_allow_is_refused_each_time(self) -> None:
        heads, always = AnswerHeads(), [(b"d", b"1")]
        for _ in range(2):
            with pytest.raises(ValueError, match="header"):
                heads.opening(200, ((b"a b", b""),), 1, always)
