//! Signals to the supervisor reach the command, and always end the run in the end.

use std::time::Duration;

use capsule_tests::{Caller, Run, Signal};

const CALLERS: [Caller; 2] = [Caller::Current, Caller::Unprivileged];
const SOON: Duration = Duration::from_secs(20);

#[test]
fn a_trap_of_the_command_hears_the_signal() {
    for caller in CALLERS {
        for (signal, name) in
            [(Signal::Terminate, "TERM"), (Signal::Interrupt, "INT"), (Signal::Hangup, "HUP")]
        {
            let script = format!(
                "trap 'echo heard; exit 7' {name}; echo ready; while :; do sleep 0.05; done"
            );
            let run = Run::shell(&[], &script).caller(caller).start();
            run.wait_for("ready");
            run.signal(signal);
            let run = run.finish();
            assert_eq!(run.text(), "ready\nheard\n", "{name}");
            // It had its chance, said its word, and its exit code is passed on.
            assert_eq!(run.code, Some(7), "{name}\n{run}");
            assert_eq!(run.error_code().as_deref(), Some("E3007"), "{name}\n{run}");
        }
    }
}

#[test]
fn a_command_that_carries_on_after_a_user_signal_is_a_success() {
    let script = "trap 'echo heard' USR1; echo ready; sleep 0.5 & wait; wait; echo done";
    let run = Run::shell(&[], script).start();
    run.wait_for("ready");
    run.signal(Signal::User1);
    let run = run.finish().ended_with(0);
    assert_eq!(run.text(), "ready\nheard\ndone\n");
}

#[test]
fn a_command_without_a_trap_ends_by_the_signal() {
    for (signal, code) in
        [(Signal::Terminate, 143), (Signal::Interrupt, 130), (Signal::Hangup, 129)]
    {
        let run = Run::shell(&[], "echo ready; exec sleep 60").start();
        run.wait_for("ready");
        run.signal(signal);
        let run = run.finish().ended_with(code);
        assert!(run.took < SOON, "{run}");
    }
}

#[test]
fn a_command_that_ignores_the_signal_is_ended_after_a_grace() {
    for caller in CALLERS {
        let script = "trap '' TERM; echo ready; while :; do sleep 0.05; done";
        let run = Run::shell(&["-t", "100s"], script).caller(caller).start();
        run.wait_for("ready");
        run.signal(Signal::Terminate);
        let run = run.finish().ended_with(137);
        assert_eq!(run.error_code().as_deref(), Some("E3007"), "{run}");
        assert!(run.took < SOON, "{run}");
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let script = "trap 'echo first' TERM; echo ready; while :; do sleep 0.05; done";
    let run = Run::shell(&["-t", "100s"], script).start();
    run.wait_for("ready");
    run.signal(Signal::Terminate);
    run.wait_for("first");
    run.signal(Signal::Terminate);
    let run = run.finish().ended_with(137);
    assert!(run.took < SOON, "{run}");
}

#[test]
fn a_signal_before_the_command_runs_is_not_lost() {
    for delay in [0, 1, 2, 4, 8] {
        let run = Run::new(&["-t", "100s", "--", "sleep", "60"]).start();
        std::thread::sleep(Duration::from_millis(delay));
        run.signal(Signal::Terminate);
        let run = run.finish();
        assert_ne!(run.code, Some(0), "{run}");
        assert!(run.took < SOON, "after {delay} ms: {run}");
    }
}

#[test]
fn a_stopped_supervisor_goes_on_where_it_was() {
    let mut run = Run::shell(&[], "echo ready; sleep 0.3; echo done").start();
    run.wait_for("ready");
    run.signal(Signal::Stop);
    std::thread::sleep(Duration::from_millis(600));
    assert!(run.is_running());
    run.signal(Signal::Continue);
    assert_eq!(run.finish().ended_with(0).text(), "ready\ndone\n");
}

#[test]
fn ignored_signals_of_the_caller_do_not_reach_the_command() {
    // nohup and CI runners start programs with SIGHUP, SIGINT or SIGPIPE ignored.
    let wrapper = ["sh", "-c", "trap '' HUP INT PIPE TERM; exec \"$@\"", "sh"];
    let run =
        Run::new(&["--", "grep", "-E", "^Sig(Ign|Blk)", "/proc/self/status"]).through(&wrapper);
    let run = run.finish().ended_with(0);
    for line in run.text().lines() {
        let mask = u64::from_str_radix(line.split('\t').nth(1).unwrap(), 16).unwrap();
        // Signals 32 and 33 are the libc's own: its posix_spawn ignores them in every
        // child, and its sigaction lets nobody change them.
        assert_eq!(mask & !(0b11 << 31), 0, "{line}");
    }
    let run = Run::shell(&[], "yes | head -1; exit 0").through(&wrapper).finish().ended_with(0);
    assert_eq!((run.text(), run.errors()), ("y\n", ""));
}

#[test]
fn the_terminal_of_the_caller_is_out_of_reach() {
    // script(1) gives the supervisor a terminal; the guest must get no hold of it.
    if capsule_tests::found_on_path("script").is_none() {
        return capsule_tests::skip("no script(1) to make a terminal");
    }
    let attempt = "import fcntl, os, termios\n\
        for fd in (0, 1, 2):\n\
        \x20   print(fd, os.isatty(fd))\n\
        \x20   try: fcntl.ioctl(fd, termios.TIOCSTI, b'x'); print('PUSHED')\n\
        \x20   except OSError: pass\n";
    let wrapper = ["sh", "-c", "exec script -qec \"$*\" /dev/null", "sh"];
    let quoted = format!("'{}'", attempt.replace('\'', "'\\''"));
    let run = Run::new(&["--stdin", "--", "python3", "-c", &quoted]).through(&wrapper).finish();
    assert!(run.text().contains("0 False") && run.text().contains("1 False"), "{run}");
    assert!(!run.text().contains("PUSHED") && !run.text().contains("True"), "{run}");
}
