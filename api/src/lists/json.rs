//! A list as JSON: a compact array of objects.

use serde::Serialize;

use super::writer::ListWriter;
use crate::model::list::{LIST_LENGTH, ListItem};

/// Room for a repository's JSON, which has 270 bytes on average.
const ITEM_BYTES: usize = 320;

pub struct JsonWriter {
    json: Vec<u8>,
}

impl Default for JsonWriter {
    /// A writer with room for a whole list.
    fn default() -> Self {
        let mut json = Vec::with_capacity(2 + LIST_LENGTH * ITEM_BYTES);
        json.push(b'[');
        Self { json }
    }
}

impl JsonWriter {
    /// Adds an object to the array.
    #[expect(clippy::expect_used, reason = "plain data is always JSON, and memory takes it")]
    pub fn push(&mut self, item: &impl Serialize) {
        if self.json.len() > 1 {
            self.json.push(b',');
        }
        serde_json::to_writer(&mut self.json, item).expect("plain data");
    }

    /// The bytes of the whole array.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.json.push(b']');
        self.json
    }
}

impl ListWriter for JsonWriter {
    fn write(&mut self, item: &ListItem<'_>) {
        self.push(item);
    }
}
