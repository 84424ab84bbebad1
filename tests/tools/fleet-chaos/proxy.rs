//! A network that can be cut, between a host and its PostgreSQL.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use anyhow::Result;

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// Everything arrives.
    Whole,
    /// Connections break, and new ones are closed.
    Broken,
    /// Nothing arrives, and nobody is told.
    Silent,
}

/// What listens on a port and passes everything on to a socket.
pub struct Proxy {
    /// The port.
    pub port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    socket: PathBuf,
    state: Mutex<State>,
    mended: Condvar,
}

struct State {
    network: Network,
    /// How often it was cut. A connection from before a cut is of no use.
    cuts: u64,
    /// The connections, to be broken.
    open: Vec<TcpStream>,
}

impl Proxy {
    /// One for this socket.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn new(socket: &Path) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            socket: socket.to_owned(),
            state: Mutex::new(State {
                network: Network::Whole,
                cuts: 0,
                open: Vec::new(),
            }),
            mended: Condvar::new(),
        });
        let accepts = Arc::clone(&shared);
        // It ends with this process.
        std::thread::Builder::new().spawn(move || {
            for client in listener.incoming().flatten() {
                accepts.accept(client);
            }
        })?;
        Ok(Proxy { port, shared })
    }

    /// From here on, it is like this.
    pub fn set(&self, network: Network) {
        let mut state = self.shared.state();
        state.network = network;
        if network == Network::Whole {
            self.shared.mended.notify_all();
            return;
        }
        state.cuts += 1;
        let open = std::mem::take(&mut state.open);
        if network == Network::Broken {
            for client in open {
                // It may have been closed already.
                let _ = client.shutdown(Shutdown::Both);
            }
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(self: &Arc<Self>, client: TcpStream) {
        let shared = Arc::clone(self);
        // A client that is not served sees its end.
        let served = std::thread::Builder::new().spawn(move || shared.serve(client));
        drop(served);
    }

    /// Passes on what both say. An error is the end of the connection, as is everything else that breaks it.
    fn serve(self: Arc<Self>, client: TcpStream) {
        let Some(cuts) = self.waits_for_whole() else {
            return;
        };
        let Ok(server) = UnixStream::connect(&self.socket) else {
            return;
        };
        let (Ok(from_client), Ok(to_server), Ok(kept)) =
            (client.try_clone(), server.try_clone(), client.try_clone())
        else {
            return;
        };
        self.state().open.push(kept);
        let (there, back) = (Arc::clone(&self), self);
        let ends = (client.try_clone(), server.try_clone());
        let there = std::thread::Builder::new().spawn(move || {
            there.copy(from_client, to_server, cuts);
            if let (Ok(client), Ok(server)) = ends {
                let _ = client.shutdown(Shutdown::Both);
                let _ = server.shutdown(Shutdown::Both);
            }
        });
        back.copy(&server, &client, cuts);
        let _ = server.shutdown(Shutdown::Both);
        let _ = client.shutdown(Shutdown::Both);
        drop(there);
    }

    /// For a new connection: at once if nothing is wrong, never if it breaks, and when it is mended otherwise, which ends
    /// the connection too.
    fn waits_for_whole(&self) -> Option<u64> {
        let state = self.state();
        match state.network {
            Network::Whole => Some(state.cuts),
            Network::Broken => None,
            Network::Silent => {
                let is_silent = |state: &mut State| state.network == Network::Silent;
                let _mended = self.mended.wait_while(state, is_silent);
                None
            }
        }
    }

    fn copy(&self, mut from: impl Read, mut to: impl Write, cuts: u64) {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let Ok(read @ 1..) = from.read(&mut buffer) else {
                return;
            };
            let state = self.state();
            if state.cuts != cuts {
                // What was under way is lost.
                let is_silent = |state: &mut State| state.network == Network::Silent;
                let _mended = self.mended.wait_while(state, is_silent);
                return;
            }
            drop(state);
            if to
                .write_all(buffer.get(..read).unwrap_or_default())
                .is_err()
            {
                return;
            }
        }
    }
}
