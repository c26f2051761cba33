"""Mixed operations in one batch: few statements, and on each table the order in which the items came."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from perflab.batching.grouping import group_by_operation, parents_first


class Write:
    """An operation as far as grouping looks."""

    def __init__(self, *tables: str, adds_to: str | None = None) -> None:
        self.name = "write " + " ".join(tables)
        self.tables = frozenset(tables)
        self.adds_to = adds_to

    def __repr__(self) -> str:
        return f"<{self.name}>"

    def prepare(self, item: int) -> int:
        return item

    def size_bytes(self, item: int) -> int:
        return item

    def apply(self, connection: Any, rows: Sequence[int]) -> Sequence[int]:
        return rows


WRITES = [Write("a"), Write("a"), Write("b"), Write("c"), Write("a", "b"), Write("b", "c"), Write("d"), Write()]
ADDS = [
    Write("a", adds_to="a"),
    Write("a", adds_to="a"),
    Write("a", "b", adds_to="b"),
    Write("a", "b", "c", adds_to="c"),
    Write("a", "d", adds_to="d"),
]


def group(writes: Sequence[Write]) -> list[tuple[Write, list[int]]]:
    return [(write, positions) for write, positions in group_by_operation(writes) if isinstance(write, Write)]


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


def may_go_before(later: Write, earlier: Write) -> bool:
    """As it is documented, for two items."""
    if earlier is later:
        return False
    if earlier.adds_to is not None and later.adds_to is not None:
        return earlier.adds_to not in later.tables
    return not earlier.tables & later.tables


@given(st.lists(st.sampled_from(WRITES + ADDS + ADDS), max_size=30))
def test_only_what_is_added_goes_before_what_refers_to_it(writes: list[Write]) -> None:
    place = {position: at for at, position in enumerate(p for _, positions in group(writes) for p in positions)}
    assert sorted(place) == list(range(len(writes)))
    for later, write in enumerate(writes):
        for earlier in range(later):
            assert place[earlier] < place[later] or may_go_before(write, writes[earlier])


@given(st.lists(st.integers(0, 3), min_size=1, max_size=10))
def test_units_of_rows_and_what_refers_to_them_take_one_group_for_each_table(children: list[int]) -> None:
    parent, child, _ = ADDS[0], ADDS[2], ADDS[3]
    writes = [write for count in children for write in [parent, *[child] * count]]
    groups = group(writes)
    assert [write for write, _ in groups] == [parent, child][: 1 + any(children)]


@given(st.lists(st.sampled_from(ADDS), max_size=30))
def test_parents_come_first_where_all_only_add(writes: list[Write]) -> None:
    order = parents_first(writes)
    assert sorted(order) == list(range(len(writes)))
    for at, position in enumerate(order):
        for before in order[:at]:
            assert writes[position].adds_to not in writes[before].tables - {writes[before].adds_to}
            assert before < position or writes[before].tables != writes[position].tables


def test_parents_keep_their_place_where_one_does_more() -> None:
    child, parent, other = ADDS[2], ADDS[0], Write("a")
    assert list(parents_first([child, parent])) == [1, 0]
    assert list(parents_first([child, parent, other])) == [0, 1, 2]
    circle = [Write("a", "b", adds_to="a"), Write("a", "b", adds_to="b")]
    assert list(parents_first(circle)) == [0, 1]
    assert [write for write, _ in group([*circle, *circle])] == [*circle, *circle]


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
