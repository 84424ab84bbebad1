//! How much a thread has computed: what a test measures where another load on the machine must not count.

use std::mem::MaybeUninit;
use std::time::Duration;

/// The processor time that the calling thread has used since it began.
///
/// # Panics
/// When the system does not count it; Linux does.
#[must_use]
pub fn of_this_thread() -> Duration {
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: the call writes to `time`, which is valid for that.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, time.as_mut_ptr()) };
    assert_eq!(failed, 0, "the processor time of a thread is not counted");
    // SAFETY: the call has succeeded and so has written it.
    let time = unsafe { time.assume_init() };
    let seconds = u64::try_from(time.tv_sec).expect("a time that was used is not negative");
    let nanos = u32::try_from(time.tv_nsec).expect("less than a second");
    Duration::new(seconds, nanos)
}
