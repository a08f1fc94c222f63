//! The part of FlatBuffers that AEDAT 4 needs: a root table with numbers, bytes and a vector of
//! structs. Every access is checked against the buffer's bounds.
//!
//! Format: <https://flatbuffers.dev/internals/>. Offsets are unsigned and point forward, except a
//! table's offset to its list of fields, which is signed.

/// A buffer without the size that may precede it.
#[derive(Clone, Copy)]
pub(super) struct Buffer<'a>(pub &'a [u8]);

/// A table of a buffer.
pub(super) struct Table<'a> {
    buffer: Buffer<'a>,
    at: usize,
    fields: usize,
    fields_length: usize,
}

impl<'a> Buffer<'a> {
    pub(super) fn root(self) -> Option<Table<'a>> {
        let at = self.u32(0)? as usize;
        let back = i32::from_le_bytes(self.array(at)?);
        let fields = usize::try_from((at as i64).checked_sub(back.into())?).ok()?;
        let fields_length = usize::from(u16::from_le_bytes(self.array(fields)?));
        Some(Table {
            buffer: self,
            at,
            fields,
            fields_length,
        })
    }

    fn array<const N: usize>(self, at: usize) -> Option<[u8; N]> {
        self.0.get(at..)?.first_chunk().copied()
    }

    fn u32(self, at: usize) -> Option<u32> {
        self.array(at).map(u32::from_le_bytes)
    }
}

impl<'a> Table<'a> {
    /// Position of the field `number`; `None` if the field has its default value.
    pub(super) fn field(&self, number: usize) -> Option<usize> {
        let place = 4 + 2 * number;
        if place + 2 > self.fields_length {
            return None;
        }
        let offset = u16::from_le_bytes(self.buffer.array(self.fields.checked_add(place)?)?);
        (offset != 0).then(|| self.at + usize::from(offset))
    }

    pub(super) fn i32(&self, at: usize) -> Option<i32> {
        self.buffer.array(at).map(i32::from_le_bytes)
    }

    pub(super) fn i64(&self, at: usize) -> Option<i64> {
        self.buffer.array(at).map(i64::from_le_bytes)
    }

    /// The bytes of a text.
    pub(super) fn bytes(&self, at: usize) -> Option<&'a [u8]> {
        let (start, length) = self.vector(at)?;
        self.buffer.0.get(start..)?.get(..length)
    }

    /// A vector of structs of `N` bytes.
    pub(super) fn structs<const N: usize>(&self, at: usize) -> Option<&'a [[u8; N]]> {
        let (start, length) = self.vector(at)?;
        let bytes = self.buffer.0.get(start..)?.get(..length.checked_mul(N)?)?;
        Some(bytes.as_chunks().0)
    }

    /// Position of a vector's first element, and the number of elements.
    fn vector(&self, at: usize) -> Option<(usize, usize)> {
        let vector = at.checked_add(self.buffer.u32(at)? as usize)?;
        Some((vector.checked_add(4)?, self.buffer.u32(vector)? as usize))
    }
}
