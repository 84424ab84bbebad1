//! Any order of events, against a simple model of what must hold.

use std::collections::HashMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::panic::panic_any;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use plexum_openai_provider::{
    Acquired, Loaded, SESSION_FILE, SessionEntry, SessionFiles, SessionKey, SessionStore, Usage,
};
use proptest::prelude::*;
use proptest::sample::Index;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

/// What happens. An [`Index`] chooses among the workspaces that there are.
#[derive(Debug, Clone)]
enum Step {
    /// A whole turn of one of two users.
    Turn { workspace: Index, user: usize },
    /// A turn whose host is killed: before it saves, while it saves at this step, or before its end.
    Killed { workspace: Index, at: usize },
    /// `mv`.
    Move(Index),
    /// `cp -a`.
    Copy(Index),
    /// `rm -rf`.
    Remove(Index),
    /// `rm -rf`, and a copy of the folder in its place.
    Restore(Index),
    /// `git clean`.
    Clean(Index),
    /// The agent writes the id of the thread of another workspace.
    Plant { workspace: Index, of: Index },
    /// The agent writes something else, or makes it.
    Obstruct { workspace: Index, with: usize },
    /// Somebody goes on with the thread by hand.
    ByHand(Index),
    /// A person sets the conversation aside.
    Reset(Index),
}

/// A folder, as the model sees it.
struct Workspace {
    path: PathBuf,
    /// The folder itself: a copy is another one.
    folder: usize,
}

/// What is true.
struct World {
    root: TempDir,
    runtime: Runtime,
    workspaces: Vec<Workspace>,
    /// What each thread has cost, all its users together.
    cost: HashMap<String, u64>,
    /// The folder that each thread belongs to, as each user knows it.
    owner: HashMap<(usize, String), usize>,
    /// What each user's latest turn in a folder went on with.
    latest: HashMap<(usize, usize), String>,
    /// Threads of which this user's totals must be known: nothing else has used them since a whole turn.
    counted: HashMap<String, usize>,
    made: usize,
    notices: usize,
}

impl World {
    fn new() -> Self {
        let mut world = World {
            root: TempDir::new().unwrap(),
            runtime: Builder::new_current_thread().enable_all().build().unwrap(),
            workspaces: Vec::new(),
            cost: HashMap::new(),
            owner: HashMap::new(),
            latest: HashMap::new(),
            counted: HashMap::new(),
            made: 0,
            notices: 0,
        };
        for _ in 0..2 {
            world.make();
        }
        world
    }

    fn fresh_path(&mut self) -> (PathBuf, usize) {
        self.made += 1;
        (self.root.path().join(format!("w{}", self.made)), self.made)
    }

    fn make(&mut self) -> usize {
        let (path, folder) = self.fresh_path();
        fs::create_dir(&path).unwrap();
        self.workspaces.push(Workspace { path, folder });
        self.workspaces.len() - 1
    }

    fn store(&self, user: usize) -> SessionFiles {
        // A new host each time.
        SessionFiles::default()
            .with_state_folder(self.root.path().join(format!("state{user}")))
            .with_codex_home(self.root.path().join("codex"))
    }

    fn new_thread(&mut self) -> String {
        self.made += 1;
        format!("01a20000-0000-7000-8000-{:012x}", self.made)
    }

    /// Codex writes to its record of the thread.
    fn use_thread(&mut self, thread: &str) {
        let day = self.root.path().join("codex/sessions/2026/11/26");
        fs::create_dir_all(&day).unwrap();
        let rollout = day.join(format!("rollout-2026-11-26T00-00-00-{thread}.jsonl"));
        let mut file = fs::File::options()
            .create(true)
            .append(true)
            .open(rollout)
            .unwrap();
        writeln!(file, "{{}}").unwrap();
        *self.cost.entry(thread.to_owned()).or_default() += 1;
        self.counted.remove(thread);
    }

    fn exists(&self, folder: usize) -> bool {
        self.workspaces.iter().any(|it| it.folder == folder)
    }

