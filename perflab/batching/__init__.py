"""When to send: the accumulator, and its shells for threads and asyncio."""
