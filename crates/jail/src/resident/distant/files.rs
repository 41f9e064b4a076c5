//! Files of a distant sandbox: every call of the contract is a question.

use std::sync::Arc;

use capsule_backend::guest::Pending;
use capsule_backend::sandbox::{Change, Entry, Notice, Notices, OpenMode, SandboxFile};
use capsule_spec::Failure;

use super::super::{errors, files};
use super::line::{Line, Reply};
use super::words::{Ask, BYTES, Tell};

/// Bytes of a file in one message: what is under way is held in both processes.
const PIECE: usize = BYTES / 4;

fn opened(reply: Reply) -> Result<(u64, Option<Entry>), Failure> {
    match reply {
        (Tell::Opened { handle, entry }, _) => Ok((handle, entry)),
        _ => Err(errors::no_answer()),
    }
}

fn bytes(reply: Reply) -> Result<Vec<u8>, Failure> {
    match reply {
        (Tell::Bytes, bytes) => Ok(bytes),
        _ => Err(errors::no_answer()),
    }
}

/// Something that is open inside; closed when this is dropped.
struct Handle {
    line: Arc<Line>,
    number: u64,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.line.say(Ask::Close { handle: self.number });
    }
}

pub(super) async fn open(
    line: &Arc<Line>,
    path: &str,
    mode: OpenMode,
) -> Result<Box<dyn SandboxFile>, Failure> {
    files::bytes_of(&[path])?;
    let ask = Ask::Open { path: path.to_owned(), mode };
    let (number, entry) = opened(line.ask(&ask, Vec::new()).await?)?;
    let handle = Handle { line: line.clone(), number };
    Ok(Box::new(FarFile { handle, entry: entry.ok_or_else(errors::no_answer)? }))
}

pub(super) async fn list(
    line: &Arc<Line>,
    path: &str,
    limit: usize,
) -> Result<Vec<Entry>, Failure> {
    files::bytes_of(&[path])?;
    let ask = Ask::List { path: path.to_owned(), limit };
    let (number, _) = opened(line.ask(&ask, Vec::new()).await?)?;
    let handle = Handle { line: line.clone(), number };
    let mut entries = Vec::new();
    loop {
        match line.ask(&Ask::Entries { list: handle.number }, Vec::new()).await? {
            (Tell::Entries(more), _) if more.is_empty() => return Ok(entries),
            (Tell::Entries(more), _) if entries.len() + more.len() <= limit => entries.extend(more),
            _ => return Err(errors::no_answer()),
        }
    }
}

pub(super) async fn stat(line: &Arc<Line>, path: &str) -> Result<Entry, Failure> {
    files::bytes_of(&[path])?;
    match line.ask(&Ask::Stat { path: path.to_owned() }, Vec::new()).await? {
        (Tell::Entries(mut entries), _) => entries.pop().ok_or_else(errors::no_answer),
        _ => Err(errors::no_answer()),
    }
}

pub(super) async fn change(line: &Arc<Line>, change: &Change) -> Result<(), Failure> {
    match change {
        Change::MakeDirectory(path) | Change::Remove { path, .. } => {
            files::bytes_of(&[path])?;
        }
        Change::Link { path, target } => {
            files::bytes_of(&[path])?;
            files::check_target(target)?;
        }
        Change::Move { from, to } => {
            files::bytes_of(&[from, to])?;
        }
    }
    line.ask(&Ask::Change { change: change.clone() }, Vec::new()).await.map(drop)
}

struct FarFile {
    handle: Handle,
    entry: Entry,
}

impl FarFile {
    async fn ask(&self, ask: Ask, bytes: Vec<u8>) -> Result<Reply, Failure> {
        self.handle.line.ask(&ask, bytes).await
    }
}

impl SandboxFile for FarFile {
    fn entry(&self) -> Entry {
        self.entry.clone()
    }

    fn read(&mut self, most: usize) -> Pending<'_, Result<Vec<u8>, Failure>> {
        Box::pin(async move {
            let most = most.min(PIECE);
            let read =
                bytes(self.ask(Ask::Read { file: self.handle.number, most }, Vec::new()).await?)?;
            // More than was asked for is somebody who lies.
            if read.len() > most { Err(errors::no_answer()) } else { Ok(read) }
        })
    }

    fn skip(&mut self, bytes: u64) -> Pending<'_, Result<(), Failure>> {
        Box::pin(async move {
            let ask = Ask::Skip { file: self.handle.number, bytes };
            self.ask(ask, Vec::new()).await.map(drop)
        })
    }

    fn write<'a>(&'a mut self, bytes: &'a [u8]) -> Pending<'a, Result<(), Failure>> {
        Box::pin(async move {
            for piece in bytes.chunks(PIECE) {
                self.ask(Ask::Write { file: self.handle.number }, piece.to_vec()).await?;
            }
            Ok(())
        })
    }

    fn finish(self: Box<Self>) -> Pending<'static, Result<(), Failure>> {
        Box::pin(async move {
            self.ask(Ask::Finish { file: self.handle.number }, Vec::new()).await.map(drop)
        })
    }
}

pub(super) async fn watch(
    line: &Arc<Line>,
    path: &str,
    recursive: bool,
) -> Result<Box<dyn Notices>, Failure> {
    files::bytes_of(&[path])?;
    let ask = Ask::Watch { path: path.to_owned(), recursive };
    let (number, _) = opened(line.ask(&ask, Vec::new()).await?)?;
    Ok(Box::new(FarNotices { handle: Handle { line: line.clone(), number } }))
}

struct FarNotices {
    handle: Handle,
}

impl Notices for FarNotices {
    fn next(&mut self) -> Pending<'_, Option<Vec<Notice>>> {
        Box::pin(async move {
            let ask = Ask::Notices { watch: self.handle.number };
            match self.handle.line.ask_and_wait(&ask, Vec::new()).await {
                Ok((Tell::Notices(notices), _)) => notices,
                Ok(_) | Err(_) => None,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use capsule_spec::ErrorCode;

    use super::*;

    #[test]
    fn an_answer_to_another_question_is_none() {
        let code = |failure: Failure| failure.code;
        assert_eq!(opened((Tell::Done, Vec::new())).map_err(code), Err(ErrorCode::SystemFailure));
        assert_eq!(bytes((Tell::Done, Vec::new())).map_err(code), Err(ErrorCode::SystemFailure));
    }
}
