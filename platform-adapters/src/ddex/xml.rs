//! A thin writer of XML: elements as closures, text that is always well formed. It knows nothing of
//! DDEX.

use std::{borrow::Cow, io};

use quick_xml::{
    Writer,
    events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event},
};
use unicode_normalization::UnicodeNormalization;

/// Attributes of an element, in the order in which they are written.
pub(super) type Attributes<'a> = &'a [(&'a str, &'a str)];

/// An XML document in the making. A write that fails is remembered and reported by
/// [`Document::finish`], so that the code that describes a message stays a description.
pub(super) struct Document {
    writer: Writer<Vec<u8>>,
    failure: Option<io::Error>,
}

impl Document {
    /// A document that holds its XML declaration only.
    pub(super) fn new() -> Self {
        let mut document = Self {
            writer: Writer::new_with_indent(Vec::new(), b' ', 2),
            failure: None,
        };
        document.write(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)));
        document
    }

    /// An element with children.
    pub(super) fn element(&mut self, name: &str, children: impl FnOnce(&mut Self)) {
        self.element_with(name, &[], children);
    }

    /// An element with attributes and children.
    pub(super) fn element_with(
        &mut self,
        name: &str,
        attributes: Attributes<'_>,
        children: impl FnOnce(&mut Self),
    ) {
        self.write(Event::Start(start(name, attributes)));
        children(self);
        self.write(Event::End(BytesEnd::new(name)));
    }

    /// An element that holds text.
    pub(super) fn text(&mut self, name: &str, text: &str) {
        self.text_with(name, &[], text);
    }

    /// An element with attributes that holds text.
    pub(super) fn text_with(&mut self, name: &str, attributes: Attributes<'_>, text: &str) {
        let text = carried(text);
        self.write(Event::Start(start(name, attributes)));
        self.write(Event::Text(BytesText::new(&text)));
        self.write(Event::End(BytesEnd::new(name)));
    }

    /// The document's bytes.
    pub(super) fn finish(self) -> io::Result<Vec<u8>> {
        match self.failure {
            Some(failure) => Err(failure),
            None => {
                let mut bytes = self.writer.into_inner();
                bytes.push(b'\n');
                Ok(bytes)
            }
        }
    }

    fn write(&mut self, event: Event<'_>) {
        if let Err(error) = self.writer.write_event(event) {
            self.failure.get_or_insert(error);
        }
    }
}

fn start<'a>(name: &'a str, attributes: Attributes<'_>) -> BytesStart<'a> {
    let mut start = BytesStart::new(name);
    for (key, value) in attributes {
        start.push_attribute((*key, carried(value).as_ref()));
    }
    start
}

/// The text as messages carry it, in normal form C: characters that no XML document may hold are left
/// out, tabs and line breaks become spaces, and space at the ends goes. Titles and names are single
/// lines.
pub(super) fn carried(text: &str) -> Cow<'_, str> {
    let is_plain = |c| matches!(c, ' '..='~');
    if text.chars().all(is_plain) {
        return Cow::Borrowed(text.trim());
    }
    let kept: String = text
        .chars()
        .filter_map(|c| match c {
            '\t' | '\n' | '\r' => Some(' '),
            '\0'..='\x1f' | '\u{7f}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => None,
            other => Some(other),
        })
        .nfc()
        .collect();
    Cow::Owned(kept.trim().to_owned())
}
