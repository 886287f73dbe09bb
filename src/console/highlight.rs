//! Documents as people read them: the text in pieces, each with its part of speech. Pages escape
//! each piece, whatever it holds.

/// What a piece of a document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Plain,
    /// The name of an element or member.
    Name,
    /// A value in quotation marks.
    Text,
    /// Brackets and what else structures.
    Mark,
    Comment,
}

impl Part {
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Name => "h-name",
            Self::Text => "h-text",
            Self::Mark => "h-mark",
            Self::Comment => "h-comment",
        }
    }
}

/// A piece of a document.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    pub(super) part: Part,
    pub(super) text: &'a str,
}

/// Takes a document apart by its type. The pieces together are the document.
pub(super) fn pieces<'a>(media_type: &str, text: &'a str) -> Vec<Piece<'a>> {
    if media_type.contains("xml") {
        xml(text)
    } else if media_type.contains("json") {
        json(text)
    } else {
        vec![Piece {
            part: Part::Plain,
            text,
        }]
    }
}

struct Cutter<'a> {
    rest: &'a str,
    pieces: Vec<Piece<'a>>,
}

impl<'a> Cutter<'a> {
    /// Cuts off so many bytes, which end at a character.
    fn cut(&mut self, bytes: usize, part: Part) {
        let (text, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        if !text.is_empty() {
            self.pieces.push(Piece { part, text });
        }
        self.rest = rest;
    }

    /// Cuts off what ends with `end`, or all that is left.
    fn cut_to(&mut self, end: &str, part: Part) {
        let bytes = self
            .rest
            .find(end)
            .map_or(self.rest.len(), |at| at + end.len());
        self.cut(bytes, part);
    }

    fn cut_while(&mut self, part: Part, is_in: impl Fn(char) -> bool) {
        let bytes = self.rest.find(|one| !is_in(one)).unwrap_or(self.rest.len());
        self.cut(bytes, part);
    }

    /// Cuts off a text in quotation marks, in which a backslash may hide one.
    fn cut_quoted(&mut self, mark: char, part: Part) {
        let mut is_hidden = true;
        let end = self.rest.char_indices().find(|(_, one)| {
            let is_end = *one == mark && !is_hidden;
            is_hidden = *one == '\\' && !is_hidden;
            is_end
        });
        let bytes = end.map_or(self.rest.len(), |(at, one)| at + one.len_utf8());
        self.cut(bytes, part);
    }
}

fn xml(text: &str) -> Vec<Piece<'_>> {
    let mut cutter = Cutter {
        rest: text,
        pieces: Vec::new(),
    };
    while !cutter.rest.is_empty() {
        if cutter.rest.starts_with("<!--") {
            cutter.cut_to("-->", Part::Comment);
        } else if cutter.rest.starts_with("<?") || cutter.rest.starts_with("<!") {
            cutter.cut_to(">", Part::Comment);
        } else if cutter.rest.starts_with('<') {
            element(&mut cutter);
        } else {
            cutter.cut_while(Part::Plain, |one| one != '<');
        }
    }
    cutter.pieces
}

/// A start or end of an element with its attributes.
fn element(cutter: &mut Cutter<'_>) {
    cutter.cut_while(Part::Mark, |one| matches!(one, '<' | '/'));
    cutter.cut_while(Part::Name, is_name);
    while let Some(next) = cutter.rest.chars().next() {
        match next {
            '>' => return cutter.cut(1, Part::Mark),
            '<' => return,
            '"' | '\'' => {
                cutter.cut(1, Part::Text);
                let end = next.to_string();
                cutter.cut_to(&end, Part::Text);
            }
            _ => cutter.cut_while(Part::Mark, |one| !matches!(one, '>' | '<' | '"' | '\'')),
        }
    }
}

fn is_name(one: char) -> bool {
    one.is_alphanumeric() || matches!(one, ':' | '_' | '-' | '.')
}

fn json(text: &str) -> Vec<Piece<'_>> {
    let mut cutter = Cutter {
        rest: text,
        pieces: Vec::new(),
    };
    while let Some(next) = cutter.rest.chars().next() {
        match next {
            '"' => {
                cutter.cut_quoted('"', Part::Text);
                if cutter.rest.trim_start().starts_with(':')
                    && let Some(last) = cutter.pieces.last_mut()
                {
                    last.part = Part::Name;
                }
            }
            '{' | '}' | '[' | ']' | ':' | ',' => cutter.cut(1, Part::Mark),
            _ => cutter.cut_while(Part::Plain, |one| !"\"{}[]:,".contains(one)),
        }
    }
    cutter.pieces
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(pieces: &[Piece<'_>], part: Part) -> Vec<String> {
        let of_part = pieces.iter().filter(|piece| piece.part == part);
        of_part.map(|piece| piece.text.to_owned()).collect()
    }

    #[test]
    fn names_and_texts_are_told_apart() {
        let pieces = pieces("application/xml", "<?xml?><a b=\"1>2\">x<!-- <y> --></a>");
        assert_eq!(parts(&pieces, Part::Name), ["a", "a"]);
        assert_eq!(parts(&pieces, Part::Plain), ["x"]);
        assert_eq!(parts(&pieces, Part::Comment), ["<?xml?>", "<!-- <y> -->"]);
        let pieces = super::pieces("application/json", r#"{"a": "b\"c", "d": 1}"#);
        assert_eq!(parts(&pieces, Part::Name), ["\"a\"", "\"d\""]);
        assert_eq!(parts(&pieces, Part::Text), [r#""b\"c""#]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_nothing_panics(text in "[<>/\"'\\\\a-c!?&{}:,é -]{0,60}") {
            for media_type in ["application/xml", "application/json", "text/plain"] {
                let together: String = pieces(media_type, &text).iter().map(|piece| piece.text).collect();
                prop_assert_eq!(&together, &text);
            }
        }
    }
}
