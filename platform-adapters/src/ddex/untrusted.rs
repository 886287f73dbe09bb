//! XML that somebody else wrote, read with bounds: size, depth and number of elements are limited,
//! and a document type definition or an entity of its own is refused. What is read is a small tree;
//! what it means stands elsewhere.

use std::sync::Arc;

use quick_xml::{
    NsReader, XmlVersion,
    escape::resolve_predefined_entity,
    events::{BytesStart, Event},
    name::ResolveResult,
};

/// Elements within elements. DDEX's messages need about ten.
const MAX_DEPTH: usize = 32;
/// Elements in one document. A message about a thousand tracks has about a hundred thousand.
const MAX_ELEMENTS: usize = 500_000;

/// Attributes of one element. DDEX's elements have five at most.
const MAX_ATTRIBUTES: usize = 64;

/// Why a document was not read. Reads on after "cannot be read: ".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Larger than any such document is.
    #[error("it has more than {0} bytes")]
    TooLarge(usize),
    /// More levels than any such document has.
    #[error("its elements are nested more than {MAX_DEPTH} deep")]
    TooDeep,
    /// More elements, or more attributes on one, than any such document has.
    #[error("it has more than {MAX_ELEMENTS} elements, or {MAX_ATTRIBUTES} attributes on one")]
    TooMany,
    /// A document type definition, by which entities could be declared.
    #[error("it holds a document type definition, which no DDEX message does")]
    Doctype,
    /// An entity that XML itself does not know.
    #[error("it holds the entity &{0};, which XML does not know")]
    Entity(String),
    /// Not well-formed, or it ends too early.
    #[error("it is not well-formed XML: {0}")]
    Malformed(String),
    /// Not the message that was expected, or something it must hold is missing.
    #[error("{0}")]
    Unexpected(String),
}

/// An element with what it holds. Names are local: without their prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) name: String,
    /// The namespace the element is in; empty for none. Shared, for nearly all are in one.
    pub(super) namespace: Arc<str>,
    pub(super) attributes: Vec<(String, String)>,
    pub(super) text: String,
    pub(super) children: Vec<Element>,
}

impl Element {
    /// Reads a document of at most `max_bytes`.
    pub(super) fn parse(xml: &[u8], max_bytes: usize) -> Result<Self, Refused> {
        if xml.len() > max_bytes {
            return Err(Refused::TooLarge(max_bytes));
        }
        let text = std::str::from_utf8(xml)
            .map_err(|error| Refused::Malformed(format!("it is not UTF-8: {error}")))?;
        let mut tree = Tree::default();
        let mut reader = NsReader::from_str(text);
        let mut last: Arc<str> = Arc::default();
        loop {
            let (namespace, event) = reader
                .read_resolved_event()
                .map_err(|error| Refused::Malformed(error.to_string()))?;
            match event {
                Event::Start(start) => {
                    tree.open(element(&start, shared(&namespace, &mut last))?)?
                }
                Event::Empty(start) => {
                    tree.open(element(&start, shared(&namespace, &mut last))?)?;
                    tree.close()?;
                }
                Event::End(_) => tree.close()?,
                Event::Text(text) => tree.text(&text.xml10_content())?,
                Event::CData(text) => tree.text(&text.xml10_content())?,
                Event::GeneralRef(reference) => {
                    let name = reference.xml10_content().into_owned();
                    match reference.resolve_char_ref() {
                        Ok(Some(c)) => tree.text(c.encode_utf8(&mut [0; 4]))?,
                        Ok(None) => match resolve_predefined_entity(&name) {
                            Some(text) => tree.text(text)?,
                            None => return Err(Refused::Entity(brief(&name))),
                        },
                        Err(error) => return Err(Refused::Malformed(error.to_string())),
                    }
                }
                Event::DocType(_) => return Err(Refused::Doctype),
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
                Event::Eof => return tree.finish(),
            }
        }
    }

    /// The first child of this name.
    pub(super) fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The text of the first child of this name, without space around it; `None` where it is empty.
    pub(super) fn child_text(&self, name: &str) -> Option<&str> {
        self.child(name)
            .map(|child| child.text.trim())
            .filter(|text| !text.is_empty())
    }

