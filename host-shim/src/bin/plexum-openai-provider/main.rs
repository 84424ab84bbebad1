//! The command-line program: the host for operators, for scripts, and for runtimes that are not Rust.

mod acp;
mod address_space;
mod audit;
mod cache;
mod completions;
mod component;
mod doctor;
mod event_writer;
mod explain;
mod fleet;
mod harmless;
mod ignored_signals;
mod json_rpc;
mod man;
mod manifest;
mod models;
mod new_config;
mod plexum_allow;
mod provider_args;
mod say;
mod schema;
mod screen;
mod serve;
mod servers;
mod session;
mod setup;
mod spinner;
mod surrogates;

use std::env::VarError;
use std::io;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::{Parser, Subcommand};
use plexum_openai_provider::{Config, ConfigError, raise_open_files_limit, scarcity};
use rustix::io::Errno;
use rustix::process::{
    DumpableBehavior, Resource, getrlimit, set_dumpable_behavior, test_kill_process,
};
use rustix::thread::gettid;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use harmless::harmless;

/// Runs the Plexum provider for OpenAI's Codex.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Show on standard error what the host does, such as the arguments that it lets through.
    /// PLEXUM_LOG shows more: a level such as `debug`, or a list of targets with levels
    #[arg(short, long, global = true)]
    verbose: bool,
}

/// The hidden ones are for scripts/install.sh and for packagers. What they take is put together for the one that runs.
#[derive(Subcommand)]
#[command(defer = true)]
enum Command {
    Say(say::Say),
    Serve(serve::Serve),
    Acp(acp::Acp),
    Servers(servers::Servers),
    Audit(audit::AuditCommand),
    Explain(explain::Explain),
    Session(session::Session),
    Fleet(fleet::FleetCommand),
    Setup(setup::Setup),
    #[command(hide = true)]
    Component(component::ComponentCommand),
    #[command(hide = true)]
    Manifest(manifest::ManifestCommand),
    #[command(hide = true)]
    NewConfig(new_config::NewConfig),
    #[command(hide = true)]
    PlexumAllow(plexum_allow::PlexumAllow),
    #[command(hide = true)]
    Cache(cache::CacheCommand),
    #[command(hide = true)]
    Completions(completions::Completions),
    #[command(hide = true)]
    Man(man::Man),
    Doctor(doctor::DoctorCommand),
    Models(models::Models),
    #[command(hide = true)]
    Schema(schema::SchemaCommand),
}

fn main() -> ExitCode {
    address_space::spare();
    match getrlimit(Resource::Stack).current {
        // `ulimit -s` is for the first thread alone. If there is no other to be had, this one has to do.
        Some(most) if most < STACK_BYTES => std::thread::Builder::new()
            .stack_size(STACK_BYTES as usize)
            .spawn(command)
            .map_or_else(
                |_| command(),
                |thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
            ),
        _ => command(),
    }
}

/// What the commands need, with much to spare.
const STACK_BYTES: u64 = 2 << 20;

/// Does what the command line says.
fn command() -> ExitCode {
    let cli = Cli::parse();
    let started = start_log(cli.verbose).and_then(|()| outlive_large_files());
    let result = started.and_then(|()| match cli.command {
        Command::Say(say) => say.run(),
        Command::Serve(serve) => serve.run(),
        Command::Acp(acp) => acp.run(),
        Command::Servers(servers) => servers.run(),
        Command::Audit(audit) => audit.run(),
        Command::Explain(explain) => explain.run(),
        Command::Session(session) => session.run(),
        Command::Fleet(fleet) => fleet.run(),
        Command::Setup(setup) => setup.run(),
        Command::Component(component) => component.run(),
        Command::Manifest(manifest) => manifest.run(),
        Command::NewConfig(new_config) => new_config.run(),
        Command::PlexumAllow(plexum_allow) => plexum_allow.run(),
        Command::Cache(cache) => cache.run(),
        Command::Completions(completions) => completions.run(),
        Command::Man(man) => man.run(),
        Command::Doctor(doctor) => doctor.run(),
        Command::Models(models) => models.run(),
        Command::Schema(schema) => schema.run(),
    });
    result.unwrap_or_else(|error| {
        eprintln!("error: {}", harmless(&sentence(&error)));
        ExitCode::from(2)
    })
}

/// An error with its causes, and with the limit that was reached, if that is what it is about and it does not say so itself.
fn sentence(error: &anyhow::Error) -> String {
    let mut said = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if said.is_empty() {
            said = cause;
        } else if !said.contains(&cause) {
            // Some errors say in their own text what their cause is.
            said = format!("{said}: {cause}");
        }
    }
    let limit = error
        .chain()
        .find_map(|cause| scarcity::limit(cause.downcast_ref()?));
    match limit {
        Some(limit) if !said.contains(limit) => format!("{said}: {limit}"),
        _ => said,
    }
}

/// Sends the log to standard error, as far as it is wanted.
fn start_log(verbose: bool) -> anyhow::Result<()> {
    let filter = match std::env::var("PLEXUM_LOG") {
        Ok(filter) => filter.parse().with_context(|| {
            format!("PLEXUM_LOG is {filter:?}, which is neither a level such as `debug` nor a list of targets with levels such as `info,plexum_openai_provider::turn=debug`")
        })?,
        Err(VarError::NotPresent) if verbose => Targets::new().with_default(Level::INFO),
        // Whoever keeps a record must hear of what is missing in it.
        Err(VarError::NotPresent) => Targets::new().with_target(RECORD, Level::ERROR),
        Err(error) => return Err(error).context("PLEXUM_LOG cannot be read"),
    };
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(|| harmless::Log)
        .without_time()
        .with_target(false)
        .with_ansi(false);
    tracing_subscriber::registry()
        .with(lines)
        .with(filter)
        .init();
    Ok(())
}

