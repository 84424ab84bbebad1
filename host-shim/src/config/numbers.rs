//! Sections of the configuration that hold whole numbers.

/// Defines such a section from one list: each number with its default and the range it may be in. The type, its
/// defaults, its checks and its schema all come from it.
macro_rules! numbers {
    (
        $(#[$meta:meta])*
        $name:ident {
            $($(#[$field_meta:meta])* $field:ident = $default:expr, $low:expr, $high:expr;)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, ::serde::Serialize, ::serde::Deserialize)]
        #[cfg_attr(feature = "schema", derive(::schemars::JsonSchema))]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            $(
                $(#[$field_meta])*
                #[cfg_attr(feature = "schema", schemars(range(min = $low, max = $high)))]
                pub $field: u32,
            )*
        }

        impl Default for $name {
            fn default() -> Self {
                $name { $($field: $default,)* }
            }
        }

        impl $name {
            const RANGES: &'static [(&'static str, ::std::ops::RangeInclusive<u32>)] =
                &[$((stringify!($field), $low..=$high),)*];

            /// The numbers that a key takes.
            pub(crate) fn range_of(key: &str) -> Option<&'static ::std::ops::RangeInclusive<u32>> {
                let known = Self::RANGES.iter().find(|(name, _)| *name == key);
                known.map(|(_, range)| range)
            }

            /// The keys whose numbers are out of their range, and what is wrong with each.
            pub(crate) fn out_of_range(&self) -> impl Iterator<Item = (&'static str, String)> {
                let values = [$(self.$field,)*];
                Self::RANGES
                    .iter()
                    .zip(values)
                    .filter(|((_, range), value)| !range.contains(value))
                    .map(|((name, range), value)| {
                        let (low, high) = (range.start(), range.end());
                        (*name, $crate::config::numbers::range_message(*low, *high, value))
                    })
            }
        }
    };
}

pub(crate) use numbers;

/// What is wrong with a number that is out of its range.
pub fn range_message(low: u32, high: u32, found: u32) -> String {
    format!("expected a whole number from {low} to {high}, found {found}")
}
