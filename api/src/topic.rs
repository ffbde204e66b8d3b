//! A GitHub topic's name.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// The longest topic that GitHub allows, in characters.
const MAX_LENGTH: usize = 50;

/// A valid topic: 1 to 50 lower-case letters, digits and hyphens, the first one not a hyphen.
/// Source: GitHub's "Classifying your repository with topics".
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Topic(Arc<str>);

/// What is accepted, as told to whoever sent something else.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq)]
#[error("a topic is 1 to 50 letters, digits and hyphens, and does not start with a hyphen")]
pub struct InvalidTopic;

impl Topic {
    /// The name, in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Topic {
    type Err = InvalidTopic;

    /// Upper case is folded, as GitHub does.
    fn from_str(text: &str) -> Result<Self, InvalidTopic> {
        let valid = !text.is_empty()
            && text.len() <= MAX_LENGTH
            && !text.starts_with('-')
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if valid { Ok(Self(text.to_ascii_lowercase().into())) } else { Err(InvalidTopic) }
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Serialize for Topic {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_upper_case_and_refuses_what_github_refuses() {
        assert_eq!(
            "KuberNetes".parse::<Topic>().map(|topic| topic.to_string()),
            Ok("kubernetes".to_owned())
        );
        for valid in ["c", "3d", "web-components", &"a".repeat(50)] {
            assert!(valid.parse::<Topic>().is_ok(), "{valid}");
        }
        for invalid in ["", "-a", "a b", "a_b", "c++", "é", "a/b", &"a".repeat(51)] {
            assert_eq!(invalid.parse::<Topic>(), Err(InvalidTopic), "{invalid}");
        }
    }
}
