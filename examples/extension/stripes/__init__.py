"""Stripes of four orientations, a model that tells them apart, and two ways to measure it."""
