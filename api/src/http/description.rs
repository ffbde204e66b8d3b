//! The description of the routes (OpenAPI 3.1).
//!
//! A route is registered together with its description, so no route lacks one:
//! `Operation::get(id, summary).answers(200, …).at(path, handler)`.

mod answer;
mod operation;
mod schemas;
mod shared;

use url::Url;
use utoipa::openapi::{InfoBuilder, OpenApi, Server};

pub(super) use self::answer::Answer;
pub(super) use self::operation::{Operation, Routes};
pub(super) use self::schemas::name_of;

/// Puts all operations under a tag.
pub(super) fn tagged(mut routes: Routes, tag: &str) -> Routes {
    for path in routes.get_openapi_mut().paths.paths.values_mut() {
        for operation in [&mut path.get, &mut path.post, &mut path.delete].into_iter().flatten() {
            operation.tags = Some(vec![tag.to_owned()]);
        }
    }
    routes
}

/// Completes the description of the routes: everything that is not of one route.
pub(super) fn complete(
    mut api: OpenApi,
    public_url: Option<&Url>,
    tags: &[(&str, &str)],
) -> OpenApi {
    api.info = InfoBuilder::new()
        .title("GitHub topic mirror")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(shared::INTRODUCTION))
        .build();
    let url = public_url.map_or("/", |url| url.as_str().trim_end_matches('/'));
    api.servers = Some(vec![Server::new(url)]);
    api.tags = Some(tags.iter().map(|(name, doc)| shared::tag(name, doc)).collect());
    let components = api.components.get_or_insert_default();
    shared::add(components);
    schemas::simplify(&mut components.schemas);
    schemas::prune(&mut api);
    api
}
