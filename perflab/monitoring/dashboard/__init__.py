"""A page that shows how batching, queues and schedulers are doing: read, remember, draw, serve."""
