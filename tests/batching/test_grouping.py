"""Mixed operations in one batch: few statements, and on each table the order in which the items came."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from perflab.batching.part import PreparedItem, Submission, group_by_operation
from perflab.batching.waiting_lines import Entry


class Write:
    """An operation as far as grouping looks."""

    def __init__(self, *tables: str) -> None:
        self.name = "write " + " ".join(tables)
        self.tables = frozenset(tables)

    def __repr__(self) -> str:
        return f"<{self.name}>"

    def prepare(self, item: int) -> int:
        return item

    def size_bytes(self, item: int) -> int:
        return item

    def apply(self, connection: Any, rows: Sequence[int]) -> Sequence[int]:
        return rows


WRITES = [Write("a"), Write("a"), Write("b"), Write("c"), Write("a", "b"), Write("b", "c"), Write("d"), Write()]


def group(writes: Sequence[Write]) -> list[tuple[Write, list[int]]]:
    part = [PreparedItem(Entry(Submission(write, n, None), 0, 0.0, n), write, n) for n, write in enumerate(writes)]
    return [(write, positions) for write, positions in group_by_operation(part) if isinstance(write, Write)]


@given(st.lists(st.sampled_from(WRITES), max_size=30))
def test_the_order_on_every_table_is_kept(writes: list[Write]) -> None:
    groups = group(writes)
    order = [position for _, positions in groups for position in positions]
    assert sorted(order) == list(range(len(writes)))
    for write, positions in groups:
        assert all(writes[position] is write for position in positions)
    for table in "abcd":
        touching = [position for position in order if table in writes[position].tables]
        assert touching == sorted(touching)
    for write in WRITES:
        own = [position for position in order if writes[position] is write]
        assert own == sorted(own), "the items of one operation keep their order, whatever its tables"


@given(st.lists(st.sampled_from(WRITES), max_size=30))
def test_there_are_never_more_groups_than_changes_of_operation(writes: list[Write]) -> None:
    runs = sum(1 for before, after in zip([None, *writes], writes, strict=False) if before is not after)
    assert len(group(writes)) <= runs


@given(st.lists(st.sampled_from([Write("a"), Write("b"), Write("c")]), max_size=30))
def test_operations_with_no_table_in_common_make_one_group_each(writes: list[Write]) -> None:
    assert len(group(writes)) == len(set(writes))


def test_an_item_does_not_overtake_one_on_its_table() -> None:
    on_a, on_b, on_both = Write("a"), Write("b"), Write("a", "b")
    assert group([on_a, on_b, on_both, on_a, on_b, on_a]) == [
        (on_a, [0]),
        (on_b, [1]),
        (on_both, [2]),
        (on_a, [3, 5]),
        (on_b, [4]),
    ]


@given(st.permutations([Write("d"), Write("a"), Write("c", "b"), Write("e"), Write()]))
def test_what_shares_no_table_goes_out_in_the_order_of_the_tables(writes: list[Write]) -> None:
    assert [sorted(write.tables) for write, _ in group(writes)] == [[], ["a"], ["b", "c"], ["d"], ["e"]]
