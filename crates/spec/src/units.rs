//! Sizes and durations, parsed once and exactly.
//!
//! A text that is not exactly a whole number of bytes or milliseconds is an
//! error: nothing is rounded, nothing falls back to "unlimited".

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct ByteSize(u64);

impl ByteSize {
    /// A size of `bytes` bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// A size of `mebibytes` times 2^20 bytes.
    pub const fn from_mib(mebibytes: u64) -> Self {
        Self(mebibytes << 20)
    }

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ByteSize {
    /// In the largest unit of which it is a whole number, so that it reads back as the same
    /// number, and as people wrote it: `64MB` or `64MiB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [
            (1 << 40, "TiB"),
            (1_000_000_000_000, "TB"),
            (1 << 30, "GiB"),
            (1_000_000_000, "GB"),
            (1 << 20, "MiB"),
            (1_000_000, "MB"),
            (1 << 10, "KiB"),
            (1_000, "KB"),
        ];
        for (size, unit) in units {
            if self.0 != 0 && self.0.is_multiple_of(size) {
                return write!(f, "{}{unit}", self.0 / size);
            }
        }
        write!(f, "{}B", self.0)
    }
}

/// Why a text is not a size or a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// The text holds no number.
    #[error("{text:?} is not a number with a unit")]
    NotANumber {
        /// What was given.
        text: String,
    },
    /// The unit is not one of the accepted ones.
    #[error("{unit:?} is not a unit of {what}; use {accepted}")]
    UnknownUnit {
        /// What was given.
        unit: String,
        /// `size` or `time`.
        what: &'static str,
        /// The accepted units.
        accepted: &'static str,
    },
    /// The number is negative.
    #[error("{text:?} is negative")]
    Negative {
        /// What was given.
        text: String,
    },
    /// Zero is never a limit: it would mean "nothing", and some read it as "no limit".
    #[error("zero is not a limit")]
    Zero,
    /// The value does not fit.
    #[error("{text:?} is more than {max}")]
    TooLarge {
        /// What was given.
        text: String,
        /// The largest accepted value.
        max: &'static str,
    },
    /// The value is not a whole number of the smallest unit.
    #[error("{text:?} is not a whole number of {smallest}")]
    NotWhole {
        /// What was given.
        text: String,
        /// `bytes` or `milliseconds`.
        smallest: &'static str,
    },
}

/// Parses a size such as `256M`, `64MiB`, `0.1GB` or `4096`.
///
/// No unit means bytes. `K M G T` and `KiB MiB GiB TiB` are powers of 1024,
/// `KB MB GB TB` are powers of 1000 (IEC 80000-13). Letter case does not matter.
///
/// # Errors
/// [`UnitError`] for anything else, zero, negative numbers, fractions of a
/// byte and values over 2^63 - 1 included.
pub fn parse_size(text: &str) -> Result<ByteSize, UnitError> {
    const ACCEPTED: &str = "B, K, KB, KiB, M, MB, MiB, G, GB, GiB, T, TB or TiB";
    let (number, unit) = split(text)?;
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => {
            return Err(UnitError::UnknownUnit {
                unit: unit.to_owned(),
                what: "size",
                accepted: ACCEPTED,
            });
        }
    };
    let bytes = scale(text, number, factor, "bytes", "2^63 - 1 bytes", i64::MAX as u64)?;
    Ok(ByteSize(bytes))
}

/// The longest accepted duration: 365 days.
const MAX_MILLISECONDS: u64 = 365 * 24 * 60 * 60 * 1000;

/// Parses a duration such as `30s`, `1h`, `500ms` or `1.5m`; no unit means milliseconds.
///
/// # Errors
/// [`UnitError`] for anything else, zero, negative numbers, fractions of a
/// millisecond and more than 365 days included.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let (number, unit) = split(text)?;
    let factor: u64 = match unit {
        "" | "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => {
            return Err(UnitError::UnknownUnit {
                unit: unit.to_owned(),
                what: "time",
                accepted: "ms, s, m, h or d",
            });
        }
    };
    scale(text, number, factor, "milliseconds", "365 days", MAX_MILLISECONDS)
        .map(Duration::from_millis)
}

