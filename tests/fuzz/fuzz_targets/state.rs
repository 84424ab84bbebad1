//! Two workspaces that share a state, whatever its files hold.
//!
//! An input is a first line of letters and the fields session file of A, session file of B, file of the thread that both
//! may want, A's file in the state and B's. Letters: `a` and `b` there is a session file, `t` the file of the thread is
//! replaced, `A` and `B` the files in the state are replaced; `n` A begins a new thread at the end. In the three files of
//! the state, `@A` and `@B` stand for the members of an object that say which folder a workspace is.
#![no_main]

use std::fs;
use std::path::{Path, PathBuf};

use libfuzzer_sys::fuzz_target;
use plexum_openai_provider::{
    Acquired, SESSION_FILE, Session, SessionEntry, SessionFiles, SessionKey, SessionStore, Usage,
};
use plexum_openai_provider_fuzz::fields::{FIELD, split};
use plexum_openai_provider_fuzz::scratch::scratch;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::runtime::{Builder, Runtime};

/// The thread that both may want. Fuzzing finds it in the dictionary.
const WANTED: &str = "01a203e6-c71a-7d50-bfec-754792f3dc4b";

/// The threads that A and B have at the beginning, and one that A begins at the end.
const OWN: [&str; 2] = [
    "01a203e6-c71a-7d50-bfec-00000000000a",
    "01a203e6-c71a-7d50-bfec-00000000000b",
];
const NEW: &str = "01a203e6-c71a-7d50-bfec-00000000000c";

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
}

fuzz_target!(|data: &[u8]| {
    let [letters, files] = split(data, b'\n');
    let [in_a, in_b, thread, place_a, place_b] = split(files, FIELD);
    let has = |letter| letters.contains(&letter);

    let root = scratch();
    let state = root.path().join("state");
    let store = SessionFiles::default()
        .with_state_folder(&state)
        .with_codex_home(root.path().join("codex"));
    let workspaces = ["a", "b"].map(|name| Workspace::new(root.path().join(name), &store));

    // Real conversations first, so that the state has its files.
    let known = OWN.map(|thread_id| state.join(format!("threads/{thread_id}.json")));
    let mut places: Vec<PathBuf> = Vec::new();
    for (workspace, thread_id) in workspaces.iter().zip(OWN) {
        let Acquired { session, .. } = workspace.acquired();
        save(&*session, SessionEntry::new(thread_id)).expect("it is saved");
        let files = fs::read_dir(state.join("workspaces")).expect("the folder");
        let mut paths = files.map(|file| file.expect("a name").path());
        places.push(paths.find(|path| !places.contains(path)).expect("a file"));
    }
    let owners: Vec<String> = known.iter().map(|file| owner(file)).collect();
    let filled = |content: &[u8]| {
        let content = String::from_utf8_lossy(content);
        let content = content.replace("@A", &owners[0]);
        content.replace("@B", &owners[1])
    };
    let thread_file = state.join(format!("threads/{WANTED}.json"));
    let thread = filled(thread);
    for (letter, path, content) in [
        (b't', &thread_file, &thread),
        (b'A', &places[0], &filled(place_a)),
        (b'B', &places[1], &filled(place_b)),
    ] {
        if has(letter) {
            fs::write(path, content).expect("a file");
        }
    }
    for (letter, workspace, content) in [(b'a', &workspaces[0], in_a), (b'b', &workspaces[1], in_b)]
    {
        let file = workspace.folder.join(SESSION_FILE);
        if has(letter) {
            fs::write(file, content).expect("a file");
        }
    }

    let [a, b] = workspaces.each_ref().map(Workspace::turn_begins);
    assert!(
        !is_same(&a, &b),
        "both go on with the thread {a:?} and {b:?}"
    );
    for (workspace, before) in workspaces.iter().zip([&a, &b]) {
        let Acquired { loaded: again, .. } = workspace.acquired();
        assert_eq!(again.entry, *before, "another look, another thread");
        let totals = before.as_ref().and_then(|entry| entry.totals);
        let says_so = serde_json::from_str::<&RawValue>(&thread).is_ok();
        assert!(totals.is_none() || says_so, "totals come from nowhere");
    }
    if has(b'n') {
        let Acquired { session, .. } = workspaces[0].acquired();
        let mut entry = SessionEntry::new(NEW);
        entry.totals = Some(Usage::default());
        save(&*session, entry.clone()).expect("it is saved");
        drop(session);
        let begun = workspaces[0].turn_begins();
        if is_same(&b, &Some(entry.clone())) {
            // B's file named the thread before codex did, as no file does that codex has not written.
            assert!(!is_same(&begun, &b), "both go on with the thread {NEW}");
        } else {
            assert_eq!(begun, Some(entry), "it was not kept");
        }
        let b_again = workspaces[1].turn_begins();
        assert_eq!(b_again, b, "a turn in A has changed B");
    }
});

struct Workspace<'a> {
    folder: PathBuf,
    store: &'a SessionFiles,
}

impl<'a> Workspace<'a> {
    fn new(folder: PathBuf, store: &'a SessionFiles) -> Self {
        fs::create_dir(&folder).expect("a folder");
        Workspace { folder, store }
    }

    fn acquired(&self) -> Acquired {
        let key = SessionKey::of_workspace(&self.folder);
        RUNTIME
            .with(|runtime| runtime.block_on(self.store.acquire(&key)))
            .expect("nobody else locks it, and the files are plain ones")
    }

    /// What a turn here goes on with. A thread other than the one in the file is told.
    fn turn_begins(&self) -> Option<SessionEntry> {
        let in_file = fs::read(self.folder.join(SESSION_FILE)).ok();
        let key = SessionKey::of_workspace(&self.folder);
        let peeked = RUNTIME.with(|runtime| runtime.block_on(self.store.peek(&key)));
        let loaded = self.acquired().loaded;
        assert_eq!(
            peeked.map(|peeked| peeked.entry).ok(),
            Some(loaded.entry.clone())
        );
        if let Some(in_file) = in_file {
            let in_file = String::from_utf8_lossy(&in_file);
            let own = loaded.entry.as_ref().map(|entry| entry.thread_id.as_str());
            assert!(
                own == Some(in_file.trim()) || !loaded.notices.is_empty(),
                "{in_file:?} became {own:?} in silence"
            );
        }
        loaded.entry
    }
}

/// Whether both go on with one thread.
fn is_same(a: &Option<SessionEntry>, b: &Option<SessionEntry>) -> bool {
    let (Some(a), Some(b)) = (a, b) else {
        return false;
    };
    // A text that is not a thread id is no thread: the component says so.
    a.thread_id.eq_ignore_ascii_case(&b.thread_id) && is_uuid(&a.thread_id)
}

/// Written again, independently of the code that decides.
fn is_uuid(text: &str) -> bool {
    let groups: Vec<usize> = text.split('-').map(str::len).collect();
    groups == [8, 4, 4, 4, 12] && text.chars().all(|c| c == '-' || c.is_ascii_hexdigit())
}

/// The members that say whose the thread of this file is.
fn owner(file: &Path) -> String {
    let text = fs::read_to_string(file).expect("the file of a thread");
    let thread: Value = serde_json::from_str(&text).expect("it is JSON");
    let owner = thread["owner"].to_string();
    owner.trim_matches(['{', '}']).to_owned()
}

fn save(session: &dyn Session, entry: SessionEntry) -> Result<Vec<String>, String> {
    let saved = RUNTIME.with(|runtime| runtime.block_on(session.save(entry)));
    saved.map_err(|error| error.to_string())
}
