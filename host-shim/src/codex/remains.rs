//! What is left of a codex, when this process ends it because the supervisor cannot.

use std::collections::HashSet;
use std::future::pending;
use std::io;
use std::time::Duration;

use plexum_openai_provider_supervisor::{Family, Mark, Stat};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, getpgid, kill_process, kill_process_group,
    pidfd_open, waitid,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

use super::cgroup::Cgroup;
use super::spawner::Gone;

/// How long processes that are killed may take to go.
pub const GIVE_UP: Duration = Duration::from_secs(3);

/// How often those that do not go are killed again.
const AGAIN: Duration = Duration::from_millis(20);

/// By what codex, and all that it has started, is known.
pub struct Remains {
    codex: Option<Pid>,
    /// What all of it is marked with, unless a limit forbids that.
    mark: Option<Mark>,
    /// What all of it is in, where that can be had.
    cgroup: Option<Cgroup>,
    /// Whether it is known to be in there.
    is_inside: bool,
    /// What this process has killed.
    killed: HashSet<Pid>,
    /// When killing has lasted long enough.
    give_up: Option<Instant>,
}

impl Remains {
    /// Of a codex that will carry this mark, and has not been started.
    pub fn marked(mark: Mark) -> Self {
        Remains {
            codex: None,
            // What a process that this one starts may do, this one may.
            mark: Some(mark).filter(|mark| mark.may_be_put_on()),
            cgroup: None,
            is_inside: false,
            killed: HashSet::new(),
            give_up: None,
        }
    }

    /// It was started, and is in this cgroup, or may be.
    pub fn started(&mut self, codex: Option<Pid>, cgroup: Option<Cgroup>, is_inside: bool) {
        self.codex = codex;
        self.cgroup = cgroup;
        self.is_inside = is_inside;
    }

    /// Whether it was started.
    pub fn has_started(&self) -> bool {
        self.codex.is_some()
    }

    /// Whether codex itself is known to be there. Without a mark that is not known.
    pub fn codex_runs(&self) -> bool {
        let known = self.mark.zip(self.codex);
        known.is_some_and(|(mark, codex)| mark.is_on(codex))
    }

    /// Codex, unless its number is another process's by now.
    pub fn codex(&self) -> Option<Pid> {
        let is_marked = |codex: &Pid| self.mark.is_none_or(|mark| mark.is_on(*codex));
        self.codex.filter(is_marked)
    }

    /// The oldest process that leads a process group, as each codex does, of those that `supervisor` has started.
    pub fn oldest_leader(&self, supervisor: Option<Pid>) -> Option<Pid> {
        let leads = |pid: &Pid| getpgid(Some(*pid)) == Ok(*pid);
        let members = self.family(supervisor).members();
        let leaders = members.ok()?.into_iter().filter(leads);
        let living = leaders.filter_map(|pid| Some((Stat::read(pid)?.started(), pid)));
        let oldest = living.min_by_key(|(started, pid)| (*started, pid.as_raw_nonzero()));
        oldest.map(|(_, pid)| pid)
    }

    fn family(&self, root: Option<Pid>) -> Family {
        Family {
            root,
            mark: self.mark,
        }
    }

    /// So many processes could not be ended by a signal: they are another user's. The kernel can end them if they are in
    /// a cgroup.
    pub async fn end_in_cgroup(&self, count: u32) -> Gone {
        let give_up = Instant::now() + GIVE_UP;
        while let Some(cgroup) = &self.cgroup
            && Instant::now() < give_up
        {
            if !cgroup.kill() {
                return Gone::All { ended: count };
            }
            tokio::time::sleep(AGAIN).await;
        }
        Gone::Left { count }
    }

    /// Asks codex to end.
    pub fn interrupt(&self) {
        if let Some(codex) = self.codex()
            && let Err(error) = kill_process(codex, Signal::INT)
        {
            tracing::debug!(%error, "codex has ended already");
        }
    }

    /// Waits until codex has exited, but not for longer than this.
    pub async fn codex_ends(&self, until: Instant) {
        let Some(codex) = self.codex() else {
            return;
        };
        let ends = async {
            let descriptor = match pidfd_open(codex, PidfdFlags::empty()) {
                Err(Errno::SRCH) => return,
                opened => opened.map_err(io::Error::from),
            };
            let ended = descriptor.and_then(|descriptor| {
                // SAFETY: an `OwnedFd` is the same descriptor for all its life.
                let ended =
                    unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) };
                ended.map_err(io::Error::from)
            });
            match ended {
                Ok(ended) => drop(ended.readable().await),
                Err(error) => {
                    tracing::warn!(%error, "codex cannot be watched; it has the whole grace period");
                    pending().await
                }
            }
        };
        // It is killed next, whether or not it has ended.
        let _in_time = tokio::time::timeout_at(until, ends).await;
    }

    /// Kills all that is left, `supervisor`'s descendants among it; returns how many were killed, codex not counted. May be
    /// dropped while it waits, and called again.
    pub async fn end(&mut self, supervisor: Option<Pid>) -> u32 {
        let family = self.family(supervisor);
        loop {
            // First those that are seen, because they are counted.
            let looked = family
                .kill(&mut self.killed)
                .and_then(|()| family.members());
            let others = self.cgroup.as_ref().is_some_and(Cgroup::kill);
            // Those whose parents have ended are children of this process if it is a subreaper or the first of all.
            for pid in &self.killed {
                let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
                let _not_ours = waitid(WaitId::Pid(*pid), options);
            }
            let now = Instant::now();
            let give_up = *self.give_up.get_or_insert(now + GIVE_UP);
            match looked {
                Ok(left) if left.is_empty() && !others || now >= give_up => break,
                Ok(_) => tokio::time::sleep(AGAIN).await,
                Err(error) => {
                    tracing::error!(%error, "it cannot be seen what is left of codex; only its process group is ended");
                    if let Some(codex) = self.codex() {
                        let _ended_already = kill_process_group(codex, Signal::KILL);
                    }
                    break;
                }
            }
        }
        let was_killed = self.codex.is_some_and(|codex| self.killed.contains(&codex));
        let ended = self.killed.len() - usize::from(was_killed);
        u32::try_from(ended).unwrap_or(u32::MAX)
    }

    /// Whether nothing is left in the cgroup. What has moved out of it on purpose is not seen.
    pub fn cgroup_is_empty(&self) -> bool {
        self.cgroup
            .as_ref()
            .is_some_and(|cgroup| self.is_inside && !cgroup.is_populated())
    }
}
