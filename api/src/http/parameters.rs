//! The parameters of a query: each known one at most once, and every fault in one answer.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::str::FromStr;

use axum::http::Uri;
use url::form_urlencoded;

use crate::error::{Error, ParameterFault};

/// The unknown parameters that an error names, at most.
const MOST_UNKNOWN: usize = 10;

/// A parameter of a query. Its reader, its errors and its description all take it from here.
pub(super) struct Parameter {
    pub name: &'static str,
    /// The meaning, in one sentence.
    pub doc: &'static str,
    /// A value that is accepted.
    pub example: &'static str,
    pub shape: Shape,
}

/// The values that a parameter accepts.
pub(super) enum Shape {
    Boolean,
    /// `2026-01-31`.
    Date,
    /// `2026-01-31` or `2026-01-31T12:00:00Z`.
    DayOrTime,
    Integer(RangeInclusive<u32>),
    OneOf(&'static [&'static str]),
    /// `all`, or some of these fields with commas between them.
    ListOf(&'static [&'static str]),
    /// A regular expression for the whole value, without anchors, and its meaning in words.
    Pattern(&'static str, &'static str),
    Text,
}

/// Makes a constant of each parameter: the name, the shape, an example, the meaning.
macro_rules! parameters {
    ($($visibility:vis $constant:ident = $name:literal, $shape:expr, such as $example:literal:
        $doc:literal;)*) => {
        $($visibility const $constant: $crate::http::parameters::Parameter =
            $crate::http::parameters::Parameter {
                name: $name,
                doc: $doc,
                example: $example,
                shape: $shape,
            };)*
    };
}
pub(super) use parameters;

impl Parameter {
    /// The meaning and the accepted values.
    pub(super) fn help(&self) -> String {
        format!("{} Accepts {}.", self.doc, self.shape.accepted())
    }
}

impl Shape {
    pub(super) const TOPIC: Self = Self::Pattern(
        "[A-Za-z0-9][A-Za-z0-9-]{0,49}",
        "1 to 50 letters, digits and hyphens that do not start with a hyphen",
    );

    /// Completes the sentence "NAME accepts …".
    pub(super) fn accepted(&self) -> String {
        match self {
            Self::Boolean => "true or false".to_owned(),
            Self::Date => "a day such as 2026-01-31".to_owned(),
            Self::DayOrTime => {
                "a day, such as 2026-11-26, or a time, such as 2026-11-26T12:00:00Z".to_owned()
            }
            Self::Integer(numbers) => match (numbers.start(), numbers.end()) {
                (least, &u32::MAX) => format!("a number from {least}"),
                (least, most) => format!("a number from {least} to {most}"),
            },
            Self::OneOf([others @ .., last]) => format!("{} or {last}", others.join(", ")),
            Self::ListOf(_) => "all, or names of fields with commas between them".to_owned(),
            Self::Pattern(_, words) => (*words).to_owned(),
            Self::OneOf([]) | Self::Text => "any text".to_owned(),
        }
    }

    /// Whether a number is within its limits.
    fn has(&self, text: &str) -> bool {
        match self {
            Self::Integer(numbers) => text.parse().is_ok_and(|number| numbers.contains(&number)),
            _ => true,
        }
    }
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
        let Parameter { name, shape, .. } = parameter;
        self.known.push(name);
        let (own, others) = self.values.drain(..).partition(|(key, _)| key == name);
        self.values = others;
        let own: Vec<(Cow<'a, str>, Cow<'a, str>)> = own;
        match own.as_slice() {
            [] => None,
            [(_, text)] => {
                let value = parse(text).filter(|_| shape.has(text));
                if value.is_none() {
                    self.refuse(name, format!("accepts {}", shape.accepted()));
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
        let Parameter { name, shape, .. } = parameter;
        if !self.values.iter().any(|(key, _)| key == name) {
            self.refuse(name, format!("is missing; it accepts {}", shape.accepted()));
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

    parameters! {
        PAGE = "page", Shape::Integer(1..=u32::MAX), such as "1": "The page.";
        ARCHIVED = "archived", Shape::Boolean, such as "true": "Whether it is archived.";
    }

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
