//! What std would provide, if it did not also import WASI. The provider for codex has the same and more in
//! `guest/src/runtime.rs`; this one has no log to hand a panic's words to.

use core::alloc::Layout;
use core::panic::PanicInfo;

#[global_allocator]
static ALLOCATOR: talc::wasm::WasmDynamicTalc = talc::wasm::new_wasm_dynamic_allocator();

// SAFETY: declares nothing. It makes the linker take `memcpy` and its like from the target's own libc; without it
// they stay unresolved imports.
#[link(name = "c")]
unsafe extern "C" {}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
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
    // SAFETY: the canonical ABI gives a power of two for `align`, and for `old` and `old_len` what an earlier call
    // returned and was given.
    let block = unsafe {
        if old_len == 0 {
            alloc::alloc::alloc(Layout::from_size_align_unchecked(new_len, align))
        } else {
            let layout = Layout::from_size_align_unchecked(old_len, align);
            alloc::alloc::realloc(old, layout, new_len)
        }
    };
    if block.is_null() {
        core::arch::wasm32::unreachable()
    }
    block
}
