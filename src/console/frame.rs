//! What every page has around it.

use askama::Template;
use axum::{
    http::header,
    response::{Html, IntoResponse, Redirect, Response},
};
use jobs::access::Scope;

use super::{
    assets,
    failure::unrendered,
    flash::{self, Note},
    visitor::Visitor,
};

/// The frame of a page.
pub(super) struct Frame {
    pub(super) title: String,
    /// The part of the console, as the navigation marks it.
    pub(super) section: &'static str,
    /// The address of the page.
    pub(super) here: String,
    pub(super) css: String,
    pub(super) js: String,
    pub(super) js_integrity: String,
    pub(super) htmx: String,
    pub(super) htmx_integrity: String,
    pub(super) icon: String,
    pub(super) who: String,
    pub(super) key_name: String,
    pub(super) csrf: String,
    pub(super) note: Option<Note>,
    pub(super) can_operate: bool,
    pub(super) can_finance: bool,
    pub(super) can_admin: bool,
    pub(super) version: &'static str,
}

impl Frame {
    pub(super) fn new(visitor: &Visitor, section: &'static str, title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            section,
            here: visitor.here.clone(),
            css: assets::address("console.css"),
            js: assets::address("console.js"),
            js_integrity: assets::integrity("console.js"),
            htmx: assets::address("htmx.js"),
            htmx_integrity: assets::integrity("htmx.js"),
            icon: assets::address("icon.svg"),
            who: visitor.admitted.username.clone(),
            key_name: visitor.admitted.key_name.clone(),
            csrf: visitor.csrf(),
            note: visitor.note.clone(),
            can_operate: visitor.may(Scope::Operate),
            can_finance: visitor.may(Scope::Finance),
            can_admin: visitor.may(Scope::Admin),
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

/// A page as an answer.
pub(super) fn render(page: &impl Template) -> Response {
    match page.render() {
        Ok(html) => {
            let mut response = Html(html).into_response();
            response
                .headers_mut()
                .insert(header::SET_COOKIE, flash::shown());
            response
        }
        Err(error) => unrendered(&error),
    }
}

/// To another page, with what came of the form.
pub(super) fn back(to: &str, note: &Note) -> Response {
    let mut response = Redirect::to(to).into_response();
    if let Some(cookie) = note.cookie() {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}
