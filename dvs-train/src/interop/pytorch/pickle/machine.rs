//! The machine that executes pickles: opcodes of CPython's `pickletools`, protocols 2 to 5.

use std::collections::HashMap;

use anyhow::{Context, Result, bail, ensure};

use super::{Id, Node};

/// Maximum values of a pickle: far more than any checkpoint has, and few enough to hold in memory.
pub const MAX_NODES: usize = 1 << 20;

/// The state of the machine.
pub struct Machine<'a> {
    bytes: &'a [u8],
    /// Bytes read so far.
    pub at: usize,
    /// Values made so far.
    pub nodes: Vec<Node<'a>>,
    stack: Vec<Id>,
    /// Heights of the stack at the marks.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<'a> Machine<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            nodes: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
        }
    }

    /// Executes the next opcode. Returns the value at the end of the pickle.
    ///
    /// # Errors
    /// Returns an error if the bytes end early, claim more than there are, or ask for something
    /// unsupported.
    pub fn step(&mut self) -> Result<Option<Id>> {
        let opcode = self.byte()?;
        match opcode {
            // PROTO, FRAME
            0x80 => {
                let protocol = self.byte()?;
                ensure!(
                    (2..=5).contains(&protocol),
                    "it has pickle protocol {protocol}, where 2 to 5 are read"
                );
            }
            0x95 => {
                self.take(8)?;
            }
            b'.' => return self.pop().map(Some),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => {
                self.pop()?;
            }
            b'1' => {
                self.since_mark()?;
            }
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            b'N' => self.push(Node::None)?,
            0x88 => self.push(Node::Bool(true))?,
            0x89 => self.push(Node::Bool(false))?,
            b'K' => {
                let int = self.byte()?;
                self.push(Node::Int(int.into()))?;
            }
            b'M' => {
                let int = u16::from_le_bytes(self.array()?);
                self.push(Node::Int(int.into()))?;
            }
            b'J' => {
                let int = i32::from_le_bytes(self.array()?);
                self.push(Node::Int(int.into()))?;
            }
            0x8a => {
                let length = self.byte()?.into();
                self.long(length)?;
            }
            0x8b => {
                let length = self.length4()?;
                self.long(length)?;
            }
            b'G' => {
                let float = f64::from_be_bytes(self.array()?);
                self.push(Node::Float(float))?;
            }
            b'X' | 0x8c | 0x8d => {
                let bytes = self.counted(opcode)?;
                let text = std::str::from_utf8(bytes).context("a text is not UTF-8")?;
                self.push(Node::Str(text))?;
            }
            b'T' | b'U' | b'B' | b'C' | 0x8e => {
                let bytes = self.counted(opcode)?;
                self.push(Node::Bytes(bytes))?;
            }
            b')' => self.push(Node::Tuple(Vec::new()))?,
            0x85..=0x87 => {
                let from = self.under(usize::from(opcode) - 0x84)?;
                let items = self.stack.split_off(from);
                self.push(Node::Tuple(items))?;
            }
            b't' => {
                let items = self.since_mark()?;
                self.push(Node::Tuple(items))?;
            }
            b']' | 0x8f => self.push(Node::List(Vec::new()))?,
            b'l' | 0x91 => {
                let items = self.since_mark()?;
                self.push(Node::List(items))?;
            }
            b'a' => {
                let item = self.pop()?;
                self.extend(vec![item])?;
            }
            b'e' | 0x90 => {
                let items = self.since_mark()?;
                self.extend(items)?;
            }
            b'}' => self.push(Node::Dict(Vec::new()))?,
            b'd' => {
                let items = self.since_mark()?;
                self.push(Node::Dict(pairs(&items)?))?;
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set(vec![(key, value)])?;
            }
            b'u' => {
                let items = self.since_mark()?;
                self.set(pairs(&items)?)?;
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Node::Global(module, name))?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Node::Str(module), Node::Str(name)) = (&self.nodes[module], &self.nodes[name])
                else {
                    bail!("a class has no name");
                };
                self.push(Node::Global(module, name))?;
            }
            b'R' | 0x81 => {
                let (arguments, class) = (self.pop()?, self.pop()?);
                self.make(class, arguments)?;
            }
            0x92 => {
                let (_, arguments, class) = (self.pop()?, self.pop()?, self.pop()?);
                self.make(class, arguments)?;
            }
            b'b' => {
                let state = self.pop()?;
                let object = self.top()?;
                // Attributes of dicts, such as a state dict's `_metadata`, say nothing about
                // weights.
                if let Node::Object { state: kept, .. } = &mut self.nodes[object] {
                    *kept = Some(state);
                }
            }
            b'Q' => {
                let id = self.pop()?;
                self.push(Node::Persistent(id))?;
            }
            b'q' => {
                let key = self.byte()?.into();
                self.memorise(key)?;
            }
            b'r' => {
                let key = u32::from_le_bytes(self.array()?);
                self.memorise(key)?;
            }
            0x94 => self.memorise(self.memo.len() as u32)?,
            b'h' => {
                let key = self.byte()?.into();
                self.recall(key)?;
            }
            b'j' => {
                let key = u32::from_le_bytes(self.array()?);
                self.recall(key)?;
            }
            other => bail!("opcode {other:#04x} is none that torch.save writes weights with"),
        }
        Ok(None)
    }

    /// Makes the result of calling `class` with `arguments` if that is known to be harmless; else
    /// an inert object.
    fn make(&mut self, class: Id, arguments: Id) -> Result<()> {
        let Node::Global(module, name) = self.nodes[class] else {
            return self.push(Node::Object { class, state: None });
        };
        match (module, name) {
            ("collections", "OrderedDict") => self.push(Node::Dict(Vec::new())),
            ("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor") => {
                self.push(Node::Tensor(arguments))
            }
            ("torch._utils", "_rebuild_parameter") => match &self.nodes[arguments] {
                Node::Tuple(items) if !items.is_empty() => {
                    self.stack.push(items[0]);
                    Ok(())
                }
                _ => bail!("a parameter is made of nothing"),
            },
            _ => self.push(Node::Object { class, state: None }),
        }
    }

    fn push(&mut self, node: Node<'a>) -> Result<()> {
        ensure!(
            self.nodes.len() < MAX_NODES,
            "it makes more than {MAX_NODES} values, far more than a checkpoint has"
        );
        self.stack.push(self.nodes.len());
        self.nodes.push(node);
        Ok(())
    }

    fn top(&self) -> Result<Id> {
        let from = self.under(1)?;
        Ok(self.stack[from])
    }

    fn pop(&mut self) -> Result<Id> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    /// Height of the stack without its top `number` values, which must be above the last mark.
    fn under(&self, number: usize) -> Result<usize> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let height = self.stack.len().checked_sub(number);
        height
            .filter(|height| *height >= floor)
            .context("it takes more values than there are")
    }

    /// Takes the values above the last mark, and the mark.
    fn since_mark(&mut self) -> Result<Vec<Id>> {
        let mark = self
            .marks
            .pop()
            .context("it ends a list that never began")?;
        Ok(self.stack.split_off(mark))
    }

    fn extend(&mut self, items: Vec<Id>) -> Result<()> {
        let list = self.top()?;
        match &mut self.nodes[list] {
            Node::List(list) => list.extend(items),
            // The object's class may be a kind of list.
            Node::Object { .. } => {}
            _ => bail!("it appends to something that is not a list"),
        }
        Ok(())
    }

    fn set(&mut self, pairs: Vec<(Id, Id)>) -> Result<()> {
        let dict = self.top()?;
        match &mut self.nodes[dict] {
            Node::Dict(dict) => dict.extend(pairs),
            // The object's class may be a kind of dict.
            Node::Object { .. } => {}
            _ => bail!("it sets an item of something that is not a dict"),
        }
        Ok(())
    }

    fn memorise(&mut self, key: u32) -> Result<()> {
        let top = self.top()?;
        self.memo.insert(key, top);
        Ok(())
    }

    fn recall(&mut self, key: u32) -> Result<()> {
        let id = self.memo.get(&key);
        let id = id.with_context(|| format!("it recalls value {key}, which it never kept"))?;
        self.stack.push(*id);
        Ok(())
    }

    fn take(&mut self, number: usize) -> Result<&'a [u8]> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        ensure!(
            number <= rest.len(),
            "it claims {number} bytes where {} are left",
            rest.len()
        );
        self.at += number;
        Ok(&rest[..number])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn byte(&mut self) -> Result<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn length4(&mut self) -> Result<usize> {
        Ok(u32::from_le_bytes(self.array()?) as usize)
    }

    /// Takes bytes that follow their length; the opcode decides how wide the length is.
    fn counted(&mut self, opcode: u8) -> Result<&'a [u8]> {
        let length = match opcode {
            b'U' | b'C' | 0x8c => self.byte()?.into(),
            0x8d | 0x8e => {
                let length = u64::from_le_bytes(self.array()?);
                usize::try_from(length).unwrap_or(usize::MAX)
            }
            _ => self.length4()?,
        };
        self.take(length)
    }

    fn long(&mut self, length: usize) -> Result<()> {
        let bytes = self.take(length)?;
        let negative = bytes.last().is_some_and(|last| last & 0x80 != 0);
        let mut wide = [if negative { 0xff } else { 0 }; 8];
        if bytes.len() > wide.len() {
            return self.push(Node::Long(bytes));
        }
        wide[..bytes.len()].copy_from_slice(bytes);
        self.push(Node::Int(i64::from_le_bytes(wide)))
    }

    fn line(&mut self) -> Result<&'a str> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let end = rest.iter().position(|byte| *byte == b'\n');
        let line = self.take(end.context("a name has no end")?)?;
        self.take(1)?;
        std::str::from_utf8(line).context("a name is not UTF-8")
    }
}

fn pairs(items: &[Id]) -> Result<Vec<(Id, Id)>> {
    ensure!(
        items.len().is_multiple_of(2),
        "a dict has a key without a value"
    );
    Ok(items
        .chunks_exact(2)
        .map(|pair| (pair[0], pair[1]))
        .collect())
}
