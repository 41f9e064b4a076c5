//! What a server may ask of PID 1. A message that makes no sense is answered EINVAL, one
//! that is none ends the connection.

use std::sync::atomic::Ordering::SeqCst;

use super::life::{LAST_PATIENCE, Life, PATIENCE};
use super::table::{Area, Job, Slot, State, tree};
use super::wire::{Broken, HEAD_BYTES, Head, Kind, MESSAGE_BYTES, VERSION};
use super::{files, keeper, sys};

impl Life {
    /// Takes what the server has to say; not for ever, as others wait, too.
    pub(super) fn listen_to_server(&mut self) {
        const AT_A_TIME: usize = 16;
        for _ in 0..AT_A_TIME {
            let connection = self.table.connection.load(SeqCst);
            if connection < 0 {
                return;
            }
            let Some(buffer) = sys::bytes(self.area.message(), MESSAGE_BYTES) else { return };
            let received = match sys::receive(connection, buffer) {
                Ok(received) => received,
                Err(libc::EAGAIN | libc::EINTR) => return,
                Err(_) => return self.disconnect(),
            };
            let message = buffer.get(..received.bytes).unwrap_or_default();
            match Head::decode(message) {
                Some((head, rest)) if !received.cut => {
                    let given = self.handle(head, rest, received.bytes, received.fd);
                    if given {
                        match Area::new() {
                            Ok(area) => self.area = area,
                            // Without memory for its questions there is no serving it.
                            Err(_) => sys::exit(1),
                        }
                    } else {
                        sys::close(received.fd);
                        self.area.shrink(received.bytes);
                    }
                }
                _ => {
                    sys::close(received.fd);
                    return self.disconnect();
                }
            }
        }
    }

    /// Deals with one message. Says whether the area, and the descriptor, were given away.
    fn handle(&mut self, head: Head, rest: &[u8], bytes: usize, fd: i32) -> bool {
        let [first, second, third, ..] = head.words;
        match head.kind {
            Kind::Hello => {
                let errno = if first == VERSION { 0 } else { libc::EPROTO };
                self.say(Head::new(Kind::Done, head.serial, &[errno as u64, VERSION]), &[]);
            }
            Kind::List => self.list(head.serial),
            Kind::Spawn => return self.spawn(&head, bytes),
            Kind::Signal => self.signal(head.serial, first, second, third == 1),
            Kind::CloseInput => {
                let slot = self.table.by_number(first);
                if let Some(slot) = slot.filter(|slot| slot.is_terminal.load(SeqCst) == 0) {
                    let [input, ..] = &slot.streams;
                    sys::close(input.swap(-1, SeqCst));
                }
                self.done(head.serial, 0);
            }
            Kind::Forget => {
                let slot = self.table.by_number(first);
                if let Some(slot) = slot.filter(|slot| slot.state() == State::Ended) {
                    self.forget(slot);
                }
            }
            Kind::KillAll => {
                self.purge();
                self.done(head.serial, 0);
            }
            Kind::SignalAll => {
                let errno = match i32::try_from(first) {
                    // None to be signalled is as good.
                    Ok(signal @ 1..=64) => {
                        sys::kill(-1, signal).err().filter(|e| *e != libc::ESRCH)
                    }
                    _ => Some(libc::EINVAL),
                };
                self.done(head.serial, errno.unwrap_or(0));
            }
            Kind::KeepFreezer => {
                let kept = sys::duplicate(fd);
                sys::close(std::mem::replace(&mut self.freezer, kept));
                self.done(head.serial, if kept < 0 { libc::EBADF } else { 0 });
            }
            Kind::Look
            | Kind::Read
            | Kind::Write
            | Kind::Place
            | Kind::MakeDirectory
            | Kind::Move
            | Kind::Remove
            | Kind::Link => return self.start_job(head.serial, bytes, fd),
            Kind::OpenDoor => {
                let door = u16::try_from(first).map_err(|_| libc::EINVAL).and_then(sys::door);
                match door {
                    Ok(listener) => {
                        self.say(Head::new(Kind::Done, head.serial, &[0]), &[listener]);
                        sys::close(listener);
                    }
                    Err(errno) => self.done(head.serial, errno),
                }
            }
            Kind::Notify => match sys::notify_descriptor() {
                Ok(notify) => {
                    self.say(Head::new(Kind::Done, head.serial, &[0]), &[notify]);
                    sys::close(notify);
                }
                Err(errno) => self.done(head.serial, errno),
            },
            Kind::Done | Kind::Process | Kind::Refused | Kind::Ended => {
                self.done(head.serial, libc::EINVAL);
            }
        }
        let _ = rest;
        false
    }

    fn list(&mut self, serial: u64) {
        let table = self.table;
        for slot in &table.slots {
            let forgotten = slot.forgotten.load(SeqCst) != 0;
            let there = matches!(slot.state(), State::Starting | State::Running | State::Ended);
            if there && !forgotten {
                self.tell_process(slot, serial);
            }
        }
        self.done(serial, 0);
    }

    fn forget(&mut self, slot: &Slot) {
        if slot.is_terminal.load(SeqCst) == 0 {
            let [input, output, errors] = &slot.streams;
            sys::close(input.swap(-1, SeqCst));
            self.abandon(output);
            self.abandon(errors);
        }
        slot.close_streams();
        slot.forgotten.store(1, SeqCst);
    }