    /// The children of this name.
    pub(super) fn children_named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The text at the end of a path of first children, as [`Element::child_text`] gives it.
    pub(super) fn text_at(&self, path: &[&str]) -> Option<&str> {
        let (last, parents) = path.split_last()?;
        parents
            .iter()
            .try_fold(self, |element, name| element.child(name))?
            .child_text(last)
    }

    /// All elements of this name, at any depth, in the document's order.
    pub(super) fn descendants<'a>(&'a self, name: &str) -> Vec<&'a Element> {
        let mut found = Vec::new();
        let mut waiting: Vec<&Element> = vec![self];
        while let Some(element) = waiting.pop() {
            if element.name == name {
                found.push(element);
            }
            waiting.extend(element.children.iter().rev());
        }
        found
    }

    /// The value of an attribute.
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

/// The elements that are open, outermost first, and the root once it is closed.
#[derive(Default)]
struct Tree {
    open: Vec<Element>,
    root: Option<Element>,
    elements: usize,
}

impl Tree {
    fn open(&mut self, element: Element) -> Result<(), Refused> {
        if self.open.is_empty() && self.root.is_some() {
            return Err(Refused::Malformed("it has a second root element".into()));
        }
        self.elements += 1;
        if self.elements > MAX_ELEMENTS {
            return Err(Refused::TooMany);
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(Refused::TooDeep);
        }
        self.open.push(element);
        Ok(())
    }

    fn close(&mut self) -> Result<(), Refused> {
        let closed = self
            .open
            .pop()
            .ok_or_else(|| Refused::Malformed("an element ends that never began".into()))?;
        match self.open.last_mut() {
            Some(parent) => parent.children.push(closed),
            None => self.root = Some(closed),
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), Refused> {
        match self.open.last_mut() {
            // Space before the text is of no meaning, and most elements hold no more than that.
            Some(element) if element.text.is_empty() => element.text.push_str(text.trim_start()),
            Some(element) => element.text.push_str(text),
            None if text
                .trim_matches(['\u{feff}', ' ', '\t', '\r', '\n'])
                .is_empty() => {}
            None => return Err(Refused::Malformed("text outside the root element".into())),
        }
        Ok(())
    }

    fn finish(self) -> Result<Element, Refused> {
        match (self.open.last(), self.root) {
            (Some(open), _) => Err(Refused::Malformed(format!(
                "it ends before <{}> does",
                brief(&open.name)
            ))),
            (None, Some(root)) => Ok(root),
            (None, None) => Err(Refused::Malformed("it holds no element".into())),
        }
    }
}

/// The namespace, which is most often the one of the element before.
fn shared(namespace: &ResolveResult<'_>, last: &mut Arc<str>) -> Arc<str> {
    let name = match namespace {
        ResolveResult::Bound(namespace) => namespace.into_inner(),
        _ => "",
    };
    if &**last != name {
        *last = name.into();
    }
    Arc::clone(last)
}

fn element(start: &BytesStart<'_>, namespace: Arc<str>) -> Result<Element, Refused> {
    let mut attributes = Vec::new();
    for attribute in start.attributes() {
        if attributes.len() >= MAX_ATTRIBUTES {
            return Err(Refused::TooMany);
        }
        let attribute = attribute.map_err(|error| Refused::Malformed(error.to_string()))?;
        let value = attribute
            .normalized_value(XmlVersion::Explicit1_0)
            .map_err(|error| Refused::Malformed(error.to_string()))?;
        attributes.push((
            attribute.key.local_name().into_inner().to_owned(),
            value.into_owned(),
        ));
    }
    Ok(Element {
        name: start.local_name().into_inner().to_owned(),
        namespace,
        attributes,
        ..Element::default()
    })
}

/// A word of theirs as our sentences repeat it: not too long, no control characters.
pub(super) fn brief(text: &str) -> String {
    let mut words: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(200)
        .collect();
    if text.chars().nth(200).is_some() {
        words.push('…');
    }
    words.trim().to_owned()
}
