//! What an operator asks.

use std::time::{Duration, SystemTime};

use super::setting::{LONG, Setting};
use super::{Check, Contract, contracts, must};
use crate::fleet::store::Then;

pub fn contracts() -> [(&'static str, Contract); 5] {
    contracts![
        "conversations are listed by their keys, page by page" => listed,
        "one conversation is found, with its holder" => found,
        "a sweep removes what nobody uses, and nothing else" => swept,
        "hosts with one login are known to each other" => logins,
        "the clock goes" => clock,
    ]
}

async fn listed(setting: Setting) -> Check {
    let mut keys = Vec::new();
    for name in ["b", "a", "Z", "\u{e9}", "c", "_", "a/b", "a b"] {
        setting.take(name, "host").await?;
        keys.push(setting.key(name));
    }
    keys.sort();
    for page in [1, 2, 3, 100] {
        let mut seen: Vec<String> = Vec::new();
        let mut after = Some(setting.prefix.clone());
        loop {
            let listed = setting.store.list(after.as_deref(), page).await?;
            must!(
                listed.len() <= page as usize,
                "{} on a page of {page}",
                listed.len()
            );
            let Some(last) = listed.last() else { break };
            after = Some(last.key.clone());
            let own = listed
                .iter()
                .filter(|one| one.key.starts_with(&setting.prefix));
            seen.extend(own.map(|one| one.key.clone()));
        }
        must!(seen == keys, "pages of {page}: {seen:?}");
    }
    let all = setting.store.list(None, 10_000).await?;
    must!(all.len() >= keys.len(), "from the beginning: {}", all.len());
    must!(
        setting.store.list(None, 0).await?.is_empty(),
        "none were asked for"
    );
    Ok(())
}

async fn found(setting: Setting) -> Check {
    let store = &setting.store;
    let nothing = store.find(&setting.key("one")).await?;
    must!(nothing.is_none(), "nothing is kept: {nothing:?}");
    let began = store.now().await?;
    let mut writer = setting.writer("one", "thread").await?;
    writer.append(b"line\n").await?;
    let Some(found) = store.find(&writer.lease.key).await? else {
        return Err(super::Broken("it is not found".into()));
    };
    must!(found.thread.as_ref() == Some(&writer.thread), "{found:?}");
    must!(found.last_host == "writer", "{found:?}");
    must!(
        found
            .holder
            .as_ref()
            .is_some_and(|holder| holder.host == "writer" && holder.ends_in <= LONG),
        "{found:?}"
    );
    must!(
        found.updated >= began && found.updated <= store.now().await?,
        "{:?} was not since {began:?}",
        found.updated
    );
    store.release(&writer.lease).await?;
    let free = store.find(&writer.lease.key).await?;
    must!(
        free.as_ref()
            .is_some_and(|free| free.holder.is_none() && free.last_host == "writer"),
        "it was released: {free:?}"
    );
    Ok(())
}

async fn swept(setting: Setting) -> Check {
    let store = &setting.store;
    store.sweep(Duration::ZERO, u32::MAX).await?;
    let mut held = setting.writer("held", "thread").await?;
    held.append(b"held\n").await?;
    for name in ["one", "two", "three"] {
        let mut writer = setting.writer(name, "thread").await?;
        writer.append(b"12345\n").await?;
        let thread = writer.thread.clone();
        writer.commit(Some(&thread), b"", Then::Release).await?;
    }
    let kept = store.sweep(Duration::from_secs(3600), 100).await?;
    must!(
        kept == crate::fleet::store::Swept::default(),
        "nothing is that old: {kept:?}"
    );
    let first = store.sweep(Duration::ZERO, 2).await?;
    must!(
        (first.conversations, first.records, first.bytes) == (2, 2, 12),
        "two of three were asked for: {first:?}"
    );
    let second = store.sweep(Duration::ZERO, 2).await?;
    must!(
        (second.conversations, second.records, second.bytes) == (1, 1, 6),
        "one was left: {second:?}"
    );
    let found = store.find(&held.lease.key).await?;
    must!(
        found.and_then(|found| found.thread).as_ref() == Some(&held.thread),
        "it is held"
    );
    must!(
        held.read("thread", 0).await? == b"held\n",
        "its record is gone"
    );
    // What was removed begins again.
    let again = setting.take("one", "host").await?;
    must!(
        again.thread.is_none() && again.last_host.is_none(),
        "it was removed: {again:?}"
    );
    let read = super::setting::read(&**store, &again.lease, "thread", 0).await?;
    must!(read.is_empty(), "its record is still there");
    Ok(())
}

async fn logins(setting: Setting) -> Check {
    let store = &setting.store;
    let within = Duration::from_secs(3600);
    let host = |name| setting.key(name);
    let (shared, own) = ([7; 32], [8; 32]);
    for (name, login, others) in [
        ("a", shared, vec![]),
        ("b", own, vec![]),
        ("b", shared, vec![host("a")]),
        ("a", shared, vec![host("b")]),
        ("c", shared, vec![host("a"), host("b")]),
        ("c", own, vec![host("b")]),
    ] {
        let mut found = store.note_login(&host(name), login, within).await?;
        found.retain(|other| other.starts_with(&setting.prefix));
        found.sort();
        must!(
            found == others,
            "{name} with {:?}: {found:?}",
            login.first()
        );
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    let found = store
        .note_login(&host("a"), shared, Duration::from_millis(1))
        .await?;
    must!(
        found.is_empty(),
        "nobody has used it in the last millisecond: {found:?}"
    );
    Ok(())
}

async fn clock(setting: Setting) -> Check {
    let first = setting.store.now().await?;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let passed = setting
        .store
        .now()
        .await?
        .duration_since(first)
        .unwrap_or_default();
    must!(
        passed >= Duration::from_millis(10) && passed < Duration::from_secs(60),
        "20 ms have passed, and it says {passed:?}"
    );
    must!(first > SystemTime::UNIX_EPOCH, "it is not 1970");
    Ok(())
}
