"""What sandboxes do, without ``asyncio``."""

from __future__ import annotations

import signal
import threading
from datetime import UTC, datetime

import pytest

from capsule_sdk import (
    Capsule,
    CapsuleClient,
    CommandFailed,
    ExecTimeout,
    InvalidParams,
    MethodNotFound,
    NotFound,
    Sandbox,
    WrongState,
)


def test_code_runs_in_the_language_of_the_template_or_another(sandbox: Sandbox) -> None:
    assert sandbox.run("print(6 * 7)").stdout == "42\n"
    assert sandbox.run("echo $((6 * 7))", language="shell").stdout == "42\n"
    assert sandbox.run("console.log(6 * 7)", language="javascript").stdout == "42\n"


def test_a_command_is_a_list_of_words(sandbox: Sandbox) -> None:
    told = sandbox.exec(["printf", "%s|", "a b", "$HOME", "'"], env={"X": "y"}, cwd="/tmp")
    assert (told.stdout, told.exit_code) == ("a b|$HOME|'|", 0)
    with pytest.raises(TypeError, match="list"):
        sandbox.exec("ls -l")


def test_input_and_output_are_bytes_if_asked_for(sandbox: Sandbox) -> None:
    everything = bytes(range(256))
    told = sandbox.exec(["cat"], stdin=everything, base64=True)
    assert told.stdout_bytes == everything
    assert sandbox.exec(["cat"], stdin="é").stdout == "é"


def test_a_command_that_fails_is_a_result(sandbox: Sandbox) -> None:
    told = sandbox.exec(["sh", "-c", "echo no >&2; exit 3"])
    assert told.exit_code == 3
    with pytest.raises(CommandFailed, match="exit code 3: no") as failure:
        told.check()
    assert failure.value.result is told
    assert sandbox.exec(["true"]).check().exit_code == 0


def test_a_timeout_is_a_result_with_what_was_written(sandbox: Sandbox) -> None:
    told = sandbox.exec(["sh", "-c", "echo early; sleep 100"], timeout_ms=500)
    assert (told.stdout, told.timed_out, told.exit_code) == ("early\n", True, 124)
    with pytest.raises(CommandFailed, match="did not end in time"):
        told.check()


def test_output_over_the_cap_is_cut_and_said_to_be(sandbox: Sandbox) -> None:
    told = sandbox.exec(["head", "-c", "1000", "/dev/zero"], max_stdout_bytes=10)
    assert (len(told.stdout), told.stdout_truncated) == (10, True)


def test_several_commands_stop_at_the_first_that_fails(sandbox: Sandbox) -> None:
    told = sandbox.batch([["echo", "1"], {"cmd": ["cat"], "stdin": "2"}, ["false"], ["echo", "4"]])
    assert [one.stdout for one in told.results] == ["1\n", "2", ""]
    assert not told.complete
    assert sandbox.batch([["false"], ["true"]], stop_on_failure=False).complete


def test_variables_and_contexts_are_carried_over(sandbox: Sandbox) -> None:
    sandbox.set_env({"ONE": "1", "TWO": "2"}, unset=None)
    sandbox.set_env(unset=["TWO"])
    assert sandbox.run("echo $ONE-$TWO", language="shell").stdout == "1-\n"
    sandbox.open_context("work", cwd="/tmp", env={"THREE": "3"})
    sandbox.run("cd /usr; export FOUR=4", language="shell", context="work")
    assert sandbox.run("echo $PWD $THREE $FOUR", language="shell", context="work").stdout == "/usr 3 4\n"


def test_output_comes_as_it_is_written(sandbox: Sandbox) -> None:
    with sandbox.exec_stream(
        ["sh", "-c", "printf '\\303'; read x; printf '\\251'; exit 3"], input=True
    ) as output:
        assert next(output).kind == "started"
        first = next(output)
        # Half a character is no text yet.
        assert (first.kind, first.data, first.text) == ("stdout", b"\xc3", "")
        assert output.process is not None
        process = sandbox.process(output.process)
        process.input("\n")
        second, last = output
        assert (second.data, second.text) == (b"\xa9", "é")
        assert (last.kind, last.exit and last.exit.exit_code) == ("exit", 3)
    assert list(output) == []


