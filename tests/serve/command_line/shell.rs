//! A shell inside, on a real terminal.

use std::process::Command;

use capsule_tests::{Binary, Signal, Terminal, path_of, send_signal};
use serde_json::json;

use super::{capsule, created};
use crate::server::Serve;
use crate::suite::exec::until;

fn on_terminal(serve: &Serve, arguments: &[&str]) -> Terminal {
    let mut command = Command::new(path_of(Binary::Capsule));
    command.args(arguments).env("CAPSULE_SERVER", format!("http://{}", serve.site.address));
    command.env("TERM", "xterm-256color");
    Terminal::start(command, 93, 31)
}

fn shell(serve: &Serve, id: &str) -> Terminal {
    let mut terminal = on_terminal(serve, &["shell", id]);
    // What is typed is shown as it is typed; only its answer has no quotes.
    terminal.type_in("echo rea''dy\r");
    terminal.wait_for("ready\r\n");
    assert!(!terminal.is_as_it_was(), "every key goes inside");
    terminal
}

fn sandboxes(serve: &Serve) -> usize {
    let listed = serve.call("sandbox.v1.list", json!({})).unwrap();
    listed["sandboxes"].as_array().unwrap().len()
}

fn processes(serve: &Serve, id: &str) -> u64 {
    serve.call("sandbox.v1.get", json!({ "id": id })).unwrap()["processes"].as_u64().unwrap()
}

#[test]
fn it_is_a_terminal_with_a_size_and_a_language() {
    let serve = Serve::start(&[]);
    let id = created(&serve);
    let mut terminal = shell(&serve, &id);
    terminal.type_in("stty size; tty\r");
    terminal.wait_for("31 93\r\n/dev/pts/");
    terminal.resize(101, 41);
    until(|| {
        serve
            .shell(&id, "for t in /dev/pts/[0-9]*; do stty -F $t size 2>/dev/null; done || true")
            .contains("41 101")
            || terminal.screen().contains("41 101")
    });
    terminal.type_in("echo 'grüße 文件' | rev | rev\r");
    terminal.wait_for("\rgrüße 文件\r\n");
    terminal.type_in("exit 5\r");
    assert_eq!(terminal.ended().code(), Some(5));
    assert!(terminal.is_as_it_was());
    until(|| processes(&serve, &id) == 0);
}

/// Ctrl-C, Ctrl-Z and Ctrl-D are for those inside.
#[test]
fn keys_go_inside() {
    let serve = Serve::start(&[]);
    let id = created(&serve);
    let mut terminal = shell(&serve, &id);
    terminal.type_in("sleep 5001; echo after''wards $?\r");
    until(|| terminal.screen().contains("$?"));
    std::thread::sleep(std::time::Duration::from_millis(300));
    terminal.type_in("\x03");
    terminal.type_in("echo sta''tus $?\r");
    terminal.wait_for("status 130\r\n");
    if std::path::Path::new("/bin/bash").exists() {
        terminal.type_in("sleep 5002\r");
        std::thread::sleep(std::time::Duration::from_millis(500));
        terminal.type_in("\x1a");
        terminal.wait_for("Stopped");
        terminal.type_in("kill %1; jobs; echo job''s\r");
        terminal.wait_for("jobs\r\n");
    }
    terminal.type_in("true\r\x04");
    assert_eq!(terminal.ended().code(), Some(0));
    assert!(terminal.is_as_it_was());
}

/// However it ends, the terminal is as it was, and nothing is left inside.
#[test]
fn the_terminal_is_restored_at_every_end() {
    let serve = Serve::start(&[]);
    let id = created(&serve);
    for (signal, code) in
        [(Signal::Terminate, 143), (Signal::Hangup, 129), (Signal::Interrupt, 130)]
    {
        let mut terminal = shell(&serve, &id);
        send_signal(terminal.pid(), signal);
        assert_eq!(terminal.ended().code(), Some(code), "{signal:?}");
        assert!(terminal.is_as_it_was(), "{signal:?}");
        until(|| processes(&serve, &id) == 0);
    }
    // The sandbox ends under it.
    let mut terminal = shell(&serve, &id);
    serve.delete(&id);
    assert_eq!(terminal.ended().code(), Some(125));
    assert!(terminal.is_as_it_was());
    terminal.wait_for("error[E3014]: ");
    // The server dies.
    let id = created(&serve);
    let mut terminal = shell(&serve, &id);
    let (data, folder) = serve.kill();
    assert_eq!(terminal.ended().code(), Some(125));
    assert!(terminal.is_as_it_was());
    terminal.wait_for("error[E2011]: the connection to the server was closed");
    drop((Serve::again(&data, &[]), folder));
}

#[test]
fn a_terminal_that_is_killed_leaves_nothing_inside() {
    let serve = Serve::start(&[]);
    let id = created(&serve);
    let mut terminal = shell(&serve, &id);
    terminal.type_in("sleep 5003 & sleep 5004\r");
    until(|| serve.shell(&id, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '").contains("sleep 5004"));
    send_signal(terminal.pid(), Signal::Kill);
    terminal.ended();
    until(|| processes(&serve, &id) == 0);
    until(|| !serve.shell(&id, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '").contains("sleep 500"));
}

#[test]
fn without_an_id_a_sandbox_is_made_and_removed() {
    let serve = Serve::start(&[]);
    let mut terminal = on_terminal(&serve, &["shell"]);
    terminal.wait_for(", removed when you leave\r\n");
    terminal.type_in("echo rea''dy\r");
    terminal.wait_for("ready\r\n");
    assert_eq!(sandboxes(&serve), 1);
    terminal.type_in("exit 4\r");
    assert_eq!(terminal.ended().code(), Some(4));
    assert_eq!(sandboxes(&serve), 0);
    let mut terminal = on_terminal(&serve, &["shell"]);
    terminal.type_in("echo rea''dy\r");
    terminal.wait_for("ready\r\n");
    send_signal(terminal.pid(), Signal::Terminate);
    assert_eq!(terminal.ended().code(), Some(143));
    assert_eq!(sandboxes(&serve), 0);
}

#[test]
fn a_command_gets_the_terminal() {
    let serve = Serve::start(&[]);
    let id = created(&serve);
    let script = "stty size; read line; echo \"got $line\"; exit 6";
    let mut terminal = on_terminal(&serve, &["sandbox", "shell", &id, "--", "sh", "-c", script]);
    terminal.wait_for("31 93\r\n");
    terminal.type_in("word\r");
    terminal.wait_for("got word\r\n");
    assert_eq!(terminal.ended().code(), Some(6));
    assert!(terminal.is_as_it_was());
}

#[test]
fn what_is_piped_in_is_a_script() {
    let serve = Serve::start(&[]);
    let id = created(&serve);
    let script = "echo out; echo err >&2; cd /tmp; pwd; exit 3\n";
    let ended = capsule(&serve, &["shell", &id]).input(script).finish().ended_with(3);
    assert_eq!((ended.text(), ended.errors()), ("out\n/tmp\n", "err\n"));
    let ended = capsule(&serve, &["shell"]).input("echo new\n").finish().ended_with(0);
    assert_eq!(ended.text(), "new\n");
    assert_eq!(sandboxes(&serve), 1);
}

#[test]
fn a_shell_that_cannot_be_opened_leaves_the_terminal_alone() {
    let serve = Serve::start(&[]);
    let mut terminal = on_terminal(&serve, &["shell", "nobody"]);
    assert_eq!(terminal.ended().code(), Some(125));
    terminal.wait_for("error[E1015]: ");
    assert!(terminal.is_as_it_was());
}
