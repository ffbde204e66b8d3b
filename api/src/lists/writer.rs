//! Writers turn the rows of a list into bytes.

use crate::model::list::ListItem;

/// Takes the rows of a list in their order.
pub trait ListWriter: Send {
    fn write(&mut self, item: &ListItem<'_>);
}
