"""The errors of the service, by what the client is told.

    ServiceError
    |-- BadRequestError       a parameter is wrong: the client's to mend
    |-- NotFoundError         no such job or resource
    |-- ConflictError         the job's phase does not allow it
    |-- TooLargeError         the query would have to make too much sky
    |-- QueryFailedError      the database refused the query
    |-- QueryStoppedError     aborted, or out of time
    `-- InsufficientStorageError   a bound of the disk is reached, or the disk is full

Errors of ADQL itself are ``adql.errors.AdqlError``.
"""


class ServiceError(Exception):
    """A request that the service will not or cannot fulfil; ``status`` is its HTTP status."""

    status = 500


class BadRequestError(ServiceError):
    """A parameter is missing or wrong. Never worth a retry."""

    status = 400


class NotFoundError(ServiceError):
    """There is no such job or resource."""

    status = 404


class ConflictError(ServiceError):
    """The job is in a phase that does not allow the request."""

    status = 403


class TooLargeError(ServiceError):
    """The query can reach more sky than the service will make for it."""

    status = 400


class QueryFailedError(ServiceError):
    """The database refused the query or gave it up. Never worth a retry."""

    status = 400


class QueryStoppedError(ServiceError):
    """The query was aborted or ran out of time."""

    status = 400


class InsufficientStorageError(ServiceError):
    """There is no room for what the request needs (RFC 4918 sec. 11.5); somebody has to make it first."""

    status = 507
