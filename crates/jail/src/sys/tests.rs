//! Forks of a process whose other threads are at work.

use std::hint::black_box;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{Side, exit_now, fork, kill, reap};

/// As in our programs.
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

#[test]
fn a_forked_child_can_allocate_while_others_did() {
    const PATIENCE: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    drop(black_box(vec![1u8; 300]));
                }
            });
        }
        let mut stuck = 0;
        for _ in 0..100 {
            let (pid, pidfd) = match fork().unwrap() {
                Side::Inside => {
                    drop(black_box(vec![1u8; 300]));
                    exit_now(0)
                }
                Side::Outside { pid, pidfd } => (pid, pidfd),
            };
            let mut ended = [PollFd::new(&pidfd, PollFlags::IN)];
            if poll(&mut ended, Some(&PATIENCE)).unwrap() == 0 {
                stuck += 1;
                kill(pidfd.as_fd(), libc::SIGKILL);
            }
            reap(pid).unwrap();
            if stuck > 0 {
                break;
            }
        }
        over.store(true, Ordering::Relaxed);
        assert_eq!(stuck, 0, "the child waits for a lock that a thread of its parent had");
    });
}
