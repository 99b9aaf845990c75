"""What the API server may answer, by what a reconciler does about it."""

from __future__ import annotations

__all__ = [
    "AlreadyExistsError",
    "ApiError",
    "ConflictError",
    "GoneError",
    "NotFoundError",
    "RefusedError",
    "TakenError",
    "UnavailableError",
    "error_of",
]


class ApiError(Exception):
    """A request that failed; retried with back-off unless somebody knows more."""

    def __init__(
        self, message: str, *, status: int = 0, reason: str = "", retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.message, self.status, self.reason = message, status, reason
        self.retry_after = retry_after

    @property
    def is_refusal(self) -> bool:
        """Whether the server understood, and somebody must act before it says yes."""
        return 400 <= self.status < 500 and self.status not in (401, 404, 409, 429)


class NotFoundError(ApiError):
    """404: gone, or never there."""


class AlreadyExistsError(ApiError):
    """409 on a create: ours from before, or somebody else's; the owner's uid tells."""


class TakenError(ApiError):
    """The name of what is to be created is taken by an object that is not ours."""

    @property
    def is_refusal(self) -> bool:
        """Its owner must act."""
        return True


class ConflictError(ApiError):
    """409 on a write: our view is old; the watch brings the new one."""


class GoneError(ApiError):
    """410: the resourceVersion is too old; list again."""


class RefusedError(ApiError):
    """400, 413 or 422: the same request will never succeed."""


class UnavailableError(ApiError):
    """No answer, 429 or 5xx: later."""


def error_of(status: int, reason: str, message: str, retry_after: float | None = None) -> ApiError:
    """The error that a status code and its reason stand for."""
    kinds: dict[int, type[ApiError]] = {
        400: RefusedError,
        404: NotFoundError,
        409: AlreadyExistsError if reason == "AlreadyExists" else ConflictError,
        410: GoneError,
        413: RefusedError,
        422: RefusedError,
        429: UnavailableError,
    }
    kind = kinds.get(status, UnavailableError if status >= 500 else ApiError)
    if kind is NotFoundError and reason != "NotFound":
        # Something before the API server does not know the way: it says nothing of the object.
        kind = UnavailableError
    return kind(message, status=status, reason=reason, retry_after=retry_after)
