//! The words after `?` in a target: any text, so that names of the configuration pass as they are.

/// Every byte that is not a letter, a digit or one of `-._~` becomes `%XX` (RFC 3986 section 2).
pub fn encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// The other way; what is not a valid `%XX` stays as it is.
pub fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = if *first == b'%' { after.split_first_chunk::<2>() } else { None };
        let byte = digits.and_then(|(digits, _)| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        let undone = byte.zip(digits.map(|(_, after)| after));
        let (byte, after) = undone.unwrap_or((*first, after));
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded_to_the_same() {
        for (text, encoded) in [("VI_1", "VI_1"), ("a b/ü?%", "a%20b%2F%C3%BC%3F%25"), ("", "")] {
            assert_eq!(encode(text), encoded);
            assert_eq!(decode(encoded), text);
        }
        assert_eq!(decode("%zz%4"), "%zz%4");
    }
}
