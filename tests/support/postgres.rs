//! A PostgreSQL of a test's own, and a PgBouncer in front of it.

use std::ffi::{CString, OsStr};
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use plexum_openai_provider::fleet::postgres::Settings;
use tempfile::TempDir;

use crate::running::{KEEPER, Running};
use crate::tool::skip;
use crate::wait::{is_running, wait_until};

/// The role that may do anything. The socket asks nobody for a password.
pub const OWNER: &str = "owner";

/// A server with a database `agents`, on a socket and on the loopback interface.
pub struct Postgres {
    scratch: TempDir,
    programs: PathBuf,
    user: Unprivileged,
    port: u16,
    options: Vec<String>,
    /// How much goes on its second disk, if it has one, as `mount` takes it.
    second_disk: Option<&'static str>,
    running: Option<Running>,
}

/// A PgBouncer in transaction mode.
pub struct PgBouncer {
    // Ends before its folder does.
    _running: Running,
    scratch: TempDir,
    port: u16,
}

impl Postgres {
    /// A server, or a skipped test.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(test: &str) -> Option<Self> {
        Self::start_with(test, &[], "")
    }

    /// The same with settings, and lines at the beginning of `pg_hba.conf`.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start_with(test: &str, options: &[&str], hba: &str) -> Option<Self> {
        Self::start_with_files(test, options, hba, &[])
    }

    /// The same with files that only the server reads, below its scratch folder: `data/server.key`.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start_with_files(
        test: &str,
        options: &[&str],
        hba: &str,
        files: &[(&str, String)],
    ) -> Option<Self> {
        Self::start_on(test, options, hba, files, None)
    }

    /// The same with a second disk of this size (`8m`), on which the tables of `agents` are. What is on it goes with the
    /// server's process.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start_with_second_disk(test: &str, size: &'static str) -> Option<Self> {
        let mounts = Unprivileged::find().mounts().args(["true"]).output();
        if !mounts.is_ok_and(|output| output.status.success()) {
            skip(test, "no file system can be mounted here");
            return None;
        }
        let server = Self::start_on(test, &[], "", &[], Some(size))?;
        let disk = server.second_disk().display().to_string();
        server.psql(&format!("create tablespace second location '{disk}'"));
        server.psql("alter database agents set default_tablespace = second");
        Some(server)
    }

    fn start_on(
        test: &str,
        options: &[&str],
        hba: &str,
        files: &[(&str, String)],
        second_disk: Option<&'static str>,
    ) -> Option<Self> {
        let Some(programs) = programs() else {
            skip(
                test,
                "PostgreSQL is not installed; run ./scripts/tool.sh postgres, which installs it",
            );
            return None;
        };
        let user = Unprivileged::find();
        let scratch = user.folder();
        let data = scratch.path().join("data");
        let mut initdb = user.command(&programs.join("initdb"));
        initdb.args(["--auth=trust", "--no-sync", "--locale=C", "--encoding=UTF8"]);
        initdb
            .arg(format!("--username={OWNER}"))
            .arg("-D")
            .arg(&data);
        succeed(&mut initdb);
        let lines =
            format!("{hba}\nlocal all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n");
        fs::write(data.join("pg_hba.conf"), lines).expect("pg_hba.conf can be written");
        for (name, text) in files {
            user.private_file(&scratch.path().join(name), text);
        }
        let mut postgres = Postgres {
            scratch,
            programs,
            user,
            port: free_port(),
            options: options.iter().map(|option| (*option).to_owned()).collect(),
            second_disk,
            running: None,
        };
        if second_disk.is_some() {
            fs::create_dir(postgres.second_disk()).expect("a folder can be made");
        }
        postgres.start_again();
        postgres.psql_in("postgres", "create database agents");
        Some(postgres)
    }

    /// Starts it after it was ended.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_again(&mut self) {
        let data = self.data();
        // Of one that was killed.
        let pid_file = data.join("postmaster.pid");
        fs::remove_file(&pid_file).unwrap_or_default();
        let program = self.programs.join("postgres");
        let mut command = match self.second_disk {
            Some(size) => self
                .user
                .keeper_with_disk(&program, &self.second_disk(), size),
            None => self.user.keeper(&program),
        };
        command.arg("-D").arg(&data).arg("-k").arg(self.socket());
        command.args(["-p", &self.port.to_string()]);
        command.args(["-c", "listen_addresses=127.0.0.1"]);
        // As from version 14 on.
        command.args(["-c", "password_encryption=scram-sha-256"]);
        for option in &self.options {
            command.args(["-c", option]);
        }
        self.running = Some(Running::start(command, &self.log(), data));
        wait_until("PostgreSQL is ready", || {
            self.check_running();
            // Its eighth line.
            fs::read_to_string(&pid_file).is_ok_and(|text| text.contains("\nready"))
        });
    }

    fn check_running(&self) {
        let keeper = self
            .running
            .as_ref()
            .map(|running| running.keeper.id().cast_signed());
        assert!(
            keeper.is_some_and(is_running),
            "PostgreSQL does not start: {}",
            fs::read_to_string(self.log()).unwrap_or_default()
        );
    }

    /// Kills all of it at once, as a loss of power would.
    ///
    /// # Panics
    /// When it does not end.
    pub fn kill(&mut self) {
        if let Some(running) = self.running.take() {
            running.kill();
        }
    }

    /// Stops all of it in its tracks.
    pub fn stop(&self) {
        self.signal(libc::SIGSTOP);
    }

    /// Lets it go on.
    pub fn go_on(&self) {
        self.signal(libc::SIGCONT);
    }

    fn signal(&self, signal: i32) {
        if let Some(running) = &self.running {
            running.signal(signal);
        }
    }

    /// What it is asked, in SQL, as the owner; the answer without any layout.
    ///
    /// # Panics
    /// When it refuses.
    pub fn psql(&self, sql: &str) -> String {
        self.psql_in("agents", sql)
    }

    fn psql_in(&self, database: &str, sql: &str) -> String {
        succeed(self.psql_command(database).args(["-c", sql]))
            .trim_end()
            .to_owned()
    }

    fn psql_command(&self, database: &str) -> Command {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]);
        psql.arg("-h")
            .arg(self.socket())
            .args(["-p", &self.port.to_string()]);
        psql.args(["-U", OWNER, "-d", database]);
        psql
    }

    /// Begins a transaction with this, and does not end it until what is returned is dropped.
    ///
    /// # Panics
    /// When the server refuses.
    #[must_use]
    pub fn hold(&self, sql: &str) -> Held<'_> {
        let psql = self
            .psql_command("agents")
            .env("PGAPPNAME", "holds")
            .args(["-c", "begin", "-c", sql, "-c", "select pg_sleep(3600)"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("psql can be started");
        let sleeps = "select count(*) from pg_stat_activity where application_name = 'holds' and wait_event = 'PgSleep'";
        wait_until("the transaction is open", || self.psql(sleeps) == "1");
        Held { server: self, psql }
    }

    /// How to reach it as the owner.
    #[must_use]
    pub fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        settings.url = Some(self.socket_url(OWNER));
        settings
    }

    /// The URL of its socket.
    #[must_use]
    pub fn socket_url(&self, user: &str) -> String {
        let socket = self.socket();
        format!(
            "postgres://{user}@/agents?host={}&port={}",
            socket.display(),
            self.port
        )
    }

    /// The URL of its port on the loopback interface, without a parameter.
    #[must_use]
    pub fn tcp_url(&self, login: &str) -> String {
        format!("postgres://{login}@127.0.0.1:{}/agents", self.port)
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder with its data.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.scratch.path().join("data")
    }

    /// The folder with its socket, where other files for it may be put too.
    #[must_use]
    pub fn socket(&self) -> &Path {
        self.scratch.path()
    }

    /// Where its second disk is, which only the server sees.
    fn second_disk(&self) -> PathBuf {
        self.scratch.path().join("second")
    }

    /// Writes a file that only the server's user reads, such as a key.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn private_file(&self, name: &str, text: &str) -> PathBuf {
        self.user
            .private_file(&self.scratch.path().join(name), text)
    }

    fn log(&self) -> PathBuf {
        self.scratch.path().join("log")
    }
}

