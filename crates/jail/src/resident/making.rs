//! How a sandbox comes to be, is found again, and what is removed when it is over.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use capsule_backend::sandbox::Recipe;
use capsule_spec::{ErrorCode, Failure, Network, WallState};

use super::enclosed::{self, Order};
use super::group::{Grouping, Joining, Places};
use super::record::Record;
use super::sandbox::{Resident, rules_of};
use super::walls::{Enclosure, Walls};
use super::{Shared, build, errors, lock, state, sys, volumes};
use crate::cgroup::{Controller, Layout};

/// What the kernel may take to end every process of a sandbox.
const LAST_WAIT: Duration = Duration::from_secs(10);

/// A sandbox that nobody holds yet. Dropped, it leaves nothing.
struct Built {
    shared: Arc<Shared>,
    name: String,
    pid: i32,
    pidfd: Option<OwnedFd>,
    socket: Option<OwnedFd>,
    grouping: Arc<Grouping>,
    record: Record,
    joining: Option<Joining>,
}

impl Drop for Built {
    fn drop(&mut self) {
        if let (Some(walls), true) = (&self.shared.walls, self.pidfd.is_some()) {
            let _ = walls.remove(&self.name);
            let _ = self.shared.state.remove(&self.name);
        } else if let Some(pidfd) = &self.pidfd {
            crate::sys::kill(pidfd.as_fd(), libc::SIGKILL);
            let _ = crate::sys::reap(self.pid);
            leave_nothing(&self.shared, &self.name, &self.grouping, self.record.outside_user);
        }
    }
}

/// A sandbox whose maker may give up yet. Dropped, it ends.
struct Unclaimed(Option<Arc<Resident>>);

impl Unclaimed {
    fn claim(mut self) -> Arc<Resident> {
        self.0.take().expect("it is taken here only, and this ends the waiting")
    }
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        if let Some(resident) = &self.0 {
            resident.kill();
        }
    }
}

pub(super) fn name_is_taken(name: &str) -> Failure {
    Failure::new(ErrorCode::WrongState, format!("there is already a sandbox called {name:?}"))
}

/// What is to be removed when every process is gone. Blocks for moments.
pub(super) fn leave_nothing(shared: &Shared, name: &str, grouping: &Grouping, user: u32) {
    if let Some(walls) = &shared.walls {
        // What fails is found by who looks for orphans.
        let _ = walls.remove(name);
    }
    // Who built walls may be at these still, or have given them up.
    grouping.remove();
    let _ = shared.state.remove(name);
    lock(&shared.users).remove(&user);
}

impl Resident {
    pub(super) async fn create(
        shared: &Arc<Shared>,
        name: &str,
        recipe: &Recipe,
    ) -> Result<Arc<Self>, Failure> {
        if !state::is_name(name) {
            let what = format!("{name:?} is not a name for a sandbox");
            return Err(Failure::new(ErrorCode::InvalidValue, what)
                .hint("letters, digits and \"-\", at most 64"));
        }
        let reserved = shared.reserve(name)?;
        if shared.walls.is_some() && !recipe.volumes.is_empty() {
            return Err(Failure::new(
                ErrorCode::VolumesUnavailable,
                "sandboxes in containers have no volumes",
            )
            .hint("start the server with --backend jail"));
        }
        // Before anybody knocks at its socket: PID 1 leaves its server for a new one.
        if shared.find(name).is_some() {
            return Err(name_is_taken(name));
        }
        let built = {
            let (shared, name, recipe) = (shared.clone(), name.to_owned(), recipe.clone());
            // The thread keeps the name, also when nobody waits for it any more.
            let work = move || match shared.walls.clone() {
                None => (Built::new(shared, name, &recipe), reserved),
                Some(walls) => (Built::enclosed(shared, &*walls, name, &recipe), reserved),
            };
            tokio::task::spawn_blocking(work).await.map_err(|_| errors::no_answer())?
        };
        let (built, _reserved) = built;
        let built = built?;
        let unclaimed = Unclaimed(Some(built.into_resident()?));
        let resident = unclaimed.0.clone().expect("it was just put there");
        resident.connection.greet().await?;
        resident.prepare_watch().await;
        if let Network::Hosts(_) = &recipe.policy.network {
            resident.change_network(&recipe.policy.network).await?;
        }
        Ok(unclaimed.claim())
    }

