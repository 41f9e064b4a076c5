//! The table of methods.

use capsule_spec::{ErrorCode, Failure, nearest};
use serde_json::value::RawValue;

use super::check::Checked;
use super::parse::parse_strictly;
use super::*;

/// Whether a method answers once or with a stream of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    /// One result.
    Once,
    /// Server-sent events; see the guide for their names.
    Stream,
}

/// What is told of a method.
#[derive(Clone, Copy, Debug)]
pub struct Method {
    /// Its name on the wire.
    pub name: &'static str,
    /// Other names for it.
    pub aliases: &'static [&'static str],
    /// What it does, in a sentence.
    pub summary: &'static str,
    /// How it answers.
    pub answers: Answers,
    /// Schema of its parameters.
    #[cfg(feature = "schema")]
    pub(crate) parameters: fn(&mut schemars::SchemaGenerator) -> schemars::Schema,
    /// Schema of its answer, or of one event.
    #[cfg(feature = "schema")]
    pub(crate) answer: fn(&mut schemars::SchemaGenerator) -> schemars::Schema,
}

macro_rules! methods {
    ($($variant:ident $answers:ident -> $answer:ident = $name:literal, [$($alias:literal),*], $summary:literal;)*) => {
        /// A request, typed and checked.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Request {
            $(
                #[doc = $summary]
                $variant($variant),
            )*
        }

        impl Request {
            /// Every method, in the order in which documents list them.
            pub const METHODS: &'static [Method] = &[$(Method {
                name: $name,
                aliases: &[$($alias),*],
                summary: $summary,
                answers: Answers::$answers,
                #[cfg(feature = "schema")]
                parameters: |generator| generator.subschema_for::<$variant>(),
                #[cfg(feature = "schema")]
                answer: |generator| generator.subschema_for::<$answer>(),
            }),*];

            /// The name of its method on the wire, never an alias.
            pub fn method(&self) -> &'static str {
                match self { $(Self::$variant(_) => $name),* }
            }

            /// Parses the parameters of a method; none is the same as an empty object.
            ///
            /// # Errors
            /// [`RequestError`]: no such method, an unknown field, a value out of range.
            pub fn parse(method: &str, params: Option<&RawValue>) -> Result<Self, RequestError> {
                match method {
                    $($name $(| $alias)* => {
                        let parameters: $variant = parse_strictly(params)?;
                        parameters.check()?;
                        Ok(Self::$variant(parameters))
                    })*
                    unknown => Err(RequestError::UnknownMethod(unknown_method(unknown))),
                }
            }
        }
    };
}

methods! {
    Create Once -> Created = "sandbox.v1.create", ["sandbox.create"],
        "Creates a sandbox from a template.";
    Exec Once -> ExecAnswer = "sandbox.v1.exec", [],
        "Runs a command to its end and answers with its output.";
    WriteFile Once -> Done = "sandbox.v1.writeFile", [],
        "Writes a file, and makes the directories above it.";
    ReadFile Once -> ReadFileAnswer = "sandbox.v1.readFile", [],
        "Reads a file.";
    ListDir Once -> ListDirAnswer = "sandbox.v1.listDir", [],
        "Lists a directory.";
    Delete Once -> Done = "sandbox.v1.delete", ["sandbox.delete"],
        "Ends a sandbox and removes every trace of it.";
    RunCode Once -> ExecAnswer = "sandbox.v1.runCode", ["sandbox.exec"],
        "Runs source text in a language.";
    ExecStream Stream -> OutputEvent = "sandbox.v1.execStream", [],
        "Runs a command and tells its output as it comes.";
    Batch Once -> BatchAnswer = "sandbox.v1.batch", [],
        "Runs several commands, one after the other.";
    List Once -> ListAnswer = "sandbox.v1.list", [],
        "Lists the caller's sandboxes.";
    Get Once -> SandboxAnswer = "sandbox.v1.get", [],
        "Tells everything about a sandbox.";
    Extend Once -> SandboxAnswer = "sandbox.v1.extend", [],
        "Lets a sandbox live on from now.";
    Pause Once -> SandboxAnswer = "sandbox.v1.pause", [],
        "Stops all processes of a sandbox where they are.";
    Resume Once -> SandboxAnswer = "sandbox.v1.resume", [],
        "Lets the processes of a paused sandbox go on.";
    SetEnv Once -> Done = "sandbox.v1.setEnv", [],
        "Sets and removes variables for what is started later.";
    SetNetwork Once -> SandboxAnswer = "sandbox.v1.setNetwork", [],
        "Replaces the network policy of a sandbox.";
    Install Once -> ExecAnswer = "sandbox.v1.install", [],
        "Installs packages, through a way out to their index that is open meanwhile.";
    OpenContext Once -> Done = "sandbox.v1.openContext", [],
        "Opens a shell context: a working directory and variables that are carried over.";
    Start Once -> Started = "sandbox.v1.start", [],
        "Starts a process that outlives the request.";
    ListProcesses Once -> ProcessesAnswer = "sandbox.v1.processes", [],
        "Lists processes that were started, and those that ended of late.";
    Attach Stream -> OutputEvent = "sandbox.v1.attach", [],
        "Tells the kept and the coming output of a process.";
    Wait Once -> Exited = "sandbox.v1.wait", [],
        "Answers when a process has ended, or the time is over.";
    Input Once -> Done = "sandbox.v1.input", [],
        "Writes to the standard input or terminal of a process.";
    CloseInput Once -> Done = "sandbox.v1.closeInput", [],
        "Closes the standard input of a process.";
    Kill Once -> Done = "sandbox.v1.kill", [],
        "Sends a signal to a process, or to all that it started.";
    Resize Once -> Done = "sandbox.v1.resize", [],
        "Changes the size of the terminal of a process.";
    Stat Once -> FileEntry = "sandbox.v1.stat", [],
        "Tells what a path is.";
    MakeDirectory Once -> Done = "sandbox.v1.mkdir", [],
        "Makes a directory, and those above it.";
    Move Once -> Done = "sandbox.v1.move", [],
        "Gives a file or directory another name.";
    Remove Once -> Done = "sandbox.v1.remove", [],
        "Removes a file or directory.";
    Logs Once -> LogsAnswer = "sandbox.v1.logs", [],
        "Finds executions of the past, newest first.";
    Stats Once -> StatsAnswer = "sandbox.v1.stats", [],
        "Tells what a sandbox uses.";
    Watch Stream -> WatchEvent = "sandbox.v1.watch", [],
        "Tells what happens to a sandbox, as it happens.";
    WatchDir Stream -> FileEvent = "sandbox.v1.watchDir", [],
        "Tells what changes in a directory, as it changes.";
    Snapshot Once -> SnapshotAnswer = "sandbox.v1.snapshot", [],
        "Keeps the files of a sandbox as they are.";
    Snapshots Once -> SnapshotsAnswer = "sandbox.v1.snapshots", [],
        "Lists the caller's snapshots.";
    DeleteSnapshot Once -> Done = "sandbox.v1.deleteSnapshot", [],
        "Forgets a snapshot.";
    Restore Once -> SandboxAnswer = "sandbox.v1.restore", [],
        "Ends what runs in a sandbox and gives it the files of a snapshot.";
    CloneSandbox Once -> Created = "sandbox.v1.clone", [],
        "Creates a sandbox with the files of another one.";
    Templates Once -> TemplatesAnswer = "sandbox.v1.templates", [],
        "Lists the templates.";
    CreateVolume Once -> VolumeAnswer = "volume.v1.create", [],
        "Makes a place for files that outlives sandboxes.";
    Volumes Once -> VolumesAnswer = "volume.v1.list", [],
        "Lists the caller's volumes.";
    DeleteVolume Once -> Done = "volume.v1.delete", [],
        "Deletes a volume that no sandbox has, with all that it holds.";
    Discover Once -> Discovered = "rpc.discover", [],
        "Answers with the OpenRPC document of this interface.";
}

