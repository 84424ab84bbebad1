//! What a machine or a process can run out of, and which limit says so.
//!
//! Such an error says nothing about what was asked for: the same request may well succeed a moment later.

use std::io;

use rustix::io::Errno;

/// The limit that was reached, as a clause for a person; nothing if the error is about something else. The operating
/// system's own error may be inside of another one.
#[must_use]
pub fn limit(error: &io::Error) -> Option<&'static str> {
    let errno = Errno::from_raw_os_error(number(error)?);
    Some(match errno {
        Errno::MFILE => {
            "this process may have no more open files (`ulimit -n`, `LimitNOFILE=` of a service)"
        }
        Errno::NFILE => "this machine can have no more open files (`fs.file-max`)",
        Errno::AGAIN => {
            "no more processes or threads can be started (`ulimit -u`, `TasksMax=` of a service)"
        }
        Errno::NOMEM => {
            "there is no more memory or address space (`ulimit -v`, `MemoryMax=` or `LimitAS=` of a service)"
        }
        Errno::NOSPC => "the disk is full",
        Errno::DQUOT => "the quota of this user is used up",
        Errno::FBIG => "a file may not grow further (`ulimit -f`, `LimitFSIZE=` of a service)",
        _ => return None,
    })
}

/// What to do if a limit was reached, as a clause for a person; nothing if the error is about something else.
#[must_use]
pub fn remedy(error: &io::Error) -> Option<String> {
    Some(format!(
        "{}: free some of it, or raise that limit",
        limit(error)?
    ))
}

/// The number of the operating system's error.
fn number(error: &io::Error) -> Option<i32> {
    error.raw_os_error().or_else(|| {
        let inner = error.get_ref()?;
        let direct = inner
            .downcast_ref()
            .or_else(|| inner.source()?.downcast_ref());
        number(direct?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scarcity_is_told_from_other_errors() {
        let error = |errno: Errno| io::Error::from(errno);
        for errno in [
            Errno::MFILE,
            Errno::NFILE,
            Errno::AGAIN,
            Errno::NOMEM,
            Errno::NOSPC,
            Errno::DQUOT,
            Errno::FBIG,
        ] {
            assert!(limit(&error(errno)).is_some(), "{errno:?}");
        }
        for errno in [Errno::ACCESS, Errno::NOENT, Errno::INVAL] {
            assert!(limit(&error(errno)).is_none(), "{errno:?}");
        }
        assert!(limit(&io::Error::other("full")).is_none());
        assert!(limit(&io::Error::other(error(Errno::NOSPC))).is_some());
        assert_eq!(remedy(&error(Errno::ACCESS)), None);
    }
}