    /// One that an earlier server made; `None` if it is not there any more.
    pub(super) async fn adopt(
        shared: &Arc<Shared>,
        name: &str,
    ) -> Result<Option<Arc<Self>>, Failure> {
        if !state::is_name(name) {
            return Ok(None);
        }
        let connected = shared.state.connect(name);
        let Some(socket) = connected.map_err(|error| errors::system("reach a sandbox", error))?
        else {
            put_down(shared, name).await?;
            return Ok(None);
        };
        let Some(record) = shared.state.read(name) else {
            drop(socket);
            put_down(shared, name).await?;
            return Ok(None);
        };
        let (pid, pidfd) = match sys::peer(socket.as_fd()) {
            Ok(peer) => peer,
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {
                drop(socket);
                put_down(shared, name).await?;
                return Ok(None);
            }
            Err(error) => return Err(errors::system("reach a sandbox", error)),
        };
        let grouping = Arc::new(Grouping::take_over(&record.groups, record.freezer.as_ref()));
        let was_frozen = record.frozen;
        // To be asked what there is; it is stopped again below. A server that died while it
        // stopped it may not have come to write that down.
        if shared.walls.is_some() {
            let name = name.to_owned();
            let thawed = shared.ask_walls(move |walls| walls.freeze(&name, false)).await;
            thawed.transpose()?;
        } else if !was_frozen || grouping.stops_init() {
            let _ = grouping.go();
        }
        lock(&shared.users).insert(record.outside_user);
        let resident =
            Self::assemble(shared.clone(), name, (pid, pidfd, socket), grouping, record, None)?;
        let asked = match resident.connection.greet().await {
            Ok(()) => resident.list_processes().await,
            Err(failure) => Err(failure),
        };
        if let Err(failure) = asked {
            // One that ends in this moment is as one that has ended before, and no reason for
            // its server not to start.
            return match tokio::time::timeout(LAST_WAIT, resident.await_end()).await {
                Ok(()) => Ok(None),
                Err(_) => Err(failure),
            };
        }
        resident.prepare_watch().await;
        let rules = rules_of(&lock(&resident.record));
        if !rules.is_empty() {
            // The old one ended with its server. Without a new one nothing is let out.
            let _ = resident.change_network(&Network::Hosts(rules)).await;
        }
        if was_frozen {
            resident.stop_or_go(true).await?;
        }
        Ok(Some(resident))
    }
}

impl Built {
    fn new(shared: Arc<Shared>, name: String, recipe: &Recipe) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => name_is_taken(&name),
            _ => errors::system("open a socket", error),
        };
        let host = &shared.host;
        let plan = build::plan(recipe, host, &shared.images, || shared.draw_user())?;
        let user = plan.identity.outside_user;
        let forget_user = |failure| {
            lock(&shared.users).remove(&user);
            failure
        };
        let listener = shared.state.bind(&name).map_err(failed).map_err(forget_user)?;
        let layout = &host.cgroups;
        let joins_first = matches!(layout, Layout::V2 { .. }) || plan.limits_before_start;
        let begin = || {
            let group = match joins_first {
                true => Grouping::create(layout, &plan.limits)?,
                false => None,
            };
            let weaker = plan.walls.iter().filter(|wall| !matches!(wall.state, WallState::Full));
            let record = Record {
                pid: 0,
                inside_user: plan.identity.inside,
                outside_user: user,
                outside_group: plan.identity.outside_group,
                mapped_by_supervisor: plan.identity.mapped_by_supervisor,
                environment: plan.environment.clone(),
                weaker: weaker.cloned().collect(),
                memory_bytes: plan.limits.memory.bytes(),
                own_memory: 0,
                adds_up_memory: !layout.has(Controller::Memory),
                shares_network: plan.shares_network,
                hosts: Vec::new(),
                groups: group.as_ref().map(crate::cgroup::Group::places).unwrap_or_default(),
                freezer: None,
                frozen: false,
            };
            Ok((group, record))
        };
        let clear = |failure: Failure| {
            let _ = shared.state.remove(&name);
            forget_user(failure)
        };
        let (group, mut record) = begin().map_err(clear)?;
        let target = group.as_ref().and_then(crate::cgroup::Group::clone_target);
        let volumes = volumes::open(&plan, recipe, &shared.images);
        let started = volumes
            .and_then(|volumes| build::start(&plan, volumes, &listener, shared.lease, target));
        let finished = started.and_then(|building| {
            record.pid = building.pid;
            if let (Some(group), Layout::V1 { .. }) = (&group, layout) {
                group.attach(building.pid).map_err(|error| errors::group(&error))?;
            }
            shared.state.write(&name, &record).map_err(|error| {
                Failure::new(ErrorCode::StoreFailed, "the sandbox's record could not be written")
                    .detail("reason", error.kind())
            })?;
            building.finish(&plan).map_err(|failure| volumes::misplaced(recipe, failure))
        });
        let joining = Some(Joining::new(&plan, layout));
        let grouping = Arc::new(Grouping::of(group));
        let pidfd = match finished {
            Ok(pidfd) => pidfd,
            Err(failure) => {
                grouping.remove();
                return Err(clear(failure));
            }
        };
        let pid = record.pid;
        let mut built =
            Self { shared, name, pid, pidfd: Some(pidfd), socket: None, grouping, record, joining };
        drop(listener);
        built.connect()?;
        Ok(built)
    }

    /// As [`Built::new`], within walls of somebody else.
    fn enclosed(
        shared: Arc<Shared>,
        walls: &dyn Walls,
        name: String,
        recipe: &Recipe,
    ) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => name_is_taken(&name),
            _ => errors::system("open a socket", error),
        };
        let listener = shared.state.bind(&name).map_err(failed)?;
        let begin = || {
            let (entrance, path) = shared.state.open_entrance(&name).map_err(failed)?;
            let enclosure = walls.build(&name, recipe, Some(&path))?;
            let (grouping, groups) = Grouping::of_process(enclosure.pid);
            let record = record_of(&enclosure, recipe, groups);
            // Before it can outlive this server.
            shared.state.write(&name, &record).map_err(|error| {
                Failure::new(ErrorCode::StoreFailed, "the sandbox's record could not be written")
                    .detail("reason", error.kind())
            })?;
            let pidfd = sys::open_process(record.pid)
                .map_err(|error| errors::system("watch a sandbox", error))?;
            let order = Order::new(shared.lease, &recipe.limits, recipe.policy.seccomp);
            enclosed::admit(&entrance, (record.pid, &pidfd), &listener, &order)?;
            drop(entrance);
            shared.state.close_entrance(&name).map_err(failed)?;
            Ok((pidfd, grouping, record))
        };
        let begun = begin().inspect_err(|_: &Failure| {
            let _ = walls.remove(&name);
            let _ = shared.state.remove(&name);
        });
        let (pidfd, grouping, record) = begun?;
        let joining = None;
        let pid = record.pid;
        let grouping = Arc::new(grouping);
        let mut built =
            Self { shared, name, pid, pidfd: Some(pidfd), socket: None, grouping, record, joining };
        drop(listener);
        built.connect()?;
        Ok(built)
    }

    fn connect(&mut self) -> Result<(), Failure> {
        let socket = self.shared.state.connect(&self.name);
        self.socket = socket.map_err(|error| errors::system("reach the sandbox", error))?;
        Ok(())
    }

    fn into_resident(mut self) -> Result<Arc<Resident>, Failure> {
        let socket = self.socket.take().ok_or_else(errors::ended)?;
        let pidfd = self.pidfd.as_ref().ok_or_else(errors::ended)?.try_clone();
        let pidfd = pidfd.map_err(|error| errors::system("watch a sandbox", error))?;
        let parts = (self.pid, pidfd, socket);
        let (grouping, record) = (self.grouping.clone(), self.record.clone());
        let joining = self.joining.clone();
        let made =
            Resident::assemble(self.shared.clone(), &self.name, parts, grouping, record, joining)?;
        // It is held now.
        self.pidfd = None;
        Ok(made)
    }
}

