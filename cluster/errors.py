"""The two ways a command can end early, so that only the entry point decides exit codes."""

__all__ = ["ClusterError", "UnavailableError"]


class ClusterError(Exception):
    """A step failed; the message is one line for the person, and may be followed by a log's end."""


class UnavailableError(ClusterError):
    """No cluster can be had on this machine at all; callers may go on without one."""