    /// A turn, up to `killed_at`; checks what it goes on with.
    fn turn(
        &mut self,
        at: usize,
        user: usize,
        killed_at: Option<usize>,
    ) -> Result<(), TestCaseError> {
        let (path, folder) = (self.workspaces[at].path.clone(), self.workspaces[at].folder);
        let key = SessionKey::of_workspace(&path);
        let mut store = self.store(user);
        if let Some(step) = killed_at {
            let seen = Arc::new(AtomicUsize::new(0));
            store = store.observed(move |_, _| {
                if seen.fetch_add(1, Ordering::Relaxed) == step {
                    // Ends the thread that writes, as a crash would: nothing of it is undone.
                    panic_any(Crash);
                }
            });
        }
        let acquired = self.runtime.block_on(store.acquire(&key));
        let Ok(Acquired {
            session, loaded, ..
        }) = acquired
        else {
            prop_assert!(killed_at.is_some(), "cannot be acquired");
            return Ok(());
        };
        self.check(&loaded, user, folder)?;
        let named = loaded.entry.as_ref().map(|entry| entry.thread_id.clone());
        let resumed = named.filter(|thread| thread.starts_with("01a2"));
        let before = loaded.entry.as_ref().and_then(|entry| entry.totals);
        let thread = match &resumed {
            Some(thread) => {
                if let Some(totals) = before {
                    prop_assert_eq!(totals.input_tokens, self.cost[thread], "a wrong number");
                }
                if killed_at.is_none() && self.counted.get(thread) == Some(&user) {
                    prop_assert!(before.is_some(), "the totals of {} are unknown", thread);
                }
                thread.clone()
            }
            None => {
                if loaded.entry.is_some() || loaded.foreign.is_some() {
                    let _ = self.runtime.block_on(session.set_aside());
                }
                self.new_thread()
            }
        };
        self.use_thread(&thread);
        let mut entry = SessionEntry::new(&thread);
        if resumed.is_none() {
            match self.runtime.block_on(session.save(entry.clone())) {
                Ok(_) => {}
                Err(_) => {
                    prop_assert!(killed_at.is_some(), "cannot be saved");
                    // The state may have it, or not.
                    self.owner.insert((user, thread), folder);
                    self.latest.remove(&(user, folder));
                    return Ok(());
                }
            }
        }
        self.owner.insert((user, thread.clone()), folder);
        self.latest.insert((user, folder), thread.clone());
        if killed_at.is_none() {
            let mut totals = Usage::default();
            totals.input_tokens = self.cost[&thread];
            entry.totals = Some(totals);
            self.runtime.block_on(session.save(entry)).unwrap();
            self.counted.insert(thread, user);
        }
        Ok(())
    }

