"""The digits zoo: twelve small models with known differences, carried inside the package.

They train in minutes (`python -m interplay_runner.zoo.train`), so that the whole way from manifest
to study can be walked on a laptop: five families, and recipes that make one property strong.
"""
