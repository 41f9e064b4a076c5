//! Measures sandboxes that live on: `cargo run --release --example residents [COUNT]`.
//!
//! Times in microseconds: the shortest, the middle one and the 99th of a hundred.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use capsule_backend::sandbox::{OpenMode, Program, Recipe, Root, Sandbox, Sandboxes};
use capsule_jail::resident::Residents;
use capsule_spec::{Failure, Limits, Policy};

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let measured = runtime.expect("a runtime starts").block_on(measure());
    if let Err(failure) = measured {
        eprintln!("{failure}");
        std::process::exit(1);
    }
}

#[allow(clippy::print_stdout, reason = "figures are this program's output")]
async fn measure() -> Result<(), Failure> {
    let count = std::env::args().nth(1).and_then(|word| word.parse().ok()).unwrap_or(100);
    let folder = std::env::temp_dir().join(format!("capsule-measure-{}", std::process::id()));
    let residents = Residents::open(&folder, Duration::from_secs(60))?;
    let one = residents.create("one", &recipe()).await?;
    run(&one).await?;
    tokio::time::sleep(Duration::from_millis(100)).await;
    report("exec /bin/true", 300, || run(&one)).await?;
    let bytes = vec![7u8; 1 << 20];
    report("write 1 MiB", 100, || write(&one, &bytes)).await?;
    report("read 1 MiB", 100, || read(&one)).await?;
    report("stat", 300, async || one.stat("/workspace/file").await.map(drop)).await?;
    report("create + exec + delete", 100, async || {
        let sandbox = residents.create("short", &recipe()).await?;
        run(&sandbox).await?;
        sandbox.end().await
    })
    .await?;
    let before = free();
    let started = Instant::now();
    let mut many = Vec::new();
    for number in 0..count {
        many.push(residents.create(&format!("many-{number}"), &recipe()).await?);
    }
    let took = started.elapsed() / u32::try_from(count.max(1)).unwrap_or(1);
    println!("create, {count} times: {} us each", took.as_micros());
    let own: u64 = (0..count).map(|number| proportional(&folder, number)).sum();
    let each = |bytes: u64| bytes / count.max(1) as u64 / 1024;
    println!(
        "memory of each: {} KiB by MemAvailable, PID 1 {} KiB Pss",
        each(before.saturating_sub(free())),
        each(own)
    );
    println!(
        "server: {} KiB resident, {} threads, {} descriptors",
        status("VmRSS:"),
        status("Threads:"),
        fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
    );
    report(&format!("exec /bin/true beside {count}"), 300, || run(&many[0])).await?;
    for sandbox in many {
        sandbox.end().await?;
    }
    one.end().await?;
    let _ = fs::remove_dir_all(folder);
    Ok(())
}

#[allow(clippy::print_stdout, reason = "figures are this program's output")]
async fn report<F: Future<Output = Result<(), Failure>>>(
    what: &str,
    times: usize,
    mut work: impl FnMut() -> F,
) -> Result<(), Failure> {
    let mut all = Vec::new();
    for _ in 0..times {
        let started = Instant::now();
        work().await?;
        all.push(started.elapsed().as_micros());
    }
    all.sort_unstable();
    println!("{what}: {} / {} / {} us", all[0], all[times / 2], all[times * 99 / 100]);
    Ok(())
}

fn recipe() -> Recipe {
    Recipe {
        root: Root::Host,
        limits: Limits::default(),
        policy: Policy::default(),
        require: Vec::new(),
        volumes: Vec::new(),
    }
}

async fn run(sandbox: &Arc<dyn Sandbox>) -> Result<(), Failure> {
    let program = Program {
        command: vec!["/bin/true".to_owned()],
        working_directory: "/workspace".to_owned(),
        environment: BTreeMap::new(),
        terminal: None,
    };
    let process = sandbox.spawn(&program).await?;
    while process.output().await.is_some() {}
    assert_eq!(process.ended().await.exit_code, 0);
    Ok(())
}

async fn write(sandbox: &Arc<dyn Sandbox>, bytes: &[u8]) -> Result<(), Failure> {
    let mut file = sandbox.open("/workspace/file", OpenMode::Write { mode: 0o644 }).await?;
    file.write(bytes).await?;
    file.finish().await
}

async fn read(sandbox: &Arc<dyn Sandbox>) -> Result<(), Failure> {
    let mut file = sandbox.open("/workspace/file", OpenMode::Read).await?;
    while !file.read(1 << 20).await?.is_empty() {}
    Ok(())
}

fn number(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}

fn status(name: &str) -> u64 {
    number(&fs::read_to_string("/proc/self/status").unwrap_or_default(), name)
}

fn free() -> u64 {
    number(&fs::read_to_string("/proc/meminfo").unwrap_or_default(), "MemAvailable:") * 1024
}

/// What PID 1 of a sandbox takes, shared pages by parts. Root alone may ask.
fn proportional(folder: &std::path::Path, index: usize) -> u64 {
    let record = fs::read(folder.join(format!("many-{index}.json"))).unwrap_or_default();
    let record: serde_json::Value = serde_json::from_slice(&record).unwrap_or_default();
    let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", record["pid"]));
    number(&rollup.unwrap_or_default(), "Pss:") * 1024
}
