"""What `report` knows of operations."""


class HostFailure(Exception):
    """Never raised here: failures of the host come as those of a call."""

    kind = message = detail = ""