def test_a_command_ends_with_its_stream(sandbox: Sandbox) -> None:
    with sandbox.exec_stream(["sh", "-c", "echo go; sleep 1000"], timeout_ms=100_000) as output:
        number = next(output).process
        assert next(output).text == "go\n"
    assert number is not None
    # It is ended, and remembered as ended.
    ended = sandbox.process(number).wait()
    assert ended is not None
    assert ended.signal == signal.SIGKILL


def test_a_process_outlives_the_request(sandbox: Sandbox) -> None:
    process = sandbox.start(["sh", "-c", "cat; echo end"])
    assert process.wait(timeout_ms=1) is None
    process.input(b"one\n")
    process.close_input()
    ended = process.wait()
    assert ended is not None
    assert ended.exit_code == 0
    events = list(process.output())
    assert b"".join(event.data for event in events) == b"one\nend\n"
    assert [one.cmd for one in sandbox.processes() if one.process == process.number] == [
        ["sh", "-c", "cat; echo end"]
    ]
    # Whoever comes back says what it has seen.
    assert [event.kind for event in process.output(offset=8)] == ["exit"]


def test_a_process_is_killed_with_all_that_it_started(sandbox: Sandbox) -> None:
    process = sandbox.start(["sh", "-c", "sleep 1000 & sleep 1000"])
    process.kill(signal.SIGTERM)
    ended = process.wait()
    assert ended is not None
    assert ended.signal == signal.SIGTERM


def test_what_reads_no_input_is_an_error_in_time(sandbox: Sandbox) -> None:
    process = sandbox.start(["sleep", "1000"])
    with pytest.raises(ExecTimeout):
        process.input(b"x" * 5_000_000, timeout_ms=200)


def test_a_terminal_is_one(sandbox: Sandbox) -> None:
    with sandbox.connect_terminal(columns=99, rows=33) as terminal:
        terminal.send("stty size; exit 7\n")
        seen = b"".join(terminal)
    assert b"33 99" in seen
    assert (terminal.exit_code, terminal.close_code) == (7, 1000)


def test_a_terminal_is_read_while_it_is_written(sandbox: Sandbox) -> None:
    with sandbox.connect_terminal() as terminal:
        typed = threading.Thread(target=lambda: [terminal.send("a line\n") for _ in range(100)])
        terminal.send("stty -echo; cat\n")
        typed.start()
        seen = b""
        while seen.count(b"a line") < 100:
            seen += terminal.receive(deadline_ms=20_000)
        typed.join()


def test_a_terminal_takes_a_size_and_signals(sandbox: Sandbox) -> None:
    process = sandbox.start(
        [
            "bash",
            "-c",
            "trap 'stty size; exit 4' WINCH; trap 'exit 5' TERM; echo ready; while :; do sleep 0.1; done",
        ],
        terminal={"columns": 80, "rows": 24},
    )
    with process.connect_terminal() as terminal:
        seen = b""
        while b"ready" not in seen:
            seen += terminal.receive(deadline_ms=20_000)
        terminal.resize(50, 20)
        seen = b""
        while b"20 50" not in seen:
            seen += terminal.receive(deadline_ms=20_000)
    again = sandbox.start(["sleep", "1000"], terminal={"columns": 80, "rows": 24})
    with again.connect_terminal() as terminal:
        terminal.signal(signal.SIGTERM)
        # What its screen shows may come first.
        while terminal.receive(deadline_ms=20_000):
            pass
        assert terminal.exit_code == 128 + signal.SIGTERM


def test_the_terminal_of_a_process_stays(sandbox: Sandbox) -> None:
    process = sandbox.start(["cat"], terminal={"columns": 80, "rows": 24})
    with process.connect_terminal() as terminal:
        terminal.send("hello\n")
        seen = b""
        while seen.count(b"hello") < 2:
            seen += terminal.receive(deadline_ms=20_000)
    assert process.wait(timeout_ms=1) is None
    process.resize(40, 10)
    with process.connect_terminal() as terminal:
        assert b"hello" in terminal.receive(deadline_ms=20_000)


def test_the_address_of_a_terminal_is_that_of_the_server(client: CapsuleClient) -> None:
    assert CapsuleClient("https://box.example/base/").sandbox("a/../b").get_terminal_url() == (
        "wss://box.example/base/terminal/a%2F..%2Fb"
    )
    assert (
        CapsuleClient("http://localhost:8080").sandbox("x").get_terminal_url()
        == "ws://localhost:8080/terminal/x"
    )


