"""The measurements that come with the runner, one file per theme.

Registered under `interplay.measurements` like a user's own; nothing is imported until a plan names
it. What they are measured on, and with which parameters, is the library's
(interplay_api/builtin/measurements.yaml).
"""
