//! What a locked-down process looks like from outside.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};

use capsule_jail::lockdown::{Lockdown, try_out};

use crate::sys;

/// Each with its name.
pub(crate) const CHECKS: &[(&str, fn())] = &[
    ("no privilege is left", no_privilege_is_left),
    ("nobody has none either", nobody_has_none_either),
    ("root keeps its reach into a folder of another user", root_keeps_its_reach),
    ("threads are refused", threads_are_refused),
    ("a trial says what stands", a_trial_says_what_stands),
];

/// In the child: locked down as `how` says, tells what is weaker, and stays.
pub(crate) fn stay(how: &str, folder: &str) -> ExitCode {
    let parked = std::sync::Arc::new(std::sync::Barrier::new(2));
    if how == "threads" {
        let parked = parked.clone();
        std::thread::spawn(move || parked.wait());
    }
    let lockdown = Lockdown { write: vec![PathBuf::from(folder)], ..Lockdown::default() };
    match lockdown.apply() {
        Ok(report) => println!("{}", report.weaker.join("; ")),
        Err(failure) => println!("refused: {}", failure.message),
    }
    let wrote = fs::write(PathBuf::from(folder).join("new"), "x");
    println!("{}", wrote.map_or_else(|error| error.to_string(), |()| "wrote".to_owned()));
    let _ = io::stdin().read_line(&mut String::new());
    ExitCode::SUCCESS
}

struct Stayed {
    child: Child,
    weaker: String,
    wrote: String,
}

impl Stayed {
    fn start(how: &str, folder: &std::path::Path, user: Option<u32>) -> Self {
        let program = folder.join("program");
        fs::copy(std::env::current_exe().expect("it runs"), &program).expect("the folder is ours");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("ours");
        let mut command = Command::new(&program);
        command.args(["stay", how]).arg(folder);
        if let Some(user) = user {
            command.uid(user).gid(user);
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program can be started again");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut line = || lines.next().expect("it tells").expect("in text");
        Self { weaker: line(), wrote: line(), child }
    }

    fn status(&self, field: &str) -> String {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("alive");
        let line = text.lines().find(|line| line.starts_with(field)).expect("the kernel has it");
        line[field.len()..].trim_start_matches(':').trim().to_owned()
    }
}

impl Drop for Stayed {
    fn drop(&mut self) {
        if let Some(mut stdin) = self.child.stdin.take() {
            let _ = stdin.write_all(b"\n");
        }
        let _ = self.child.wait();
    }
}

fn folder(user: u32, mode: u32) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).expect("ours");
    if sys::is_root() {
        chown(folder.path(), Some(user), Some(user)).expect("root may");
    }
    folder
}

fn no_privilege_is_left() {
    let folder = folder(0, 0o700);
    let stayed = Stayed::start("alone", folder.path(), None);
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(stayed.status(set), "0000000000000000", "{set}");
    }
    if sys::is_root() {
        assert_eq!(stayed.status("CapBnd"), "0000000000000000");
    }
    assert_eq!(stayed.status("NoNewPrivs"), "1");
    assert_eq!(stayed.status("Seccomp"), "2");
    assert_eq!((stayed.weaker.as_str(), stayed.wrote.as_str()), ("", "wrote"));
}

fn nobody_has_none_either() {
    if !sys::is_root() {
        return;
    }
    let folder = folder(65534, 0o755);
    let stayed = Stayed::start("alone", folder.path(), Some(65534));
    assert_eq!(stayed.status("CapEff"), "0000000000000000");
    assert_eq!((stayed.status("NoNewPrivs"), stayed.status("Seccomp")), ("1".into(), "2".into()));
    assert_eq!((stayed.weaker.as_str(), stayed.wrote.as_str()), ("", "wrote"));
}

fn root_keeps_its_reach() {
    if !sys::is_root() {
        return;
    }
    let folder = folder(65534, 0o755);
    let stayed = Stayed::start("alone", folder.path(), None);
    // CAP_DAC_OVERRIDE is number 1.
    assert_eq!(stayed.status("CapEff"), "0000000000000002");
    assert_eq!(stayed.status("CapBnd"), "0000000000000000");
    assert_eq!(stayed.wrote, "wrote");
    assert!(stayed.weaker.starts_with("capabilities: "), "{}", stayed.weaker);
}

fn threads_are_refused() {
    let folder = folder(0, 0o700);
    let stayed = Stayed::start("threads", folder.path(), None);
    assert!(stayed.weaker.starts_with("refused: "), "{}", stayed.weaker);
    assert_eq!(stayed.status("Seccomp"), "0");
    assert_eq!(stayed.status("NoNewPrivs"), "0");
}

fn a_trial_says_what_stands() {
    let report = try_out().expect("this host can lock down");
    if sys::landlock_version() >= 3 {
        assert_eq!(report.weaker, Vec::<String>::new());
    }
    assert!(report.took.as_nanos() > 0);
    // The one that asked is as free as before.
    assert!(fs::read_dir("/").is_ok());
}
