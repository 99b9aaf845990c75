"""The runner: one process measures one model."""