/// A transaction that is open.
pub struct Held<'a> {
    server: &'a Postgres,
    psql: Child,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // Without its psql it would sleep on.
        self.server.psql("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'holds'");
        self.psql.wait().expect("psql can be waited for");
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // All of it, should it be stopped; and before its folder goes.
        self.go_on();
        self.running = None;
    }
}

impl PgBouncer {
    /// A pooler in transaction mode with so many connections to the server, or a skipped test.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(test: &str, server: &Postgres, connections: u32) -> Option<Self> {
        let Some(program) = on_path("pgbouncer", &["/usr/sbin"]) else {
            skip(
                test,
                "PgBouncer is not installed; run ./scripts/tool.sh pgbouncer, which installs it",
            );
            return None;
        };
        let user = Unprivileged::find();
        let scratch = user.folder();
        let folder = scratch.path();
        let port = free_port();
        let users = user.private_file(&folder.join("users"), &format!("\"{OWNER}\" \"\"\n"));
        let settings = format!(
            "[databases]\nagents = host={} port={}\n[pgbouncer]\nunix_socket_dir = {}\nlisten_port = {port}\nlisten_addr = 127.0.0.1\nauth_type = trust\nauth_file = {}\npool_mode = transaction\ndefault_pool_size = {connections}\nmax_client_conn = 200\n",
            server.socket().display(),
            server.port,
            folder.display(),
            users.display(),
        );
        let settings = user.private_file(&folder.join("settings"), &settings);
        let mut command = user.keeper(&program);
        command.arg("-q").arg(settings).current_dir(folder);
        let running = Running::start(command, &folder.join("log"), folder.to_owned());
        let bouncer = PgBouncer {
            port,
            _running: running,
            scratch,
        };
        let socket = bouncer.scratch.path().join(format!(".s.PGSQL.{port}"));
        // The file is there before anybody listens at it.
        wait_until("PgBouncer is ready", || {
            UnixStream::connect(&socket).is_ok()
        });
        Some(bouncer)
    }

    /// How to reach the server through it.
    #[must_use]
    pub fn settings(&self) -> Settings {
        let socket = self.scratch.path().display();
        let mut settings = Settings::default();
        settings.url = Some(format!(
            "postgres://{OWNER}@/agents?host={socket}&port={}",
            self.port
        ));
        settings
    }
}

