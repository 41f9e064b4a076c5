"""What comes back."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NotRequired, Self, TypedDict

from ._protocol import Frame
from ._values import decode
from .errors import DeniedError, SessionLost, TaskError, WorkerError

__all__ = ["ErrorInfo", "Evaluation", "Execution", "HostRequest", "Result", "done", "envelope", "evaluation"]


class HostRequest(TypedDict):
    """One request of a task to a host."""

    #: ``GET`` and so on.
    method: str
    #: Where to.
    url: str
    #: The status that came back; None if none did.
    status: int | None
    #: Whether the policy let it pass.
    allowed: bool


class Execution(TypedDict):
    """How a run went."""

    #: The task's name.
    task_name: str
    #: Wall time, all attempts together.
    duration_ms: int
    #: Attempts after the first.
    retries: int
    #: Fuel that it and everything it called used.
    fuel_consumed: int
    #: The most memory that its sandbox had, in bytes.
    ram_used: int
    #: The requests that it made, and those that were refused.
    host_requests: list[HostRequest]
    #: There, and true, if output was dropped because there was too much.
    output_truncated: NotRequired[bool]


class ErrorInfo(TypedDict):
    """Why a task failed."""

    #: The exception's type, or Capsule's word: ``Timeout``, ``FuelExhausted``, …
    error_type: str
    #: One sentence or more.
    message: str
    #: A stable code of ``docs/errors/``.
    code: str
    #: What to do about it, if something is known.
    hint: NotRequired[str]
    #: The traceback of the task's own code, if it had one.
    traceback: NotRequired[str]


class Result(TypedDict):
    """The envelope of a run."""

    #: Whether the task returned.
    success: bool
    #: What it returned; None if it failed.
    result: Any
    #: Why it failed; None if it returned.
    error: ErrorInfo | None
    #: How it went.
    execution: Execution


class Evaluation(str):
    """What code printed, and after it the value of its last expression: that is the text.

    The parts are there too.
    """

    #: What it printed to standard output.
    stdout: str
    #: What it printed to standard error; not in the text.
    stderr: str
    #: The value of the last expression; how its language writes it where JSON would change it.
    value: Any
    #: How it went.
    execution: Execution

    def __new__(
        cls,
        stdout: str,
        stderr: str,
        value: Any,
        execution: Execution,
        show: Callable[[Any], str] = repr,
    ) -> Self:
        """Makes the text from the parts; ``show`` is how a value is written."""
        parts = [stdout.removesuffix("\n")] if stdout else []
        if value is not None:
            parts.append(value if isinstance(value, str) else show(value))
        self = super().__new__(cls, "\n".join(parts))
        self.stdout = stdout
        self.stderr = stderr
        self.value = value
        self.execution = execution
        return self


def envelope(frame: Frame) -> Result:
    """The envelope in an answer."""
    result: Result = _read(frame)["envelope"]
    return result


def as_json(value: Any) -> str:
    """A value as JavaScript writes it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def evaluation(frame: Frame, stdout: bytes, stderr: bytes, show: Callable[[Any], str] = repr) -> Evaluation:
    """What code in a session came to; its failure is raised."""
    answer = envelope(frame)
    error = answer["error"]
    if error is None:
        texts = (stdout.decode("utf-8", "replace"), stderr.decode("utf-8", "replace"))
        return Evaluation(*texts, answer["result"], answer["execution"], show)
    if error["error_type"] in ("CapsuleError", "Denied"):
        raise _refusal(error)
    kind = SessionLost if error["error_type"] == "SessionLost" else TaskError
    raise kind(
        f"{error['error_type']}: {error['message']}",
        task=answer["execution"]["task_name"],
        error_type=error["error_type"],
        code=error["code"],
        hint=error.get("hint", ""),
        traceback=error.get("traceback", ""),
    )


def done(frame: Frame) -> None:
    """That it was done; a refusal is raised."""
    _read(frame)


def _refusal(error: Any) -> Exception:
    """What Capsule refused, as an exception."""
    message, code, hint = error["message"], error["code"], error.get("hint") or ""
    if code.startswith("E5"):
        denied = DeniedError(f"{message}\nhint: {hint}" if hint else message)
        denied.code = code
        return denied
    return WorkerError(message, code=code, hint=hint, retryable=code in ("E2007", "E3007", "E6001", "E6002"))


def _read(frame: Frame) -> Any:
    try:
        answer = decode(frame.text)
    except (ValueError, RecursionError) as error:
        # JSON that this interpreter cannot hold: a guest may return any.
        raise WorkerError(f"the answer cannot be read: {error}") from None
    if "error" in answer:
        raise _refusal(answer["error"])
    return answer
