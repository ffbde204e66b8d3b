//! The pages for people: one handler and one template a page.
//!
//! A page is whole without a script, asks nobody else for anything, and names the JSON that it
//! shows. All that it keeps is in its address, and its parameters are those of the lists.

mod assets;
mod chart_links;
mod compare;
pub(in crate::http) mod docs;
mod error;
mod fields;
mod home;
mod layout;
mod links;
mod ready;
mod repository;
mod status;
mod topic;
mod words;

pub(super) use self::error::error_page;
pub(super) use self::layout::root;
use super::description::Routes;

pub(super) fn routes() -> Routes {
    Routes::default()
        .merge(home::routes())
        .merge(topic::routes())
        .merge(status::routes())
        .merge(repository::routes())
        .merge(compare::routes())
        .merge(assets::routes())
}
