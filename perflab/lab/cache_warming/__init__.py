"""What warming a cache does: polls of real routes that read through it, cold, warmed once, and warmed ahead."""
