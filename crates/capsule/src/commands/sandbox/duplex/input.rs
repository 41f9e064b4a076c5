//! What is typed, a piece at a time.

use std::io::Read;

use tokio::sync::mpsc;

/// Bytes that are read at one time.
const PIECE: usize = 32 << 10;

/// Standard input, read in a thread: a read of it cannot be given up, and at the end it goes
/// with the process.
pub(super) fn read() -> mpsc::Receiver<Vec<u8>> {
    let (pieces, typed) = mpsc::channel(1);
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        let mut buffer = vec![0; PIECE];
        loop {
            match stdin.read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => {
                    if pieces.blocking_send(buffer[..count].to_vec()).is_err() {
                        return;
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                // A closed descriptor reads as an end.
                Err(_) => return,
            }
        }
    });
    typed
}

/// The next piece once there is room for it where it goes; none at the end. Dropping the future
/// loses nothing.
pub(super) async fn next<'a, T>(
    to: &'a mpsc::Sender<T>,
    typed: &mut Option<mpsc::Receiver<Vec<u8>>>,
) -> (mpsc::Permit<'a, T>, Option<Vec<u8>>) {
    match (to.reserve().await, typed) {
        (Ok(room), Some(typed)) => (room, typed.recv().await),
        // It was read to its end, or nobody takes it any more.
        _ => std::future::pending().await,
    }
}
