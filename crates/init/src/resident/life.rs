//! The loop of a resident PID 1. One thread; it never waits for anybody but here.

use std::sync::atomic::AtomicI32;
use std::sync::atomic::Ordering::SeqCst;

use super::keeper::{self, WAITED};
use super::sys::{self, Reaped};
use super::table::{Area, Job, Slot, State, Table, tree};
use super::wire::{Head, Kind};
use super::{Entrance, SHARED, Settings, Shared, shed};
use crate::Report;

/// How long a keeper may try to get hold of a tree before every process is killed at once.
pub(super) const PATIENCE: u64 = 300_000_000;
/// The same for a tree that does not grow, but takes its time to end on a busy host.
pub(super) const LAST_PATIENCE: u64 = 6_000_000_000;
/// A tree in which so often somebody new was found grows faster than it is killed.
const ROUNDS: u64 = 12;
/// When to look again.
const PAUSE: u64 = 50_000_000;
/// Streams of forgotten processes that others still write to: what comes is thrown away,
/// as a closed pipe would end them.
const DRAINS: usize = 32;

pub(super) struct Life {
    pub(super) table: &'static Table,
    pub(super) area: Area,
    pub(super) next_number: u64,
    listener: i32,
    signals: i32,
    lease: u64,
    /// When the lease ends, while nobody is connected.
    ends_at: u64,
    drains: [i32; DRAINS],
    /// Of the group that stops the others, where PID 1 is not in it.
    pub(super) freezer: i32,
}

pub(super) fn live(settings: Settings) -> ! {
    // A handler of the program's own, such as Rust's for SIGSEGV, would let a guest kill this
    // process: the kernel protects a PID 1 from signals with the default action only.
    crate::sys::reset_signals();
    shed::server_memory();
    match Life::begin(settings) {
        Ok(mut life) => loop {
            life.step();
        },
        Err(errno) => {
            let report = Report::Failed { step: u16::MAX, item: 0, errno };
            let _ = sys::send(settings.control, &report.encode(), &[], true);
            sys::exit(1)
        }
    }
}

impl Life {
    fn begin(settings: Settings) -> Result<Self, sys::Errno> {
        sys::block(WAITED);
        let table = Table::new()?;
        let signals = sys::signal_descriptor(sys::bit(libc::SIGCHLD))?;
        table.event.store(sys::event_descriptor()?, SeqCst);
        for slot in &table.slots {
            slot.streams.iter().chain(&slot.inner).for_each(|fd| fd.store(-1, SeqCst));
        }
        let program = sys::stat(sys::AT_FDCWD, c"/proc/self/exe".to_bytes_with_nul(), true);
        let own_program = program.map_or([0; 2], |stat| [stat.identity.0, stat.identity.1]);
        let Settings { open_files, user, confine, .. } = settings;
        let shared = Shared { table, open_files, user, confine, own_program };
        SHARED.set(shared).map_err(|_| libc::EBUSY)?;
        let (listener, connection) = match settings.entrance {
            Entrance::Listener(listener) => (listener, -1),
            Entrance::Connection(connection) => (-1, connection),
        };
        table.connection.store(connection, SeqCst);
        let life = Self {
            table,
            area: Area::new()?,
            next_number: 1,
            listener,
            signals,
            lease: settings.lease,
            ends_at: sys::now().saturating_add(settings.lease),
            drains: [-1; DRAINS],
            freezer: -1,
        };
        if listener >= 0 {
            sys::listen(listener)?;
        }
        (settings.seal)().map_err(|error| error.raw_os_error().unwrap_or(libc::EPERM))?;
        // From here on it outlives its server.
        sys::control(libc::PR_SET_PDEATHSIG, 0)?;
        sys::send(settings.control, &Report::Ready.encode(), &[], true)?;
        sys::close(settings.control);
        Ok(life)
    }

