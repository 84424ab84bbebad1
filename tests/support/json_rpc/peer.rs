//! A client that writes and reads lines, and hides nothing.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::os::fd::AsRawFd as _;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::{self, JoinHandle};

use serde_json::{Value, json};

use crate::signal::DefaultSignals as _;
use crate::wait::wait_until;

/// How long a message is waited for, in milliseconds. It only ends a test that has failed.
const PATIENCE: i32 = 120_000;

/// Looks at a message that was read: an answer to a request of this method, or something else.
type Check = fn(message: &Value, method: Option<&str>);

/// A program, and the client's ends of its pipes.
pub struct Peer {
    pub child: Child,
    pub stdin: Option<ChildStdin>,
    pub stdout: Option<BufReader<ChildStdout>>,
    /// The number of the last request.
    last: u64,
    /// The methods of the requests, by their numbers.
    methods: HashMap<u64, String>,
    check: Option<Check>,
}

impl Peer {
    /// Starts a program. `check`, if there is one, sees every message that is read from it.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn spawn(command: &mut Command, check: Option<Check>) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .default_signals()
            .spawn()
            .expect("the program starts");
        Peer {
            stdin: child.stdin.take(),
            stdout: child.stdout.take().map(BufReader::new),
            child,
            last: 0,
            methods: HashMap::new(),
            check,
        }
    }

    /// Its process id.
    pub fn id(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Writes bytes as they are.
    ///
    /// # Panics
    /// If it does not take them.
    pub fn write(&mut self, bytes: &[u8]) {
        let stdin = self.stdin.as_mut().expect("its standard input is open");
        stdin.write_all(bytes).expect("it reads");
        stdin.flush().expect("it reads");
    }

    /// Writes a line.
    pub fn line(&mut self, line: &str) {
        self.write(format!("{line}\n").as_bytes());
    }

    /// The next line, as it was written.
    ///
    /// # Panics
    /// If none comes, or it is no message.
    pub fn read(&mut self) -> String {
        let stdout = self.stdout.as_mut().expect("its standard output is open");
        if stdout.buffer().is_empty() {
            let mut watched = libc::pollfd {
                fd: stdout.get_ref().as_raw_fd(),
                events: libc::POLLIN,
                revents: 0,
            };
            // SAFETY: the pointer is to one initialised structure, which outlives the call.
            let ready = unsafe { libc::poll(&raw mut watched, 1, PATIENCE) };
            assert_eq!(ready, 1, "it says nothing");
        }
        let mut line = String::new();
        stdout.read_line(&mut line).expect("text");
        let line = line.strip_suffix('\n').expect("a whole line");
        if let Some(check) = self.check {
            let message: Value = serde_json::from_str(line).expect("a message");
            let method = message["id"].as_u64().and_then(|id| self.methods.get(&id));
            check(&message, method.map(String::as_str));
        }
        line.to_owned()
    }

    /// The next message.
    ///
    /// # Panics
    /// If none comes.
    pub fn receive(&mut self) -> Value {
        serde_json::from_str(&self.read()).expect("a message")
    }

    /// Sends a request; its id.
    pub fn ask(&mut self, method: &str, params: Value) -> u64 {
        self.last += 1;
        let id = self.last;
        self.methods.insert(id, method.to_owned());
        let request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        self.line(&request.to_string());
        id
    }

    /// Sends a notification.
    pub fn tell(&mut self, method: &str, params: Value) {
        let notification = json!({ "jsonrpc": "2.0", "method": method, "params": params });
        self.line(&notification.to_string());
    }

    /// Asks for something that is answered with nothing before it, and succeeds.
    ///
    /// # Panics
    /// If that is not so.
    pub fn still_answers(&mut self, method: &str) {
        let id = self.ask(method, json!({}));
        let answer = self.receive();
        assert_eq!(answer["id"], id, "{answer}");
        assert!(answer.get("result").is_some(), "{answer}");
    }

    /// Waits for it to end; its exit code, and what is left of its two outputs.
    ///
    /// # Panics
    /// If it does not end, or says what is no text.
    pub fn end(mut self) -> (Option<i32>, String, String) {
        let stdout = read_to_end(self.stdout.take());
        let stderr = read_to_end(self.child.stderr.take());
        let mut status = None;
        wait_until("it has ended", || {
            status = self
                .child
                .try_wait()
                .expect("it is a child of this process");
            status.is_some()
        });
        let code = status.and_then(|status| status.code());
        let text = |reader: JoinHandle<String>| reader.join().expect("text");
        (code, text(stdout), text(stderr))
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// If it is gone.
    pub fn signal(&self, signal: i32) {
        // SAFETY: `kill` takes plain numbers and touches no memory.
        assert_eq!(unsafe { libc::kill(self.id(), signal) }, 0);
    }
}

/// Reads a pipe meanwhile, so that nobody waits for room in it.
fn read_to_end(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut text = String::new();
        if let Some(mut pipe) = pipe {
            pipe.read_to_string(&mut text).expect("text");
        }
        text
    })
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Of a test that has failed; one that has ended is not there any more.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
