//! A schema that was compiled once, in a thread of its own: libxml2's contexts stay where they were
//! made. The thread ends with the last handle to it.

use std::{
    path::Path,
    sync::mpsc::{Receiver, Sender, channel},
    thread,
};

use libxml::{
    error::StructuredError,
    parser::{Parser, ParserOptions, XmlParseFailure},
    schemas::{SchemaParserContext, SchemaValidationContext},
};
use tokio::sync::oneshot;

use crate::{Code, Fault};

/// Complaints that are kept of one document.
const MAX_COMPLAINTS: usize = 200;

/// A handle to the thread. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Compiled {
    documents: Sender<Question>,
    alive: std::sync::Weak<()>,
}

/// What a schema says of a document.
#[derive(Debug)]
pub(super) enum Verdict {
    Valid,
    /// With the complaints, by line.
    Invalid(Vec<String>),
    /// The schema itself cannot be used, for this reason.
    Unusable(String),
}

struct Question {
    xml: Vec<u8>,
    answer: oneshot::Sender<Verdict>,
}

impl Compiled {
    /// Starts the thread; it compiles the schema before its first answer.
    pub(super) fn start(schema: &Path) -> Result<Self, Fault> {
        let path = schema.to_str().filter(|path| !path.contains('\0'));
        let path = path.map(str::to_owned).ok_or_else(|| {
            Fault::new(
                Code::SettingsInvalid,
                format!(
                    "the path of DDEX's schema {} is not UTF-8",
                    schema.display()
                ),
            )
        })?;
        let (documents, questions) = channel();
        let lives = std::sync::Arc::new(());
        let alive = std::sync::Arc::downgrade(&lives);
        thread::Builder::new()
            .name("ddex-schema".into())
            .spawn(move || {
                let _lives = lives;
                answer_all(&path, &questions);
            })
            .map_err(|error| {
                Fault::new(
                    Code::WorkerFault,
                    format!("no thread for DDEX's schemas: {error}"),
                )
            })?;
        Ok(Self { documents, alive })
    }

    /// Whether the thread still answers.
    pub(super) fn is_alive(&self) -> bool {
        self.alive.strong_count() > 0
    }

    /// `None` when the thread has ended.
    pub(super) async fn validate(&self, xml: Vec<u8>) -> Option<Verdict> {
        let (answer, verdict) = oneshot::channel();
        self.documents.send(Question { xml, answer }).ok()?;
        verdict.await.ok()
    }
}

fn answer_all(path: &str, questions: &Receiver<Question>) {
    let mut parser = SchemaParserContext::from_file(path);
    let mut schema = SchemaValidationContext::from_parser(&mut parser);
    while let Ok(Question { xml, answer }) = questions.recv() {
        let verdict = match &mut schema {
            Ok(schema) => validate(schema, &xml),
            Err(errors) => Verdict::Unusable(complaints(errors).join("; ")),
        };
        // Nobody may be waiting any more.
        let _ = answer.send(verdict);
    }
}

fn validate(schema: &mut SchemaValidationContext, xml: &[u8]) -> Verdict {
    let options = ParserOptions {
        recover: false,
        no_error: true,
        no_warning: true,
        no_net: true,
        ..ParserOptions::default()
    };
    let document = match Parser::default().parse_string_with_diagnostics(xml, options) {
        Ok((document, _)) => document,
        Err(XmlParseFailure::ParseFailed(errors)) => {
            let mut said = complaints(&errors);
            if said.is_empty() {
                said.push("it is not well-formed".into());
            }
            return Verdict::Invalid(said);
        }
        Err(_) => return Verdict::Invalid(vec!["it cannot be parsed".into()]),
    };
    match schema.validate_document(&document) {
        Ok(()) => Verdict::Valid,
        Err(errors) => Verdict::Invalid(complaints(&errors)),
    }
}

fn complaints(errors: &[StructuredError]) -> Vec<String> {
    let said = errors.iter().take(MAX_COMPLAINTS).map(|error| {
        let message = error.message.as_deref().unwrap_or("no reason given").trim();
        match error.line {
            Some(line) => format!("line {line}: {message}"),
            None => message.to_owned(),
        }
    });
    said.collect()
}
