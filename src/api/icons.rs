//! The pictures that stand beside links to pull requests in other systems: browsers of people who are no users here ask for them, so
//! they need no token and tell nothing.

use super::error::ApiError;
use crate::types::LinkIcon;
use actix_web::http::header::{CACHE_CONTROL, ContentType};
use actix_web::{HttpResponse, web};

/// The picture of an icon, an SVG (https://www.w3.org/TR/SVG11/) of 16 by 16 pixels.
pub(super) async fn icon(file: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let Some(icon) = LinkIcon::ALL.into_iter().find(|icon| icon.file() == *file) else {
        return Err(ApiError::not_found("no such picture"));
    };
    let picture = match icon {
        LinkIcon::Open => include_str!("icons/pull-open.svg"),
        LinkIcon::Merged => include_str!("icons/pull-merged.svg"),
        LinkIcon::Closed => include_str!("icons/pull-closed.svg"),
        LinkIcon::Failed => include_str!("icons/pull-failed.svg"),
    };
    let svg = ContentType("image/svg+xml".parse().unwrap_or_else(|_| unreachable!("a literal media type")));
    Ok(HttpResponse::Ok().insert_header(svg).insert_header((CACHE_CONTROL, "public, max-age=86400")).body(picture))
}
