"""Benchmarks: what is fast, small and frugal here, shown beside something to compare it with."""
