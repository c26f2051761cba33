"""The figures of the lab. Each function takes what was found and returns a `Plot`: figure, reading and data."""

from perflab.lab.plots.added_latency import throughput_by_added_latency
from perflab.lab.plots.alerts import delays_of_alerts, flush_time_through_disturbances
from perflab.lab.plots.best_batch import best_batch_by_added_latency
from perflab.lab.plots.causes import flush_causes
from perflab.lab.plots.confirmation import confirmation_ratios
from perflab.lab.plots.departures import departures_by_hour
from perflab.lab.plots.first_reads import first_reads
from perflab.lab.plots.frontier import throughput_latency_frontier
from perflab.lab.plots.latency import latency_by_flush_interval
from perflab.lab.plots.peers import batchers_beside_each_other, rates_of_queues, start_latency_of_queues
from perflab.lab.plots.plot import Plot, export
from perflab.lab.plots.prediction import prediction_error
from perflab.lab.plots.queue_calls import queue_calls_by_batch_size
from perflab.lab.plots.queue_depth import claim_time_by_depth
from perflab.lab.plots.queue_drain import drain_rate_by_workers
from perflab.lab.plots.queue_snapshot import claim_time_under_a_snapshot, size_under_a_snapshot
from perflab.lab.plots.rises_seen import rises_seen
from perflab.lab.plots.round_trips import round_trips_saved
from perflab.lab.plots.round_trips_per_item import round_trips_per_item
from perflab.lab.plots.run_history import cost_over_runs
from perflab.lab.plots.sizing_change import sizes_through_a_change
from perflab.lab.plots.sizing_contests import adaptive_against_the_best
from perflab.lab.plots.sizing_loads import latency_and_cost_by_load
from perflab.lab.plots.throughput import throughput_by_batch_size
from perflab.lab.plots.ticks import tick_round_trips_by_due, tick_time_by_due
from perflab.lab.plots.tuned import tuned_interval
from perflab.lab.plots.warming import cost_of_warming, hit_rate_over_time, wait_over_time
from perflab.lab.plots.ways import cost_of_ways

__all__ = [
    "Plot",
    "adaptive_against_the_best",
    "batchers_beside_each_other",
    "best_batch_by_added_latency",
    "claim_time_by_depth",
    "claim_time_under_a_snapshot",
    "confirmation_ratios",
    "cost_of_warming",
    "cost_of_ways",
    "cost_over_runs",
    "delays_of_alerts",
    "departures_by_hour",
    "drain_rate_by_workers",
    "export",
    "first_reads",
    "flush_causes",
    "flush_time_through_disturbances",
    "hit_rate_over_time",
    "latency_and_cost_by_load",
    "latency_by_flush_interval",
    "prediction_error",
    "queue_calls_by_batch_size",
    "rates_of_queues",
    "rises_seen",
    "round_trips_per_item",
    "round_trips_saved",
    "size_under_a_snapshot",
    "sizes_through_a_change",
    "start_latency_of_queues",
    "throughput_by_added_latency",
    "throughput_by_batch_size",
    "throughput_latency_frontier",
    "tick_round_trips_by_due",
    "tick_time_by_due",
    "tuned_interval",
    "wait_over_time",
]