/// Splits `1.5GB` into `1.5` and `GB`.
fn split(text: &str) -> Result<(&str, &str), UnitError> {
    let text = text.trim();
    if text.starts_with('-') {
        return Err(UnitError::Negative { text: text.to_owned() });
    }
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let digits = number.bytes().filter(u8::is_ascii_digit).count();
    if digits == 0 || number.len() > digits + 1 || number.ends_with('.') || number.starts_with('.')
    {
        return Err(UnitError::NotANumber { text: text.to_owned() });
    }
    Ok((number, unit.trim_start()))
}

/// Multiplies the decimal `number` by `factor` in integers, so that `0.1GB` is exact.
fn scale(
    text: &str,
    number: &str,
    factor: u64,
    smallest: &'static str,
    max_text: &'static str,
    max: u64,
) -> Result<u64, UnitError> {
    let too_large = || UnitError::TooLarge { text: text.trim().to_owned(), max: max_text };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let fraction = fraction.trim_end_matches('0');
    // 18 decimals are finer than one byte of a tebibyte: more cannot be whole.
    if fraction.len() > 18 {
        return Err(UnitError::NotWhole { text: text.trim().to_owned(), smallest });
    }
    let denominator = 10u128.pow(fraction.len() as u32);
    let whole: u128 = whole.parse().map_err(|_| too_large())?;
    let fraction: u128 = if fraction.is_empty() { 0 } else { fraction.parse().unwrap_or(0) };
    let scaled = whole
        .checked_mul(denominator)
        .and_then(|value| value.checked_add(fraction))
        .and_then(|value| value.checked_mul(u128::from(factor)))
        .ok_or_else(too_large)?;
    if scaled % denominator != 0 {
        return Err(UnitError::NotWhole { text: text.trim().to_owned(), smallest });
    }
    match u64::try_from(scaled / denominator) {
        Ok(0) => Err(UnitError::Zero),
        Ok(value) if value <= max => Ok(value),
        _ => Err(too_large()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_are_exact() {
        for (text, bytes) in [
            ("256M", 268_435_456),
            ("64MiB", 67_108_864),
            ("0.1GB", 100_000_000),
            ("1.5K", 1536),
            ("4096", 4096),
            ("1 GiB", 1 << 30),
            ("1gb", 1_000_000_000),
            ("9223372036854775807", i64::MAX as u64),
        ] {
            assert_eq!(parse_size(text), Ok(ByteSize(bytes)), "{text}");
        }
    }

    #[test]
    fn sizes_that_are_not_sizes_are_errors() {
        for text in [
            "",
            "M",
            "-1M",
            "0",
            "0M",
            "0.0G",
            "1X",
            "1.2.3M",
            "1.M",
            ".5M",
            "0.1G",
            "0.5B",
            "17179869185G",
            "99999999999999999999999999999999999999999999",
            "1e6",
            "0x10",
            "1 0M",
            "unlimited",
            "NaN",
            "inf",
            "１M",
            "1M1",
            "+1M",
        ] {
            assert!(parse_size(text).is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn durations_are_exact() {
        for (text, milliseconds) in
            [("30s", 30_000), ("1h", 3_600_000), ("500ms", 500), ("5000", 5000), ("1.5m", 90_000)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "s", "-1s", "0", "0s", "1y", "0.5ms", "366d", "1S", "1h30m", "1e3"] {
            assert!(parse_duration(text).is_err(), "{text:?} was accepted");
        }
    }

    proptest! {
        #[test]
        fn a_size_reads_back_as_itself(bytes in 1u64..=i64::MAX as u64) {
            prop_assert_eq!(parse_size(&ByteSize(bytes).to_string()), Ok(ByteSize(bytes)));
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = parse_size(&text);
            let _ = parse_duration(&text);
        }
    }
}