/// Whom a server runs as: PostgreSQL and PgBouncer refuse to be root.
#[derive(Clone, Copy)]
struct Unprivileged(Option<(u32, u32)>);

impl Unprivileged {
    fn find() -> Self {
        // SAFETY: takes and returns numbers only.
        if unsafe { libc::geteuid() } != 0 {
            return Unprivileged(None);
        }
        let ids = ["postgres", "nobody"].iter().find_map(|name| {
            let name = CString::new(*name).ok()?;
            // SAFETY: the name ends with a NUL, and what is returned is read before another call could change it.
            let found = unsafe { libc::getpwnam(name.as_ptr()).as_ref() }?;
            Some((found.pw_uid, found.pw_gid))
        });
        Unprivileged(Some(ids.unwrap_or((65534, 65534))))
    }

    /// A folder of this user's.
    fn folder(self) -> TempDir {
        let scratch = tempfile::tempdir().expect("a scratch folder");
        self.own(scratch.path());
        scratch
    }

    fn own(self, path: &Path) {
        if let Some((user, group)) = self.0 {
            chown(path, Some(user), Some(group)).expect("root may give away a file");
        }
    }

    fn private_file(self, path: &Path, text: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        fs::write(path, text).expect("a file can be written");
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("its mode can be set");
        self.own(path);
        path.to_owned()
    }

    /// What runs a program as this user.
    fn prefix(self) -> Vec<String> {
        self.0.map_or_else(Vec::new, |(user, group)| {
            ["setpriv", "--clear-groups"]
                .map(str::to_owned)
                .into_iter()
                .chain([
                    format!("--reuid={user}"),
                    format!("--regid={group}"),
                    "--".into(),
                ])
                .collect()
        })
    }

    fn command(self, program: &Path) -> Command {
        let mut words = self.prefix().into_iter();
        let mut command = match words.next() {
            Some(first) => {
                let mut command = Command::new(first);
                command.args(words).arg(program);
                command
            }
            None => Command::new(program),
        };
        // This process's folder may be one that the user may not look at.
        command.current_dir("/");
        command
    }

    /// The same, which ends with this process.
    fn keeper(self, program: &Path) -> Command {
        let mut command = Command::new("sh");
        command
            .args(["-c", KEEPER, "sh"])
            .args(self.prefix())
            .arg(program);
        command.current_dir("/");
        command
    }

    /// The same with a disk of its own in this folder.
    fn keeper_with_disk(self, program: &Path, folder: &Path, size: &str) -> Command {
        let mounts = self.mounts();
        let owner = self.0.map_or_else(String::new, |(user, group)| {
            format!(",uid={user},gid={group}")
        });
        let mut command = Command::new("sh");
        command
            .args(["-c", KEEPER, "sh"])
            .arg(mounts.get_program())
            .args(mounts.get_args())
            .args([
                "sh",
                "-c",
                "mount -t tmpfs -o \"$1\" none \"$2\" && shift 2 && exec \"$@\"",
                "sh",
            ])
            .arg(format!("mode=700,size={size}{owner}"))
            .arg(folder)
            .args(self.prefix())
            .arg(program);
        command.current_dir("/");
        command
    }

    /// What runs a program that may mount, which nobody else sees.
    fn mounts(self) -> Command {
        let mut command = Command::new("unshare");
        command.arg("--mount");
        if self.0.is_none() {
            command.args(["--user", "--map-current-user", "--keep-caps"]);
        }
        command
    }
}

/// A port that nobody listens at.
fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    listener.local_addr().expect("its number").port()
}

/// The folder with the newest PostgreSQL's programs: that on PATH, or Debian's.
fn programs() -> Option<PathBuf> {
    if let Some(found) = on_path("postgres", &[]) {
        let folder = found.parent().map(Path::to_owned)?;
        if folder.join("initdb").exists() && folder.join("psql").exists() {
            return Some(folder);
        }
    }
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut folders: Vec<(u32, PathBuf)> = versions
        .filter_map(|version| {
            let version = version.ok()?;
            let number = version.file_name().to_str()?.parse().ok()?;
            let folder = version.path().join("bin");
            folder.join("postgres").exists().then_some((number, folder))
        })
        .collect();
    folders.sort();
    folders.pop().map(|(_, folder)| folder)
}

fn on_path(program: &str, also: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path)
        .chain(also.iter().map(PathBuf::from))
        .collect();
    folders
        .into_iter()
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

/// Runs a command; what it printed.
fn succeed(command: &mut Command) -> String {
    let program = command.get_program().to_owned();
    let output = command.stdin(Stdio::null()).output();
    let output = output
        .unwrap_or_else(|error| panic!("{}: {error}", Path::new::<OsStr>(&program).display()));
    assert!(
        output.status.success(),
        "{}: {}",
        Path::new::<OsStr>(&program).display(),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
