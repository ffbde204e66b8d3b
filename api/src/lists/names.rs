//! Names that many repositories share, each stored once.

use std::collections::HashMap;

/// The memory of a name besides its text twice, in bytes.
const ENTRY_BYTES: usize = 100;

/// Distinct names, by the index that rows have.
#[derive(Debug, Default)]
pub(super) struct Names {
    names: Vec<Box<str>>,
    indexes: HashMap<Box<str>, u32>,
}

impl Names {
    /// The name's index, which is a new one if the name is new.
    pub(super) fn index(&mut self, name: &str) -> u32 {
        if let Some(index) = self.indexes.get(name) {
            return *index;
        }
        let new = index(self.names.len());
        self.names.push(name.into());
        self.indexes.insert(name.into(), new);
        new
    }

    /// The index of a name that some row has.
    pub(super) fn find(&self, name: &str) -> Option<u32> {
        self.indexes.get(name).copied()
    }

    pub(super) fn get(&self, index: u32) -> &str {
        &self.names[index as usize]
    }

    /// The names by their indexes.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        self.names.iter().map(AsRef::as_ref)
    }

    /// The memory that the names take, in bytes.
    pub(super) fn size(&self) -> usize {
        self.names.iter().map(|name| name.len() * 2 + ENTRY_BYTES).sum()
    }
}

/// A place in a list that no topic can fill.
#[expect(
    clippy::expect_used,
    reason = "texts are bounded, and a topic has millions of rows at most"
)]
pub(super) fn index(place: usize) -> u32 {
    u32::try_from(place).expect("fewer than 2^32")
}
