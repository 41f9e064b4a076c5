//! Stable error codes. A code is never reused and never changes its meaning;
//! each has a page in `docs/errors/`.

use serde::{Deserialize, Serialize};

/// Whose fault an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Blame {
    /// The request is wrong.
    Caller,
    /// The command did what its policy denies.
    Policy,
    /// The command reached a limit.
    Limit,
    /// The command itself failed.
    Command,
    /// This host cannot do what was asked.
    Host,
    /// Capsule failed.
    Internal,
}

macro_rules! error_codes {
    ($($variant:ident = $code:literal, $blame:ident, $retryable:literal, $summary:literal;)*) => {
        /// What went wrong, as a stable code. The first digit is the family:
        /// 1 configuration, 2 sandbox set-up, 3 execution, 4 resource limits,
        /// 5 security violations, 6 system.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum ErrorCode {
            $(
                #[doc = $summary]
                #[serde(rename = $code)]
                $variant,
            )*
        }

        impl ErrorCode {
            /// Every code, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The code on the wire: `E` and four digits.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code),* }
            }

            /// Whose fault it is.
            pub const fn blame(self) -> Blame {
                match self { $(Self::$variant => Blame::$blame),* }
            }

            /// Whether the same request can succeed later.
            pub const fn retryable(self) -> bool {
                match self { $(Self::$variant => $retryable),* }
            }

            /// One sentence for tables.
            pub const fn summary(self) -> &'static str {
                match self { $(Self::$variant => $summary),* }
            }
        }
    };
}

error_codes! {
    InvalidRequest = "E1001", Caller, false, "The request is not valid JSON, or is too large.";
    UnknownOption = "E1002", Caller, false, "A field or flag is not known.";
    InvalidValue = "E1003", Caller, false, "A value is malformed or out of range.";
    MissingCommand = "E1004", Caller, false, "No command was given.";
    InvalidPath = "E1005", Caller, false, "A path is relative, reserved or malformed.";
    ConflictingOptions = "E1006", Caller, false, "Two options contradict each other.";
    InvalidConfig = "E1007", Caller, false, "The configuration file cannot be used.";
    UnknownProfile = "E1008", Caller, false, "The configuration file has no such profile.";
    ProgramNotFound = "E1009", Caller, false, "The program or a file that it needs does not exist.";
    InvalidDeclaration = "E1010", Caller, false, "A task declares an option that cannot be honoured.";
    UnknownFunction = "E1011", Caller, false, "The program has no task of that name.";
    InvalidModule = "E1012", Caller, false, "The file is not a program in WebAssembly that can be run.";
    InvalidSource = "E1013", Caller, false, "The program's source cannot be used.";
    UnknownTemplate = "E1014", Caller, false, "There is no template of that name.";
    SandboxNotFound = "E1015", Caller, false, "There is no such sandbox.";
    ProcessNotFound = "E1016", Caller, false, "There is no such process, or no such shell context, in the sandbox.";
    SnapshotNotFound = "E1017", Caller, false, "There is no such snapshot.";
    VolumeNotFound = "E1018", Caller, false, "There is no such volume.";
    InvalidArchive = "E1020", Caller, false, "An archive or image of a template cannot be unpacked.";
    NamespacesUnavailable = "E2001", Host, false, "This host does not let this user create namespaces.";
    SetupFailed = "E2002", Host, false, "A wall of the jail could not be built.";
    MountFailed = "E2003", Caller, false, "A path could not be mounted into the jail.";
    WallUnavailable = "E2004", Host, false, "A required wall cannot be built on this host.";
    CgroupFailed = "E2005", Host, true, "A control group could not be created or joined.";
    DoorFailed = "E2006", Host, true, "The network door could not be opened.";
    RuntimeUnavailable = "E2007", Host, true, "The language runtime could not be made ready.";
    PackagesFailed = "E2008", Host, true, "The packages of the project could not be made ready.";
    EngineUnavailable = "E2009", Host, true, "The container engine cannot be reached, or cannot run a container.";
    ImageUnavailable = "E2010", Host, true, "A template's image is not there and could not be fetched, or cannot be used.";
    ServerUnreachable = "E2011", Host, true, "No server of sandboxes answers at the address.";
    VolumesUnavailable = "E2012", Host, false, "The size of a volume could not be enforced on this host.";
    CommandNotFound = "E3001", Command, false, "The command does not exist inside the jail.";
    CommandNotExecutable = "E3002", Command, false, "The command exists but cannot be executed.";
    TimedOut = "E3003", Limit, false, "The command ran longer than its timeout.";
    Killed = "E3004", Command, false, "The command was ended by a signal.";
    NonZeroExit = "E3005", Command, false, "The command ended with a non-zero exit code.";
    WorkdirMissing = "E3006", Caller, false, "The working directory does not exist inside the jail.";
    Interrupted = "E3007", Caller, true, "Capsule was told to stop before the command ended.";
    Raised = "E3008", Command, true, "The task raised an exception.";
    Crashed = "E3009", Command, true, "The task's sandbox was ended by a trap.";
    FileNotFound = "E3010", Caller, false, "A file or directory does not exist inside the sandbox.";
    FileDenied = "E3011", Caller, false, "A file or directory of the sandbox may not be read or changed.";
    WrongFileKind = "E3012", Caller, false, "A path is another kind of file than was asked for.";
    FileInTheWay = "E3013", Caller, false, "A name is taken, or a directory is not empty.";
    SandboxEnded = "E3014", Caller, false, "The sandbox has ended, or is about to.";
    ProcessEnded = "E3015", Caller, false, "The process has ended, or reads no input any more.";
    WrongState = "E3016", Caller, true, "The sandbox is in a state in which this cannot be done.";
    VolumeInUse = "E3017", Caller, true, "A sandbox has the volume, so it cannot be deleted.";
    MemoryLimit = "E4001", Limit, false, "The command used more memory than its limit.";
    ProcessLimit = "E4002", Limit, false, "The command tried to have more processes than its limit.";
    OutputLimit = "E4003", Limit, false, "The command wrote more output than its limit.";
    FuelExhausted = "E4004", Limit, false, "The task used up its compute budget.";
    CallLimit = "E4005", Limit, false, "The run made too many calls of tasks, or nested them too deeply.";
    DiskLimit = "E4006", Limit, false, "The private files reached their limit of bytes or of files.";
    ServerLimit = "E4007", Limit, true, "A limit of the server was reached: of sandboxes, processes, size or rate.";
    ForbiddenSystemCall = "E5001", Policy, false, "The command was killed for a system call that its profile forbids.";
    DeniedHost = "E5002", Policy, false, "The command tried to reach a host that is not allowed.";
    UnsafePath = "E5003", Policy, false, "A mount source goes through a symbolic link.";
    NotAuthorized = "E5004", Policy, false, "The request carries no API key that the server knows.";
    ForeignOrigin = "E5005", Policy, false, "The request came by way of a web page, or under a name that the server does not have.";
    NotPermitted = "E5006", Policy, false, "The operator of the server does not allow this.";
    SystemFailure = "E6001", Internal, true, "The operating system refused a call that should have succeeded.";
    OutOfResources = "E6002", Host, true, "This host is out of processes, descriptors or memory.";
    OutputClosed = "E6003", Host, false, "The output could not be delivered to the caller.";
    StoreFailed = "E6004", Host, true, "The server's state could not be read or written.";
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::ErrorCode;

    #[test]
    fn codes_are_unique_and_ordered() {
        let codes: Vec<_> = ErrorCode::ALL.iter().map(|code| code.code()).collect();
        let mut sorted = codes.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(codes, sorted);
    }
}
