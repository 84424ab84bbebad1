//! A turn of a codex that is played here: what the task asks of its supervisor, and when.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream};
use tokio::sync::{mpsc, watch};

use super::ask::{Held, TurnLimits};
use super::outgoing::{self, Prompt};
use super::server::{Server, Turn};
use crate::codex::ask::Clock;
use crate::codex::spawner::{Child, Command, Gone, SpawnFuture, Spawned, Spawner};
use crate::codex::stop::{Bounds, StopCause, Stopper, stop};
use crate::session::store::NoSession;

const GRACE: Duration = Duration::from_secs(5);
const MOST_OUTPUT: u64 = 1000;
const COMPLETED: &str =
    r#"{"method":"turn/completed","params":{"threadId":"t","turn":{"id":"u"}}}"#;

/// What was asked of the supervisor, in order.
type Asked = Arc<Mutex<Vec<&'static str>>>;

struct Supervisor {
    asked: Asked,
    /// Whether codex has ended.
    over: watch::Sender<bool>,
    sweeps: bool,
}

impl Supervisor {
    fn note(&self, what: &'static str) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.push(what);
    }
}

impl Child for Supervisor {
    fn stop(&mut self) {
        self.note("stop");
        self.over.send_replace(true);
    }

    fn kill(&mut self) {
        self.note("kill");
        self.over.send_replace(true);
    }

    fn suspend(&mut self) {
        self.note("suspend");
    }

    fn resume(&mut self) {
        self.note("resume");
    }

    fn sweep(&mut self) -> SpawnFuture<'_, u32> {
        if !self.sweeps {
            return Box::pin(std::future::pending());
        }
        self.note("sweep");
        Box::pin(std::future::ready(Ok(2)))
    }

    fn ended(&mut self) -> SpawnFuture<'_, ExitStatus> {
        let mut over = self.over.subscribe();
        Box::pin(async move {
            over.wait_for(|over| *over)
                .await
                .map_err(io::Error::other)?;
            Ok(ExitStatus::from_raw(0))
        })
    }

    fn gone(&mut self) -> SpawnFuture<'_, Gone> {
        Box::pin(std::future::ready(Ok(Gone::All { ended: 0 })))
    }
}

/// Hands over what was made before.
struct Prepared(Mutex<Option<Spawned>>);

impl Spawner for Prepared {
    fn spawn<'a>(&'a self, _: Command<'a>) -> SpawnFuture<'a, Spawned> {
        let mut prepared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let prepared = prepared.take();
        Box::pin(std::future::ready(
            prepared.ok_or(io::ErrorKind::Unsupported.into()),
        ))
    }
}

/// The other side of a turn that runs.
struct Codex {
    reads: BufReader<DuplexStream>,
    writes: Option<DuplexStream>,
    asked: Asked,
    over: watch::Sender<bool>,
    stopper: Stopper,
}

impl Codex {
    /// A codex that has its prompt, and the turn in it.
    async fn begun(sweeps: bool) -> (Codex, Turn) {
        let asked = Asked::default();
        let over = watch::Sender::new(false);
        let (stdin, reads) = tokio::io::duplex(1 << 20);
        let (stdout, writes) = tokio::io::duplex(1 << 20);
        let prepared = Prepared(Mutex::new(Some(Spawned {
            id: 7,
            stdin: Some(Box::new(stdin)),
            stdout: Box::new(stdout),
            stderr: Box::new(io::Cursor::new(Vec::new())),
            child: Box::new(Supervisor {
                asked: Arc::clone(&asked),
                over: over.clone(),
                sweeps,
            }),
        })));
        let (stopper, stop) = stop();
        let mut bounds = Bounds {
            stop,
            deadline: tokio::time::Instant::now() + Duration::from_secs(3600),
        };
        let command = Command {
            program: "/codex".as_ref(),
            args: &[],
            workspace: "/".as_ref(),
            environment: &[],
            stdin: true,
            grace: GRACE,
            lock: None,
        };
        let server = Server::start(&prepared, command, GRACE, &mut bounds, |_, _| {});
        let server = server.await.unwrap();
        let limits = TurnLimits {
            grace: GRACE,
            max_output_bytes: MOST_OUTPUT,
        };
        let held = Held {
            session: Arc::new(NoSession),
            _turn_slot: None,
            leftovers: mpsc::unbounded_channel().0,
        };
        let turn = server.begin("t".into(), bounds, limits, held);
        let mut turn = turn.await.unwrap();
        let mut codex = Codex {
            reads: BufReader::new(reads),
            writes: Some(writes),
            asked,
            over,
            stopper,
        };
        let number = turn.server().number();
        let prompt = Prompt {
            text: "hi",
            images: &[],
            effort: None,
            output_schema: None,
        };
        let line = outgoing::turn_start(number, "t", prompt).unwrap();
        let answers = async {
            while !codex.hears().await.contains("turn/start") {}
            codex
                .says(&format!(
                    r#"{{"id":{number},"result":{{"turn":{{"id":"u"}}}}}}"#
                ))
                .await;
        };
        let (_, ()) = tokio::join!(turn.prompt(number, line), answers);
        (codex, turn)
    }

