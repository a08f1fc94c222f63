//! Reads pickles as `torch.save` writes them, without running anything.
//!
//! Python's unpickler calls whatever a pickle names. This one calls nothing: names of classes and
//! functions stay names. Only calls that weights need have a meaning ([`Node::Tensor`],
//! [`Node::Dict`]); all others give an inert [`Node::Object`]. Opcodes that state dicts never use
//! are refused.

mod machine;

use anyhow::{Context, Result};

use self::machine::Machine;

/// Index of a value in a pickle.
pub type Id = usize;

/// A value; strings borrow from the file.
#[derive(Clone, Debug, PartialEq)]
pub enum Node<'a> {
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An integer of up to 64 bits.
    Int(i64),
    /// A larger integer, little-endian in two's complement.
    Long(&'a [u8]),
    Float(f64),
    /// Text.
    Str(&'a str),
    /// Bytes, or text of Python 2.
    Bytes(&'a [u8]),
    Tuple(Vec<Id>),
    /// A list or set.
    List(Vec<Id>),
    /// A dict or `OrderedDict`, in the order of the pickle.
    Dict(Vec<(Id, Id)>),
    /// A class or function: module and name.
    Global(&'a str, &'a str),
    /// A persistent id: in torch, a tuple that describes a storage.
    Persistent(Id),
    /// The arguments of torch's `_rebuild_tensor`: a storage, an offset, sizes and strides.
    Tensor(Id),
    /// An object of any other class.
    Object {
        /// The class or function that makes it.
        class: Id,
        /// Its state, if the pickle sets one.
        state: Option<Id>,
    },
}

/// A pickle's values.
#[derive(Debug)]
pub struct Pickle<'a> {
    nodes: Vec<Node<'a>>,
    /// The pickled value.
    pub root: Id,
    /// Length in bytes.
    pub length: usize,
}

impl<'a> Pickle<'a> {
    /// Reads the pickle at the start of `bytes`.
    ///
    /// # Errors
    /// Returns an error that names the byte and the fault.
    pub fn read(bytes: &'a [u8]) -> Result<Self> {
        let mut machine = Machine::new(bytes);
        let root = loop {
            let at = machine.at;
            let done = machine.step();
            if let Some(root) =
                done.with_context(|| format!("its pickle is damaged at byte {at}"))?
            {
                break root;
            }
        };
        Ok(Self {
            nodes: machine.nodes,
            root,
            length: machine.at,
        })
    }

    pub fn node(&self, id: Id) -> &Node<'a> {
        // All ids come from this pickle.
        self.nodes.get(id).unwrap_or(&Node::None)
    }

    /// All values, in the order of the pickle.
    pub fn nodes(&self) -> &[Node<'a>] {
        &self.nodes
    }

    /// The items of a tuple or list.
    pub fn items(&self, id: Id) -> Option<&[Id]> {
        match self.node(id) {
            Node::Tuple(items) | Node::List(items) => Some(items),
            _ => None,
        }
    }

    /// The value as text, if it is text.
    pub fn text(&self, id: Id) -> Option<&'a str> {
        match self.node(id) {
            Node::Str(text) => Some(text),
            Node::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// The value as an integer, if it is one of up to 64 bits.
    pub fn int(&self, id: Id) -> Option<i64> {
        match self.node(id) {
            Node::Int(int) => Some(*int),
            _ => None,
        }
    }

    /// The value under `key` in a dict; the last one, as in Python.
    pub fn get(&self, dict: Id, key: &str) -> Option<Id> {
        let Node::Dict(pairs) = self.node(dict) else {
            return None;
        };
        let found = pairs.iter().rev().find(|(k, _)| self.text(*k) == Some(key));
        found.map(|(_, value)| *value)
    }

    /// The kind of a value, in words.
    pub fn kind(&self, id: Id) -> String {
        match self.node(id) {
            Node::None => "None".to_owned(),
            Node::Bool(_) => "a bool".to_owned(),
            Node::Int(_) | Node::Long(_) => "an integer".to_owned(),
            Node::Float(_) => "a float".to_owned(),
            Node::Str(_) | Node::Bytes(_) => "a text".to_owned(),
            Node::Tuple(_) => "a tuple".to_owned(),
            Node::List(_) => "a list".to_owned(),
            Node::Dict(_) => "a dict".to_owned(),
            Node::Global(module, name) => format!("the name {module}.{name}"),
            Node::Persistent(_) => "a storage".to_owned(),
            Node::Tensor(_) => "a tensor".to_owned(),
            Node::Object { class, .. } => match self.node(*class) {
                Node::Global(module, name) => format!("an object of {module}.{name}"),
                _ => "an object".to_owned(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn error(bytes: &[u8]) -> String {
        format!("{:#}", Pickle::read(bytes).unwrap_err())
    }

    #[test]
    fn reads_values_pickled_by_python() {
        // This is {"a": (1, -2, 2.5), "b": [True, None]}, as Python's pickle.dumps(..., 2) writes
        // it. A second value of "a" follows, and the last one counts.
        let bytes = b"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01K\x01J\xfe\xff\xff\xffG@\x04\x00\x00\x00\x00\x00\x00\x87q\x02\
                      X\x01\x00\x00\x00bq\x03]q\x04(\x88Neh\x01K\x07u.rest";
        let pickle = Pickle::read(bytes).unwrap();
        assert_eq!(&bytes[pickle.length..], b"rest");
        let b = pickle.get(pickle.root, "b").unwrap();
        let items: Vec<_> = pickle
            .items(b)
            .unwrap()
            .iter()
            .map(|id| pickle.node(*id))
            .collect();
        assert_eq!(items, [&Node::Bool(true), &Node::None]);
        assert_eq!(
            pickle.get(pickle.root, "a").and_then(|a| pickle.int(a)),
            Some(7)
        );
    }

    #[test]
    fn pickle_reader_calls_no_functions() {
        // Python would call os.system("echo"). This reader only makes an object of that name.
        let pickle = Pickle::read(b"\x80\x02cos\nsystem\nU\x04echo\x85R.").unwrap();
        assert_eq!(pickle.kind(pickle.root), "an object of os.system");
    }

    #[test]
    fn pickle_errors_describe_the_damage() {
        assert!(error(b"").contains("byte 0: it claims 1 bytes where 0 are left"));
        assert!(
            error(b"\x80\x02X\xff\xff\xff\xffa")
                .contains("byte 2: it claims 4294967295 bytes where 1 are left")
        );
        assert!(error(b"\x80\x02(t0t.").contains("byte 5: it ends a list that never began"));
        assert!(error(b"N(0.").contains("it takes more values than there are"));
        assert!(error(b"\x80\x02P0\n.").contains("opcode 0x50"));
        assert!(error(b"\x80\x09N.").contains("protocol 9"));
        assert!(error(&[b'N'; machine::MAX_NODES + 1]).contains("makes more than"));
    }
}
