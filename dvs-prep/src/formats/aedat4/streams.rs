//! Which streams a recording has: a tree of nodes in XML, in which every stream is a node with its number for a name.

use dvs_shared::SensorSize;
use roxmltree::{Document, Node, ParsingOptions};

use super::Aedat4Error;

const MAX_NODES: u32 = 20_000;

/// A stream of events.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stream {
    /// Its number.
    pub id: i32,
    /// The camera's pixels, where they are said.
    pub sensor: Option<SensorSize>,
}

/// The one stream of events.
pub(super) fn of_events(description: &str) -> Result<Stream, Aedat4Error> {
    let options = ParsingOptions {
        nodes_limit: MAX_NODES,
        ..ParsingOptions::default()
    };
    // DV ends the text with a zero now and then.
    let description = description.trim_end_matches('\0');
    let document = Document::parse_with_options(description, options)
        .map_err(|e| Aedat4Error::Header(format!("its description is no XML: {e}")))?;
    let mut streams: Vec<Stream> = document
        .descendants()
        .filter(|node| attribute(*node, "typeIdentifier") == Some("EVTS"))
        .filter_map(|node| {
            let id = node.attribute("name")?.parse().ok()?;
            let info = node
                .children()
                .find(|child| child.attribute("name") == Some("info"));
            let pixels = |key| attribute(info?, key)?.parse().ok();
            let sensor = pixels("sizeX")
                .zip(pixels("sizeY"))
                .and_then(|(x, y)| SensorSize::checked(x, y));
            Some(Stream { id, sensor })
        })
        .collect();
    match streams.pop() {
        Some(stream) if streams.is_empty() => Ok(stream),
        last => {
            let all = streams.iter().chain(&last).map(|s| s.id).collect();
            Err(Aedat4Error::Streams(all))
        }
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
    fn the_stream_of_events_is_found_among_others() {
        let text = description(&(stream(0, "FRME") + &stream(2, "EVTS") + &stream(3, "IMUS")));
        let found = of_events(&(text + "\0")).unwrap();
        let sensor = SensorSize::checked(346, 260);
        assert_eq!(found, Stream { id: 2, sensor });
    }

    #[test]
    fn none_or_several_or_no_xml_are_refused() {
        let said = |text: &str| of_events(text).unwrap_err().to_string();
        assert!(said(&description(&stream(0, "FRME"))).contains("no stream of events"));
        let two = description(&(stream(1, "EVTS") + &stream(4, "EVTS")));
        assert!(said(&two).contains("[1, 4]"));
        assert!(said("<dv").contains("XML"));
        assert!(said(&"<a>".repeat(300_000)).contains("XML"));
        assert!(said(&("<a>".repeat(9000) + &"</a>".repeat(9000))).contains("no stream"));
        let many = format!("<a>{}</a>", "<b/>".repeat(30_000));
        assert!(said(&many).contains("XML"));
    }
}
