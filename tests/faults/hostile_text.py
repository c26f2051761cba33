"""Text and bytes that somebody wrote to break what reads them: for every parser the same."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import strategies as st

FRAGMENTS = (
    *("", " ", "\t", "\n", "\r\n", "\x00", "\x7f", "\x1b[2J", "\ufeff", "\u202e", "\ud800", "😀", "é", "²", "٣"),
    *("'", '"', "`", "\\", ";", "--", "/*", "*/", "[", "]", "{", "}", "(", ")", "<", ">", "&", "|", "$", "%s", "%n"),
    *(
        "=",
        ":",
        ",",
        "://",
        "@",
        "?",
        "#",
        "/",
        "..",
        "../",
        "~",
        "=1",
        ":1",
        "1:",
        "a=1",
        "0",
        "-0",
        "1",
        "-1",
        "1e999",
    ),
    *("nan", "inf", "-inf", "1_0", "0x10", "1e-999", "9" * 20, "9" * 5_000, "1." + "0" * 400, "null", "true", "None"),
    *("[" * 3_000, "{" * 3_000, "(" * 3_000, '{"a":' * 3_000, "x" * 10_000, "a.b.c", "__class__", "__import__('os')"),
    *("'; DROP TABLE perflab_jobs; --", '"); DELETE FROM perflab_jobs; --', "' OR '1'='1", "${IFS}", "`id`", "$(id)"),
    *("h:" + "9" * 5_000, "a=" + "[" * 3_000, "a = " + "9" * 5_000, "[a]\nabove = " + "[" * 3_000, "a" + ".a" * 3_000),
    *("{{7*7}}", "{0.__class__}", "%(a)s", "!!python/object/apply:os.system ['id']", "<script>alert(1)</script>"),
    *("../../etc/passwd", "/etc/passwd", "file:///etc/passwd", "C:\\con", "con", "\\\\host\\share", "-rf", "--help"),
)


def hostile_text(seeds: Iterable[str]) -> st.SearchStrategy[str]:
    """Anything at all, pieces that mean something to some reader, and good input with such pieces in it."""
    pieces = st.sampled_from(FRAGMENTS)
    joined = st.lists(pieces | st.text(max_size=5), max_size=6).map("".join)
    return st.one_of(pieces, joined, st.text(max_size=50), _damaged(st.sampled_from(list(seeds)), pieces))


@st.composite
def _damaged(draw: st.DrawFn, seeds: st.SearchStrategy[str], pieces: st.SearchStrategy[str]) -> str:
    """A good text, some of which is cut out, with something else in its place."""
    seed = draw(seeds)
    start = draw(st.integers(0, len(seed)))
    end = draw(st.integers(start, len(seed)))
    return seed[:start] + draw(pieces) + seed[end:]


def hostile_bytes(seeds: Iterable[bytes]) -> st.SearchStrategy[bytes]:
    """The same of bytes."""
    return st.one_of(st.binary(max_size=200), _damaged_bytes(st.sampled_from(list(seeds))))


@st.composite
def _damaged_bytes(draw: st.DrawFn, seeds: st.SearchStrategy[bytes]) -> bytes:
    seed = draw(seeds)
    start = draw(st.integers(0, len(seed)))
    end = draw(st.integers(start, len(seed)))
    return seed[:start] + draw(st.binary(max_size=12)) + seed[end:]