def test_a_sandbox_is_found_by_its_labels(client: CapsuleClient) -> None:
    labels = {"test": "found", "camelCase": "and_snake"}
    with client.create("shell", labels=labels, metadata={"a": "b"}, idle_ms=60_000) as sandbox:
        page = client.list(labels={"test": "found"})
        assert [one.id for one in page.sandboxes] == [sandbox.id]
        assert not page.more
        info = client.get(sandbox.id)
        assert (info.labels, info.metadata, info.idle_ms, info.state) == (labels, {"a": "b"}, 60_000, "ready")
        assert sandbox.created is not None
        assert info.created_at == sandbox.created.created_at
        assert info.expires_at > datetime.now(UTC)
        assert info.expires_at < sandbox.extend(3_600_000).expires_at


def test_pages_follow_each_other(client: CapsuleClient) -> None:
    made = [client.create("shell", labels={"test": "pages"}) for _ in range(3)]
    first = client.list(labels={"test": "pages"}, limit=2)
    assert (len(first.sandboxes), first.more) == (2, True)
    second = client.list(labels={"test": "pages"}, limit=2, after=first.sandboxes[-1].id)
    assert len(second.sandboxes) == 1
    assert {one.id for one in client.sandboxes(labels={"test": "pages"})} == {one.id for one in made}
    for one in made:
        one.delete()
    client.delete(made[0].id, missing_ok=True)
    with pytest.raises(NotFound):
        client.delete(made[0].id)


def test_a_key_makes_one_sandbox(client: CapsuleClient) -> None:
    with client.create(key="the one") as first:
        assert client.create(key="the one").id == first.id


def test_a_sandbox_is_paused_and_watched(sandbox: Sandbox) -> None:
    with sandbox.watch() as states:
        assert next(states) == "ready"
        assert sandbox.pause().state == "paused"
        assert next(states) == "paused"
        with pytest.raises(WrongState) as refused:
            sandbox.run("1")
        assert refused.value.retryable
        assert sandbox.resume().state == "ready"
        sandbox.delete()
        assert list(states)[-1] == "gone"


def test_what_it_uses_and_did_is_told(client: CapsuleClient, sandbox: Sandbox) -> None:
    sandbox.exec(["echo", "to be found"])
    sandbox.exec(["sh", "-c", "exit 9"])
    assert (sandbox.stats().processes or 0) >= 1
    (entry,) = sandbox.logs(contains="to be found")
    assert (entry.cmd, entry.stdout, entry.id) == (["echo", "to be found"], "to be found\n", sandbox.id)
    assert (entry.kind, entry.cwd, entry.exit_code, entry.lost) == ("exec", "/workspace", 0, False)
    with sandbox.exec_stream(["sh", "-c", "exit 9"]) as stream:
        list(stream)
    failed = client.logs(id=sandbox.id, failed=True)
    assert [(one.exit_code, one.kind) for one in failed] == [(9, "stream"), (9, "exec")]
    assert [one.exit_code for one in sandbox.logs(kind="stream")] == [9]
    assert {"python", "node", "go", "shell"} <= {one.name for one in client.templates()}


def test_the_server_is_asked_about_itself(client: CapsuleClient) -> None:
    assert client.health()["status"] == "ok"
    assert client.discover()["openrpc"]
    assert "capsule_" in client.metrics()


def test_any_method_can_be_called(client: CapsuleClient, sandbox: Sandbox) -> None:
    assert client.call("sandbox.v1.get", {"id": sandbox.id})["state"] == "ready"
    with pytest.raises(MethodNotFound):
        client.call("sandbox.v1.nothing")
    with pytest.raises(InvalidParams):
        client.call("sandbox.v1.get", {"id": sandbox.id, "more": 1})


def test_leaving_a_sandbox_that_is_gone_is_no_error(client: CapsuleClient) -> None:
    with client.create("shell") as sandbox:
        sandbox.delete()
    # What went wrong inside is what is raised.
    with pytest.raises(ZeroDivisionError), client.create("shell") as sandbox:
        sandbox.delete()
        _ = 1 / 0
    assert Capsule is Sandbox
