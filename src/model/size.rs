use std::fmt;
use std::str::FromStr;

/// A number of bytes, shown in decimal units (1 kB = 1000 B), as registries and engines count.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct Size(pub u64);

/// A text that is no size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a size: a number and one of B, kB, MB, GB, KiB, MiB, GiB, like 120MB")]
pub struct SizeError(pub String);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.0 {
            0..1_000 => format!("{} B", self.0),
            1_000..999_950 => tenths(self.0, 1_000, "kB"),
            999_950..999_950_000 => tenths(self.0, 1_000_000, "MB"),
            _ => tenths(self.0, 1_000_000_000, "GB"),
        };
        f.pad(&text)
    }
}

/// `bytes / unit` with one decimal, rounded half up, in integers so that every machine prints the same.
fn tenths(bytes: u64, unit: u64, name: &str) -> String {
    let tenths = (u128::from(bytes) * 10 + u128::from(unit) / 2) / u128::from(unit);
    format!("{}.{} {name}", tenths / 10, tenths % 10)
}

impl FromStr for Size {
    type Err = SizeError;
    fn from_str(text: &str) -> Result<Self, SizeError> {
        let wrong = || SizeError(text.to_owned());
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let unit: u64 = match unit.trim() {
            "B" => 1,
            "kB" | "KB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return Err(wrong()),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let whole: u64 = whole.parse().map_err(|_| wrong())?;
        let digits =
            u32::try_from(fraction.len()).ok().filter(|len| (1..=9).contains(len)).ok_or_else(wrong)?;
        let fraction: u64 = fraction.parse().map_err(|_| wrong())?;
        let part = u128::from(fraction) * u128::from(unit) / 10_u128.pow(digits);
        let part = u64::try_from(part).map_err(|_| wrong())?;
        whole.checked_mul(unit).and_then(|bytes| bytes.checked_add(part)).map(Self).ok_or_else(wrong)
    }
}

impl std::iter::Sum for Size {
    fn sum<I: Iterator<Item = Self>>(sizes: I) -> Self {
        Self(sizes.map(|size| size.0).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_decimal_units() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (999_949, "999.9 kB"),
            (999_950, "1.0 MB"),
            (12_345_678, "12.3 MB"),
            (2_000_000_000, "2.0 GB"),
        ] {
            assert_eq!(Size(bytes).to_string(), text);
        }
    }

    #[test]
    fn reads_both_families_of_units() {
        for (text, bytes) in
            [("120MB", 120_000_000), ("1.5 MiB", 1_572_864), ("7 B", 7), ("0.1GB", 100_000_000)]
        {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        for text in ["", "12", "MB", "1,5MB", "-1MB", "1mb", "99999999999GB", "1.MB"] {
            assert!(text.parse::<Size>().is_err(), "{text} was taken");
        }
    }
}
