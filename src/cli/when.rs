//! Points in time as people read them, without a library of time zones: UTC.

/// Seconds since 1970 as `2026-11-21 13:05:02.123`; before 1970 as 1970.
pub fn utc(unix_s: f64) -> String {
    let millis = std::time::Duration::try_from_secs_f64(unix_s.max(0.0)).unwrap_or_default().as_millis();
    let (seconds, millis) = (millis / 1000, millis % 1000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{millis:03}")
}

/// Days since 1970-01-01 to year, month, day of the Gregorian calendar: years begin in March, so that the day that
/// leap years have more is a year's last.
const fn civil(days: u128) -> (u128, u128, u128) {
    let days = days + 719_468; // since 0000-03-01
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153; // 0 is March
    let day = of_year - (153 * month + 2) / 5 + 1;
    let year = year_of_era + era * 400;
    if month < 10 { (year, month + 3, day) } else { (year + 1, month - 9, day) }
}

#[cfg(test)]
mod tests {
    use super::utc;

    #[test]
    fn days_are_those_of_date() {
        // As `date -u -d @N` has them.
        for (unix_s, wanted) in [
            (0.0, "1970-01-01 00:00:00.000"),
            (951_782_399.0, "2000-02-28 23:59:59.000"),
            (951_782_400.5, "2000-02-29 00:00:00.500"),
            (951_868_800.0, "2000-03-01 00:00:00.000"),
            (1_735_689_599.0, "2024-12-31 23:59:59.000"),
            (4_107_542_400.0, "2100-03-01 00:00:00.000"),
            (-5.0, "1970-01-01 00:00:00.000"),
        ] {
            assert_eq!(utc(unix_s), wanted, "{unix_s}");
        }
    }
}
