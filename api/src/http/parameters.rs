//! The parameters of a query: each known one at most once, and every fault in one answer.

use std::borrow::Cow;
use std::str::FromStr;

use axum::http::Uri;
use url::form_urlencoded;

use crate::error::{Error, ParameterFault};

/// The unknown parameters that an error names, at most.
const MOST_UNKNOWN: usize = 10;

/// A parameter of a query. Its reader, its errors and its description all take it from here.
pub(super) struct Parameter {
    pub name: &'static str,
    /// Completes the sentence "NAME accepts …".
    pub accepted: &'static str,
    /// The meaning, in one sentence.
    pub doc: &'static str,
    /// A value that is accepted.
    pub example: &'static str,
    pub shape: Shape,
}

/// The values that a parameter accepts, for its JSON schema.
pub(super) enum Shape {
    Boolean,
    /// `2026-01-31`.
    Date,
    /// `2026-01-31` or `2026-01-31T12:00:00Z`.
    DayOrTime,
    /// Both ends are accepted.
    Integer {
        minimum: u32,
        maximum: u32,
    },
    OneOf(&'static [&'static str]),
    /// `all`, or some of these with commas between them.
    ListOf(&'static [&'static str]),
    /// A regular expression for the whole value, without anchors.
    Pattern(&'static str),
    Text,
}

/// The parameters of a request that no handler has read yet, and the faults found so far.
///
/// A handler reads each parameter that it knows, and then calls [`Parameters::finish`], which
/// refuses the others: a parameter is never ignored.
pub(super) struct Parameters<'a> {
    values: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    known: Vec<&'static str>,
    faults: Vec<ParameterFault>,
}

impl<'a> Parameters<'a> {
    pub(super) fn of(uri: &'a Uri) -> Self {
        let query = uri.query().unwrap_or_default().as_bytes();
        let values = form_urlencoded::parse(query).collect();
        Self { values, known: Vec::new(), faults: Vec::new() }
    }

    /// The value of a parameter; `None` if the request has none, or one that does not parse.
    pub(super) fn read<T: FromStr>(&mut self, parameter: &Parameter) -> Option<T> {
        self.read_by(parameter, |text| text.parse().ok())
    }

    /// [`Parameters::read`] by a function that returns `None` for values that are not accepted.
    pub(super) fn read_by<T>(
        &mut self,
        parameter: &Parameter,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let Parameter { name, accepted, .. } = *parameter;
        self.known.push(name);
        let (own, others) = self.values.drain(..).partition(|(key, _)| key == name);
        self.values = others;
        let own: Vec<(Cow<'a, str>, Cow<'a, str>)> = own;
        match own.as_slice() {
            [] => None,
            [(_, text)] => {
                let value = parse(text);
                if value.is_none() {
                    self.refuse(name, format!("accepts {accepted}"));
                }
                value
            }
            _ => {
                self.refuse(name, "may be given only once".to_owned());
                None
            }
        }
    }

    /// [`Parameters::read_by`] for a parameter that a request must have.
    pub(super) fn require_by<T>(
        &mut self,
        parameter: &Parameter,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let Parameter { name, accepted, .. } = *parameter;
        if !self.values.iter().any(|(key, _)| key == name) {
            self.refuse(name, format!("is missing; it accepts {accepted}"));
        }
        self.read_by(parameter, parse)
    }

    /// Notes a fault of a value that parsed. `rule` completes the sentence "NAME …".
    pub(super) fn refuse(&mut self, name: &str, rule: String) {
        self.faults.push(ParameterFault { parameter: name.to_owned(), rule });
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// When there is a fault, or a parameter that was not read.
    pub(super) fn finish(mut self) -> Result<(), Error> {
        let rule = match self.known.as_slice() {
            [] => "is unknown here: this route accepts no parameters".to_owned(),
            known => format!("is unknown here: this route accepts {}", known.join(", ")),
        };
        let mut unknown: Vec<String> = Vec::new();
        for (name, _) in &self.values {
            if unknown.len() < MOST_UNKNOWN && !unknown.iter().any(|known| known == name) {
                unknown.push(name.to_string());
            }
        }
        for name in unknown {
            self.refuse(&name, rule.clone());
        }
        if self.faults.is_empty() { Ok(()) } else { Err(Error::Parameters(self.faults)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: Parameter = Parameter {
        name: "page",
        accepted: "a number from 1",
        doc: "",
        example: "1",
        shape: Shape::Integer { minimum: 1, maximum: u32::MAX },
    };
    const ARCHIVED: Parameter = Parameter {
        name: "archived",
        accepted: "true or false",
        doc: "",
        example: "true",
        shape: Shape::Boolean,
    };

    fn faults(query: &str) -> Vec<String> {
        let uri = Uri::try_from(format!("/list?{query}")).expect("a URI");
        let mut parameters = Parameters::of(&uri);
        let _: Option<u32> = parameters.read(&PAGE);
        let _: Option<bool> = parameters.read(&ARCHIVED);
        match parameters.finish() {
            Err(Error::Parameters(faults)) => faults.iter().map(ToString::to_string).collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn parameters_that_are_known_are_read_and_all_faults_are_named() {
        assert_eq!(faults("page=1&archived=true"), Vec::<String>::new());
        assert_eq!(faults("archived=true"), Vec::<String>::new());
        let expected = [
            "page accepts a number from 1",
            "archived may be given only once",
            "x y is unknown here: this route accepts page, archived",
        ];
        assert_eq!(faults("page=one&archived=true&archived=true&x%20y=1"), expected);
        assert_eq!(faults("page="), ["page accepts a number from 1"]);
        assert_eq!(faults(&"a&b&".repeat(1_000)).len(), 2);
        let many: String = (0..1_000).map(|number| format!("{number}&")).collect();
        assert_eq!(faults(&many).len(), 10);
    }
}
