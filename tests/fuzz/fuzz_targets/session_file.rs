//! The session's files, whatever they hold.
//!
//! An input is a first line of letters and the fields session file, state file and thread id to save. Letters:
//! `s` there is a session file, `u` a state file, `t` what a crash left of either; `e` saves the thread id of
//! the input and not the one that was loaded, `n` without totals, `i` with a digest of instructions.
#![no_main]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use plexum_openai_provider::{
    SESSION_FILE, STATE_FILE, SessionEntry, SessionFiles, SessionKey, SessionStore, Usage,
};
use plexum_openai_provider_fuzz::fields::{FIELD, split};
use tokio::runtime::{Builder, Runtime};

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread().build().expect("a runtime");
}

fuzz_target!(|data: &[u8]| {
    let [letters, files] = split(data, b'\n');
    let [session, state, thread_id] = split(files, FIELD);
    let has = |letter| letters.contains(&letter);

    // In memory, where there is such a place.
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    };
    let folder = folder.expect("a folder");
    let folder = folder.path();
    let write = |letter, name: &str, content: &[u8]| {
        if has(letter) {
            fs::write(folder.join(name), content).expect("a file");
        }
    };
    write(b's', SESSION_FILE, session);
    write(b'u', STATE_FILE, state);
    write(b't', &format!("{SESSION_FILE}.tmp"), b"half");
    write(b't', &format!("{STATE_FILE}.tmp"), b"half");

    let loaded = load(folder);
    match &loaded {
        Ok(None) => assert!(!has(b's'), "the session file is not seen"),
        Ok(Some(entry)) => {
            assert_eq!(entry.thread_id, String::from_utf8_lossy(session).trim());
        }
        Err(error) => assert!(error.contains(SESSION_FILE), "no file in {error:?}"),
    }

    let mut totals = Usage::default();
    totals.input_tokens = u64::MAX;
    totals.cached_input_tokens = Some(session.len() as u64);
    totals.cache_write_input_tokens = has(b'u').then_some(0);
    totals.output_tokens = state.len() as u64;
    let entry = match &loaded {
        Ok(Some(entry)) if !has(b'e') => entry.clone(),
        _ => {
            let mut entry = SessionEntry::new(String::from_utf8_lossy(thread_id));
            entry.totals = (!has(b'n')).then_some(totals);
            entry.instructions = has(b'i').then(|| "digest".into());
            entry
        }
    };
    let key = SessionKey::of_workspace(folder);
    let before = content(folder);
    match RUNTIME
        .with(|runtime| runtime.block_on(SessionFiles::default().save(&key, entry.clone())))
    {
        Ok(()) => {
            assert_eq!(
                load(folder),
                Ok(Some(entry.clone())),
                "another entry is loaded than was saved"
            );
            let mut after = content(folder);
            assert_eq!(
                after.remove(SESSION_FILE).as_deref(),
                Some(entry.thread_id.as_bytes())
            );
            let known = entry.totals.is_some() || entry.instructions.is_some();
            assert_eq!(after.remove(STATE_FILE).is_some(), known);
            // What a crash left is removed with the file that it was meant for.
            after.retain(|name, bytes| before.get(name) != Some(bytes));
            assert!(after.is_empty(), "left behind: {:?}", after.keys());
        }
        Err(error) => {
            assert_eq!(content(folder), before, "changed in spite of {error}");
            assert_eq!(load(folder), loaded);
        }
    }

    let before = content(folder).remove(SESSION_FILE);
    let aside = RUNTIME.with(|runtime| runtime.block_on(SessionFiles::default().set_aside(&key)));
    assert_eq!(aside.is_ok(), before.is_some(), "{aside:?}");
    assert_eq!(
        content(folder).remove(&format!("{SESSION_FILE}.bad")),
        before
    );
    assert_eq!(load(folder), Ok(None));
});

/// What is loaded, or the text of the error.
fn load(folder: &Path) -> Result<Option<SessionEntry>, String> {
    let key = SessionKey::of_workspace(folder);
    let loaded = RUNTIME.with(|runtime| runtime.block_on(SessionFiles::default().load(&key)));
    loaded.map_err(|error| error.to_string())
}

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
