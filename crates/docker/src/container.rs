//! What a recipe becomes as a container: pure, so that every restriction can be read, and
//! tested, in one place.

use std::collections::BTreeMap;

use capsule_backend::sandbox::{Recipe, Root};
use capsule_jail::resident::{ENTRANCE, OWN_FILES, OWN_PROCESSES};
use capsule_spec::{Access, ErrorCode, Failure, Limits, Network, Wall, WallState, WallStatus};
use serde_json::{Value, json};

use crate::engine::{Facts, Image};
use crate::{RELAY_ROLE, ROLE};

/// The user inside, and so outside, unless the engine maps users.
pub(crate) const USER: u32 = 1000;
/// Where Capsule's program is inside.
const PROGRAM: &str = "/.capsule/init";
/// What gVisor's kernel and gofer need for themselves.
const KERNEL_MEMORY: u64 = 128 << 20;
const KERNEL_THREADS: u32 = 4096;
/// And for each process.
const KERNEL_THREADS_EACH: u32 = 4;
/// Which containers are whose.
pub(crate) const STATE_LABEL: &str = "dev.capsule.state";
pub(crate) const NAME_LABEL: &str = "dev.capsule.sandbox";

/// The clean base, below the image's variables and the recipe's.
const BASE: [(&str, &str); 6] = [
    ("HOME", "/workspace"),
    ("LANG", "C.UTF-8"),
    ("LOGNAME", "capsule"),
    ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    ("TMPDIR", "/tmp"),
    ("USER", "capsule"),
];

/// What a container is made for.
pub(crate) struct Order<'a> {
    pub(crate) name: &'a str,
    pub(crate) recipe: &'a Recipe,
    pub(crate) image: &'a Image,
    pub(crate) runtime: &'a str,
    /// Paths of the host.
    pub(crate) program: &'a str,
    /// None: nothing but bytes gets in or out, and the first process is the relay.
    pub(crate) entrance: Option<&'a str>,
    pub(crate) state: &'a str,
}

/// The image of a recipe.
pub(crate) fn image_of(recipe: &Recipe) -> Result<&str, Failure> {
    match &recipe.root {
        Root::Image(name) => Ok(name),
        Root::Host | Root::Directory(_) => Err(Failure::new(
            ErrorCode::InvalidValue,
            "a container's root is an image; the template names none",
        )
        .hint("start the server with --image TEMPLATE=IMAGE")),
    }
}

/// The container, as the engine wants it told.
pub(crate) fn container(order: &Order<'_>) -> Result<Value, Failure> {
    let Order { recipe, image, .. } = order;
    if let Some(path) = image.volumes.first() {
        // Each would be a directory of the host without a limit.
        let message = format!("the image declares a volume, {path:?}, whose size nobody limits");
        return Err(Failure::new(ErrorCode::ImageUnavailable, message)
            .hint("build one from it without VOLUME"));
    }
    let limits = &recipe.limits;
    let network = match recipe.policy.network {
        Network::Open => "default",
        // The door of the hosts is opened from outside, as in a jail.
        Network::Denied | Network::Hosts(_) => "none",
    };
    let bound = |source: &str, target: &str, read_only: bool| {
        json!({
            "Type": "bind", "Source": source, "Target": target, "ReadOnly": read_only,
            "BindOptions": { "Propagation": "rprivate", "NonRecursive": true },
        })
    };
    let mut mounts = vec![bound(order.program, PROGRAM, true)];
    mounts.extend(order.entrance.map(|entrance| bound(entrance, ENTRANCE, true)));
    for mount in &recipe.policy.files {
        let source = mount.source.to_string();
        let target = mount.destination.to_string();
        mounts.push(bound(&source, &target, mount.access == Access::ReadOnly));
    }
    let open_files = OWN_FILES.max(limits.open_files.into());
    let limit = |name: &str, most: u64| json!({ "Name": name, "Soft": most, "Hard": most });
    let Terms { role, user, capabilities, memory, processes } = Terms::of(order);
    Ok(json!({
        "Image": image.id,
        "Entrypoint": [PROGRAM, role],
        "Cmd": [],
        "User": format!("{user}:{user}"),
        "WorkingDir": "/",
        "Hostname": "capsule",
        "Env": [],
        "Tty": false,
        "OpenStdin": order.entrance.is_none(),
        "StdinOnce": false,
        // An engine that stops waits for nobody: a first process has nothing to say to SIGTERM.
        "StopSignal": "SIGKILL",
        "AttachStdin": false, "AttachStdout": false, "AttachStderr": false,
        "Healthcheck": { "Test": ["NONE"] },
        "Labels": { STATE_LABEL: order.state, NAME_LABEL: order.name },
        "HostConfig": {
            "Runtime": order.runtime,
            // When PID 1 ends, for whatever reason, nothing is left, also without a server.
            "AutoRemove": true,
            "RestartPolicy": { "Name": "no" },
            // Capsule's own reaps.
            "Init": false,
            "Privileged": false,
            "ReadonlyRootfs": true,
            "CapDrop": ["ALL"],
            "CapAdd": (!capabilities.is_empty()).then_some(capabilities),
            "SecurityOpt": ["no-new-privileges:true"],
            "NetworkMode": network,
            "PublishAllPorts": false,
            "IpcMode": "private",
            "CgroupnsMode": "private",
            "PidsLimit": processes,
            "Memory": memory,
            // Of both together: no swap.
            "MemorySwap": memory,
            "CpuShares": limits.cpu_shares,
            "NanoCpus": limits.cpus.map_or(0, |quota| u64::from(quota.thousandths()) * 1_000_000),
            "OomScoreAdj": 500,
            "Ulimits": [limit("nofile", open_files), limit("core", 1)],
            // Programs write to the server's pipes; PID 1 writes nothing.
            "LogConfig": { "Type": "none" },
            "Tmpfs": private_places(limits),
            "Mounts": mounts,
        },
    }))
}