/// An OpenRPC document.
#[cfg(feature = "schema")]
type Discovered = serde_json::Value;

impl Request {
    /// The sandbox that it is about.
    pub fn sandbox(&self) -> Option<&str> {
        Some(match self {
            Self::Create(_)
            | Self::List(_)
            | Self::Snapshots(_)
            | Self::DeleteSnapshot(_)
            | Self::Templates(_)
            | Self::CreateVolume(_)
            | Self::Volumes(_)
            | Self::DeleteVolume(_)
            | Self::Discover(_) => {
                return None;
            }
            Self::Logs(Logs { id, .. }) => return id.as_deref(),
            Self::Exec(Exec { id, .. })
            | Self::WriteFile(WriteFile { id, .. })
            | Self::ReadFile(ReadFile { id, .. })
            | Self::ListDir(ListDir { id, .. })
            | Self::Delete(Delete { id })
            | Self::RunCode(RunCode { id, .. })
            | Self::ExecStream(ExecStream { id, .. })
            | Self::Batch(Batch { id, .. })
            | Self::Get(Get { id })
            | Self::Extend(Extend { id, .. })
            | Self::Pause(Pause { id })
            | Self::Resume(Resume { id })
            | Self::SetEnv(SetEnv { id, .. })
            | Self::SetNetwork(SetNetwork { id, .. })
            | Self::WatchDir(WatchDir { id, .. })
            | Self::Install(Install { id, .. })
            | Self::OpenContext(OpenContext { id, .. })
            | Self::Start(Start { id, .. })
            | Self::ListProcesses(ListProcesses { id })
            | Self::Attach(Attach { id, .. })
            | Self::Wait(Wait { id, .. })
            | Self::Input(Input { id, .. })
            | Self::CloseInput(CloseInput { id, .. })
            | Self::Kill(Kill { id, .. })
            | Self::Resize(Resize { id, .. })
            | Self::Stat(Stat { id, .. })
            | Self::MakeDirectory(MakeDirectory { id, .. })
            | Self::Move(Move { id, .. })
            | Self::Remove(Remove { id, .. })
            | Self::Snapshot(Snapshot { id, .. })
            | Self::Restore(Restore { id, .. })
            | Self::CloneSandbox(CloneSandbox { id, .. })
            | Self::Stats(Stats { id })
            | Self::Watch(Watch { id }) => id,
        })
    }
}

/// Why something is no request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// There is no such method.
    UnknownMethod(Failure),
    /// The parameters cannot be used.
    Parameters(Failure),
}

impl From<Failure> for RequestError {
    fn from(failure: Failure) -> Self {
        Self::Parameters(failure)
    }
}

fn unknown_method(unknown: &str) -> Failure {
    let shown: String = unknown.chars().take(100).collect();
    let failure = Failure::new(ErrorCode::UnknownOption, format!("there is no method {shown:?}"));
    let names = Request::METHODS.iter().map(|method| method.name);
    match nearest(&shown, names) {
        Some(near) => failure.hint(format!("did you mean {near:?}?")),
        None => failure.hint("rpc.discover lists the methods"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = Request::METHODS
            .iter()
            .flat_map(|method| std::iter::once(method.name).chain(method.aliases.iter().copied()))
            .collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn an_unknown_method_has_a_hint() {
        let Err(RequestError::UnknownMethod(failure)) = Request::parse("sandbox.v1.exce", None)
        else {
            panic!("it is no method");
        };
        assert_eq!(failure.hint.as_deref(), Some("did you mean \"sandbox.v1.exec\"?"));
    }
}
