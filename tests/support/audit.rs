//! The leak audit: what a run may have left on the host.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use capsule_jail::groups;

/// Host users of a jail of root, and of its door, count from here on.
const JAIL_USERS: u32 = 0x7000_0000;
const DOOR_USERS: u32 = 0x7800_0000;
/// Dying processes and their groups take a moment on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

/// The name of the variable that marks every process of a run that was not executed anew.
pub(crate) const MARK: &str = "CAPSULE_TEST_MARK";

/// What a run would be known by if something of it were left.
#[derive(Clone, Debug)]
pub struct Traces {
    /// In the arguments and the environment of the supervisor and of what it
    /// clones: PID 1 and the door. While any process of the jail lives, so does PID 1.
    pub(crate) mark: String,
    /// The supervisor.
    pub(crate) pid: u32,
    /// Where it could have left files, and from where it could have left mounts.
    pub(crate) folder: PathBuf,
    /// The control groups before it: which of the new ones are its own cannot be told.
    pub(crate) groups: groups::Audit,
}

impl Traces {
    /// Waits for the last trace to go.
    ///
    /// # Panics
    /// With a list of what is left.
    #[track_caller]
    pub fn assert_gone(&self) {
        let left = self.left(PATIENCE);
        assert!(left.is_empty(), "left behind:\n{}", left.join("\n"));
    }

    /// Waits for all to go but control groups, which a killed supervisor cannot remove.
    ///
    /// # Panics
    /// With a list of what is left.
    #[track_caller]
    pub(crate) fn assert_only_groups_left(&self) {
        let left = self.left_but_groups(PATIENCE);
        assert!(left.is_empty(), "left behind:\n{}", left.join("\n"));
    }

    /// What is left when it had `patience` to go, twice: control groups go last.
    pub fn left(&self, patience: Duration) -> Vec<String> {
        let mut left = self.left_but_groups(patience);
        let groups = self.groups.left(patience);
        left.extend(groups.iter().map(|group| format!("control group {}", group.display())));
        left
    }

    fn left_but_groups(&self, patience: Duration) -> Vec<String> {
        let deadline = Instant::now() + patience;
        loop {
            let mut left = self.processes();
            left.extend(self.mounts());
            left.extend(self.files());
            if left.is_empty() || Instant::now() >= deadline {
                return left;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn processes(&self) -> Vec<String> {
        let own = std::process::id().to_string();
        let folders = fs::read_dir("/proc").into_iter().flatten().flatten();
        let processes = folders.filter(|folder| {
            let name = folder.file_name();
            let name = name.to_str().unwrap_or_default();
            name.bytes().all(|byte| byte.is_ascii_digit()) && name != own
        });
        processes
            .filter(|folder| self.is_ours(&folder.path()))
            .map(|folder| {
                let command = fs::read(folder.path().join("cmdline")).unwrap_or_default();
                let command = String::from_utf8_lossy(&command).replace('\0', " ");
                format!("process {} {command}", folder.file_name().display())
            })
            .collect()
    }

    fn is_ours(&self, process: &Path) -> bool {
        let status = fs::read_to_string(process.join("status")).unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()
        };
        // Dead, and somebody else's to reap.
        if field("State:").is_none_or(|state| state == "Z" || state == "X") {
            return false;
        }
        let user: Option<u32> = field("Uid:").and_then(|user| user.parse().ok());
        let holds_mark = |file: &str| {
            let contents = fs::read(process.join(file)).unwrap_or_default();
            contents.windows(self.mark.len()).any(|part| part == self.mark.as_bytes())
        };
        user == Some(JAIL_USERS + self.pid)
            || user == Some(DOOR_USERS + self.pid)
            || holds_mark("cmdline")
            || holds_mark("environ")
    }

    fn mounts(&self) -> Vec<String> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let folder = self.folder.to_string_lossy();
        let ours = mounts.lines().filter(|line| line.contains(&*folder));
        ours.map(|line| format!("mount {line}")).collect()
    }

    /// New files where a program leaves them: its temporary folder, its home, and
    /// what the jail's user owns in the common places.
    fn files(&self) -> Vec<String> {
        let entries = |folder: &Path| -> Vec<PathBuf> {
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            entries.map(|entry| entry.path()).collect()
        };
        let own = ["tmp", "home"].into_iter().flat_map(|name| entries(&self.folder.join(name)));
        let common = ["/tmp", "/var/tmp", "/dev/shm", "/run", "/dev/mqueue"]
            .into_iter()
            .flat_map(|name| entries(Path::new(name)))
            .filter(|path| {
                fs::symlink_metadata(path).is_ok_and(|entry| {
                    [JAIL_USERS + self.pid, DOOR_USERS + self.pid].contains(&entry.uid())
                })
            });
        own.chain(common).map(|path| format!("file {}", path.display())).collect()
    }
}
