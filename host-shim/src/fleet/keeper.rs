//! Keeps one conversation for the length of a turn: its lease, and what the store has of codex's record.
//!
//! **Invariant:** while this process runs, codex is stopped before the lease can end: when the store has not confirmed the
//! lease for so long that only the time for stopping codex is left, the conversation is lost. A process that was suspended
//! does so as soon as it runs again, and the store refuses what it writes until then.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::clock::Moment;
use super::handle::{Ask, Asked, Hold};
use super::record::{NewLines, Record, is_name_of};
use super::restore::{Restored, Source, restore};
use super::shared::Shared;
use super::store::{Change, Held, Holder, Lease, StoredThread, Then};
use crate::codex::version::Version;
use crate::session::place::blocking;
use crate::session::rollout::Rollout;
use crate::session::store::{SessionEntry, SessionError, SessionErrorKind};

/// How often to look for new lines of the record.
const LOOK: Duration = Duration::from_millis(100);

/// How long to look that often for a record that codex has not begun.
const SOON: Duration = Duration::from_secs(2);

/// How often after that: each time, all of codex's folders may have to be looked at.
const RARELY: Duration = Duration::from_secs(5);

/// How long to wait for an answer of the store.
const ANSWER: Duration = Duration::from_secs(10);

/// How long to pause before a store that does not answer is asked again.
const PAUSE: Duration = Duration::from_millis(200);

/// Keeps one conversation.
pub struct Keeper {
    shared: Arc<Shared>,
    lease: Lease,
    /// Codex's home.
    home: PathBuf,
    /// The version of codex, if there is one.
    version: Option<Version>,
    /// What the conversation goes on with.
    thread: Option<SessionEntry>,
    /// Codex's record of it as far as the store has it, once it is found.
    record: Option<Record>,
    /// Lines that the store was given and has not confirmed: the next change begins with the same ones.
    unconfirmed: Option<NewLines>,
    /// Whether the store may have something else than was confirmed.
    is_unsure: bool,
    /// The version of the newest codex that has written to the record.
    written_by: Option<String>,
    /// Whether a thread was saved in this turn, and whether its totals were.
    has_saved: bool,
    has_counted: bool,
    /// Whether the record has grown in this turn.
    has_grown: bool,
    /// When to look for the record.
    search: Search,
    /// When the last request was sent that has confirmed the lease.
    confirmed: Moment,
    /// Why the conversation is lost, if it is.
    lost: Option<SessionError>,
}

/// When to look for a record that is not there yet.
#[derive(Clone, Copy)]
struct Search {
    began: Instant,
    last: Option<Instant>,
}

impl Search {
    fn new() -> Self {
        Search {
            began: Instant::now(),
            last: None,
        }
    }

    fn is_due(&self) -> bool {
        self.began.elapsed() < SOON || self.last.is_none_or(|last| last.elapsed() >= RARELY)
    }
}

impl Keeper {
    /// Of a lease that was asked for at this moment.
    pub fn new(
        shared: Arc<Shared>,
        held: &Held,
        asked: Moment,
        home: PathBuf,
        version: Option<Version>,
    ) -> Self {
        Keeper {
            shared,
            lease: held.lease.clone(),
            home,
            version,
            thread: None,
            record: None,
            unconfirmed: None,
            is_unsure: false,
            written_by: None,
            has_saved: false,
            has_counted: false,
            has_grown: false,
            search: Search::new(),
            confirmed: asked,
            lost: None,
        }
    }

    /// Prepares this host to go on with the conversation, and returns what it goes on with. `is_own` says whether what is
    /// longer here than in the store was written here and could not be sent.
    pub async fn begin(
        &mut self,
        thread: Option<StoredThread>,
        is_own: bool,
    ) -> Result<Option<SessionEntry>, SessionError> {
        let Some(StoredThread { mut entry, record }) = thread else {
            return Ok(None);
        };
        if let Some(mark) = record {
            self.check_version(&mark.codex_version)?;
            self.check_size(mark.bytes)?;
            let began = Instant::now();
            let (home, prefixes) = (self.home.clone(), self.shared.prefixes.clone());
            let mut source = Reader {
                thread_id: &entry.thread_id,
                keeper: self,
            };
            let restored = restore(
                &home,
                &entry.thread_id,
                &mark,
                is_own,
                &prefixes,
                &mut source,
            );
            let Restored {
                record,
                fetched,
                unsent,
            } = restored.await?;
            if fetched > 0 {
                self.shared.meter.restored(fetched, began.elapsed());
                tracing::info!(
                    bytes = fetched,
                    thread_id = entry.thread_id,
                    "codex's record was fetched"
                );
            }
            if unsent > 0 {
                // What was counted is not all that there is.
                entry.totals = None;
                self.check_size(mark.bytes + unsent)?;
            }
            self.record = Some(record);
            self.written_by = Some(mark.codex_version);
        }
        self.thread = Some(entry.clone());
        Ok(Some(entry))
    }