    fn step(&mut self) {
        self.tell();
        let wanted = |fd: i32| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        let mut fds = [wanted(-1); 4 + DRAINS];
        let first = [
            self.signals,
            self.table.event.load(SeqCst),
            self.listener,
            self.table.connection.load(SeqCst),
        ];
        for (place, fd) in fds.iter_mut().zip(first.into_iter().chain(self.drains)) {
            *place = wanted(fd);
        }
        sys::poll(&mut fds, self.timeout());
        let mut ready = fds.iter().map(|fd| fd.revents != 0);
        let mut next = || ready.next().unwrap_or(false);
        let (signals, event, listener, connection) = (next(), next(), next(), next());
        if signals {
            let mut buffer = [0u8; 512];
            let _ = sys::read(self.signals, &mut buffer);
            self.reap();
        }
        if event {
            let _ = sys::read(self.table.event.load(SeqCst), &mut [0u8; 8]);
        }
        if connection {
            self.tell();
            self.listen_to_server();
        }
        if listener {
            self.accept();
        }
        for index in 0..DRAINS {
            if next() {
                self.drain(index);
            }
        }
        self.keep_time();
    }

    fn timeout(&self) -> Option<u64> {
        let lease = (self.table.connection.load(SeqCst) < 0).then_some(self.ends_at);
        let asked = |slot: &&Slot| slot.tree.load(SeqCst) == tree::ASKED;
        let patience = self.table.slots.iter().filter(asked).map(|slot| slot.patience.load(SeqCst));
        let next = lease.into_iter().chain(patience).min()?;
        Some(next.saturating_sub(sys::now()))
    }

    fn keep_time(&mut self) {
        let now = sys::now();
        if self.table.connection.load(SeqCst) < 0 && now >= self.ends_at {
            // The kernel ends all the others with PID 1, once they can hear of it.
            let _ = sys::kill(-1, libc::SIGKILL);
            sys::thaw(self.freezer);
            sys::exit(0);
        }
        let mut lost = false;
        for slot in &self.table.slots {
            let asked = slot.tree.load(SeqCst) == tree::ASKED;
            if !asked || now < slot.patience.load(SeqCst) {
                continue;
            }
            let gone = slot.keeper.load(SeqCst) == 0;
            let tried = slot.rounds.load(SeqCst) >= ROUNDS;
            if gone || tried || now >= slot.last_patience.load(SeqCst) {
                lost = true;
            } else {
                slot.patience.store(now + PAUSE, SeqCst);
            }
        }
        if lost {
            self.purge();
        }
    }

    // ---- The server ----

    fn accept(&mut self) {
        let Ok(connection) = sys::accept(self.listener) else { return };
        // Nobody inside can reach the socket; should that ever change, this holds.
        if sys::peer(connection) != Ok(0) {
            sys::close(connection);
            return;
        }
        // A new server has come because the old one is gone, or about to be.
        self.disconnect();
        self.table.connection.store(connection, SeqCst);
        for slot in &self.table.slots {
            // It asks what there is; what the old one asked is answered to nobody.
            slot.serial.store(0, SeqCst);
            slot.tree_serial.store(0, SeqCst);
            let ended = slot.state() == State::Ended;
            slot.told_end.store(u32::from(ended), SeqCst);
        }
    }

    pub(super) fn disconnect(&mut self) {
        let old = self.table.connection.swap(-1, SeqCst);
        sys::close(old);
        // Where no other one can come from, there is nothing to wait for.
        let lease = if self.listener < 0 { 0 } else { self.lease };
        self.ends_at = sys::now().saturating_add(lease);
    }

    /// Says something to the server. One that does not listen is left.
    pub(super) fn say(&mut self, head: Head, fds: &[i32]) {
        let connection = self.table.connection.load(SeqCst);
        if connection >= 0 && sys::send(connection, &head.encode(), fds, false).is_err() {
            self.disconnect();
        }
    }

    pub(super) fn done(&mut self, serial: u64, errno: i32) {
        if serial != 0 {
            self.say(Head::new(Kind::Done, serial, &[errno as u64]), &[]);
        }
    }

