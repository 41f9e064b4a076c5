"""What the parts of a guest that are shared know of operations."""


class HostFailure(Exception):
    """Never raised here: failures of the host come as those of a call."""

    kind = message = detail = ""


def arrived(speaker) -> None:
    """Nobody waits to hear this here: an answer lies in memory that the kernel limits."""
