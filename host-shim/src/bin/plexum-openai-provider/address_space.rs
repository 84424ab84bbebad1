//! What this program does without where the address space is limited (`ulimit -v`).

/// Has the allocator of glibc keep one heap for all threads if the address space is limited. Otherwise it reserves 64 MiB
/// for each thread that meets another one in it, and a busy machine has nothing left of 1 GiB: an allocation of any size
/// then fails, and that ends the program with all its turns.
pub fn spare() {
    #[cfg(target_env = "gnu")]
    if rustix::process::getrlimit(rustix::process::Resource::As)
        .current
        .is_some()
    {
        // SAFETY: it takes and returns numbers only, and no other thread runs yet.
        let done = unsafe { mallopt(M_ARENA_MAX, 1) };
        // It refuses no such number, and without it there is only less room.
        debug_assert_eq!(done, 1);
    }
}

/// From `malloc.h`.
#[cfg(target_env = "gnu")]
const M_ARENA_MAX: i32 = -8;

#[cfg(target_env = "gnu")]
unsafe extern "C" {
    fn mallopt(parameter: i32, value: i32) -> i32;
}