    /// The next line that it is told.
    async fn hears(&mut self) -> String {
        let mut line = String::new();
        self.reads.read_line(&mut line).await.unwrap();
        line
    }

    async fn says(&mut self, line: &str) {
        let writes = self.writes.as_mut().unwrap();
        writes.write_all(line.as_bytes()).await.unwrap();
        writes.write_all(b"\n").await.unwrap();
    }

    /// Ends, and all that it has said can be read.
    fn ends(&mut self) {
        self.writes = None;
        self.over.send_replace(true);
    }

    fn was_asked(&self) -> Vec<&'static str> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.clone()
    }

    /// Waits until this was asked.
    async fn is_asked(&self, what: &str) {
        while !self.was_asked().contains(&what) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// All that codex says in the turn.
async fn rest(turn: &mut Turn) -> String {
    let idle = Clock {
        duration: Duration::from_secs(600),
        cause: StopCause::IdleTimeout,
    };
    let mut all = String::new();
    loop {
        let lines = turn.lines(usize::MAX, idle).await.unwrap();
        if lines.is_end() {
            return all;
        }
        all.push_str(&lines.text);
    }
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_is_over_is_swept_and_its_codex_does_another() {
    let (mut codex, mut turn) = Codex::begun(true).await;
    codex.says(COMPLETED).await;
    assert_eq!(rest(&mut turn).await, format!("{COMPLETED}\n"));
    let (finished, server) = turn.finish(GRACE).await.unwrap();
    assert!(finished.reusable && server.is_alive(), "{finished:?}");
    assert_eq!((finished.swept, finished.stopped), (2, None));
    assert_eq!(codex.was_asked(), ["sweep"]);
}

#[tokio::test(start_paused = true)]
async fn a_codex_that_is_suspended_as_its_turn_ends_goes_on() {
    let (mut codex, mut turn) = Codex::begun(true).await;
    codex.stopper.suspend(true);
    codex.is_asked("suspend").await;
    // It had said so before.
    codex.says(COMPLETED).await;
    rest(&mut turn).await;
    let (finished, _server) = turn.finish(GRACE).await.unwrap();
    assert!(finished.reusable, "{finished:?}");
    assert!(
        codex.was_asked().contains(&"resume"),
        "{:?}",
        codex.was_asked()
    );
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_slow_reader_is_not_lost_when_codex_ends() {
    let (mut codex, mut turn) = Codex::begun(true).await;
    // One batch is on its way, one waits, and the rest is in the pipe.
    for said in ["1", "2", "3", "4"] {
        codex.says(said).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    codex.says(COMPLETED).await;
    codex.ends();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(rest(&mut turn).await, format!("1\n2\n3\n4\n{COMPLETED}\n"));
    let (finished, _server) = turn.finish(GRACE).await.unwrap();
    assert!(finished.exit.is_some() && finished.stopped.is_none());
}

#[tokio::test(start_paused = true)]
async fn more_than_the_limit_is_not_handed_on_while_codex_is_asked_to_end() {
    let (mut codex, mut turn) = Codex::begun(true).await;
    let line = "x".repeat(600);
    let play = async {
        for _ in 0..2 {
            codex.says(&line).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(codex.hears().await.contains("turn/interrupt"));
        codex.says("more").await;
        codex.says(COMPLETED).await;
        codex
    };
    let (said, _codex) = tokio::join!(rest(&mut turn), play);
    assert_eq!(said, format!("{line}\n{line}\n"));
    let (finished, _server) = turn.finish(GRACE).await.unwrap();
    assert_eq!(finished.stopped, Some(StopCause::OutputLimit));
}

#[tokio::test(start_paused = true)]
async fn a_codex_that_does_not_end_its_turn_is_killed_after_the_grace_period() {
    let (codex, turn) = Codex::begun(true).await;
    let began = tokio::time::Instant::now();
    codex.stopper.request(StopCause::Cancelled);
    let play = async {
        codex.is_asked("kill").await;
        let killed = began.elapsed();
        let mut codex = codex;
        codex.writes = None;
        (killed, codex)
    };
    let (finished, (killed, codex)) = tokio::join!(turn.finish(GRACE), play);
    assert!(killed >= GRACE && killed < GRACE * 2, "{killed:?}");
    let (finished, server) = finished.unwrap();
    assert!(!finished.reusable && finished.exit.is_some());
    assert_eq!(codex.was_asked(), ["kill"]);
    drop(server);
}

#[tokio::test(start_paused = true)]
async fn a_turn_whose_sweep_hangs_is_over_all_the_same() {
    let (mut codex, mut turn) = Codex::begun(false).await;
    codex.says(COMPLETED).await;
    rest(&mut turn).await;
    let play = async {
        // Codex is of no use then: its input is closed.
        while !codex.hears().await.is_empty() {}
        codex.ends();
    };
    let (finished, ()) = tokio::join!(turn.finish(GRACE), play);
    let (finished, _server) = finished.unwrap();
    assert!(!finished.reusable && finished.exit.is_some());
}