    /// Answers now if it cannot be, else when it has started.
    fn spawn(&mut self, head: &Head, bytes: usize) -> bool {
        let refuse = |life: &mut Self, errno: i32| {
            let words = [Broken::Resources.number(), errno as u64];
            life.say(Head::new(Kind::Refused, head.serial, &words), &[]);
            false
        };
        let Some(slot) = self.table.free_slot() else { return refuse(self, libc::EUSERS) };
        let [terminal, columns, rows, ..] = head.words;
        let streams = if terminal == 1 {
            let size = (u16::try_from(columns), u16::try_from(rows));
            let (columns, rows) = (size.0.unwrap_or(80), size.1.unwrap_or(24));
            sys::terminal(columns, rows)
                .map(|(outer, inner)| ([outer, -1, -1], [inner, inner, inner]))
        } else {
            three_pipes()
        };
        let (outer, inner) = match streams {
            Ok(streams) => streams,
            Err(errno) => return refuse(self, errno),
        };
        for fd in outer {
            sys::set_nonblocking(fd);
        }
        slot.streams.iter().zip(outer).for_each(|(place, fd)| place.store(fd, SeqCst));
        slot.inner.iter().zip(inner).for_each(|(place, fd)| place.store(fd, SeqCst));
        slot.number.store(self.next_number, SeqCst);
        self.next_number += 1;
        slot.serial.store(head.serial, SeqCst);
        slot.is_terminal.store(u32::from(terminal == 1), SeqCst);
        for zero in [&slot.tree, &slot.forgotten, &slot.told_start, &slot.told_end] {
            zero.store(0, SeqCst);
        }
        for zero in [&slot.tree_serial, &slot.signals, &slot.tree_signals, &slot.broken] {
            zero.store(0, SeqCst);
        }
        for zero in [&slot.errno, &slot.main, &slot.status] {
            zero.store(0, SeqCst);
        }
        slot.area.store(self.area.0, SeqCst);
        slot.message_bytes.store(bytes, SeqCst);
        slot.set_state(State::Starting);
        match keeper::start(slot) {
            Ok(keeper) => {
                slot.keeper.store(keeper, SeqCst);
                slot.close_inner();
                true
            }
            Err(errno) => {
                slot.close_inner();
                slot.close_streams();
                slot.area.store(0, SeqCst);
                slot.set_state(State::Free);
                refuse(self, errno)
            }
        }
    }

    fn signal(&mut self, serial: u64, number: u64, signal: u64, whole_tree: bool) {
        let running = |slot: &&Slot| slot.state() == State::Running;
        let slot = self.table.by_number(number).filter(running);
        let (Some(slot), Ok(signal @ 1..=64)) = (slot, i32::try_from(signal)) else {
            return self.done(serial, libc::ESRCH);
        };
        let keeper = slot.keeper.load(SeqCst);
        if whole_tree && signal == libc::SIGKILL {
            if slot.tree_serial.load(SeqCst) != 0 {
                return self.done(serial, libc::EALREADY);
            }
            if keeper == 0 {
                // A guest killed its keeper: what belonged to it cannot be told apart.
                self.purge();
                return self.done(serial, 0);
            }
            slot.tree_serial.store(serial, SeqCst);
            slot.rounds.store(0, SeqCst);
            slot.patience.store(sys::now() + PATIENCE, SeqCst);
            slot.last_patience.store(sys::now() + LAST_PATIENCE, SeqCst);
            slot.tree.store(tree::ASKED, SeqCst);
            let _ = sys::kill(keeper, keeper::ORDER);
            let _ = sys::kill(keeper, libc::SIGCONT);
            return;
        }
        if keeper == 0 {
            let _ = sys::kill(slot.main.load(SeqCst), signal);
        } else {
            let wanted = if whole_tree { &slot.tree_signals } else { &slot.signals };
            wanted.fetch_or(sys::bit(signal), SeqCst);
            let _ = sys::kill(keeper, keeper::ORDER);
        }
        self.done(serial, 0);
    }

    fn start_job(&mut self, serial: u64, bytes: usize, fd: i32) -> bool {
        let free = |job: &&Job| job.serial.load(SeqCst) == 0;
        let Some(job) = self.table.jobs.iter().find(free) else {
            self.done(serial, libc::EUSERS);
            return false;
        };
        if serial == 0 || bytes <= HEAD_BYTES {
            self.done(serial, libc::EINVAL);
            return false;
        }
        job.answered.store(0, SeqCst);
        job.fd.store(fd, SeqCst);
        job.area.store(self.area.0, SeqCst);
        job.message_bytes.store(bytes, SeqCst);
        match files::start(job, self.area) {
            Ok(worker) => {
                job.worker.store(worker, SeqCst);
                job.serial.store(serial, SeqCst);
                // The worker has its own by now.
                sys::close(job.fd.load(SeqCst));
                true
            }
            Err(errno) => {
                self.done(serial, errno);
                false
            }
        }
    }

    /// A worker is gone. If a guest killed it, its question is answered here.
    pub(super) fn end_job(&mut self, job: &Job) {
        let serial = job.serial.load(SeqCst);
        if job.answered.load(SeqCst) == 0 {
            self.done(serial, libc::EINTR);
        }
        Area(job.area.swap(0, SeqCst)).free();
        job.serial.store(0, SeqCst);
    }
}

type Streams = ([i32; 3], [i32; 3]);

/// Outer and inner ends.
fn three_pipes() -> Result<Streams, sys::Errno> {
    let mut open = [-1; 6];
    for pair in open.chunks_exact_mut(2) {
        match (sys::pipe(), pair) {
            (Ok((read, write)), [first, second]) => (*first, *second) = (read, write),
            (result, _) => {
                let errno = result.err().unwrap_or(libc::EMFILE);
                for fd in open {
                    sys::close(fd);
                }
                return Err(errno);
            }
        }
    }
    let [input, input_outer, output_outer, output, errors_outer, errors] = open;
    Ok(([input_outer, output_outer, errors_outer], [input, output, errors]))
}
