//! What std would provide, if it did not also import WASI.

use core::alloc::Layout;
use core::arch::wasm32::v128;
use core::fmt::{self, Write};
use core::panic::PanicInfo;

use crate::bindings::log::{self, Level};

#[global_allocator]
static ALLOCATOR: talc::wasm::WasmDynamicTalc = talc::wasm::new_wasm_dynamic_allocator();

// SAFETY: declares nothing. It makes the linker take `memcmp` and its like from the
// target's own libc; without it they stay unresolved imports.
#[link(name = "c")]
unsafe extern "C" {}

/// Compares two blocks as C's `memcmp` does. That of the target's libc goes byte by byte, and half of a translation
/// was spent in there: the names of members are compared, and texts that are only said again.
///
/// # Safety
/// Both must be readable for `len` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(left: *const u8, right: *const u8, len: usize) -> i32 {
    const CHUNK: usize = size_of::<u64>();
    let mut at = 0;
    // SAFETY: `at + CHUNK` is at most `len`, and in the second loop `at` is less.
    unsafe {
        while at + CHUNK <= len {
            let left = left.add(at).cast::<u64>().read_unaligned();
            let right = right.add(at).cast::<u64>().read_unaligned();
            if left != right {
                // The first byte that differs decides, and wasm is little-endian.
                return if left.swap_bytes() < right.swap_bytes() {
                    -1
                } else {
                    1
                };
            }
            at += CHUNK;
        }
        while at < len {
            let (left, right) = (*left.add(at), *right.add(at));
            if left != right {
                return i32::from(left) - i32::from(right);
            }
            at += 1;
        }
    }
    0
}

/// Up to this length a copy is made here; a longer one is worth a call of the engine.
const SHORT: usize = 512;

unsafe extern "C" {
    /// That of the target's libc, which has the engine make all but the shortest copies.
    fn memmove(to: *mut u8, from: *const u8, len: usize) -> *mut u8;
}

/// Copies as C's `memcpy` does. That of the target's libc calls the engine from 33 bytes on, and goes byte by byte below
/// that; this saves a twentieth of a translation.
///
/// # Safety
/// Both must be valid for `len` bytes, and must not overlap.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    /// Copies a value's bytes.
    ///
    /// # Safety
    /// Both must be valid for those from `at` on.
    unsafe fn copy<T>(to: *mut u8, from: *const u8, at: usize) {
        // SAFETY: as above.
        unsafe {
            let value = from.add(at).cast::<T>().read_unaligned();
            to.add(at).cast::<T>().write_unaligned(value);
        }
    }
    // SAFETY: each copy ends within `len`. The last one of a kind may repeat a part of the one before it.
    unsafe {
        match len {
            0 => {}
            1..4 => {
                copy::<u8>(to, from, 0);
                copy::<u8>(to, from, len / 2);
                copy::<u8>(to, from, len - 1);
            }
            4..8 => {
                copy::<u32>(to, from, 0);
                copy::<u32>(to, from, len - size_of::<u32>());
            }
            8..16 => {
                copy::<u64>(to, from, 0);
                copy::<u64>(to, from, len - size_of::<u64>());
            }
            16..=SHORT => {
                let last = len - size_of::<v128>();
                let mut at = 0;
                while at < last {
                    copy::<v128>(to, from, at);
                    at += size_of::<v128>();
                }
                copy::<v128>(to, from, last);
            }
            _ => {
                memmove(to, from, len);
            }
        }
    }
    to
}

/// A panic's words, as many as fit: the allocator may be what panicked.
struct Words {
    bytes: [u8; 1024],
    len: usize,
}

impl Write for Words {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            let end = self.len + character.len_utf8();
            match self.bytes.get_mut(self.len..end) {
                Some(room) => character.encode_utf8(room),
                None => return Err(fmt::Error),
            };
            self.len = end;
        }
        Ok(())
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let mut words = Words {
        bytes: [0; 1024],
        len: 0,
    };
    // An error says that the words did not fit; those that did are still worth having.
    let _ = write!(words, "{info}");
    let text = words
        .bytes
        .get(..words.len)
        .and_then(|bytes| core::str::from_utf8(bytes).ok());
    log::write(Level::Error, text.unwrap_or("the guest panicked"));
    core::arch::wasm32::unreachable()
}

/// How the host asks for room to hand values in. wit-bindgen brings this for wasip1 only.
///
/// # Safety
/// Only the canonical ABI calls it, with a block that this function returned before, or none.
#[unsafe(no_mangle)]
unsafe extern "C" fn cabi_realloc(
    old: *mut u8,
    old_len: usize,
    align: usize,
    new_len: usize,
) -> *mut u8 {
    if old_len == 0 && new_len == 0 {
        return core::ptr::without_provenance_mut(align);
    }
    // SAFETY: the canonical ABI gives a power of two for `align`, and for `old` and `old_len` what
    // an earlier call returned and was given.
    let block = unsafe {
        if old_len == 0 {
            alloc::alloc::alloc(Layout::from_size_align_unchecked(new_len, align))
        } else {
            alloc::alloc::realloc(
                old,
                Layout::from_size_align_unchecked(old_len, align),
                new_len,
            )
        }
    };
    if block.is_null() {
        // Not a panic: its message would need memory too.
        core::arch::wasm32::unreachable()
    }
    block
}
