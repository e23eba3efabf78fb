"""What an error of a database server says: whether a later attempt may help."""

from __future__ import annotations

__all__ = ["database_exit_code"]

#: Classes and codes of SQLSTATE after which a later attempt may succeed: the connection failed, the
#: server is shutting down or starting, or has no free connection.
#: Source: postgresql.org/docs/current/errcodes-appendix.html
_LATER = ("08", "57P0", "53300")

#: The same for what the user must correct: a database or role that is not there, rights, a
#: password, a standby.
_TO_CORRECT = ("3D000", "42501", "28", "25006")

#: A server that refuses a connection says so in a text alone; of these it may accept a later one.
_FATAL = "FATAL"
_FOR_A_TIME = ("starting up", "shutting down", "too many", "recovery", "not yet accepting")


#: The errors of PEP 249 that a failed connection has; others are faults of a statement.
_OF_CONNECTIONS = frozenset({"OperationalError", "InterfaceError"})


def database_exit_code(error: Exception) -> int:
    """Return the exit code for an error of a server or of its connection.

    Args:
        error: An error of psycopg, which only some have installed: `sqlstate` is its code, None if
            no answer of the server has one.

    Returns:
        5 if the server cannot be reached or does not accept connections now, 2 if the user must
        correct something, otherwise 1.
    """
    sqlstate, text = getattr(error, "sqlstate", None), str(error)
    if sqlstate is None:
        if _OF_CONNECTIONS.isdisjoint(kind.__name__ for kind in type(error).__mro__):
            return 1
        is_refused = _FATAL in text and not any(words in text for words in _FOR_A_TIME)
        return 2 if is_refused else 5
    if sqlstate.startswith(_LATER):
        return 5
    return 2 if sqlstate.startswith(_TO_CORRECT) else 1