/// What differs by the first process.
struct Terms {
    role: &'static str,
    user: u32,
    capabilities: &'static [&'static str],
    memory: u64,
    processes: u32,
}

impl Terms {
    fn of(order: &Order<'_>) -> Self {
        let limits = &order.recipe.limits;
        let (memory, processes) = (limits.memory.bytes(), limits.max_pids);
        let processes = processes.saturating_add(OWN_PROCESSES);
        if order.entrance.is_some() {
            return Self { role: ROLE, user: USER, capabilities: &[], memory, processes };
        }
        Self {
            role: RELAY_ROLE,
            // Inside a kernel of its own. It gives up all but the right to become the user that
            // programs run as: see `capsule_jail::resident::relay`.
            user: 0,
            capabilities: &["SETGID", "SETUID"],
            // Both are of that kernel and all that it runs, and exceeding them ends it: the
            // sandbox's own limit on memory is looked after from here.
            memory: memory.saturating_add(KERNEL_MEMORY),
            processes: processes.saturating_mul(KERNEL_THREADS_EACH).saturating_add(KERNEL_THREADS),
        }
    }
}

/// Private files are memory: they get three quarters of it at most, so that something can
/// still run. Each place is a file system of its own, and all together have the limit.
fn private_places(limits: &Limits) -> BTreeMap<&'static str, String> {
    const INODE_BYTES: u64 = 1024;
    let memory = limits.memory.bytes();
    let bytes = limits.disk.bytes().min(memory / 4 * 3);
    let inodes = limits.disk_inodes.min((memory / 8 / INODE_BYTES).max(1024));
    // Sixteenths.
    [("/workspace", 12), ("/tmp", 3), ("/dev/shm", 1)]
        .map(|(place, share)| {
            let (bytes, inodes) = (bytes / 16 * share, (inodes / 16 * share).max(64));
            // The sticky bit is for what has several users; here is one.
            let mode = if place == "/workspace" { "0755" } else { "1777" };
            let size = format!("size={bytes},nr_inodes={inodes}");
            (place, format!("rw,nosuid,nodev,exec,{size},mode={mode},uid={USER},gid={USER}"))
        })
        .into()
}

