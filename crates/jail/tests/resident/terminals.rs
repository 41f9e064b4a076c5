//! Processes on a terminal.

use std::time::Duration;

use capsule_backend::sandbox::{Reach, TerminalSize};
use capsule_spec::ErrorCode;

use crate::place::{self, Place, finish, hear, on_terminal, start, within};

#[tokio::test(flavor = "multi_thread")]
async fn a_login_shell_has_a_terminal_and_job_control() {
    let place = Place::new();
    let sandbox = place.make("login").await;
    let shell = start(&sandbox, &on_terminal(&["bash", "-l"])).await;
    shell.input(b"tty; stty size; echo $((6*7))\n").await.unwrap();
    let heard = hear(&shell, "42\r\n").await;
    assert!(heard.contains("/dev/pts/") && heard.contains("24 80"), "{heard}");
    assert!(!heard.contains("no job control") && !heard.contains("cannot set terminal"), "{heard}");
    shell.resize(TerminalSize { columns: 132, rows: 50 }).await.unwrap();
    shell.input(b"stty size; echo 'gr\xc3\xbc\xc3\x9fe'\n").await.unwrap();
    let heard = hear(&shell, "\r\ngrüße\r\n").await;
    assert!(heard.contains("50 132"), "{heard}");
    if crate::backend::is_gvisor() {
        // Its terminals make no signals of keys.
        shell.input(b"exit 7\n").await.unwrap();
        assert_eq!(finish(&shell).await.code(), 7);
        return place.end("login", &sandbox).await;
    }
    // ^C ends what runs and not the shell; ^Z stops it, and it is a job.
    shell.input(b"echo ready; sleep 100\n").await.unwrap();
    hear(&shell, "\r\nready\r\n").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    shell.input(b"\x03").await.unwrap();
    shell.input(b"echo code $?\n").await.unwrap();
    hear(&shell, "code 130\r\n").await;
    shell.input(b"echo again; sleep 200\n").await.unwrap();
    hear(&shell, "\r\nagain\r\n").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    shell.input(b"\x1a").await.unwrap();
    hear(&shell, "Stopped").await;
    shell.input(b"jobs; kill -9 %1; sleep 0.2; exit 7\n").await.unwrap();
    let said = finish(&shell).await;
    assert!(said.out.contains("Stopped"), "{said:?}");
    assert_eq!(said.code(), 7);
    place.end("login", &sandbox).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_size_change_is_heard_and_pipes_have_no_size() {
    let place = Place::new();
    let sandbox = place.make("sizes").await;
    let script = "trap 'stty size' WINCH; echo up; while :; do sleep 0.05; done";
    let process = start(&sandbox, &on_terminal(&["bash", "-c", script])).await;
    hear(&process, "up").await;
    process.resize(TerminalSize { columns: 100, rows: 30 }).await.unwrap();
    // gVisor's terminals have the size and tell nobody.
    if crate::backend::is_gvisor() {
        process.signal(libc::SIGWINCH, Reach::Process).await.unwrap();
    }
    hear(&process, "30 100").await;
    process.signal(libc::SIGKILL, Reach::Tree).await.unwrap();
    finish(&process).await;
    let piped = start(&sandbox, &place::program(&["cat"])).await;
    let failure = piped.resize(TerminalSize { columns: 1, rows: 1 }).await.unwrap_err();
    assert_eq!(failure.code, ErrorCode::InvalidValue);
    place.end("sizes", &sandbox).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_words_of_a_terminal_are_heard() {
    let place = Place::new();
    let sandbox = place.make("words").await;
    for number in 0..50 {
        let text = format!("{number} {}", "w".repeat(3000));
        let process = start(&sandbox, &on_terminal(&["echo", &text])).await;
        assert_eq!(finish(&process).await.out, format!("{text}\r\n"));
    }
    // Somebody who stays on the terminal does not hold up the end.
    let script = "setsid sleep 100 & echo bye";
    let process = start(&sandbox, &on_terminal(&["bash", "-c", script])).await;
    let said = within(3, finish(&process)).await;
    assert!(said.out.contains("bye"), "{said:?}");
    place.end("words", &sandbox).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_that_hangs_up_takes_its_shell_along() {
    let place = Place::new();
    let sandbox = place.make("hangup").await;
    let shell = start(&sandbox, &on_terminal(&["bash", "-l"])).await;
    shell.input(b"sleep 100 & sleep 101 & echo 1''2\n").await.unwrap();
    hear(&shell, "12").await;
    let before = place::count(&sandbox, place.init("hangup")).await;
    assert!(before >= 5, "{before}");
    // Bash misses one that comes between a command and its prompt.
    tokio::time::sleep(Duration::from_millis(300)).await;
    shell.signal(libc::SIGHUP, Reach::Process).await.unwrap();
    let said = finish(&shell).await;
    assert_eq!(said.ended.signal, Some(libc::SIGHUP));
    place::settles(&sandbox, place.init("hangup"), 1).await;
    place.end("hangup", &sandbox).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_guest_takes_every_terminal_of_the_host() {
    let place = Place::new();
    let sandbox = place.make("greedy").await;
    let code = "import os\nheld=[]\ntry:\n  while True: held.append(os.open('/dev/ptmx', os.O_RDWR))\n\
                except OSError as error: print(error.errno, len(held))";
    let said = place::run(&sandbox, &place::program(&["python3", "-c", code])).await;
    // A jail's terminals are counted; a container's are limited by its open files.
    let expected = match crate::backend::is_jail() {
        true => format!("{} 256\n", libc::ENOSPC),
        false => format!("{} 1021\n", libc::EMFILE),
    };
    assert_eq!(said.out, expected, "{said:?}");
    place.end("greedy", &sandbox).await;
}
