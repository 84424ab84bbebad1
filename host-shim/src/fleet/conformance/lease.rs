//! Who may write.

use std::time::Duration;

use super::setting::{LONG, SHORT, Setting, Writer, is_moved, owner};
use super::{Check, Contract, contracts, must};
use crate::fleet::store::{Acquisition, Then};

pub fn contracts() -> [(&'static str, Contract); 10] {
    contracts![
        "a lease is one host's" => exclusive,
        "of many that ask at once, one is given the lease" => one_of_many,
        "a fence rises with each lease" => rises,
        "a lease that was released is free at once" => released,
        "a lease that has ended can be taken, and its old holder changes nothing any more" => taken_over,
        "a lease that has ended and that nobody has taken can be renewed" => renewed_late,
        "a release does not touch the lease of a successor" => released_late,
        "a commit renews or releases" => commit_and_lease,
        "the same owner may ask again" => asked_again,
        "the fence alone does not make a holder" => not_the_fence_alone,
    ]
}

async fn exclusive(setting: Setting) -> Check {
    let first = setting.take("one", "first").await?;
    must!(first.thread.is_none(), "it has not begun: {first:?}");
    must!(first.last_host.is_none(), "nobody has had it: {first:?}");
    let holder = setting.holder("one").await?;
    must!(
        holder.host == "first",
        "the holder is \"first\": {holder:?}"
    );
    must!(
        holder.ends_in > LONG / 2 && holder.ends_in <= LONG && holder.held_for < LONG / 2,
        "it was just given for {LONG:?}: {holder:?}"
    );
    setting.take("another", "second").await?;
    setting.store.renew(&first.lease, LONG * 2).await?;
    let holder = setting.holder("one").await?;
    must!(
        holder.ends_in > LONG,
        "it was renewed for {:?}: {holder:?}",
        LONG * 2
    );
    Ok(())
}

async fn one_of_many(setting: Setting) -> Check {
    let setting = std::sync::Arc::new(setting);
    for round in 0..4 {
        let asking: Vec<_> = (0..32)
            .map(|number| {
                let setting = std::sync::Arc::clone(&setting);
                tokio::spawn(async move {
                    setting
                        .ask(&format!("{round}"), &format!("host {number}"), LONG)
                        .await
                })
            })
            .collect();
        let mut held = Vec::new();
        let mut holders = Vec::new();
        for asked in asking {
            match asked
                .await
                .map_err(|error| super::Broken(error.to_string()))??
            {
                Acquisition::Held(one) => held.push(one.lease.owner.host),
                Acquisition::Busy(holder) => holders.push(holder.host),
            }
        }
        must!(held.len() == 1, "in round {round} it was given to {held:?}");
        must!(
            holders.iter().all(|holder| held.contains(holder)),
            "in round {round} {held:?} has it, and others were told: {holders:?}"
        );
    }
    Ok(())
}

async fn rises(setting: Setting) -> Check {
    let mut last = 0;
    for number in 0..4 {
        let held = setting.take("one", "host").await?;
        must!(
            held.lease.fence > last || number == 0,
            "{last}, then {}",
            held.lease.fence
        );
        last = held.lease.fence;
        setting.store.release(&held.lease).await?;
    }
    Ok(())
}

async fn released(setting: Setting) -> Check {
    let first = setting.take("one", "first").await?;
    setting.store.release(&first.lease).await?;
    setting.store.release(&first.lease).await?;
    let second = setting.take("one", "second").await?;
    must!(
        second.last_host.as_deref() == Some("first"),
        "\"first\" had it before: {second:?}"
    );
    Ok(())
}

async fn taken_over(setting: Setting) -> Check {
    let store = &setting.store;
    let mut old = setting.writer("one", "thread").await?;
    old.append(b"kept\n").await?;
    store.renew(&old.lease, SHORT).await?;
    let new = setting.take_over("one", "new").await?;
    must!(
        new.lease.fence > old.lease.fence,
        "the fence did not rise: {new:?}"
    );
    must!(
        new.thread.as_ref() == Some(&old.thread),
        "{new:?} does not go on with {:?}",
        old.thread
    );
    must!(
        new.last_host.as_deref() == Some("writer"),
        "\"writer\" had it before: {new:?}"
    );

    is_moved(store.renew(&old.lease, LONG).await)?;
    for then in [Then::Renew(LONG), Then::Release] {
        let longer = old.with(b"too late\n");
        is_moved(old.commit(Some(&longer), b"too late\n", then).await)?;
        is_moved(old.commit(Some(&old.thread.clone()), b"", then).await)?;
        is_moved(old.commit(None, b"", then).await)?;
    }
    let kept = old.kept().await?;
    must!(
        kept.as_ref() == Some(&old.thread),
        "it was changed: {kept:?}"
    );
    let record = old.read("thread", 0).await?;
    must!(record == b"kept\n", "the record was changed: {record:?}");
    let holder = setting.holder("one").await?;
    must!(holder.host == "new", "the lease is \"new\"'s: {holder:?}");
    Ok(())
}

async fn renewed_late(setting: Setting) -> Check {
    let store = &setting.store;
    let mut writer = setting.writer("one", "thread").await?;
    store.renew(&writer.lease, Duration::ZERO).await?;
    let free = store.find(&writer.lease.key).await?;
    must!(
        free.as_ref().is_some_and(|found| found.holder.is_none()),
        "its time is up: {free:?}"
    );
    store.renew(&writer.lease, LONG).await?;
    setting.holder("one").await?;
    // A change renews it as well.
    store.renew(&writer.lease, Duration::ZERO).await?;
    writer.append(b"line\n").await?;
    setting.holder("one").await?;
    // Also after a release, if the answer to it was lost.
    store.release(&writer.lease).await?;
    store.renew(&writer.lease, LONG).await?;
    setting.holder("one").await?;
    Ok(())
}

async fn released_late(setting: Setting) -> Check {
    let old = setting.take("one", "old").await?;
    setting.store.renew(&old.lease, Duration::ZERO).await?;
    setting.take_over("one", "new").await?;
    setting.store.release(&old.lease).await?;
    let holder = setting.holder("one").await?;
    must!(
        holder.host == "new",
        "it was \"new\"'s to release: {holder:?}"
    );
    Ok(())
}

async fn commit_and_lease(setting: Setting) -> Check {
    let mut writer = setting.writer("one", "thread").await?;
    let thread = writer.with(b"a\n");
    writer
        .commit(Some(&thread), b"a\n", Then::Renew(LONG * 3))
        .await?;
    let holder = setting.holder("one").await?;
    must!(
        holder.ends_in > LONG * 2,
        "it was renewed for {:?}: {holder:?}",
        LONG * 3
    );
    writer.commit(Some(&thread), b"", Then::Release).await?;
    let next = setting.take("one", "next").await?;
    must!(
        next.thread.as_ref() == Some(&thread),
        "{next:?} does not go on with {thread:?}"
    );
    writer = Writer::new(setting.store.clone(), next.lease, "thread");
    writer.commit(None, b"", Then::Release).await?;
    setting.take("one", "last").await?;
    Ok(())
}

async fn asked_again(setting: Setting) -> Check {
    let store = &setting.store;
    let before = setting.take("one", "before").await?;
    store.release(&before.lease).await?;
    let (key, owner) = (setting.key("one"), owner("again"));
    let mut last = before.lease;
    for _ in 0..3 {
        let Acquisition::Held(held) = store.acquire(&key, &owner, LONG).await? else {
            return Err(super::Broken("it is this owner's own lease".into()));
        };
        must!(
            held.lease.fence > last.fence,
            "{:?}, then {held:?}",
            last.fence
        );
        must!(
            held.last_host.as_deref() == Some("before"),
            "nobody else had it in between: {held:?}"
        );
        is_moved(store.renew(&last, LONG).await)?;
        last = held.lease;
    }
    Ok(())
}

async fn not_the_fence_alone(setting: Setting) -> Check {
    let store = &setting.store;
    let held = setting.take("one", "host").await?;
    for (fence, holder) in [
        (held.lease.fence, owner("host")),
        (held.lease.fence + 1, held.lease.owner.clone()),
        (held.lease.fence - 1, held.lease.owner.clone()),
    ] {
        let mut forged = held.lease.clone();
        forged.fence = fence;
        forged.owner = holder;
        is_moved(store.renew(&forged, LONG).await)?;
        store.release(&forged).await?;
        let mut writer = Writer::new(store.clone(), forged, "thread");
        is_moved(writer.append(b"forged\n").await)?;
    }
    let mut nowhere = held.lease.clone();
    nowhere.key = setting.key("never begun");
    is_moved(store.renew(&nowhere, LONG).await)?;
    store.release(&nowhere).await?;
    setting.holder("one").await?;
    let found = store.find(&held.lease.key).await?;
    must!(
        found.as_ref().is_some_and(|found| found.thread.is_none()),
        "nothing was written: {found:?}"
    );
    Ok(())
}