    /// What a slot looks like from outside.
    pub(super) fn tell_process(&mut self, slot: &Slot, serial: u64) {
        let ended = slot.state() == State::Ended;
        let nanoseconds = slot.ended.load(SeqCst).saturating_sub(slot.started.load(SeqCst));
        let words = [
            slot.number.load(SeqCst),
            u64::from(ended),
            if ended { slot.status.load(SeqCst) as u32 as u64 } else { 0 },
            if ended { nanoseconds } else { 0 },
            if ended { slot.processor.load(SeqCst) } else { 0 },
            u64::from(slot.is_terminal.load(SeqCst)) | u64::from(has(&slot.streams[0])) << 1,
        ];
        let mut fds = [-1; 3];
        let mut count = 0;
        for stream in &slot.streams {
            let fd = stream.load(SeqCst);
            if let (true, Some(place)) = (fd >= 0, fds.get_mut(count)) {
                *place = fd;
                count += 1;
            }
        }
        let fds = fds.get(..count).unwrap_or_default();
        self.say(Head::new(Kind::Process, serial, &words), fds);
    }

    /// Tells what keepers have noted, and does what follows from it.
    fn tell(&mut self) {
        let table = self.table;
        for slot in &table.slots {
            match slot.state() {
                State::Free | State::Starting => continue,
                State::Failed => {
                    let serial = slot.serial.swap(0, SeqCst);
                    if serial != 0 {
                        let words = [slot.broken.load(SeqCst), slot.errno.load(SeqCst) as u64];
                        self.say(Head::new(Kind::Refused, serial, &words), &[]);
                    }
                    slot.forgotten.store(1, SeqCst);
                }
                State::Running => self.tell_start(slot),
                State::Ended => {
                    self.tell_start(slot);
                    self.tell_end(slot);
                }
            }
            if slot.tree.load(SeqCst) == tree::GONE {
                slot.tree.store(tree::ALONE, SeqCst);
                let serial = slot.tree_serial.swap(0, SeqCst);
                self.done(serial, 0);
            }
            if slot.forgotten.load(SeqCst) != 0 && slot.keeper.load(SeqCst) == 0 {
                slot.close_streams();
                Area(slot.area.swap(0, SeqCst)).free();
                slot.set_state(State::Free);
            }
        }
    }

    fn tell_start(&mut self, slot: &Slot) {
        if slot.told_start.swap(1, SeqCst) == 0 {
            let area = Area(slot.area.load(SeqCst));
            area.shrink(slot.message_bytes.load(SeqCst));
            let serial = slot.serial.swap(0, SeqCst);
            if serial != 0 {
                self.tell_process(slot, serial);
            }
        }
    }

    fn tell_end(&mut self, slot: &Slot) {
        // What is left of its tree is let go, unless it is about to be killed.
        let keeper = slot.keeper.load(SeqCst);
        if keeper != 0 && slot.tree.load(SeqCst) != tree::ASKED {
            let _ = sys::kill(keeper, libc::SIGKILL);
        }
        if self.table.connection.load(SeqCst) >= 0 && slot.told_end.swap(1, SeqCst) == 0 {
            let nanoseconds = slot.ended.load(SeqCst).saturating_sub(slot.started.load(SeqCst));
            let words = [
                slot.number.load(SeqCst),
                1,
                slot.status.load(SeqCst) as u32 as u64,
                nanoseconds,
                slot.processor.load(SeqCst),
            ];
            self.say(Head::new(Kind::Ended, 0, &words), &[]);
        }
    }

    // ---- Processes ----

    fn reap(&mut self) {
        while let Ok(Some(reaped)) = sys::reap(false, libc::WUNTRACED) {
            if reaped.is_stopped() {
                self.get_going(reaped.pid);
            } else {
                self.note(&reaped);
            }
        }
    }

    /// A guest may stop a keeper or a worker; it goes on at once.
    fn get_going(&self, pid: i32) {
        let is_keeper = |slot: &Slot| slot.keeper.load(SeqCst) == pid;
        let is_worker = |job: &Job| job.worker.load(SeqCst) == pid;
        let table = self.table;
        if table.slots.iter().any(is_keeper) || table.jobs.iter().any(is_worker) {
            let _ = sys::kill(pid, libc::SIGCONT);
        }
    }

