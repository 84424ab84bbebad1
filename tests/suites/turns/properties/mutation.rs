//! What may happen to a recorded output.

use proptest::prelude::*;

/// One change.
#[derive(Debug, Clone)]
pub enum Mutation {
    /// Another byte at this place.
    Byte(prop::sample::Index, u8),
    /// Nothing from here on.
    Cut(prop::sample::Index),
    /// These two lines change places.
    Swap(prop::sample::Index, prop::sample::Index),
    /// This line comes once more, there.
    Repeat(prop::sample::Index, prop::sample::Index),
    /// This line is missing.
    Drop(prop::sample::Index),
}

/// Any of them.
pub fn mutation() -> impl Strategy<Value = Mutation> {
    use prop::sample::Index;
    prop_oneof![
        4 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Mutation::Byte(at, byte)),
        1 => any::<Index>().prop_map(Mutation::Cut),
        2 => any::<(Index, Index)>().prop_map(|(one, other)| Mutation::Swap(one, other)),
        1 => any::<(Index, Index)>().prop_map(|(line, at)| Mutation::Repeat(line, at)),
        1 => any::<Index>().prop_map(Mutation::Drop),
    ]
}

/// The output after that.
pub fn mutate(mut bytes: Vec<u8>, mutation: &Mutation) -> Vec<u8> {
    if bytes.is_empty() {
        return bytes;
    }
    let mut lines: Vec<Vec<u8>> = bytes
        .split_inclusive(|byte| *byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect();
    match mutation {
        Mutation::Byte(at, byte) => {
            *at.get_mut(&mut bytes) = *byte;
            return bytes;
        }
        Mutation::Cut(at) => {
            bytes.truncate(at.index(bytes.len()));
            return bytes;
        }
        Mutation::Swap(one, other) => {
            let count = lines.len();
            lines.swap(one.index(count), other.index(count));
        }
        Mutation::Repeat(line, at) => {
            let line = line.get(&lines).clone();
            lines.insert(at.index(lines.len()), line);
        }
        Mutation::Drop(line) => {
            lines.remove(line.index(lines.len()));
        }
    }
    lines.concat()
}