    /// Whether codex here may go on with what this version has written.
    fn check_version(&self, written_by: &str) -> Result<(), SessionError> {
        let (Some(version), Ok(newest)) = (self.version, written_by.parse::<Version>()) else {
            return Ok(());
        };
        if version >= newest {
            return Ok(());
        }
        let message = format!(
            "codex {newest} has written to this conversation, and {} has codex {version}, which would damage it: update codex there, or send the message to a host that has codex {newest}",
            self.lease.owner.host
        );
        Err(SessionError::new(SessionErrorKind::Incompatible, message))
    }

    fn check_size(&self, bytes: u64) -> Result<(), SessionError> {
        let most = self.shared.settings.max_record_bytes;
        if bytes <= most {
            return Ok(());
        }
        let mib = most >> 20;
        let message = format!(
            "codex's record of this conversation has {bytes} bytes, and at most {mib} MiB are kept: begin a new conversation with `plexum-openai-provider session reset`, or raise `max_record_mib`"
        );
        Err(SessionError::new(SessionErrorKind::TooLarge, message))
    }

    /// Keeps the conversation until the turn is over.
    pub async fn keep(mut self, mut asked: Asked) {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let ask = tokio::select! {
                biased;
                ask = asked.asks.recv() => ask,
                _ = look.tick(), if self.lost.is_none() => {
                    if let Err(error) = self.look().await {
                        self.shared.meter.lost();
                        asked.hold.send_replace(Hold::Lost(error.clone()));
                        self.lost = Some(error);
                    }
                    continue;
                }
            };
            match ask {
                Some(Ask::Save(entry, reply)) => answer(reply, self.save(entry).await),
                Some(Ask::SetAside(reply)) => answer(reply, self.set_aside().await),
                Some(Ask::Finish(reply)) => {
                    let finished = self.finish().await;
                    asked.hold.send_if_modified(Hold::finish);
                    return answer(reply, finished);
                }
                None => {
                    // The turn was dropped, and codex is gone.
                    if let Err(error) = self.finish().await {
                        tracing::warn!(%error, "what a dropped turn did is not kept");
                    }
                    return;
                }
            }
        }
    }

    /// Until when codex may run on what was confirmed.
    fn stops_at(&self) -> Moment {
        let settings = &self.shared.settings;
        let most = settings
            .lease
            .saturating_sub(settings.grace + settings.margin());
        self.confirmed.after(most)
    }

    /// Until when to wait for an answer: at least for a moment, since this process may have been suspended.
    fn answers_by(&self) -> Moment {
        let moment = Moment::now().after(self.shared.settings.margin() / 2);
        self.stops_at().max(moment)
    }

    /// Hands over new lines, or renews the lease when it is time. An error means that the conversation is lost.
    async fn look(&mut self) -> Result<(), SessionError> {
        let due = self.confirmed.after(self.shared.settings.lease / 3);
        let looked = match self.hand_over().await {
            Ok(()) if due.left().is_zero() => self.renew(self.answers_by()).await,
            done => done,
        };
        let Err(error) = looked else { return Ok(()) };
        if error.kind == SessionErrorKind::Moved {
            return Err(error);
        }
        let stops_at = self.stops_at();
        if passes(&error) && !stops_at.left().is_zero() {
            tracing::warn!(%error, "the session store is asked again");
            sleep(PAUSE.min(stops_at.left())).await;
            return Ok(());
        }
        match self.renew(self.answers_by()).await {
            // Another host has it, whatever else there is to say here.
            Err(refused) if refused.kind == SessionErrorKind::Moved => Err(refused),
            // Nobody has taken the lease meanwhile, so nothing is lost.
            Ok(()) if passes(&error) => Ok(()),
            _ => Err(error),
        }
    }

    /// Work on codex's files, if their disk answers in time. It has a moment even when the time is up, since that may be
    /// because a store has not answered, or this process was suspended.
    async fn on_disk<T: Send + 'static>(
        &self,
        until: Moment,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T, SessionError> {
        let moment = self.shared.settings.margin() / 2;
        let late = async {
            until.come().await;
            sleep(moment).await;
        };
        tokio::select! {
            biased;
            done = blocking(work) => done.map_err(|error| match error.kind() {
                io::ErrorKind::FileTooLarge => {
                    SessionError::new(SessionErrorKind::TooLarge, error.to_string())
                }
                _ => error.into(),
            }),
            // Not one that passes: each attempt would leave a thread that hangs.
            () = late => Err(SessionError::new(
                SessionErrorKind::Unreadable,
                "the disk that has codex's records does not answer: check it",
            )),
        }
    }

    async fn renew(&mut self, until: Moment) -> Result<(), SessionError> {
        let asked = Moment::now();
        let lasts = self.shared.settings.lease;
        let (store, lease) = (Arc::clone(&self.shared.store), self.lease.clone());
        within(until, store.renew(&lease, lasts)).await?;
        self.confirmed = asked;
        Ok(())
    }

    /// Hands the new lines of the record to the store.
    async fn hand_over(&mut self) -> Result<(), SessionError> {
        while self.next_lines(self.answers_by(), false).await? {
            let is_rest = self.unconfirmed.as_ref().is_none_or(|new| new.is_rest);
            self.change(false, self.then_renew(), self.answers_by())
                .await?;
            if is_rest {
                break;
            }
        }
        Ok(())
    }

    fn then_renew(&self) -> Then {
        Then::Renew(self.shared.settings.lease)
    }

    /// Finds the next new lines, unless some wait for the store already. Returns whether there are any.
    async fn next_lines(&mut self, until: Moment, search: bool) -> Result<bool, SessionError> {
        if self.unconfirmed.is_some() {
            return Ok(true);
        }
        let Some(record) = self.find_record(until, search).await? else {
            return Ok(false);
        };
        let new = self.on_disk(until, move || record.new_lines()).await?;
        self.check_size(new.then.bytes)?;
        if new.lines.is_empty() {
            return Ok(false);
        }
        self.has_grown = true;
        // A version that is not known would say nothing to the next host.
        if let Some(version) = self.version {
            self.written_by = Some(version.to_string());
        }
        self.unconfirmed = Some(new);
        Ok(true)
    }

    /// The record of the thread, which codex may not have begun yet.
    async fn find_record(
        &mut self,
        until: Moment,
        search: bool,
    ) -> Result<Option<Record>, SessionError> {
        if self.record.is_some() {
            return Ok(self.record.clone());
        }
        let Some(entry) = self
            .thread
            .as_ref()
            .filter(|_| search || self.search.is_due())
        else {
            return Ok(None);
        };
        let (home, thread_id) = (self.home.clone(), entry.thread_id.clone());
        self.search.last = Some(Instant::now());
        let found = self.on_disk(until, move || {
            let found = Rollout::now(&home, &thread_id, None);
            let found = found.filter(|found| is_name_of(&found.path, &thread_id));
            Ok(found.map(|found| Record::new(&home, &found.path)))
        });
        self.record = found.await?;
        Ok(self.record.clone())
    }

    /// Has the store keep the lines that it has not confirmed, and what is known of the conversation. `is_end`: nothing
    /// comes after that.
    async fn change(
        &mut self,
        is_end: bool,
        then: Then,
        until: Moment,
    ) -> Result<(), SessionError> {
        if self.is_unsure && self.make_sure(until).await? {
            // Lines are to be sent again that were found before: they are to be found once more.
            return Err(gone_back());
        }
        let (lines, record) = match &self.unconfirmed {
            Some(new) => (&*new.lines, Some(&new.then)),
            None => (&[][..], self.record.as_ref()),
        };
        let thread = self.stored(record, is_end);
        let change = Change {
            thread: thread.as_ref(),
            tail: lines,
            durable: is_end,
            then,
        };
        match self.commit(change, until).await {
            Ok(confirmed) => {
                self.confirmed = confirmed;
                self.confirm();
                Ok(())
            }
            Err(error) => {
                self.is_unsure |= matches!(
                    error.kind,
                    SessionErrorKind::Unavailable | SessionErrorKind::Unreadable
                );
                if error.kind == SessionErrorKind::Unreadable {
                    // After a crash the store may have less than it has confirmed.
                    self.make_sure(until).await?;
                    return Err(gone_back());
                }
                Err(error)
            }
        }
    }

    /// The store has the lines.
    fn confirm(&mut self) {
        if let Some(new) = self.unconfirmed.take() {
            self.shared.meter.handed_over(new.lines.len());
            self.record = Some(new.then);
        }
    }

    /// Finds out what the store has, after an answer was lost or the store has lost something. Returns whether it has lost
    /// what it had confirmed: the lines from there on are new again, and none waits for the store.
    async fn make_sure(&mut self, until: Moment) -> Result<bool, SessionError> {
        let store = Arc::clone(&self.shared.store);
        let found = within(until, store.find(&self.lease.key)).await?;
        let kept = found.and_then(|found| found.thread);
        let Some(entry) = &self.thread else {
            self.is_unsure = false;
            return Ok(false);
        };
        let mark = kept
            .filter(|kept| kept.entry.thread_id.eq_ignore_ascii_case(&entry.thread_id))
            .and_then(|kept| kept.record);
        let bytes = mark.as_ref().map_or(0, |mark| mark.bytes);
        let confirmed = self.record.as_ref().map_or(0, |record| record.bytes);
        let is_given = |new: &NewLines| {
            mark.as_ref()
                .is_some_and(|mark| new.then.mark("").is_as_far_as(mark))
        };
        let mut has_lost = false;
        if self.unconfirmed.as_ref().is_some_and(is_given) {
            self.confirm();
        } else if bytes < confirmed {
            // It goes on from there, if that is the beginning of what is here.
            let Some(record) = self.record.clone() else {
                return Err(self.lease.does_not_follow(confirmed, bytes));
            };
            let back = self.on_disk(until, move || record.back_to(bytes)).await?;
            let is_same = match &mark {
                Some(mark) => back.mark("").is_as_far_as(mark),
                None => true,
            };
            if !is_same {
                return Err(self.lease.does_not_follow(confirmed, bytes));
            }
            tracing::warn!(
                from = bytes,
                "the session store has less than it had confirmed; it is given the rest again"
            );
            (self.record, self.unconfirmed) = (Some(back), None);
            has_lost = true;
        }
        self.is_unsure = false;
        Ok(has_lost)
    }

    /// What the store is to have when it has the record as far as this.
    fn stored(&self, record: Option<&Record>, is_end: bool) -> Option<StoredThread> {
        let entry = self.thread.clone()?;
        let version = self.written_by.as_deref().unwrap_or_default();
        // Totals are those at the end of the record.
        let is_counted = is_end && (self.has_counted || !self.has_grown);
        Some(StoredThread {
            entry: SessionEntry {
                totals: entry.totals.filter(|_| is_counted),
                ..entry
            },
            record: record
                .filter(|record| record.bytes > 0)
                .map(|record| record.mark(version)),
        })
    }

    /// Has the store make a change, and returns when it was asked.
    async fn commit(&self, change: Change<'_>, until: Moment) -> Result<Moment, SessionError> {
        let asked = Moment::now();
        let done = self.shared.store.commit(&self.lease, change);
        within(until, done).await.map(|()| asked)
    }

    async fn save(&mut self, entry: SessionEntry) -> Result<(), SessionError> {
        self.check_lost()?;
        let goes_on = self
            .thread
            .as_ref()
            .is_some_and(|held| held.thread_id.eq_ignore_ascii_case(&entry.thread_id));
        self.has_saved = true;
        self.has_counted = entry.totals.is_some();
        self.thread = Some(entry);
        if goes_on {
            // It reaches the store together with the record that it is about.
            return Ok(());
        }
        (self.record, self.unconfirmed, self.written_by) = (None, None, None);
        self.search = Search::new();
        // A crash of the store must not lose the thread's id.
        let thread = self.stored(None, false);
        self.commit_durably(thread.as_ref()).await
    }

    async fn set_aside(&mut self) -> Result<(), SessionError> {
        self.check_lost()?;
        self.commit_durably(None).await?;
        (self.thread, self.record, self.unconfirmed) = (None, None, None);
        (self.written_by, self.has_counted) = (None, false);
        Ok(())
    }

    /// Has the conversation go on with this thread from here, or with none.
    async fn commit_durably(&mut self, thread: Option<&StoredThread>) -> Result<(), SessionError> {
        let change = Change {
            thread,
            tail: &[],
            durable: true,
            then: self.then_renew(),
        };
        match self.commit(change, self.answers_by()).await {
            Ok(confirmed) => {
                self.confirmed = confirmed;
                Ok(())
            }
            Err(error) => {
                self.is_unsure = true;
                Err(error)
            }
        }
    }

    /// Goes on with a thread that codex has here, and ends the lease.
    pub async fn adopt(
        mut self,
        thread: Option<StoredThread>,
        thread_id: &str,
    ) -> Result<(), SessionError> {
        let is_known = |kept: &StoredThread| kept.entry.thread_id.eq_ignore_ascii_case(thread_id);
        let begun = match thread.filter(is_known) {
            Some(kept) => self.begin(Some(kept), true).await.map(drop),
            None => {
                self.thread = Some(SessionEntry::new(thread_id));
                Ok(())
            }
        };
        let found = match begun {
            Ok(()) => self.find_record(self.answers_by(), true).await,
            Err(error) => Err(error),
        };
        match found {
            Ok(Some(_)) => self.finish().await,
            Ok(None) => {
                self.release().await;
                Err(self.no_record(thread_id))
            }
            Err(error) => {
                self.release().await;
                Err(error)
            }
        }
    }

    fn no_record(&self, thread_id: &str) -> SessionError {
        let message = format!(
            "codex's record of the thread {thread_id} was not found below {}, so no other host can go on with it: if a script starts codex with another CODEX_HOME, set that one for this program too",
            self.home.join("sessions").display()
        );
        SessionError::new(SessionErrorKind::Unreadable, message)
    }

    fn check_lost(&self) -> Result<(), SessionError> {
        self.lost.clone().map_or(Ok(()), Err)
    }

    /// Until when the end of a turn may be kept: the lease may have ended, and if nobody has taken it, the store still takes
    /// what there is.
    fn ends_by(&self) -> Moment {
        let settings = &self.shared.settings;
        let lease = self.confirmed.after(settings.lease);
        lease.max(Moment::now().after(settings.margin()))
    }

    /// Has the store keep all of the turn, and ends the lease.
    async fn finish(&mut self) -> Result<(), SessionError> {
        let finished = match &self.lost {
            Some(error) if !passes(error) => Err(error.clone()),
            _ => self.hand_over_rest().await,
        };
        let Err(error) = finished else { return Ok(()) };
        if error.kind != SessionErrorKind::Moved {
            self.release().await;
        }
        Err(error)
    }

    /// Ends the lease, so that nobody has to wait for that.
    pub async fn release(&self) {
        let released = self.shared.store.release(&self.lease);
        if let Err(error) = within(self.ends_by(), released).await {
            tracing::warn!(%error, key = self.lease.key, "the lease of a conversation ends by itself");
        }
    }

    async fn hand_over_rest(&mut self) -> Result<(), SessionError> {
        let mut until = self.ends_by();
        if let Some(new) = &mut self.unconfirmed {
            // They were found while codex ran, and it may have gone on.
            new.is_rest = false;
        }
        // Whether the last change was sent and its answer lost.
        let mut was_sent = false;
        loop {
            self.next_lines(until, true).await?;
            let is_rest = self.unconfirmed.as_ref().is_none_or(|new| new.is_rest);
            let then = if is_rest {
                Then::Release
            } else {
                self.then_renew()
            };
            let changed = if was_sent && self.has_arrived(until).await? {
                self.confirm();
                break;
            } else {
                self.change(is_rest, then, until).await
            };
            match changed {
                Ok(()) if is_rest => break,
                Ok(()) => until = self.ends_by(),
                Err(error) if passes(&error) && until.left() > PAUSE => {
                    was_sent |= is_rest;
                    tracing::warn!(%error, "the session store is asked again");
                    sleep(PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
        if let Some(record) = &self.record
            && let Some(prefix) = record.prefix()
        {
            self.shared.prefixes.note(&record.path, prefix);
        }
        match &self.thread {
            Some(entry) if self.has_saved && self.record.is_none() => {
                Err(self.no_record(&entry.thread_id))
            }
            _ => Ok(()),
        }
    }

    /// Whether the store has all of the turn and has ended the lease, after the answer to the last change was lost. Somebody
    /// else may have gone on from there.
    async fn has_arrived(&self, until: Moment) -> Result<bool, SessionError> {
        let store = &self.shared.store;
        let found = match within(until, store.find(&self.lease.key)).await {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(false),
            // It is asked again.
            Err(error) if passes(&error) => return Ok(false),
            Err(error) => return Err(error),
        };
        let own = |holder: &Holder| holder.host == self.lease.owner.host;
        let Some(entry) = self
            .thread
            .as_ref()
            .filter(|_| !found.holder.as_ref().is_some_and(own))
        else {
            return Ok(false);
        };
        let given = self.unconfirmed.as_ref();
        let ours = given.map(|new| &new.then).or(self.record.as_ref());
        let kept = found
            .thread
            .filter(|kept| kept.entry.thread_id.eq_ignore_ascii_case(&entry.thread_id));
        let Some(StoredThread {
            entry: kept_entry,
            record: Some(kept),
        }) = kept
        else {
            return Ok(false);
        };
        let Some(ours) = ours else { return Ok(false) };
        if kept.bytes <= ours.bytes {
            // The lines may have come with a change before, which was not durable.
            let given = self.stored(Some(ours), true);
            let is_last = given.is_some_and(|given| given.entry == kept_entry);
            return Ok(is_last && ours.mark("").is_as_far_as(&kept));
        }
        let Some(new) = given else { return Ok(true) };
        let from = new.then.bytes - new.lines.len() as u64;
        let read = within(until, store.read(&self.lease, &entry.thread_id, from)).await?;
        let length = read.len().min(new.lines.len());
        Ok(length > 0 && read.get(..length) == new.lines.get(..length))
    }
}

/// Whether this error may be gone in a moment.
fn passes(error: &SessionError) -> bool {
    matches!(
        error.kind,
        SessionErrorKind::Unavailable | SessionErrorKind::Resources
    )
}

fn unavailable(message: &str) -> SessionError {
    SessionError::new(SessionErrorKind::Unavailable, message)
}

fn gone_back() -> SessionError {
    unavailable("the session store had gone back to an earlier state")
}

/// Reads a record from the store, and renews the lease meanwhile.
struct Reader<'a> {
    thread_id: &'a str,
    keeper: &'a mut Keeper,
}

impl Source for Reader<'_> {
    async fn read(&mut self, from: u64) -> Result<Vec<u8>, SessionError> {
        let keeper = &mut *self.keeper;
        if keeper.confirmed.elapsed() > keeper.shared.settings.lease / 3 {
            self.confirm().await?;
        }
        let keeper = &*self.keeper;
        let read = keeper
            .shared
            .store
            .read(&keeper.lease, self.thread_id, from);
        within(keeper.answers_by(), read).await
    }

    async fn confirm(&mut self) -> Result<(), SessionError> {
        let until = self.keeper.answers_by();
        self.keeper.renew(until).await
    }
}

/// The store's answer, if it comes in time.
pub async fn within<T>(
    until: Moment,
    answer: impl Future<Output = Result<T, SessionError>>,
) -> Result<T, SessionError> {
    let late = async {
        tokio::select! {
            () = until.come() => {}
            () = sleep(ANSWER) => {}
        }
    };
    tokio::select! {
        biased;
        answer = answer => answer,
        () = late => Err(unavailable(
            "the session store does not answer: check that it runs and can be reached",
        )),
    }
}

fn answer(reply: oneshot::Sender<Result<(), SessionError>>, done: Result<(), SessionError>) {
    if let Err(Err(error)) = reply.send(done) {
        tracing::warn!(%error, "a turn did not wait for this");
    }
}
