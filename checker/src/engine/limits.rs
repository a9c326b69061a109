//! Every limit that a request is held to.

use crate::{coding, cookies, fields, graphql, http1, json, multipart, target, xml};

/// What a request may be. Every one of these is a limit of the policy.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// The request as a whole.
    pub request: http1::Limits,
    /// Its headers.
    pub headers: fields::Lengths,
    /// Its target.
    pub target: target::Limits,
    /// Its cookies.
    pub cookies: cookies::Limits,
    /// What its body may become by decoding.
    pub coding: coding::Limits,
    /// JSON.
    pub json: json::Limits,
    /// XML.
    pub xml: xml::Limits,
    /// GraphQL.
    pub graphql: graphql::Limits,
    /// Form fields; of the target's limits those of parameters.
    pub form: target::Limits,
    /// Forms of parts.
    pub multipart: multipart::Limits,
}

impl Limits {
    /// What a body is read by for its values alone: all that its own length leaves room for.
    pub(super) fn widest() -> Self {
        const MOST: usize = usize::MAX;
        Self {
            json: json::Limits {
                depth: MOST,
                entries: MOST,
                name_length: MOST,
                elements: MOST,
                string_length: MOST,
                number_length: MOST,
                values: MOST,
                repeated_names: true,
            },
            xml: xml::Limits::WIDEST,
            form: target::Limits::WIDEST,
            multipart: multipart::Limits { parts: MOST, name_length: MOST, field: MOST, file: MOST },
            ..Self::default()
        }
    }
}