    /// What must hold of what a turn goes on with.
    fn check(&mut self, loaded: &Loaded, user: usize, folder: usize) -> Result<(), TestCaseError> {
        self.notices += loaded.notices.len();
        let said = !loaded.notices.is_empty() || loaded.foreign.is_some();
        let latest = self.latest.get(&(user, folder)).cloned();
        let entry = loaded.entry.as_ref();
        let resumed = entry.filter(|entry| entry.thread_id.starts_with("01a2"));
        match resumed {
            Some(entry) => {
                let owner = self.owner.get(&(user, entry.thread_id.clone()));
                let owner_is_elsewhere =
                    owner.is_some_and(|owner| *owner != folder && self.exists(*owner));
                prop_assert!(
                    !owner_is_elsewhere,
                    "{} of another workspace is resumed: {:?}",
                    entry.thread_id,
                    loaded
                );
            }
            // The component says of what is no thread id that it is put aside.
            None if entry.is_some() => {}
            None => {
                let still_its = latest.filter(|thread| {
                    let owner = self.owner.get(&(user, thread.clone()));
                    owner == Some(&folder)
                });
                prop_assert!(
                    still_its.is_none() || said,
                    "{:?} is lost in silence: {:?}",
                    still_its,
                    loaded
                );
            }
        }
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        if self.workspaces.is_empty() {
            self.make();
        }
        let count = self.workspaces.len();
        let file = |world: &World, at: usize| world.workspaces[at].path.join(SESSION_FILE);
        match step {
            Step::Turn { workspace, user } => self.turn(workspace.index(count), *user, None)?,
            Step::Killed { workspace, at } => self.turn(workspace.index(count), 0, Some(*at))?,
            Step::Move(workspace) => {
                let at = workspace.index(count);
                let (path, _) = self.fresh_path();
                fs::rename(&self.workspaces[at].path, &path).unwrap();
                self.workspaces[at].path = path;
            }
            Step::Copy(workspace) => {
                let from = self.workspaces[workspace.index(count)].path.clone();
                let to = self.make();
                copy(&from, &self.workspaces[to].path);
            }
            Step::Remove(workspace) => {
                let gone = self.workspaces.remove(workspace.index(count));
                fs::remove_dir_all(gone.path).unwrap();
            }
            Step::Restore(workspace) => {
                let at = workspace.index(count);
                let path = self.workspaces[at].path.clone();
                let (backup, folder) = self.fresh_path();
                fs::create_dir(&backup).unwrap();
                copy(&path, &backup);
                fs::remove_dir_all(&path).unwrap();
                fs::create_dir(&path).unwrap();
                copy(&backup, &path);
                fs::remove_dir_all(&backup).unwrap();
                self.workspaces[at].folder = folder;
            }
            Step::Clean(workspace) => {
                clear(&file(self, workspace.index(count)));
            }
            Step::Plant { workspace, of } => {
                let (to, from) = (workspace.index(count), of.index(count));
                let folder = self.workspaces[from].folder;
                let planted = self.latest.get(&(0, folder)).cloned();
                let planted =
                    planted.unwrap_or_else(|| "01a2ffff-0000-7000-8000-000000000000".into());
                clear(&file(self, to));
                fs::write(file(self, to), &planted).unwrap();
                self.cost.entry(planted).or_default();
            }
            Step::Obstruct { workspace, with } => {
                let path = file(self, workspace.index(count));
                clear(&path);
                match with {
                    0 => fs::create_dir(&path).unwrap(),
                    1 => symlink("/etc/passwd", &path).unwrap(),
                    2 => symlink("nowhere", &path).unwrap(),
                    3 => fs::write(&path, "").unwrap(),
                    4 => fs::write(&path, "--last").unwrap(),
                    _ => fs::write(&path, [0; 5000]).unwrap(),
                }
            }
            Step::ByHand(workspace) => {
                let folder = self.workspaces[workspace.index(count)].folder;
                if let Some(thread) = self.latest.get(&(0, folder)).cloned() {
                    self.use_thread(&thread);
                }
            }
            Step::Reset(workspace) => {
                let at = workspace.index(count);
                let key = SessionKey::of_workspace(&self.workspaces[at].path);
                let store = self.store(0);
                let _ = self.runtime.block_on(store.set_aside(&key));
                self.latest.remove(&(0, self.workspaces[at].folder));
            }
        }
        Ok(())
    }
}

struct Crash;

fn clear(path: &Path) {
    let Ok(metadata) = path.symlink_metadata() else {
        return;
    };
    if metadata.is_dir() {
        fs::remove_dir_all(path).unwrap();
    } else {
        fs::remove_file(path).unwrap();
    }
}

/// The small files of a workspace, as `cp -a` copies them.
fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (kind, target) = (entry.file_type().unwrap(), to.join(entry.file_name()));
        if kind.is_file() {
            fs::copy(entry.path(), target).unwrap();
        } else if kind.is_symlink() {
            symlink(fs::read_link(entry.path()).unwrap(), target).unwrap();
        } else {
            fs::create_dir(target).unwrap();
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let any = any::<Index>;
    let step = prop_oneof![
        6 => (any(), 0..2_usize).prop_map(|(workspace, user)| Step::Turn { workspace, user }),
        4 => any().prop_map(|workspace| Step::Turn { workspace, user: 0 }),
        2 => (any(), 0..8_usize).prop_map(|(workspace, at)| Step::Killed { workspace, at }),
        1 => any().prop_map(Step::Move),
        2 => any().prop_map(Step::Copy),
        1 => any().prop_map(Step::Remove),
        1 => any().prop_map(Step::Restore),
        1 => any().prop_map(Step::Clean),
        2 => (any(), any()).prop_map(|(workspace, of)| Step::Plant { workspace, of }),
        1 => (any(), 0..6_usize).prop_map(|(workspace, with)| Step::Obstruct { workspace, with }),
        1 => any().prop_map(Step::ByHand),
        1 => any().prop_map(Step::Reset),
    ];
    prop::collection::vec(step, 1..30)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn no_order_of_events_gives_another_workspaces_thread_a_silent_loss_or_a_wrong_number(
        steps in steps()
    ) {
        // The crashes in it are panics; they say nothing.
        std::panic::set_hook(Box::new(|info| {
            if !info.payload().is::<Crash>() {
                eprintln!("{info}");
            }
        }));
        let mut world = World::new();
        for step in &steps {
            world.step(step)?;
        }
    }
}
