//! A process of this machine, with threads that read and write for it.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc as blocking};
use std::time::{Duration, Instant};

use capsule_backend::guest::{Channel, Pending};
use capsule_backend::sandbox::{Ended, Process, Program, Reach, TerminalSize};
use capsule_spec::{ErrorCode, Failure};
use tokio::sync::{mpsc, oneshot, watch};

use super::sys;

type Said = (Channel, Vec<u8>);
type Write1 = (Vec<u8>, oneshot::Sender<bool>);

pub(super) struct Plain {
    number: u64,
    /// Also the number of its group.
    pid: i32,
    output: tokio::sync::Mutex<mpsc::Receiver<Said>>,
    input: Mutex<Option<blocking::Sender<Write1>>>,
    terminal: Option<File>,
    ended: watch::Sender<Option<Ended>>,
    was_told: AtomicBool,
}

impl Plain {
    pub(super) fn start(
        number: u64,
        program: &Program,
        folder: &Path,
        environment: &[(String, String)],
    ) -> Result<Arc<Self>, Failure> {
        let mut command = Command::new(&program.command[0]);
        command.args(&program.command[1..]).current_dir(folder).env_clear();
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin").env("HOME", folder);
        command.envs(environment.iter().cloned()).envs(&program.environment);
        let terminal = program.terminal.map(sys::open_terminal);
        match &terminal {
            Some((_, inside)) => sys::in_terminal(&mut command, inside),
            None => {
                command.process_group(0);
                command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            }
        }
        let began = Instant::now();
        sys::end_with_parent(&mut command);
        let mut child = spawn(command).map_err(|error| not_started(&error, program))?;
        let (sender, output) = mpsc::channel(16);
        let (writes, waiting) = blocking::channel();
        let outside = terminal.map(|(outside, _)| outside);
        if let Some(outside) = &outside {
            read(outside.try_clone().unwrap(), Channel::Stdout, sender);
            write(outside.try_clone().unwrap(), waiting);
        } else {
            let file = |fd: OwnedFd| File::from(fd);
            read(file(child.stdout.take().unwrap().into()), Channel::Stdout, sender.clone());
            read(file(child.stderr.take().unwrap().into()), Channel::Stderr, sender);
            write(file(child.stdin.take().unwrap().into()), waiting);
        }
        let this = Arc::new(Self {
            number,
            pid: i32::try_from(child.id()).unwrap(),
            output: tokio::sync::Mutex::new(output),
            input: Mutex::new(Some(writes)),
            terminal: outside,
            ended: watch::Sender::new(None),
            was_told: AtomicBool::new(false),
        });
        let reaped = Arc::clone(&this);
        std::thread::spawn(move || {
            let status = child.wait().unwrap();
            let exit_code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap());
            reaped.ended.send_replace(Some(Ended {
                exit_code,
                signal: status.signal(),
                duration: began.elapsed(),
                processor: Duration::ZERO,
                out_of_memory: false,
            }));
        });
        Ok(this)
    }

    pub(super) fn kill(&self, signal: i32) {
        if !self.has_ended() {
            self.signal_all(signal);
        }
    }

    /// The group; in a terminal, where a shell gives each job a group of its own, the session.
    fn signal_all(&self, signal: i32) {
        if self.terminal.is_some() {
            members(self.pid).into_iter().for_each(|pid| sys::kill(pid, signal));
        }
        sys::kill(-self.pid, signal);
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.borrow().is_some()
    }

    pub(super) fn was_told(&self) -> bool {
        self.was_told.load(Ordering::SeqCst)
    }

    fn over(&self) -> Failure {
        Failure::new(ErrorCode::ProcessEnded, format!("process {} has ended", self.number))
    }
}

type Started = std::io::Result<Child>;

/// Starts a command from a thread that lives as long as this process, whose end is the
/// command's, too: a test that fails ends nothing that it has started. Every other thread may
/// end before, as those of a server that is killed.
fn spawn(command: Command) -> Started {
    static STARTER: OnceLock<blocking::Sender<(Command, blocking::Sender<Started>)>> =
        OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        let (sender, waiting) = blocking::channel::<(Command, blocking::Sender<Started>)>();
        std::thread::spawn(move || {
            for (mut command, done) in waiting {
                let started = command.spawn();
                // The command holds the inner side of the terminal.
                drop(command);
                let _ = done.send(started);
            }
        });
        sender
    });
    let (done, started) = blocking::channel();
    starter.send((command, done)).unwrap();
    started.recv().unwrap()
}

