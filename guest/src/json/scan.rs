//! Looks at sixteen bytes of a text at a time.

/// How many bytes are looked at together.
const CHUNK: usize = 16;

/// Where the first byte is, at or after `at`, that cannot stand in a string as it is: a quote, a backslash or a control
/// character. Nothing if there is none.
pub fn special(bytes: &[u8], mut at: usize) -> Option<usize> {
    let mut rest = bytes.get(at..)?;
    while let Some((chunk, behind)) = rest.split_first_chunk::<CHUNK>() {
        let found = specials(chunk);
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize);
        }
        at += CHUNK;
        rest = behind;
    }
    let found = rest.iter().position(|byte| is_special(*byte))?;
    Some(at + found)
}

fn is_special(byte: u8) -> bool {
    byte == b'"' || byte == b'\\' || byte < b' '
}

/// A bit for each of these bytes that is special, the lowest for the first.
#[cfg(target_family = "wasm")]
fn specials(chunk: &[u8; CHUNK]) -> u16 {
    use core::arch::wasm32::{u8x16_bitmask, u8x16_eq, u8x16_lt, u8x16_splat, v128_load, v128_or};
    // SAFETY: as many bytes as are loaded are there, and they need not be aligned.
    let bytes = unsafe { v128_load(chunk.as_ptr().cast()) };
    let quotes = u8x16_eq(bytes, u8x16_splat(b'"'));
    let backslashes = u8x16_eq(bytes, u8x16_splat(b'\\'));
    let controls = u8x16_lt(bytes, u8x16_splat(b' '));
    u8x16_bitmask(v128_or(v128_or(quotes, backslashes), controls))
}

/// The same for the code without a sandbox.
#[cfg(target_arch = "x86_64")]
fn specials(chunk: &[u8; CHUNK]) -> u16 {
    use core::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_loadu_si128, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128,
        _mm_set1_epi8,
    };
    // SAFETY: every such machine has SSE2. As many bytes as are loaded are there, and they need not be aligned.
    let found = unsafe {
        let bytes = _mm_loadu_si128(chunk.as_ptr().cast());
        let quotes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'"'.cast_signed()));
        let backslashes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'\\'.cast_signed()));
        let last = _mm_set1_epi8((b' ' - 1).cast_signed());
        let controls = _mm_cmpeq_epi8(_mm_min_epu8(bytes, last), bytes);
        _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quotes, backslashes), controls))
    };
    // Sixteen bits are set at most.
    found as u16
}

/// The same for other machines.
#[cfg(not(any(target_family = "wasm", target_arch = "x86_64")))]
fn specials(chunk: &[u8; CHUNK]) -> u16 {
    let bits = chunk.iter().enumerate();
    bits.fold(0, |found, (at, byte)| {
        found | u16::from(is_special(*byte)) << at
    })
}
