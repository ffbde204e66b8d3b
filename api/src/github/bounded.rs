//! The first elements of an array that may be of any length.

use std::fmt;

use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// At most `MOST` elements. The others take no memory.
pub(super) struct Bounded<T, const MOST: usize> {
    pub(super) first: Vec<T>,
    pub(super) is_cut: bool,
}

impl<'de, T: Deserialize<'de>, const MOST: usize> Deserialize<'de> for Bounded<T, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Self { first: Vec::new(), is_cut: false })
    }
}

impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for Bounded<T, MOST> {
    type Value = Self;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Self, A::Error> {
        while self.first.len() < MOST
            && let Some(element) = list.next_element()?
        {
            self.first.push(element);
        }
        while list.next_element::<IgnoredAny>()?.is_some() {
            self.is_cut = true;
        }
        Ok(self)
    }
}
