//! Netlink attributes: a writer that pads, and a reader that never panics.
//!
//! Four bytes of head (length with the head, type), the value, padding to four (`struct nlattr`,
//! `linux/netlink.h`). Numbers are in the host's order unless a name says otherwise.

/// Why an answer of the kernel makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum AnswerError {
    #[error("no {name}")]
    Missing { name: &'static str },
    #[error("{name} has a wrong length")]
    Length { name: &'static str },
    #[error("{name} is {got}")]
    Value { name: &'static str, got: u64 },
    #[error("{name} is not UTF-8")]
    Text { name: &'static str },
}

/// `NLA_F_NESTED`.
const NESTED: u16 = 0x8000;
/// `NLA_TYPE_MASK`.
const KIND_MASK: u16 = 0x3fff;
const HEAD_LEN: usize = 4;

/// Attributes being written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn finish(self) -> Vec<u8> {
        self.0
    }

    /// One attribute. A value above 65,531 bytes does not fit and is left out; the longest of IPVS has 16.
    pub(super) fn bytes(&mut self, kind: u16, value: &[u8]) {
        let Ok(length) = u16::try_from(value.len() + HEAD_LEN) else {
            debug_assert!(false, "an attribute of {} bytes", value.len());
            return;
        };
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(HEAD_LEN), 0);
    }

    pub(super) fn u8(&mut self, kind: u16, value: u8) {
        self.bytes(kind, &[value]);
    }

    pub(super) fn u16(&mut self, kind: u16, value: u16) {
        self.bytes(kind, &value.to_ne_bytes());
    }

    pub(super) fn u16_be(&mut self, kind: u16, value: u16) {
        self.bytes(kind, &value.to_be_bytes());
    }

    pub(super) fn u32(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_ne_bytes());
    }

    /// A string that ends with a NUL.
    pub(super) fn name(&mut self, kind: u16, value: &str) {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.bytes(kind, &bytes);
    }

    pub(super) fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        fill(&mut inner);
        self.bytes(kind | NESTED, &inner.0);
    }
}

/// Attributes being read.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The first attribute of that kind, if any.
    ///
    /// # Errors
    /// [`AnswerError::Length`] where an attribute before it is broken.
    pub(super) fn find(&self, kind: u16) -> Result<Option<Attribute<'a>>, AnswerError> {
        for attribute in self.clone() {
            let attribute = attribute?;
            if attribute.kind == kind {
                return Ok(Some(attribute));
            }
        }
        Ok(None)
    }

    /// The first attribute of each kind below `N`, in one pass.
    ///
    /// # Errors
    /// [`AnswerError::Length`] where one of them all is broken.
    pub(super) fn sorted<const N: usize>(&self) -> Result<Sorted<'a, N>, AnswerError> {
        let mut places = [None; N];
        for attribute in self.clone() {
            let attribute = attribute?;
            if let Some(place) = places.get_mut(usize::from(attribute.kind)) {
                place.get_or_insert(attribute);
            }
        }
        Ok(Sorted(places))
    }

    /// # Errors
    /// [`AnswerError::Missing`] as well.
    pub(super) fn need(&self, kind: u16, name: &'static str) -> Result<Attribute<'a>, AnswerError> {
        self.find(kind)?.ok_or(AnswerError::Missing { name })
    }
}

/// Attributes by their kind: where several are asked for, and there may be thousands of replies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sorted<'a, const N: usize>([Option<Attribute<'a>>; N]);

impl<'a, const N: usize> Sorted<'a, N> {
    pub(super) fn find(&self, kind: u16) -> Option<Attribute<'a>> {
        debug_assert!(usize::from(kind) < N, "attribute {kind} of {N}");
        self.0.get(usize::from(kind)).copied().flatten()
    }

    /// # Errors
    /// [`AnswerError::Missing`].
    pub(super) fn need(&self, kind: u16, name: &'static str) -> Result<Attribute<'a>, AnswerError> {
        self.find(kind).ok_or(AnswerError::Missing { name })
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Result<Attribute<'a>, AnswerError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let taken = take(self.0);
        self.0 = taken.as_ref().map_or(&[], |(_, rest)| rest);
        Some(taken.map(|(attribute, _)| attribute).ok_or(AnswerError::Length { name: "netlink attribute" }))
    }
}

/// The first attribute and what follows it.
fn take(bytes: &[u8]) -> Option<(Attribute<'_>, &[u8])> {
    let (length, after) = bytes.split_first_chunk::<2>()?;
    let (kind, after) = after.split_first_chunk::<2>()?;
    let length = usize::from(u16::from_ne_bytes(*length));
    let (value, rest) = after.split_at_checked(length.checked_sub(HEAD_LEN)?)?;
    // The last one need not be padded.
    let padding = (length.next_multiple_of(HEAD_LEN) - length).min(rest.len());
    Some((Attribute { kind: u16::from_ne_bytes(*kind) & KIND_MASK, value }, rest.get(padding..)?))
}

/// One attribute as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attribute<'a> {
    pub(super) kind: u16,
    pub(super) value: &'a [u8],
}

impl<'a> Attribute<'a> {
    pub(super) const fn nested(self) -> Reader<'a> {
        Reader(self.value)
    }

    pub(super) fn array<const N: usize>(self, name: &'static str) -> Result<[u8; N], AnswerError> {
        self.value.try_into().map_err(|_| AnswerError::Length { name })
    }

    pub(super) fn u8(self, name: &'static str) -> Result<u8, AnswerError> {
        self.array(name).map(u8::from_ne_bytes)
    }

    pub(super) fn u16(self, name: &'static str) -> Result<u16, AnswerError> {
        self.array(name).map(u16::from_ne_bytes)
    }

    pub(super) fn u16_be(self, name: &'static str) -> Result<u16, AnswerError> {
        self.array(name).map(u16::from_be_bytes)
    }

    pub(super) fn u32(self, name: &'static str) -> Result<u32, AnswerError> {
        self.array(name).map(u32::from_ne_bytes)
    }

    /// A number of 4 or 8 bytes: counters come in both sizes.
    pub(super) fn counter(self, name: &'static str) -> Result<u64, AnswerError> {
        self.array(name).map(u64::from_ne_bytes).or_else(|_| self.u32(name).map(u64::from))
    }

    /// A string up to its first NUL.
    pub(super) fn name(self, name: &'static str) -> Result<&'a str, AnswerError> {
        let text = self.value.split(|byte| *byte == 0).next().unwrap_or_default();
        std::str::from_utf8(text).map_err(|_| AnswerError::Text { name })
    }
}