/// Variables of every program: a clean base, the image's, the recipe's.
pub(crate) fn environment(image: &Image, recipe: &Recipe) -> Vec<String> {
    let mut variables: BTreeMap<String, String> =
        BASE.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let pairs = image.environment.iter().filter_map(|variable| variable.split_once('='));
    variables.extend(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
    variables.extend(recipe.policy.environment.clone());
    variables.iter().map(|(name, value)| format!("{name}={value}")).collect()
}

/// How well every wall stands for a recipe.
pub(crate) fn walls(facts: &Facts, network: &Network, is_gvisor: bool) -> Vec<WallStatus> {
    let state = |wall: Wall| match wall {
        _ if is_gvisor && gvisor(wall).is_some() => gvisor(wall).unwrap_or(WallState::Full),
        Wall::User if !facts.maps_users => WallState::Weaker(format!(
            "no user namespace: the user inside is the host's user {USER}, never root"
        )),
        Wall::Network if *network == Network::Open => {
            WallState::Absent("the sandbox is in the engine's network".to_owned())
        }
        Wall::Time => {
            WallState::Absent("the engine gives a container no clock of its own".to_owned())
        }
        Wall::Landlock => WallState::Absent("the mounts of a container stand alone".to_owned()),
        // In namespaces of its own there is nobody to reach.
        Wall::Memory if !facts.limits_memory => not_limited(),
        Wall::Memory if !facts.limits_swap => WallState::Weaker(
            "this kernel does not count swap: what is swapped out is beyond the limit".to_owned(),
        ),
        Wall::Pids if !facts.limits_processes => not_limited(),
        Wall::Cpu if !facts.limits_processor => not_limited(),
        _ => WallState::Full,
    };
    let remedy = |wall: Wall, state: &WallState| match (wall, state) {
        (_, WallState::Full) => None,
        _ if is_gvisor && gvisor(wall).is_some() => None,
        (Wall::User, _) => Some("start the engine with userns-remap, or rootless"),
        (Wall::Memory, _) => Some("boot with swapaccount=1, or switch swap off"),
        _ => None,
    };
    let status = |wall: &Wall| {
        let state = state(*wall);
        let remedy = remedy(*wall, &state).map(str::to_owned);
        WallStatus { wall: *wall, state, remedy }
    };
    Wall::ALL.iter().map(status).collect()
}

/// What stands differently where the sandbox has a kernel of its own.
fn gvisor(wall: Wall) -> Option<WallState> {
    let why = match wall {
        Wall::User => {
            "the user inside is known to gVisor's kernel only; that one is a process of the engine's"
        }
        Wall::Memory => {
            "it is looked at 20 times a second; the engine's limit, which is wider, ends the sandbox"
        }
        Wall::Pids => {
            "gVisor counts no processes: a limit on its threads, which is wider, ends the sandbox"
        }
        Wall::Disk => "gVisor limits bytes and counts no names, which are memory",
        _ => return None,
    };
    Some(WallState::Weaker(why.to_owned()))
}

fn not_limited() -> WallState {
    WallState::Absent("the engine cannot limit it on this host".to_owned())
}

/// Refuses a recipe that demands a wall which does not fully stand.
pub(crate) fn demand(recipe: &Recipe, walls: &[WallStatus]) -> Result<(), Failure> {
    let is_demanded = |status: &&WallStatus| {
        recipe.require.contains(&status.wall) && status.state != WallState::Full
    };
    let Some(status) = walls.iter().find(is_demanded) else { return Ok(()) };
    let why = match &status.state {
        WallState::Full => "",
        WallState::Weaker(why) | WallState::Absent(why) => why,
    };
    let message =
        format!("the wall {:?} is required and would not fully stand: {why}", status.wall.name());
    let failure = Failure::new(ErrorCode::WallUnavailable, message);
    Err(match &status.remedy {
        Some(remedy) => failure.hint(remedy.clone()),
        None => failure,
    })
}

#[cfg(test)]
mod tests {
    use capsule_spec::{ByteSize, Policy};

    use super::*;

    fn recipe() -> Recipe {
        Recipe {
            root: Root::Image("shell".to_owned()),
            limits: Limits::default(),
            policy: Policy::default(),
            require: Vec::new(),
            volumes: Vec::new(),
        }
    }

    fn image() -> Image {
        Image {
            id: "sha256:1".to_owned(),
            environment: vec!["PATH=/opt/bin".to_owned(), "A=image".to_owned()],
            volumes: Vec::new(),
        }
    }

    fn made(recipe: &Recipe, image: &Image) -> Result<Value, Failure> {
        container(&Order {
            name: "box",
            recipe,
            image,
            runtime: "runc",
            program: "/opt/capsule",
            entrance: Some("/state/box.entrance"),
            state: "/state",
        })
    }

    #[test]
    fn every_restriction_is_there() {
        let container = made(&recipe(), &image()).unwrap();
        let host = &container["HostConfig"];
        assert_eq!(container["User"], json!("1000:1000"));
        for (field, value) in [
            ("ReadonlyRootfs", json!(true)),
            ("CapDrop", json!(["ALL"])),
            ("SecurityOpt", json!(["no-new-privileges:true"])),
            ("Privileged", json!(false)),
            ("NetworkMode", json!("none")),
            ("IpcMode", json!("private")),
            ("AutoRemove", json!(true)),
            ("PidsLimit", json!(132)),
            ("Memory", json!(256 << 20)),
            ("MemorySwap", json!(256 << 20)),
            ("CpuShares", json!(1024)),
        ] {
            assert_eq!(host[field], value, "{field}");
        }
        // Nothing of the host can be written.
        let mounts = host["Mounts"].as_array().unwrap();
        assert_eq!(mounts.len(), 2);
        assert!(mounts.iter().all(|mount| mount["ReadOnly"] == json!(true)));
        assert!(host.get("Binds").is_none() && host["CapAdd"].is_null());
    }

    #[test]
    fn a_kernel_of_its_own_is_told_apart() {
        let (recipe, image) = (recipe(), image());
        let distant = container(&Order {
            name: "box",
            recipe: &recipe,
            image: &image,
            runtime: "runsc",
            program: "/opt/capsule",
            entrance: None,
            state: "/state",
        })
        .unwrap();
        let host = &distant["HostConfig"];
        assert_eq!((&distant["User"], &distant["OpenStdin"]), (&json!("0:0"), &json!(true)));
        assert_eq!(distant["Entrypoint"], json!([PROGRAM, RELAY_ROLE]));
        assert_eq!(host["CapDrop"], json!(["ALL"]));
        assert_eq!(host["CapAdd"], json!(["SETGID", "SETUID"]));
        assert_eq!(host["Memory"], json!((256 << 20) + KERNEL_MEMORY));
        assert_eq!(host["Mounts"].as_array().unwrap().len(), 1);
        for (field, value) in [
            ("ReadonlyRootfs", json!(true)),
            ("SecurityOpt", json!(["no-new-privileges:true"])),
            ("Privileged", json!(false)),
            ("NetworkMode", json!("none")),
        ] {
            assert_eq!(host[field], value, "{field}");
        }
        let facts = Facts { limits_memory: true, limits_swap: true, ..Facts::default() };
        let walls = walls(&facts, &Network::Denied, true);
        let weaker =
            |wall| walls.iter().any(|one| one.wall == wall && one.state != WallState::Full);
        assert!([Wall::User, Wall::Memory, Wall::Pids, Wall::Disk].into_iter().all(weaker));
        assert!(!weaker(Wall::Seccomp) && !weaker(Wall::Network));
    }

    #[test]
    fn private_files_have_one_limit_together() {
        let mut limits = Limits { memory: ByteSize::from_mib(64), ..Limits::default() };
        let number = |text: &str, name: &str| -> u64 {
            let value = text.split(',').find_map(|option| option.strip_prefix(name)).unwrap();
            value.parse().unwrap()
        };
        let sum = |limits: &Limits| -> u64 {
            private_places(limits).values().map(|options| number(options, "size=")).sum()
        };
        assert_eq!(sum(&limits), 48 << 20);
        limits.disk = ByteSize::from_mib(16);
        assert_eq!(sum(&limits), 16 << 20);
        assert!(private_places(&limits).values().all(|options| options.contains("nosuid,nodev")));
    }

    #[test]
    fn variables_come_over_the_images() {
        let mut recipe = recipe();
        recipe.policy.environment.insert("A".to_owned(), "recipe".to_owned());
        let variables = environment(&image(), &recipe);
        assert!(variables.contains(&"A=recipe".to_owned()), "{variables:?}");
        assert!(variables.contains(&"PATH=/opt/bin".to_owned()), "{variables:?}");
        assert!(variables.contains(&"HOME=/workspace".to_owned()), "{variables:?}");
    }

    #[test]
    fn what_cannot_be_limited_is_refused() {
        let image = Image { volumes: vec!["/data".to_owned()], ..image() };
        assert_eq!(made(&recipe(), &image).unwrap_err().code, ErrorCode::ImageUnavailable);
        let host = Recipe { root: Root::Host, ..recipe() };
        assert_eq!(image_of(&host).unwrap_err().code, ErrorCode::InvalidValue);
    }

    #[test]
    fn a_wall_that_is_required_and_weak_refuses() {
        let facts = Facts { limits_memory: true, limits_swap: false, ..Facts::default() };
        let walls = walls(&facts, &Network::Denied, false);
        assert_eq!(walls.len(), Wall::ALL.len());
        for wall in [Wall::Memory, Wall::User, Wall::Pids, Wall::Landlock] {
            let recipe = Recipe { require: vec![wall], ..recipe() };
            let refused = demand(&recipe, &walls).unwrap_err();
            assert_eq!(refused.code, ErrorCode::WallUnavailable, "{wall}");
        }
        let recipe = Recipe { require: vec![Wall::Seccomp, Wall::Mount], ..recipe() };
        assert!(demand(&recipe, &walls).is_ok());
    }
}
