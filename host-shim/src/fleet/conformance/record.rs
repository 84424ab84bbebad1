//! Codex's record of a thread.

use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::setting::{LONG, Setting, Writer, is_refused, noise};
use super::{Check, Contract, contracts, must};
use crate::fleet::store::{MAX_LINE_BYTES, MAX_PIECE_BYTES, Then};
use crate::session::store::SessionErrorKind::Unreadable;

pub fn contracts() -> [(&'static str, Contract); 9] {
    contracts![
        "a record is read as it was written, from any byte on" => any_byte,
        "a record of 65 MiB goes in and out in pieces" => large,
        "many small pieces are one record, also after the turns in which they came" => many_small,
        "a tail that does not follow is refused and changes nothing" => contiguous,
        "the same change succeeds again and is made once" => repeated,
        "another thread begins at 0, and the old record stays" => replaced,
        "a thread that is come back to begins its record again" => back_again,
        "records of two conversations do not meet, even of one thread" => apart,
        "old records go with a sweep, those in use do not" => swept,
    ]
}

async fn any_byte(setting: Setting) -> Check {
    let mut writer = setting.writer("one", "thread").await?;
    let mut whole = Vec::new();
    let mut ends = vec![0];
    for length in [1, 2, 900, 6_000, 70_000, 300_000] {
        let piece = noise(length);
        writer.append(&piece).await?;
        whole.extend(piece);
        ends.push(whole.len());
    }
    for end in ends {
        for from in [end.saturating_sub(1), end, end + 1] {
            let read = writer.read("thread", from as u64).await?;
            let expected = whole.get(from..).unwrap_or_default();
            must!(
                read == expected,
                "from byte {from}: {} bytes, not {}",
                read.len(),
                expected.len()
            );
        }
    }
    for from in [writer.bytes() + 100, i64::MAX as u64, u64::MAX] {
        let read = writer.read("thread", from).await;
        must!(
            matches!(&read, Ok(read) if read.is_empty()),
            "there is nothing from byte {from} on"
        );
    }
    let other = writer.read("another thread", 0).await?;
    must!(other.is_empty(), "nothing is kept of another thread");
    Ok(())
}

async fn large(setting: Setting) -> Check {
    let mut writer = setting.writer("one", "thread").await?;
    let mut hash = Sha256::new();
    let piece = noise(MAX_PIECE_BYTES);
    for _ in 0..16 {
        writer.append(&piece).await?;
        hash.update(&piece);
    }
    writer
        .append(piece.get(..1024 * 1024).unwrap_or_default())
        .await?;
    hash.update(piece.get(..1024 * 1024).unwrap_or_default());
    let bytes = writer.bytes();
    must!(bytes == 65 * 1024 * 1024, "{bytes}");
    let thread = writer.thread.clone();
    writer.commit(Some(&thread), b"", Then::Release).await?;
    let (mut read, mut from) = (Sha256::new(), 0);
    loop {
        let piece = setting.store.read(&writer.lease, "thread", from).await?;
        must!(
            piece.len() <= MAX_PIECE_BYTES,
            "{} bytes at once",
            piece.len()
        );
        if piece.is_empty() {
            break;
        }
        from += piece.len() as u64;
        read.update(&piece);
    }
    must!(
        from == bytes && read.finalize() == hash.finalize(),
        "{from} bytes were read of {bytes}"
    );

    let line = noise(MAX_PIECE_BYTES * 2 + 7);
    let begins = writer.bytes();
    writer.append(&line).await?;
    let read = writer.read("thread", begins + 1).await?;
    must!(
        line.get(1..) == Some(&read),
        "of a long line {} bytes were read",
        read.len()
    );

    let too_long = vec![b'x'; MAX_LINE_BYTES + 1];
    let longer = writer.with(&too_long);
    is_refused(
        writer
            .commit(Some(&longer), &too_long, Then::Renew(LONG))
            .await,
        Unreadable,
    )
}

async fn many_small(setting: Setting) -> Check {
    let mut whole = Vec::new();
    let mut writer = setting.writer("one", "thread").await?;
    for turn in 0..3 {
        for number in 0..300 {
            let line = format!("{{\"turn\":{turn},\"line\":{number}}}\n");
            writer.append(line.as_bytes()).await?;
            whole.extend(line.into_bytes());
        }
        let thread = writer.thread.clone();
        writer.commit(Some(&thread), b"", Then::Release).await?;
        for from in [0, 1, whole.len() / 2, whole.len() - 1] {
            let read = writer.read("thread", from as u64).await?;
            must!(
                whole.get(from..) == Some(&read),
                "from byte {from} after turn {turn}: {} bytes of {}",
                read.len(),
                whole.len()
            );
        }
        let next = setting.take("one", "next").await?;
        must!(
            next.thread.as_ref() == Some(&thread),
            "{next:?} does not go on with {thread:?}"
        );
        writer.lease = next.lease;
    }
    Ok(())
}

async fn contiguous(setting: Setting) -> Check {
    let mut writer = setting.writer("one", "thread").await?;
    writer.append(b"first\n").await?;
    writer.append(b"second\n").await?;
    let tail: &[u8] = b"wrong\n";
    let mut wrong = Vec::new();
    for bytes in [0_i64, 5, 6, 12, 13, 14, 18, 20, 1_000_000] {
        let mut thread = writer.with(tail);
        if let Some(mark) = &mut thread.record {
            mark.bytes = bytes.unsigned_abs();
        }
        // Its totals must not be kept either.
        thread.entry.instructions = Some("wrong".into());
        wrong.push((thread, tail));
    }
    // Nothing was appended, and yet it is longer, or shorter, or other bytes.
    for (bytes, digest) in [(14, 7), (12, 7), (13, 7), (0, 7)] {
        let mut thread = writer.thread.clone();
        if let Some(mark) = &mut thread.record {
            mark.bytes = bytes;
            mark.digest = [digest; 32];
        }
        wrong.push((thread, b""));
    }
    let mut without = writer.thread.clone();
    without.record = None;
    wrong.push((without.clone(), b""));
    wrong.push((without, tail));
    // Another thread does not begin in the middle.
    let mut other = writer.with(tail);
    other.entry.thread_id = "other".into();
    wrong.push((other, tail));
    for (thread, tail) in &wrong {
        for then in [Then::Renew(Duration::ZERO), Then::Release] {
            let result = writer.commit(Some(thread), tail, then).await;
            must!(
                matches!(&result, Err(error) if error.kind == Unreadable),
                "{thread:?} with {} bytes does not follow: {result:?}",
                tail.len()
            );
        }
    }
    is_refused(writer.commit(None, tail, Then::Release).await, Unreadable)?;
    let kept = writer.kept().await?;
    must!(
        kept.as_ref() == Some(&writer.thread),
        "it was changed: {kept:?}"
    );
    let record = writer.read("thread", 0).await?;
    must!(
        record == b"first\nsecond\n",
        "the record was changed: {record:?}"
    );
    setting.holder("one").await?;
    writer.append(b"third\n").await?;
    Ok(())
}

async fn repeated(setting: Setting) -> Check {
    let mut writer = setting.writer("one", "thread").await?;
    let tails: [&[u8]; 3] = [b"first\n", b"second\n", b"third\n"];
    for tail in tails {
        let thread = writer.with(tail);
        for _ in 0..3 {
            writer
                .commit(Some(&thread), tail, Then::Renew(LONG))
                .await?;
        }
        writer.append(tail).await?;
        // What else changes is changed by the repetition too, as if the first had not been.
        let mut renamed = writer.thread.clone();
        renamed.entry.instructions = Some(format!("{tail:?}"));
        writer
            .commit(Some(&renamed), tail, Then::Renew(LONG))
            .await?;
        let kept = writer.kept().await?;
        must!(
            kept.as_ref() == Some(&renamed),
            "{kept:?} is not {renamed:?}"
        );
    }
    let last = writer.with(b"last\n");
    for _ in 0..3 {
        writer.commit(Some(&last), b"last\n", Then::Release).await?;
    }
    let record = writer.read("thread", 0).await?;
    must!(record == b"first\nsecond\nthird\nlast\n", "{record:?}");
    for _ in 0..2 {
        writer.commit(None, b"", Then::Release).await?;
    }
    setting.take("one", "next").await?;
    Ok(())
}

async fn replaced(setting: Setting) -> Check {
    let mut old = setting.writer("one", "old").await?;
    old.append(b"old\n").await?;
    let mut new = Writer::new(setting.store.clone(), old.lease.clone(), "new");
    new.append(b"new\n").await?;
    new.append(b"new again\n").await?;
    let kept = new.kept().await?;
    must!(
        kept.as_ref() == Some(&new.thread),
        "{kept:?} is not {:?}",
        new.thread
    );
    must!(
        new.read("new", 0).await? == b"new\nnew again\n",
        "the new record"
    );
    must!(
        new.read("old", 0).await? == b"old\n",
        "the old record is gone"
    );
    // One that begins without a record, and one that begins with none.
    let mut bare = Writer::new(setting.store.clone(), old.lease.clone(), "bare").thread;
    bare.record = None;
    new.commit(Some(&bare), b"", Then::Renew(LONG)).await?;
    must!(
        new.kept().await?.as_ref() == Some(&bare),
        "it is not {bare:?}"
    );
    new.commit(None, b"", Then::Renew(LONG)).await?;
    must!(new.kept().await?.is_none(), "it begins again");
    for (thread_id, record) in [("old", &b"old\n"[..]), ("new", b"new\nnew again\n")] {
        must!(
            new.read(thread_id, 0).await? == record,
            "the record of {thread_id} is gone"
        );
    }
    Ok(())
}

async fn back_again(setting: Setting) -> Check {
    let mut writer = setting.writer("one", "thread").await?;
    for _ in 0..3 {
        writer.append(b"a line of the first time\n").await?;
    }
    let lease = writer.lease.clone();
    for leaves_to in [Some("other"), None] {
        match leaves_to {
            Some(other) => {
                let mut other = Writer::new(setting.store.clone(), lease.clone(), other);
                other.append(b"meanwhile\n").await?;
            }
            None => writer.commit(None, b"", Then::Renew(LONG)).await?,
        }
        // Where it ended does not count any more.
        let longer = writer.with(b"more\n");
        is_refused(
            writer
                .commit(Some(&longer), b"more\n", Then::Renew(LONG))
                .await,
            Unreadable,
        )?;
        writer = Writer::new(setting.store.clone(), lease.clone(), "thread");
        writer.append(b"short\n").await?;
        let read = writer.read("thread", 0).await?;
        must!(read == b"short\n", "{read:?}");
        writer.append(b"and then\n").await?;
        let read = writer.read("thread", 3).await?;
        must!(read == b"rt\nand then\n", "{read:?}");
    }
    Ok(())
}

async fn apart(setting: Setting) -> Check {
    let mut first = setting.writer("one", "thread").await?;
    let mut second = setting.writer("two", "thread").await?;
    first.append(b"first\n").await?;
    second.append(b"the second\n").await?;
    first.append(b"first again\n").await?;
    second.commit(None, b"", Then::Renew(LONG)).await?;
    must!(
        first.read("thread", 0).await? == b"first\nfirst again\n",
        "the first"
    );
    must!(
        second.read("thread", 0).await? == b"the second\n",
        "the second"
    );
    Ok(())
}

async fn swept(setting: Setting) -> Check {
    let store = &setting.store;
    let mut writer = setting.writer("one", "old").await?;
    writer.append(b"of the old thread\n").await?;
    let mut writer = Writer::new(store.clone(), writer.lease, "new");
    writer.append(b"of the new thread\n").await?;
    store.sweep(Duration::from_secs(3600), 1000).await?;
    must!(
        writer.read("old", 0).await? == b"of the old thread\n",
        "it was left just now"
    );
    let swept = store.sweep(Duration::ZERO, 1000).await?;
    must!(
        swept.records >= 1 && swept.bytes >= 18,
        "a record of 18 bytes was left: {swept:?}"
    );
    must!(writer.read("old", 0).await?.is_empty(), "it is still there");
    must!(
        writer.read("new", 0).await? == b"of the new thread\n",
        "it is in use"
    );
    writer.append(b"and on\n").await?;
    Ok(())
}
