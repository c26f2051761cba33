"""Our operations against the raw driver, interleaved in one run."""
