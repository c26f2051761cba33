"""The durable priority queue and its workers."""
