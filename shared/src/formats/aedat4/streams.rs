//! The streams of a recording: a tree of XML nodes, in which a stream is a node named by its
//! number.

use std::collections::BTreeSet;

use roxmltree::{Document, Node, ParsingOptions};

use super::Aedat4Error;
use crate::event::SensorSize;
use crate::words::{printable, some_of};

const MAX_NODES: u32 = 20_000;

/// A stream of events.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stream {
    pub id: i32,
    /// Size of the camera, if it is known.
    pub sensor: Option<SensorSize>,
    /// Name of the camera, if it is known, such as `DAVIS346_00000499`.
    source: Option<String>,
}

#[derive(Debug)]
pub(super) struct Streams {
    /// Streams of events.
    events: Vec<Stream>,
    /// Numbers of all streams.
    all: BTreeSet<i32>,
}

impl Streams {
    /// Reads the description of a recording.
    pub(super) fn read(description: &str) -> Result<Self, Aedat4Error> {
        let options = ParsingOptions {
            nodes_limit: MAX_NODES,
            ..ParsingOptions::default()
        };
        // DV sometimes ends the text with a zero byte.
        let description = description.trim_end_matches('\0');
        let document = Document::parse_with_options(description, options)
            .map_err(|e| Aedat4Error::Header(format!("its description is no XML: {e}")))?;
        let mut streams = Self {
            events: Vec::new(),
            all: BTreeSet::new(),
        };
        for node in document.descendants() {
            let kind = attribute(node, "typeIdentifier");
            let id = node.attribute("name").and_then(|name| name.parse().ok());
            let (Some(kind), Some(id)) = (kind, id) else {
                continue;
            };
            streams.all.insert(id);
            if kind == "EVTS" {
                streams.events.push(Stream::of(node, id));
            }
        }
        Ok(streams)
    }

    pub(super) fn has(&self, id: i32) -> bool {
        self.all.contains(&id)
    }

    /// The stream of events with the number `asked`, or else the only one.
    pub(super) fn choose(&self, asked: Option<i32>) -> Result<&Stream, Aedat4Error> {
        if let Some(asked) = asked {
            let found = self.events.iter().find(|s| s.id == asked);
            return found.ok_or_else(|| Aedat4Error::NoSuchStream {
                asked,
                found: self.to_text(),
            });
        }
        match self.events.as_slice() {
            [stream] => Ok(stream),
            [] => Err(Aedat4Error::NoStream),
            [first, ..] => Err(Aedat4Error::Streams {
                found: self.to_text(),
                example: first.id,
            }),
        }
    }

    /// Lists the streams of events: `0 (346 x 260 pixels, DAVIS346_00000499), 4`.
    fn to_text(&self) -> String {
        const SHOWN: usize = 10;
        if self.events.is_empty() {
            return "none".to_owned();
        }
        let words = |stream: &Stream| {
            let size = stream.sensor.map(|size| format!("{size} pixels"));
            let parts: Vec<String> = size.into_iter().chain(stream.source.clone()).collect();
            match parts.is_empty() {
                true => stream.id.to_string(),
                false => format!("{} ({})", stream.id, parts.join(", ")),
            }
        };
        let words: Vec<String> = self.events.iter().map(words).collect();
        some_of(&words, SHOWN)
    }
}

impl Stream {
    fn of(node: Node<'_, '_>, id: i32) -> Self {
        let info = node
            .children()
            .find(|child| child.attribute("name") == Some("info"));
        let info = |key| attribute(info?, key);
        let pixels = |key| info(key)?.parse().ok();
        let sensor = pixels("sizeX")
            .zip(pixels("sizeY"))
            .and_then(|(x, y)| SensorSize::checked(x, y));
        Self {
            id,
            sensor,
            source: info("source").map(|name| printable(name, 40)),
        }
    }

    /// Names the camera in words that follow its size.
    pub(super) fn camera(&self) -> String {
        // The serial number follows the model.
        let model = self
            .source
            .as_deref()
            .and_then(|name| name.split('_').next());
        model.map_or(String::new(), |model| format!(" of a {model}"))
    }
}

/// The text of the attribute `key` of a node.
fn attribute<'a>(node: Node<'a, '_>, key: &str) -> Option<&'a str> {
    node.children()
        .find(|child| child.has_tag_name("attr") && child.attribute("key") == Some(key))?
        .text()
        .map(str::trim)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn description(streams: &str) -> String {
        format!(
            "<dv version=\"2.0\"><node name=\"outInfo\" path=\"/mainloop/Recorder/outInfo/\">{streams}</node></dv>"
        )
    }

    fn stream(id: i32, kind: &str) -> String {
        format!(
            "<node name=\"{id}\" path=\"/x/\"><attr key=\"compression\" type=\"string\">LZ4</attr>\
             <attr key=\"typeIdentifier\" type=\"string\">{kind}</attr><node name=\"info\" path=\"/x/info/\">\
             <attr key=\"sizeX\" type=\"int\">346</attr><attr key=\"sizeY\" type=\"int\">260</attr></node></node>"
        )
    }

    #[test]
    fn finds_event_stream_among_other_streams() {
        let text = description(&(stream(0, "FRME") + &stream(2, "EVTS") + &stream(3, "IMUS")));
        let streams = Streams::read(&(text + "\0")).unwrap();
        let event_stream = streams.choose(None).unwrap();
        assert_eq!(
            (event_stream.id, event_stream.sensor),
            (2, SensorSize::checked(346, 260))
        );
        assert!(streams.has(3) && !streams.has(4));
    }

    #[test]
    fn refuses_missing_or_ambiguous_streams_and_invalid_xml() {
        let message = |text: &str| match Streams::read(text) {
            Ok(streams) => streams.choose(None).unwrap_err().to_string(),
            Err(error) => error.to_string(),
        };
        assert!(message(&description(&stream(0, "FRME"))).contains("no stream of events"));
        let two = description(&(stream(1, "EVTS") + &stream(4, "EVTS")));
        assert!(message(&two).contains("1 (346 x 260 pixels), 4 (346 x 260 pixels)"));
        let two = Streams::read(&two).unwrap();
        assert_eq!(two.choose(Some(4)).unwrap().id, 4);
        assert!(
            two.choose(Some(2))
                .unwrap_err()
                .to_string()
                .contains("it holds 1 (")
        );
        assert!(message("<dv").contains("XML"));
        assert!(message(&"<a>".repeat(300_000)).contains("XML"));
        assert!(message(&("<a>".repeat(9000) + &"</a>".repeat(9000))).contains("no stream"));
        let many = format!("<a>{}</a>", "<b/>".repeat(30_000));
        assert!(message(&many).contains("XML"));
    }
}