/// The processes of a session.
fn members(session: i32) -> Vec<i32> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let numbers = processes.filter_map(|one| one.file_name().to_str()?.parse().ok());
    numbers
        .filter(|pid: &i32| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            // After the name, which ends with the last bracket: state, parent, group, session.
            let fields = stat.rsplit(')').next().unwrap_or_default();
            fields.split_whitespace().nth(3) == Some(&session.to_string())
        })
        .collect()
}

fn not_started(error: &std::io::Error, program: &Program) -> Failure {
    let name = &program.command[0];
    match error.kind() {
        std::io::ErrorKind::NotFound => {
            Failure::new(ErrorCode::CommandNotFound, format!("there is no command {name}"))
        }
        _ => Failure::new(ErrorCode::CommandNotExecutable, format!("{name} cannot be executed")),
    }
}

fn read(mut file: File, channel: Channel, sender: mpsc::Sender<Said>) {
    std::thread::spawn(move || {
        let mut bytes = vec![0; 64 << 10];
        // A terminal that everybody has closed fails with EIO.
        while let Ok(count @ 1..) = file.read(&mut bytes) {
            if sender.blocking_send((channel, bytes[..count].to_vec())).is_err() {
                return;
            }
        }
    });
}

fn write(mut file: File, waiting: blocking::Receiver<Write1>) {
    std::thread::spawn(move || {
        for (bytes, done) in waiting {
            let _ = done.send(file.write_all(&bytes).is_ok());
        }
    });
}

impl Process for Plain {
    fn number(&self) -> u64 {
        self.number
    }

    fn output(&self) -> Pending<'_, Option<Said>> {
        Box::pin(async {
            let mut output = self.output.lock().await;
            tokio::select! {
                biased;
                said = output.recv() => said,
                () = async {
                    self.ended().await;
                    // What a process wrote last is in the pipe; who else holds it does not count.
                    tokio::time::sleep(Duration::from_millis(30)).await;
                } => output.try_recv().ok(),
            }
        })
    }

    fn input<'a>(&'a self, bytes: &'a [u8]) -> Pending<'a, Result<(), Failure>> {
        Box::pin(async move {
            let (done, written) = oneshot::channel();
            let sent = match self.input.lock().unwrap().as_ref() {
                Some(writes) if !self.has_ended() => writes.send((bytes.to_vec(), done)).is_ok(),
                _ => false,
            };
            if !sent {
                return Err(self.over());
            }
            tokio::select! {
                _ = written => Ok(()),
                _ = self.ended() => Ok(()),
            }
        })
    }

    fn close_input(&self) {
        match &self.terminal {
            Some(terminal) => drop((&*terminal).write_all(b"\x04")),
            None => drop(self.input.lock().unwrap().take()),
        }
    }

    fn signal(&self, signal: i32, reach: Reach) -> Pending<'_, Result<(), Failure>> {
        Box::pin(async move {
            if self.has_ended() {
                return Err(self.over());
            }
            match reach {
                Reach::Process => sys::kill(self.pid, signal),
                Reach::Tree => self.signal_all(signal),
            }
            if signal == libc::SIGKILL && reach == Reach::Tree {
                self.ended().await;
            }
            Ok(())
        })
    }

    fn resize(&self, size: TerminalSize) -> Pending<'_, Result<(), Failure>> {
        Box::pin(async move {
            match &self.terminal {
                Some(terminal) => {
                    sys::resize(terminal, size);
                    Ok(())
                }
                None => Err(Failure::new(ErrorCode::InvalidValue, "it has no terminal")),
            }
        })
    }

    fn ended(&self) -> Pending<'_, Ended> {
        let mut ended = self.ended.subscribe();
        Box::pin(async move {
            loop {
                if let Some(ended) = *ended.borrow_and_update() {
                    self.was_told.store(true, Ordering::SeqCst);
                    return ended;
                }
                ended.changed().await.unwrap();
            }
        })
    }
}
