"""What a project begins with: a notebook and a workflow for CI, as they are written into it."""