    fn note(&mut self, reaped: &Reaped) {
        let table = self.table;
        for slot in table.slots.iter().filter(|slot| slot.state() != State::Free) {
            let keeper = slot.keeper.load(SeqCst);
            if keeper == reaped.pid {
                slot.keeper.store(0, SeqCst);
                self.lost_keeper(slot);
                return;
            }
            // Its keeper was killed, so it became ours.
            let ours = keeper == 0 && slot.state() == State::Running;
            if ours && slot.main.load(SeqCst) == reaped.pid {
                keeper::note_end(slot, reaped);
                return;
            }
        }
        for job in &table.jobs {
            if job.serial.load(SeqCst) != 0 && job.worker.load(SeqCst) == reaped.pid {
                self.end_job(job);
                return;
            }
        }
    }

    /// A keeper is gone: told to go, or killed by a guest.
    fn lost_keeper(&mut self, slot: &Slot) {
        match slot.state() {
            State::Starting => {
                // What it was starting may still run on a stack in there.
                slot.area.store(0, SeqCst);
                let is_there = slot.main.load(SeqCst) != 0;
                if is_there && slot.errno.load(SeqCst) == 0 {
                    slot.set_state(State::Running);
                    self.lost_keeper(slot);
                } else {
                    slot.errno.store(libc::EINTR, SeqCst);
                    slot.set_state(State::Failed);
                }
                return;
            }
            // It may have reaped its process and not got to noting it.
            State::Running if sys::kill(slot.main.load(SeqCst), 0).is_err() => {
                let pid = slot.main.load(SeqCst);
                keeper::note_end(slot, &Reaped { pid, status: libc::SIGKILL, processor: 0 });
            }
            State::Free | State::Running | State::Failed | State::Ended => {}
        }
        if slot.tree.load(SeqCst) == tree::ASKED {
            // What belonged to it cannot be told from the rest any more.
            slot.patience.store(0, SeqCst);
        }
    }

    /// Kills every process but this one, at one stroke: no fork can get away
    /// (kill(2), -1). When it returns, none is left.
    pub(super) fn purge(&mut self) {
        let _ = sys::kill(-1, libc::SIGKILL);
        loop {
            match sys::reap(true, 0) {
                Ok(Some(reaped)) => self.note(&reaped),
                Ok(None) => {}
                Err(_) => break,
            }
        }
        if self.listener < 0 {
            self.await_others();
        }
        for slot in &self.table.slots {
            // Where orphans go elsewhere its end was told to nobody here.
            if slot.state() == State::Running && slot.keeper.load(SeqCst) == 0 {
                let pid = slot.main.load(SeqCst);
                keeper::note_end(slot, &Reaped { pid, status: libc::SIGKILL, processor: 0 });
            }
            if slot.tree.load(SeqCst) == tree::ASKED {
                slot.tree.store(tree::GONE, SeqCst);
            }
        }
    }

    /// Where this is not PID 1, it does not reap all that it kills. Waits until they are gone.
    fn await_others(&self) {
        const TRIES: usize = 1000;
        const REST: u64 = 1_000_000;
        for _ in 0..TRIES {
            if sys::kill(-1, libc::SIGKILL) == Err(libc::ESRCH) {
                return;
            }
            sys::wait_for(sys::bit(libc::SIGCHLD), Some(REST));
        }
    }

    // ---- Streams of the forgotten ----

    /// Lets a stream go; if others write to it, they may go on.
    pub(super) fn abandon(&mut self, stream: &AtomicI32) {
        let fd = stream.swap(-1, SeqCst);
        if fd < 0 {
            return;
        }
        let mut state = [libc::pollfd { fd, events: 0, revents: 0 }];
        sys::poll(&mut state, Some(0));
        let [state] = state;
        let place = self.drains.iter_mut().find(|place| **place < 0);
        match place {
            Some(place) if state.revents & libc::POLLHUP == 0 => *place = fd,
            _ => sys::close(fd),
        }
    }

    fn drain(&mut self, index: usize) {
        let (scratch, length) = self.area.scratch();
        let Some(place) = self.drains.get_mut(index) else { return };
        let Some(buffer) = sys::bytes(scratch, length) else { return };
        match sys::read(*place, buffer) {
            Ok(1..) | Err(libc::EAGAIN | libc::EINTR) => {}
            _ => sys::close(std::mem::replace(place, -1)),
        }
    }
}

fn has(fd: &AtomicI32) -> bool {
    fd.load(SeqCst) >= 0
}