/// What the next server must know of a sandbox in walls of somebody else.
pub(super) fn record_of(enclosure: &Enclosure, recipe: &Recipe, groups: Places) -> Record {
    Record {
        pid: enclosure.pid,
        inside_user: enclosure.user,
        outside_user: enclosure.user,
        outside_group: enclosure.user,
        // So that a door of root gets a user of its own.
        mapped_by_supervisor: crate::sys::effective_user() == 0,
        environment: enclosure.environment.clone(),
        weaker: enclosure.weaker.clone(),
        memory_bytes: recipe.limits.memory.bytes(),
        own_memory: 0,
        adds_up_memory: false,
        shares_network: recipe.policy.network == Network::Open,
        hosts: Vec::new(),
        groups,
        freezer: None,
        frozen: false,
    }
}

/// Ends a sandbox that nobody holds, and removes what is there of its name. Says whether
/// it lived.
pub(super) async fn put_down(shared: &Arc<Shared>, name: &str) -> Result<bool, Failure> {
    let (shared, name) = (shared.clone(), name.to_owned());
    let work = move || {
        let failed = |error| errors::system("end a sandbox", error);
        if let Some(walls) = &shared.walls {
            let record = shared.state.read(&name);
            let lived = walls.remove(&name)?;
            if let Some(record) = record {
                Grouping::take_over(&record.groups, None).remove();
            }
            shared.state.remove(&name).map_err(failed)?;
            return Ok(lived);
        }
        let record = shared.state.read(&name);
        let take_over =
            |record: &Record| Grouping::take_over(&record.groups, record.freezer.as_ref());
        let grouping = record.as_ref().map(take_over);
        let lived = match shared.state.connect(&name).map_err(failed)? {
            None => false,
            Some(socket) => {
                let (_, pidfd) = sys::peer(socket.as_fd()).map_err(failed)?;
                crate::sys::kill(pidfd.as_fd(), libc::SIGKILL);
                if let Some(grouping) = &grouping {
                    let _ = grouping.go();
                }
                await_exit(&pidfd);
                true
            }
        };
        if let Some(grouping) = grouping {
            // What was stopped when its lease was over has waited for this to end.
            let _ = grouping.go();
            grouping.await_empty(LAST_WAIT);
            grouping.remove();
        }
        shared.state.remove(&name).map_err(failed)?;
        Ok(lived)
    };
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(errors::no_answer()))
}

fn await_exit(pidfd: &OwnedFd) {
    let mut fds = [rustix::event::PollFd::new(pidfd, rustix::event::PollFlags::IN)];
    let patience = rustix::time::Timespec { tv_sec: LAST_WAIT.as_secs() as i64, tv_nsec: 0 };
    let _ = rustix::event::poll(&mut fds, Some(&patience));
}
