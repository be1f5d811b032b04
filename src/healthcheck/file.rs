//! What the number in a file means for a real server (`FILE_CHECK`). No file: `io/file.rs` reads it.

use super::outcome::Outcome;
use crate::base::WeightWish;

/// Bytes of the file that are looked at.
pub const TEXT_MAX_BYTES: usize = 64;
/// A product at or below this takes the server down (keepalived's limit of priorities).
const DOWN_AT: i64 = -254;

/// The number is read as C reads it: blanks, a sign, digits; what follows is passed over, and no number is 0.
pub fn judge(text: &[u8], weight: i16) -> Outcome {
    let value = number(text);
    let product = value.saturating_mul(i64::from(weight));
    let is_down = if weight == 0 { value != 0 } else { product <= DOWN_AT };
    if is_down {
        return Outcome::FiledDown { value };
    }
    Outcome::Filed { value, wish: WeightWish::Plus(product) }
}

fn number(text: &[u8]) -> i64 {
    let text = text.trim_ascii_start();
    let (sign, digits) = match text.split_first() {
        Some((b'-', digits)) => (-1, digits),
        Some((b'+', digits)) => (1, digits),
        Some(_) | None => (1, text),
    };
    let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
    let value = digits.fold(0_i64, |value, digit| value.saturating_mul(10).saturating_add(i64::from(digit - b'0')));
    sign * value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_adds_to_the_weight_or_takes_the_server_down() {
        let rows: [(&[u8], i16, &str); 11] = [
            (b"0\n", 1, "the file says 0: weight the configured one +0"),
            (b"5\n", 1, "the file says 5: weight the configured one +5"),
            (b" -3 # less", 2, "the file says -3: weight the configured one -6"),
            (b"+7", -1, "the file says 7: weight the configured one -7"),
            (b"-254", 1, "the file says -254, which is down"),
            (b"254", -1, "the file says 254, which is down"),
            (b"-2147483648", 1, "the file says -2147483648, which is down"),
            (b"", 1, "the file says 0: weight the configured one +0"),
            (b"garbage", 1, "the file says 0: weight the configured one +0"),
            (b"1", 0, "the file says 1, which is down"),
            (
                b"99999999999999999999999",
                1,
                "the file says 9223372036854775807: weight the configured one +9223372036854775807",
            ),
        ];
        for (text, weight, wanted) in rows {
            assert_eq!(judge(text, weight).to_string(), wanted, "{}", String::from_utf8_lossy(text));
        }
    }
}
