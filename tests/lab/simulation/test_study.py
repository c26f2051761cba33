"""The studies of the notebook: what they must show, whatever the machine."""

from __future__ import annotations

from perflab.lab.simulation.study import CLOSED_LOOP_CLIENTS, COST, load_study, load_table


def test_loads_from_light_to_heavy() -> None:
    loads = load_study(0.020, items=3_000)
    found = {(row["load"], row["policy"]): row for row in loads.to_dict("records")}
    clients = f"{CLOSED_LOOP_CLIENTS} clients"
    assert len(found) == 5 * 4
    assert found["1% of capacity", "adaptive"]["p99"] < 0.2 * found["1% of capacity", "500 at 10 ms"]["p99"]
    assert found["10% of capacity", "adaptive"]["busy"] < 0.5 < found["10% of capacity", "no batching"]["busy"]
    assert found["90% of capacity", "adaptive"]["items_per_second"] > 0.75 * COST.best_throughput
    # nobody waits for an interval in which nobody can come
    best = CLOSED_LOOP_CLIENTS / COST.seconds(CLOSED_LOOP_CLIENTS)
    assert found[clients, "adaptive"]["items_per_second"] > 0.7 * best
    assert found[clients, "500 at 10 ms"]["items_per_second"] < 0.1 * best
    table = load_table(loads)
    assert table.count("\n") == 2 + 20 - 1
    assert "| 1% of capacity | adaptive |" in table
