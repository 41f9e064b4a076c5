//! `capsule serve` beside a plain Docker path: the same work over loopback JSON-RPC and over
//! the HTTP API of Docker's engine, in turns; and what many sandboxes, many clients and large
//! files cost.

mod clients;
mod docker;
mod large;
mod many;
mod ours;
mod report;
mod tree;

use std::path::PathBuf;

use capsule_spec::Failure;

use super::samples::Samples;
use super::show_progress;
use docker::Engine;
use ours::Server;
pub(crate) use report::Report;
use report::{Goal, Row};

/// A file of one megabyte.
const MEGABYTE: usize = 1_000_000;
/// Docker makes and removes a container in every so-manieth round only: it takes long.
const SLOW: u32 = 4;
/// Rounds that do not count: caches, and an engine's first container.
const WARM: u32 = 2;

/// What to measure.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) rounds: u32,
    /// The engine's socket; none: where the environment says.
    pub(crate) docker: Option<PathBuf>,
    pub(crate) without_docker: bool,
    /// The long ones, too.
    pub(crate) at_scale: bool,
}

/// Measures.
///
/// # Errors
/// When the server cannot be started, or one of its answers is not what it has to be.
pub(crate) fn serve(plan: &Plan) -> anyhow::Result<Report> {
    let mut report = Report::default();
    let engine = match plan.without_docker {
        true => Err("left out with --no-docker".to_owned()),
        false => Engine::connect(plan.docker.clone()),
    };
    side_by_side(plan.rounds, engine, &mut report)?;
    if plan.at_scale {
        type Part = fn(&mut Report) -> anyhow::Result<()>;
        let parts: [(&str, Part); 3] = [
            ("500 sandboxes", many::measure),
            ("1 GiB", large::measure),
            ("32 clients", clients::measure),
        ];
        for (name, part) in parts {
            // Minutes of figures are not thrown away for one that could not be had.
            if let Err(error) = part(&mut report) {
                report.missing.push((name.to_owned(), format!("{error:#}")));
            }
        }
    }
    Ok(report)
}

/// Ours and Docker's way of one piece of work.
struct Work {
    name: &'static str,
    ours: Samples,
    docker: Samples,
    goal: Option<f64>,
}

fn side_by_side(
    rounds: u32,
    engine: Result<Engine, String>,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut server = Server::start(&[])?;
    let id = server.create()?;
    let mut engine = match engine {
        Ok(engine) => Some(engine),
        Err(why) => {
            report.missing.push(("docker".to_owned(), why));
            None
        }
    };
    let mut container = match &mut engine {
        Some(engine) => Some(engine.create().map_err(said)?),
        None => None,
    };
    let work =
        |name, goal| Work { name, ours: Samples::default(), docker: Samples::default(), goal };
    let mut all = [
        work("exec /bin/true", Some(1.0 / 30.0)),
        work("create, exec, delete", Some(1.0 / 80.0)),
        work("write and read 1 MB", Some(1.0 / 10.0)),
        work("the same, PUT and GET", None),
    ];
    let file = vec![b'x'; MEGABYTE];
    for round in 0..rounds + WARM {
        show_progress(round, rounds + WARM);
        let counts = round >= WARM;
        let add = |samples: &mut Samples, time| {
            if counts {
                samples.add(time);
            }
        };
        add(&mut all[0].ours, server.time(|server| server.exec(&id))?);
        add(&mut all[1].ours, server.time(Server::whole_life)?);
        add(&mut all[2].ours, server.time(|server| server.file_in_json(&id, &file))?);
        add(&mut all[3].ours, server.time(|server| server.file(&id, &file))?);
        if let (Some(engine), Some(container)) = (&mut engine, &container) {
            add(&mut all[0].docker, engine.time(|engine| engine.exec(container)).map_err(said)?);
            let files = engine.time(|engine| engine.file(container, &file)).map_err(said)?;
            add(&mut all[2].docker, files);
            add(&mut all[3].docker, files);
            if round % SLOW == 0 {
                add(&mut all[1].docker, engine.time(Engine::whole_life).map_err(said)?);
            }
        }
    }
    show_progress(rounds, rounds);
    if let (Some(engine), Some(container)) = (&mut engine, container.take()) {
        engine.remove(&container).map_err(said)?;
    }
    for work in all {
        report.rows.push(Row::new(work.name, &work.ours, &work.docker, work.goal));
    }
    Ok(())
}

fn said(failure: Failure) -> anyhow::Error {
    anyhow::anyhow!("{failure}")
}

/// A figure that has a goal.
fn goal(name: &str, value: f64, unit: &'static str, most: f64) -> Goal {
    Goal { name: name.to_owned(), value, unit, most: Some(most) }
}

/// A figure that only tells.
fn figure(name: &str, value: f64, unit: &'static str) -> Goal {
    Goal { name: name.to_owned(), value, unit, most: None }
}
