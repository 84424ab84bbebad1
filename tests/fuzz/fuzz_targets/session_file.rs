//! The session's file and what is known outside, whatever they hold.
//!
//! An input is a first line of letters and the fields session file, file of a thread, file of the workspace, and thread
//! id to save. Letters: `s` there is a session file, `k` the state knows the thread of the next field, `w` it knows the
//! workspace, `t` what a crash left; `e` saves the thread id of the input and not the one that was loaded, `n` without
//! totals, `i` with a digest of instructions.
#![no_main]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use plexum_openai_provider::{
    Acquired, Loaded, SESSION_FILE, SessionEntry, SessionFiles, SessionKey, SessionStore, Usage,
};
use plexum_openai_provider_fuzz::fields::{FIELD, split};
use plexum_openai_provider_fuzz::scratch::scratch;
use tokio::runtime::{Builder, Runtime};

/// The thread whose file of the state is made up. Fuzzing finds it in the dictionary.
const KNOWN: &str = "01a203e6-c71a-7d50-bfec-754792f3dc4b";

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
}

fuzz_target!(|data: &[u8]| {
    let [letters, files] = split(data, b'\n');
    let [session, thread, place, thread_id] = split(files, FIELD);
    let has = |letter| letters.contains(&letter);

    let root = scratch();
    let (folder, state) = (root.path().join("workspace"), root.path().join("state"));
    fs::create_dir(&folder).expect("a folder");
    let store = SessionFiles::default()
        .with_state_folder(&state)
        .with_codex_home(root.path().join("codex"));
    let key = SessionKey::of_workspace(&folder);
    let acquired = || -> Result<Acquired, String> {
        let acquired = RUNTIME.with(|runtime| runtime.block_on(store.acquire(&key)));
        acquired.map_err(|error| error.to_string())
    };

    // A real conversation first, so that the state has its files.
    if has(b'w') {
        let Acquired { session, .. } = acquired().expect("nothing is there");
        let saved = session.save(SessionEntry::new(KNOWN));
        RUNTIME.with(|runtime| runtime.block_on(saved).expect("it is saved"));
        drop(session);
        let places = state.join("workspaces");
        let file = fs::read_dir(places).expect("the folder").next();
        if !place.is_empty() {
            let file = file.expect("a file").expect("a name").path();
            fs::write(file, place).expect("a file");
        }
    }
    let write = |letter, path: &Path, content: &[u8]| {
        if has(letter) {
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, content).expect("a file");
        }
    };
    write(b's', &folder.join(SESSION_FILE), session);
    write(b't', &folder.join(format!("{SESSION_FILE}.tmp")), b"half");
    write(b'k', &state.join(format!("threads/{KNOWN}.json")), thread);

    let before = content(&folder);
    let peeked = RUNTIME.with(|runtime| runtime.block_on(store.peek(&key)));
    assert_eq!(content(&folder), before, "looking changes nothing");
    let (open, loaded) = match acquired() {
        Ok(Acquired {
            session, loaded, ..
        }) => (Some(session), Ok(loaded)),
        Err(error) => (None, Err(error)),
    };
    if let (Ok(peeked), Ok(loaded)) = (&peeked, &loaded) {
        assert_eq!(peeked.entry, loaded.entry);
        let file = String::from_utf8_lossy(session);
        let own = loaded.entry.as_ref().map(|entry| entry.thread_id.as_str());
        if has(b's') && own.is_some_and(|own| own != file.trim()) {
            assert!(!loaded.notices.is_empty(), "another thread in silence");
        }
        let other = own.is_none() && loaded.foreign.is_none() && loaded.notices.is_empty();
        assert!(!(has(b's') && other), "a session file is not seen");
    }

    let mut totals = Usage::default();
    totals.input_tokens = u64::MAX;
    totals.cached_input_tokens = Some(session.len() as u64);
    totals.cache_write_input_tokens = has(b'k').then_some(0);
    totals.output_tokens = thread.len() as u64;
    let entry = match &loaded {
        Ok(Loaded {
            entry: Some(entry), ..
        }) if !has(b'e') => entry.clone(),
        _ => {
            let mut entry = SessionEntry::new(String::from_utf8_lossy(thread_id));
            entry.totals = (!has(b'n')).then_some(totals);
            entry.instructions = has(b'i').then(|| "digest".into());
            entry
        }
    };
    let before = content(&folder);
    // Nothing is saved without a conversation.
    let Some(open) = open else { return };
    let saved = RUNTIME.with(|runtime| runtime.block_on(open.save(entry.clone())));
    drop(open);
    match saved {
        Ok(_) => {
            let again = acquired().expect("what was saved can be loaded").loaded;
            let kept = again.entry.expect("what was saved is there");
            assert_eq!(kept.thread_id, entry.thread_id);
            let mut after = content(&folder);
            assert_eq!(
                after.remove(SESSION_FILE).as_deref(),
                Some(entry.thread_id.as_bytes())
            );
            // What a crash left is removed with the file that it was meant for.
            after.retain(|name, bytes| before.get(name) != Some(bytes));
            assert!(after.is_empty(), "left behind: {:?}", after.keys());
        }
        Err(error) => assert_eq!(content(&folder), before, "changed in spite of {error}"),
    }

    let aside = RUNTIME.with(|runtime| runtime.block_on(store.set_aside(&key)));
    assert!(aside.is_ok(), "{aside:?}");
    assert_eq!(
        acquired().map(|acquired| acquired.loaded.entry),
        Ok(None),
        "what is set aside is not gone on with"
    );
});

/// The files in a folder.
fn content(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(folder).expect("the folder");
    files
        .map(|file| {
            let file = file.expect("a file");
            let name = file.file_name().into_string().expect("a name");
            (name, fs::read(file.path()).expect("its content"))
        })
        .collect()
}