/// Keeps other processes of this user, such as codex's tools, from reading this one's environment and memory and from
/// tracing it. Its environment may hold keys that codex is not given. There are no core dumps either, then.
fn keep_private() {
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "codex's tools may read this program's environment");
    }
}

/// Turns need several files each, and the usual soft limit is low. Codex gets the old one.
fn open_more_files() {
    if let Err(error) = raise_open_files_limit() {
        tracing::warn!(%error, "the limit on open files stays as it is");
    }
}

/// The target of the log of [`Recorder`](plexum_openai_provider::Recorder).
const RECORD: &str = "plexum_openai_provider::telemetry::record";

/// A runtime on this thread, and with this many threads for work that may block. It starts more when it needs them.
fn runtime(threads: usize) -> anyhow::Result<Runtime> {
    runtime_with(threads, MOST_THREADS)
}

/// The work of many turns may block at once.
const MOST_THREADS: usize = 512;

/// The same, with `most` threads for such work at most.
///
/// It has them from the beginning and keeps them. Later there may be none to be had (`ulimit -u`), and tokio then panics,
/// or has work wait that only more threads could do. So there must be one more than the command occupies for good.
fn runtime_with(threads: usize, most: usize) -> anyhow::Result<Runtime> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(most)
        .thread_keep_alive(Duration::MAX)
        .build();
    let runtime = runtime.context("the runtime could not be started")?;
    occupy(threads).context("the threads of the runtime could not be started")?;
    let (begun, begins) = mpsc::channel();
    // Each waits until this is dropped, so that no two run on one thread.
    let mut releases = Vec::new();
    for _ in 0..threads {
        let (release, released) = mpsc::channel::<()>();
        releases.push(release);
        let begun = begun.clone();
        runtime.spawn_blocking(move || {
            // If the other side has given up, there is nobody to tell.
            let _ = begun.send(());
            let _ = released.recv();
        });
        if begins.recv_timeout(THREAD_PATIENCE).is_err() {
            // Between the two attempts, somebody else has taken it.
            return Err(io::Error::from(Errno::AGAIN))
                .context("the threads of the runtime could not be started");
        }
    }
    Ok(runtime)
}

/// How long a thread that could be started may take to run.
const THREAD_PATIENCE: Duration = Duration::from_secs(10);

/// Tries whether this many threads can be had at once.
fn occupy(threads: usize) -> io::Result<()> {
    let start = |_| {
        let (release, released) = mpsc::channel::<()>();
        let thread = std::thread::Builder::new().spawn(move || {
            // It only hears that this is over.
            let _ = released.recv();
            gettid()
        })?;
        Ok((release, thread))
    };
    // Those that there are end when this returns.
    let started: Vec<_> = (0..threads).map(start).collect::<io::Result<_>>()?;
    for (release, thread) in started {
        drop(release);
        // One that was joined counts towards the limit until the kernel has let go of it, and this is all that says when
        // that is.
        if let Ok(id) = thread.join() {
            let joined = Instant::now();
            while test_kill_process(id).is_ok() && joined.elapsed() < THREAD_PATIENCE {
                std::thread::yield_now();
            }
        }
    }
    Ok(())
}

/// Makes a write beyond `ulimit -f` an error, and not the silent end of this program.
fn outlive_large_files() -> anyhow::Result<()> {
    if getrlimit(Resource::Fsize).current.is_none() {
        return Ok(());
    }
    let watched = runtime(0)?.block_on(async { signal(SignalKind::from_raw(SIGXFSZ)) });
    // The handler stays when the stream of signals is dropped.
    watched.map(drop).context("SIGXFSZ cannot be watched")
}

/// The number that Linux gives it on all processors that this program is built for.
const SIGXFSZ: i32 = 25;

/// The configuration in this file, or the usual one.
fn config(file: Option<&Path>) -> Result<Config, ConfigError> {
    match file {
        Some(file) => Config::read(file),
        None => Config::read_default(),
    }
}

/// The workspace by its absolute path.
fn absolute(workspace: &Path) -> anyhow::Result<PathBuf> {
    std::path::absolute(workspace)
        .with_context(|| format!("the workspace {} has no absolute path", workspace.display()))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn help_shows_what_a_person_runs_and_the_rest_still_works() {
        let help = Cli::command().render_help().to_string();
        let listed = |name: &str| help.lines().any(|line| line.trim_start().starts_with(name));
        for name in [
            "say", "serve", "acp", "audit", "explain", "session", "fleet", "setup", "doctor",
            "models",
        ] {
            assert!(listed(name), "{name}: {help}");
        }
        for name in [
            "component",
            "manifest",
            "new-config",
            "plexum-allow",
            "cache",
            "completions",
            "man",
            "schema",
        ] {
            assert!(!listed(name), "{name}: {help}");
            let parsed = Cli::try_parse_from(["x", name, "--help"]);
            let kind = parsed.err().map(|error| error.kind());
            assert_eq!(kind, Some(clap::error::ErrorKind::DisplayHelp), "{name}");
        }
    }
}
