"""Is a database fit for perflab? A look that changes nothing, with a verdict for each thing looked at."""
