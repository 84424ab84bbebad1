//! What the session keeps.

use super::setting::{LONG, Setting, Writer};
use super::{Check, Contract, contracts, must};
use crate::contract::event::Usage;
use crate::fleet::store::Then;

pub fn contracts() -> [(&'static str, Contract); 3] {
    contracts![
        "totals and instructions come back as they were, also unknown ones" => round_trip,
        "any text may be a key" => odd_keys,
        "a durable change is like any other" => durable,
    ]
}

async fn round_trip(setting: Setting) -> Check {
    let mut writer = setting.writer("one", "thread").await?;
    let most = i64::MAX as u64;
    let all = [
        None,
        Some(Usage::default()),
        Some(Usage {
            input_tokens: most,
            cached_input_tokens: Some(most - 1),
            cache_write_input_tokens: Some(0),
            output_tokens: most,
            reasoning_output_tokens: Some(1),
        }),
        Some(Usage {
            input_tokens: 1,
            cached_input_tokens: None,
            cache_write_input_tokens: Some(most),
            output_tokens: u64::MAX,
            reasoning_output_tokens: None,
        }),
        None,
    ];
    for totals in all {
        for instructions in [
            None,
            Some(""),
            Some("sha256:00"),
            Some("quote ' \" \\ \u{1F980} \n"),
        ] {
            writer.thread.entry.totals = totals;
            writer.thread.entry.instructions = instructions.map(str::to_owned);
            writer.append(b"line\n").await?;
            let kept = writer.kept().await?;
            must!(
                kept.as_ref() == Some(&writer.thread),
                "{kept:?} is not {:?}",
                writer.thread
            );
        }
    }
    let thread = writer.thread.clone();
    writer.commit(Some(&thread), b"", Then::Release).await?;
    let next = setting.take("one", "next").await?;
    must!(
        next.thread.as_ref() == Some(&thread),
        "{next:?} does not go on with {thread:?}"
    );
    Ok(())
}

async fn odd_keys(setting: Setting) -> Check {
    let long = "long".repeat(512);
    let odd = [
        "",
        " ",
        "a",
        "A",
        "a ",
        "quote'",
        "double\"",
        "back\\slash",
        "line\nfeed",
        "tab\tand bell\u{7}",
        "per%cent_",
        "$1; drop",
        "straße",
        "strasse",
        "e\u{301}",
        "\u{e9}",
        "\u{1F980}",
        "\u{202e}right to left",
        &long,
    ];
    for (number, name) in odd.iter().enumerate() {
        let mut writer = setting.writer(name, "thread").await?;
        writer.append(format!("{number}\n").as_bytes()).await?;
    }
    for (number, name) in odd.iter().enumerate() {
        let key = setting.key(name);
        let found = setting.store.find(&key).await?;
        must!(
            found.as_ref().is_some_and(|found| found.key == key),
            "{name:?}: {found:?}"
        );
        let holder = setting.holder(name).await?;
        must!(holder.host == "writer", "{name:?}: {holder:?}");
        let lease = setting
            .store
            .acquire(&key, &super::setting::owner("x"), LONG)
            .await?;
        must!(
            matches!(lease, crate::fleet::store::Acquisition::Busy(_)),
            "{name:?}: {lease:?}"
        );
        let any = crate::fleet::store::Lease {
            key,
            owner: super::setting::owner("reads"),
            fence: 0,
        };
        let record = Writer::new(setting.store.clone(), any, "thread")
            .read("thread", 0)
            .await?;
        must!(
            record == format!("{number}\n").as_bytes(),
            "{name:?}: {record:?}"
        );
    }
    Ok(())
}

async fn durable(setting: Setting) -> Check {
    let writer = setting.writer("one", "thread").await?;
    let thread = writer.with(b"line\n");
    let change = crate::fleet::store::Change {
        thread: Some(&thread),
        tail: b"line\n",
        durable: true,
        then: Then::Release,
    };
    setting.store.commit(&writer.lease, change).await?;
    let next = setting.take("one", "next").await?;
    must!(
        next.thread.as_ref() == Some(&thread),
        "{next:?} does not go on with {thread:?}"
    );
    Ok(())
}
