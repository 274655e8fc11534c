//! Which numbers, dates and times are valid (`valueInteger`, `valueFloat`, `valueDatetime`).

/// Whether the text is an integer that fits in 64 bits with sign.
///
/// The scanner has seen to it that it consists of a sign or base and digits or underscores.
pub(super) fn is_integer(text: &str) -> bool {
    if !underscores_between_digits(text) || has_leading_zero(text) {
        return false;
    }
    let digits = text.replace('_', "");
    let parsed = match digits.get(..2) {
        Some("0x") => i64::from_str_radix(digits.get(2..).unwrap_or_default(), 16),
        Some("0o") => i64::from_str_radix(digits.get(2..).unwrap_or_default(), 8),
        Some("0b") => i64::from_str_radix(digits.get(2..).unwrap_or_default(), 2),
        _ => digits.parse(),
    };
    parsed.is_ok()
}

/// Whether the text is a float that fits in 64 bits; infinities and `nan` are written as such.
pub(super) fn is_float(text: &str) -> bool {
    if matches!(text.trim_start_matches(['+', '-']), "inf" | "nan") {
        return true;
    }
    let mut parts = text.split(['.', 'e', 'E']).filter(|part| !part.is_empty());
    let first = parts.clone().next().unwrap_or_default();
    parts.all(underscores_between_digits)
        && !has_leading_zero(first)
        && text.split('.').skip(1).all(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        && text.replace('_', "").parse::<f64>().is_ok_and(f64::is_finite)
}

fn underscores_between_digits(text: &str) -> bool {
    let mut after_digit = false;
    for byte in text.bytes() {
        if byte == b'_' && !after_digit {
            return false;
        }
        after_digit = byte.is_ascii_hexdigit();
    }
    after_digit
}

fn has_leading_zero(text: &str) -> bool {
    match text.as_bytes() {
        [b'0', b'b' | b'o' | b'x', ..] => false,
        [b'0', _, ..] | [b'+' | b'-', b'0', _, ..] => true,
        _ => false,
    }
}

/// Whether the text is a date, a time, or both with or without an offset.
///
/// `t`, `z` and a blank stand for `T` and `Z`. An offset may reach 24:60, as Go's `time.Parse`
/// has it.
pub(super) fn is_datetime(text: &str) -> bool {
    let text = text.replace('z', "Z").replace(['t', ' '], "T");
    match text.split_once('T') {
        Some((date, rest)) => {
            is_date(date) && time(rest).is_some_and(|offset| offset.is_empty() || is_offset(offset))
        }
        None => is_date(&text) || time(&text) == Some(""),
    }
}

fn is_date(text: &str) -> bool {
    let mut fields = text.splitn(3, '-');
    let mut field = |length, range| fields.next().and_then(|text| digits(text, length, range));
    let (Some(year), Some(month), Some(day)) =
        (field(4, 0..=9999), field(2, 1..=12), field(2, 1..=31))
    else {
        return false;
    };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    day <= days
}

/// What follows the time `HH:MM:SS[.FRACTION]` at the start; `None` if there is none.
fn time(text: &str) -> Option<&str> {
    let (clock, rest) = text.split_at_checked(8)?;
    let mut fields = clock.splitn(3, ':');
    digits(fields.next()?, 2, 0..=23)?;
    digits(fields.next()?, 2, 0..=59)?;
    digits(fields.next()?, 2, 0..=59)?;
    let Some(fraction) = rest.strip_prefix('.') else { return Some(rest) };
    let after = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
    (after.len() < fraction.len()).then_some(after)
}

fn is_offset(text: &str) -> bool {
    if text == "Z" {
        return true;
    }
    let Some((hours, minutes)) =
        text.strip_prefix(['+', '-']).and_then(|offset| offset.split_once(':'))
    else {
        return false;
    };
    digits(hours, 2, 0..=24).is_some() && digits(minutes, 2, 0..=60).is_some()
}

/// The value of a field of exactly so many digits, if it lies in the range.
fn digits(text: &str, length: usize, range: std::ops::RangeInclusive<u32>) -> Option<u32> {
    let all_digits = text.len() == length && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|value| all_digits && range.contains(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers() {
        for text in
            ["0", "-0", "+5", "1_000", "0xdead_beef", "0o17", "0b1_0", "-9223372036854775808"]
        {
            assert!(is_integer(text), "{text}");
        }
        for text in ["00", "+01", "0_1", "1__0", "1_", "9223372036854775808", "0x8000000000000000"]
        {
            assert!(!is_integer(text), "{text}");
        }
    }

    #[test]
    fn floats() {
        for text in ["0.5", "-0.0", "1e5", "1E+0_6", "6.626e-34", "inf", "-nan", "1e-999"] {
            assert!(is_float(text), "{text}");
        }
        for text in ["5.", "1.e2", "01.5", "1._5", "1e", "1e5.3", "1e999", "10.0.0.5", "1.2-3"] {
            assert!(!is_float(text), "{text}");
        }
    }

    #[test]
    fn dates_and_times() {
        for text in [
            "1979-05-27T07:32:00Z",
            "1979-05-27 07:32:00.999999-07:00",
            "1979-05-27t07:32:00z",
            "1979-05-27T07:32:00",
            "2024-02-29",
            "07:32:00.5",
            "1979-05-27T07:32:00+24:60",
        ] {
            assert!(is_datetime(text), "{text}");
        }
        for text in [
            "2023-02-29",
            "2024-13-01",
            "1979-5-27",
            "7:32:00",
            "07:32",
            "07:32:60",
            "07:32:00.",
            "07:32:00Z",
            "1979-05-27T",
            "1979-05-27T07:32:00+25:00",
        ] {
            assert!(!is_datetime(text), "{text}");
        }
    }
}
